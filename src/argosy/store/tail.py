"""The newest events in memory, shared by all the watchers of a store.

Rules: a watcher is a cursor, never a queue: one that does not read costs nothing and holds nobody up. The tail holds
exactly the events with `floor < revision <= latest`, in order. What lies at or below `floor` must be read elsewhere
(the event log of the file) or is gone (the memory store). Who stands at the same place gets the same Batch. Many
watchers are woken at once after a quiet moment, and then not before a pause as long as their waking took, so that it
takes half of the time at most, and under load each is told several events at a time.
"""

from __future__ import annotations

import asyncio
import contextlib
from bisect import bisect_right
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Sequence

from argosy.store.base import Batch, Event, StoreError

CHUNK = 256
"""Events a watcher takes at once."""
CHUNK_BYTES = 1 << 20
"""Of their bodies, but for the first: what a watcher that does not read keeps in memory."""
KEPT = 4
"""Batches that are kept for those who come to the same place."""
MANY = 8
"""Watchers, from which on waking them costs more than a write."""
LONGEST = 0.02
"""Seconds after a waking until the next, at most: for as long as the first took, nobody is woken again."""
KEEP_BYTES = 64 << 20
"""Of the events in a tail, for stores that have the older ones elsewhere."""
UNBOUNDED = 1 << 62


class Tail:
    """Events since `floor`, at least the last `keep` of them once there are so many; fewer where they have more than
    `keep_bytes`."""

    def __init__(self, floor: int, keep: int, keep_bytes: int = UNBOUNDED) -> None:
        self.floor = floor
        self.latest = floor
        self.watchers = 0
        self._keep = keep
        self._keep_bytes = keep_bytes
        self._events: list[Event] = []
        self._bytes = 0  # of what is in them
        self._waiting: set[asyncio.Future[None]] = set()
        self._failure: StoreError | None = None
        self._batches: dict[int, Batch] = {}
        self._woken = self._again = -LONGEST
        self._woken_count = 0
        self._timer: asyncio.TimerHandle | None = None

    def extend(self, events: Sequence[Event]) -> None:
        """Appends events in order of revision, all newer than `latest`."""
        if not events:
            return
        self._events.extend(events)
        self._bytes += sum(map(_size, events))
        self.latest = events[-1].stored.revision
        # Cut rarely: a cut moves every event that stays.
        if len(self._events) > self._keep + max(64, self._keep // 8) or self._bytes > self._keep_bytes:
            self._drop(self._whole(self._beyond()))
        self._wake()

    def reset(self, latest: int) -> None:
        """Forgets everything up to `latest`; watchers that are behind find out when they read elsewhere."""
        self._events.clear()
        self._bytes = 0
        self.floor = self.latest = latest
        self._wake()

    def forget(self, revision: int) -> None:
        """Drops the events up to a revision, which is not newer than `latest`."""
        if revision > self.floor:
            self._drop(bisect_right(self._events, revision, key=_revision))
            self.floor = revision
            self._wake()

    def fail(self, failure: StoreError) -> None:
        """Ends every watch with `failure`."""
        self._failure = failure
        self._wake_all()

    def since(self, revision: int) -> Batch | None:
        """The next events after `revision`, at most CHUNK; None where the tail does not reach back to it."""
        if revision < self.floor:
            return None
        found = self._batches.get(revision)
        if found is None:
            start = bisect_right(self._events, revision, key=_revision)
            found = Batch(self._events[start : self._end(start)])
            if len(self._batches) >= KEPT:
                del self._batches[next(iter(self._batches))]
            self._batches[revision] = found
        return found

    def all_since(self, revision: int) -> Sequence[Event]:
        """All events after a revision that is not below `floor`."""
        return self._events[bisect_right(self._events, revision, key=_revision) :]

    async def changed(self, seen: int) -> None:
        """Waits for an event newer than `seen`. Raises what the tail failed with."""
        while self._failure is None and self.latest <= seen:
            waiter: asyncio.Future[None] = asyncio.get_running_loop().create_future()
            self._waiting.add(waiter)
            if len(self._waiting) == self._woken_count:  # all are back
                now = _now()
                self._again = min(self._again, now + (now - self._woken))
            try:
                await waiter
            finally:
                self._waiting.discard(waiter)
        if self._failure is not None:
            raise self._failure

    def _beyond(self) -> int:
        """How many of the oldest events are too many, by their number or by their bytes."""
        count = max(0, len(self._events) - self._keep)
        if self._bytes > self._keep_bytes:
            left = self._bytes - sum(map(_size, self._events[:count]))
            while left > self._keep_bytes * 7 // 8:
                left -= _size(self._events[count])
                count += 1
        return count

    def _drop(self, count: int) -> None:
        if count:
            self._bytes -= sum(map(_size, self._events[:count]))
            self.floor = self._events[count - 1].stored.revision
            del self._events[:count]

    def _end(self, start: int) -> int:
        """Of the events that are taken at once."""
        end, size = start, 0
        for event in self._events[start : start + CHUNK]:
            size += len(event.stored.body)
            if size > CHUNK_BYTES and end > start:
                break
            end += 1
        return self._whole(end)

    def _whole(self, end: int) -> int:
        """A place to part the events at, here or later: those of one revision (another's transaction) stay together."""
        while end < len(self._events) and _revision(self._events[end]) == _revision(self._events[end - 1]):
            end += 1
        return end

    def _wake(self) -> None:
        """To be called after each change."""
        self._batches.clear()
        if self._timer is not None or not self._waiting:
            return
        rest = self._again - _now()
        if rest > 0 and len(self._waiting) >= MANY:
            self._timer = asyncio.get_running_loop().call_later(rest, self._wake_all)
        else:
            self._wake_all()

    def _wake_all(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if self._waiting:
            self._woken = _now()
            self._again = self._woken + LONGEST
            self._woken_count = len(self._waiting)
        for waiter in self._waiting:
            if not waiter.done():
                waiter.set_result(None)


async def each(batches: AsyncIterator[Batch], resource: str | None) -> AsyncIterator[Event]:
    """The events of a resource (None: of all), one by one. `batches` is an async generator, and ends with this."""
    try:
        async for batch in batches:
            for event in batch.events:
                if resource is None or event.stored.key.resource == resource:
                    yield event
    finally:
        await batches.aclose()  # type: ignore[attr-defined]


async def follow(
    tail: Tail, after: int, older: Callable[[int], AsyncGenerator[Sequence[Event], None]]
) -> AsyncIterator[Batch]:
    """Events after a revision, for ever: from the tail, or from `older` where the tail does not reach back.

    `older(revision)` gives the events after `revision`, a few at a time, or raises Compacted.
    """
    position = after
    while True:
        batch = tail.since(position)
        if batch is None:
            async with contextlib.aclosing(older(position)) as found:
                async for events in found:
                    position = events[-1].stored.revision
                    yield Batch(events)
                    if position >= tail.floor:
                        break
        elif batch.events:
            position = batch.revision
            yield batch
        else:
            await tail.changed(position)


def _now() -> float:
    return asyncio.get_running_loop().time()


def _revision(event: Event) -> int:
    return event.stored.revision


def _size(event: Event) -> int:
    return len(event.stored.body) + len(event.previous or b"")
