"""Calls to an etcd cluster: one that answers is found, and a call ends within its time, with a clear error if need be.

Only the messages and stubs of `aetcd` are used (`aetcd.rpc`, generated from etcd's own definitions). Its client is not:
version 1.0 has no TLS, one endpoint, never renews the token of a password, and ends a watch when a connection ends.

Rules:
* One endpoint at a time; another is tried when this one fails or has no leader (metadata `hasleader`).
* Streams follow: one that was opened at an endpoint that has failed since ends, even where its connection stays open
  (a member that hangs), so that nobody is told late what the calls know already.
* A read is repeated until its time is over. A write is repeated too, as all of ours are guarded by a comparison: it
  happens at most once. Who asks is told whether an earlier attempt may have been carried out (`Answer.repeated`).
# etcd: api/v3rpc/rpctypes/error.go (messages of errors), clientv3/retry_interceptor.go (which are safe to repeat)
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import grpc
import grpc.aio
from aetcd import rpc

from argosy.runtime.errors import Failure
from argosy.runtime.pings import pings
from argosy.store.base import NotFound, StoreError, TooLarge, Unavailable
from argosy.store.etcd.address import EtcdAddress, read

HAS_LEADER = ("hasleader", "true")
ATTEMPT_SECONDS = 2.0  # then another endpoint is asked
PAUSE_SECONDS = 0.1
OPTIONS = (
    ("grpc.max_receive_message_length", -1),
    ("grpc.max_send_message_length", -1),
    ("grpc.enable_retries", 0),
    # etcd cuts who pings more often than every 5 s (--grpc-keepalive-min-time).
    *pings(10, 5, idle=False),
    ("grpc.initial_reconnect_backoff_ms", 100),
    # Also the time that a connection has to come about, TLS and all.
    ("grpc.min_reconnect_backoff_ms", 2_000),
    ("grpc.max_reconnect_backoff_ms", 1_000),
    ("grpc.use_local_subchannel_pool", 1),
)
NOT_SENT = "failed to connect to all addresses"
OLD_TOKEN = ("invalid auth token", "revision of auth store is old")
NAMELESS = "user name is empty"
CLOSED = (grpc.StatusCode.PERMISSION_DENIED, grpc.StatusCode.UNAUTHENTICATED)
EOF = grpc.aio.EOF  # type: ignore[attr-defined]  # the types of grpc.aio do not know it
FOR_ANOTHER = (
    grpc.StatusCode.UNAVAILABLE,
    grpc.StatusCode.DEADLINE_EXCEEDED,
    grpc.StatusCode.CANCELLED,
    grpc.StatusCode.INTERNAL,  # a connection that is cut in the middle of an answer
)


class OutOfRange(StoreError):
    """etcd has forgotten that revision, or does not know it yet; the message is etcd's."""


class Answer(NamedTuple):
    message: Any
    repeated: bool  # an attempt before this one may have been carried out


class Channel(NamedTuple):
    channel: grpc.aio.Channel
    kv: Any
    lease: Any
    watch: Any
    auth: Any
    maintenance: Any


class Client:
    """Belongs to the event loop it is used in."""

    def __init__(self, address: EtcdAddress) -> None:
        self.address = address
        # One endpoint that hangs leaves time for the others.
        self._attempt = min(ATTEMPT_SECONDS, address.timeout / len(address.endpoints))
        self._files = self._read_files()
        self._channels: dict[str, Channel] = {}
        self._chosen = 0
        self._streams: set[Any] = set()  # at the endpoint in use
        self._token = ""
        self._closed = False

    # --- calls ---

    async def call(self, choose: Callable[[Channel], Any], request: Any) -> Answer:
        """One answer from some endpoint. `choose` is the method. Raises Unavailable, OutOfRange, TooLarge."""
        loop = asyncio.get_running_loop()
        until = loop.time() + self.address.timeout
        repeated, why = False, ""
        while (left := until - loop.time()) > 0:
            if self._closed:
                raise self.gone()
            chosen = self._chosen
            try:
                metadata = await self.metadata(left)
                message = await choose(self.channel())(
                    request, timeout=min(left, self._attempt), metadata=metadata
                )
                return Answer(message, repeated)
            except grpc.aio.AioRpcError as error:
                why = self.judge(error)
                repeated = repeated or NOT_SENT not in (error.details() or "")
                await self.fail_over(chosen)
            except asyncio.CancelledError:
                # grpc.aio says so too when the channel is closed under the call.
                if (task := asyncio.current_task()) and task.cancelling():
                    raise
                repeated, why = True, "the connection was closed"
            except grpc.aio.UsageError:
                repeated, why = True, "the connection was closed"
            await asyncio.sleep(min(PAUSE_SECONDS, max(0.0, until - loop.time())))
        raise Unavailable(f"{self.address} does not answer ({why}): is etcd up, and does it have a leader?")

    async def range(self, **fields: Any) -> Any:
        return (await self.call(lambda c: c.kv.Range, rpc.RangeRequest(**fields))).message

    async def keep_alive(self, lease: int) -> int:
        """Renews a lease: the seconds it has from now; 0 where there is none. Raises Unavailable."""

        def choose(channel: Channel) -> Any:
            async def ask(request: Any, *, timeout: float, metadata: Any) -> Any:
                stream = channel.lease.LeaseKeepAlive(timeout=timeout, metadata=metadata)
                try:
                    await stream.write(request)
                    return await stream.read()
                finally:
                    stream.cancel()

            return ask

        answer = (await self.call(choose, rpc.LeaseKeepAliveRequest(ID=lease))).message
        if answer is EOF:
            raise Unavailable(f"{self.address} ended the renewal of a lease")
        return int(answer.TTL)

    # --- what a stream needs, which calls this for itself ---

    def channel(self) -> Channel:
        """The one in use. Raises Unavailable when closed."""
        if self._closed:
            raise self.gone()
        endpoint = self.address.endpoints[self._chosen % len(self.address.endpoints)]
        if endpoint not in self._channels:
            self._channels[endpoint] = self._open(endpoint)
        return self._channels[endpoint]

    @property
    def chosen(self) -> int:
        """Names the endpoint in use: it is another number after each failure."""
        return self._chosen

    @property
    def closed(self) -> bool:
        return self._closed

    async def fail_over(self, chosen: int) -> None:
        """The endpoint `chosen` has failed: the next one is used, unless somebody has moved on already."""
        if chosen != self._chosen or self._closed:
            return
        self._chosen += 1
        for stream in self._streams:
            stream.cancel()
        try:
            files = self._read_files()
        except Failure:
            return  # they are being replaced: what we have goes on
        if files != self._files:
            self._files = files
            await self._close_channels()

    @contextlib.contextmanager
    def following(self, stream: Any) -> Iterator[None]:
        """For as long as a stream of the endpoint in use is read: it is cancelled when that fails, or this ends."""
        self._streams.add(stream)
        try:
            yield
        finally:
            self._streams.discard(stream)
            stream.cancel()

    async def metadata(self, timeout: float) -> tuple[tuple[str, str], ...]:
        """Raises AioRpcError, Unavailable."""
        if not self.address.user:
            return (HAS_LEADER,)
        if not self._token:
            request = rpc.AuthenticateRequest(name=self.address.user, password=self._password())
            answer = await self.channel().auth.Authenticate(
                request, timeout=min(timeout, self._attempt), metadata=(HAS_LEADER,)
            )
            self._token = answer.token
        return (HAS_LEADER, ("token", self._token))

    def judge(self, error: grpc.aio.AioRpcError) -> str:
        """Why another attempt may help. Raises what it amounts to where none would."""
        code, details = error.code(), error.details() or ""
        if self.outdated(details):
            return details
        match code:
            case _ if code in FOR_ANOTHER:
                return details or code.name
            case grpc.StatusCode.OUT_OF_RANGE:
                raise OutOfRange(details) from error
            case grpc.StatusCode.NOT_FOUND:
                raise NotFound(f"{self.address}: {details}") from error
            case grpc.StatusCode.INVALID_ARGUMENT if "too large" in details:
                raise TooLarge(f"{self.address}: {details}: store smaller objects") from error
            case grpc.StatusCode.RESOURCE_EXHAUSTED if "space" in details:
                raise Unavailable(
                    f"the database of {self.address} is full ({details}): raise etcd's --quota-backend-bytes, or "
                    "compact and defragment it; then etcdctl alarm disarm"
                ) from error
            case _ if code in CLOSED or NAMELESS in details:
                raise Unavailable(
                    f"{self.address} refuses {self._who()} ({details}): it needs a role with readwrite on the prefix "
                    f"{self.address.prefix}/"
                ) from error
            case grpc.StatusCode.INVALID_ARGUMENT if "authentication failed" in details:
                raise Unavailable(
                    f"{self.address} refuses {self._who()}: the name or the password is wrong"
                ) from error
        raise Unavailable(f"{self.address}: {details or code.name}") from error

    def outdated(self, details: str) -> bool:
        """Whether an error means that we have to prove again who we are; we do, at the next attempt."""
        if self._token and any(words in details for words in OLD_TOKEN):
            self._token = ""
            return True
        return False

    def gone(self) -> Unavailable:
        return Unavailable(f"the store {self.address} is closed")

    async def close(self) -> None:
        self._closed = True
        await self._close_channels()

    async def _close_channels(self) -> None:
        channels, self._channels = self._channels, {}
        await asyncio.gather(*(one.channel.close(None) for one in channels.values()))

    def _password(self) -> str:
        try:
            return self.address.password()
        except Failure as failure:
            raise Unavailable(f"{failure.what}: {failure.remedy}") from failure

    def _who(self) -> str:
        return (
            f"the user {self.address.user}" if self.address.user else "this server, which has named no user"
        )

    def _read_files(self) -> tuple[bytes | None, ...]:
        """CA, key, certificate. Raises Failure."""
        address = self.address
        named = ((address.ca, "ca"), (address.key, "key"), (address.cert, "cert"))
        return tuple(None if path is None else read(path, option) for path, option in named)

    def _open(self, endpoint: str) -> Channel:
        if self.address.tls:
            channel = grpc.aio.secure_channel(
                endpoint, grpc.ssl_channel_credentials(*self._files), options=OPTIONS
            )
        else:
            channel = grpc.aio.insecure_channel(endpoint, options=OPTIONS)
        return Channel(
            channel,
            rpc.KVStub(channel),
            rpc.LeaseStub(channel),
            rpc.WatchStub(channel),
            rpc.AuthStub(channel),
            rpc.MaintenanceStub(channel),
        )
