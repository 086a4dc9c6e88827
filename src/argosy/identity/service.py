"""The gRPC side of the authority: `SIGN` on the CA port (a token is the proof) and on the xDS port (the current
certificate is the proof, and only for exactly its own identity and workload).

Handlers take and give bytes (JSON by msgspec). A refusal is logged with its reason; the caller hears little.
"""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable, Iterable

import grpc
import msgspec

from argosy.identity.attestation import BadToken, Registration, Tokens, allowed
from argosy.identity.authority import Authority
from argosy.identity.issuing import IssuingPolicy, NotPermitted, permitted
from argosy.identity.names import Identity, NotAnIdentity, Peer, peer_of
from argosy.identity.protocol import SIGN, SignRequest, SignResponse
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

    def sign_for_user(self, uid: int, request: SignRequest) -> SignResponse:
        """A certificate for a proven Unix user. Raises Refusal."""
        if not allowed(uid, request.namespace, request.service_account, self.registrations()):
            raise Refusal(
                f"no IdentityRegistration gives uid {uid} the service account "
                f"{request.namespace}/{request.service_account}",
                f"your user (uid {uid}) may not have the service account {request.namespace}/"
                f"{request.service_account}: an operator can allow it with an IdentityRegistration",
            )
        return self._sign(request, proof=f"uid {uid}")

    def renew(self, peer: Peer, request: SignRequest) -> SignResponse:
        """A new certificate for the holder of a valid one. Raises Refusal."""
        held = peer.identity
        if held.trust_domain != self.authority.trust_domain:
            raise Refusal(f"a certificate of trust domain {held.trust_domain}")
        if peer.not_after <= self.clock():  # verified when the connection was made, which may be long ago
            raise Refusal("the certificate of the connection has expired")
        asked = (request.namespace, request.service_account, request.workload)
        if asked != (held.namespace, held.service_account, held.workload):
            raise Refusal(f"{held.spiffe_id} workload {held.workload} asked for {'/'.join(asked)}")
        # The user is not known here; an account that nobody may have any more is not renewed.
        if not any(r.covers(held.namespace, held.service_account) for r in self.registrations()):
            raise Refusal(f"no IdentityRegistration names {held.namespace}/{held.service_account} any more")
        return self._sign(request, proof="its certificate")

    def _sign(self, request: SignRequest, proof: str) -> SignResponse:
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
            response = self.authority.sign(request.csr, identity, ttl)
        except ValueError as error:  # BadRequest, NotAnIdentity: about what the caller itself sent
            raise Refusal(str(error), str(error)) from error
        self.issued += 1
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
        def decide(request: SignRequest) -> SignResponse:
            try:
                uid = self.tokens.uid(_bearer(context))
            except BadToken as error:
                raise Refusal(str(error), str(error)) from error
            return self.sign_for_user(uid, request)

        return await self._answer(body, context, decide)

    async def _sign_with_certificate(
        self, body: bytes, context: grpc.aio.ServicerContext[bytes, bytes]
    ) -> bytes:
        def decide(request: SignRequest) -> SignResponse:
            try:
                peer = peer_of_call(context)
            except NotAnIdentity as error:
                raise Refusal(str(error)) from error
            return self.renew(peer, request)

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
    certificates = context.auth_context().get("x509_pem_cert")
    if not certificates:
        raise NotAnIdentity("the connection has no client certificate")
    return peer_of(next(iter(certificates)))


def _bearer(context: grpc.aio.ServicerContext[bytes, bytes]) -> str:
    for key, value in context.invocation_metadata() or ():
        if key == "authorization" and isinstance(value, str):
            scheme, _, token = value.partition(" ")
            if scheme.lower() == "bearer" and token:
                return token
    raise BadToken("there is no token: metadata `authorization: Bearer …`")


def _handler(
    sign: Callable[[bytes, grpc.aio.ServicerContext[bytes, bytes]], Awaitable[bytes]],
) -> grpc.GenericRpcHandler[bytes, bytes]:
    service, _, method = SIGN.removeprefix("/").partition("/")
    return grpc.method_handlers_generic_handler(service, {method: grpc.unary_unary_rpc_method_handler(sign)})
