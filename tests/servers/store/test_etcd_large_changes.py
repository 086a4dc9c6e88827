"""Followers of etcd that are behind by much: they are told a little at a time, and what belongs together, together."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Sequence

from aetcd import rpc

from argosy.store.base import Event, Key, Store
from argosy.store.etcd.address import EtcdAddress
from argosy.store.etcd.store import EtcdStore

ROUTES = "networking.istio.io/virtualservices"
OBJECTS = [Key(ROUTES, "shop", f"o{number:02}") for number in range(10)]
AT_ONCE = 4 << 20
"""Bytes that etcd sends together, and a good deal more."""


def size(events: Sequence[Event]) -> int:
    return sum(len(event.stored.body) + len(event.previous or b"") for event in events)


def revisions(events: Sequence[Event]) -> list[int]:
    return [event.stored.revision for event in events]


async def told(store: EtcdStore, after: int, last: int) -> list[Sequence[Event]]:
    """What a follower of its own is told, up to a revision."""
    found: list[Sequence[Event]] = []
    async with asyncio.timeout(40), contextlib.aclosing(store._changes(after)) as batches:
        async for events in batches:
            found.append(events)
            if events[-1].stored.revision >= last:
                break
    return found


async def change_all(store: Store, times: int) -> list[int]:
    async def change(key: Key) -> list[int]:
        made = [await store.create(key, b"x" * 50_000)]
        made += [await store.update(key, b"%d " % number + b"x" * 50_000) for number in range(times)]
        return [each.revision for each in made]

    return sorted(revision for each in await asyncio.gather(*map(change, OBJECTS)) for revision in each)


async def test_who_is_far_behind_is_told_a_little_at_a_time(address: EtcdAddress) -> None:
    store = await EtcdStore.open(address)
    began = await store.revision()
    made = await change_all(store, 29)
    batches = await told(store, began, made[-1])
    assert [revision for events in batches for revision in revisions(events)] == made
    assert max(map(size, batches)) < AT_ONCE < sum(map(size, batches)) / 4
    await store.close()


async def test_changes_of_one_transaction_are_told_together_however_large(address: EtcdAddress) -> None:
    """Each of etcd's own transactions may be of 1.5 MB; with what was there before, twice that."""
    store = await EtcdStore.open(address)
    began = await store.revision()
    for number in range(5):
        body = b"%d " % number + b"x" * 120_000
        puts = [
            rpc.RequestOp(request_put=rpc.PutRequest(key=store._layout.encode(key), value=body))
            for key in OBJECTS
        ]
        await store._client.call(lambda c: c.kv.Txn, rpc.TxnRequest(success=puts))
    batches = await told(store, began, await store.revision())
    seen = [event.stored.key for events in batches for event in events]
    assert seen == OBJECTS * 5
    of_each = [set(revisions(events)) for events in batches]
    assert sum(map(len, of_each)) == len(set().union(*of_each)), "no revision is told in two parts"
    await store.close()
