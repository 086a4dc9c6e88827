"""The handlers in memory, under whatever hypothesis thinks of: for a time, not for a count."""

from __future__ import annotations

import math
import os
import time
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from argosy.apiserver.documents import PROTOBUF
from tests.long.conftest import FULL, count
from tests.unit.apiserver import test_any_header as header
from tests.unit.apiserver import test_any_request as api
from tests.unit.apiserver.test_any_header import Living, living

__all__ = ["living"]

pytestmark = [pytest.mark.long, pytest.mark.timeout(7200)]

SECONDS = float(os.environ.get("ARGOSY_FUZZ_SECONDS") or count(full=300, short=5))
ROUND = 500


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
    def sent(method: str, path: str, kind: str, body: bytes) -> None:
        living.ask(method, path, [("content-type", kind)] if kind else [], body)

    writes = st.sampled_from(["POST", "PUT", "PATCH"])
    assert for_a_time((writes, header.PATHS, api.TYPES, api.BODIES), sent)
