"""Fetching what somebody else named: never from where only we may go, and never more than is bounded."""

from __future__ import annotations

import asyncio
import ipaddress
import socket
import ssl
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from argosy.server.fetching import MOST_BYTES, MOST_REDIRECTS, Fetcher, FetchError, is_refused
from tests.issuer import Issuer, found, moved, serving, slow
from tests.unit.pki import Authority

HERE = (ipaddress.ip_network("127.0.0.0/8"),)


@pytest.fixture
def issuer() -> Iterator[Issuer]:
    with serving() as one:
        one.answers["/keys"] = found("{}")
        yield one


async def refusal(url: str, timeout: float = 5, allowed: Any = HERE, **more: Any) -> str:
    with pytest.raises(FetchError) as refused:
        await Fetcher(allowed, **more).fetch(url, timeout)
    return str(refused.value)


async def test_a_document_is_fetched_with_path_and_query_as_they_are(issuer: Issuer) -> None:
    issuer.answers["/a%20b?c=d&e=%2F"] = found("there")
    assert await Fetcher(HERE).fetch(f"{issuer.url}/a%20b?c=d&e=%2F", 5) == b"there"
    assert issuer.hosts == [f"127.0.0.1:{issuer.port}"]


# --- from where -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "address",
    [
        "127.0.0.1", "127.9.9.9", "::1", "0.0.0.0", "0.1.2.3", "::", "169.254.169.254", "169.254.0.1", "fe80::1",
        "fd00:ec2::254", "100.100.100.200", "168.63.129.16", "224.0.0.1", "ff02::1", "255.255.255.255", "240.0.0.1",
        "::ffff:127.0.0.1", "::ffff:169.254.169.254", "::127.0.0.1", "64:ff9b::7f00:1", "64:ff9b::a9fe:a9fe",
        "64:ff9b:1::7f00:1", "2002:7f00:1::", "2002:a9fe:a9fe::1", "2001:0:1:2:3:4:80ff:fffe", "fec0::1",
    ],
)  # fmt: skip
def test_addresses_from_where_nothing_is_fetched(address: str) -> None:
    assert is_refused(ipaddress.ip_address(address))


@pytest.mark.parametrize(
    "address",
    ["10.0.0.1", "192.168.1.1", "172.16.0.9", "8.8.8.8", "fd00::1", "2606:4700::1", "::ffff:10.0.0.1"],
)
def test_addresses_of_other_hosts_are_fetched_from(address: str) -> None:
    assert not is_refused(ipaddress.ip_address(address))


@pytest.mark.parametrize(
    "host", ["127.0.0.1", "localhost", "127.1", "0x7f000001", "2130706433", "[::ffff:127.0.0.1]", "0"]
)
async def test_the_loopback_is_refused_however_it_is_written(issuer: Issuer, host: str) -> None:
    why = await refusal(f"http://{host}:{issuer.port}/keys", allowed=())
    assert "from where keys are not fetched" in why
    assert "--jwks-allow" in why
    assert issuer.asked == []


async def test_what_is_allowed_is_fetched_from(issuer: Issuer) -> None:
    only = (ipaddress.ip_network("127.0.0.2/32"),)
    assert "not fetched" in await refusal(f"{issuer.url}/keys", allowed=only)
    assert await Fetcher(HERE).fetch(f"{issuer.url}/keys", 5) == b"{}"


async def test_a_redirect_is_judged_too(issuer: Issuer) -> None:
    """The first host is one of those that are allowed; where it leads is not."""
    issuer.answers["/moved"] = moved("http://[::1]:1/keys")
    assert "is at ::1" in await refusal(f"{issuer.url}/moved")


async def test_a_name_that_moves_after_it_was_judged_changes_nothing(
    issuer: Issuer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A name is resolved once, and the connection is to that address (DNS rebinding)."""
    asked: list[str] = []

    async def resolve(host: str, port: int, **_: Any) -> Any:
        asked.append(host)
        address = "127.0.0.1" if len(asked) == 1 else "169.254.169.254"
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (address, port))]

    monkeypatch.setattr(asyncio.get_running_loop(), "getaddrinfo", resolve, raising=False)
    assert await Fetcher(HERE).fetch(f"http://keys.example:{issuer.port}/keys", 5) == b"{}"
    assert asked == ["keys.example"]
    assert issuer.hosts == [f"keys.example:{issuer.port}"]
    assert "is at 169.254.169.254" in await refusal(f"http://keys.example:{issuer.port}/keys")


async def test_of_several_addresses_those_that_are_open_are_tried_in_turn(
    issuer: Issuer, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def resolve(host: str, port: int, **_: Any) -> Any:
        addresses = ("169.254.169.254", "127.0.0.9", "127.0.0.1")
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (one, port)) for one in addresses]

    monkeypatch.setattr(asyncio.get_running_loop(), "getaddrinfo", resolve, raising=False)
    assert await Fetcher(HERE).fetch(f"http://keys.example:{issuer.port}/keys", 5) == b"{}"


# --- how much -------------------------------------------------------------------------------------------------------


async def test_redirects_are_followed_and_bounded(issuer: Issuer) -> None:
    issuer.answers["/one"] = moved("/keys")
    assert await Fetcher(HERE).fetch(f"{issuer.url}/one", 5) == b"{}"
    issuer.answers["/round"] = moved("/round")
    issuer.asked.clear()
    assert f"more than {MOST_REDIRECTS} times" in await refusal(f"{issuer.url}/round")
    assert len(issuer.asked) == MOST_REDIRECTS + 1
    issuer.answers["/file"] = moved("file:///etc/passwd")
    assert "is no URL with http" in await refusal(f"{issuer.url}/file")


async def test_size_is_bounded(issuer: Issuer) -> None:
    issuer.answers["/most"] = found(b"x" * MOST_BYTES)
    assert len(await Fetcher(HERE).fetch(f"{issuer.url}/most", 5)) == MOST_BYTES
    issuer.answers["/more"] = found(b"x" * (MOST_BYTES + 1))
    assert "larger than 1024 KiB" in await refusal(f"{issuer.url}/more")
    issuer.answers["/packed"] = found(b"", content_encoding="gzip")
    assert "compressed" in await refusal(f"{issuer.url}/packed")


async def test_time_is_bounded_as_a_whole(issuer: Issuer) -> None:
    issuer.answers["/slow"] = slow(2, found("{}"))
    assert await refusal(f"{issuer.url}/slow", timeout=0.2) == "no answer within 0.2 s"


async def test_an_answer_that_drips_is_bounded_too() -> None:
    async def drip(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 200 OK\r\ncontent-length: 1000\r\n\r\n")
        try:
            while True:
                writer.write(b"x")
                await writer.drain()
                await asyncio.sleep(0.02)
        except ConnectionError:
            pass
        finally:
            writer.close()

    server = await asyncio.start_server(drip, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    try:
        assert await refusal(f"http://127.0.0.1:{port}/", timeout=0.3) == "no answer within 0.3 s"
    finally:
        server.close()


@pytest.mark.parametrize(
    ("url", "why"),
    [
        ("ftp://a.example/", "is no URL with http"),
        ("http:///keys", "is no URL with http"),
        ("http://a:b/", "is no URL"),
        ("http://nothing.invalid/", "is not known"),
        ("http://bücher.invalid/ä?ö", "'xn--bcher-kva.invalid' is not known"),
        ("http://a b/", "is not known"),
        ("http://" + "a" * 300 + "/", "is not known"),
    ],
)
async def test_what_leads_nowhere_says_so(url: str, why: str) -> None:
    assert why in await refusal(url)


async def test_what_answers_otherwise_says_so_and_nothing_of_what_it_said(issuer: Issuer) -> None:
    issuer.answers["/secret"] = (500, {}, b"a secret")
    why = await refusal(f"{issuer.url}/secret")
    assert why == "is answered by 500"
    with socket.create_server(("127.0.0.1", 0)) as gone:
        port = gone.getsockname()[1]
    assert await refusal(f"http://127.0.0.1:{port}/") == "nobody answers there"


# --- TLS ------------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def secure(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Issuer, ssl.SSLContext]]:
    folder: Path = tmp_path_factory.mktemp("tls")
    authority = Authority()
    pair = authority.issue("keys.example")
    (folder / "cert.pem").write_bytes(pair.certificate)
    (folder / "key.pem").write_bytes(pair.key)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(folder / "cert.pem", folder / "key.pem")
    with serving(context) as one:
        one.answers["/keys"] = found("{}")
        one.answers["/plain"] = moved("http://keys.example/keys")
        yield one, ssl.create_default_context(cadata=authority.certificate.decode())


async def test_the_certificate_must_be_for_the_name_and_of_a_known_authority(
    secure: tuple[Issuer, ssl.SSLContext], monkeypatch: pytest.MonkeyPatch
) -> None:
    issuer, known = secure

    async def resolve(host: str, port: int, **_: Any) -> Any:
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", ("127.0.0.1", port))]

    monkeypatch.setattr(asyncio.get_running_loop(), "getaddrinfo", resolve, raising=False)
    url = f"https://keys.example:{issuer.port}"
    assert await Fetcher(HERE, known).fetch(f"{url}/keys", 5) == b"{}"
    assert "its certificate is not trusted" in await refusal(f"{url}/keys")
    other = f"https://other.example:{issuer.port}/keys"
    assert "its certificate is not trusted" in await refusal(other, context=known)
    assert "from https to http" in await refusal(f"{url}/plain", context=known)
