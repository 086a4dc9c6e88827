"""The CustomResourceDefinitions that the API serves: not stored, but made from the list of kinds.

They look like any other object, and never change while the server runs.
"""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from functools import cached_property
from typing import Protocol

from argosy.apiserver import encoding
from argosy.resources import apiextensions
from argosy.resources.definitions import defined, established, name_of
from argosy.store.base import Batch, Key, Listing, Store, Stored

RESOURCE = f"{apiextensions.GROUP}/customresourcedefinitions"
REVISION = 1


class Readable(Protocol):
    """The part of a store that requests read from."""

    async def get(self, key: Key) -> Stored | None: ...

    async def list(
        self,
        resource: str | None = None,
        namespace: str | None = None,
        *,
        limit: int = 0,
        after: Key | None = None,
        revision: int | None = None,
    ) -> Listing: ...

    def batches(self, after: int) -> AsyncIterator[Batch]: ...


class Definitions:
    """Reads like a store that holds nothing else; its revision is that of the store beside it."""

    def __init__(self, store: Store, started: datetime) -> None:
        self._store = store
        self._started = started.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")

    async def get(self, key: Key) -> Stored | None:
        return (await self._made()).get(key)

    async def list(
        self,
        resource: str | None = None,
        namespace: str | None = None,
        *,
        limit: int = 0,
        after: Key | None = None,
        revision: int | None = None,
    ) -> Listing:
        current = await self._store.revision() if revision is None else revision
        made = await self._made()
        items = tuple(stored for key, stored in made.items() if after is None or key > after)
        page = items[:limit] if limit else items
        return Listing(page, current, len(items) - len(page))

    def batches(self, after: int) -> AsyncIterator[Batch]:
        return self._store.batches(after)

    async def _made(self) -> dict[Key, Stored]:
        """Made in a thread, the first time."""
        return await asyncio.to_thread(lambda: self._all)

    @cached_property
    def _all(self) -> dict[Key, Stored]:
        found = {}
        for kind in sorted(defined(), key=name_of):
            key = Key(RESOURCE, "", name_of(kind))
            uid = str(uuid.uuid5(uuid.NAMESPACE_DNS, key.name))
            body = encoding.body_of(established(kind, uid=uid, now=self._started))
            found[key] = Stored(key, REVISION, body)
        return found
