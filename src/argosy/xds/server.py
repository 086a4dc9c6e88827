"""The gRPC shell of delta ADS: one task per stream, woken by an event, writing with back-pressure.

Knows nothing of resources: a `Session` (given by `resolve`) is the machine of one stream. Used by the server for agents
and by the agent, on a Unix socket, for Envoy. Messages pass as bytes; the machine decides what they hold.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import AsyncIterable, Awaitable, Callable
from typing import Any, Protocol

import grpc
import structlog
from msgspec import Struct

from argosy.runtime.pings import pings
from argosy.xds import wire
from argosy.xds.stream import Stream
from argosy.xds.types import short
from argosy.xds.wire import Malformed, Node, Request, Response

SERVICE = "envoy.service.discovery.v3.AggregatedDiscoveryService"
METHOD = "DeltaAggregatedResources"
PATH = f"/{SERVICE}/{METHOD}"

Log = structlog.typing.FilteringBoundLogger


class Peer(Struct, frozen=True, kw_only=True):
    """Who is at the other end, by its verified certificate; on a Unix socket or without TLS there are no names."""

    address: str
    uris: tuple[str, ...] = ()  # URI SANs: SPIFFE identities
    dns: tuple[str, ...] = ()  # DNS SANs


class Refused(Exception):
    """A session is refused; the message tells the peer why and what to do."""


class Session(Protocol):
    """The machine of one stream, as the shell drives it. `now` is the monotonic clock of the event loop."""

    @property
    def deadline(self) -> float | None:
        """When `next_response` may give something although nothing happened."""

    def connected(self, wake: Callable[[], None]) -> None:
        """The stream begins; `wake()` says that something may have to be sent."""

    def on_request(self, request: Request, now: float) -> None: ...

    def next_response(self, now: float) -> Response | None: ...

    def disconnected(self) -> None:
        """The stream is over; called once after `connected`."""


Resolve = Callable[[Node, Peer], Awaitable[Session]]


class StreamSession:
    """A Session that is a Stream, with callbacks for who has to know: on connect, disconnect, and whenever a request
    (a subscription, an ACK, a NACK) may have changed the stream's status."""

    def __init__(
        self,
        stream: Stream,
        *,
        on_connected: Callable[[], None] | None = None,
        on_disconnected: Callable[[], None] | None = None,
        on_status: Callable[[str], None] | None = None,
    ) -> None:
        self.stream = stream
        self._on_connected = on_connected
        self._on_disconnected = on_disconnected
        self._on_status = on_status

    @property
    def deadline(self) -> float | None:
        return self.stream.deadline

    def connected(self, wake: Callable[[], None]) -> None:
        self.stream.on_wake(wake)
        if self._on_connected:
            self._on_connected()

    def on_request(self, request: Request, now: float) -> None:
        self.stream.on_request(request, now)
        if self._on_status:
            self._on_status(request.type_url)

    def next_response(self, now: float) -> Response | None:
        return self.stream.next_response(now)

    def disconnected(self) -> None:
        self.stream.close()
        if self._on_disconnected:
            self._on_disconnected()


def peer_of(context: grpc.aio.ServicerContext[Any, Any]) -> Peer:
    """The peer by its TLS certificate, as gRPC verified it."""
    auth = context.auth_context()

    def names(key: str) -> tuple[str, ...]:
        return tuple(value.decode() for value in auth.get(key, ()))

    return Peer(address=context.peer(), uris=names("peer_uri"), dns=names("peer_dns"))


def unix_time(at: float) -> float:
    """The Unix time of a moment in the event loop's clock (`Nack.at`)."""
    return time.time() - (asyncio.get_running_loop().time() - at)


def server_options(*, pending_requests: int = 20_000, keepalive: float = 30.0) -> list[tuple[str, int]]:
    """Options of a grpc.aio server that many streams connect to. `pending_requests`: streams that may begin at once
    before gRPC resets them. `keepalive`: seconds between pings that find dead peers; given up after 10 s more."""
    return [
        ("grpc.max_receive_message_length", 64 << 20),
        ("grpc.max_send_message_length", -1),
        ("grpc.server.max_pending_requests", pending_requests),
        ("grpc.server.max_pending_requests_hard_limit", pending_requests * 2),
        *pings(keepalive, min(keepalive, 10)),
        ("grpc.http2.min_ping_interval_without_data_ms", 5_000),
        ("grpc.http2.max_ping_strikes", 0),
        ("grpc.so_reuseport", 0),
        # 20 KB less for each of thousands of connections that are mostly silent (measured).
        ("grpc.tsi.max_frame_size", 4_096),
        ("grpc.experimental.tcp_read_chunk_size", 1_024),
        ("grpc.experimental.tcp_max_read_chunk_size", 8_192),
    ]


class AdsService:
    """Delta ADS as a generic handler: `server.add_generic_rpc_handlers((service.handler(),))`."""

    def __init__(self, resolve: Resolve, log: Log) -> None:
        self._resolve = resolve
        self._log = log
        self.streams = 0

    def handler(self) -> grpc.GenericRpcHandler[Any, Any]:
        method = grpc.stream_stream_rpc_method_handler(self._serve)
        return grpc.method_handlers_generic_handler(SERVICE, {METHOD: method})

    async def _serve(
        self, requests: AsyncIterable[bytes], context: grpc.aio.ServicerContext[bytes, bytes]
    ) -> None:
        incoming = aiter(requests)
        try:
            first = wire.decode_request(await anext(incoming))
        except StopAsyncIteration:
            return
        except Malformed as error:
            await context.abort(grpc.StatusCode.INVALID_ARGUMENT, str(error))
        peer = peer_of(context)
        try:
            session = await self._resolve(first.node, peer)
        except Refused as refusal:
            self._log.warning("stream refused", peer=peer.address, uris=peer.uris, reason=str(refusal))
            await context.abort(grpc.StatusCode.PERMISSION_DENIED, str(refusal))
        await context.send_initial_metadata(())  # tells the client that it is accepted
        await self._run(session, first, incoming, context)

    async def _run(
        self,
        session: Session,
        first: Request,
        incoming: Any,
        context: grpc.aio.ServicerContext[bytes, bytes],
    ) -> None:
        woken = asyncio.Event()
        session.connected(woken.set)
        self.streams += 1
        reader: asyncio.Task[None] | None = None
        try:
            session.on_request(first, asyncio.get_running_loop().time())
            reader = asyncio.create_task(self._read(session, incoming, woken))
            await self._write(session, reader, woken, context)
            reader.result()
        except Malformed as error:
            await context.abort(grpc.StatusCode.INVALID_ARGUMENT, str(error))
        finally:
            self.streams -= 1
            session.disconnected()
            if reader is not None:
                reader.cancel()
                await asyncio.wait((reader,))
                if not reader.cancelled():
                    reader.exception()

    async def _read(self, session: Session, incoming: Any, woken: asyncio.Event) -> None:
        clock = asyncio.get_running_loop().time
        try:
            async for data in incoming:
                request = wire.decode_request(data)
                if request.HasField("error_detail"):
                    self._log.warning(
                        "resources refused",
                        type=short(request.type_url),
                        message=request.error_detail.message.strip(),
                    )
                session.on_request(request, clock())
                woken.set()
        finally:
            woken.set()

    async def _write(
        self,
        session: Session,
        reader: asyncio.Task[None],
        woken: asyncio.Event,
        context: grpc.aio.ServicerContext[bytes, bytes],
    ) -> None:
        clock = asyncio.get_running_loop().time
        while not reader.done():
            woken.clear()
            while (response := session.next_response(clock())) is not None:
                await context.write(wire.encode_response(response))
            if (deadline := session.deadline) is None:
                await woken.wait()
                continue
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(max(0.0, deadline - clock())):
                    await woken.wait()
