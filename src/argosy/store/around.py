"""A store around another: whatever it does not say itself, the other does."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

from argosy.store.base import Batch, Copied, Event, Hold, Key, Listing, Store, Stored, Unchanged


class Around:
    """Passes every call of the Store protocol on to `inner`."""

    def __init__(self, inner: Store) -> None:
        self.inner = inner

    async def get(self, key: Key) -> Stored | None:
        return await self.inner.get(key)

    async def list(
        self,
        resource: str | None = None,
        namespace: str | None = None,
        *,
        limit: int = 0,
        after: Key | None = None,
        revision: int | None = None,
    ) -> Listing:
        return await self.inner.list(resource, namespace, limit=limit, after=after, revision=revision)

    async def create(self, key: Key, body: bytes, given: Unchanged | None = None) -> Stored:
        return await self.inner.create(key, body, given)

    async def update(self, key: Key, body: bytes, expected: int | None = None) -> Stored:
        return await self.inner.update(key, body, expected)

    async def delete(self, key: Key, expected: int | None = None) -> Stored:
        return await self.inner.delete(key, expected)

    def watch(self, after: int, resource: str | None = None) -> AsyncIterator[Event]:
        return self.inner.watch(after, resource)

    def batches(self, after: int) -> AsyncIterator[Batch]:
        return self.inner.batches(after)

    async def hold(self, key: Key, body: bytes, ttl: float) -> Hold:
        return await self.inner.hold(key, body, ttl)

    async def compact(self, revision: int) -> None:
        await self.inner.compact(revision)

    async def revision(self) -> int:
        return await self.inner.revision()

    async def last_change(self) -> int:
        return await self.inner.last_change()

    async def health(self) -> None:
        await self.inner.health()

    async def backup(self, path: Path) -> Copied:
        return await self.inner.backup(path)

    async def close(self) -> None:
        await self.inner.close()
