"""Who calls on the xDS port: only what the certificate proves, and only while it is valid.

TLS verifies a certificate once, when a connection is made; a stream can live for weeks. So every handler of the mutual
TLS port runs within `Authenticated`: it reads the certificate, refuses those of other trust domains and of identities
that an issuing policy denies, and ends the call when the certificate ends, or such a policy comes. The agent renews
long before and comes back with the new one.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from contextvars import ContextVar
from typing import Any

import grpc

from argosy.identity.names import Identity, NotAnIdentity, Peer
from argosy.identity.proofs import HOSTS
from argosy.identity.service import peer_of_call
from argosy.runtime.log import logger

DENIED = "an IssuingPolicy denies the identity"
CUT_OFF = "this server has lost the store: turn to another"

log = logger("server")
_peer: ContextVar[Peer] = ContextVar("peer")


def current_peer() -> Peer:
    """The peer of the call that this task serves."""
    return _peer.get()


def time_left(peer: Peer, now: float) -> float:
    """Seconds until the certificate ends."""
    return max(0.0, peer.not_after - now)


class Door:
    """Whether streams are served. Shut, it ends those that run; their agents turn to another server."""

    def __init__(self) -> None:
        self.shut = False
        self._limits: dict[asyncio.Timeout, Peer] = {}

    def set(self, *, shut: bool) -> None:
        if shut == self.shut:
            return
        self.shut = shut
        if shut:
            log.warning(
                "streams end: this server has lost the store, and there are others", count=len(self._limits)
            )
            now = asyncio.get_running_loop().time()
            for limit in self._limits:
                limit.reschedule(now)
        else:
            log.info("streams are served again")

    def enter(self, limit: asyncio.Timeout, peer: Peer) -> None:
        """A stream of `peer` begins, which `limit` ends."""
        self._limits[limit] = peer

    def leave(self, limit: asyncio.Timeout) -> None:
        self._limits.pop(limit, None)

    def expel(self, denied: Callable[[Identity], bool]) -> None:
        """Ends the streams of identities that are denied from now on."""
        now = asyncio.get_running_loop().time()
        for limit, peer in self._limits.items():
            if denied(peer.identity):
                limit.reschedule(now)


class Authenticated(grpc.GenericRpcHandler):  # type: ignore[type-arg]  # generic in the stubs alone
    """A generic handler of streams behind the check of the peer's certificate."""

    def __init__(
        self,
        inner: grpc.GenericRpcHandler[Any, Any],
        trust_domain: str,
        clock: Callable[[], float] = time.time,
        door: Door | None = None,
        denied: Callable[[Identity], bool] = lambda _: False,
    ) -> None:
        self.denied = denied
        self.door = door or Door()
        self.inner = inner
        self.trust_domain = trust_domain
        self.clock = clock

    def service(self, handler_call_details: grpc.HandlerCallDetails) -> Any:
        method = self.inner.service(handler_call_details)
        if method is None:
            return None
        serve: Any = method.stream_stream
        if serve is None:
            raise TypeError(f"{handler_call_details.method} is no bidirectional stream")

        async def guarded(requests: Any, context: grpc.aio.ServicerContext[bytes, bytes]) -> None:
            if self.door.shut:
                await context.abort(grpc.StatusCode.UNAVAILABLE, CUT_OFF)
            try:
                peer = peer_of_call(context)
                if peer.identity.trust_domain != self.trust_domain:
                    raise NotAnIdentity(
                        f"the trust domain is {peer.identity.trust_domain}, not {self.trust_domain}"
                    )
                if self.denied(peer.identity):
                    raise NotAnIdentity(DENIED)
                if peer.identity.namespace == HOSTS:
                    raise NotAnIdentity(f"the host {peer.identity.service_account} is no workload")
            except NotAnIdentity as error:
                log.warning("call refused", peer=context.peer(), reason=str(error))
                await context.abort(grpc.StatusCode.PERMISSION_DENIED, str(error))
            _peer.set(peer)
            try:
                async with asyncio.timeout(time_left(peer, self.clock())) as limit:
                    self.door.enter(limit, peer)
                    try:
                        await serve(requests, context)
                    finally:
                        self.door.leave(limit)
            except TimeoutError:
                if not limit.expired():
                    raise
                if self.door.shut:
                    await context.abort(grpc.StatusCode.UNAVAILABLE, CUT_OFF)
                if self.denied(peer.identity):
                    log.warning("call ended", identity=peer.identity.spiffe_id, reason=DENIED)
                    await context.abort(grpc.StatusCode.PERMISSION_DENIED, DENIED)
                log.info("call ended with its certificate", identity=peer.identity.spiffe_id)
                await context.abort(
                    grpc.StatusCode.UNAUTHENTICATED, "the certificate of the connection has expired"
                )

        return grpc.stream_stream_rpc_method_handler(guarded)
