"""Where things live: the state directory (durable), and a short runtime directory (sockets).

A Unix socket path holds 108 bytes, so sockets never live below the state directory: the runtime directory is short and
derived from the state directory, so that any of our programs finds it.

    D = --state-dir | $ARGOSY_STATE_DIR | $XDG_STATE_HOME/argosy | ~/.local/state/argosy
        kubeconfig        client configuration (0600)
        server.json       what runs here and where it listens (ServerInfo)
        server-ROLE.lock  held by the process that has the role
        argosy.db         the store
        secrets.key       the keys that Secrets are sealed with (0600)
        ca/               root and issuing keys (0600); without the root's, of a server that joined
        server.id         what the server is called among those of its mesh
        agent/            the agent's own state, one folder a workload
        agent/servers.json  where all servers are, as they said last
        agent/server.json where the server of another user is (ServerInfo), for agents that were told its socket
    R = $XDG_RUNTIME_DIR/argosy/<hash of D> | /tmp/argosy-<uid>/<hash of D>
        attest.sock       the server's attestation socket
        api.sock          the server's API, for this host
        agent.sock        the agent's control socket
        <workload>/…      sockets of each sidecar
"""

from __future__ import annotations

import contextlib
import hashlib
import os
from pathlib import Path

import msgspec
from msgspec import Struct

from argosy.runtime.errors import Failure


class ServerInfo(Struct, frozen=True, kw_only=True):
    """What a running server listens on, written to `D/server.json` so that agents and commands find it."""

    pid: int  # 0: another user's, known from its attestation
    version: str
    trust_domain: str
    roles: tuple[str, ...]
    api: str = ""  # https://host:port
    api_socket: str = ""
    ca: str = ""  # host:port
    xds: str = ""  # host:port
    status: str = ""  # http://host:port of /healthz, /readyz, /metrics
    attest_socket: str = ""
    pids: dict[str, int] = {}  # role -> pid, where processes share the roles


def state_dir(chosen: str | os.PathLike[str] | None = None) -> Path:
    """The state directory, absolute; not created."""
    if chosen:
        return Path(chosen).expanduser().absolute()
    if named := os.environ.get("ARGOSY_STATE_DIR"):
        return Path(named).expanduser().absolute()
    base = os.environ.get("XDG_STATE_HOME") or "~/.local/state"
    return Path(base).expanduser().absolute() / "argosy"


def runtime_dir(state: Path) -> Path:
    """The runtime directory that belongs to a state directory; not created."""
    digest = hashlib.sha256(str(state.resolve()).encode()).hexdigest()[:8]
    base = os.environ.get("XDG_RUNTIME_DIR")
    if base and len(base) < 40 and Path(base).is_dir():
        return Path(base) / "argosy" / digest
    return Path(f"/tmp/argosy-{os.getuid()}") / digest  # noqa: S108


def make_runtime_dir(state: Path) -> Path:
    """Creates the runtime directory. Its parent must be ours as well: who owns it could put another in its place."""
    directory = runtime_dir(state)
    if directory.parent.is_symlink():
        raise Failure(
            f"{directory.parent} is a symbolic link, which anybody can put there",
            "remove it, or set XDG_RUNTIME_DIR",
        )
    private_dir(directory.parent)
    if directory.parent.lstat().st_uid != os.getuid():  # looked at again, now that nobody else may change it
        raise Failure(f"{directory.parent} belongs to another user", "remove it, or set XDG_RUNTIME_DIR")
    return private_dir(directory)


def server_info(state: Path) -> ServerInfo | None:
    """The server of this state directory, as it wrote last (it may have stopped since); else another user's."""
    for file in (state / "server.json", other_server(state)):
        with contextlib.suppress(OSError, msgspec.MsgspecError):
            return msgspec.json.decode(file.read_bytes(), type=ServerInfo)
    return None


def other_server(state: Path) -> Path:
    return state / "agent" / "server.json"


def use_server(state: Path, attest_socket: str) -> None:
    """From now on the agent of this state directory turns to the server whose attestation socket this is.

    Raises Failure where the state directory is a server's own.
    """
    if (state / "kubeconfig").exists():
        raise Failure(
            f"--attest-socket {attest_socket}: {state} has a control plane of its own",
            "leave the flag out, or choose another directory with --state-dir",
            code=2,
        )
    path = str(Path(attest_socket).expanduser().absolute())
    known = server_info(state)
    if known is None or known.attest_socket != path:
        private_dir(private_dir(state) / "agent")
        info = ServerInfo(pid=0, version="", trust_domain="", roles=(), attest_socket=path)
        write_private(other_server(state), msgspec.json.encode(info))


def leave_runtime_dir(state: Path) -> None:
    """Removes the runtime directory, and its parent, where nothing of anybody is left in them."""
    directory = runtime_dir(state)
    with contextlib.suppress(OSError):
        directory.rmdir()
        directory.parent.rmdir()


def private_dir(path: Path) -> Path:
    """Creates a directory that only this user may enter. Raises Failure where another user owns it."""
    try:
        path.mkdir(mode=0o700, parents=True, exist_ok=True)
    except OSError as error:
        raise Failure(f"cannot create {path}: {error.strerror}", "choose another with --state-dir") from error
    status = path.stat()
    if status.st_uid != os.getuid():
        raise Failure(
            f"{path} belongs to another user (uid {status.st_uid})",
            "choose another: with --state-dir, or for sockets with XDG_RUNTIME_DIR",
        )
    if status.st_mode & 0o077:
        path.chmod(0o700)
    return path


def write_private(path: Path, data: bytes) -> None:
    """Writes a file 0600 whole or not at all (a new file, then a rename)."""
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    handle = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    try:
        with os.fdopen(handle, "wb") as out:
            out.write(data)
            out.flush()
            os.fsync(out.fileno())
        temporary.replace(path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise
