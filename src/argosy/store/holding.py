"""Presence: objects that live while their holder renews them, and the holder's side of it, the same for every store.

Rule: a hold that may be lost is lost. Its holder is told no later than others may see the object gone, so that two
processes never both take themselves for the one that holds it (for longer than a store's answer takes).
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable

from argosy.store.base import AlreadyExists, Hold, Key, Store, StoreError, Unavailable

RENEWALS = 3
"""How often a hold is renewed within its time to live: two may fail."""
SHORTEST_PAUSE = 0.05


class Renewal:
    """A `Hold`. `renew` says whether the object is still ours; `release` deletes it if it is."""

    def __init__(
        self,
        key: Key,
        ttl: float,
        renew: Callable[[], Awaitable[bool]],
        release: Callable[[], Awaitable[None]],
    ) -> None:
        self.key = key
        self.lost = asyncio.Event()
        self._ttl = ttl
        self._renew = renew
        self._release = release
        self._until = asyncio.get_running_loop().time() + ttl
        self._task = asyncio.create_task(self._run(), name=f"hold {key.name}")

    async def release(self) -> None:
        if self._task.done():
            return
        await self.stop()
        await self._release()

    async def stop(self) -> None:
        """Renews no more; the object goes when its time is over."""
        self._task.cancel()
        await asyncio.gather(self._task, return_exceptions=True)

    async def _run(self) -> None:
        clock = asyncio.get_running_loop().time
        pause = self._ttl / RENEWALS
        while True:
            await asyncio.sleep(min(pause, max(SHORTEST_PAUSE, self._until - clock())))
            asked = clock()
            try:
                async with asyncio.timeout_at(self._until):
                    ours = await self._renew()
            except (StoreError, TimeoutError):
                ours = clock() < self._until  # not known: it is ours until its time is over
            else:
                self._until = asked + self._ttl
            if not ours:
                self.lost.set()
                return


async def keep_present(
    store: Store, key: Key, body: Callable[[], bytes], ttl: float, on_change: Callable[[bool], None]
) -> None:
    """Holds an object until cancelled, and takes it again whenever it was lost or another still has it.

    `on_change(True)` is called when it is held, `on_change(False)` when it is no longer certain.
    """
    while True:
        try:
            held = await store.hold(key, body(), ttl)
        except (AlreadyExists, Unavailable):
            await asyncio.sleep(ttl / RENEWALS)
            continue
        on_change(True)
        try:
            await held.lost.wait()
        finally:
            on_change(False)
            await _let_go(held)


async def _let_go(held: Hold) -> None:
    with contextlib.suppress(Unavailable):
        await held.release()


@contextlib.asynccontextmanager
async def holding(store: Store, key: Key, body: bytes, ttl: float) -> AsyncIterator[Hold]:
    """Holds an object for as long as the block runs. Raises AlreadyExists where another has it."""
    held = await store.hold(key, body, ttl)
    try:
        yield held
    finally:
        await _let_go(held)
