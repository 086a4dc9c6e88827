"""Objects of one kind, as they are in the store at this moment: for parts of the server that decide by them.

Followed in the store, so that what is taken away counts at once. While the store cannot be read, what is known holds.
"""

from __future__ import annotations

import asyncio
from abc import ABC, abstractmethod

from argosy.resources.kinds import decode
from argosy.resources.meta import Object
from argosy.runtime.log import logger
from argosy.store.base import Compacted, EventType, Key, Store, Stored, StoreError

RETRY_AFTER = 1.0

log = logger("identity")


class Following(ABC):
    """`put` and `drop` are told of each object; one that cannot be read is as good as gone."""

    resource: str

    def __init__(self, store: Store) -> None:
        self.store = store
        self._known: set[Key] = set()

    @abstractmethod
    def put(self, key: Key, obj: Object) -> None: ...

    @abstractmethod
    def drop(self, key: Key) -> None: ...

    async def load(self) -> int:
        """Reads all; the revision to watch from. Raises StoreError."""
        listing = await self.store.list(self.resource)
        for gone in self._known - {stored.key for stored in listing.items}:
            self._drop(gone)
        for stored in listing.items:
            self._put(stored)
        return listing.revision

    async def follow(self, revision: int) -> None:
        """For ever."""
        while True:
            try:
                async for event in self.store.watch(revision, self.resource):
                    revision = event.stored.revision
                    if event.type is EventType.DELETED:
                        self._drop(event.stored.key)
                    else:
                        self._put(event.stored)
                revision = await self.load()
            except Compacted:
                revision = await self._reload()
            except StoreError as error:
                log.error("store unreadable: what is known holds", resource=self.resource, error=str(error))
                await asyncio.sleep(RETRY_AFTER)
                revision = await self._reload()

    async def _reload(self) -> int:
        while True:
            try:
                return await self.load()
            except StoreError:
                await asyncio.sleep(RETRY_AFTER)

    def _put(self, stored: Stored) -> None:
        try:
            obj = decode(stored.body)
        except ValueError as error:
            log.error("object not usable", resource=self.resource, name=stored.key.name, error=str(error))
            self._drop(stored.key)
            return
        self._known.add(stored.key)
        self.put(stored.key, obj)

    def _drop(self, key: Key) -> None:
        self._known.discard(key)
        self.drop(key)
