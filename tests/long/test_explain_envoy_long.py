"""The evaluator against real Envoy, 20,000 requests: see tests/e2e/test_explain_envoy.py."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.e2e.explained_comparison import none_differs
from tests.e2e.explained_envoy import REQUESTS, lab
from tests.e2e.explained_requests import Generator
from tests.long.conftest import count

pytestmark = [pytest.mark.e2e, pytest.mark.long, pytest.mark.timeout(1800)]


async def test_the_evaluator_says_what_envoy_does(tmp_path: Path) -> None:
    async with lab(tmp_path) as envoy:
        await none_differs(envoy, 40_000, count(full=20_000, short=2_000) // REQUESTS)


@pytest.mark.parametrize("seed", range(8))
async def test_whatever_the_mesh_says_of_paths_and_headers(tmp_path: Path, seed: int) -> None:
    async with lab(tmp_path, Generator(seed, {}).arrival()) as envoy:
        configurations = count(full=3_000, short=900) // REQUESTS
        # Many are refused or redirected for how they are written.
        await none_differs(envoy, 60_000 + 1_000 * seed, configurations, least=0.03, every_kind=False)
