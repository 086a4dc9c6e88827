"""Client configuration in kubeconfig form: what the server writes and every client, kubectl too, reads.

# Kubernetes: client-go api/v1 Config (clusters, users, contexts, current-context)
"""

from __future__ import annotations

import base64
from pathlib import Path
from typing import Any

import yaml
from msgspec import Struct

from argosy.runtime.errors import Failure
from argosy.runtime.paths import write_private

Json = dict[str, Any]


class Connection(Struct, frozen=True, kw_only=True):
    """What one context of a kubeconfig says."""

    server: str  # https://host:port
    ca: str = ""  # PEM; "": the system's roots
    tls_server_name: str = ""  # the name the certificate must have; "": the host of `server`
    token: str = ""
    namespace: str = "default"


def build(connection: Connection, name: str = "argosy") -> Json:
    """A kubeconfig with one cluster, user and context, all called `name`."""
    cluster = {"server": connection.server}
    if connection.ca:
        cluster["certificate-authority-data"] = base64.b64encode(connection.ca.encode()).decode()
    if connection.tls_server_name:
        cluster["tls-server-name"] = connection.tls_server_name
    context = {"cluster": name, "user": name, "namespace": connection.namespace}
    return {
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [{"name": name, "cluster": cluster}],
        "users": [{"name": name, "user": {"token": connection.token}}],
        "contexts": [{"name": name, "context": context}],
        "current-context": name,
    }


def write(path: Path, config: Json) -> None:
    """Writes it 0600: it holds a token."""
    write_private(path, yaml.safe_dump(config, sort_keys=False).encode())


def load(path: Path, context: str | None = None) -> Connection:
    """The connection of a context (None: the current one). Raises Failure."""
    try:
        text = path.read_text()
    except FileNotFoundError:
        raise Failure(
            f"there is no client configuration {path}",
            "start the mesh: argosy server (or give its --state-dir)",
        ) from None
    except (OSError, UnicodeDecodeError) as error:
        raise Failure(f"cannot read {path}: {error}", "mend its permissions, or choose another") from error
    try:
        config = yaml.safe_load(text)
    except yaml.YAMLError as error:
        raise Failure(
            f"{path} is not YAML: {error}", "restart the server: it writes the file anew"
        ) from error
    return parse(config, context, str(path))


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
    if not isinstance(server, str) or not server.startswith(("https://", "http://")):
        raise Failure(
            f"{source}: cluster {where.get('cluster')!r}: server: {server!r} is not an https address"
        )
    token = str(user.get("token") or "")
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
        namespace=str(where.get("namespace") or "default"),
    )


def _entry(config: Json, plural: str, singular: str, name: Any, source: str) -> Json:
    listed = config.get(plural)
    entries = [each for each in listed if isinstance(each, dict)] if isinstance(listed, list) else []
    for each in entries:
        if each.get("name") == name and isinstance(each.get(singular), dict):
            found: Json = each[singular]
            return found
    names = ", ".join(str(each.get("name")) for each in entries) or "none"
    raise Failure(f"{source}: {plural}: there is no {singular} {name!r}", f"it has: {names}")


def _authority(cluster: Json, source: str) -> str:
    data, path = cluster.get("certificate-authority-data"), cluster.get("certificate-authority")
    try:
        if data:
            return base64.b64decode(str(data), validate=True).decode("ascii")
        return Path(str(path)).expanduser().read_text("ascii") if path else ""
    except (ValueError, OSError) as error:
        raise Failure(f"{source}: the cluster's certificate authority cannot be read: {error}") from error
