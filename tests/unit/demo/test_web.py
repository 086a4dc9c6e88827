"""The shop's server and client, joined over real sockets."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest

from argosy.demo.web import Client, Request, Response, Server

BOUND = 10.0


async def answer(request: Request) -> Response:
    if request.path == "/broken":
        raise RuntimeError("sails torn")
    return Response.json({"path": request.path, "query": request.query, "headers": request.headers})


@pytest.fixture
async def port() -> AsyncIterator[int]:
    listener = await asyncio.start_server(Server(answer).connection, "127.0.0.1", 0)
    yield listener.sockets[0].getsockname()[1]
    listener.close()


async def raw(port: int, text: bytes) -> bytes:
    """Everything that comes back until the server closes."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(text)
    try:
        return await asyncio.wait_for(reader.read(), BOUND)
    finally:
        writer.close()


async def test_a_connection_is_kept_for_the_next_request(port: int) -> None:
    client = Client(proxy="")
    for _ in range(3):
        assert (await client.get(f"http://127.0.0.1:{port}/a?b=c")).decoded()["query"] == {"b": "c"}
    assert [len(kept) for kept in client.idle.values()] == [1]
    await client.close()


async def test_through_a_proxy_the_name_goes_along_and_is_not_resolved(port: int) -> None:
    client = Client(proxy=f"http://127.0.0.1:{port}")
    said = (await client.get("http://reviews:9080/reviews/0", {"end-user": "jason"})).decoded()
    assert said["path"] == "/reviews/0"
    headers = said["headers"]
    assert isinstance(headers, dict)
    assert headers["host"] == "reviews:9080"
    assert headers["end-user"] == "jason"
    await client.close()


async def test_a_handler_that_fails_answers_500(port: int, capsys: pytest.CaptureFixture[str]) -> None:
    client = Client(proxy="")
    assert (await client.get(f"http://127.0.0.1:{port}/broken")).status == 500
    assert "sails torn" in capsys.readouterr().err
    await client.close()


async def test_nobody_there_is_an_answer_with_status_0() -> None:
    found = await Client(proxy="").get("http://127.0.0.1:1/")
    assert found.status == 0
    assert found.error


async def test_a_kept_connection_that_was_closed_meanwhile_costs_no_request(port: int) -> None:
    client = Client(proxy="")
    url = f"http://127.0.0.1:{port}/"
    assert (await client.get(url)).status == 200
    ((_, writer),) = client.idle["127.0.0.1", port]
    writer.close()
    assert (await client.get(url)).status == 200
    await client.close()


@pytest.mark.parametrize(
    "text",
    [
        b"GET / HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n",
        b"POST / HTTP/1.1\r\nconnection: close\r\ntransfer-encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n",
        b"POST / HTTP/1.1\r\nconnection: close\r\ncontent-length: 3\r\n\r\nabc",
    ],
)
async def test_bodies_are_read_whole(port: int, text: bytes) -> None:
    assert (await raw(port, text)).startswith(b"HTTP/1.1 200 OK\r\n")


@pytest.mark.parametrize(
    "text", [b"\r\n\r\n", b"hello\r\n\r\n", b"GET / HTTP/1.1\r\ncontent-length: x\r\n\r\n"]
)
async def test_what_is_no_http_is_hung_up_on(port: int, text: bytes) -> None:
    assert await raw(port, text) == b""


def test_the_caller_is_who_the_sidecar_says() -> None:
    identity = "spiffe://td/ns/default/sa/frontend"
    forged = {"x-forwarded-client-cert": "URI=spiffe://td/ns/default/sa/forged"}
    assert Request("GET", "/", {}, {"x-argosy-caller": identity, **forged}).caller == identity
    assert Request("GET", "/", {}, forged).caller == ""
