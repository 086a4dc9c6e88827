"""A client of the API, for commands: plain functions over one HTTP connection, errors that a person can read.

Rule: it trusts what the kubeconfig says and nothing else, and ignores proxy variables: under `argosy run` those point
into the mesh. httpx is imported when a client is made, so that commands which need none start without it.
"""

from __future__ import annotations

import math
import os
import ssl
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, Literal, NamedTuple, Self
from urllib.parse import quote

import msgspec

from argosy import __version__
from argosy.apiserver import kubeconfig
from argosy.apiserver.kubeconfig import Connection
from argosy.resources.kinds import KINDS, Kind, kind_of, why_elsewhere
from argosy.resources.meta import describe
from argosy.runtime.errors import Failure
from argosy.runtime.hosts import is_loopback

if TYPE_CHECKING:
    import httpx

Json = dict[str, Any]
Outcome = Literal["created", "configured", "unchanged"]

TIMEOUT_SECONDS = 30.0
CONNECT_SECONDS = 5.0
UNIX = "unix://"
ATTEMPTS = 20
"""Of an apply that others overtake; each time at least one of them was done."""


class ApiError(Failure):
    """The server said no: `status` is its Status object."""

    def __init__(self, status: Json, subject: str = "") -> None:
        self.status = status
        super().__init__(_said(status, subject), _remedy(status))

    @property
    def http_code(self) -> int:
        return int(self.status.get("code") or 0)

    @property
    def reason(self) -> str:
        return str(self.status.get("reason") or "")

    @property
    def causes(self) -> list[Json]:
        """`{"field", "message"}` of each thing that is wrong with the object."""
        found = (self.status.get("details") or {}).get("causes") or []
        return [cause for cause in found if isinstance(cause, dict)]


class Unreachable(Failure):
    """No answer came: whether the server did what was asked is not known."""


class Applied(NamedTuple):
    object: Json
    warnings: tuple[str, ...]
    outcome: Outcome
    before: Json | None = None  # what was there, where that was looked at


class WatchEvent(NamedTuple):
    type: str  # ADDED, MODIFIED, DELETED, BOOKMARK
    object: Json


class ApiClient:
    """One server. Every method raises ApiError, and Failure where the server cannot be reached."""

    def __init__(self, connection: Connection, *, timeout: float = TIMEOUT_SECONDS) -> None:
        import httpx

        self.connection = connection
        headers = [(name.encode(), value.encode()) for name, value in connection.acts_as]
        headers.append(
            (b"User-Agent", f"argosy/{__version__}".encode())
        )  # the field manager of what it writes, too
        if connection.token:
            headers.append((b"Authorization", f"Bearer {connection.token}".encode()))
        socket = connection.server.removeprefix(UNIX) if connection.server.startswith(UNIX) else None
        try:
            self._http = httpx.Client(
                base_url=connection.server if socket is None else "http://api",
                headers=headers,
                verify=_trust(connection),
                transport=httpx.HTTPTransport(uds=socket) if socket else None,
                timeout=httpx.Timeout(timeout, connect=min(timeout, CONNECT_SECONDS)),
                trust_env=False,
            )
        except httpx.InvalidURL as error:
            raise Failure(f"{connection.server!r} is not an address: {error}") from error
        if connection.token and socket is None and _in_the_clear(self._http.base_url):
            self.close()
            raise Failure(
                f"the token would be sent in the clear to {connection.server}, for everybody between to read",
                "name the server as https://… in the kubeconfig; http:// is for this host alone",
            )
        self._extensions = {"sni_hostname": connection.tls_server_name} if connection.tls_server_name else {}

    @classmethod
    def from_kubeconfig(
        cls, path: Path | str, context: str | None = None, *, timeout: float = TIMEOUT_SECONDS
    ) -> ApiClient:
        return cls(kubeconfig.load(Path(path), context), timeout=timeout)

    def close(self) -> None:
        self._http.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    # --- objects ---

    def get(self, kind: Kind, name: str, namespace: str = "default") -> Json:
        return self._decoded(
            self._call("GET", path_of(kind, namespace, name), describe(kind.kind, namespace, name))
        )

    def list(
        self, kind: Kind, namespace: str | None = None, *, label_selector: str = "", field_selector: str = ""
    ) -> Json:
        """The list object: `items`, and `metadata.resourceVersion` to watch from. `namespace` None: all."""
        params = _given(labelSelector=label_selector, fieldSelector=field_selector)
        return self._decoded(self._call("GET", path_of(kind, namespace), kind.kind, params=params))

    def create(self, obj: Json, *, dry_run: str = "") -> Applied:
        """`dry_run` "All": everything but the writing."""
        kind, namespace, name = identify(obj, self.connection.namespace)
        response = self._call(
            "POST", path_of(kind, namespace, version=_version(obj)), describe(kind.kind, namespace, name),
            body=obj, params=_dry(dry_run),
        )  # fmt: skip
        return Applied(self._decoded(response), _warnings(response), "created")

    def update(self, obj: Json, *, dry_run: str = "") -> Applied:
        """Replaces the object; with a `metadata.resourceVersion` only where that is still its revision."""
        kind, namespace, name = identify(obj, self.connection.namespace)
        response = self._call(
            "PUT", path_of(kind, namespace, name, version=_version(obj)), describe(kind.kind, namespace, name),
            body=obj, params=_dry(dry_run),
        )  # fmt: skip
        return Applied(self._decoded(response), _warnings(response), "configured")

    def apply(self, obj: Json, *, dry_run: str = "") -> Applied:
        """Makes the object be as given: creates it, or replaces what is there."""
        for _ in range(ATTEMPTS - 1):
            try:
                return self._apply(obj, dry_run)
            except ApiError as error:
                if error.reason not in ("AlreadyExists", "Conflict") or _pinned(obj):
                    raise
        return self._apply(obj, dry_run)

    def delete(self, kind: Kind, name: str, namespace: str = "default", *, dry_run: str = "") -> Json:
        """The server's Status; its `metadata.resourceVersion` is the revision of the deletion."""
        subject = describe(kind.kind, namespace, name)
        return self._decoded(
            self._call("DELETE", path_of(kind, namespace, name), subject, params=_dry(dry_run))
        )

    def patch(self, kind: Kind, name: str, namespace: str, patch: Json) -> Applied:
        """Merges `patch` into the object (null takes a field away); with a `metadata.resourceVersion` only where that
        is still its revision. # JSON Merge Patch: RFC 7396"""
        response = self._call(
            "PATCH", path_of(kind, namespace, name), describe(kind.kind, namespace, name),
            body=patch, content_type="application/merge-patch+json",
        )  # fmt: skip
        return Applied(self._decoded(response), _warnings(response), "configured")

    def patch_status(self, kind: Kind, name: str, namespace: str, status: Json) -> Json:
        """Merges `status` into the object's."""
        path = path_of(kind, namespace, name) + "/status"
        response = self._call(
            "PATCH", path, describe(kind.kind, namespace, name),
            body={"status": status}, content_type="application/merge-patch+json",
        )  # fmt: skip
        return self._decoded(response)

    def watch(
        self,
        kind: Kind,
        namespace: str | None = None,
        *,
        resource_version: str = "",
        label_selector: str = "",
        field_selector: str = "",
        timeout: float = 0,
    ) -> Iterator[WatchEvent]:
        """Changes after a revision ("": first what is there, as ADDED), until `timeout` seconds (0: the server stops).
        Within less than a second of that, as the server counts whole ones.

        Raises ApiError (code 410) where the revision is too old: list again.
        """
        import httpx

        params: dict[str, str] = {"watch": "true", "allowWatchBookmarks": "true"}
        params |= _given(
            resourceVersion=resource_version,
            labelSelector=label_selector,
            fieldSelector=field_selector,
            timeoutSeconds=str(math.ceil(timeout)) if timeout else "",
        )
        try:
            with self._http.stream(
                "GET", path_of(kind, namespace), params=params, extensions=self._extensions,
                timeout=httpx.Timeout(CONNECT_SECONDS, read=timeout or None),
            ) as response:  # fmt: skip
                if response.status_code >= 400:
                    response.read()
                    raise ApiError(_status(response), kind.kind)
                for line in response.iter_lines():
                    frame = msgspec.json.decode(line)
                    if frame["type"] == "ERROR":
                        raise ApiError(frame["object"], kind.kind)
                    yield WatchEvent(frame["type"], frame["object"])
        except httpx.TransportError as error:
            if timeout and isinstance(error, httpx.ReadTimeout):
                return
            raise self._unreachable(error) from error

    # --- anything else ---

    def request(
        self,
        method: str,
        path: str,
        *,
        body: Any = None,
        params: Mapping[str, str] | None = None,
        timeout: float | None = None,
        warned: Callable[[str], None] | None = None,
    ) -> Any:
        """The decoded JSON answer (None where it is empty) of any path of the server, the operations API among them.

        `warned` hears what the server warns of.
        """
        response = self._call(method, path, "", body=body, params=params, timeout=timeout)
        if warned is not None:
            for text in _warnings(response):
                warned(text)
        return msgspec.json.decode(response.content) if response.content else None

    def _apply(self, obj: Json, dry_run: str) -> Applied:
        kind, namespace, name = identify(obj, self.connection.namespace)
        try:
            live = self.get(kind, name, namespace)
        except ApiError as error:
            if error.http_code != 404:
                raise
            return self.create(obj, dry_run=dry_run)
        metadata = dict(obj.get("metadata") or {})
        metadata.setdefault("resourceVersion", live["metadata"]["resourceVersion"])
        for field in ("finalizers", "ownerReferences"):  # of programs, who would miss them
            if field in live["metadata"]:
                metadata.setdefault(field, live["metadata"][field])
        done = self.update(obj | {"metadata": metadata}, dry_run=dry_run)
        before, after = (each["metadata"].get("resourceVersion") for each in (live, done.object))
        if dry_run:
            before, after = _content(live), _content(done.object)
        return done._replace(outcome="unchanged" if before == after else "configured", before=live)

    def _call(
        self,
        method: str,
        path: str,
        subject: str,
        *,
        body: Any = None,
        params: Mapping[str, str] | None = None,
        content_type: str = "application/json",
        timeout: float | None = None,
    ) -> httpx.Response:
        import httpx

        try:
            response = self._http.request(
                method,
                path,
                params=params,
                content=None if body is None else msgspec.json.encode(body),
                headers={} if body is None else {"Content-Type": content_type},
                extensions=self._extensions,
                timeout=httpx.USE_CLIENT_DEFAULT if timeout is None else timeout,
            )
        except httpx.TransportError as error:
            raise self._unreachable(error) from error
        if response.status_code >= 400:
            raise ApiError(_status(response), subject)
        return response

    def _decoded(self, response: httpx.Response) -> Json:
        try:
            return msgspec.json.decode(response.content, type=Json)
        except msgspec.DecodeError:
            server, text = self.connection.server, response.text[:80]
            raise Failure(f"{server} is no API server: it answered {response.status_code} {text!r}") from None

    def _unreachable(self, error: Exception) -> Failure:
        import httpx

        server = self.connection.server
        if isinstance(error, httpx.TimeoutException) and not isinstance(error, httpx.ConnectTimeout):
            return Unreachable(
                f"the control plane at {server} did not answer in time", "try again; look at its log"
            )
        if "CERTIFICATE_VERIFY_FAILED" in str(error):
            return Failure(
                f"the control plane at {server} is not the one of this configuration ({error})",
                "another server listens there, or its authority is new: use the kubeconfig of its state directory",
            )
        return Unreachable(
            f"the control plane at {server} cannot be reached ({error or type(error).__name__})",
            "start it: argosy server (the sidecars go on without it)",
        )


def identify(obj: Json, default_namespace: str = "default") -> tuple[Kind, str, str]:
    """(kind, namespace, name) of an object; the namespace is "" for cluster-scoped kinds. Raises Failure."""
    api_version, name = obj.get("apiVersion"), obj.get("kind")
    kind = kind_of(str(api_version), str(name))
    if kind is None:
        served = ", ".join(sorted({each.kind for each in KINDS}))
        remedy = why_elsewhere(str(api_version), str(name)) or f"the kinds are {served}"
        raise Failure(f"kind {name!r} of apiVersion {api_version!r} is not served", remedy)
    metadata = obj.get("metadata")
    metadata = metadata if isinstance(metadata, dict) else {}
    if not isinstance(metadata.get("name"), str) or not metadata["name"]:
        raise Failure(f"{kind.kind}: metadata.name: is missing", "give the object a name")
    namespace = str(metadata.get("namespace") or default_namespace) if kind.namespaced else ""
    return kind, namespace, metadata["name"]


def path_of(kind: Kind, namespace: str | None = None, name: str = "", *, version: str = "") -> str:
    """The path of an object, or of a collection (`name` ""); `namespace` None: of all namespaces."""
    chosen = version or kind.versions[0]
    parts = [f"/apis/{kind.group}/{chosen}" if kind.group else f"/api/{chosen}"]
    if namespace and kind.namespaced:
        parts += ["namespaces", quote(namespace, safe="")]
    parts += [kind.plural, *([quote(name, safe="")] if name else [])]
    return "/".join(parts)


def _version(obj: Json) -> str:
    return str(obj["apiVersion"]).rpartition("/")[2]


def _dry(dry_run: str) -> dict[str, str]:
    return _given(dryRun=dry_run)


def _given(**params: str) -> dict[str, str]:
    return {name: value for name, value in params.items() if value}


def _pinned(obj: Json) -> bool:
    """Whether the caller itself says which revision it means: then a conflict is for it to solve."""
    return bool((obj.get("metadata") or {}).get("resourceVersion"))


def _content(obj: Json) -> Json:
    noted = ("resourceVersion", "generation", "managedFields")
    metadata = {k: v for k, v in obj["metadata"].items() if k not in noted}
    return obj | {"metadata": metadata}


def _trust(connection: Connection) -> ssl.SSLContext:
    try:
        context = ssl.create_default_context(cadata=connection.ca or None)
    except (ssl.SSLError, ValueError) as error:
        raise Failure(
            f"the certificate authority for {connection.server} cannot be read: {error}",
            "use the kubeconfig that the server wrote",
        ) from error
    if connection.certificate:
        _show(context, connection)
    return context


def _show(context: ssl.SSLContext, connection: Connection) -> None:
    """From memory: the key is written nowhere."""
    handle = os.memfd_create("client", os.MFD_CLOEXEC)
    try:
        os.write(handle, f"{connection.certificate}\n{connection.key}".encode())
        context.load_cert_chain(f"/proc/self/fd/{handle}", password=_no_password)
    except (ssl.SSLError, OSError, ValueError) as error:
        raise Failure(
            f"the client certificate for {connection.server} cannot be used: it and its key do not fit",
            "have a new kubeconfig made: argosy user create",
        ) from error
    finally:
        os.close(handle)


def _in_the_clear(server: httpx.URL) -> bool:
    """Whether what is sent there can be read on the way: neither encrypted nor within this host."""
    return server.scheme != "https" and not is_loopback(server.host)


def _no_password() -> str:
    raise ValueError("the key is encrypted")


def _warnings(response: httpx.Response) -> tuple[str, ...]:
    """The texts of `Warning: 299 - "…"` headers."""
    found = []
    for value in response.headers.get_list("warning"):
        text = value.partition('"')[2].rpartition('"')[0]
        found.append(text.replace('\\"', '"').replace("\\\\", "\\"))
    return tuple(found)


def _status(response: httpx.Response) -> Json:
    """The Status of an error; one of our own where something else answered."""
    try:
        decoded = msgspec.json.decode(response.content)
    except msgspec.DecodeError:
        decoded = None
    if isinstance(decoded, dict) and decoded.get("kind") == "Status":
        return decoded
    return {
        "kind": "Status",
        "status": "Failure",
        "message": f"{response.request.url} answered {response.status_code}: {response.text[:200].strip()}",
        "code": response.status_code,
    }


def _said(status: Json, subject: str) -> str:
    """`VirtualService shop/reviews: spec.hosts: …`, a line for each cause; else the server's own words."""
    causes = [cause for cause in (status.get("details") or {}).get("causes") or [] if isinstance(cause, dict)]
    prefix = f"{subject}: " if subject else ""
    if not causes:
        return prefix + str(status.get("message") or status.get("reason") or "refused")
    lines = [
        prefix + ": ".join(part for part in (cause.get("field"), cause.get("message")) if part)
        for cause in causes
    ]
    return "\n".join(lines)


def _remedy(status: Json) -> str:
    details = status.get("details") or {}
    if status.get("reason") == "NotFound" and details.get("kind") == "namespaces":
        return f"create the namespace first: an object of kind Namespace named {details.get('name')}"
    return {
        "Unauthorized": "its token or certificate is wrong, too old or revoked: use a newer kubeconfig",
        "Forbidden": "what you may do: argosy auth can-i --list; who gives rights: docs/access.md",
        "Conflict": "read the object again and repeat the change",
        "Expired": "list again",
        "ServiceUnavailable": "look at the server's log and its disk",
        "InternalError": "look at the server's log",
    }.get(str(status.get("reason")), "")
