"""Both ports of a server that attests and signs, over real gRPC."""

from __future__ import annotations

import os
import time
from pathlib import Path
from typing import Any

import grpc

from argosy.identity import client
from argosy.identity.attesting import AttestationService
from argosy.identity.attestors import Unproven
from argosy.identity.authority import Authority, open_authority
from argosy.identity.client import Svid, channel, new_key_and_csr, sign, svid
from argosy.identity.jwt_service import JwtService
from argosy.identity.jwt_svids import JwtKeys, jwks
from argosy.identity.limits import Limited, Limiter
from argosy.identity.proofs import HOSTS, Proven, Registration, Tokens, knows_host
from argosy.identity.protocol import (
    AttestResponse,
    SignRequest,
)
from argosy.identity.service import CertificateAuthorityService

ME = os.getuid()
POD = Registration(name="pod", selectors=("k8s:ns=shop",), service_accounts=("shop/*",))
VM = Registration(name="vm", selectors=("host:name=vm-1",), service_accounts=("shop/reviews",))


class Verified:
    """Believes `good` of k8s, and the token of one host."""

    async def verify(self, attestor: str, proof: str, nonce: str, peer: str) -> Proven:
        match attestor, proof:
            case "k8s", "good":
                return Proven(selectors=("k8s:ns=shop", "k8s:sa=reviews"))
            case "join-token", "good":
                return Proven(selectors=("join-token:id=1", "host:name=vm-1"), host="vm-1")
            case "broken", _:
                raise KeyError("secret detail")
        raise Unproven("a reason for the log")


class Running:
    """Both ports of a server."""

    def __init__(self, folder: Path) -> None:
        self.authority: Authority = open_authority(folder / "ca", "cluster.local")
        self.tokens = Tokens()
        self.registrations = [POD, VM]
        self.signing = CertificateAuthorityService(self.authority, self.tokens, lambda: self.registrations)
        self.attesting = AttestationService(
            Verified(),
            self.answer,
            lambda host: "" if knows_host(host, self.registrations) else "unknown",
            "cluster.local",
        )
        self.limiter = Limiter()
        self.servers: list[grpc.aio.Server] = []

    def answer(self, proven: Proven) -> AttestResponse:
        token, expires_at = self.tokens.issue(proven)
        return AttestResponse(
            token=token,
            expires_at=expires_at,
            trust_domain="cluster.local",
            bundle=self.authority.bundle,
            ca_address=self.ca,
            xds_address=self.xds,
        )

    async def start(self) -> None:
        own = self.authority.server_certificate()
        pair = [(own.key.encode(), own.chain.encode())]
        anybody = [Limited(h, self.limiter) for h in (self.signing.with_token(), self.attesting.with_proof())]
        self.ca = await self._serve(anybody, grpc.ssl_server_credentials(pair))
        known = [self.signing.with_certificate(), self.attesting.with_certificate()]
        mutual = grpc.ssl_server_credentials(pair, self.authority.bundle.encode(), True)
        self.xds = await self._serve(known, mutual)

    async def _serve(self, handlers: list[Any], credentials: grpc.ServerCredentials) -> str:
        server = grpc.aio.server()
        server.add_generic_rpc_handlers(tuple(handlers))
        port = server.add_secure_port("127.0.0.1:0", credentials)
        await server.start()
        self.servers.append(server)
        return f"127.0.0.1:{port}"

    async def prove(self, attestor: str = "k8s", proof: str = "good") -> AttestResponse:
        async def gather(_: str) -> str:
            return proof

        async with channel(self.ca, self.authority.bundle) as connection:
            return await client.attest_remotely(connection, attestor, gather)

    async def call(self, method: str, body: bytes, held: Svid | None = None) -> bytes:
        where = (self.xds, held.bundle, held.chain, held.key) if held else (self.ca, self.authority.bundle)
        async with channel(*where) as connection:
            call = connection.unary_unary(method, request_serializer=None, response_deserializer=None)
            answer: bytes = await call(body, timeout=10)
            return answer

    async def sign(self, request: SignRequest, token: str = "", held: Svid | None = None) -> Any:
        where = (self.xds, held.bundle, held.chain, held.key) if held else (self.ca, self.authority.bundle)
        async with channel(*where) as connection:
            return await sign(connection, request, token)

    async def identity(self, namespace: str, account: str, token: str, held: Svid | None = None) -> Svid:
        key, csr = new_key_and_csr()
        return svid(await self.sign(ask(csr, namespace, account), token, held), key)

    async def host(self) -> Svid:
        return await self.identity(HOSTS, "vm-1", (await self.prove("join-token")).token)

    async def prove_host(self, held: Svid, attestor: str = "host") -> AttestResponse:
        async def nothing(_: str) -> str:
            return ""

        async with channel(self.xds, held.bundle, held.chain, held.key) as connection:
            return await client.attest_remotely(connection, attestor, nothing, challenged=False)


def ask(csr: str, namespace: str, account: str) -> SignRequest:
    return SignRequest(
        csr=csr, namespace=namespace, service_account=account, workload=account, app=account, version=""
    )


class Signing:
    """A server that signs tokens, too."""

    def __init__(self, server: Running, folder: Path) -> None:
        self.keys = JwtKeys(folder)

        async def bundle() -> str:
            return jwks(self.keys.public(), time.time())

        self.handler = JwtService(self.keys, server.signing, bundle).handler()
