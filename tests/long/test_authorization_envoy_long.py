"""Policies against real Envoy, 20,000 pairs of policies and calls: see tests/e2e/test_authorization_envoy.py."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.e2e.authorized_comparison import CALLS, none_differs
from tests.e2e.authorized_envoy import lab
from tests.long.conftest import count

pytestmark = [pytest.mark.e2e, pytest.mark.long, pytest.mark.timeout(1800)]


async def test_the_evaluator_says_what_envoy_does(tmp_path: Path) -> None:
    async with lab(tmp_path) as envoy:
        await none_differs(envoy, 70_000, count(full=20_000, short=3_000) // CALLS)
