"""Work counted, not timed: the same on every machine."""

from __future__ import annotations

import sys
from collections.abc import Callable
from types import FrameType
from typing import Any


def lines(work: Callable[[], object], within: str = "/argosy/") -> int:
    """Lines that `work` executes, of files whose path has `within` in it."""
    found = 0

    def count(frame: FrameType, event: str, _: object) -> Any:
        nonlocal found
        if within not in frame.f_code.co_filename:
            return None
        found += event == "line"
        return count

    before = sys.gettrace()
    sys.settrace(count)
    try:
        work()
    finally:
        sys.settrace(before)
    return found
