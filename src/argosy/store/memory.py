"""A store in memory: for tests and for commands that need no server. Same protocol, same answers; nothing survives.

Rule: no call waits between reading and writing its maps, so one event loop needs no lock.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence

from argosy.store import refusals
from argosy.store.base import Event, EventType, Key, Listing, Stored, Unavailable
from argosy.store.tail import Tail, follow

KEEP_EVENTS = 10_000


class MemoryStore:
    """Keeps at least the last `keep_events` events for watches."""

    def __init__(self, keep_events: int = KEEP_EVENTS) -> None:
        self._objects: dict[Key, Stored] = {}
        self._tail = Tail(0, keep_events)
        self._closed = False

    async def get(self, key: Key) -> Stored | None:
        self._check_open()
        return self._objects.get(key)

    async def list(self, resource: str | None = None, namespace: str | None = None) -> Listing:
        self._check_open()
        found = [
            stored
            for key, stored in self._objects.items()
            if (resource is None or key.resource == resource)
            and (namespace is None or key.namespace == namespace)
        ]
        return Listing(tuple(sorted(found, key=lambda stored: stored.key)), self._tail.latest)

    async def create(self, key: Key, body: bytes) -> Stored:
        self._check_open()
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

    async def watch(self, after: int, resource: str | None = None) -> AsyncIterator[Event]:
        self._check_open()
        if after > self._tail.latest:
            raise refusals.ahead(self._tail.latest, after)
        self._tail.watchers += 1
        try:
            async for event in follow(self._tail, after, resource, self._older):
                yield event
        finally:
            self._tail.watchers -= 1

    async def close(self) -> None:
        self._closed = True
        self._tail.fail(Unavailable("the store is closed"))

    def _write(self, kind: EventType, key: Key, body: bytes) -> Stored:
        stored = Stored(key, self._tail.latest + 1, body)
        if kind is EventType.DELETED:
            del self._objects[key]
        else:
            self._objects[key] = stored
        self._tail.extend([Event(kind, stored)])
        return stored

    def _current(self, key: Key, expected: int | None) -> Stored:
        found = self._objects.get(key)
        if found is None:
            raise refusals.missing(key)
        if expected is not None and expected != found.revision:
            raise refusals.changed(key, found.revision, expected)
        return found

    async def _older(self, revision: int) -> Sequence[Event]:
        raise refusals.cut(self._tail.floor, revision)

    def _check_open(self) -> None:
        if self._closed:
            raise Unavailable("the store is closed")
