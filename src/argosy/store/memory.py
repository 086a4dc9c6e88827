"""A store in memory: for tests and for commands that need no server. Same protocol, same answers; nothing survives.

Rule: no call waits between reading and writing its maps, so one event loop needs no lock.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Sequence
from functools import partial
from pathlib import Path
from weakref import WeakSet

from argosy.store import refusals, snapshot
from argosy.store.base import (
    INTERNAL,
    Batch,
    Copied,
    Event,
    EventType,
    Hold,
    Key,
    Listing,
    Stored,
    Unavailable,
    Unchanged,
)
from argosy.store.holding import Renewal
from argosy.store.tail import Tail, each, follow

KEEP_EVENTS = 10_000


class MemoryStore:
    """Keeps at least the last `keep_events` events for watches."""

    def __init__(self, keep_events: int = KEEP_EVENTS) -> None:
        self._objects: dict[Key, Stored] = {}
        self._held: dict[Key, asyncio.TimerHandle] = {}
        self._renewals: WeakSet[Renewal] = WeakSet()
        self._tail = Tail(0, keep_events)
        self._closed = False

    async def get(self, key: Key) -> Stored | None:
        self._check_open()
        return self._objects.get(key)

    async def list(
        self,
        resource: str | None = None,
        namespace: str | None = None,
        *,
        limit: int = 0,
        after: Key | None = None,
        revision: int | None = None,
    ) -> Listing:
        self._check_open()
        there = self._objects if revision is None else self._at(revision)
        found = [
            stored
            for key, stored in there.items()
            if (resource is None or key.resource == resource)
            and (namespace is None or key.namespace == namespace)
            and (after is None or key > after)
        ]
        found.sort(key=lambda stored: stored.key)
        page = found[:limit] if limit else found
        latest = self._tail.latest if revision is None else revision
        return Listing(tuple(page), latest, len(found) - len(page))

    async def create(self, key: Key, body: bytes, given: Unchanged | None = None) -> Stored:
        self._check_open()
        refusals.check_given(given, self._objects.get(given.key) if given else None)
        if key in self._objects:
            raise refusals.exists(key)
        return self._write(EventType.ADDED, key, body)

    async def update(self, key: Key, body: bytes, expected: int | None = None) -> Stored:
        self._check_open()
        self._current(key, expected)
        return self._write(EventType.MODIFIED, key, body)

    async def delete(self, key: Key, expected: int | None = None) -> Stored:
        self._check_open()
        return self._write(EventType.DELETED, key, self._current(key, expected).body)

    def watch(self, after: int, resource: str | None = None) -> AsyncIterator[Event]:
        return each(self.batches(after), resource)

    async def batches(self, after: int) -> AsyncIterator[Batch]:
        self._check_open()
        if after > self._tail.latest:
            raise refusals.ahead(self._tail.latest, after)
        self._tail.watchers += 1
        try:
            async for batch in follow(self._tail, after, self._older):
                yield batch
        finally:
            self._tail.watchers -= 1

    async def hold(self, key: Key, body: bytes, ttl: float) -> Hold:
        refusals.check_internal(key)
        await self.create(key, body)
        ours = [self._expire_in(key, ttl)]  # the timer that stands for our lease: another's is another

        async def renew() -> bool:
            self._check_open()
            if self._held.get(key) is not ours[0]:
                return False
            ours[0].cancel()
            ours[0] = self._expire_in(key, ttl)
            return True

        async def release() -> None:
            self._check_open()
            if self._held.get(key) is ours[0]:
                await self.delete(key)

        renewal = Renewal(key, ttl, renew, release)
        self._renewals.add(renewal)
        return renewal

    async def compact(self, revision: int) -> None:
        self._check_open()
        self._tail.forget(revision)

    async def revision(self) -> int:
        self._check_open()
        return self._tail.latest

    async def last_change(self) -> int:
        return await self.revision()

    async def health(self) -> None:
        self._check_open()

    async def backup(self, path: Path) -> Copied:
        self._check_open()
        lasting = [one for one in self._objects.values() if not one.key.resource.startswith(INTERNAL)]
        return await asyncio.to_thread(snapshot.write, path, [lasting], self._tail.latest)

    async def close(self) -> None:
        self._closed = True
        self._tail.fail(Unavailable("the store is closed"))
        for renewal in tuple(self._renewals):
            await renewal.stop()
        for timer in self._held.values():
            timer.cancel()

    def _write(self, kind: EventType, key: Key, body: bytes) -> Stored:
        stored = Stored(key, self._tail.latest + 1, body)
        before = self._objects.get(key)
        if kind is EventType.DELETED:
            del self._objects[key]
            if timer := self._held.pop(key, None):
                timer.cancel()
        else:
            self._objects[key] = stored
        previous = (None, 0) if before is None else (before.body, before.revision)
        self._tail.extend([Event(kind, stored, *previous)])
        return stored

    def _at(self, revision: int) -> dict[Key, Stored]:
        """What was there at a revision: what is there now, with the changes since then taken back."""
        if revision > self._tail.latest:
            raise refusals.ahead(self._tail.latest, revision)
        if revision < self._tail.floor:
            raise refusals.cut(self._tail.floor, revision)
        there = dict(self._objects)
        for event in reversed(self._tail.all_since(revision)):
            if event.previous is None:
                there.pop(event.stored.key, None)
            else:
                there[event.stored.key] = Stored(event.stored.key, event.previous_revision, event.previous)
        return there

    def _expire_in(self, key: Key, ttl: float) -> asyncio.TimerHandle:
        timer = asyncio.get_running_loop().call_later(ttl, partial(self._expire, key))
        self._held[key] = timer
        return timer

    def _expire(self, key: Key) -> None:
        if not self._closed and (gone := self._objects.get(key)):
            self._write(EventType.DELETED, key, gone.body)

    def _current(self, key: Key, expected: int | None) -> Stored:
        found = self._objects.get(key)
        if found is None:
            raise refusals.missing(key)
        if expected is not None and expected != found.revision:
            raise refusals.changed(key, found.revision, expected)
        return found

    async def _older(self, revision: int) -> AsyncGenerator[Sequence[Event], None]:
        raise refusals.cut(self._tail.floor, revision)
        yield ()

    def _check_open(self) -> None:
        if self._closed:
            raise Unavailable("the store is closed")
