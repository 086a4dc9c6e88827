"""Writes whose answer was lost, while others were faster with the next one: what had happened is told, never guessed.

etcd carries a write out, its answer never comes (the leader goes), and before the attempt after it others have changed
what was written. In a mesh that is no chance: a server writes conditions on what was created a moment before.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import grpc
import grpc.aio
import pytest

from argosy.store.base import AlreadyExists, Conflict, Key, Unavailable
from argosy.store.etcd.address import EtcdAddress
from argosy.store.etcd.client import Channel
from argosy.store.etcd.store import EtcdStore

REVIEWS = Key("networking.istio.io/virtualservices", "shop", "reviews")
Meanwhile = Callable[[], Awaitable[object]]


@pytest.fixture
async def ours(address: EtcdAddress) -> AsyncIterator[EtcdStore]:
    store = await EtcdStore.open(address)
    yield store
    await store.close()


@pytest.fixture
async def others(address: EtcdAddress) -> AsyncIterator[EtcdStore]:
    store = await EtcdStore.open(address)
    yield store
    await store.close()


class Losing:
    """The calls of etcd's key-value service; the answer to the next transaction is lost, and others come in between."""

    def __init__(self, kv: Any, meanwhile: Meanwhile, carried_out: bool) -> None:
        self._kv = kv
        self._meanwhile: Meanwhile | None = meanwhile
        self._carried_out = carried_out

    def __getattr__(self, name: str) -> Any:
        return getattr(self._kv, name)

    async def Txn(self, request: Any, **options: Any) -> Any:  # as gRPC calls it
        meanwhile, self._meanwhile = self._meanwhile, None
        if meanwhile is None or self._carried_out:
            answer = await self._kv.Txn(request, **options)
        if meanwhile is None:
            return answer
        await meanwhile()
        nothing = grpc.aio.Metadata()
        raise grpc.aio.AioRpcError(grpc.StatusCode.UNAVAILABLE, nothing, nothing, "the leader has gone", "")


def lose(store: EtcdStore, meanwhile: Meanwhile, *, carried_out: bool = True) -> None:
    channel = store._client.channel()
    (endpoint,) = store._client.address.endpoints
    losing: Channel = channel._replace(kv=Losing(channel.kv, meanwhile, carried_out))
    store._client._channels[endpoint] = losing


async def test_a_created_object_that_others_have_changed_since_was_created(
    ours: EtcdStore, others: EtcdStore
) -> None:
    lose(ours, lambda: others.update(REVIEWS, b"made, and its conditions"))
    made = await ours.create(REVIEWS, b"made")
    now = await others.get(REVIEWS)
    assert now is not None
    assert (made.body, now.body) == (b"made", b"made, and its conditions")
    assert made.revision < now.revision


async def test_an_object_that_others_created_first_is_theirs(ours: EtcdStore, others: EtcdStore) -> None:
    async def create_and_change() -> None:
        await others.create(REVIEWS, b"theirs")
        await others.update(REVIEWS, b"made")

    lose(ours, create_and_change, carried_out=False)
    with pytest.raises(AlreadyExists):
        await ours.create(REVIEWS, b"made")


async def test_an_update_that_others_have_built_upon_was_carried_out(
    ours: EtcdStore, others: EtcdStore
) -> None:
    first = await ours.create(REVIEWS, b"0")

    async def change_twice() -> None:
        await others.update(REVIEWS, b"2")
        await others.update(REVIEWS, b"3")

    lose(ours, change_twice)
    changed = await ours.update(REVIEWS, b"1", first.revision)
    assert first.revision < changed.revision < first.revision + 3
    assert changed.body == b"1"
    now = await others.get(REVIEWS)
    assert now is not None
    assert now.body == b"3"


async def test_an_update_that_others_were_faster_with_is_a_conflict(
    ours: EtcdStore, others: EtcdStore
) -> None:
    first = await ours.create(REVIEWS, b"0")
    lose(ours, lambda: others.update(REVIEWS, b"theirs"), carried_out=False)
    with pytest.raises(Conflict):
        await ours.update(REVIEWS, b"1", first.revision)


async def test_where_history_is_forgotten_nobody_guesses(ours: EtcdStore, others: EtcdStore) -> None:
    async def change_and_forget() -> None:
        changed = await others.update(REVIEWS, b"theirs")
        await others.compact(changed.revision)

    first = await ours.create(REVIEWS, b"0")
    for carried_out in (True, False):
        lose(ours, change_and_forget, carried_out=carried_out)
        with pytest.raises(Unavailable, match=r"shop/reviews was changed .* whether .* did not say"):
            await ours.update(REVIEWS, b"1", first.revision)
        now = await ours.get(REVIEWS)
        assert now is not None
        first = now


async def test_a_deleted_object_that_others_created_anew_may_have_been_deleted_by_us(
    ours: EtcdStore, others: EtcdStore
) -> None:
    first = await ours.create(REVIEWS, b"0")
    lose(ours, lambda: others.create(REVIEWS, b"anew"))
    with pytest.raises(Unavailable, match="whether this attempt deleted it"):
        await ours.delete(REVIEWS, first.revision)


async def test_an_object_that_others_changed_was_not_deleted(ours: EtcdStore, others: EtcdStore) -> None:
    first = await ours.create(REVIEWS, b"0")
    lose(ours, lambda: others.update(REVIEWS, b"theirs"), carried_out=False)
    with pytest.raises(Conflict):
        await ours.delete(REVIEWS, first.revision)
