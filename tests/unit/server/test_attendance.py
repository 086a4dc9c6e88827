"""Several servers on one store: who judges whom, who removes, and that nobody who came back is removed."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable

import msgspec
import pytest

from argosy.server import attendance as module
from argosy.server import entries
from argosy.server.attendance import Attendance
from argosy.server.loss_record import RESOURCE
from argosy.store.base import Key, Stored, Unavailable
from argosy.store.memory import MemoryStore
from tests.unit.server.test_registration import register

SERVICE = Key("/services", "default", "reviews")


class Servers:
    """Servers of one store, with a clock that stands."""

    def __init__(self) -> None:
        self.store = MemoryStore()
        self.now = 1000.0
        self.present: set[str] = set()
        self.leader = ""
        self.all: dict[str, Attendance] = {}
        self.tasks: list[asyncio.Task[None]] = []

    async def start(self, name: str) -> Attendance:
        made = Attendance(
            self.store,
            name,
            lambda: self.present,
            lambda: self.leader == name,
            clock=lambda: self.now,
            monotonic=lambda: self.now,
        )
        self.present.add(name)
        self.all[name] = made
        revision = await made.expect_all()
        self.tasks.append(asyncio.create_task(made.follow(revision)))
        self.changed()
        return made

    def changed(self, leader: str | None = None, gone: str = "") -> None:
        """The fleet, or who leads."""
        self.leader = self.leader if leader is None else leader
        self.present.discard(gone)
        for one in self.all.values():
            one.reconsider()

    async def workload(self, name: str, server: str, stream: object = None) -> Key:
        """Registered at a server, and announced; connected where there is a stream."""
        key = entries.entry_key("default", name)
        before = await self.store.get(key)
        body = entries.workload_entry(
            register(name), msgspec.json.decode(before.body) if before else None, 0, server
        )
        data = msgspec.json.encode(entries.with_health(body, "True", "Announced", "", 0))
        if before is None:
            await self.store.create(key, data)
        else:
            await self.store.update(key, data, before.revision)
        if stream is not None:
            self.all[server].attend(key, stream)
        return key

    async def names(self) -> set[str]:
        return {stored.key.name for stored in (await self.store.list(entries.WORKLOAD_ENTRIES)).items}

    async def seen(self) -> None:
        """Everybody has seen what is stored."""
        for _ in range(20):
            await asyncio.sleep(0)
        await asyncio.sleep(0.02)

    async def sweep(self, later: float = 0) -> None:
        await self.seen()
        self.now += later
        for one in self.all.values():
            await one.sweep()
        await self.seen()


@pytest.fixture
async def servers() -> AsyncIterator[Servers]:
    made = Servers()
    service = entries.service(register(), 0)
    await made.store.create(SERVICE, msgspec.json.encode(service))
    for name in ("a", "b"):
        await made.start(name)
    made.changed(leader="a")
    yield made
    for task in made.tasks:
        task.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await asyncio.gather(*made.tasks)


async def test_what_another_server_attends_is_not_lost(servers: Servers) -> None:
    await servers.workload("w", "b", stream="s")
    await servers.sweep(1000)
    await servers.sweep(1000)
    assert await servers.names() == {"w"}


async def test_what_another_server_misses_goes_after_its_grace(servers: Servers) -> None:
    key = await servers.workload("w", "b", stream="s")
    await servers.workload("x", "a", stream="s")
    servers.all["b"].lost(key, "s")
    await servers.sweep(1)
    assert not servers.all["a"].losses.since, "b has not said so yet: it may be a stream that is made anew"
    await servers.sweep(2)
    stored = await servers.store.get(key)
    assert stored is not None
    assert b'"istio.io/disconnectedAt":"1970-01-01T00:16:43Z"' in stored.body
    await servers.sweep(29)
    assert await servers.names() == {"w", "x"}
    await servers.sweep(2)
    assert await servers.names() == {"x"}


async def test_a_note_is_taken_back_by_registering_again(servers: Servers) -> None:
    key = await servers.workload("w", "b", stream="s")
    servers.all["b"].lost(key, "s")
    await servers.sweep(3)
    assert servers.all["a"].losses.since
    await servers.workload("w", "b", stream="t")
    await servers.sweep(1000)
    assert await servers.names() == {"w"}
    stored = await servers.store.get(key)
    assert stored is not None
    assert b"disconnectedAt" not in stored.body


@pytest.mark.parametrize("comes_back", [False, True])
async def test_what_a_server_attended_that_is_gone(servers: Servers, comes_back: bool) -> None:
    await servers.workload("w", "b", stream="s")
    await servers.workload("x", "a", stream="s")
    await servers.sweep(100)
    servers.changed(gone="b")
    servers.all.pop("b")
    await servers.sweep(29)
    assert await servers.names() == {"w", "x"}, "the grace began when its lease was over"
    if comes_back:
        await servers.workload("w", "a", stream="t")
    await servers.sweep(2)
    assert await servers.names() == ({"w", "x"} if comes_back else {"x"})


async def test_a_server_that_comes_back_has_its_workloads(servers: Servers) -> None:
    await servers.workload("w", "b", stream="s")
    servers.changed(gone="b")
    await servers.sweep(20)
    assert servers.all["a"].losses.since
    servers.present.add("b")
    servers.changed()
    assert not servers.all["a"].losses.since


async def test_when_the_leader_dies_the_next_one_begins_with_a_grace(servers: Servers) -> None:
    await servers.workload("w", "a", stream="s")
    await servers.workload("x", "b", stream="s")
    await servers.sweep(100)
    servers.changed(gone="a")
    servers.all.pop("a")
    await servers.sweep(100)
    assert await servers.names() == {"w", "x"}, "nobody leads"
    servers.changed(leader="b")
    await servers.sweep(29)
    assert await servers.names() == {"w", "x"}
    await servers.sweep(2)
    assert await servers.names() == {"x"}


async def test_half_of_a_service_stays_whoever_attended_it(servers: Servers) -> None:
    for name, server in (("a1", "a"), ("a2", "a"), ("b1", "b"), ("b2", "b")):
        key = await servers.workload(name, server, stream="s")
        await servers.seen()
        servers.all[server].lost(key, "s")
    for later in (3, 31, 31, 31):
        await servers.sweep(later)
    assert len(await servers.names()) == 2
    assert len(servers.all["a"].kept) == 2


async def lost_half(servers: Servers, *, of: str = "a") -> None:
    """Of four endpoints at `a` and at `b` all connections are lost; the leader `a` takes two and keeps two."""
    for name, server in (("a1", "a"), ("a2", "a"), ("b1", of), ("b2", of)):
        key = await servers.workload(name, server, stream="s")
        await servers.seen()
        servers.all[server].lost(key, "s")
    for later in (3, 31, 31):
        await servers.sweep(later)
    assert len(await servers.names()) == 2


async def next_leads(servers: Servers, *, gone: str = "a", now: str = "b") -> None:
    """The leader dies; for a while it is still thought to be there."""
    servers.all.pop(gone)
    servers.changed(leader=now)
    await servers.sweep(1)
    await servers.sweep(9)
    servers.changed(gone=gone)


@pytest.mark.parametrize("of", ["a", "b"])
async def test_half_of_a_service_stays_whoever_leads(servers: Servers, of: str) -> None:
    await lost_half(servers, of=of)
    await next_leads(servers)
    for later in (3, 31, 31, 31):
        await servers.sweep(later)
    assert len(await servers.names()) == 2, "the two that the one before took count for the next one, too"
    await servers.start("c")
    await next_leads(servers, gone="b", now="c")
    for later in (3, 31, 31, 31):
        await servers.sweep(later)
    assert len(await servers.names()) == 2


async def test_what_the_last_leader_took_counts_until_the_rest_is_back(servers: Servers) -> None:
    await lost_half(servers)
    await next_leads(servers)
    for name in sorted(await servers.names()):
        await servers.workload(name, "b", stream="t")
    for later in (31, 6):
        await servers.sweep(later)
    assert (await servers.store.list(RESOURCE)).items == (), "the episode is over, for every later leader"
    one = entries.entry_key("default", min(await servers.names()))
    servers.all["b"].lost(one, "t")
    await servers.sweep(31)
    assert len(await servers.names()) == 1, "half of those that there are now"


async def test_two_that_both_think_they_lead_take_half_together(servers: Servers) -> None:
    keys = [await servers.workload(f"w{n}", "gone") for n in range(8)]
    servers.all["b"].leads = lambda: True
    await servers.seen()
    servers.changed()
    for key in keys:
        assert key in servers.all["b"].losses.since
    await servers.sweep(1)
    await servers.seen()
    servers.now += 31
    await asyncio.gather(*(one.sweep() for one in servers.all.values()))
    for later in (1, 6, 31, 31):
        await servers.sweep(later)
    assert len(await servers.names()) == 4


async def test_what_was_taken_is_written_before_it_is_removed(servers: Servers) -> None:
    """Whoever dies between the two leaves too much in the record, and never too little."""
    store = Slow()
    written: list[int] = []

    async def look(_: Key) -> None:
        written.append(len((await store.list(RESOURCE)).items))

    store.before_delete = look
    for one in servers.all.values():
        one.store = one.record.store = store
    servers.store = store
    await store.create(SERVICE, msgspec.json.encode(entries.service(register(), 0)))
    await servers.workload("x", "a", stream="s")
    await servers.workload("w", "gone")
    await servers.all["a"].expect_all()
    servers.now += 31
    await servers.all["a"].sweep()
    assert written == [1]
    assert await servers.names() == {"x"}


async def test_a_record_that_cannot_be_read_counts_as_none(servers: Servers) -> None:
    for name, body in (("a", b""), ("b", b"[1]"), ("c", b'{"service": 1}')):
        await servers.store.create(Key(RESOURCE, "", name), body)
    await servers.workload("x", "a", stream="s")
    await servers.workload("w", "gone")
    for later in (1, 31, 31):
        await servers.sweep(later)
    assert await servers.names() == {"x"}


class Slow(MemoryStore):
    """Somebody registers while the entry is about to be deleted."""

    def __init__(self) -> None:
        super().__init__()
        self.before_delete: Callable[[Key], object] | None = None
        self.fails = False

    async def delete(self, key: Key, expected: int | None = None) -> Stored:
        if self.fails:
            raise Unavailable("the store is away")
        if self.before_delete is not None:
            await self.before_delete(key)  # type: ignore[misc]
        return await super().delete(key, expected)


@pytest.fixture
async def slow(servers: Servers) -> tuple[Servers, Slow, Key]:
    """`w` is due at the leader `a`, and was attended by `b`, which is gone."""
    store = Slow()
    servers.store = store
    for one in servers.all.values():
        one.store = store
    await store.create(SERVICE, msgspec.json.encode(entries.service(register(), 0)))
    await servers.workload("x", "a", stream="s")
    key = await servers.workload("w", "b")
    servers.all.pop("b")
    servers.present.discard("b")
    await servers.all["a"].expect_all()
    servers.now += 31
    return servers, store, key


async def test_who_registers_elsewhere_while_it_is_removed_stays(slow: tuple[Servers, Slow, Key]) -> None:
    servers, store, _ = slow

    async def register_elsewhere(_: Key) -> None:
        await servers.workload("w", "c")

    store.before_delete = register_elsewhere
    await servers.all["a"].sweep()
    assert await servers.names() == {"w", "x"}, "it was judged by another revision"
    assert servers.all["a"].removed_for_loss == 0


async def test_who_registers_here_waits_for_a_removal_that_has_begun(slow: tuple[Servers, Slow, Key]) -> None:
    servers, store, key = slow
    order: list[str] = []

    async def register_here() -> None:
        async with servers.all["a"].arriving(key):
            order.append("registers")

    async def begin(_: Key) -> None:
        registering.append(asyncio.create_task(register_here()))
        await asyncio.sleep(0.01)
        order.append("removed")

    registering: list[asyncio.Task[None]] = []
    store.before_delete = begin
    await servers.all["a"].sweep()
    await registering[0]
    assert order == ["removed", "registers"], "it finds the entry gone, and makes it anew"


async def test_who_is_just_registering_here_is_not_removed(slow: tuple[Servers, Slow, Key]) -> None:
    servers, _, key = slow
    async with servers.all["a"].arriving(key):
        await servers.all["a"].sweep()
    assert await servers.names() == {"w", "x"}


async def test_what_the_store_did_not_delete_is_tried_again(slow: tuple[Servers, Slow, Key]) -> None:
    servers, store, _ = slow
    store.fails = True
    with pytest.raises(Unavailable):
        await servers.all["a"].sweep()
    store.fails = False
    await servers.all["a"].sweep()
    assert await servers.names() == {"x"}


async def test_entries_of_people_are_nobodys_loss(servers: Servers) -> None:
    by_hand = {"apiVersion": "networking.istio.io/v1", "kind": "WorkloadEntry", "metadata": {}, "spec": {}}
    await servers.store.create(entries.entry_key("default", "by-hand"), msgspec.json.encode(by_hand))
    await servers.sweep(1000)
    await servers.sweep(1000)
    assert await servers.names() == {"by-hand"}


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"\xff",
        b"[]",
        b"5",
        b'{"metadata": 5}',
        b'{"spec": {"selector": 5, "labels": []}}',
        b'{"spec": {"selector": {"a": 1}, "workloadSelector": ""}, "status": {"conditions": 7}}',
        b'{"metadata": {"annotations": {"sidecar.argosy.dev/ports": 1}}}',
    ],
)
async def test_what_was_written_past_the_api_stops_nobody(servers: Servers, body: bytes) -> None:
    for resource in (entries.WORKLOAD_ENTRIES, entries.SERVICES, entries.SERVICE_ENTRIES):
        await servers.store.create(Key(resource, "default", "broken"), body)
    await servers.workload("x", "a", stream="s")
    await servers.workload("w", "gone")
    await servers.sweep(0)
    await servers.sweep(31)
    assert await servers.names() == {"x", "broken"}
    assert not any(task.done() for task in servers.tasks)


async def test_an_entry_of_an_older_server_is_the_leaders_to_judge(servers: Servers) -> None:
    await servers.workload("x", "a", stream="s")
    await servers.workload("old", "")
    await servers.sweep(0)
    assert {key.name for key in servers.all["a"].losses.since} == {"old"}
    assert not servers.all["b"].losses.since
    await servers.sweep(31)
    assert await servers.names() == {"x"}


async def test_a_watch_that_ends_begins_anew(servers: Servers, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "RETRY_AFTER", 0.01)
    servers.store._tail.fail(Unavailable("away"))
    await asyncio.sleep(0.05)
    await servers.workload("w", "gone")
    await servers.seen()
    assert {key.name for key in servers.all["a"].losses.since} == {"w"}
