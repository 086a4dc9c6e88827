"""One leads, and when it dies another does."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable

from argosy.server.leader import KEY, Leadership
from argosy.store.memory import MemoryStore

LEASE = 0.3


async def until(holds: Callable[[], object]) -> None:
    async with asyncio.timeout(10):
        while not holds():
            await asyncio.sleep(0.005)


@contextlib.asynccontextmanager
async def standing(store: MemoryStore, name: str) -> AsyncIterator[Leadership]:
    one = Leadership(store, name, LEASE)
    task = asyncio.create_task(one.run())
    try:
        yield one
    finally:
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task


async def test_one_leads_and_all_know_it() -> None:
    store = MemoryStore()
    async with standing(store, "a-xds") as a, standing(store, "b-xds") as b:
        await until(lambda: (a.leader, b.leader) in (("a-xds", "a-xds"), ("b-xds", "b-xds")))
        await until(lambda: (a.leads, b.leads) in ((True, False), (False, True)))
        assert a.term == b.term > 0


async def test_who_stops_makes_way_at_once_and_the_term_is_another() -> None:
    store = MemoryStore()
    async with contextlib.AsyncExitStack() as stack:
        async with standing(store, "a-xds") as a:
            await until(lambda: a.leads and a.term)
            b = await stack.enter_async_context(standing(store, "b-xds"))
            await until(lambda: b.leader == "a-xds")
            term = b.term
        await until(lambda: b.leads and b.leader == "b-xds")
        assert b.term > term


async def test_when_the_leader_dies_another_takes_over_in_the_time_of_its_lease() -> None:
    store = MemoryStore()
    dead = await store.hold(KEY, b"dead-xds", LEASE)
    async with standing(store, "b-xds") as b:
        await until(lambda: b.leader == "dead-xds")
        term = b.term
        assert not b.leads
        await dead.stop()  # type: ignore[attr-defined]  # killed: nobody renews it, nobody lets go
        await until(lambda: b.leads and b.leader == "b-xds")  # the lease and the watch, in either order
        assert b.term > term


async def test_what_an_earlier_instance_held_does_not_hold_up_the_next() -> None:
    store = MemoryStore()
    await store.hold(KEY, b"b-api.xds.ca", 3600)  # killed just now, with other roles
    async with standing(store, "b-xds") as b:
        await until(lambda: b.leads)


async def test_who_loses_the_lease_leads_no_more_and_hears_of_it() -> None:
    store = MemoryStore()
    async with standing(store, "a-xds") as a:
        await until(lambda: a.leads and a.leader == "a-xds")
        told: list[bool] = []
        a.on_changed.append(lambda: told.append(a.leads))
        await store.delete(KEY)
        await store.create(KEY, b"thief-xds")
        await until(lambda: not a.leads)
        assert False in told
        await until(lambda: a.leader == "thief-xds")
        await store.delete(KEY)
        await until(lambda: a.leads)
