"""The gRPC shell of delta ADS: streams are read, and written to with back-pressure when their session is woken.

Knows nothing of resources: a `Session` (given by `resolve`) is the machine of one stream. Used by the server for agents
and by the agent, on a Unix socket, for Envoy. Messages pass as bytes; the machine decides what they hold.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from typing import Any, Protocol, TypeAlias

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

LONGEST_MESSAGE = 16 << 20
"""Of a request. The longest brings the versions of all that a client has: some 60 bytes each."""
MOST_STREAMS = 128
"""Of one connection at once; more wait. An agent has three, a proxy one."""
LONGEST_METADATA = 32 << 10
"""Of a call, in bytes: a token in it has 16 KiB at the most."""

EOF = grpc.aio.EOF  # type: ignore[attr-defined]  # the stubs do not know it

Log = structlog.typing.FilteringBoundLogger
Context: TypeAlias = grpc.aio.ServicerContext[bytes, bytes]


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

    @property
    def may_owe(self) -> bool:
        """Whether `next_response` must be called after a request, or a response that was sent: mostly nothing
        follows."""

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

    @property
    def may_owe(self) -> bool:
        return self.stream.may_owe

    def next_response(self, now: float) -> Response | None:
        return self.stream.next_response(now)

    def disconnected(self) -> None:
        self.stream.close()
        if self._on_disconnected:
            self._on_disconnected()


def peer_of(context: Context) -> Peer:
    """The peer by its TLS certificate, as gRPC verified it."""
    auth = context.auth_context()

    def names(key: str) -> tuple[str, ...]:
        return tuple(value.decode() for value in auth.get(key, ()))

    return Peer(address=context.peer(), uris=names("peer_uri"), dns=names("peer_dns"))


def unix_time(at: float) -> float:
    """The Unix time of a moment in the event loop's clock (`Nack.at`)."""
    return time.time() - (asyncio.get_running_loop().time() - at)


def server_options(
    *, pending_requests: int = 20_000, keepalive: float = 30.0, connections: int | None = None
) -> list[tuple[str, int]]:
    """Options of a grpc.aio server that many streams connect to. `pending_requests`: streams that may begin at once
    before gRPC resets them. `keepalive`: seconds between pings that find dead peers; given up after 10 s more.
    `connections`: as many at once; more are closed as they come, before TLS costs anything."""
    bound = [] if connections is None else [("grpc.max_allowed_incoming_connections", connections)]
    return [
        *bound,
        ("grpc.max_receive_message_length", LONGEST_MESSAGE),
        ("grpc.max_concurrent_streams", MOST_STREAMS),
        ("grpc.max_metadata_size", LONGEST_METADATA),
        ("grpc.absolute_max_metadata_size", LONGEST_METADATA),
        ("grpc.max_send_message_length", -1),
        ("grpc.server_handshake_timeout_ms", 30_000),  # whoever says nothing has its connection closed
        ("grpc.server.max_pending_requests", pending_requests),
        ("grpc.server.max_pending_requests_hard_limit", pending_requests * 2),
        *pings(keepalive, min(keepalive, 10)),
        ("grpc.http2.min_ping_interval_without_data_ms", 5_000),
        ("grpc.http2.max_ping_strikes", 0),
        # No ping with what comes in, to measure the connection: what comes in is small, and every ping is a record and
        # a system call more (a fifth of the cost of a change, measured).
        ("grpc.http2.bdp_probe", 0),
        ("grpc.so_reuseport", 0),
        # 25 KB less for each of thousands of connections that are mostly silent (measured).
        ("grpc.tsi.max_frame_size", 4_096),
        ("grpc.experimental.tcp_read_chunk_size", 1_024),
        ("grpc.experimental.tcp_max_read_chunk_size", 1_024),
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

    async def _serve(self, _: object, context: Context) -> None:
        try:
            call = await self._open(context)
            if call is None:
                return
            self.streams += 1
            try:
                await call.run()
            finally:
                self.streams -= 1
        except Malformed as error:
            await context.abort(grpc.StatusCode.INVALID_ARGUMENT, str(error))

    async def _open(self, context: Context) -> Call | None:
        """The first request decides who it is. None where there is none."""
        data = await context.read()
        if data is EOF:
            return None
        first = wire.decode_request(data)
        peer = peer_of(context)
        try:
            session = await self._resolve(first.node, peer)
        except Refused as refusal:
            self._log.warning("stream refused", peer=peer.address, uris=peer.uris, reason=str(refusal))
            await context.abort(grpc.StatusCode.PERMISSION_DENIED, str(refusal))
        await context.send_initial_metadata(())  # tells the client that it is accepted
        return Call(session, context, self._log, first)


class Call:
    """One stream while it is served. The handler's task reads; there is a second one only while there is something to
    write, so that a silent stream costs little."""

    __slots__ = (
        "_again",
        "_context",
        "_failure",
        "_first",
        "_log",
        "_loop",
        "_reader",
        "_session",
        "_timer",
        "_writer",
    )

    def __init__(self, session: Session, context: Context, log: Log, first: Request) -> None:
        self._session = session
        self._context = context
        self._log = log
        self._first: Request | None = first
        self._loop = asyncio.get_running_loop()
        self._reader = asyncio.current_task()
        self._writer: asyncio.Task[None] | None = None
        self._again = False  # woken while it was writing
        self._timer: asyncio.TimerHandle | None = None
        self._failure: Exception | None = None

    async def run(self) -> None:
        """Until the client has no more to say."""
        self._session.connected(self.wake)
        try:
            self._take_first()
            while (data := await self._context.read()) is not EOF:
                self._take(wire.decode_request(data))
        except asyncio.CancelledError:
            if self._failure is None or self._reader is None:
                raise
            self._reader.uncancel()
            raise self._failure from None
        finally:
            if self._timer is not None:
                self._timer.cancel()
            writer, self._writer = self._writer, self._reader  # whoever wakes it now starts nothing
            if writer is not None:
                writer.cancel()
            self._session.disconnected()
            if writer is not None:
                await asyncio.wait((writer,))

    def _take_first(self) -> None:
        first, self._first = self._first, None  # it is large, and the stream is long
        if first is not None:
            self._take(first)

    def _take(self, request: Request) -> None:
        if request.HasField("error_detail"):
            self._log.warning(
                "resources refused",
                type=short(request.type_url),
                message=request.error_detail.message.strip(),
            )
        self._session.on_request(request, self._loop.time())
        if self._session.may_owe:
            self.wake()

    def wake(self) -> None:
        """Something may have to be sent."""
        if self._writer is None:
            self._writer = self._loop.create_task(self._write())
        else:
            self._again = True

    async def _write(self) -> None:
        session, clock = self._session, self._loop.time
        try:
            self._again = True
            while self._again:
                self._again = False
                while (response := session.next_response(clock())) is not None:
                    await self._context.write(wire.encode_response(response))
                    if not session.may_owe:
                        break
        except Exception as error:
            if self._reader is not None and self._writer is not self._reader:  # or it is ending anyway
                self._failure = error
                self._reader.cancel()
            return
        self._writer = None
        if self._timer is not None:
            self._timer.cancel()
        deadline = session.deadline
        self._timer = None if deadline is None else self._loop.call_at(deadline, self.wake)
