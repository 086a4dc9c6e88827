"""Envoy's admin interface over its Unix socket: readiness, counters, draining.

One request a connection: the interface is asked seldom, and an Envoy that restarts leaves no dead connection behind.
Facts: https://www.envoyproxy.io/docs/envoy/latest/operations/admin
"""

from __future__ import annotations

import asyncio
from urllib.parse import quote

import h11
import msgspec
from msgspec import Struct

BODY_LIMIT = 64 << 20


class AdminError(Exception):
    """The admin interface did not answer, or not with 200."""


class _Stat(Struct, frozen=True):
    name: str = ""
    value: int | str = 0


class _Stats(Struct, frozen=True):
    stats: list[_Stat]


_stats = msgspec.json.Decoder(_Stats)


class Admin:
    """The admin interface of one Envoy."""

    def __init__(self, socket: str) -> None:
        self.socket = socket

    async def get(self, target: str, timeout: float = 5.0) -> bytes:
        return await self._exchange("GET", target, timeout)

    async def post(self, target: str, timeout: float = 5.0) -> bytes:
        return await self._exchange("POST", target, timeout)

    async def ready(self) -> bool:
        """Whether Envoy has its configuration and serves."""
        try:
            return (await self.get("/ready", 2.0)).startswith(b"LIVE")
        except AdminError:
            return False

    async def gauges(self, pattern: str) -> dict[str, int]:
        """Counters and gauges whose name matches the regular expression."""
        body = await self.get(f"/stats?format=json&type=All&filter={quote(pattern, safe='')}")
        try:
            decoded = _stats.decode(body)
        except msgspec.MsgspecError:
            # Histograms have another shape; a filter that matches one is our mistake.
            raise AdminError(f"/stats?filter={pattern}: {body[:200]!r} is not a list of numbers") from None
        return {stat.name: stat.value for stat in decoded.stats if stat.name and isinstance(stat.value, int)}

    async def _exchange(self, method: str, target: str, timeout: float) -> bytes:
        try:
            async with asyncio.timeout(timeout):
                return await self._one(method, target)
        except TimeoutError as error:
            raise AdminError(f"{method} {target}: no answer within {timeout:.0f} s") from error
        except (OSError, h11.RemoteProtocolError) as error:
            raise AdminError(f"{method} {target}: {error}") from error

    async def _one(self, method: str, target: str) -> bytes:
        reader, writer = await asyncio.open_unix_connection(self.socket)
        try:
            connection = h11.Connection(h11.CLIENT)
            headers = [("host", "admin"), ("connection", "close"), ("content-length", "0")]
            for event in (h11.Request(method=method, target=target, headers=headers), h11.EndOfMessage()):
                writer.write(connection.send(event) or b"")
            status, size = 0, 0
            body: list[bytes] = []
            while True:
                happened = connection.next_event()
                if happened is h11.NEED_DATA:
                    connection.receive_data(await reader.read(1 << 16))
                elif isinstance(happened, h11.Response):
                    status = happened.status_code
                elif isinstance(happened, h11.Data):
                    body.append(bytes(happened.data))
                    size += len(happened.data)
                    if size > BODY_LIMIT:
                        raise AdminError(f"{method} {target}: the answer is longer than {BODY_LIMIT} bytes")
                elif isinstance(happened, h11.EndOfMessage | h11.ConnectionClosed):
                    break
        finally:
            writer.close()
        if status != 200:
            raise AdminError(
                f"{method} {target}: status {status}: {b''.join(body)[:200].decode(errors='replace')}"
            )
        return b"".join(body)
