"""How much one user, and all together, may have at once; and a body that does not come."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import pytest
from starlette.requests import Request
from starlette.types import Message, Receive, Scope, Send

from argosy.apiserver.access.impersonation import IMPERSONATOR
from argosy.apiserver.access.limits import Limits
from argosy.apiserver.auth import User
from argosy.apiserver.status import Refusal


class Held:
    """An application that reads the body and then waits until it may go on."""

    def __init__(self) -> None:
        self.go = asyncio.Event()
        self.running = 0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        await Request(scope, receive).body()
        self.running += 1
        await self.go.wait()


def request(name: str = "ann", method: str = "POST", query: str = "", by: str = "") -> Scope:
    scope = {IMPERSONATOR: User(by)} if by else {}
    return {
        "type": "http",
        "method": method,
        "path": "/",
        "query_string": query.encode(),
        "headers": [],
        "user": User(name),
        **scope,
    }


def body(*chunks: bytes, then: Callable[[], Any] | None = None) -> Receive:
    """`then`: what is waited for before the last chunk."""
    left = list(chunks)

    async def receive() -> Message:
        if len(left) == 1 and then is not None:
            await then()
        return {"type": "http.request", "body": left.pop(0), "more_body": bool(left)}

    return receive


async def nothing(_: Message) -> None:
    return


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(10):
        while not condition():
            await asyncio.sleep(0)


@pytest.mark.parametrize(
    ("first", "second", "refused"),
    [
        (request(), request(), True),
        (request(), request("bob"), False),
        (request(), request(method="GET"), True),
        (request(), request(method="GET", query="watch=true"), False),
        (request(method="GET", query="watch=1"), request(method="HEAD", query="watch"), True),
        (request(by="root"), request("bob", by="root"), True),
        (request(by="root"), request(), False),
    ],
)
async def test_so_many_at_once_and_no_more(first: Scope, second: Scope, refused: bool) -> None:
    app = Held()
    limits = Limits(app, requests=1, watches=1)
    running = asyncio.create_task(limits(first, body(b""), nothing))
    await until(lambda: app.running == 1)
    if refused:
        with pytest.raises(Refusal, match="at once") as caught:
            await limits(second, body(b""), nothing)
        assert (caught.value.code, dict(caught.value.headers)["Retry-After"]) == (429, "1")
    app.go.set()
    await running
    await limits(second, body(b""), nothing)
    assert app.running == 2, "it is free again"


async def test_bodies_are_bounded_together_and_given_back() -> None:
    app = Held()
    limits = Limits(app, bodies=10)
    running = asyncio.create_task(limits(request(), body(b"1234", b"56"), nothing))
    await until(lambda: app.running == 1)
    with pytest.raises(Refusal, match="all requests at once"):
        await limits(request("bob"), body(b"123", b"45"), nothing)
    app.go.set()
    await running
    await limits(request("bob"), body(b"12345", b"67890"), nothing)


async def test_a_body_that_does_not_come_is_given_up() -> None:
    limits = Limits(Held(), body_within=0.05)
    with pytest.raises(Refusal, match="has not come") as caught:
        await limits(request(), body(b"1", b"2", then=asyncio.Event().wait), nothing)
    assert (caught.value.code, dict(caught.value.headers)) == (408, {"Connection": "close"})


async def test_a_watch_lasts_longer_than_a_body_may_take() -> None:
    """What it receives after its body, that its client has left, is not bounded."""
    left = asyncio.Event()
    lasted: list[Message] = []

    async def watching(scope: Scope, receive: Receive, send: Send) -> None:
        await receive()
        lasted.append(await receive())

    async def receive() -> Message:
        if not left.is_set():
            left.set()
            return {"type": "http.request", "body": b"", "more_body": False}
        await asyncio.sleep(0.1)
        return {"type": "http.disconnect"}

    await Limits(watching, body_within=0.01)(request(method="GET", query="watch=true"), receive, nothing)
    assert lasted == [{"type": "http.disconnect"}]
