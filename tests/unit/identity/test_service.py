"""Signing over real gRPC: with a token on the CA port, with the current certificate on the xDS port."""

from __future__ import annotations

import asyncio
import contextlib
import os
import time
from collections.abc import AsyncIterator
from pathlib import Path

import grpc
import pytest

from argosy.identity.authority import Authority, open_authority
from argosy.identity.client import Refused, Svid, Unreachable, channel, load, new_key_and_csr, sign, svid
from argosy.identity.names import Identity
from argosy.identity.proofs import Registration, Tokens, unix_user
from argosy.identity.protocol import SignRequest
from argosy.identity.service import CertificateAuthorityService

ME = os.getuid()


class Running:
    """Both ports of an authority."""

    def __init__(self, folder: Path) -> None:
        self.authority = open_authority(folder / "ca", "cluster.local")
        self.tokens = Tokens()
        self.registrations = [Registration(name="me", unix_uid=ME, service_accounts=("shop/*",))]
        self.skew = 0.0
        self.service = CertificateAuthorityService(
            self.authority, self.tokens, lambda: self.registrations, lambda: time.time() + self.skew
        )
        self.server = grpc.aio.server()
        self.xds_server = grpc.aio.server()

    async def start(self) -> None:
        own = self.authority.server_certificate()
        pair = [(own.key.encode(), own.chain.encode())]
        self.server.add_generic_rpc_handlers((self.service.with_token(),))
        self.ca = f"127.0.0.1:{self.server.add_secure_port('127.0.0.1:0', grpc.ssl_server_credentials(pair))}"
        self.xds_server.add_generic_rpc_handlers((self.service.with_certificate(),))
        mutual = grpc.ssl_server_credentials(pair, self.authority.bundle.encode(), True)
        self.xds = f"127.0.0.1:{self.xds_server.add_secure_port('127.0.0.1:0', mutual)}"
        await self.server.start()
        await self.xds_server.start()

    async def first(self, request: SignRequest, token: str | None = None, bundle: str = "") -> None:
        connection = channel(self.ca, bundle or self.authority.bundle)
        try:
            self.answer = await sign(
                connection, request, self.tokens.issue(unix_user(ME))[0] if token is None else token
            )
        finally:
            await connection.close(None)

    async def identity(self, workload: str = "reviews-v1") -> Svid:
        key, csr = new_key_and_csr()
        await self.first(ask(csr, workload=workload))
        return svid(self.answer, key)

    async def renew(self, held: Svid, request: SignRequest) -> Svid:
        connection = channel(self.xds, held.bundle, held.chain, held.key)
        try:
            self.answer = await sign(connection, request)
        finally:
            await connection.close(None)
        return held


def ask(
    csr: str, namespace: str = "shop", service_account: str = "reviews", workload: str = "reviews-v1"
) -> SignRequest:
    return SignRequest(
        csr=csr,
        namespace=namespace,
        service_account=service_account,
        workload=workload,
        app="reviews",
        version="v1",
    )


@pytest.fixture
async def ca(tmp_path: Path) -> AsyncIterator[Running]:
    running = Running(tmp_path)
    await running.start()
    yield running
    await running.server.stop(None)
    await running.xds_server.stop(None)


async def test_a_proven_user_gets_a_certificate_and_renews_it(ca: Running) -> None:
    held = await ca.identity()
    assert held.peer().identity.spiffe_id == "spiffe://cluster.local/ns/shop/sa/reviews"
    key, csr = new_key_and_csr()
    await ca.renew(held, ask(csr))
    renewed = svid(ca.answer, key)
    assert renewed.peer().identity == held.peer().identity
    assert renewed.key != held.key
    assert ca.service.issued == 2


async def test_a_server_that_takes_its_time_to_shake_hands_is_waited_for(ca: Running) -> None:
    """A call that does not wait for a connection fails with its first attempt."""
    attempts = 0
    pumps: list[asyncio.Task[None]] = []

    async def pass_on(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal attempts
        attempts += 1
        await asyncio.sleep(1)  # how busy the server is
        host, _, port = direct.rpartition(":")
        from_server, to_server = await asyncio.open_connection(host, int(port))
        pumps.extend((pump(reader, to_server), pump(from_server, writer)))

    def pump(source: asyncio.StreamReader, sink: asyncio.StreamWriter) -> asyncio.Task[None]:
        async def copy() -> None:
            with contextlib.suppress(OSError):
                while data := await source.read(1 << 16):
                    sink.write(data)
            sink.close()

        return asyncio.create_task(copy())

    slow = await asyncio.start_server(pass_on, "127.0.0.1", 0)
    direct, ca.ca = ca.ca, f"127.0.0.1:{slow.sockets[0].getsockname()[1]}"
    await ca.identity()
    assert attempts == 1
    slow.close()
    await asyncio.gather(*pumps)


@pytest.mark.parametrize(
    ("namespace", "account"), [("bank", "reviews"), ("istio-system", "argosy-server"), ("*", "reviews")]
)
async def test_a_user_gets_no_service_account_of_others(ca: Running, namespace: str, account: str) -> None:
    with pytest.raises(Refused, match="IdentityRegistration"):
        await ca.first(ask(new_key_and_csr()[1], namespace=namespace, service_account=account))
    assert ca.service.issued == 0


@pytest.mark.parametrize("token", ["", "garbage"])
async def test_without_a_good_token_nothing_is_signed(ca: Running, token: str) -> None:
    with pytest.raises(Refused, match="token"):
        await ca.first(ask(new_key_and_csr()[1]), token=token)


async def test_a_token_of_another_user_gets_that_users_accounts(ca: Running) -> None:
    token, _ = ca.tokens.issue(unix_user(ME + 1))
    with pytest.raises(Refused, match=f"uid={ME + 1}"):
        await ca.first(ask(new_key_and_csr()[1]), token=token)


@pytest.mark.parametrize(
    "other",
    [{"workload": "reviews-v2"}, {"service_account": "ratings"}, {"namespace": "bank"}],
    ids=lambda other: next(iter(other)),
)
async def test_a_certificate_renews_nothing_but_itself(ca: Running, other: dict[str, str]) -> None:
    held = await ca.identity()
    with pytest.raises(Refused):
        await ca.renew(held, ask(new_key_and_csr()[1], **other))
    assert ca.service.issued == 1


async def test_an_account_that_nobody_may_have_any_more_is_not_renewed(ca: Running) -> None:
    held = await ca.identity()
    ca.registrations = []
    with pytest.raises(Refused):
        await ca.renew(held, ask(new_key_and_csr()[1]))


async def test_a_connection_whose_certificate_expired_renews_nothing(ca: Running) -> None:
    held = await ca.identity()
    ca.skew = ca.authority.default_ttl + 1
    with pytest.raises(Refused):
        await ca.renew(held, ask(new_key_and_csr()[1]))


async def test_the_xds_port_wants_a_certificate(ca: Running) -> None:
    connection = channel(ca.xds, ca.authority.bundle)
    with pytest.raises(Unreachable):
        await sign(connection, ask(new_key_and_csr()[1]), ca.tokens.issue(unix_user(ME))[0], timeout=3)
    await connection.close(None)


async def test_a_certificate_of_a_foreign_root_is_not_let_in(ca: Running, tmp_path: Path) -> None:
    foreign = open_authority(tmp_path / "foreign", "cluster.local")
    key, csr = new_key_and_csr()
    held = svid(foreign.sign(csr, await _identity(ca)), key)
    connection = channel(ca.xds, ca.authority.bundle, held.chain, held.key)
    with pytest.raises(Unreachable):
        await sign(connection, ask(new_key_and_csr()[1]), timeout=3)
    await connection.close(None)


async def _identity(ca: Running) -> Identity:
    return (await ca.identity()).peer().identity


async def test_a_server_of_a_foreign_root_is_not_trusted(ca: Running, tmp_path: Path) -> None:
    foreign = open_authority(tmp_path / "foreign", "cluster.local")
    with pytest.raises(Unreachable):
        await ca.first(ask(new_key_and_csr()[1]), bundle=foreign.bundle)


async def test_a_workload_that_poses_as_the_server_is_not_trusted(ca: Running) -> None:
    posing = await ca.identity()
    server = grpc.aio.server()
    server.add_generic_rpc_handlers((ca.service.with_token(),))
    credentials = grpc.ssl_server_credentials([(posing.key.encode(), posing.chain.encode())])
    port = server.add_secure_port("127.0.0.1:0", credentials)
    await server.start()
    connection = channel(f"127.0.0.1:{port}", ca.authority.bundle)
    with pytest.raises(Unreachable):
        await sign(connection, ask(new_key_and_csr()[1]), ca.tokens.issue(unix_user(ME))[0], timeout=3)
    await connection.close(None)
    await server.stop(None)


async def test_proxy_variables_are_ignored(ca: Running, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("http_proxy", "https_proxy", "grpc_proxy"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
    assert (await ca.identity()).chain


async def test_a_request_that_is_none_is_refused(ca: Running) -> None:
    connection = channel(ca.ca, ca.authority.bundle)
    call = connection.unary_unary(
        "/argosy.identity.v1.CertificateAuthority/Sign", request_serializer=None, response_deserializer=None
    )
    for body in (b"", b"garbage", b"\xff", b"{}", b"x" * 100_000):
        with pytest.raises(grpc.aio.AioRpcError) as error:
            await call(body)
        assert error.value.code() is grpc.StatusCode.PERMISSION_DENIED
    await connection.close(None)


def test_a_certificate_is_kept_on_disk_for_its_owner_alone(authority: Authority, tmp_path: Path) -> None:
    key, csr = new_key_and_csr()
    identity = Identity(trust_domain="cluster.local", namespace="shop", service_account="a", workload="w")
    held = svid(authority.sign(csr, identity), key)
    held.save(tmp_path / "svid.json")
    assert (tmp_path / "svid.json").stat().st_mode & 0o777 == 0o600
    assert load(tmp_path / "svid.json") == held
    assert load(tmp_path / "none.json") is None
    (tmp_path / "svid.json").write_bytes((tmp_path / "svid.json").read_bytes()[:100])
    assert load(tmp_path / "svid.json") is None


def test_a_certificate_for_another_key_is_not_taken(authority: Authority) -> None:
    identity = Identity(trust_domain="cluster.local", namespace="shop", service_account="a", workload="w")
    response = authority.sign(new_key_and_csr()[1], identity)
    with pytest.raises(Refused, match="another key"):
        svid(response, new_key_and_csr()[0])
