"""Client configuration in kubeconfig form: what the server writes and every client, kubectl too, reads.

# Kubernetes: client-go api/v1 Config (clusters, users, contexts, current-context)
"""

from __future__ import annotations

import base64
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import yaml
from msgspec import Struct

from argosy.runtime.errors import Failure
from argosy.runtime.paths import write_private

Json = dict[str, Any]


class Connection(Struct, frozen=True, kw_only=True):
    """What one context of a kubeconfig says."""

    server: str  # https://host:port, or unix:///path of the API's socket on this host
    ca: str = ""  # PEM; "": the system's roots
    tls_server_name: str = ""  # the name the certificate must have; "": the host of `server`
    token: str = ""
    certificate: str = ""  # PEM, what the client shows; its key beside it
    key: str = ""
    namespace: str = "default"
    acts_as: tuple[tuple[str, str], ...] = ()  # headers of impersonation: (Impersonate-User, carol)…


def build(connection: Connection, name: str = "argosy") -> Json:
    """A kubeconfig with one cluster, user and context, all called `name`."""
    cluster = {"server": connection.server}
    if connection.ca:
        cluster["certificate-authority-data"] = base64.b64encode(connection.ca.encode()).decode()
    if connection.tls_server_name:
        cluster["tls-server-name"] = connection.tls_server_name
    context = {"cluster": name, "user": name, "namespace": connection.namespace}
    user = {"token": connection.token} if connection.token else {}
    if connection.certificate:
        user["client-certificate-data"] = base64.b64encode(connection.certificate.encode()).decode()
        user["client-key-data"] = base64.b64encode(connection.key.encode()).decode()
    return {
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [{"name": name, "cluster": cluster}],
        "users": [{"name": name, "user": user}],
        "contexts": [{"name": name, "context": context}],
        "current-context": name,
    }


def text_of(config: Json) -> bytes:
    return yaml.safe_dump(config, sort_keys=False).encode()


def write(path: Path, config: Json) -> None:
    """Writes it 0600: it holds a token, or a key."""
    write_private(path, text_of(config))


def load(path: Path, context: str | None = None) -> Connection:
    """The connection of a context (None: the current one). Raises Failure."""
    return parse(read(path), context, str(path))


def read(path: Path) -> Any:
    """The document of a file. Raises Failure."""
    try:
        text = path.read_text()
    except FileNotFoundError:
        raise Failure(
            f"there is no client configuration {path}",
            "start the mesh: argosy server (or give its --state-dir)",
        ) from None
    except (OSError, UnicodeDecodeError) as error:
        raise Failure(f"cannot read {path}: {error}", "mend its permissions, or choose another") from error
    return absolute(parsed(text, str(path)), path.parent)


def parsed(text: str, source: str = "kubeconfig") -> Any:
    """The document of a text. Raises Failure."""
    try:
        return yaml.safe_load(text)
    except yaml.YAMLError as error:
        raise Failure(
            f"{source} is not YAML: {error}", "restart the server: it writes the file anew"
        ) from error


def merged(documents: Sequence[Any]) -> Any:
    """Several files as one, as the variable KUBECONFIG names them: what an earlier one says, counts."""
    whole: Json = {}
    for one in documents:
        for field, value in one.items() if isinstance(one, dict) else ():
            if isinstance(value, list):
                names = [_name(each) for each in whole.get(field, ())]
                whole[field] = [*whole.get(field, ()), *(each for each in value if _name(each) not in names)]
            elif not whole.get(field):
                whole[field] = value
    return whole


def absolute(config: Any, folder: Path) -> Any:
    """With the files that it names found from its own folder, as they are meant."""
    for plural, singular, fields in (
        ("clusters", "cluster", ("certificate-authority",)),
        ("users", "user", ("client-certificate", "client-key", "tokenFile")),
    ):
        for each in _entries(config, plural):
            held = each.get(singular)
            if isinstance(held, dict):
                named = {
                    field: held[field] for field in fields if isinstance(held.get(field), str) and held[field]
                }
                held |= {field: str(folder / Path(file).expanduser()) for field, file in named.items()}
    return config


def parse(config: Any, context: str | None = None, source: str = "kubeconfig") -> Connection:
    """As `load`, of the document itself; `source` is named in errors."""
    if not isinstance(config, dict):
        raise Failure(
            f"{source} is not a kubeconfig: it is no object", "restart the server: it writes the file anew"
        )
    chosen = context or config.get("current-context") or ""
    where = _entry(config, "contexts", "context", chosen, source)
    cluster = _entry(config, "clusters", "cluster", where.get("cluster"), source)
    user = _entry(config, "users", "user", where.get("user"), source) if where.get("user") else {}
    server = cluster.get("server")
    if not isinstance(server, str) or not server.startswith(("https://", "http://", "unix:///")):
        raise Failure(
            f"{source}: cluster {where.get('cluster')!r}: server: {server!r} is not an https address"
        )
    if cluster.get("insecure-skip-tls-verify"):
        raise Failure(
            f"{source}: cluster {where.get('cluster')!r}: insecure-skip-tls-verify: the server is always verified",
            "give it certificate-authority-data in its place",
        )
    for field in ("exec", "auth-provider", "username", "as-user-extra"):
        if user.get(field):
            raise Failure(
                f"{source}: user {where.get('user')!r}: {field}: is not supported",
                "use a token, or client-certificate-data with client-key-data",
            )
    token = str(user.get("token") or "") or _file(user.get("tokenFile"), source).strip()
    certificate = _data(user, "client-certificate", source)
    key = _data(user, "client-key", source)
    if bool(certificate) != bool(key):
        raise Failure(
            f"{source}: user {where.get('user')!r}: client-certificate and client-key belong together",
            "give both, or neither",
        )
    if not token.isascii() or not token.isprintable():
        raise Failure(
            f"{source}: user {where.get('user')!r}: token: is not one",
            "use the kubeconfig that the server wrote",
        )
    return Connection(
        server=server.rstrip("/"),
        ca=_authority(cluster, source),
        tls_server_name=str(cluster.get("tls-server-name") or ""),
        token=token,
        certificate=certificate,
        key=key,
        namespace=str(where.get("namespace") or "default"),
        acts_as=_acts_as(user),
    )


def _acts_as(user: Json) -> tuple[tuple[str, str], ...]:
    groups = user.get("as-groups")
    return acting_as(user.get("as"), groups if isinstance(groups, list) else (), user.get("as-uid"))


def acting_as(name: Any, groups: Iterable[Any] = (), uid: Any = "") -> tuple[tuple[str, str], ...]:
    """The headers with which `kubectl --as` says it; what is there is sent, for the server to judge."""
    named = (
        ("Impersonate-User", name),
        ("Impersonate-Uid", uid),
        *(("Impersonate-Group", group) for group in groups),
    )
    return tuple((header, str(value)) for header, value in named if value)


def contexts(config: Any) -> list[Json]:
    """`{"name", "cluster", "user", "namespace", "current"}` of each, in order."""
    current = config.get("current-context") if isinstance(config, dict) else None
    found = []
    for each in _entries(config, "contexts"):
        held = each.get("context")
        held = held if isinstance(held, dict) else {}
        said = {field: str(held.get(field) or "") for field in ("cluster", "user", "namespace")}
        found.append({"name": _name(each), **said, "current": _name(each) == current})
    return found


def _entry(config: Json, plural: str, singular: str, name: Any, source: str) -> Json:
    entries = _entries(config, plural)
    for each in entries:
        if each.get("name") == name and isinstance(each.get(singular), dict):
            found: Json = each[singular]
            return found
    names = ", ".join(str(each.get("name")) for each in entries) or "none"
    raise Failure(f"{source}: {plural}: there is no {singular} {name!r}", f"it has: {names}")


def _entries(config: Any, plural: str) -> list[Json]:
    listed = config.get(plural) if isinstance(config, dict) else None
    return [each for each in listed if isinstance(each, dict)] if isinstance(listed, list) else []


def _name(entry: Any) -> str:
    return str(entry.get("name") or "") if isinstance(entry, dict) else ""


def _authority(cluster: Json, source: str) -> str:
    return _data(cluster, "certificate-authority", source)


def _data(held: Json, field: str, source: str) -> str:
    """`FIELD-data` in base64, else the content of the file that FIELD names."""
    if data := held.get(f"{field}-data"):
        try:
            return base64.b64decode(str(data), validate=True).decode("ascii")
        except ValueError as error:
            raise Failure(f"{source}: {_TITLES[field]} cannot be read: it is no base64 of PEM") from error
    return _file(held.get(field), source, _TITLES[field])


def _file(path: Any, source: str, title: str = "the user's token") -> str:
    try:
        return Path(str(path)).expanduser().read_text("ascii") if path else ""
    except (ValueError, OSError) as error:
        raise Failure(f"{source}: {title} cannot be read: {error}") from error


_TITLES = {
    "certificate-authority": "the cluster's certificate authority",
    "client-certificate": "the user's certificate",
    "client-key": "the user's key",
}
