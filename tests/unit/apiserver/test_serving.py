"""Serving inside a loop: ports, sockets, certificates, and stopping."""

from __future__ import annotations

import asyncio
import contextlib
import signal
import socket
import ssl
import stat
from pathlib import Path

import httpx
import pytest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse
from starlette.routing import Route

from argosy.apiserver.serving import PROBES, _bind, serve
from argosy.runtime.errors import Failure
from tests.unit.apiserver.conftest import Authority, make_authority


async def hello(request: Request) -> PlainTextResponse:
    return PlainTextResponse(f"hello {request.url.scheme}")


async def slow(request: Request) -> PlainTextResponse:
    request.app.state.entered.set()
    await asyncio.sleep(request.app.state.takes)
    return PlainTextResponse("done")


@pytest.fixture
def plain() -> Starlette:
    app = Starlette(routes=[Route("/", hello), Route("/slow", slow)])
    app.state.entered = asyncio.Event()
    app.state.takes = 0.3
    return app


async def get(url: str, **settings: object) -> httpx.Response:
    async with httpx.AsyncClient(trust_env=False, timeout=20, **settings) as client:  # type: ignore[arg-type]
        return await client.get(url)


async def test_port_0_is_a_free_port_that_can_be_read(plain: Starlette) -> None:
    one, two = await serve(plain), await serve(plain)
    assert one.port != two.port
    for serving in (one, two):
        assert (await get(f"http://127.0.0.1:{serving.port}/")).text == "hello http"
        await serving.stop()
    with pytest.raises(httpx.ConnectError):
        await get(f"http://127.0.0.1:{one.port}/")


def test_a_client_whose_machine_is_gone_is_found_out() -> None:
    with (
        _bind("127.0.0.1", 0, "--api-address") as listening,
        socket.create_connection(listening.getsockname()),
    ):
        connection, _ = listening.accept()
        with connection:
            assert connection.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE) == 1
            options = (socket.TCP_KEEPIDLE, socket.TCP_KEEPINTVL, socket.TCP_KEEPCNT)
            assert tuple(connection.getsockopt(socket.IPPROTO_TCP, each) for each in options) == PROBES


async def test_a_taken_port_is_named_with_the_flag_to_change(plain: Starlette) -> None:
    with socket.socket() as holder:
        holder.bind(("127.0.0.1", 0))
        holder.listen()
        port = holder.getsockname()[1]
        with pytest.raises(Failure, match=f"port {port} on 127.0.0.1 is taken") as refused:
            await serve(plain, port=port, flag="--api-address")
    assert "--api-address" in refused.value.remedy


@pytest.mark.parametrize("address", [("192.0.2.1", 0), ("no such host.invalid", 0), ("127.0.0.1", 70000)])
async def test_an_address_that_is_not_ours_is_named(plain: Starlette, address: tuple[str, int]) -> None:
    with pytest.raises(Failure, match="cannot listen on") as refused:
        await serve(plain, *address, flag="--api-address")
    assert address[0] in refused.value.what
    assert "--api-address" in refused.value.remedy


async def test_a_port_is_free_again_at_once(plain: Starlette) -> None:
    serving = await serve(plain)
    async with httpx.AsyncClient(trust_env=False) as client:
        await client.get(f"http://127.0.0.1:{serving.port}/")
        await serving.stop()
        again = await serve(plain, port=serving.port)
        assert (await client.get(f"http://127.0.0.1:{again.port}/")).status_code == 200
    await again.stop()


async def test_signals_stay_the_processs(plain: Starlette) -> None:
    before = [signal.getsignal(each) for each in (signal.SIGINT, signal.SIGTERM)]
    serving = await serve(plain)
    assert [signal.getsignal(each) for each in (signal.SIGINT, signal.SIGTERM)] == before
    await serving.stop()


async def test_tls_is_served_with_the_certificate_and_a_new_one_after_renewal(
    plain: Starlette, authority: Authority, tmp_path: Path
) -> None:
    serving = await serve(plain, cert=authority.cert, key=authority.key)
    url = f"https://127.0.0.1:{serving.port}/"
    assert (
        await get(url, verify=ssl.create_default_context(cafile=str(authority.cert)))
    ).text == "hello https"
    other = make_authority(tmp_path, "renewed")
    trust_other = ssl.create_default_context(cafile=str(other.cert))
    with pytest.raises(httpx.ConnectError, match="CERTIFICATE_VERIFY_FAILED"):
        await get(url, verify=trust_other)
    serving.renew(other.cert, other.key)
    assert (await get(url, verify=trust_other)).text == "hello https"
    with pytest.raises(Failure, match="cannot be used"):
        serving.renew(other.cert, authority.key)
    await serving.stop()


async def test_a_certificate_that_cannot_be_used_is_named(plain: Starlette, authority: Authority) -> None:
    other = make_authority(authority.cert.parent, "other")
    for cert, key in (
        (authority.cert, other.key),
        (Path("/nowhere.crt"), authority.key),
        (authority.key,) * 2,
    ):
        with pytest.raises(Failure, match="cannot be used") as refused:
            await serve(plain, cert=cert, key=key)
        assert str(cert) in refused.value.what


async def test_a_unix_socket_is_for_this_user_and_a_stale_one_is_replaced(
    plain: Starlette, tmp_path: Path
) -> None:
    path = tmp_path / "api.sock"
    with socket.socket(socket.AF_UNIX) as stale:
        stale.bind(str(path))
    serving = await serve(plain, uds=path)
    assert serving.port == 0
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    transport = httpx.AsyncHTTPTransport(uds=str(path))
    async with httpx.AsyncClient(transport=transport) as client:
        assert (await client.get("http://api/")).text == "hello http"
    with pytest.raises(Failure, match="another process listens on"):
        await serve(plain, uds=path)
    await serving.stop()
    assert not path.exists()
    with pytest.raises(Failure, match="longer than 107 bytes"):
        await serve(plain, uds=tmp_path / ("x" * 120))
    with pytest.raises(Failure, match="cannot listen on"):
        await serve(plain, uds=tmp_path / "nowhere" / "s")


async def test_stopping_lets_a_request_finish(plain: Starlette) -> None:
    serving = await serve(plain)
    asking = asyncio.create_task(get(f"http://127.0.0.1:{serving.port}/slow"))
    await plain.state.entered.wait()
    await serving.stop()
    assert (await asking).text == "done"


async def test_stopping_does_not_wait_for_ever(plain: Starlette) -> None:
    plain.state.takes = 3600
    serving = await serve(plain, grace=1)
    asking = asyncio.create_task(get(f"http://127.0.0.1:{serving.port}/slow"))
    await plain.state.entered.wait()
    async with asyncio.timeout(20):
        await serving.stop()
        assert (await asyncio.gather(asking, return_exceptions=True))[0] is not None


async def test_a_unix_socket_for_everybody_is_one_that_was_chosen(plain: Starlette, tmp_path: Path) -> None:
    serving = await serve(plain, uds=tmp_path / "api.sock", everybody=True)
    assert stat.S_IMODE((tmp_path / "api.sock").stat().st_mode) == 0o666
    await serving.stop()


@pytest.mark.parametrize(
    ("sent", "answers"),
    [
        (b"hello\r\n\r\n", [b"400"]),
        (b"GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n", [b"400"]),
        (b"GET / HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nab", [b"400"]),
        (b"GET / HTTP/1.1\r\nHost: a\r\nContent-Length: 99999999999999999999999\r\n\r\n", [b"400"]),
        (b"GET / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: gzip, chunked\r\n\r\n", [b"400"]),
        (b"GET / HTTP/1.1\r\nHost: a\r\nX: " + b"x" * 200_000 + b"\r\n\r\n", [b"400"]),
        # a body that is none, once the answer has been given: nothing more is said, and the connection ends
        (b"GET / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n|no size\r\n", [b"200"]),
        (b"GET / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n|zzzz\r\nGET / HTTP/1.1\r\n\r\n", [b"200"]),
        # both lengths: the chunks count, and what follows them is the next request, for both sides alike
        (b"GET / HTTP/1.1\r\nHost: a\r\nContent-Length: 4\r\nTransfer-Encoding: chunked\r\nConnection: close\r\n\r\n"
         b"0\r\n\r\nGET /slow HTTP/1.1\r\nHost: a\r\n\r\n", [b"200"]),
    ],
)  # fmt: skip
async def test_what_is_no_http_gets_one_answer_at_most(
    plain: Starlette, sent: bytes, answers: list[bytes]
) -> None:
    """`|`: what follows is sent once the first answer is there."""
    defects: list[object] = []
    asyncio.get_running_loop().set_exception_handler(lambda _, context: defects.append(context))
    serving = await serve(plain)
    reader, writer = await asyncio.open_connection("127.0.0.1", serving.port)
    first, _, rest = sent.partition(b"|")
    async with asyncio.timeout(20):
        writer.write(first)
        got = await reader.read(65536)
        writer.write(rest)
        with contextlib.suppress(ConnectionError):
            got += await reader.read()
    writer.close()
    await serving.stop()
    assert [line[9:12] for line in got.split(b"\r\n") if line.startswith(b"HTTP/1.1 ")] == answers
    assert defects == []


async def test_connections_are_bounded_and_given_back(plain: Starlette) -> None:
    serving = await serve(plain, connections=2)
    opened = [await asyncio.open_connection("127.0.0.1", serving.port) for _ in range(2)]
    async with asyncio.timeout(20):
        for reader, writer in opened:  # each is known to the server once it has answered
            writer.write(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")
            assert (await reader.read(12)).endswith(b"200")
        reader, writer = await asyncio.open_connection("127.0.0.1", serving.port)
        with contextlib.suppress(ConnectionError):
            assert await reader.read() == b""
        writer.close()
        opened[0][1].close()
        while True:  # until the server has seen that
            try:
                assert (await get(f"http://127.0.0.1:{serving.port}/")).status_code == 200
                break
            except httpx.TransportError:
                await asyncio.sleep(0.01)
    opened[1][1].close()
    await serving.stop()
