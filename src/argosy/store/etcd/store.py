"""The Store protocol on etcd: its revision is the resource version, its comparisons are ours, its watch feeds the tail.

Rules: every write is one transaction that compares first. Reads are confirmed by a majority. Watchers are cursors over
one shared tail, which one stream fills while somebody watches; who is further behind than the tail has a stream of its
own until it has caught up.
"""

from __future__ import annotations

import asyncio
import contextlib
import math
from collections.abc import AsyncGenerator, AsyncIterator, Sequence
from pathlib import Path
from typing import Any
from weakref import WeakSet

from aetcd import rpc

from argosy.runtime.errors import Failure
from argosy.store import refusals, snapshot
from argosy.store.base import (
    INTERNAL,
    Batch,
    Compacted,
    Copied,
    Event,
    Hold,
    Key,
    Listing,
    NotFound,
    Stored,
    StoreError,
    Unavailable,
    Unchanged,
)
from argosy.store.etcd import keys, lost_answers
from argosy.store.etcd.address import EtcdAddress
from argosy.store.etcd.client import Answer, Client, OutOfRange
from argosy.store.etcd.compaction import Compactor
from argosy.store.etcd.keys import Layout
from argosy.store.etcd.watch import changes
from argosy.store.holding import Renewal
from argosy.store.tail import KEEP_BYTES, Tail, each, follow

PAGE = 500
"""Objects in one answer: what etcd reads at once, and we decode at once."""
TAIL_EVENTS = 1_000
RELISTS = 3

EQUAL, GREATER = 0, 1
VERSION, CREATE, MOD = 0, 1, 2


class EtcdStore:
    """Made by `open`; belongs to the event loop it was opened in."""

    def __init__(self, address: EtcdAddress) -> None:
        self.address = address
        self._client = Client(address)
        self._layout = Layout(address.prefix)
        self._tail: Tail | None = None
        self._follower: asyncio.Task[None] | None = None
        self._compacting: asyncio.Task[None] | None = None
        self._written = 0
        self._renewals: WeakSet[Renewal] = WeakSet()

    @classmethod
    async def open(cls, address: EtcdAddress) -> EtcdStore:
        """Raises runtime.errors.Failure where no endpoint answers, or a newer Argosy has written there."""
        store = cls(address)
        try:
            await store._claim()
        except StoreError as error:
            await store.close()
            raise Failure(
                f"the store cannot be used: {error}", "look at etcd (etcdctl endpoint status), or at --store"
            ) from error
        except BaseException:
            await store.close()
            raise
        if address.compact:
            store._compacting = asyncio.create_task(store._compactor().run(), name="etcd-compaction")
        return store

    # --- reads ---

    async def get(self, key: Key) -> Stored | None:
        found = await self._client.range(key=self._layout.encode(key))
        return self._layout.stored(found.kvs[0]) if found.kvs else None

    async def list(
        self,
        resource: str | None = None,
        namespace: str | None = None,
        *,
        limit: int = 0,
        after: Key | None = None,
        revision: int | None = None,
    ) -> Listing:
        if resource is None and namespace is not None:
            return await self._scattered(namespace, limit, after, revision)
        start, end = self._layout.range(resource, namespace)
        if after is not None:
            start = max(start, keys.after(self._layout.encode(after)))
        if revision is not None and revision < 1:
            raise refusals.forgotten(revision)
        for _ in range(RELISTS):
            try:
                return await self._pages(start, end, limit, revision or 0)
            except OutOfRange as error:
                if revision is not None:
                    raise await self._forgotten(revision, error) from error
        raise Unavailable(f"{self.address} is compacted faster than it can be listed")

    async def revision(self) -> int:
        return int((await self._client.range(key=self._layout.format)).header.revision)

    async def last_change(self) -> int:
        return max(self._written, self._tail.latest if self._tail else 0)

    async def health(self) -> None:
        await self.revision()

    # --- writes ---

    async def create(self, key: Key, body: bytes, given: Unchanged | None = None) -> Stored:
        return self._noted(await self._create(self._layout.encode(key), key, body, 0, given))

    async def update(self, key: Key, body: bytes, expected: int | None = None) -> Stored:
        raw = self._layout.encode(key)
        put = rpc.RequestOp(request_put=rpc.PutRequest(key=raw, value=body, ignore_lease=True))
        answer = await self._commit([_unchanged(raw, expected)], put, [_look(raw)])
        if answer.message.succeeded:
            return self._noted(Stored(key, answer.message.header.revision, body))
        found = _found(answer)
        if found is None:
            raise refusals.missing(key)
        if answer.repeated:
            done = await lost_answers.updated_by(self._client, key, found, body, expected or 0)
            if done is not None:
                return self._noted(Stored(key, done, body))
        raise refusals.changed(key, found.mod_revision, expected or 0)

    async def delete(self, key: Key, expected: int | None = None) -> Stored:
        raw = self._layout.encode(key)
        drop = rpc.RequestOp(request_delete_range=rpc.DeleteRangeRequest(key=raw, prev_kv=True))
        answer = await self._commit([_unchanged(raw, expected)], drop, [_look(raw)])
        if answer.message.succeeded:
            before = answer.message.responses[0].response_delete_range.prev_kvs[0]
            return self._noted(Stored(key, answer.message.header.revision, before.value))
        found = _found(answer)
        if found is not None and not (answer.repeated and found.create_revision > (expected or 0)):
            raise refusals.changed(key, found.mod_revision, expected or 0)
        if answer.repeated:
            raise Unavailable(
                f"{refusals.describe(key)} is not there any more, or anew; whether this attempt deleted it, "
                f"{self.address} did not say"
            )
        raise refusals.missing(key)

    async def hold(self, key: Key, body: bytes, ttl: float) -> Hold:
        refusals.check_internal(key)
        return await self._hold(self._layout.encode(key), key, body, ttl)

    async def compact(self, revision: int) -> None:
        # Repeated attempts and other compactors may have been there before: then it is done.
        with contextlib.suppress(OutOfRange):
            await self._client.call(lambda c: c.kv.Compact, rpc.CompactionRequest(revision=revision))

    # --- watches ---

    def watch(self, after: int, resource: str | None = None) -> AsyncIterator[Event]:
        return each(self.batches(after), resource)

    async def batches(self, after: int) -> AsyncIterator[Batch]:
        await self._reach(after)
        tail = self._join(after)
        try:
            async for batch in follow(tail, after, self._changes):
                yield batch
        finally:
            self._leave(tail)

    # --- the rest ---

    async def backup(self, path: Path) -> Copied:
        start, end = self._layout.range(None)
        loop, pinned = asyncio.get_running_loop(), 0
        with contextlib.ExitStack() as stack:
            made = await loop.run_in_executor(None, stack.enter_context, snapshot.draft(path))
            while True:
                found = await self._client.range(key=start, range_end=end, limit=PAGE, revision=pinned)
                pinned = pinned or found.header.revision
                items = [one for one in map(self._layout.stored, found.kvs) if one is not None]
                lasting = [one for one in items if not one.key.resource.startswith(INTERNAL)]
                await loop.run_in_executor(None, made.add, lasting)
                if not found.more:
                    break
                start = keys.after(found.kvs[-1].key)
            await loop.run_in_executor(None, made.set_counter, pinned)
            return made.copied()

    async def close(self) -> None:
        """Ends every watch with Unavailable."""
        if self._client.closed:
            return
        if self._tail is not None:
            self._tail.fail(self._client.gone())
        await _cancelled(self._compacting, self._follower)
        for renewal in tuple(self._renewals):
            await renewal.stop()
        await self._client.close()

    # --- how ---

    async def _claim(self) -> None:
        """Writes the format of the layout where there is none. Raises Failure where it is a newer one."""
        key = self._layout.format
        number = str(keys.FORMAT).encode()
        put = rpc.RequestOp(request_put=rpc.PutRequest(key=key, value=number))
        absent = rpc.Compare(key=key, target=VERSION, result=EQUAL, version=0)
        answer = await self._commit([absent], put, [_look(key)])
        found = _found(answer)
        if not answer.message.succeeded and found is not None and found.value != number:
            raise Failure(
                f"{self.address} was written by another Argosy (format {found.value.decode(errors='replace')}; this "
                f"one knows {keys.FORMAT})",
                "run the newer version, or choose another prefix",
            )

    async def _pages(self, start: bytes, end: bytes, limit: int, revision: int) -> Listing:
        items: list[Stored] = []
        while True:
            wanted = min(PAGE, limit - len(items)) if limit else PAGE
            found = await self._client.range(key=start, range_end=end, limit=wanted, revision=revision)
            revision = revision or found.header.revision
            items += (one for one in map(self._layout.stored, found.kvs) if one is not None)
            if not found.more or (limit and len(items) >= limit):
                return Listing(tuple(items), revision, found.count - len(found.kvs))
            start = keys.after(found.kvs[-1].key)

    async def _scattered(
        self, namespace: str, limit: int, after: Key | None, revision: int | None
    ) -> Listing:
        """A namespace of all resources: its objects lie apart."""
        whole = await self.list(after=after, revision=revision)
        found = [item for item in whole.items if item.key.namespace == namespace]
        page = found[:limit] if limit else found
        return Listing(tuple(page), whole.revision, len(found) - len(page))

    async def _reach(self, after: int) -> None:
        """Raises Compacted where no watch can begin behind this revision."""
        try:
            await self._client.range(key=self._layout.format, revision=max(after, 1))
        except OutOfRange as error:
            raise await self._forgotten(after, error) from error

    async def _forgotten(self, revision: int, error: OutOfRange) -> Compacted:
        if "future" in str(error):
            return refusals.ahead(await self.revision(), revision)
        return refusals.forgotten(revision)

    async def _create(
        self, raw: bytes, key: Key, body: bytes, lease: int, given: Unchanged | None = None
    ) -> Stored:
        put = rpc.RequestOp(request_put=rpc.PutRequest(key=raw, value=body, lease=lease))
        nothing = rpc.Compare(key=raw, target=CREATE, result=EQUAL, create_revision=0)
        compares, looks = [nothing], [_look(raw)]
        if given is not None:
            beside = self._layout.encode(given.key)
            compares.append(_unchanged(beside, given.revision))
            looks.append(_look(beside))
        answer = await self._commit(compares, put, looks)
        if answer.message.succeeded:
            return Stored(key, answer.message.header.revision, body)
        found = _found(answer)
        if answer.repeated and found is not None:
            done = await lost_answers.created_by(self._client, key, found, body, lease)
            if done is not None:
                return Stored(key, done, body)
        if given is not None:
            there = _found(answer, 1)
            refusals.check_given(given, self._layout.stored(there) if there is not None else None)
        raise refusals.exists(key)

    def _noted(self, stored: Stored) -> Stored:
        self._written = max(self._written, stored.revision)
        return stored

    async def _commit(self, compares: Sequence[Any], operation: Any, looks: Sequence[Any]) -> Answer:
        """One transaction: the operation where all compares hold, otherwise the looks."""
        request = rpc.TxnRequest(compare=compares, success=[operation], failure=looks)
        return await self._client.call(lambda c: c.kv.Txn, request)

    async def _hold(self, raw: bytes, key: Key, body: bytes, ttl: float) -> Hold:
        client = self._client
        request = rpc.LeaseGrantRequest(TTL=math.ceil(ttl))
        lease = int((await client.call(lambda c: c.lease.LeaseGrant, request)).message.ID)

        async def renew() -> bool:
            if not await client.keep_alive(lease):
                return False
            found = await client.range(key=raw)
            return bool(found.kvs) and found.kvs[0].lease == lease

        async def release() -> None:
            # Together with what hangs on it; its time may be over already.
            with contextlib.suppress(NotFound):
                await client.call(lambda c: c.lease.LeaseRevoke, rpc.LeaseRevokeRequest(ID=lease))

        try:
            await self._create(raw, key, body, lease)
        except BaseException:
            with contextlib.suppress(StoreError):
                await release()
            raise
        renewal = Renewal(key, ttl, renew, release)
        self._renewals.add(renewal)
        return renewal

    def _compactor(self) -> Compactor:
        raw = self._layout.compactor
        key = Key("/internal/compactor", "", "")
        return Compactor(lambda ttl: self._hold(raw, key, b"", ttl), self.revision, self.compact)

    def _changes(self, after: int) -> AsyncGenerator[Sequence[Event], None]:
        return changes(self._client, self._layout, after, self.revision)

    def _join(self, after: int) -> Tail:
        if self._client.closed:
            raise self._client.gone()
        if self._tail is None:
            self._tail = Tail(after, TAIL_EVENTS, KEEP_BYTES)
            self._follower = asyncio.create_task(self._fill(self._tail), name="store-follower")
        self._tail.watchers += 1
        return self._tail

    def _leave(self, tail: Tail) -> None:
        tail.watchers -= 1
        if tail.watchers == 0 and tail is self._tail:
            self._tail = None
            if self._follower is not None:
                self._follower.cancel()

    async def _fill(self, tail: Tail) -> None:
        """Copies events into the tail until it is cancelled, or the store is closed."""
        try:
            while True:
                try:
                    async with contextlib.aclosing(self._changes(tail.latest)) as batches:
                        async for events in batches:
                            tail.extend(events)
                except Compacted:
                    newest = await self._patient_revision()
                    if newest < tail.latest:
                        # Another history: a backup of etcd was put back. What we wrote is not in it.
                        self._written = min(self._written, newest)
                        raise
                    # Forgotten while we were away: each watcher finds out what it missed.
                    tail.reset(newest)
        except StoreError as failure:
            if tail is self._tail:
                self._tail = None
            tail.fail(failure)

    async def _patient_revision(self) -> int:
        while True:
            try:
                return await self.revision()
            except Unavailable:
                if self._client.closed:
                    raise
                await asyncio.sleep(1)


def _unchanged(raw: bytes, expected: int | None) -> Any:
    if expected is None:
        return rpc.Compare(key=raw, target=CREATE, result=GREATER, create_revision=0)
    return rpc.Compare(key=raw, target=MOD, result=EQUAL, mod_revision=expected)


def _look(raw: bytes) -> Any:
    return rpc.RequestOp(request_range=rpc.RangeRequest(key=raw))


def _found(answer: Answer, look: int = 0) -> Any | None:
    """What a look of the transaction saw where its comparisons failed."""
    if answer.message.succeeded:
        return None
    pairs = answer.message.responses[look].response_range.kvs
    return pairs[0] if pairs else None


async def _cancelled(*tasks: asyncio.Task[None] | None) -> None:
    running = [task for task in tasks if task is not None]
    for task in running:
        task.cancel()
    await asyncio.gather(*running, return_exceptions=True)
