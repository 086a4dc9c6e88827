"""The handlers in memory, for a time and not for a count.

At the door they are under whatever hypothesis thinks of; behind it, under damaged objects of several clients at once.
"""

from __future__ import annotations

import asyncio
import math
import os
import random
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from structlog.testing import capture_logs

from argosy.apiserver.documents import PROTOBUF
from argosy.resources.kinds import SERVED
from argosy.store.memory import MemoryStore
from tests.long.conftest import FULL, count
from tests.long.crowd import Crowd, Crowded
from tests.long.taken import ENOUGH, enough_is_taken
from tests.unit.apiserver import test_any_header as header
from tests.unit.apiserver import test_any_request as api
from tests.unit.apiserver.guarded import guarded
from tests.unit.apiserver.test_any_header import Living, living

__all__ = ["living"]

pytestmark = [pytest.mark.long, pytest.mark.timeout(7200)]

SECONDS = float(os.environ.get("ARGOSY_FUZZ_SECONDS") or count(full=300, short=4))
"""For each test."""
ROUND = 500
CLIENTS = 5


def for_a_time(strategies: tuple[st.SearchStrategy[Any], ...], check: Callable[..., Any]) -> int:
    """Checks new examples until the time is up, and one at least; how many.

    The time begins with the first: what hypothesis draws from is built before it, once, which takes seconds on a
    machine that has much to do.
    """
    done, deadline = 0, math.inf

    @settings(
        max_examples=ROUND,
        derandomize=not FULL,
        database=None,
        deadline=None,
        suppress_health_check=list(HealthCheck),
        print_blob=True,
    )
    @given(st.tuples(*strategies))
    def one(drawn: tuple[Any, ...]) -> None:
        nonlocal done, deadline
        if not done:
            deadline = time.monotonic() + SECONDS
        if time.monotonic() < deadline:
            done += 1
            check(*drawn)

    while time.monotonic() < deadline:
        one()
    print(f"{done} requests")
    return done


def test_any_headers(living: Living) -> None:
    drawn = (api.METHODS, header.PATHS, header.HEADERS, st.binary(max_size=30))
    assert for_a_time(drawn, living.ask)


def test_any_protobuf(living: Living) -> None:
    def posted(path: str, body: bytes) -> None:
        living.ask("POST", path, [("content-type", PROTOBUF)], body)

    assert for_a_time((header.PATHS, header.protobuf()), posted)


def test_any_json(living: Living) -> None:
    """Hardly any of it comes past the door."""

    def sent(method: str, path: str, kind: str, body: bytes) -> None:
        living.ask(method, path, [("content-type", kind)] if kind else [], body)

    writes = st.sampled_from(["POST", "PUT", "PATCH"])
    assert for_a_time((writes, header.PATHS, api.TYPES, api.BODIES), sent)


async def test_damaged_objects_of_several_clients_at_once(tmp_path: Path) -> None:
    """What is behind the door, while others change and delete what a request has just read."""
    seed = int(os.environ.get("ARGOSY_SEED") or (time.time_ns() % 2**32 if FULL else 1))
    store, unseen = Crowded(MemoryStore(), random.Random(seed)), list[dict[str, Any]]()
    asyncio.get_running_loop().set_exception_handler(lambda _, context: unseen.append(context))
    with capture_logs() as logged:
        async with guarded(tmp_path, store) as api, api.web() as web:
            collecting = asyncio.create_task(api.app.state.collector.run())
            crowd = Crowd(web, random.Random(seed))
            try:
                await crowd.open()
                async with asyncio.TaskGroup() as clients:
                    for client in range(CLIENTS):
                        dice = random.Random(f"{seed} {client}")
                        clients.create_task(crowd.work(dice, SECONDS))
                for kind in SERVED:
                    if not kind.virtual:
                        await crowd.refresh(kind)
                assert not collecting.done(), collecting.exception()
            except BaseException:
                print("--- the last requests:", *crowd.history, sep="\n", file=sys.stderr)
                print(f"--- ARGOSY_SEED={seed}", file=sys.stderr)
                raise
            finally:
                collecting.cancel()
                await asyncio.gather(collecting, return_exceptions=True)
    requests = sum(crowd.codes.values())
    print(f"ARGOSY_SEED={seed}: {requests} requests of {CLIENTS} clients, crossed {store.crossed} times")
    assert unseen == [], "no task has failed where nobody looks"
    assert [line for line in logged if "exc_info" in line or line["log_level"] == "error"] == []
    enough_is_taken(crowd.codes)
    assert requests < ENOUGH or store.crossed > requests / 10, "they are at work at once"
