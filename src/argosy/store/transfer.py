"""Everything from one store to another, counted and compared: restore and migrate.

Rule: it goes through the protocol, as bytes: what is sealed stays sealed. What the servers keep for themselves
(INTERNAL) stays where it is. The target then holds what the source held at one revision: a count and a hash show it.
"""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import AsyncIterator, Callable, Sequence

from msgspec import Struct

from argosy.runtime.errors import Failure
from argosy.store.base import INTERNAL, Key, Store, Stored
from argosy.store.sqlite import SqliteStore

PAGE = 500
AT_ONCE = 64
GAP = 1_000_000
"""Revisions that a new file is ahead of where it came from: what a client remembers from there is told as too old."""


class Digest(Struct, frozen=True):
    count: int
    sha256: str  # of keys and bodies, in order


class Transferred(Struct, frozen=True):
    count: int
    sha256: str
    written: int
    deleted: int


Progress = Callable[[int, int], None]  # done, of


async def transfer(
    source: Store, target: Store, *, replace: bool = False, progress: Progress = lambda done, of: None
) -> Transferred:
    """Raises Failure where the target holds something already (and `replace` is False), or differs in the end."""
    there = {stored.key: stored async for page in pages(target) for stored in page}
    if there and not replace:
        raise Failure(
            f"the target holds {len(there)} objects already",
            "--replace makes it the same as the source, and deletes what the source has not",
        )
    revision = await source.revision()
    if isinstance(target, SqliteStore) and not there:
        await target.advance(revision + GAP)
    whole = await digest(source, revision)
    done = written = 0
    async for page in pages(source, revision):
        changed = [one for one in page if one.key not in there or there[one.key].body != one.body]
        for start in range(0, len(changed), AT_ONCE):
            await asyncio.gather(
                *(_put(target, one, there.get(one.key)) for one in changed[start : start + AT_ONCE])
            )
        for one in page:
            there.pop(one.key, None)
        done, written = done + len(page), written + len(changed)
        progress(done, whole.count)
    for key, stored in there.items():
        await target.delete(key, stored.revision)
    found = await digest(target)
    if found != whole:
        raise Failure(
            f"the target does not hold what the source does: {found.count} objects ({found.sha256}), not "
            f"{whole.count} ({whole.sha256})",
            "does somebody write to it? stop that, and repeat with --replace",
        )
    return Transferred(whole.count, whole.sha256, written, len(there))


async def digest(store: Store, revision: int | None = None) -> Digest:
    """Of all objects at a revision."""
    summed, count = hashlib.sha256(), 0
    async for page in pages(store, revision):
        for one in page:
            for part in (*(text.encode() for text in _parts(one.key)), one.body):
                summed.update(len(part).to_bytes(8, "big") + part)
        count += len(page)
    return Digest(count, summed.hexdigest())


async def pages(store: Store, revision: int | None = None) -> AsyncIterator[Sequence[Stored]]:
    """All objects of one moment, but for those of the servers themselves."""
    after: Key | None = None
    while True:
        found = await store.list(limit=PAGE, after=after, revision=revision)
        revision = found.revision
        yield [one for one in found.items if not one.key.resource.startswith(INTERNAL)]
        if not found.remaining:
            return
        after = found.items[-1].key


async def _put(target: Store, one: Stored, before: Stored | None) -> None:
    if before is None:
        await target.create(one.key, one.body)
    else:
        await target.update(one.key, one.body, before.revision)


def _parts(key: Key) -> tuple[str, str, str]:
    return key.resource, key.namespace, key.name
