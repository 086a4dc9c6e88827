"""Presence, on every store: an object is there for as long as its holder is."""

from __future__ import annotations

import asyncio

from argosy.store.base import AlreadyExists, EventType, Key, Store, Unavailable
from argosy.store.holding import Renewal, holding, keep_present

SERVER = Key("/internal/servers", "", "one")
TTL = 1.0


async def gone(store: Store, key: Key) -> None:
    async with asyncio.timeout(20):
        while await store.get(key) is not None:
            await asyncio.sleep(0.02)


async def test_a_held_object_is_there_until_it_is_released(store: Store) -> None:
    async with holding(store, SERVER, b"here", TTL) as held:
        found = await store.get(SERVER)
        assert found is not None
        assert found.body == b"here"
        assert not held.lost.is_set()
    assert await store.get(SERVER) is None
    assert (await store.list("/internal/servers")).items == ()
    await held.release()


async def test_it_outlives_its_time_while_it_is_renewed(store: Store) -> None:
    loop = asyncio.get_running_loop()
    async with holding(store, SERVER, b"here", TTL) as held:
        until = loop.time() + 2.5 * TTL
        while loop.time() < until:
            assert await store.get(SERVER) is not None
            await asyncio.sleep(0.05)
        assert not held.lost.is_set()


async def test_what_is_held_no_more_goes_and_watchers_hear_of_it(store: Store) -> None:
    events = store.watch(await store.revision(), "/internal/servers")
    held = await store.hold(SERVER, b"here", TTL)
    await held.stop()  # type: ignore[attr-defined]  # as when its process is killed
    async with asyncio.timeout(20):
        found = [await anext(events), await anext(events)]
    assert [event.type for event in found] == [EventType.ADDED, EventType.DELETED]
    assert found[1].stored.body == b"here"
    assert await store.get(SERVER) is None
    await events.aclose()  # type: ignore[attr-defined]


async def test_of_two_who_want_one_name_one_has_it(store: Store) -> None:
    outcomes = await asyncio.gather(
        *(store.hold(SERVER, str(i).encode(), TTL) for i in range(5)), return_exceptions=True
    )
    won = [one for one in outcomes if not isinstance(one, BaseException)]
    assert len(won) == 1
    assert sum(isinstance(one, AlreadyExists) for one in outcomes) == 4
    await won[0].release()
    async with holding(store, SERVER, b"next", TTL):
        pass


async def test_a_holder_is_told_when_its_object_was_deleted(store: Store) -> None:
    held = await store.hold(SERVER, b"here", TTL)
    await store.delete(SERVER)
    async with asyncio.timeout(20):
        await held.lost.wait()
    async with holding(store, SERVER, b"another's", TTL):
        await held.release()
        assert await store.get(SERVER) is not None, "it is another's by now"


async def test_an_update_keeps_the_object_held(store: Store) -> None:
    held = await store.hold(SERVER, b"1", TTL)
    await store.update(SERVER, b"2")
    await held.stop()  # type: ignore[attr-defined]
    await gone(store, SERVER)


async def test_presence_comes_back_after_it_was_lost(store: Store) -> None:
    told: asyncio.Queue[bool] = asyncio.Queue()
    turn = iter(range(100))

    def body() -> bytes:
        return str(next(turn)).encode()

    keeping = asyncio.create_task(keep_present(store, SERVER, body, TTL, told.put_nowait))
    async with asyncio.timeout(20):
        assert await told.get()
        await store.delete(SERVER)
        assert not await told.get()
        assert await told.get()
        found = await store.get(SERVER)
        assert found is not None
        assert int(found.body) > 0
        keeping.cancel()
        await asyncio.gather(keeping, return_exceptions=True)
    assert await store.get(SERVER) is None


async def test_a_hold_is_lost_when_the_store_is_away_for_longer_than_its_time() -> None:
    async def away() -> bool:
        raise Unavailable("away")

    async def release() -> None:
        raise AssertionError("there is nothing to release")

    began = asyncio.get_running_loop().time()
    held = Renewal(SERVER, 0.3, away, release)
    async with asyncio.timeout(20):
        await held.lost.wait()
    assert asyncio.get_running_loop().time() - began >= 0.3
    await held.release()


async def test_a_hold_whose_store_does_not_answer_is_lost_when_its_time_is_over() -> None:
    async def hang() -> bool:
        await asyncio.Event().wait()
        return True

    async def release() -> None:
        raise AssertionError("there is nothing to release")

    held = Renewal(SERVER, 0.3, hang, release)
    async with asyncio.timeout(20):
        await held.lost.wait()
