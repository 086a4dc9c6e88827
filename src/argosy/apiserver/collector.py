"""Deletes what nobody else would: objects whose owners are gone, and the contents of namespaces that are to go.

It follows the store, and keeps an index of who belongs to whom: nothing of objects without owners. All it does can be
done twice, by another server at the same time too: what it deletes it names by revision.

    Background   the owner is gone at once, what it owned follows
    Foreground   the owner stays until what blocks it is gone (finalizer `foregroundDeletion`)
    Orphan       what it owned loses the reference and stays (finalizer `orphan`)

# Kubernetes: "Garbage Collection", "Owners and Dependents"
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable
from datetime import datetime
from typing import Any

import structlog

from argosy.apiserver import encoding, namespaces, removal
from argosy.apiserver.api import rfc3339
from argosy.apiserver.paths import NAMESPACES
from argosy.apiserver.removal import FOREGROUND, ORPHAN
from argosy.resources.kinds import kind_of
from argosy.store.base import (
    Compacted,
    Conflict,
    Event,
    EventType,
    Key,
    NotFound,
    Store,
    Stored,
    StoreError,
    Unavailable,
)

Json = dict[str, Any]
Log = structlog.typing.FilteringBoundLogger

PAGE = 500
AGAIN_AFTER = 1.0
"""Seconds until it begins anew after the store failed it."""


class Index:
    """Which objects name which owners (by uid), and which owners wait for them."""

    def __init__(self) -> None:
        self._owners: dict[Key, frozenset[str]] = {}
        self._dependents: dict[str, set[Key]] = {}
        self.waiting: dict[str, Key] = {}  # uid -> an owner that is deleted in the foreground
        self.terminating: set[str] = set()  # namespaces that are to go

    def note(self, stored: Stored) -> Json | None:
        """The object, where there is anything to know of it."""
        if not _telling(stored):
            self.forget(stored.key)
            return None
        obj = encoding.decode(stored)
        self._set(stored.key, frozenset(str(each.get("uid")) for each in references(obj)))
        uid = removal.uid_of(obj)
        if ending(obj) and FOREGROUND in removal.finalizers_of(obj):
            self.waiting[uid] = stored.key
        if ending(obj) and stored.key.resource == NAMESPACES:
            self.terminating.add(stored.key.name)
        return obj

    def forget(self, key: Key) -> frozenset[str]:
        """The owners that it had."""
        return self._set(key, frozenset())

    def dependents(self, uid: str) -> list[Key]:
        return sorted(self._dependents.get(uid, ()))

    def _set(self, key: Key, owners: frozenset[str]) -> frozenset[str]:
        before = self._owners.pop(key, frozenset())
        for uid in before - owners:
            self._dependents[uid].discard(key)
            if not self._dependents[uid]:
                del self._dependents[uid]
        for uid in owners:
            self._dependents.setdefault(uid, set()).add(key)
        if owners:
            self._owners[key] = owners
        return before


class Collector:
    def __init__(self, store: Store, now: Callable[[], datetime], log: Log) -> None:
        self._store = store
        self._now = now
        self._log = log
        self._index = Index()
        self._due: deque[Key] = deque()
        self.revision = 0
        """How far it has come: all that follows from the changes up to here is done."""

    async def run(self) -> None:
        """For ever."""
        while True:
            try:
                await self._follow()
            except Compacted:
                continue
            except StoreError as error:
                self._log.warning("collector waits for the store", error=str(error))
                await asyncio.sleep(AGAIN_AFTER)

    async def _follow(self) -> None:
        self._index, self._due = Index(), deque()
        revision = await self._read_all()
        await self._work()
        self.revision = revision
        async for event in self._store.watch(revision):
            self._take(event)
            await self._work()
            self.revision = event.stored.revision

    async def _read_all(self) -> int:
        """Notes everything that is there, and returns at which revision."""
        after: Key | None = None
        revision: int | None = None
        while True:
            page = await self._store.list(limit=PAGE, after=after, revision=revision)
            revision = page.revision
            for stored in page.items:
                if self._index.note(stored) is not None:
                    self._due.append(stored.key)
            if not page.remaining:
                return revision
            after = page.items[-1].key

    def _take(self, event: Event) -> None:
        """What an event makes due."""
        key = event.stored.key
        if event.type is not EventType.DELETED:
            if self._index.note(event.stored) is not None:
                self._due.append(key)
            elif key.namespace in self._index.terminating:  # written past the API
                self._due.append(Key(NAMESPACES, "", key.namespace))
            return
        obj = encoding.decode(event.stored) if _identified(event.stored) else {}
        uid = removal.uid_of(obj)
        self._due.extend(self._index.dependents(uid))
        self._index.waiting.pop(uid, None)
        owners = self._index.forget(key)
        if key.resource == NAMESPACES:
            self._index.terminating.discard(key.name)
        self._due.extend(self._index.waiting[each] for each in sorted(owners) if each in self._index.waiting)
        if key.namespace and ending(obj):
            self._due.append(Key(NAMESPACES, "", key.namespace))

    async def _work(self) -> None:
        while self._due:
            key = self._due.popleft()
            try:
                await self._settle(key)
            except NotFound:
                continue
            except Conflict:
                self._due.append(key)
            except Unavailable:
                self._due.appendleft(key)
                raise

    async def _settle(self, key: Key) -> None:
        """Does what is due for one object. Raises StoreError."""
        stored = await self._store.get(key)
        if stored is None:
            return
        obj = encoding.decode(stored)
        if ending(obj):
            if key.resource == NAMESPACES:
                await namespaces.empty(self._store, key.name, now=self._time())
            finalizers = removal.finalizers_of(obj)
            if ORPHAN in finalizers:
                await self._orphan(stored, obj)
            elif FOREGROUND in finalizers:
                await self._foreground(stored, obj)
        elif references(obj):
            await self._examine(stored, obj)

    async def _orphan(self, stored: Stored, obj: Json) -> None:
        uid = removal.uid_of(obj)
        for key in self._index.dependents(uid):
            dependent = await self._store.get(key)
            if dependent is not None:
                await self._disown(dependent, encoding.decode(dependent), {uid})
        await self._release(stored, obj, ORPHAN)

    async def _foreground(self, stored: Stored, obj: Json) -> None:
        """Deletes what it owns, and lets it go once nothing blocks it."""
        uid, blocked = removal.uid_of(obj), False
        for key in self._index.dependents(uid):
            dependent = await self._store.get(key)
            if dependent is None:
                continue
            body = encoding.decode(dependent)
            blocked = blocked or any(_blocks(each, uid) for each in references(body))
            if not ending(body):
                await self._examine(dependent, body)
        if not blocked:
            await self._release(stored, obj, FOREGROUND)

    async def _examine(self, stored: Stored, obj: Json) -> None:
        """Deletes an object none of whose owners is there to stay; else takes the others off it."""
        states = [(each, await self._state(stored.key, each)) for each in references(obj)]
        gone = {str(each.get("uid")) for each, state in states if state != "there"}
        if not gone:
            return
        if any(state == "there" for _, state in states):
            await self._disown(stored, obj, gone)
            return
        owns = bool(self._index.dependents(removal.uid_of(obj)))
        waited = any(state == "waiting" for _, state in states)
        policy = "Foreground" if waited and owns else "Background"
        # Own finalizers are respected: what is to be orphaned stays to be orphaned.
        if ORPHAN in removal.finalizers_of(obj):
            policy = ""
        await removal.remove(self._store, stored, policy=policy, now=self._time(), pinned=True)
        self._log.info(
            "collected", resource=stored.key.resource, namespace=stored.key.namespace, name=stored.key.name
        )

    async def _state(self, key: Key, reference: Json) -> str:
        """`there`, `gone`, or `waiting` for its dependents to go. What cannot be told is there."""
        kind = kind_of(str(reference.get("apiVersion")), str(reference.get("kind")))
        if kind is None or kind.virtual or (kind.namespaced and not key.namespace):
            return "there"
        owner = Key(kind.resource, key.namespace if kind.namespaced else "", str(reference.get("name")))
        found = await self._store.get(owner)
        if found is None:
            return "gone"
        obj = encoding.decode(found)
        if removal.uid_of(obj) != reference.get("uid"):
            return "gone"
        return "waiting" if ending(obj) and FOREGROUND in removal.finalizers_of(obj) else "there"

    async def _disown(self, stored: Stored, obj: Json, uids: set[str]) -> None:
        kept = [each for each in references(obj) if str(each.get("uid")) not in uids]
        if len(kept) == len(references(obj)):
            return
        metadata = {k: v for k, v in obj["metadata"].items() if k != "ownerReferences"}
        body = obj | {"metadata": metadata | ({"ownerReferences": kept} if kept else {})}
        self._index.note(await self._store.update(stored.key, encoding.body_of(body), stored.revision))

    async def _release(self, stored: Stored, obj: Json, finalizer: str) -> None:
        """Takes our finalizer off an object; the last one lets it go."""
        kept = [each for each in removal.finalizers_of(obj) if each != finalizer]
        metadata = {k: v for k, v in obj["metadata"].items() if k != "finalizers"}
        body = obj | {"metadata": metadata | ({"finalizers": kept} if kept else {})}
        if removal.complete(stored.key, body):
            await self._store.delete(stored.key, stored.revision)
        else:
            await self._store.update(stored.key, encoding.body_of(body), stored.revision)

    def _time(self) -> str:
        return rfc3339(self._now())


def references(obj: Json) -> list[Json]:
    found = removal.metadata_of(obj).get("ownerReferences")
    return [each for each in found if isinstance(each, dict)] if isinstance(found, list) else []


def ending(obj: Json) -> bool:
    return bool(removal.metadata_of(obj).get("deletionTimestamp"))


def _blocks(reference: Json, uid: str) -> bool:
    return reference.get("uid") == uid and reference.get("blockOwnerDeletion") is True


def _telling(stored: Stored) -> bool:
    """Whether its body may say anything of owners or of its end: looked for before it is decoded, as most do not."""
    return b'"ownerReferences"' in stored.body or b'"deletionTimestamp"' in stored.body


def _identified(stored: Stored) -> bool:
    return b'"uid"' in stored.body
