"""The gRPC side of JWT-SVIDs, on the xDS port: `SIGN_JWT` for the holder of a workload's certificate, for itself
alone, and `JWT_BUNDLES`.

Rule: a token is given for as long as the certificate would be renewed: what was taken away counts here at once.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

import grpc
import msgspec

from argosy.identity.issuing import NotPermitted, permitted
from argosy.identity.jwt_svids import JwtSigner
from argosy.identity.names import NotAnIdentity, Peer, peer_of
from argosy.identity.proofs import HOSTS, given_for
from argosy.identity.protocol import JWT_BUNDLES, SIGN_JWT, JwtBundlesResponse, JwtRequest
from argosy.identity.service import CertificateAuthorityService, Refusal, certificate_of_call
from argosy.runtime.log import logger

LONGEST_REQUEST = 16 * 1024
SERVICE = "argosy.identity.v1.JwtAuthority"

log = logger("identity")
Context = grpc.aio.ServicerContext[bytes, bytes]


class JwtService:
    """`bundle()` gives the key set of the trust domain, and raises OSError where it is not known."""

    def __init__(
        self, signer: JwtSigner, identities: CertificateAuthorityService, bundle: Callable[[], Awaitable[str]]
    ) -> None:
        self.signer = signer
        self.identities = identities
        self.bundle = bundle
        self.issued = 0
        self.refused = 0

    def handler(self) -> grpc.GenericRpcHandler[bytes, bytes]:
        served: dict[str, Any] = {
            path.rpartition("/")[2]: grpc.unary_unary_rpc_method_handler(serve)
            for path, serve in ((SIGN_JWT, self._sign), (JWT_BUNDLES, self._bundles))
        }
        return grpc.method_handlers_generic_handler(SERVICE, served)

    async def _sign(self, body: bytes, context: Context) -> bytes:
        try:
            peer = self._peer(context)
            if len(body) > LONGEST_REQUEST:
                raise Refusal(f"the request is longer than {LONGEST_REQUEST} bytes")
            try:
                request = msgspec.json.decode(body, type=JwtRequest)
                response = self.signer.sign(peer.identity.spiffe_id, request.audience)
            except (ValueError, UnicodeDecodeError, RecursionError) as error:  # msgspec's are ValueErrors
                raise Refusal(str(error)[:200], str(error)[:200]) from error
        except Refusal as refusal:
            self.refused += 1
            log.warning("token refused", reason=refusal.reason, peer=context.peer())
            answer = refusal.answer
        else:
            self.issued += 1
            log.debug("token issued", identity=peer.identity.spiffe_id, audience=list(request.audience))
            return msgspec.json.encode(response)
        return await context.abort(grpc.StatusCode.PERMISSION_DENIED, answer)

    async def _bundles(self, body: bytes, context: Context) -> bytes:
        """Public keys: for whoever is of the mesh."""
        try:
            bundles = {self.identities.authority.trust_domain: await self.bundle()}
        except OSError as error:
            reason = str(error)
        else:
            return msgspec.json.encode(JwtBundlesResponse(bundles=bundles))
        return await context.abort(grpc.StatusCode.UNAVAILABLE, f"not now: {reason}")

    def _peer(self, context: Context) -> Peer:
        """Who asks, and may still be that. Raises Refusal."""
        try:
            shown = certificate_of_call(context)
            peer = peer_of(shown)
        except NotAnIdentity as error:
            raise Refusal(str(error)) from error
        self.identities.check_valid(peer)
        if peer.identity.namespace == HOSTS:
            raise Refusal(f"the host {peer.identity.service_account} is no workload")
        self.identities.still_given(peer.identity, given_for(shown))
        try:
            permitted(peer.identity, self.identities.authority.default_ttl, self.identities.policies())
        except NotPermitted as error:
            raise Refusal(str(error), error.answer) from error
        return peer
