"""The gRPC side of attestation: `CHALLENGE` and `ATTEST` on the CA port (whoever has no certificate yet), `ATTEST` on
the xDS port (a host with its own).

Rule: whoever fails hears only that; the reason is in the log. A nonce is used up by the first proof that it comes
with, good or bad, and a proof is verified within a bounded time.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from typing import Any, Protocol

import grpc
import msgspec
from msgspec import Struct

from argosy.identity.attestors import LONGEST_PROOF, Unproven
from argosy.identity.names import NotAnIdentity, Peer
from argosy.identity.proofs import HOSTS, BadToken, Nonces, Proven, joined_host
from argosy.identity.protocol import (
    ATTEST,
    CHALLENGE,
    AttestResponse,
    ChallengeRequest,
    ChallengeResponse,
    ProveRequest,
)
from argosy.identity.service import peer_of_call
from argosy.runtime.log import logger

HOST_ATTESTOR = "host"
VERIFIED_WITHIN = 15.0
LONGEST_NAME, LONGEST_NONCE = 253, 256
REFUSED = "not proven: see the log of the server"

log = logger("identity")
Context = grpc.aio.ServicerContext[bytes, bytes]


class Verified(Protocol):
    """Who verifies proofs. `attestor`: its name."""

    async def verify(self, attestor: str, proof: str, nonce: str, peer: str) -> Proven:
        """Raises Unproven."""
        ...


class Counts(Struct):
    attested: int = 0
    refused: int = 0


class AttestationService:
    """`answer` makes the response for what was proven; `host_problem` says why a host is not (or no longer) one of
    the mesh; "": it is."""

    def __init__(
        self,
        verified: Verified,
        answer: Callable[[Proven], AttestResponse],
        host_problem: Callable[[str], str],
        trust_domain: str,
        nonces: Nonces | None = None,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self.verified = verified
        self.answer = answer
        self.host_problem = host_problem
        self.trust_domain = trust_domain
        self.nonces = nonces or Nonces(clock)
        self.clock = clock
        self.counts = Counts()

    def with_proof(self) -> grpc.GenericRpcHandler[bytes, bytes]:
        """For the CA port: server-authenticated TLS."""
        return _handler({CHALLENGE: self._challenge, ATTEST: self._attest})

    def with_certificate(self) -> grpc.GenericRpcHandler[bytes, bytes]:
        """For the xDS port: mutual TLS."""
        return _handler({ATTEST: self._attest_host})

    async def _challenge(self, body: bytes, context: Context) -> bytes:
        try:
            msgspec.json.decode(body[:LONGEST_NONCE], type=ChallengeRequest)
        except msgspec.MsgspecError:
            await self._refuse(context, "", "not a ChallengeRequest")
        return msgspec.json.encode(ChallengeResponse(nonce=self.nonces.issue()))

    async def _attest(self, body: bytes, context: Context) -> bytes:
        attestor, reason = "", ""
        try:
            request = _request(body)
            attestor = request.attestor
            self.nonces.use(request.nonce)
            async with asyncio.timeout(VERIFIED_WITHIN):
                proven = await self.verified.verify(attestor, request.proof, request.nonce, context.peer())
            return self._answered(attestor, proven, context)
        except (Unproven, BadToken) as error:
            reason = str(error)
        except TimeoutError:
            reason = f"not verified within {VERIFIED_WITHIN:.0f} s"
        except Exception as error:  # a plugin of somebody's: it refuses, and the server goes on
            log.exception("attestor failed", attestor=attestor[:80])
            reason = f"the attestor failed: {type(error).__name__}"
        return await self._refuse(context, attestor, reason)

    async def _attest_host(self, body: bytes, context: Context) -> bytes:
        reason = ""
        try:
            if _request(body).attestor != HOST_ATTESTOR:
                raise Unproven("with a certificate of the mesh, a host proves itself and nothing else")
            host = self._host(peer_of_call(context))
            return self._answered(HOST_ATTESTOR, joined_host(host), context)
        except (Unproven, NotAnIdentity) as error:
            reason = str(error)
        return await self._refuse(context, HOST_ATTESTOR, reason)

    def _host(self, peer: Peer) -> str:
        """Raises Unproven."""
        held = peer.identity
        if held.trust_domain != self.trust_domain or held.namespace != HOSTS:
            raise Unproven(f"{held.spiffe_id} is no host of this mesh")
        if peer.not_after <= self.clock():  # verified when the connection was made
            raise Unproven("the certificate of the connection has expired")
        if problem := self.host_problem(held.service_account):
            raise Unproven(problem)
        return held.service_account

    def _answered(self, attestor: str, proven: Proven, context: Context) -> bytes:
        self.counts.attested += 1
        tell = log.debug if attestor == HOST_ATTESTOR else log.info  # a host asks each minute
        tell("attested", attestor=attestor, proven=str(proven), peer=context.peer())
        return msgspec.json.encode(self.answer(proven))

    async def _refuse(self, context: Context, attestor: str, reason: str) -> bytes:
        self.counts.refused += 1
        log.warning("not attested", attestor=attestor[:80], reason=reason, peer=context.peer())
        await context.abort(grpc.StatusCode.PERMISSION_DENIED, REFUSED)
        raise AssertionError("abort returns never")


def _request(body: bytes) -> ProveRequest:
    """Raises Unproven."""
    if len(body) > 2 * LONGEST_PROOF:
        raise Unproven(f"the request is longer than {2 * LONGEST_PROOF} bytes")
    try:
        request = msgspec.json.decode(body, type=ProveRequest)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        raise Unproven("not a ProveRequest") from None
    if len(request.attestor) > LONGEST_NAME or len(request.nonce) > LONGEST_NONCE:
        raise Unproven("the name of the attestor, or the nonce, is too long")
    if len(request.proof) > LONGEST_PROOF:
        raise Unproven(f"the proof is longer than {LONGEST_PROOF}")
    return request


def _handler(
    methods: dict[str, Callable[[bytes, Context], Awaitable[bytes]]],
) -> grpc.GenericRpcHandler[bytes, bytes]:
    service = next(iter(methods)).removeprefix("/").partition("/")[0]
    served: dict[str, Any] = {
        path.rpartition("/")[2]: grpc.unary_unary_rpc_method_handler(serve) for path, serve in methods.items()
    }
    return grpc.method_handlers_generic_handler(service, served)
