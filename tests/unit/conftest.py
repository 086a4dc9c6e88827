from __future__ import annotations

from collections.abc import Iterator

import pytest
import structlog


@pytest.fixture(autouse=True)
def _log_as_at_the_start() -> Iterator[None]:
    """A command that a test runs in this process may configure the log, to a stream that is gone when the test is."""
    yield
    structlog.reset_defaults()
