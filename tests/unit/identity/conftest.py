from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from argosy.identity.authority import Authority, open_authority


class Clock:
    """A clock that stands still until a test moves it."""

    def __init__(self, now: float) -> None:
        self.now = now

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock(1_800_000_000.0)


@pytest.fixture
def authority(tmp_path: Path, clock: Callable[[], float]) -> Authority:
    return open_authority(tmp_path / "state" / "ca", "cluster.local", clock=clock)
