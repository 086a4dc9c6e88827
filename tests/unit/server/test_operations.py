"""What is asked of the operations' routes: every query gets an answer below 500."""

from __future__ import annotations

from typing import Any

import httpx
import pytest

from argosy.apiserver.app import create_app
from argosy.apiserver.auth import User
from argosy.server.operations import PREFIX, routes
from argosy.store.memory import MemoryStore


class Asked:
    """Operations that remember what they were asked."""

    def __init__(self) -> None:
        self.deliveries: list[tuple[Any, ...]] = []

    async def proxies(self) -> tuple[list[Any], tuple[str, ...]]:
        return [], ()

    async def deliver(self, *asked: Any) -> dict[str, str]:
        self.deliveries.append(asked)
        return {}


GOOD = {"object": "VirtualService/shop/x"}


@pytest.mark.parametrize(
    ("query", "code"),
    [
        (GOOD, 200),
        (GOOD | {"revision": "7", "timeout": "2s"}, 200),
        (GOOD | {"revision": "inf"}, 400),
        (GOOD | {"revision": "nan"}, 400),
        (GOOD | {"revision": "-1"}, 400),
        (GOOD | {"revision": "1.5"}, 400),
        (GOOD | {"revision": "9" * 300}, 400),
        (GOOD | {"timeout": "inf"}, 400),
        (GOOD | {"timeout": "nan"}, 400),
        (GOOD | {"timeout": "1e9"}, 400),
        (GOOD | {"timeout": "x" * 5000}, 400),
        ({}, 400),
        ({"object": "/" * 5000}, 400),
        ({"object": "VirtualService/shop"}, 400),
        ({"object": "Namespace//shop"}, 200),
        ({"object": "x" * 5000}, 400),
        ({"object": "Gateway.\x00/shop/x"}, 400),
    ],
)
async def test_a_question_about_a_delivery(query: dict[str, str], code: int) -> None:
    asked = Asked()
    app = create_app(
        MemoryStore(),
        authenticate=lambda _: User("ann"),
        extra_routes=routes(asked),  # type: ignore[arg-type]
    )
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://api") as web:
        answer = await web.get(f"{PREFIX}/delivery", params=query)
    assert answer.status_code == code, answer.text
    assert len(asked.deliveries) == (code == 200)
    assert len(answer.content) < 1000
