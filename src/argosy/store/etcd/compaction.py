"""Forgetting: etcd keeps every revision until somebody compacts it; one of the servers that share it does.

What stays is what is younger than WINDOW_SECONDS and the last KEEP_REVISIONS, whichever reaches back further; watches
and pages that need what is older begin anew. etcd has one history for all its users: where another compacts it, say
`compact=off` in the URL. Time is the monotonic clock: who sets the clock makes nothing forgotten early.
"""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import Awaitable, Callable

from argosy.runtime.log import logger
from argosy.store.base import AlreadyExists, Hold, StoreError

WINDOW_SECONDS = 300.0
KEEP_REVISIONS = 10_000
SAMPLES = 10  # in a window
LEASE_SECONDS = 15.0

log = logger("store")


class Compactor:
    def __init__(
        self,
        hold: Callable[[float], Awaitable[Hold]],
        revision: Callable[[], Awaitable[int]],
        compact: Callable[[int], Awaitable[None]],
        window: float = WINDOW_SECONDS,
        keep: int = KEEP_REVISIONS,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._hold, self._revision, self._compact = hold, revision, compact
        self._window, self._keep, self._clock = window, keep, clock
        self._samples: deque[tuple[float, int]] = deque()
        self._done = 0

    async def run(self) -> None:
        """Until cancelled: waits until it is the one, then compacts for as long as it is."""
        while True:
            try:
                held = await self._hold(LEASE_SECONDS)
            except StoreError as error:
                if not isinstance(error, AlreadyExists):
                    log.warning("cannot compact etcd", why=str(error))
                await asyncio.sleep(LEASE_SECONDS / 3)
                continue
            try:
                await self._while(held)
            finally:
                await self._let_go(held)

    async def step(self) -> None:
        """Notes where the history stands, and forgets what is past the window."""
        newest, now = await self._revision(), self._clock()
        self._samples.append((now, newest))
        due = 0
        while self._samples and self._samples[0][0] <= now - self._window:
            due = self._samples.popleft()[1]
        due = min(due, newest - self._keep)
        if due > self._done:
            await self._compact(due)
            self._done = due

    async def _while(self, held: Hold) -> None:
        while not held.lost.is_set():
            try:
                await self.step()
            except StoreError as error:
                log.warning("cannot compact etcd", why=str(error))
            try:
                async with asyncio.timeout(self._window / SAMPLES):
                    await held.lost.wait()
            except TimeoutError:
                continue

    async def _let_go(self, held: Hold) -> None:
        try:
            await held.release()
        except StoreError as error:
            log.info("the lease for compacting ends by itself", why=str(error))
