"""Attestation over real gRPC: by proof on the CA port, by a host's certificate on the xDS port; and renewals."""

from __future__ import annotations

import os
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import grpc
import msgspec
import pytest
from structlog.testing import capture_logs

from argosy.agent.jwt_tokens import validated
from argosy.identity import client
from argosy.identity.attesting import REFUSED, AttestationService
from argosy.identity.attestors import LONGEST_PROOF, Unproven
from argosy.identity.authority import Authority, open_authority
from argosy.identity.client import Refused, Svid, channel, new_key_and_csr, sign, svid
from argosy.identity.jwt_service import JwtService
from argosy.identity.jwt_svids import JwtKeys, jwks
from argosy.identity.limits import FAILURES, Limited, Limiter
from argosy.identity.names import Identity
from argosy.identity.proofs import HOSTS, Proven, Registration, Tokens, knows_host, unix_user
from argosy.identity.protocol import (
    ATTEST,
    CHALLENGE,
    JWT_BUNDLES,
    SIGN,
    SIGN_JWT,
    AttestResponse,
    JwtBundlesResponse,
    JwtResponse,
    SignRequest,
)
from argosy.identity.service import CertificateAuthorityService
from argosy.runtime.errors import Failure

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
            Verified(), self.answer, lambda host: knows_host(host, self.registrations), "cluster.local"
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


@pytest.fixture
async def server(tmp_path: Path) -> AsyncIterator[Running]:
    running = Running(tmp_path)
    await running.start()
    yield running
    for one in running.servers:
        await one.stop(None)


async def test_what_was_proven_decides_who_it_is(server: Running) -> None:
    token = (await server.prove()).token
    assert (await server.identity("shop", "ratings", token)).peer().identity.service_account == "ratings"
    with pytest.raises(Refused, match="bank/x"):
        await server.identity("bank", "x", token)


@pytest.mark.parametrize(
    ("attestor", "proof"),
    [
        ("k8s", "bad"),
        ("nobody", "good"),
        ("broken", "x"),
        ("host", ""),
        ("x" * 999, ""),
        ("k8s", "x" * LONGEST_PROOF * 2),
    ],
)
async def test_whoever_fails_hears_nothing_and_the_log_says_why(
    server: Running, attestor: str, proof: str
) -> None:
    with capture_logs() as logs, pytest.raises(Refused) as raised:
        await server.prove(attestor, proof)
    assert REFUSED in raised.value.what
    assert not any(word in raised.value.what for word in ("reason", "secret", "longer"))
    refused = [line for line in logs if line["event"] == "not attested"]
    assert len(refused) == 1
    assert refused[0]["reason"]


async def test_a_challenge_counts_once_also_where_the_proof_was_good(server: Running) -> None:
    nonce = msgspec.json.decode(await server.call(CHALLENGE, b"{}"))["nonce"]
    request = msgspec.json.encode({"attestor": "k8s", "proof": "good", "nonce": nonce})
    assert await server.call(ATTEST, request)
    with capture_logs() as logs, pytest.raises(grpc.aio.AioRpcError, match=REFUSED):
        await server.call(ATTEST, request)
    assert "replays" in logs[0]["reason"]


@pytest.mark.parametrize(
    "body",
    [b"", b"{", b"[]", b"\xff", b'{"attestor": 1}', b"[" * 50_000, b"x" * 100_000],
    ids=["nothing", "half", "a list", "no text", "a number", "brackets", "much"],
)
async def test_what_is_no_request_is_refused(server: Running, body: bytes) -> None:
    with pytest.raises(grpc.aio.AioRpcError) as raised:
        await server.call(ATTEST, body)
    assert raised.value.code() is grpc.StatusCode.PERMISSION_DENIED


async def test_who_fails_again_and_again_is_turned_away(server: Running) -> None:
    answers: list[str] = []
    while not any("too many" in answer for answer in answers) and len(answers) < 500:
        with pytest.raises(Failure) as raised:  # Refused, and in the end Unreachable
            await server.prove("k8s", "bad")
        answers.append(raised.value.what)
    assert FAILURES < len(answers) < 500  # and not before


# --- hosts ------------------------------------------------------------------------------------------------------------


async def test_a_host_joins_once_and_proves_itself_with_its_certificate_since(server: Running) -> None:
    host = await server.host()
    assert host.peer().identity.spiffe_id == "spiffe://cluster.local/ns/argosy-hosts/sa/vm-1"
    proven = await server.prove_host(host)
    workload = await server.identity("shop", "reviews", proven.token, host)
    assert workload.peer().identity.service_account == "reviews"
    with pytest.raises(Refused, match="shop/ratings"):
        await server.identity("shop", "ratings", proven.token, host)
    renewed = await server.identity(HOSTS, "vm-1", "", host)
    assert renewed.peer().identity == host.peer().identity


async def test_a_token_of_a_host_gives_one_certificate_and_for_that_host(server: Running) -> None:
    token = (await server.prove("join-token")).token
    with pytest.raises(Refused, match="not for the host vm-2"):
        await server.identity(HOSTS, "vm-2", token)
    await server.identity(HOSTS, "vm-1", token)
    with pytest.raises(Refused, match="already"):
        await server.identity(HOSTS, "vm-1", token)


async def test_nobody_else_gets_the_certificate_of_a_host(server: Running) -> None:
    server.registrations.append(Registration(name="all", unix_uid=ME, service_accounts=("*/*",)))
    token, _ = server.tokens.issue(unix_user(ME))
    with pytest.raises(Refused):
        await server.identity(HOSTS, "vm-1", token)
    host = await server.host()
    with pytest.raises(Refused):  # nor by its proof, once it has joined
        await server.identity(HOSTS, "vm-1", (await server.prove_host(host)).token, host)


async def test_a_workload_is_no_host(server: Running) -> None:
    workload = await server.identity("shop", "reviews", (await server.prove()).token)
    with capture_logs() as logs, pytest.raises(Refused, match=REFUSED):
        await server.prove_host(workload)
    assert "is no host" in logs[0]["reason"]
    with pytest.raises(Refused):
        await server.prove_host(await server.host(), "k8s")


async def test_a_host_whose_registration_is_gone_gets_nothing_more(server: Running) -> None:
    host = await server.host()
    proven = await server.prove_host(host)
    workload = await server.identity("shop", "reviews", proven.token, host)
    server.registrations[:] = [POD, Registration(name="all", unix_uid=ME, service_accounts=("*/*",))]
    with pytest.raises(Refused):
        await server.prove_host(host)
    with pytest.raises(Refused):
        await server.identity(HOSTS, "vm-1", "", host)
    with pytest.raises(Refused):  # the account is another's too: it is not the host's
        await server.identity("shop", "reviews", "", workload)


# --- renewals ---------------------------------------------------------------------------------------------------------


async def test_a_renewal_is_judged_by_what_the_certificate_was_given_for(server: Running) -> None:
    held = await server.identity("shop", "reviews", (await server.prove()).token)
    held = await server.identity("shop", "reviews", "", held)
    server.registrations[:] = [
        Registration(name="o", selectors=("k8s:ns=other",), service_accounts=("shop/*",))
    ]
    with capture_logs() as logs, pytest.raises(Refused):
        await server.identity("shop", "reviews", "", held)
    assert "k8s:ns=shop" in logs[-1]["reason"]


async def test_a_certificate_of_the_version_before_is_renewed_and_its_words_are_understood(
    server: Running,
) -> None:
    """It says not what it was given for, and its agent speaks as agents did then."""
    key, csr = new_key_and_csr()
    who = Identity(trust_domain="cluster.local", namespace="shop", service_account="reviews", workload="r-v1")
    held = svid(server.authority.sign(csr, who), key)
    words = {
        "csr": new_key_and_csr()[1],
        "namespace": "shop",
        "service_account": "reviews",
        "workload": "r-v1",
        "app": "r",
        "version": "v1",
    }
    answer = msgspec.json.decode(await server.call(SIGN, msgspec.json.encode(words), held))
    assert set(answer) >= {"chain", "bundle", "not_before", "not_after", "renew_after"}
    server.registrations.clear()
    with pytest.raises(grpc.aio.AioRpcError):
        await server.call(SIGN, msgspec.json.encode(words), held)


# --- JWT-SVIDs --------------------------------------------------------------------------------------------------------


class Signing:
    """A server that signs tokens, too."""

    def __init__(self, server: Running, folder: Path) -> None:
        self.keys = JwtKeys(folder)

        async def bundle() -> str:
            return jwks(self.keys.public(), time.time())

        self.handler = JwtService(self.keys, server.signing, bundle).handler()


async def test_a_token_is_for_the_holder_of_the_certificate_for_as_long_as_that_is_renewed(
    server: Running, tmp_path: Path
) -> None:
    own = server.authority.server_certificate()
    pair = [(own.key.encode(), own.chain.encode())]
    mutual = grpc.ssl_server_credentials(pair, server.authority.bundle.encode(), True)
    held = await server.identity("shop", "reviews", (await server.prove()).token)
    host = await server.host()
    server.xds = await server._serve([Signing(server, tmp_path).handler], mutual)
    asked = msgspec.json.encode({"audience": ["bank"]})

    answer = msgspec.json.decode(await server.call(SIGN_JWT, asked, held), type=JwtResponse)
    bundles = msgspec.json.decode(
        await server.call(JWT_BUNDLES, b"{}", held), type=JwtBundlesResponse
    ).bundles
    claims = validated(answer.token, "bank", bundles, time.time())
    assert claims["sub"] == "spiffe://cluster.local/ns/shop/sa/reviews"

    for body in (b"", b"{}", b'{"audience": []}', b'{"audience": ["' + b"x" * 20_000 + b'"]}'):
        with pytest.raises(grpc.aio.AioRpcError, match="PERMISSION_DENIED"):
            await server.call(SIGN_JWT, body, held)
    with pytest.raises(grpc.aio.AioRpcError, match="PERMISSION_DENIED"):
        await server.call(SIGN_JWT, asked, host)
    server.registrations.remove(POD)
    with pytest.raises(grpc.aio.AioRpcError, match="PERMISSION_DENIED"):
        await server.call(SIGN_JWT, asked, held)
