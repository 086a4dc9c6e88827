"""What the analysis finds about an object that is being applied, asked of a server that has one: it is where the whole
mesh is, at those that serve proxies.

Who applies waits for it, so the connection is kept, and one that fails is made anew.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Sequence
from typing import Any

import grpc
import msgspec

from argosy.explain.analysis.applied import Warned
from argosy.runtime.log import logger
from argosy.server.fleet import AskWarnings, Fleet, ask_on

WITHIN = 3.0  # seconds: nobody waits longer for what is a warning alone

log = logger("analysis")

_warned = msgspec.json.Decoder(tuple[Warned, ...])


class Advice:
    def __init__(self, fleet: Fleet) -> None:
        self._fleet = fleet
        self._channel: grpc.aio.Channel | None = None
        self._to = ("", "")  # address, and the own certificate that it knows us by

    async def warnings(self, obj: dict[str, Any], revision: int) -> Sequence[Warned] | None:
        """By a server that has seen what is stored by `revision`; None: nobody answers who could."""
        question = AskWarnings(msgspec.Raw(msgspec.json.encode(obj)), revision)
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(WITHIN):
                for server in sorted(self._fleet.others, key=lambda one: one.xds != self._to[0]):
                    if not server.xds:
                        continue
                    try:
                        return _warned.decode(await ask_on(await self._kept(server.xds), question, WITHIN))
                    except (grpc.RpcError, OSError, msgspec.MsgspecError) as error:
                        log.warning("object not analysed", server=server.id, error=repr(error)[:300])
                        await self.close()
        return None

    async def _kept(self, address: str) -> grpc.aio.Channel:
        to = (address, self._fleet.certificate.current.chain)
        before = self._channel
        if before is not None and self._to == to:
            return before
        made = self._fleet.channel(address)
        self._channel, self._to = made, to
        if before is not None:
            await before.close(WITHIN)
        return made

    async def close(self) -> None:
        """Who still waits for an answer gets it, or his time is up."""
        channel, self._channel = self._channel, None
        if channel is not None:
            await channel.close(WITHIN)
