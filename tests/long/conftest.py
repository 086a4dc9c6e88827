"""How much the long tests do: full counts under ARGOSY_LONG=1 (`make test-long`), else a short form of the same."""

from __future__ import annotations

import os

FULL = os.environ.get("ARGOSY_LONG") == "1"


def count(*, full: int, short: int) -> int:
    """How often a long test does what it does: examples, cycles or seconds."""
    return full if FULL else short
