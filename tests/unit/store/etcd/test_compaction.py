"""What is forgotten: nothing that is young, nothing of the last revisions, and by one server alone. With a clock that
stands still until it is moved."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

from argosy.store.base import AlreadyExists, Hold, Key, Unavailable
from argosy.store.etcd.compaction import Compactor
from argosy.store.holding import Renewal


class History:
    def __init__(self, window: float = 300, keep: int = 100) -> None:
        self.now = 0.0
        self.newest = 1
        self.compacted: list[int] = []
        self.compactor = Compactor(
            self.hold, self.revision, self.compact, window=window, keep=keep, clock=lambda: self.now
        )
        self.holds: list[Renewal] = []
        self.taken = False

    async def hold(self, ttl: float) -> Hold:
        if self.taken:
            raise AlreadyExists("another compacts")
        self.taken = True

        async def renew() -> bool:
            return True

        async def release() -> None:
            self.taken = False

        self.holds.append(Renewal(Key("/internal/x", "", "x"), ttl, renew, release))
        return self.holds[-1]

    async def revision(self) -> int:
        return self.newest

    async def compact(self, revision: int) -> None:
        self.compacted.append(revision)

    async def at(self, now: float, newest: int) -> list[int]:
        self.now, self.newest = now, newest
        await self.compactor.step()
        return self.compacted


async def test_what_is_younger_than_the_window_stays() -> None:
    history = History()
    assert await history.at(0, 1_000) == []
    assert await history.at(150, 5_000) == []
    assert await history.at(299, 9_000) == []
    assert await history.at(300, 9_500) == [1_000]
    assert await history.at(460, 9_600) == [1_000, 5_000]


async def test_the_last_revisions_stay_however_old_they_are() -> None:
    history = History()
    await history.at(0, 50)
    assert await history.at(1_000, 90) == []
    assert await history.at(2_000, 160) == [60]
    assert await history.at(3_000, 160) == [60]
    assert await history.at(9_000, 161) == [60, 61]


async def test_a_server_compacts_while_it_holds_and_another_when_it_has_ended() -> None:
    history = History(window=0.2, keep=0)
    running = asyncio.create_task(history.compactor.run())
    await until(lambda: history.taken)
    history.now, history.newest = 10, 500
    await until(lambda: bool(history.compacted) or bump(history))
    running.cancel()
    await asyncio.gather(running, return_exceptions=True)
    assert not history.taken


async def test_trouble_of_the_store_ends_nothing() -> None:
    history = History(window=0.2, keep=0)
    failing = True

    async def revision() -> int:
        if failing:
            raise Unavailable("away")
        history.now += 1
        history.newest += 1
        return history.newest

    history.compactor._revision = revision
    running = asyncio.create_task(history.compactor.run())
    await until(lambda: history.taken)
    failing = False
    await until(lambda: bool(history.compacted))
    running.cancel()
    await asyncio.gather(running, return_exceptions=True)


def bump(history: History) -> bool:
    history.now += 1
    return False


async def until(true: Callable[[], bool | Awaitable[bool]]) -> None:
    async with asyncio.timeout(20):
        while not true():
            await asyncio.sleep(0.01)
