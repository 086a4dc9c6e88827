"""The garbage collector, out of the way while a great deal is made at once.

A view of 10,000 services is a million objects of which none is garbage; the collector would look at them again and
again as they come (half of the time of the compile, measured). It looks once, afterwards.
"""

from __future__ import annotations

import gc
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def paused() -> Iterator[None]:
    """No collections inside; what is unreachable then is found by the next one."""
    running = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if running:
            gc.enable()
