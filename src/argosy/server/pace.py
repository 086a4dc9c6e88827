"""How fast one workload may change what the mesh knows of it: each change is a write to the store, and news to all
proxies that call it.

A budget that fills again with time, of each workload over all its streams. Who has used it up is answered later, not
refused: a workload that flaps stays in the mesh and costs the others little.
"""

from __future__ import annotations

import asyncio
import time
from collections import OrderedDict
from collections.abc import Awaitable, Callable

AT_ONCE, A_SECOND = 60.0, 2.0
"""Messages. Joining takes two, leaving two, a probe that fails and succeeds again two."""
MOST_REMEMBERED = 50_000


class Pace:
    def __init__(
        self,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        self._clock = clock
        self._sleep = sleep
        self._left: OrderedDict[str, tuple[float, float]] = OrderedDict()  # name -> (messages, when)

    async def wait(self, name: str) -> None:
        """Until one more message of this workload is answered."""
        now = self._clock()
        left, then = self._left.pop(name, (AT_ONCE, now))
        left = min(AT_ONCE, left + max(0.0, now - then) * A_SECOND) - 1
        self._left[name] = left, now
        if len(self._left) > MOST_REMEMBERED:
            self._left.popitem(last=False)
        if left < 0:
            await self._sleep(-left / A_SECOND)
