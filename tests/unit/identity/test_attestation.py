"""Who may have which service account, what a token proves, and the socket that gives tokens out."""

from __future__ import annotations

import asyncio
import base64
import getpass
import os
from collections.abc import AsyncIterator
from pathlib import Path

import msgspec
import pytest

from argosy.identity.attestation import LONGEST_LINE, AttestationSocket
from argosy.identity.client import Refused, Unreachable, attest
from argosy.identity.proofs import BadToken, Registration, Tokens, unix_user, used_for
from argosy.identity.protocol import AttestRequest, AttestResponse
from argosy.runtime.errors import Failure

ME = os.getuid()


def registration(uid: int | None = ME, user: str = "", accounts: tuple[str, ...] = ("*/*",)) -> Registration:
    return Registration(name="r", unix_uid=uid, unix_user=user, service_accounts=accounts)


@pytest.mark.parametrize(
    ("given", "namespace", "account", "expected"),
    [
        (registration(), "shop", "reviews", True),
        (registration(uid=ME + 1), "shop", "reviews", False),
        (registration(uid=None), "shop", "reviews", False),  # matches nobody rather than everybody
        (registration(uid=None, user=getpass.getuser()), "shop", "reviews", True),
        (registration(uid=None, user="nobody-of-this-name"), "shop", "reviews", False),
        (registration(uid=ME + 1, user=getpass.getuser()), "shop", "reviews", False),
        (registration(accounts=()), "shop", "reviews", False),
        (registration(accounts=("shop/reviews",)), "shop", "reviews", True),
        (registration(accounts=("shop/reviews",)), "shop", "ratings", False),
        (registration(accounts=("shop/reviews",)), "bank", "reviews", False),
        (registration(accounts=("shop/*",)), "shop", "ratings", True),
        (registration(accounts=("shop/*",)), "bank", "ratings", False),
        (registration(accounts=("*/reviews",)), "bank", "reviews", True),
        (registration(accounts=("shop-*/re*",)), "shop-a", "reviews", True),
        (registration(accounts=("*",)), "shop", "reviews", False),  # no slash: no name
        (registration(accounts=("a/x", "shop/reviews")), "shop", "reviews", True),
    ],
)
def test_a_user_gets_only_the_service_accounts_mapped_to_it(
    given: Registration, namespace: str, account: str, expected: bool
) -> None:
    assert bool(used_for(unix_user(ME), namespace, account, [given])) is expected


def test_any_registration_is_enough_and_none_is_not() -> None:
    no, yes = registration(accounts=("a/b",)), registration(accounts=("shop/*",))
    assert used_for(unix_user(ME), "shop", "reviews", [no, yes]) == (f"unix:uid={ME}",)
    assert not used_for(unix_user(ME), "shop", "reviews", [])


class TestTokens:
    now = 1000.0

    def tokens(self) -> Tokens:
        return Tokens(clock=lambda: self.now)

    def test_a_token_proves_the_user_it_was_made_for(self) -> None:
        tokens = self.tokens()
        token, expires_at = tokens.issue(unix_user(4711))
        assert tokens.proven(token) == unix_user(4711)
        assert expires_at == self.now + 60

    def test_a_token_ends_after_a_minute(self) -> None:
        tokens = self.tokens()
        token, _ = tokens.issue(unix_user(4711))
        self.now += 60
        with pytest.raises(BadToken, match="expired"):
            tokens.proven(token)

    def test_a_token_of_another_server_proves_nothing(self) -> None:
        token, _ = self.tokens().issue(unix_user(4711))
        with pytest.raises(BadToken, match="not issued"):
            self.tokens().proven(token)

    def test_a_token_that_was_changed_anywhere_proves_nothing(self) -> None:
        tokens = self.tokens()
        token, _ = tokens.issue(unix_user(4711))
        claims, _, mac = token.partition(".")
        for at in range(len(claims)):
            changed = claims[:at] + ("A" if claims[at] != "A" else "B") + claims[at + 1 :]
            if base64.urlsafe_b64decode(changed) != base64.urlsafe_b64decode(claims):
                with pytest.raises(BadToken):
                    tokens.proven(f"{changed}.{mac}")

    @pytest.mark.parametrize("text", ["", ".", "a", "a.b.c", "ä.ö", "=.=", "e30=.e30="])
    def test_garbage_proves_nothing(self, text: str) -> None:
        with pytest.raises(BadToken):
            self.tokens().proven(text)


def answer(uid: int) -> AttestResponse:
    return AttestResponse(
        token=f"token of {uid}",
        expires_at=1,
        trust_domain="cluster.local",
        bundle="",
        ca_address="127.0.0.1:1",
        xds_address="127.0.0.1:2",
    )


@pytest.fixture
async def path(tmp_path: Path) -> AsyncIterator[Path]:
    served = AttestationSocket(tmp_path / "attest.sock", answer)
    await served.start()
    yield served.path
    await served.stop()


async def say(path: Path, data: bytes) -> AttestResponse:
    reader, writer = await asyncio.open_unix_connection(path)
    writer.write(data)
    try:
        return msgspec.json.decode(await asyncio.wait_for(reader.readline(), 10), type=AttestResponse)
    finally:
        writer.close()


async def test_the_kernel_names_the_caller(path: Path) -> None:
    response = await attest(path)
    assert response.token == f"token of {ME}"
    assert response.xds_address == "127.0.0.1:2"


async def test_a_request_may_come_in_pieces(path: Path) -> None:
    reader, writer = await asyncio.open_unix_connection(path)
    for byte in msgspec.json.encode(AttestRequest()) + b"\n":
        writer.write(bytes([byte]))
        await writer.drain()
        await asyncio.sleep(0)
    response = msgspec.json.decode(await asyncio.wait_for(reader.readline(), 10), type=AttestResponse)
    writer.close()
    assert response.token


@pytest.mark.parametrize("data", [b"\n", b"garbage\n", b"[]\n", b"\xff\xfe\n", b'{"protocol":"x"}\n'])
async def test_garbage_gets_an_error_and_no_token(path: Path, data: bytes) -> None:
    response = await say(path, data)
    assert not response.token
    assert "not an AttestRequest" in response.error


async def test_an_endless_line_is_cut_off(path: Path) -> None:
    response = await say(path, b"x" * (LONGEST_LINE * 4))
    assert not response.token
    assert "longer than" in response.error


async def test_a_caller_that_hangs_up_harms_nobody(path: Path) -> None:
    for _ in range(20):
        _, writer = await asyncio.open_unix_connection(path)
        writer.close()
    assert (await attest(path)).token


async def test_a_silent_caller_is_hung_up_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("argosy.identity.attestation.LONGEST_WAIT", 0.05)
    served = AttestationSocket(tmp_path / "s", answer)
    await served.start()
    reader, writer = await asyncio.open_unix_connection(tmp_path / "s")
    assert await asyncio.wait_for(reader.read(), 10) == b""
    writer.close()
    await served.stop()


async def test_a_refusal_of_the_server_is_told(tmp_path: Path) -> None:
    def refuse(uid: int) -> AttestResponse:
        return AttestResponse(
            token="", expires_at=0, trust_domain="", bundle="", ca_address="", xds_address="", error="no"
        )

    served = AttestationSocket(tmp_path / "s", refuse)
    await served.start()
    with pytest.raises(Refused, match="does not attest this process: no"):
        await attest(tmp_path / "s")
    await served.stop()


async def test_without_a_server_the_remedy_is_told(tmp_path: Path) -> None:
    with pytest.raises(Unreachable, match="argosy server"):
        await attest(tmp_path / "nobody")


async def test_a_dead_servers_socket_is_replaced_and_a_file_is_not(tmp_path: Path) -> None:
    path = tmp_path / "s"
    first = AttestationSocket(path, answer)
    await first.start()
    second = AttestationSocket(path, answer)
    await second.start()
    assert (await attest(path)).token
    await second.stop()
    assert not path.exists()
    path.write_text("precious")
    with pytest.raises(Failure, match="a file is in its place"):
        await AttestationSocket(path, answer).start()
    assert path.read_text() == "precious"
    await first.stop()


async def test_a_path_that_is_too_long_is_told(tmp_path: Path) -> None:
    with pytest.raises(Failure, match="107"):
        await AttestationSocket(tmp_path / ("x" * 108), answer).start()
