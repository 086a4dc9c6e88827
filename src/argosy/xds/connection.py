"""The gRPC shell of a delta ADS client: one stream, for ever, with back-off between attempts.

The channel comes from the caller for each attempt, so that certificates rotate and addresses change; it is an
asynchronous context manager (a `grpc.aio.Channel` is one, and closes itself). The machine is an `Exchange`.
"""

from __future__ import annotations

import asyncio
import contextlib
import random
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from typing import Any, Protocol

import grpc
import structlog
from msgspec import Struct

from argosy.runtime.pings import pings
from argosy.xds import wire
from argosy.xds.server import PATH
from argosy.xds.wire import Malformed, Received, Request

Log = structlog.typing.FilteringBoundLogger
OpenChannel = Callable[[], AbstractAsyncContextManager[grpc.aio.Channel]]


class Exchange(Protocol):
    """The machine that a connection drives. `now` is the monotonic clock of the event loop."""

    def upstream_connected(self, wake: Callable[[], None]) -> None:
        """A stream begins; `wake()` says that a request may have to be sent."""

    def upstream_disconnected(self) -> None: ...

    def next_request(self) -> Request | None: ...

    def on_response(self, received: Received, now: float) -> None: ...


class Backoff(Struct, frozen=True, kw_only=True):
    """Waits between attempts: doubling from `first` to `most` seconds, each a random share of 50 to 100 %."""

    first: float = 0.2
    most: float = 10.0

    def wait(self, attempt: int, chance: float) -> float:
        """Seconds before the attempt (1 is the first repetition); `chance` is in [0, 1)."""
        return float(min(self.most, self.first * 2 ** min(attempt - 1, 30)) * (0.5 + chance / 2))


def channel_options(*, keepalive: float = 20.0) -> list[tuple[str, int]]:
    """Options of a channel to a control plane: no proxy variables, no size limit, dead peers found within 30 s."""
    return [
        ("grpc.enable_http_proxy", 0),
        ("grpc.max_receive_message_length", -1),
        ("grpc.max_send_message_length", -1),
        *pings(keepalive, min(keepalive, 10)),
        ("grpc.use_local_subchannel_pool", 1),
        ("grpc.initial_reconnect_backoff_ms", 200),
        ("grpc.max_reconnect_backoff_ms", 5_000),
    ]


class Connection:
    """Keeps a stream open to the control plane until `run` is cancelled."""

    def __init__(
        self, exchange: Exchange, open_channel: OpenChannel, log: Log, *, backoff: Backoff | None = None
    ) -> None:
        self._exchange = exchange
        self._open_channel = open_channel
        self._log = log
        self._backoff = backoff or Backoff()
        self._woken = asyncio.Event()
        self._renew = asyncio.Event()
        self.connected = False
        """Whether the server has accepted the stream."""
        self.error = ""
        """Why the last attempt ended; empty while connected."""
        self.attempts = 0
        """Attempts since a server last accepted a stream."""

    def wake(self) -> None:
        """A request may have to be sent."""
        self._woken.set()

    def renew(self) -> None:
        """Opens a new stream on a new channel at once (after a certificate's rotation, or a new address)."""
        self._renew.set()
        self._woken.set()

    async def run(self) -> None:
        while True:
            self._renew.clear()
            error = await self._attempt()
            was, self.connected = self.connected, False
            if self._renew.is_set():
                continue
            if was or error != self.error:
                self._log.warning("control plane lost" if was else "control plane unreachable", error=error)
            self.error = error
            self.attempts += 1
            wait = self._backoff.wait(self.attempts, random.random())  # noqa: S311
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(wait):
                    await self._renew.wait()

    async def _attempt(self) -> str:
        """One stream from its beginning to its end; says why it ended."""
        try:
            async with self._open_channel() as channel:
                return await self._stream(channel)
        except grpc.RpcError as error:
            code = getattr(error, "code", lambda: None)()
            return f"{code.name if code else type(error).__name__}: {getattr(error, 'details', lambda: '')()}"
        except Malformed as error:
            return f"the server's answer is malformed: {error}"
        except (OSError, ValueError) as error:  # the channel could not be made: files, addresses
            return f"{type(error).__name__}: {error}"

    async def _stream(self, channel: grpc.aio.Channel) -> str:
        method: Any = channel.stream_stream  # bytes in, bytes out: no serialisers
        call = method(PATH)()
        self._exchange.upstream_connected(self.wake)
        reader = asyncio.create_task(self._read(call))
        try:
            await self._write(call, reader)
            if self._renew.is_set():
                return "renewed"
            await reader
            return "the server ended the stream"
        finally:
            self._exchange.upstream_disconnected()
            reader.cancel()
            call.cancel()
            await asyncio.wait((reader,))  # unlike `await reader`, it never swallows a cancellation of ours
            if not reader.cancelled():
                reader.exception()

    async def _read(self, call: Any) -> None:
        clock = asyncio.get_running_loop().time
        try:
            await call.initial_metadata()
            if not call.done():  # one that failed has initial metadata too: empty ones
                self._log.info("control plane connected")
                self.connected, self.error, self.attempts = True, "", 0
            async for data in call:
                received = wire.decode_response(data)
                self._exchange.on_response(received, clock())
                self._woken.set()
        finally:
            self._woken.set()

    async def _write(self, call: Any, reader: asyncio.Task[None]) -> None:
        self._woken.set()
        while not (reader.done() or self._renew.is_set()):
            await self._woken.wait()
            self._woken.clear()
            while not reader.done() and (message := self._exchange.next_request()) is not None:
                try:
                    await call.write(message.SerializeToString())
                except asyncio.InvalidStateError:  # it has just ended: the reader knows why
                    return
