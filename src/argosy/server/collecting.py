"""Memory: the garbage collector out of the way while a great deal is made at once, and while thousands of proxies are
served; what they leave behind is given back.

A view of 10,000 services is a million objects of which none is garbage; the collector would look at them again and
again as they come (half of the time of the compile, measured). It looks once, afterwards.
"""

from __future__ import annotations

import ctypes
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


def settle_down() -> None:
    """For the whole process: fewer collections. A change sent to thousands of streams makes some hundred objects for
    each, which die without the collector's help; by default it looked at them, and at the streams, a dozen times in the
    meantime (a seventh of the cost of a change, measured)."""
    gc.set_threshold(50_000, 10, 10)


def give_back() -> None:
    """What thousands of streams had is free once they have left, and lies in pieces among what is in use: glibc gives
    pages of it back only when it is asked (100 MB of what 1,000 streams leave, measured). Lets go of the GIL."""
    ctypes.CDLL(None).malloc_trim(0)
