"""Where the servers of the mesh are, as far as an agent knows: `D/agent/servers.json`.

Rule: the server of this host stands first (its `server.json` says where it is now), then what the servers themselves
said last: with a proof, with a registration, and whenever one of them comes or goes. It is kept, so that an agent that
starts while one of them is away finds the others.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterable
from pathlib import Path

import msgspec
from msgspec import Struct

from argosy.runtime.log import logger
from argosy.runtime.paths import private_dir, server_info, write_private

MOST = 64

log = logger("agent")


class _Known(Struct, frozen=True, kw_only=True):
    format: int = 1
    xds: tuple[str, ...] = ()  # host:port


def addresses(state: Path, last: str = "") -> tuple[str, ...]:
    """All that are known, the one to turn to first in front; `last` is one that was known before there was a list."""
    info = server_info(state)
    local = info.xds if info else ""
    return tuple(dict.fromkeys(each for each in (local, *_read(state).xds, last) if each))


def remember(state: Path, found: Iterable[str]) -> None:
    """What a server said. An empty list says nothing."""
    now = _Known(xds=tuple(found)[:MOST])
    if not now.xds or now == _read(state):
        return
    try:
        write_private(private_dir(private_dir(state) / "agent") / "servers.json", msgspec.json.encode(now))
    except OSError as error:
        log.warning("servers not remembered", reason=str(error))


def _read(state: Path) -> _Known:
    with contextlib.suppress(OSError, msgspec.MsgspecError):
        return msgspec.json.decode((state / "agent" / "servers.json").read_bytes(), type=_Known)
    return _Known()
