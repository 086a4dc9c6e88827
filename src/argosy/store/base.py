"""The Store protocol: keys, revisions, bytes; list + watch. One protocol for SQLite, etcd, Kubernetes and memory.

Rules every implementation keeps (and one conformance test checks on all of them):

* One counter for the whole store: each write gets the next revision; an object's revision is that of its last write.
* A write is durable before it is acknowledged; object and event are one transaction.
* `update` and `delete` with `expected` are compare-and-swap.
* A watch yields each change after `after` exactly once, in order; where the log no longer reaches back, `Compacted`.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from enum import StrEnum
from typing import Protocol

from msgspec import Struct


class Key(Struct, frozen=True, order=True):
    """`resource` is `group/plural` (`networking.istio.io/virtualservices`, core kinds: `/services`)."""

    resource: str
    namespace: str  # "" for cluster-scoped kinds
    name: str


class Stored(Struct, frozen=True):
    """An object as stored: `body` is its JSON without `metadata.resourceVersion`, which is `revision`."""

    key: Key
    revision: int
    body: bytes


class Listing(Struct, frozen=True):
    items: tuple[Stored, ...]
    revision: int  # of the store at the moment of the list: watch from here misses nothing


class EventType(StrEnum):
    ADDED = "ADDED"
    MODIFIED = "MODIFIED"
    DELETED = "DELETED"


class Event(Struct, frozen=True):
    """For DELETED `stored.body` is the last body and `stored.revision` the revision of the deletion."""

    type: EventType
    stored: Stored


class StoreError(Exception):
    """What a store could not do; the message names the key or file and the remedy."""


class NotFound(StoreError):
    pass


class AlreadyExists(StoreError):
    pass


class Conflict(StoreError):
    """The object changed since it was read: read it again and repeat."""


class Compacted(StoreError):
    """The log does not reach back to that revision: list again."""


class Unavailable(StoreError):
    """The store cannot be read or written now (disk full, file broken, connection lost)."""


class Store(Protocol):
    async def get(self, key: Key) -> Stored | None: ...

    async def list(self, resource: str | None = None, namespace: str | None = None) -> Listing:
        """All objects of a resource (None: of all), of a namespace (None: of all), sorted by key."""

    async def create(self, key: Key, body: bytes) -> Stored:
        """Raises AlreadyExists, Unavailable."""

    async def update(self, key: Key, body: bytes, expected: int | None = None) -> Stored:
        """Raises NotFound, Conflict, Unavailable. `expected` None: unconditional."""

    async def delete(self, key: Key, expected: int | None = None) -> Stored:
        """Returns the last body under the revision of the deletion. Raises NotFound, Conflict, Unavailable."""

    def watch(self, after: int, resource: str | None = None) -> AsyncIterator[Event]:
        """Changes with revision > after, in order, for ever. Raises Compacted."""

    async def close(self) -> None: ...
