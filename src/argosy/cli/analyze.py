"""`argosy analyze`: what is wrong, risky or without effect in files, in a mesh, or in a mesh with files laid over it.

The messages, their codes and levels are Istio's. The first four fields of the JSON are a contract: code, level, origin,
message.
"""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated, Any

import typer

from argosy.cli.options import Everywhere, MaybeFiles, OfContext, Recursive, StateDir, chosen_output, output
from argosy.runtime.errors import Failure

if TYPE_CHECKING:
    from argosy.explain.analysis.analyze import Suppression
    from argosy.explain.analysis.catalogue import Level
    from argosy.explain.analysis.message import Finding, Message
    from argosy.explain.analysis.world import World
    from argosy.resources.loading import Document

Json = dict[str, Any]
FORMS = ("table", "json", "yaml")
LEVELS = "Info, Warning or Error"
FOUND, TROUBLE = 1, 2
USUAL = "default"


def analyze(
    paths: Annotated[
        list[str] | None,
        typer.Argument(metavar="[FILE]…", help="As -f.", show_default=False),
    ] = None,
    filename: MaybeFiles = None,
    live: Annotated[
        bool,
        typer.Option(
            "--live",
            "--use-kube",
            help="The files as if they were applied to what the server has.",
            show_default=False,
        ),
    ] = False,
    namespace: OfContext = "",
    everywhere: Everywhere = False,
    recursive: Recursive = False,
    mesh_config: Annotated[
        str,
        typer.Option(
            "--mesh-config", "--meshConfigFile", metavar="F", help="The settings of the mesh (MeshConfig)."
        ),
    ] = "",
    suppress: Annotated[
        list[str] | None,
        typer.Option(
            "--suppress",
            "-S",
            metavar="CODE=OBJECT",
            help="Say nothing of a code for objects called so, as 'IST0118=Service *.shop'; repeats.",
        ),
    ] = None,
    output_threshold: Annotated[
        str, typer.Option(metavar="LEVEL", help=f"The least that is told: {LEVELS}.")
    ] = "Info",
    failure_threshold: Annotated[
        str, typer.Option(metavar="LEVEL", help=f"The least for which the exit code is 1: {LEVELS}.")
    ] = "Error",
    list_analyzers: Annotated[
        bool, typer.Option("--list-analyzers", "-L", help="Show what is looked for, and nothing else.")
    ] = False,
    color: Annotated[bool, typer.Option(help="In colours, on a terminal.")] = True,
    form: Annotated[str, output(*FORMS)] = "table",
    state_dir: StateDir = "",
) -> None:
    """Find what is wrong, risky or without effect, with Istio's message codes.

    With files: in them alone, without a server. Without: in what the server has. With --live: in both.

    Exit code 0: nothing at or above --failure-threshold; 1: something; 2: it could not be analysed.

    [bold]Examples[/bold]

    argosy analyze -f shop/

    argosy analyze -A

    argosy analyze --live -f reviews.yaml --failure-threshold Warning

    argosy analyze -f shop/ --suppress 'IST0118=Service *.shop' -o json
    """
    from argosy.explain.analysis import analyze as analysis

    form = chosen_output(form, FORMS)
    if not color:
        os.environ["NO_COLOR"] = "1"
    if list_analyzers:
        show_analyzers(form)
        return
    least, failing = (
        level(output_threshold, "--output-threshold"),
        level(failure_threshold, "--failure-threshold"),
    )
    hushed = suppressions(suppress or ())
    names = [*(paths or ()), *(filename or ())]
    texts = Texts(names)
    mesh = texts.mesh(mesh_config) if mesh_config else None
    if names and not live:
        world, chosen = offline(texts, mesh, namespace), namespace
    else:
        world, chosen = against_server(texts, mesh, namespace, everywhere, state_dir)
    found = analysis.analyze(world, namespace="" if everywhere else chosen, suppressions=hushed)
    told = [texts.told(each) for each in found if each.type.level >= least]
    show(form, told, len(world.items))
    if texts.unreadable:
        raise typer.Exit(TROUBLE)
    if any(each.type.level >= failing for each in found):
        raise typer.Exit(FOUND)


def level(text: str, flag: str) -> Level:
    """Raises Failure."""
    from argosy.explain.analysis.message import LEVELS as KNOWN

    if text.lower() not in KNOWN:
        raise Failure(f"{flag} {text}: not a level", f"one of {LEVELS}", code=TROUBLE)
    return KNOWN[text.lower()]


def suppressions(texts: Sequence[str]) -> list[Suppression]:
    """Raises Failure."""
    from argosy.explain.analysis.analyze import suppression

    found = []
    for text in texts:
        try:
            found.append(suppression(text))
        except ValueError as error:
            raise Failure(f"--suppress {text}: not understood", str(error), code=TROUBLE) from error
    return found


class Texts:
    """The files, read once: their objects, and where in them a field is."""

    def __init__(self, names: Sequence[str]) -> None:
        """Raises Failure where a file cannot be read at all; what is no YAML is told and left out."""
        from argosy.cli import files
        from argosy.cli.terminal import warn
        from argosy.resources.loading import LoadError, load_documents

        self.documents: list[Document] = []
        self.unreadable = False
        self._texts: dict[str, str] = {}
        self._lines: dict[str, Any] = {}
        for source, text in files.texts(names) if names else ():
            self._texts[source] = text
            try:
                self.documents += load_documents(text, source)
            except LoadError as error:
                warn(f"{error}; left out")
                self.unreadable = True

    def mesh(self, name: str) -> Document:
        """The settings of a file of their own. Raises Failure."""
        from argosy.cli import files
        from argosy.resources.loading import LoadError, load_documents

        ((source, text),) = files.texts([name])
        try:
            (document,) = load_documents(text, source)
        except (LoadError, ValueError) as error:
            raise Failure(
                f"--mesh-config {name}: is not one document of YAML",
                "give the MeshConfig itself",
                code=TROUBLE,
            ) from error
        self._texts[source] = text
        return document

    def told(self, finding: Finding) -> Message:
        from msgspec.structs import replace

        from argosy.cli.lines import Lines

        message = finding.message
        source = finding.item.source
        if source not in self._texts:
            return message
        if source not in self._lines:
            self._lines[source] = Lines(self._texts[source])
        line = self._lines[source].of(finding.item.index, finding.field)
        return replace(message, line=line or message.line)


def offline(texts: Texts, mesh: Document | None, namespace: str) -> World:
    from argosy.explain.analysis.loaded import world

    made, strange = world(texts.documents, namespace=namespace or USUAL, mesh=mesh, now=_now())
    left_out(strange)
    return made


def against_server(
    texts: Texts, mesh: Document | None, namespace: str, everywhere: bool, state_dir: str
) -> tuple[World, str]:
    """The World, and the namespace that is asked about."""
    from argosy.cli.connect import api
    from argosy.explain.analysis.loaded import world

    with api(state_dir) as client:
        chosen = namespace or client.connection.namespace
        held, hidden = everything(client)
    made, strange = world(
        texts.documents,
        held=held,
        namespace=chosen,
        mesh=mesh,
        complete=True,
        hidden=hidden,
        now=_now(),
    )
    left_out(strange)
    return made, chosen


def everything(client: Any) -> tuple[list[Json], list[str]]:
    """What the server holds that is analysed, and the kinds that we may not read."""
    from argosy.apiserver.client import ApiError
    from argosy.cli.terminal import warn
    from argosy.resources.kinds import KINDS

    held: list[Json] = []
    hidden = []
    for kind in KINDS:
        if kind.virtual or kind.group in UNASKED or kind.kind in UNASKED:
            continue
        try:
            found = client.list(kind)
        except ApiError as error:
            if error.http_code != 403:
                raise
            warn(f"{error.what}: nothing is said of what is missing there")
            hidden.append(kind.unique_name)
            continue
        held += [{"apiVersion": kind.api_version, "kind": kind.kind} | each for each in found["items"]]
    return held, hidden


UNASKED = frozenset(
    (
        "events.k8s.io",
        "rbac.authorization.k8s.io",
        "access.argosy.dev",
        "identity.argosy.dev",
        "discovery.k8s.io",
        "Event",
        "Endpoints",
        "ServiceAccount",
    )
)
"""Groups and kinds in which no analyzer looks."""


def left_out(strange: Sequence[Document]) -> None:
    from argosy.cli.terminal import warn

    for document in strange:
        warn(f"{document.source}:{document.line}: is no object, it has no kind; left out")


def show(form: str, told: Sequence[Message], objects: int) -> None:
    from msgspec import to_builtins

    from argosy.cli import documents
    from argosy.cli.terminal import say, table

    if documents.show(form, [to_builtins(each) for each in told]):
        return
    if told:
        rows = [(each.level, each.code, each.origin, _where(each), each.message) for each in told]
        table(("LEVEL", "CODE", "OBJECT", "WHERE", "MESSAGE"), rows)
    counted = Counter(each.level.lower() for each in told)
    parts = [
        f"{counted[one]} {one}{'s' if counted[one] > 1 else ''}"
        for one in ("error", "warning")
        if counted[one]
    ]
    parts += [f"{counted['info']} for information"] if counted["info"] else []
    say(
        f"{', '.join(parts) or 'nothing found'}; {objects} {'object' if objects == 1 else 'objects'} analysed"
    )


def _where(message: Message) -> str:
    return f"{message.file}:{message.line}" if message.file else "-"


def show_analyzers(form: str) -> None:
    from argosy.cli import documents
    from argosy.cli.terminal import table
    from argosy.explain.analysis.analyze import ALL

    listed = [{"name": each.name, "codes": list(each.codes), "description": each.description} for each in ALL]
    if not documents.show(form, listed):
        rows = [(each.name, " ".join(each.codes), each.description) for each in ALL]
        table(("NAME", "CODES", "DESCRIPTION"), rows)


def _now() -> str:
    from datetime import UTC, datetime

    return datetime.now(UTC).isoformat()
