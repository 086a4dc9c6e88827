"""`D/server.json`: what runs on a state directory and where it listens, for agents and commands of this host.

Processes that share the roles of one state directory write one file together: each puts in its own part under a lock,
and takes it out when it stops. What a process that was killed has left there is replaced by the next with its role.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable
from pathlib import Path

import msgspec

from argosy.runtime.locks import alone
from argosy.runtime.paths import ServerInfo, write_private

ADDRESSES = {"api": ("api", "api_socket"), "xds": ("xds",), "ca": ("ca", "attest_socket")}
"""The fields of each role."""
FIRST = ("xds", "ca", "api")
"""Whose pid stands for all: what serves proxies, first."""


def publish(state: Path, own: ServerInfo) -> None:
    """Writes the part of this process; `own.pids` has its roles."""

    def change(there: ServerInfo | None) -> ServerInfo:
        base = _without(there, own.roles)
        if base is None:
            return own
        fields = {name: getattr(own, name) for role in own.roles for name in ADDRESSES[role]}
        merged = msgspec.structs.replace(
            base,
            version=own.version,
            trust_domain=own.trust_domain,
            roles=tuple(role for role in ADDRESSES if role in base.pids | own.pids),
            status=own.status,
            **fields,
        )
        return _with_pids(merged, base.pids | own.pids)

    _update(state, change)


def withdraw(state: Path, roles: tuple[str, ...]) -> None:
    """Takes out the part of this process."""
    with contextlib.suppress(OSError):
        _update(state, lambda there: _without(there, roles))


def _without(info: ServerInfo | None, roles: tuple[str, ...]) -> ServerInfo | None:
    """What is left without these roles, and without those whose process is gone; None where nothing is."""
    if info is None:
        return None
    pids = {role: pid for role, pid in info.pids.items() if role not in roles and _alive(pid)}
    if not pids:
        return None
    gone = {name: "" for role, names in ADDRESSES.items() if role not in pids for name in names}
    left = msgspec.structs.replace(info, roles=tuple(role for role in ADDRESSES if role in pids), **gone)
    return _with_pids(left, pids)


def _with_pids(info: ServerInfo, pids: dict[str, int]) -> ServerInfo:
    first = next(role for role in FIRST if role in pids)
    return msgspec.structs.replace(info, pids=pids, pid=pids[first])


def _alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True


def _update(state: Path, change: Callable[[ServerInfo | None], ServerInfo | None]) -> None:
    path = state / "server.json"
    with alone(state / "server.json.lock"):
        there = None
        with contextlib.suppress(OSError, msgspec.MsgspecError):
            there = msgspec.json.decode(path.read_bytes(), type=ServerInfo)
        after = change(there)
        if after is None:
            path.unlink(missing_ok=True)
        else:
            write_private(path, msgspec.json.encode(after))
