"""Attestation over real gRPC: by proof on the CA port, by a host's certificate on the xDS port; and renewals."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator
from pathlib import Path

import grpc
import msgspec
import pytest
from structlog.testing import capture_logs

from argosy.agent.jwt_tokens import validated
from argosy.identity.attesting import REFUSED
from argosy.identity.attestors import LONGEST_PROOF
from argosy.identity.client import Refused, new_key_and_csr, svid
from argosy.identity.limits import FAILURES
from argosy.identity.names import Identity
from argosy.identity.proofs import HOSTS, Registration, unix_user
from argosy.identity.protocol import (
    ATTEST,
    CHALLENGE,
    JWT_BUNDLES,
    SIGN,
    SIGN_JWT,
    JwtBundlesResponse,
    JwtResponse,
)
from argosy.runtime.errors import Failure
from tests.unit.identity.attesting_lab import ME, POD, Running, Signing


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
