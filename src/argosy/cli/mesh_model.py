"""The model of a mesh for commands that answer from it: of files, or of what a server has; and where things stand in
files."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

from argosy.runtime.errors import Failure

if TYPE_CHECKING:
    from argosy.cli.lines import Lines
    from argosy.model.ir import Mesh
    from argosy.model.snapshot import Snapshot
    from argosy.model.updates import Ref
    from argosy.resources.kinds import Kind
    from argosy.resources.meta import Object

KINDS = (
    "Service", "ServiceEntry", "WorkloadEntry", "VirtualService", "DestinationRule", "PeerAuthentication",
    "AuthorizationPolicy", "RequestAuthentication", "Sidecar", "EnvoyFilter", "Ingress", "Endpoints", "EndpointSlice",
    "Namespace",
)  # fmt: skip
GROUPS_WITH_GATEWAY = "networking.istio.io"


class Places:
    """Where the objects of files stand."""

    def __init__(self) -> None:
        self._objects: dict[Ref, tuple[str, int, int]] = {}  # (file, position in it, line)
        self._texts: dict[str, str] = {}
        self._lines: dict[str, Lines] = {}

    def note(self, ref: Ref, file: str, index: int, line: int, text: str) -> None:
        self._objects[ref] = (file, index, line)
        self._texts[file] = text

    def __call__(self, ref: Ref, field: str) -> tuple[str, int] | None:
        from argosy.cli.lines import Lines

        if ref not in self._objects:
            return None
        file, index, line = self._objects[ref]
        if file not in self._lines:
            self._lines[file] = Lines(self._texts[file])
        return file, self._lines[file].of(index, field) or line


class Objects(NamedTuple):
    found: list[Object]
    places: Places


def of_files(names: Sequence[str]) -> Objects:
    """The mesh's objects of files, namespaces settled; fields that a kind does not have are told and left out. Raises
    Failure with everything that is invalid."""
    from argosy.cli.files import texts
    from argosy.cli.terminal import warn
    from argosy.resources.kinds import kind_of_group
    from argosy.resources.loading import LoadError, load_documents
    from argosy.resources.schema import without_unknown
    from argosy.resources.semantics.names import shown
    from argosy.resources.validation import validate

    found: list[Object] = []
    places, wrong = Places(), []
    for source, text in texts(names):
        try:
            documents = load_documents(text, source)
        except LoadError as error:
            wrong.append(str(error))
            continue
        for document in documents:
            body = document.object
            named = (
                isinstance(body, dict)
                and isinstance(body.get("apiVersion"), str)
                and isinstance(body.get("kind"), str)
            )
            if named and kind_of_group(body["apiVersion"], body["kind"]) is None:
                what = f"{shown(body['kind'])} of {shown(body['apiVersion'])}"
                warn(f"{source}: {what} is no kind of the mesh's: left out")
                continue
            verdict = validate(body)
            if verdict.kind is not None and not verdict.valid and validate(body, strict=False).valid:
                for unknown in verdict.errors:
                    warn(f"{source}[{document.index}]: {unknown}: left out")
                body, _ = without_unknown(verdict.kind, body)
                verdict = validate(body)
            problems = [f"{source}[{document.index}]: {problem}" for problem in verdict.errors]
            one = _decoded(verdict.kind, body) if verdict.valid else None
            if one is None and verdict.kind is not None and verdict.kind.group == "":
                # Kubernetes judges its own kinds where they are served; here it is asked what proxies make of them.
                one = _decoded(verdict.kind, body)
            if one is None:
                wrong += problems
                continue
            for problem in problems:
                warn(problem)
            found.append(one)
            ref = (one.kind, one.metadata.namespace, one.metadata.name)
            places.note(ref, source, document.index, document.line, text)
    if wrong:
        raise Failure("\n  ".join(("the files are not valid:", *wrong)), "see argosy validate")
    return Objects(found, places)


def _decoded(kind: Kind | None, body: Any) -> Object | None:
    """The object, if it has its kind's form at all, in the namespace in which it is."""
    from msgspec import ValidationError

    from argosy.resources.kinds import decode

    if kind is None:
        return None
    try:
        if kind.namespaced:
            metadata = {**body["metadata"], "namespace": body["metadata"].get("namespace") or "default"}
            body = {**body, "metadata": metadata}
        return decode(body)
    except (ValidationError, ValueError):
        return None


def of_server(state_dir: str) -> list[Object]:
    """What the server has of what decides where requests go. Raises Failure."""
    from argosy.cli.connect import api
    from argosy.resources import kinds
    from argosy.resources.kinds import decode

    wanted = [kind for kind in kinds.KINDS if kind.kind in KINDS]
    wanted += [kind for kind in kinds.KINDS if (kind.kind, kind.group) == ("Gateway", GROUPS_WITH_GATEWAY)]
    settings = next(kind for kind in kinds.KINDS if kind.kind == "ConfigMap")
    found: list[Object] = []
    with api(state_dir) as client:
        for kind in wanted:
            for item in client.list(kind).get("items") or ():
                found.append(decode({"apiVersion": kind.api_version, "kind": kind.kind, **item}))
        in_root = client.list(settings, "istio-system").get("items") or ()
        found += [
            decode({"apiVersion": "v1", "kind": "ConfigMap", **item})
            for item in in_root
            if item["metadata"]["name"] == "istio"
        ]
    return found


def modelled(found: Sequence[Object], mesh: Mesh) -> Snapshot:
    """Their model. What cannot be in it is told, and left out, as a server does."""
    from argosy.cli.modelled import modelled as model_of
    from argosy.cli.terminal import warn

    snapshot, refused = model_of(found, mesh)
    for why in refused:
        warn(why)
    return snapshot
