"""The evaluator against real Envoy: random configuration and requests, no difference; and a bug in either is found."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio
from envoy.config.route.v3 import route_pb2

from argosy.explain import matching
from argosy.model.ir import MatchKind, StringMatch
from tests.e2e.explained_comparison import compared, none_differs
from tests.e2e.explained_envoy import REQUESTS, Lab, lab

pytestmark = pytest.mark.e2e

SEED = 20_000


@pytest_asyncio.fixture
async def envoy(tmp_path: Path) -> AsyncIterator[Lab]:
    async with lab(tmp_path) as found:
        yield found


async def test_the_evaluator_says_what_envoy_does(envoy: Lab) -> None:
    await none_differs(envoy, SEED, 5)


async def test_a_bug_in_the_evaluator_is_found(envoy: Lab, monkeypatch: pytest.MonkeyPatch) -> None:
    """A prefix that is compared in any case."""
    right = matching.string_matches

    def wrong(wanted: StringMatch, value: str) -> bool:
        if wanted.kind is MatchKind.PREFIX:
            return value.lower().startswith(wanted.value.lower())
        return right(wanted, value)

    monkeypatch.setattr(matching, "string_matches", wrong)
    assert await first_difference(envoy), "the wrong evaluator agrees with Envoy"


async def test_a_bug_in_the_translation_is_found(envoy: Lab) -> None:
    """Two routes in the wrong order."""

    def swap(message: route_pb2.RouteConfiguration) -> None:
        for host in message.virtual_hosts:
            plain = [
                at for at, route in enumerate(host.routes) if not route.match.HasField("connect_matcher")
            ]
            if len(plain) > 1:
                first, second = plain[:2]
                kept = route_pb2.RouteConfiguration()
                held = kept.virtual_hosts.add().routes.add()
                held.CopyFrom(host.routes[first])
                host.routes[first].CopyFrom(host.routes[second])
                host.routes[second].CopyFrom(held)

    envoy.mutate = swap
    assert await first_difference(envoy), "Envoy with the wrong routes agrees with the evaluator"


async def first_difference(envoy: Lab) -> bool:
    for seed in range(SEED, SEED + 20):
        if await compared(envoy, seed, REQUESTS):
            return True
    return False
