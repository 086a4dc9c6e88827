"""Secrets are sealed before they reach a store, and opened when they come from one: a Store around any other.

Rules:
* A body is bound to its key (resource, namespace, name): put in another's place, it does not open.
* What cannot be opened is never replaced or dropped by itself. Who asks for secrets hears which one and why; who asks
  for everything gets the rest, and that one as it is stored.
* What was stored before there were keys is read as it is, and sealed at the next start.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Sequence
from pathlib import Path

import msgspec

from argosy.runtime.errors import Failure
from argosy.store import keyring, refusals
from argosy.store.around import Around
from argosy.store.base import (
    INTERNAL,
    AlreadyExists,
    Batch,
    Conflict,
    Event,
    Key,
    Listing,
    NotFound,
    Store,
    Stored,
    Unavailable,
    Unchanged,
)
from argosy.store.keyring import Keyring

SECRETS = "/secrets"
MARK = Key(f"{INTERNAL}sealing", "", "key")
"""Names a key of the servers of this store: so that no two of them make one each."""


class Unopened(Unavailable):
    """A secret is there, and cannot be read with the keys that we have."""


class SealedStore(Around):
    def __init__(self, inner: Store, keys: Keyring) -> None:
        super().__init__(inner)
        self.keys = keys

    async def get(self, key: Key) -> Stored | None:
        found = await self.inner.get(key)
        return None if found is None else self.opened(found)

    async def list(
        self,
        resource: str | None = None,
        namespace: str | None = None,
        *,
        limit: int = 0,
        after: Key | None = None,
        revision: int | None = None,
    ) -> Listing:
        found = await self.inner.list(resource, namespace, limit=limit, after=after, revision=revision)
        if resource not in (None, SECRETS):
            return found
        items = tuple(self.opened(one) if resource else self._opened_or_as_it_is(one) for one in found.items)
        return msgspec.structs.replace(found, items=items)

    async def create(self, key: Key, body: bytes, given: Unchanged | None = None) -> Stored:
        made = await self.inner.create(key, self._sealed(key, body), given)
        return msgspec.structs.replace(made, body=body)

    async def update(self, key: Key, body: bytes, expected: int | None = None) -> Stored:
        made = await self.inner.update(key, self._sealed(key, body), expected)
        return msgspec.structs.replace(made, body=body)

    async def delete(self, key: Key, expected: int | None = None) -> Stored:
        """What cannot be opened can be deleted."""
        return self._opened_or_as_it_is(await self.inner.delete(key, expected))

    async def watch(self, after: int, resource: str | None = None) -> AsyncIterator[Event]:
        events = self.inner.watch(after, resource)
        try:
            async for event in events:
                if event.stored.key.resource != SECRETS:
                    yield event
                elif resource is None:
                    yield self._event(event)
                else:
                    self.opened(event.stored)
                    yield self._event(event)
        finally:
            await events.aclose()  # type: ignore[attr-defined]  # an async generator in every store

    async def batches(self, after: int) -> AsyncIterator[Batch]:
        batches = self.inner.batches(after)
        try:
            async for batch in batches:
                if any(event.stored.key.resource == SECRETS for event in batch.events):
                    yield batch.made_for(self, self._opened_batch)
                else:
                    yield batch
        finally:
            await batches.aclose()  # type: ignore[attr-defined]  # an async generator in every store

    def _opened_batch(self, events: Sequence[Event]) -> Batch:
        return Batch([self._event(one) if one.stored.key.resource == SECRETS else one for one in events])

    def _sealed(self, key: Key, body: bytes) -> bytes:
        """Raises Unopened: what is sealed with a key that is in no file would be lost."""
        if key.resource != SECRETS:
            return body
        try:
            return self.keys.seal(body, _place(key))
        except Failure as failure:
            raise Unopened(
                f"{refusals.describe(key)} cannot be sealed: {failure.what}: {failure.remedy}"
            ) from failure

    def opened(self, stored: Stored) -> Stored:
        """Raises Unopened."""
        if stored.key.resource != SECRETS or not keyring.is_sealed(stored.body):
            return stored
        try:
            body = self.keys.open(stored.body, _place(stored.key))
        except keyring.UnknownKey as error:
            raise Unopened(
                f"{refusals.describe(stored.key)} is sealed with the key {error.name}, which is not in "
                f"{self.keys.path}: add that key to the file again"
            ) from error
        except keyring.Tampered as error:
            raise Unopened(
                f"{refusals.describe(stored.key)} does not open with the key it names: it was changed, or moved there, "
                "past Argosy; restore it from a backup, or delete it"
            ) from error
        return msgspec.structs.replace(stored, body=body)

    def _opened_or_as_it_is(self, stored: Stored) -> Stored:
        try:
            return self.opened(stored)
        except Unopened:
            return stored

    def _event(self, event: Event) -> Event:
        stored = self._opened_or_as_it_is(event.stored)
        previous = event.previous
        if previous is not None:
            before = Stored(event.stored.key, event.previous_revision, previous)
            previous = self._opened_or_as_it_is(before).body
        return msgspec.structs.replace(event, stored=stored, previous=previous)


async def seal(inner: Store, path: Path) -> SealedStore:
    """Around a store, with the keys of a file, which is made where neither it nor a sealed secret is there.

    Raises Failure where a secret is sealed with a key that the file has not.
    """
    mark = await inner.get(MARK)
    if not await asyncio.to_thread(path.exists):
        if mark is not None:
            raise _missing(path, mark.body.decode())
        await asyncio.to_thread(keyring.create, path)
    store = SealedStore(inner, await asyncio.to_thread(Keyring, path))
    if mark is None:
        # Of two servers with a new file each, the second hears that it has another's key to take.
        with contextlib.suppress(AlreadyExists):
            await inner.create(MARK, store.keys.names[0].encode())
        mark = await inner.get(MARK)
    if mark is not None and mark.body.decode() not in store.keys.names:
        raise _missing(path, mark.body.decode())
    await reseal(store, everything=False)
    return store


async def reseal(store: SealedStore, *, everything: bool = True) -> int:
    """Seals secrets anew with the first key: all of them, or those that are not sealed at all. How many there were.

    Raises Failure before the first is written, where one cannot be opened.
    """
    found = (await store.inner.list(SECRETS)).items
    try:
        opened = [store.opened(one) for one in found]
    except Unopened as error:
        raise Failure(str(error), "no secret was changed") from error
    count = 0
    for before, one in zip(found, opened, strict=True):
        if everything or not keyring.is_sealed(before.body):
            # Changed or deleted meanwhile: then it was sealed with that.
            with contextlib.suppress(Conflict, NotFound):
                await store.update(one.key, one.body, one.revision)
                count += 1
    if everything:
        mark = store.keys.names[0].encode()
        try:
            await store.inner.update(MARK, mark)
        except NotFound:
            await store.inner.create(MARK, mark)
    if count:
        # The log still holds them as they were.
        await store.inner.compact(await store.inner.revision())
    return count


def _missing(path: Path, name: str) -> Failure:
    return Failure(
        f"the secrets of this store are sealed with the key {name}, which is not in {path}",
        "copy secrets.key from the server that made it, or from a backup, to that place, or name it with "
        "--secrets-key-file",
    )


def _place(key: Key) -> bytes:
    return "\0".join((key.resource, key.namespace, key.name)).encode()
