"""The Store protocol: keys, revisions, bytes; list + watch. One protocol for SQLite, etcd, Kubernetes and memory.

Rules every implementation keeps (and one conformance test checks on all of them):

* One counter for the whole store: each write gets a higher revision than all before it (there may be gaps: others may
  use the counter too); an object's revision is that of its last write.
* A write is durable before it is acknowledged; object and event are one transaction.
* `update` and `delete` with `expected`, and `create` with `given`, are compare-and-swap.
* A watch yields each change after `after` exactly once, in order; where the log no longer reaches back, `Compacted`.
* What was there at an older revision can be listed as far back as the log reaches, so that pages belong together.
* A held object is one like all others, but that it goes when its holder does (`hold`).
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Hashable, Sequence
from enum import StrEnum
from pathlib import Path
from typing import Any, Protocol, TypeVar

from msgspec import Struct

T = TypeVar("T")

INTERNAL = "/internal/"
"""Resources of the servers themselves, which users never see: all that is held is one of them."""


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


class Unchanged(Struct, frozen=True):
    """The condition of a write: that another object is there, at this revision."""

    key: Key
    revision: int


class Listing(Struct, frozen=True):
    items: tuple[Stored, ...]
    revision: int  # of the store at the moment that is listed: watch from here misses nothing
    remaining: int = 0  # how many follow after a page that `limit` has cut


class Copied(Struct, frozen=True):
    """What a backup holds: the objects of one moment."""

    count: int
    revision: int


class EventType(StrEnum):
    ADDED = "ADDED"
    MODIFIED = "MODIFIED"
    DELETED = "DELETED"


class Event(Struct, frozen=True):
    """For DELETED `stored.body` is the last body and `stored.revision` the revision of the deletion."""

    type: EventType
    stored: Stored
    previous: bytes | None = None  # the body before; None for ADDED, or where it is not known
    previous_revision: int = 0  # 0 where `previous` is None


class Batch:
    """Some events that follow each other, as all are told them who have come as far: what is made of them for one of
    these (a view: whatever decides what is made) is made once for all that have the same."""

    __slots__ = ("_made", "events")

    def __init__(self, events: Sequence[Event]) -> None:
        self.events = events
        self._made: dict[Hashable, Any] = {}

    def made_for(self, view: Hashable, make: Callable[[Sequence[Event]], T]) -> T:
        """`view` is all that `make` goes by but for the events."""
        if view not in self._made:
            self._made[view] = make(self.events)
        found: T = self._made[view]
        return found

    @property
    def revision(self) -> int:
        """Of the last event."""
        return self.events[-1].stored.revision


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


class TooLarge(StoreError):
    """The store takes no body of that size."""


class Unavailable(StoreError):
    """The store cannot be read or written now (disk full, file broken, connection lost)."""


class Hold(Protocol):
    """An object that lives while this process renews it; it does so by itself until `release` or `lost`."""

    key: Key
    lost: asyncio.Event
    """Set when the object may be gone although nobody released it: the store was away for too long, say."""

    async def release(self) -> None:
        """Deletes the object, unless it is another's by now. May be called twice. Raises Unavailable."""


class Store(Protocol):
    async def get(self, key: Key) -> Stored | None: ...

    async def list(
        self,
        resource: str | None = None,
        namespace: str | None = None,
        *,
        limit: int = 0,
        after: Key | None = None,
        revision: int | None = None,
    ) -> Listing:
        """All objects of a resource (None: of all), of a namespace (None: of all), sorted by key.

        At most `limit` of them (0: all), those after the key `after`, as they were at `revision` (None: now). Raises
        Compacted where the log does not reach back to it.
        """

    async def create(self, key: Key, body: bytes, given: Unchanged | None = None) -> Stored:
        """Raises AlreadyExists, Unavailable; before the first of them Conflict, where it is not as `given` says.

        The condition is looked at in the transaction that writes.
        """

    async def update(self, key: Key, body: bytes, expected: int | None = None) -> Stored:
        """Raises NotFound, Conflict, Unavailable. `expected` None: unconditional."""

    async def delete(self, key: Key, expected: int | None = None) -> Stored:
        """Returns the last body under the revision of the deletion. Raises NotFound, Conflict, Unavailable."""

    def watch(self, after: int, resource: str | None = None) -> AsyncIterator[Event]:
        """Changes with revision > after, in order, for ever. Raises Compacted."""

    def batches(self, after: int) -> AsyncIterator[Batch]:
        """As `watch`, of all resources, several at once where there are; those who watch together share them."""

    async def hold(self, key: Key, body: bytes, ttl: float) -> Hold:
        """Creates an object that is deleted `ttl` seconds after its holder was last heard of.

        For the presence of processes: the resource is one under INTERNAL. Raises AlreadyExists.
        """

    async def compact(self, revision: int) -> None:
        """Forgets all events up to a revision; the stores do so by themselves as their logs grow."""

    async def revision(self) -> int:
        """Of the store now: a list and a watch can begin there."""

    async def last_change(self) -> int:
        """The revision of the newest change of an object that this store knows of, so that a watch comes to it.

        (`revision` may be ahead of it for ever, where others use the same counter.)
        """

    async def health(self) -> None:
        """Returns if the store answers now. Raises Unavailable, which says why not."""

    async def backup(self, path: Path) -> Copied:
        """Writes all objects of one moment to a new file, in the format of the SQLite store.

        Those of INTERNAL are left out. Raises Unavailable, and runtime.errors.Failure where the file cannot be written
        or is there already.
        """

    async def close(self) -> None: ...
