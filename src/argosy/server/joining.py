"""How a further server becomes one of the mesh: what it asks, and what one that holds the root answers.

    new server ── TLS, the root of its token ──> CA port of a server with the root:  token, CSR of its own issuing key
               <── issuing certificate, and what all servers share: keys of the Secrets, the clients' authority, the
                   admin's token

Rules: the new server sends its token to nobody whose certificate is not of the root in it. The other marks the token as
used before it answers: an answer that is lost costs a token, not a secret. `D/ca` is written last, so that a server
either is one of the mesh or asks again.
"""

from __future__ import annotations

import socket
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import grpc
import msgspec
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Route

from argosy.apiserver import auth
from argosy.apiserver.access import client_authority
from argosy.apiserver.status import bad_request
from argosy.identity import authority as authorities
from argosy.identity import client as identity
from argosy.identity import issuer as issuers
from argosy.identity.authority import Authority
from argosy.identity.protocol import JOIN, JoinRequest, JoinResponse
from argosy.runtime.certificates import BadRequest
from argosy.runtime.errors import Failure
from argosy.runtime.log import logger
from argosy.runtime.paths import private_dir, write_private
from argosy.server.fleet import AskIssuing, Fleet
from argosy.server.join_tokens import LONGEST, SHORTEST, JoinToken, JoinTokens, NoToken
from argosy.server.operations import PREFIX
from argosy.server.settings import Settings
from argosy.store import keyring
from argosy.store.base import StoreError
from argosy.store.open import KEYS

LONGEST_REQUEST = 16 << 10
ANSWER_WITHIN = 20.0
MOST_TOKEN_REQUEST = 1024

log = logger("identity")


# --- the server that holds the root ---------------------------------------------------------------------------------


class JoinService:
    """`JOIN` on the CA port."""

    def __init__(self, settings: Settings, authority: Authority, tokens: JoinTokens) -> None:
        self.settings = settings
        self.authority = authority
        self.tokens = tokens

    def handler(self) -> grpc.GenericRpcHandler[Any, Any]:
        service, _, method = JOIN.removeprefix("/").partition("/")
        return grpc.method_handlers_generic_handler(
            service, {method: grpc.unary_unary_rpc_method_handler(self._serve)}
        )

    async def _serve(self, body: bytes, context: grpc.aio.ServicerContext[bytes, bytes]) -> bytes:
        code = grpc.StatusCode.PERMISSION_DENIED
        try:
            if len(body) > LONGEST_REQUEST:
                raise BadRequest(f"the request is longer than {LONGEST_REQUEST} bytes")
            request = msgspec.json.decode(body, type=JoinRequest)
            return msgspec.json.encode(await self.admit(request))
        except (NoToken, BadRequest) as error:
            reason = str(error)
        except (msgspec.MsgspecError, UnicodeDecodeError) as error:
            code, reason = grpc.StatusCode.INVALID_ARGUMENT, f"not a JoinRequest: {error}"
        except (StoreError, Failure) as error:
            code, reason = grpc.StatusCode.UNAVAILABLE, f"not now: {error}"
        log.warning("server not let in", reason=reason, peer=context.peer())
        return await context.abort(code, reason)

    async def admit(self, request: JoinRequest) -> JoinResponse:
        """Raises NoToken, BadRequest, StoreError, Failure."""
        state = self.settings.state
        issuing = self.authority.sign_issuing(
            request.csr
        )  # before the token is used up: a bad CSR costs nothing
        clients = client_authority.open_client_authority(state / "client-ca")
        key = (state / "client-ca" / "ca.key").read_text() if clients.signs else ""
        response = JoinResponse(
            issuing=issuing,
            trust_domain=self.authority.trust_domain,
            secrets_keys=(self.settings.secrets_key_file or state / KEYS).read_text("ascii"),
            client_ca=clients.pem,
            client_ca_key=key,
            admin_token=auth.token_file(state / "token"),
        )
        await self.tokens.use(request.id, request.secret, request.server[:100])
        serial = x509.load_pem_x509_certificate(issuing.encode()).serial_number
        log.info("server let in", server=request.server[:100], token=request.id, serial=f"{serial:x}")
        return response


def routes(tokens: JoinTokens, authority: Authority, fleet: Fleet) -> tuple[BaseRoute, ...]:
    """POST …/jointokens {"seconds": N} -> {"token", "expires", "servers"}: for admins alone, as who joins gets all
    keys."""

    async def create(request: Request) -> Response:
        body = bytearray()
        async for chunk in request.stream():
            body += chunk
            if len(body) > MOST_TOKEN_REQUEST:
                raise bad_request(f"the request is longer than {MOST_TOKEN_REQUEST} bytes")
        try:
            asked = msgspec.json.decode(body or b"{}", type=dict[str, float])
        except msgspec.MsgspecError as error:
            raise bad_request(f"the body is no request for a join token: {error}") from error
        seconds = asked.pop("seconds", 3600.0)
        if asked or not SHORTEST <= seconds <= LONGEST:
            raise bad_request(f"seconds: a number from {SHORTEST} to {LONGEST}, and nothing else")
        token, expires = await tokens.create(seconds, authority.bundle)
        log.info("join token made", token=token.id, expires=int(expires))
        servers = [one.ca for one in fleet.servers if one.root and one.ca]
        answer = {"token": token.text, "expires": expires, "servers": servers}
        return Response(
            msgspec.json.encode(answer),
            status_code=201,
            media_type="application/json",
            headers={"cache-control": "no-store"},
        )

    return (Route(f"{PREFIX}/jointokens", create, methods=["POST"]),)


# --- the server that joins ------------------------------------------------------------------------------------------


async def join(settings: Settings, token: JoinToken, clock: Callable[[], float] = time.time) -> None:
    """Makes the state directory that of a server of the mesh. Raises Failure."""
    key = ec.generate_private_key(ec.SECP256R1())
    response = await _ask(
        str(settings.join), token, issuers.csr_of(key), f"{socket.gethostname()}:{settings.state}"
    )
    if settings.trust_domain not in ("", response.trust_domain):
        raise Failure(
            f"--trust-domain {settings.trust_domain}: the mesh at {settings.join} is {response.trust_domain}",
            "leave the option out, and make a new token",
        )
    state = private_dir(settings.state)
    joined = authorities.Joined(trust_domain=response.trust_domain, server=str(settings.join), at=clock())
    try:
        keyring.install(settings.secrets_key_file or state / KEYS, response.secrets_keys)
        if response.client_ca_key:
            client_authority.install(
                state / "client-ca", response.client_ca.encode(), response.client_ca_key.encode()
            )
        _write(state / "token", response.admin_token)
        authorities.join(state / "ca", joined, token.root, response.issuing, key)
    except BadRequest as error:
        raise Failure(
            f"{settings.join} answers with something of no use: {error}", "is it of another version?"
        ) from error
    log.info("joined", server=str(settings.join), trust_domain=response.trust_domain, token=token.id)


async def renew_if_due(directory: Path, authority: Authority, fleet: Fleet) -> None:
    """Of a server that joined: whoever holds the root renews its issuing certificate, when that nears its end."""
    if not authority.issuing_ends_soon:
        return
    if authority.issuer.root_key is not None:
        try:
            authority.renewed(directory, authority.sign_issuing(authority.issuing_csr()))
            log.info("issuing certificate renewed")
        except (BadRequest, Failure) as error:
            log.warning("issuing certificate not renewed", reason=str(error)[:300])
        return
    for server in fleet.others:
        if not (server.root and server.xds):
            continue
        try:
            answer = await fleet.ask(server, AskIssuing(authority.issuing_csr()), ANSWER_WITHIN)
            authority.renewed(directory, msgspec.json.decode(answer, type=str))
        except (grpc.RpcError, TimeoutError, OSError, msgspec.MsgspecError, BadRequest, Failure) as error:
            log.warning("issuing certificate not renewed", server=server.xds, reason=str(error)[:300])
            continue
        log.info("issuing certificate renewed", server=server.xds)
        return
    ends = authority.issuing.not_valid_after_utc
    log.error(
        "issuing certificate cannot be renewed",
        ends=f"{ends:%Y-%m-%d}",
        remedy="start the server with the root",
    )


async def _ask(address: str, token: JoinToken, csr: str, server: str) -> JoinResponse:
    request = JoinRequest(id=token.id, secret=token.secret, csr=csr, server=server)
    async with identity.channel(address, token.root) as channel:
        call = channel.unary_unary(JOIN, request_serializer=None, response_deserializer=None)
        try:
            answer = await call(msgspec.json.encode(request), timeout=ANSWER_WITHIN)
        except grpc.aio.AioRpcError as error:
            raise _failure(address, error) from error
    try:
        return msgspec.json.decode(answer, type=JoinResponse)
    except msgspec.MsgspecError as error:
        raise Failure(
            f"{address} answers with something else: {error}", "is it of another version?"
        ) from error


def _failure(address: str, error: grpc.aio.AioRpcError) -> Failure:
    details = error.details() or error.code().name
    match error.code():
        case grpc.StatusCode.PERMISSION_DENIED:
            return Failure(
                f"{address} does not let this server in: {details}", "make a new one: argosy join-token"
            )
        case grpc.StatusCode.UNIMPLEMENTED:
            return Failure(
                f"{address} does not hold the root of the mesh",
                "name the server that `argosy join-token` named",
            )
    if "CERTIFICATE_VERIFY_FAILED" in details or "handshake" in details.lower():
        return Failure(
            f"{address} is no server of the mesh that the join token is of: it was told nothing ({details})",
            "look at --join; or make a token at that mesh: argosy join-token",
        )
    return Failure(
        f"{address} does not answer: {details}",
        "is it the CA port of a server that runs (--ca-address there), and can it be reached from here?",
    )


def _write(path: Path, token: str) -> None:
    try:
        write_private(path, token.encode() + b"\n")
    except OSError as error:
        raise Failure(f"cannot write {path}: {error.strerror}", "free some disk space") from error
