"""etcd in trouble: a leader lost, all of it away for a while, history forgotten, doors closed. Nothing is lost or told
twice, calls end within their time, and what is wrong is said."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from argosy.runtime.errors import Failure
from argosy.store.base import (
    AlreadyExists,
    Compacted,
    Conflict,
    Event,
    EventType,
    Key,
    Store,
    TooLarge,
    Unavailable,
)
from argosy.store.etcd.address import parse
from argosy.store.etcd.store import EtcdStore
from argosy.store.holding import holding, keep_present
from tests.servers.etcd import Etcd, etcd

ROUTES = "networking.istio.io/virtualservices"
REVIEWS = Key(ROUTES, "shop", "reviews")


@pytest.fixture
def alone(tmp_path: Path) -> Iterator[Etcd]:
    with etcd(tmp_path / "etcd", options=["--unsafe-no-fsync"]) as cluster:
        yield cluster


@pytest.fixture
def three(tmp_path: Path) -> Iterator[Etcd]:
    with etcd(tmp_path / "etcd", 3, options=["--unsafe-no-fsync"]) as cluster:
        yield cluster


@contextlib.asynccontextmanager
async def opened(cluster: Etcd, options: str = "?compact=off") -> AsyncIterator[EtcdStore]:
    store = await EtcdStore.open(parse(cluster.url(options=options)))
    try:
        yield store
    finally:
        await store.close()


class Watcher:
    """Follows everything for ever, as a runtime role does."""

    def __init__(self, store: Store, after: int) -> None:
        self.seen: list[Event] = []
        self.store = store
        self.after = after
        self.task = asyncio.create_task(self.run())

    async def run(self) -> None:
        async for event in self.store.watch(self.after):
            self.seen.append(event)

    async def until(self, name: str) -> list[Event]:
        """What was seen, once the change of an object has arrived."""
        async with asyncio.timeout(40):
            while not any(event.stored.key.name == name for event in self.seen):
                assert not self.task.done(), self.task.exception()
                await asyncio.sleep(0.02)
        return self.seen

    async def stop(self) -> None:
        self.task.cancel()
        await asyncio.gather(self.task, return_exceptions=True)


async def write_until(store: Store, done: asyncio.Event, writer: str) -> dict[str, int]:
    """Creates objects one after the other; what was acknowledged, with its revision."""
    acknowledged: dict[str, int] = {}
    number = 0
    while not done.is_set():
        name = f"{writer}-{number}"
        try:
            acknowledged[name] = (await store.create(Key(ROUTES, "shop", name), name.encode())).revision
        except (Unavailable, AlreadyExists):
            await asyncio.sleep(0.05)
        number += 1
    return acknowledged


async def test_a_lost_leader_loses_no_acknowledged_write_and_no_event(three: Etcd) -> None:
    async with opened(three) as store:
        watcher = Watcher(store, await store.revision())
        done = asyncio.Event()
        writing = [asyncio.create_task(write_until(store, done, f"w{i}")) for i in range(4)]
        for member in three.members:  # one of them leads, and one of them is the one we talk to
            before = len(watcher.seen)
            member.kill()
            async with asyncio.timeout(40):
                while len(watcher.seen) < before + 20:
                    await asyncio.sleep(0.05)
            member.start()
            await asyncio.to_thread(three.wait)
        done.set()
        acknowledged: dict[str, int] = {}
        for each in writing:
            acknowledged |= await each
        await store.create(Key(ROUTES, "shop", "last"), b"")
        seen = await watcher.until("last")
        found = {item.key.name: item.revision for item in (await store.list()).items}
        assert acknowledged.items() <= found.items()
        assert {event.stored.key.name: event.stored.revision for event in seen} == found
        revisions = [event.stored.revision for event in seen]
        assert revisions == sorted(set(revisions))
        await watcher.stop()


async def test_etcd_away_for_a_while_ends_calls_in_time_and_watches_go_on(alone: Etcd) -> None:
    async with opened(alone, "?compact=off&timeout=1s") as store:
        first = await store.create(REVIEWS, b"1")
        watcher = Watcher(store, first.revision)
        await store.create(Key(ROUTES, "shop", "before"), b"")
        await watcher.until("before")
        alone.kill()
        began = asyncio.get_running_loop().time()
        for attempt in (store.get(REVIEWS), store.create(REVIEWS, b""), store.list(), store.health()):
            with pytest.raises(
                Unavailable, match=r"etcd://127\.0\.0\.1:\d+/argosy does not answer .*is etcd up"
            ):
                await attempt
        assert asyncio.get_running_loop().time() - began < 4 * 3
        await asyncio.sleep(1)
        await asyncio.to_thread(alone.start)
        async with asyncio.timeout(30):
            while True:
                with contextlib.suppress(Unavailable):
                    await store.create(Key(ROUTES, "shop", "after"), b"")
                    break
        seen = await watcher.until("after")
        assert [event.stored.key.name for event in seen] == ["before", "after"]
        assert await store.get(REVIEWS) == first
        await watcher.stop()


async def test_a_watcher_misses_nothing_that_another_server_wrote_while_it_was_cut_off(three: Etcd) -> None:
    one = parse(f"etcd://{three.members[0].endpoint}/argosy?compact=off&timeout=1s")
    async with opened(three) as other:
        cut_off = await EtcdStore.open(one)
        watcher = Watcher(cut_off, await cut_off.revision())
        await other.create(Key(ROUTES, "shop", "before"), b"")
        await watcher.until("before")
        three.members[0].kill()
        names = [f"o{number}" for number in range(50)]
        for name in names:
            await other.create(Key(ROUTES, "shop", name), b"")
        await other.delete(Key(ROUTES, "shop", "o7"))
        three.members[0].start()
        await other.create(Key(ROUTES, "shop", "last"), b"")
        seen = [event.stored.key.name for event in await watcher.until("last")]
        assert seen == ["before", *names, "o7", "last"]
        await watcher.stop()
        await cut_off.close()


async def test_a_watch_does_not_stay_with_a_member_that_hangs(three: Etcd) -> None:
    """Its connection stays open and nobody says a word: that calls get no answer there tells it."""
    hung = three.members[0]
    async with opened(three) as store:
        watcher = Watcher(store, await store.revision())
        await store.create(Key(ROUTES, "shop", "before"), b"")
        await watcher.until("before")
        hung.pause()
        async with asyncio.timeout(40):
            while True:
                with contextlib.suppress(Unavailable):
                    await store.create(Key(ROUTES, "shop", "meanwhile"), b"")
                    break
        seen = [event.stored.key.name for event in await watcher.until("meanwhile")]
        hung.resume()
        await store.create(Key(ROUTES, "shop", "last"), b"")
        assert [event.stored.key.name for event in await watcher.until("last")] == [*seen, "last"]
        assert seen == ["before", "meanwhile"]
        await watcher.stop()


async def test_what_was_compacted_while_a_watcher_was_away_ends_its_watch(three: Etcd) -> None:
    one = parse(f"etcd://{three.members[0].endpoint}/argosy?compact=off&timeout=1s")
    async with opened(three) as other:
        cut_off = await EtcdStore.open(one)
        watcher = Watcher(cut_off, await cut_off.revision())
        await other.create(Key(ROUTES, "shop", "before"), b"")
        await watcher.until("before")
        three.members[0].kill()
        for number in range(50):
            await other.create(Key(ROUTES, "shop", f"o{number}"), b"")
        await other.compact(await other.revision())
        three.members[0].start()
        with pytest.raises(Compacted):
            async with asyncio.timeout(40):
                await watcher.task
        again = Watcher(cut_off, (await cut_off.list()).revision)
        await other.create(Key(ROUTES, "shop", "last"), b"")
        assert [event.stored.key.name for event in await again.until("last")] == ["last"]
        await again.stop()
        await cut_off.close()


async def test_presence_outlives_a_lost_leader_and_comes_back_after_all_was_away(three: Etcd) -> None:
    server = Key("/internal/servers", "", "one")
    async with opened(three, "?compact=off&timeout=2s") as store:
        told: asyncio.Queue[bool] = asyncio.Queue()
        keeping = asyncio.create_task(keep_present(store, server, lambda: b"", 2.0, told.put_nowait))
        async with asyncio.timeout(60):
            assert await told.get()
            three.kill()
            assert not await told.get()
            await asyncio.to_thread(three.start)
            assert await told.get()
            assert await store.get(server) is not None
        keeping.cancel()
        await asyncio.gather(keeping, return_exceptions=True)


async def test_a_compare_and_swap_counter_survives_a_lost_leader(three: Etcd) -> None:
    """An attempt whose answer was lost is neither repeated nor forgotten where it was acknowledged."""
    async with opened(three) as store:
        await store.create(REVIEWS, b"0")
        acknowledged = [0, 0, 0, 0]

        async def increment(writer: int) -> None:
            while acknowledged[writer] < 60:
                with contextlib.suppress(Conflict, Unavailable):
                    now = await store.get(REVIEWS)
                    assert now is not None
                    body = f"{int(now.body.split()[0]) + 1} {writer}".encode()
                    await store.update(REVIEWS, body, now.revision)
                    acknowledged[writer] += 1

        writing = [asyncio.create_task(increment(i)) for i in range(4)]
        for member in three.members:
            before = sum(acknowledged)
            async with asyncio.timeout(40):
                while sum(acknowledged) < min(before + 20, 200):
                    await asyncio.sleep(0.01)
            member.kill()
            await asyncio.sleep(0.5)
            member.start()
        async with asyncio.timeout(60):
            await asyncio.gather(*writing)
        found = await store.get(REVIEWS)
        assert found is not None
        # An attempt that was not acknowledged may have been carried out as well.
        assert int(found.body.split()[0]) >= sum(acknowledged)


async def test_no_etcd_at_the_start_is_said_within_the_time_given() -> None:
    with pytest.raises(
        Failure, match=r"cannot be used: etcd://127\.0\.0\.1:1/argosy does not answer"
    ) as error:
        async with asyncio.timeout(20):
            await EtcdStore.open(parse("etcd://127.0.0.1:1/?timeout=1s"))
    assert "etcdctl endpoint status" in error.value.remedy


async def test_endpoints_that_are_down_are_passed_over(alone: Etcd) -> None:
    store = await EtcdStore.open(
        parse(f"etcd://127.0.0.1:1,{alone.endpoints[0]},127.0.0.1:2/argosy?compact=off")
    )
    await store.create(REVIEWS, b"")
    watcher = Watcher(store, await store.revision())
    await store.create(Key(ROUTES, "shop", "next"), b"")
    await watcher.until("next")
    await watcher.stop()
    await store.close()


async def test_a_layout_of_a_newer_version_is_refused(alone: Etcd) -> None:
    async with opened(alone) as store:
        raw = parse(alone.url()).prefix + "/format"
        await put(store, raw, b"2")
    with pytest.raises(Failure, match=r"written by another Argosy \(format 2; this one knows 1\)"):
        await EtcdStore.open(parse(alone.url()))


async def put(store: EtcdStore, key: str, value: bytes) -> None:
    """Past our API, as `etcdctl put` does."""
    from aetcd import rpc

    await store._client.call(lambda c: c.kv.Put, rpc.PutRequest(key=key.encode(), value=value))


async def test_what_others_wrote_beside_and_below_our_prefix_is_no_object(alone: Etcd) -> None:
    async with opened(alone) as store:
        watcher = Watcher(store, await store.revision())
        for key in (
            "/argosy/objects/nonsense",
            "/argosy2/objects//services\tshop\tx",
            "/other",
            "/argosy/zzz",
        ):
            await put(store, key, b"x")
        await put(store, "/argosy/objects//services\tshop\tby hand", b"{}")
        assert [item.key.name for item in (await store.list()).items] == ["by hand"]
        assert [event.stored.key.name for event in await watcher.until("by hand")] == ["by hand"]
        await watcher.stop()


async def test_changes_of_one_transaction_all_arrive(alone: Etcd) -> None:
    from aetcd import rpc

    async with opened(alone) as store:
        watcher = Watcher(store, await store.revision())
        puts = [
            rpc.RequestOp(
                request_put=rpc.PutRequest(key=f"/argosy/objects//s\tn\to{i:03}".encode(), value=b"{}")
            )
            for i in range(100)
        ]
        for turn in range(30):  # more than the tail keeps: what it cuts, and what it hands out, stay whole
            await store._client.call(lambda c: c.kv.Txn, rpc.TxnRequest(success=puts))
            await store.create(Key(ROUTES, "shop", f"between-{turn}"), b"")
        seen = await watcher.until("between-29")
        assert len(seen) == 30 * 101
        await watcher.stop()


async def test_an_object_that_etcd_does_not_take_is_named(alone: Etcd) -> None:
    async with opened(alone) as store:
        with pytest.raises(TooLarge, match="too large"):
            await store.create(REVIEWS, b"x" * 2_000_000)
        assert await store.get(REVIEWS) is None


async def test_a_full_database_refuses_writes_says_so_and_can_be_read(tmp_path: Path) -> None:
    with etcd(tmp_path / "etcd", options=["--unsafe-no-fsync", "--quota-backend-bytes=1000000"]) as cluster:
        async with opened(cluster) as store:
            first = await store.create(REVIEWS, b"1")

            async def fill() -> None:
                for number in range(200):
                    await store.create(Key(ROUTES, "shop", f"big{number}"), b"x" * 100_000)

            with pytest.raises(Unavailable, match=r"is full .*quota-backend-bytes"):
                await fill()
            assert await store.get(REVIEWS) == first
            await store.health()


async def test_one_of_two_servers_compacts_and_the_other_takes_over(alone: Etcd) -> None:
    first = await EtcdStore.open(parse(alone.url()))
    async with asyncio.timeout(20):
        while not (held := (await first._client.range(key=first._layout.compactor)).kvs):
            await asyncio.sleep(0.05)
    async with opened(alone, "") as second:
        await first.close()
        async with asyncio.timeout(60):
            while True:
                found = (await second._client.range(key=second._layout.compactor)).kvs
                if found and found[0].lease != held[0].lease:
                    break
                await asyncio.sleep(0.1)


async def test_a_slow_watcher_is_not_waited_for_and_misses_nothing(alone: Etcd) -> None:
    async with opened(alone) as store:
        slow = store.watch(await store.revision())
        quick = Watcher(store, await store.revision())
        first = await store.create(REVIEWS, b"")
        assert await anext(slow) == Event(EventType.ADDED, first)
        for batch in range(20):
            await asyncio.gather(
                *(store.create(Key(ROUTES, f"b{batch}", f"o{i}"), b"x" * 5_000) for i in range(100))
            )
        await store.create(Key(ROUTES, "z", "last"), b"")
        seen = await quick.until("last")
        assert store._tail is not None
        assert len(store._tail._events) < 1_200
        caught_up = [first.revision]
        async with asyncio.timeout(40):
            while len(caught_up) < len(seen):
                caught_up.append((await anext(slow)).stored.revision)
        assert caught_up == [event.stored.revision for event in seen]
        await quick.stop()
        await slow.aclose()  # type: ignore[attr-defined]


async def test_a_held_name_has_one_holder_while_leaders_change(three: Etcd) -> None:
    key = Key("/internal/servers", "", "one")
    async with opened(three) as store, holding(store, key, b"me", 10) as held:
        for member in three.members[:2]:
            member.kill()
            async with asyncio.timeout(30):
                while True:
                    with contextlib.suppress(Unavailable):
                        assert await store.get(key) is not None
                        break
            member.start()
            await asyncio.to_thread(three.wait)
        with pytest.raises(AlreadyExists):
            await store.hold(key, b"me", 10)
        assert not held.lost.is_set()
