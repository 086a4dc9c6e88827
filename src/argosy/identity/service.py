"""The gRPC side of the authority: `SIGN` on the CA port (a token is the proof) and on the xDS port (the current
certificate is the proof, and only for exactly its own identity and workload).

Handlers take and give bytes (JSON by msgspec). A refusal is logged with its reason; the caller hears little.
"""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable, Iterable

import grpc
import msgspec

from argosy.identity.authority import Authority, Expired
from argosy.identity.issuing import IssuingPolicy, NotPermitted, permitted
from argosy.identity.names import Identity, NotAnIdentity, Peer, peer_of
from argosy.identity.proofs import (
    HOSTS,
    BadToken,
    Proven,
    Registration,
    Tokens,
    given_for,
    joined_host,
    knows_host,
    used_for,
)
from argosy.identity.protocol import SIGN, SignRequest, SignResponse
from argosy.runtime.certificates import BadRequest
from argosy.runtime.log import logger

LONGEST_REQUEST = 16 * 1024

log = logger("identity")


class Refusal(Exception):
    """`reason` is for the log; the caller hears `answer`."""

    def __init__(self, reason: str, answer: str = "refused: see the log of the server") -> None:
        super().__init__(reason)
        self.reason = reason
        self.answer = answer


class CertificateAuthorityService:
    """Decides who gets a certificate. `registrations` gives the IdentityRegistrations of this moment."""

    def __init__(
        self,
        authority: Authority,
        tokens: Tokens,
        registrations: Callable[[], Iterable[Registration]],
        clock: Callable[[], float] = time.time,
    ) -> None:
        self.authority = authority
        self.tokens = tokens
        self.registrations = registrations
        self.clock = clock
        self.issued = 0
        self.refused = 0
        self.on_issued: Callable[[Identity, SignResponse, str], None] = lambda *_: None
        """Hears of each certificate, and how its holder had proven who it is."""
        self.policies: Callable[[], Iterable[IssuingPolicy]] = tuple
        """The issuing policies of this moment."""

    def with_token(self) -> grpc.GenericRpcHandler[bytes, bytes]:
        """For the CA port: server-authenticated TLS, `authorization: Bearer TOKEN`."""
        return _handler(self._sign_with_token)

    def with_certificate(self) -> grpc.GenericRpcHandler[bytes, bytes]:
        """For the xDS port: mutual TLS."""
        return _handler(self._sign_with_certificate)

    def sign_for(self, proven: Proven, request: SignRequest) -> SignResponse:
        """A certificate for what was proven. Raises Refusal."""
        used = used_for(proven, request.namespace, request.service_account, self.registrations())
        if not used:
            account = f"{request.namespace}/{request.service_account}"
            raise Refusal(
                f"no IdentityRegistration gives {proven or 'nothing'} the service account {account}",
                f"what was proven may not have the service account {account}: an operator can allow it with an "
                f"IdentityRegistration ({_shown(proven)})",
            )
        return self._sign(request, used)

    def sign_for_host(self, token: str, request: SignRequest) -> SignResponse:
        """The certificate of a host that joins. Raises Refusal, BadToken."""
        self.tokens.enrol(token, request.service_account)
        return self._sign(request, self._host(request))

    def renew(self, peer: Peer, request: SignRequest, given: tuple[str, ...] | None = None) -> SignResponse:
        """A new certificate for the holder of a valid one. `given`: what that was given for, where it says so. Raises
        Refusal."""
        self.check_valid(peer)
        held = peer.identity
        asked = (request.namespace, request.service_account, request.workload)
        if asked != (held.namespace, held.service_account, held.workload):
            raise Refusal(f"{held.spiffe_id} workload {held.workload} asked for {'/'.join(asked)}")
        if held.namespace == HOSTS:
            return self._sign(request, self._host(request))
        return self._sign(request, self.still_given(held, given))

    def check_valid(self, peer: Peer) -> None:
        """Raises Refusal where a certificate counts no more: TLS verified it when the connection was made, which may be
        long ago."""
        if peer.identity.trust_domain != self.authority.trust_domain:
            raise Refusal(f"a certificate of trust domain {peer.identity.trust_domain}")
        if peer.not_after <= self.clock():
            raise Refusal("the certificate of the connection has expired")

    def still_given(self, held: Identity, given: tuple[str, ...] | None) -> tuple[str, ...]:
        """The selectors for which an identity may still be had. Raises Refusal."""
        account, known = f"{held.namespace}/{held.service_account}", self.registrations()
        if given is None:
            # Of a version before: what was proven is not known, so an account that nobody may have any more ends.
            if not any(r.covers(held.namespace, held.service_account) for r in known):
                raise Refusal(f"no IdentityRegistration names {account} any more")
            return ()
        used = used_for(Proven(selectors=given), held.namespace, held.service_account, known)
        if not used:
            raise Refusal(f"no IdentityRegistration gives {' '.join(given)[:400]} {account} any more")
        return used

    def _host(self, request: SignRequest) -> tuple[str, ...]:
        """Raises Refusal where the host is not, or no longer, to be one of the mesh."""
        host = request.service_account
        if request.namespace != HOSTS or request.workload != host:
            raise Refusal(f"{request.namespace}/{host} workload {request.workload} is no host")
        if not knows_host(host, self.registrations()):
            raise Refusal(f"no IdentityRegistration names the host {host} (any more)")
        return joined_host(host).selectors

    def _sign(self, request: SignRequest, used: tuple[str, ...]) -> SignResponse:
        """`used`: what the certificate is given for; () where that is not known."""
        identity = Identity(
            trust_domain=self.authority.trust_domain,
            namespace=request.namespace,
            service_account=request.service_account,
            workload=request.workload,
            app=request.app,
            version=request.version,
        )
        try:
            ttl = permitted(identity, request.ttl or self.authority.default_ttl, self.policies())
        except NotPermitted as error:
            raise Refusal(str(error), error.answer) from error
        try:
            response = self.authority.sign(request.csr, identity, ttl, used)
        except (NotAnIdentity, Expired) as error:  # what the caller itself sent; what everybody will notice
            raise Refusal(str(error), str(error)) from error
        except BadRequest as error:  # no agent of ours sends such a request
            raise Refusal(str(error)) from error
        self.issued += 1
        proof = " ".join(used)[:400] or "its certificate"
        self.on_issued(identity, response, proof)
        log.info(
            "certificate issued",
            identity=identity.spiffe_id,
            workload=identity.workload,
            proof=proof,
            serial=response.serial,
            not_after=int(response.not_after),
        )
        return response

    async def _sign_with_token(self, body: bytes, context: grpc.aio.ServicerContext[bytes, bytes]) -> bytes:
        return await self._answer(body, context, lambda request: self._by_token(_bearer(context), request))

    def _by_token(self, token: str, request: SignRequest) -> SignResponse:
        """Raises Refusal."""
        try:
            if not token:
                raise BadToken("there is no token: metadata `authorization: Bearer …`")
            proven = self.tokens.proven(token)
            if request.namespace == HOSTS:
                return self.sign_for_host(token, request)
        except BadToken as error:
            raise Refusal(str(error), str(error)) from error
        return self.sign_for(proven, request)

    async def _sign_with_certificate(
        self, body: bytes, context: grpc.aio.ServicerContext[bytes, bytes]
    ) -> bytes:
        def decide(request: SignRequest) -> SignResponse:
            if token := _bearer(context):  # of a host, which asks for its workloads
                return self._by_token(token, request)
            try:
                shown = certificate_of_call(context)
                peer = peer_of(shown)
            except NotAnIdentity as error:
                raise Refusal(str(error)) from error
            return self.renew(peer, request, given_for(shown))

        return await self._answer(body, context, decide)

    async def _answer(
        self,
        body: bytes,
        context: grpc.aio.ServicerContext[bytes, bytes],
        decide: Callable[[SignRequest], SignResponse],
    ) -> bytes:
        try:
            if len(body) > LONGEST_REQUEST:
                raise Refusal(f"the request is longer than {LONGEST_REQUEST} bytes")
            try:
                request = msgspec.json.decode(body, type=SignRequest)
            except (msgspec.MsgspecError, UnicodeDecodeError) as error:
                raise Refusal(f"not a SignRequest: {error}", f"not a SignRequest: {error}") from error
            return msgspec.json.encode(decide(request))
        except Refusal as refusal:
            self.refused += 1
            log.warning("certificate refused", reason=refusal.reason, peer=context.peer())
            answer = refusal.answer
        return await context.abort(grpc.StatusCode.PERMISSION_DENIED, answer)


def peer_of_call(context: grpc.aio.ServicerContext[bytes, bytes]) -> Peer:
    """Who makes a call over mutual TLS. Raises NotAnIdentity."""
    return peer_of(certificate_of_call(context))


def certificate_of_call(context: grpc.aio.ServicerContext[bytes, bytes]) -> bytes:
    """The certificate (PEM) with which a call over mutual TLS is made. Raises NotAnIdentity."""
    certificates = context.auth_context().get("x509_pem_cert")
    if not certificates:
        raise NotAnIdentity("the connection has no client certificate")
    return bytes(next(iter(certificates)))


def _shown(proven: Proven) -> str:
    """What the caller itself has proven: no secret to it."""
    return f"proven: {str(proven) or 'nothing'}"


def _bearer(context: grpc.aio.ServicerContext[bytes, bytes]) -> str:
    """ "" where there is none."""
    for key, value in context.invocation_metadata() or ():
        if key == "authorization" and isinstance(value, str):
            scheme, _, token = value.partition(" ")
            if scheme.lower() == "bearer" and token:
                return token
    return ""


def _handler(
    sign: Callable[[bytes, grpc.aio.ServicerContext[bytes, bytes]], Awaitable[bytes]],
) -> grpc.GenericRpcHandler[bytes, bytes]:
    service, _, method = SIGN.removeprefix("/").partition("/")
    return grpc.method_handlers_generic_handler(service, {method: grpc.unary_unary_rpc_method_handler(sign)})
