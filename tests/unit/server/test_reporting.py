"""Conditions on the objects themselves: written when they change, at a bounded rate, and never for nothing."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Callable
from typing import Any

import msgspec
import pytest

from argosy.model import ir
from argosy.resources.meta import prepare_update
from argosy.server import entries, reporting
from argosy.server.delivery import Delivery
from argosy.server.figures import Figure
from argosy.server.reconcile import Loop, Reconciler
from argosy.server.reporting import Reporter, Untold
from argosy.server.tally import Tally
from argosy.server.verdict import Verdict
from argosy.store.base import Key, Unavailable
from argosy.store.memory import MemoryStore
from argosy.xds.registration import Port, Register
from tests.unit.pki import Authority, encoded
from tests.unit.server.world import VS, FakeEnvoy, node, virtual_service

Json = dict[str, Any]


class Mesh:
    """A store, the views over it, and who writes the conditions."""

    def __init__(self) -> None:
        self.store = MemoryStore()
        self.reconciler = Reconciler(ir.Mesh())
        self.delivery = Delivery(self.reconciler, set)
        self.reporter = Reporter(self.store, self.reconciler, self.delivery)
        self.loop = Loop(self.store, self.reconciler)

    async def put(self, body: Json, key: Key) -> int:
        stored = await self.store.get(key)
        if stored is None:
            created = await self.store.create(key, msgspec.json.encode(entries.new_object(body, 0)))
            return created.revision
        old = msgspec.json.decode(stored.body)
        after = prepare_update(old, body | {"status": old.get("status", {})})
        return (await self.store.update(key, msgspec.json.encode(after))).revision

    async def workload(self, name: str, service: str = "reviews") -> None:
        register = Register(
            workload=name,
            namespace="default",
            service_account=service,
            service=service,
            address="127.0.0.1",
            ports=(Port(workload=9080, bind=21001, application=40001),),
        )
        key = Key("/services", "default", service)
        if await self.store.get(key) is None:
            await self.store.create(key, msgspec.json.encode(entries.service(register, 0)))
        entry = entries.with_health(entries.workload_entry(register, None, 0), "True", "Test", "", 0)
        await self.store.create(entries.entry_key("default", name), msgspec.json.encode(entry))

    async def seen(self) -> None:
        """The views hold what is stored."""
        await until(lambda: self.reconciler.revision >= self._latest())

    def _latest(self) -> int:
        return self.store._tail.latest

    async def condition(self, key: Key = VS, kind: str = "Programmed") -> Json:
        stored = await self.store.get(key)
        assert stored is not None
        found: list[Json] = msgspec.json.decode(stored.body).get("status", {}).get("conditions", [])
        return next((one for one in found if one["type"] == kind), {})

    async def becomes(self, reason: str, key: Key = VS, kind: str = "Programmed", says: str = "") -> Json:
        """The condition, once its reason is this, and its message says so."""
        async with asyncio.timeout(20):
            while True:
                found = await self.condition(key, kind)
                if found.get("reason") == reason and says in found["message"]:
                    return found
                await asyncio.sleep(0.01)


async def until(holds: Callable[[], bool]) -> None:
    async with asyncio.timeout(20):
        while not holds():
            await asyncio.sleep(0.005)


@pytest.fixture
async def mesh(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Mesh]:
    monkeypatch.setattr(reporting, "SETTLED", 0.05)
    monkeypatch.setattr(reporting, "RETRY_AFTER", 0.02)
    monkeypatch.setattr(reporting, "GATEWAYS_EVERY", 0.05)
    made = Mesh()
    tasks = [asyncio.create_task(made.loop.run()), asyncio.create_task(made.reporter.run())]
    await made.loop.synced.wait()
    yield made
    for task in tasks:
        task.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await asyncio.gather(*tasks)


async def test_an_object_says_that_nobody_uses_it(mesh: Mesh) -> None:
    await mesh.put(virtual_service(), VS)
    found = await mesh.becomes("NoSubscribers")
    assert (found["status"], found["observedGeneration"]) == ("True", 1)
    assert (await mesh.condition(kind="Accepted"))["status"] == "True"


async def test_a_proxy_that_joins_counts_and_one_that_leaves_no_longer_does(mesh: Mesh) -> None:
    await mesh.workload("reviews-v1")
    await mesh.put(virtual_service(), VS)
    await mesh.seen()
    envoy = FakeEnvoy(mesh.reconciler, "client-1", node())
    found = await mesh.becomes("Programmed")
    assert found["message"] == "1 of 1 affected proxies run it"
    envoy.session.disconnected()
    await mesh.becomes("NoSubscribers")


async def test_a_change_is_pending_until_the_proxy_has_answered(mesh: Mesh) -> None:
    await mesh.workload("reviews-v1")
    await mesh.put(virtual_service(), VS)
    await mesh.seen()
    envoy = FakeEnvoy(mesh.reconciler, "client-1", node())
    await mesh.becomes("Programmed")
    await mesh.put(virtual_service("9s"), VS)
    found = await mesh.becomes("Pending")
    assert (found["status"], found["observedGeneration"]) == ("False", 2)
    assert "waiting for client-1.default" in found["message"]
    envoy.exchange()
    assert (await mesh.becomes("Programmed"))["observedGeneration"] == 2


async def test_the_answers_of_many_are_one_look(mesh: Mesh, monkeypatch: pytest.MonkeyPatch) -> None:
    """A look asks every proxy: one look for each answer would cost the square."""
    await mesh.workload("reviews-v1")
    await mesh.put(virtual_service(), VS)
    await mesh.seen()
    envoys = [FakeEnvoy(mesh.reconciler, f"client-{number}", node()) for number in range(50)]
    await mesh.becomes("Programmed", says="50 of 50")
    await mesh.put(virtual_service("9s"), VS)
    await mesh.becomes("Pending")
    looks: list[Key] = []
    verdict = mesh.delivery.verdict

    def noted(key: Key, revision: int) -> Verdict:
        looks.append(key)
        return verdict(key, revision)

    monkeypatch.setattr(mesh.delivery, "verdict", noted)
    for envoy in envoys:
        envoy.exchange()
    await mesh.becomes("Programmed", says="50 of 50")
    assert 0 < looks.count(VS) < 5, "not one for each of the 50"


async def test_a_refusal_is_told_in_envoys_words(mesh: Mesh) -> None:
    await mesh.workload("reviews-v1")
    await mesh.put(virtual_service(), VS)
    await mesh.seen()
    envoy = FakeEnvoy(mesh.reconciler, "client-1", node())
    envoy.refuse = {"http_proxy"}
    await mesh.put(virtual_service("9s"), VS)
    await mesh.seen()
    envoy.exchange()
    found = await mesh.becomes("Rejected")
    assert "client-1.default refused RouteConfiguration http_proxy: http_proxy is bad" in found["message"]
    assert "0 of 1 affected proxies run it" in found["message"]


async def test_a_gateway_says_which_secret_it_lacks_and_hears_when_it_comes(mesh: Mesh) -> None:
    await mesh.workload("gw")
    edge = Key("networking.istio.io/gateways", "default", "edge")
    server = {
        "port": {"number": 443, "name": "https", "protocol": "HTTPS"},
        "hosts": ["*"],
        "tls": {"mode": "SIMPLE", "credentialName": "cert"},
    }
    metadata = {"name": "edge", "namespace": "default"}
    body = {"apiVersion": "networking.istio.io/v1", "kind": "Gateway", "metadata": metadata}
    await mesh.put(body | {"spec": {"servers": [server]}}, edge)
    await mesh.seen()
    envoy = FakeEnvoy(mesh.reconciler, "gw", node(type="router"))
    missing = "server https: there is no Secret default/cert; create it"
    found = await mesh.becomes("InvalidCertificateRef", edge, "ResolvedRefs", missing)
    assert found["message"] == missing
    assert (await mesh.condition(edge, "Accepted"))["status"] == "True"
    pair = Authority().issue("a.example")
    held = encoded(tls_crt=pair.certificate, tls_key=pair.key)
    secret = {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "cert", "namespace": "default"}}
    await mesh.put(secret | {"data": held}, Key("/secrets", "default", "cert"))
    await mesh.becomes("ResolvedRefs", edge, "ResolvedRefs")
    mesh.reporter.clock = lambda: time.time() + 7200
    await mesh.becomes("InvalidCertificateRef", edge, "ResolvedRefs")
    envoy.session.disconnected()


async def test_an_object_written_past_the_api_that_cannot_be_read_says_so(mesh: Mesh) -> None:
    broken = virtual_service() | {"spec": {"hosts": 5}}
    await mesh.put(broken, VS)
    found = await mesh.becomes("Invalid", kind="Accepted")
    assert found["status"] == "False"
    assert "hosts" in found["message"]
    assert (await mesh.condition())["reason"] == "NotAccepted"


async def test_what_an_agent_writes_is_left_to_it(mesh: Mesh) -> None:
    await mesh.workload("reviews-v1")
    await mesh.put(virtual_service(), VS)
    await mesh.becomes("NoSubscribers")
    stored = await mesh.store.get(entries.entry_key("default", "reviews-v1"))
    assert stored is not None
    kinds = {one["type"] for one in msgspec.json.decode(stored.body)["status"]["conditions"]}
    assert kinds == {"Healthy"}


async def test_a_status_is_written_once_and_moves_nothing(mesh: Mesh) -> None:
    await mesh.workload("reviews-v1")
    await mesh.put(virtual_service(), VS)
    await mesh.becomes("NoSubscribers")
    await mesh.seen()
    pushes, written = sum(mesh.reconciler.metrics.reconciles.counts), mesh.reporter.written
    FakeEnvoy(mesh.reconciler, "client-1", node())
    await mesh.becomes("Programmed")
    await mesh.seen()
    assert sum(mesh.reconciler.metrics.reconciles.counts) == pushes, "a status is no change to the views"
    assert mesh.reporter.written == written + 1


async def test_who_waits_for_a_change_is_not_misled_by_the_status_written_meanwhile(mesh: Mesh) -> None:
    """The route moves away from a host: what it was in before still matters after its status was written."""
    await mesh.workload("reviews-v1")
    await mesh.workload("ratings-v1", "ratings")
    await mesh.put(virtual_service(), VS)
    await mesh.seen()
    before = mesh.reconciler.slots_of(VS)
    moved = virtual_service()
    moved["spec"]["hosts"] = ["ratings"]
    await mesh.put(moved, VS)
    await mesh.becomes("NoSubscribers")
    await mesh.seen()
    assert before <= mesh.reconciler.slots_of(VS)


async def test_a_store_that_cannot_be_written_is_tried_again(
    mesh: Mesh, monkeypatch: pytest.MonkeyPatch
) -> None:
    tried = 0
    update = mesh.store.update

    async def full(*arguments: Any) -> Any:
        nonlocal tried
        tried += 1
        if tried < 3:
            raise Unavailable("no space left")
        return await update(*arguments)

    monkeypatch.setattr(mesh.store, "update", full)
    await mesh.put(virtual_service(), VS)
    await mesh.becomes("NoSubscribers")
    assert tried == 3


class Term:
    """Who leads, as the test says."""

    def __init__(self) -> None:
        self.leads, self.leader, self.term = True, "a", 1
        self.on_changed: list[Callable[[], None]] = []

    def change(self, leads: bool, term: int) -> None:
        self.leads, self.leader, self.term = leads, "a" if leads else "b", term
        for tell in self.on_changed:
            tell()


class Two(Mesh):
    """This server and another, `b`."""

    def __init__(self) -> None:
        super().__init__()
        self.peers = {"b": "10.0.0.2:15012"}
        self.term = Term()
        self.told: list[tuple[dict[Key, Figure], bool]] = []
        self.away = False
        self.reporter = Reporter(
            self.store, self.reconciler, self.delivery, self.term, Tally(lambda: self.peers), self.tell
        )

    async def tell(self, figures: tuple[tuple[Key, Figure], ...], whole: bool) -> None:
        if self.away:
            raise Untold("away")
        self.told.append((dict(figures), whole))


@pytest.fixture
async def two(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Two]:
    monkeypatch.setattr(reporting, "SETTLED", 0.05)
    monkeypatch.setattr(reporting, "RETRY_AFTER", 0.02)
    monkeypatch.setattr(reporting, "TELL_EVERY", 0.02)
    made = Two()
    tasks = [asyncio.create_task(made.loop.run()), asyncio.create_task(made.reporter.run())]
    await made.loop.synced.wait()
    yield made
    for task in tasks:
        task.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await asyncio.gather(*tasks)


async def used(two: Two) -> FakeEnvoy:
    """A route that one proxy here uses."""
    await two.workload("reviews-v1")
    await two.put(virtual_service(), VS)
    await two.seen()
    return FakeEnvoy(two.reconciler, "client-1", node())


async def test_the_leader_writes_what_all_see(two: Two) -> None:
    two.reporter.take("b", ((VS, Figure(generation=1, programmed=2)),), True)
    await asyncio.sleep(
        0.05
    )  # the other server was quicker: what it said of an object to come is not forgotten
    await used(two)
    found = await two.becomes("Programmed")
    async with asyncio.timeout(10):
        while (found := await two.condition())["message"] != "3 of 3 affected proxies run it":
            await asyncio.sleep(0.01)
    assert found["status"] == "True"
    two.reporter.take("b", ((VS, Figure(generation=1, programmed=1, waiting=("x.default",))),), False)
    found = await two.becomes("Pending")
    assert found["message"] == "2 of 3 affected proxies run it; waiting for x.default"
    two.peers.clear()
    two.reporter.fleet_changed()
    assert (await two.becomes("Programmed"))["message"] == "1 of 1 affected proxies run it"


async def test_the_leader_waits_for_the_others_before_it_writes(
    two: Two, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reporting, "PEERS_WITHIN", 0.3)
    await used(two)
    await asyncio.sleep(0.1)
    assert await two.condition() == {}
    assert (await two.becomes("Programmed"))["message"] == "1 of 1 affected proxies run it", (
        "it does not for ever"
    )


async def test_another_server_tells_and_writes_nothing(two: Two) -> None:
    two.term.change(leads=False, term=2)
    two.away = True  # the leader cannot be reached yet
    envoy = await used(two)
    await asyncio.sleep(0.1)
    two.away = False

    def last() -> Figure | None:
        known: dict[Key, Figure] = {}
        for figures, _ in two.told:
            known |= figures
        return known.get(VS)

    await until(lambda: (found := last()) is not None and found.programmed == 1)
    assert [whole for _, whole in two.told].count(True) == 1
    assert await two.condition() == {}
    told = len(two.told)
    await two.put(virtual_service("9s"), VS)
    await until(lambda: (found := last()) is not None and found.waiting == ("client-1.default",))
    envoy.exchange()
    await until(lambda: (found := last()) is not None and (found.programmed, found.generation) == (1, 2))
    assert not any(whole for _, whole in two.told[told:])
    # Another leader hears everything anew; and one that leads itself writes.
    told = len(two.told)
    two.term.change(leads=False, term=3)
    await until(lambda: any(whole for _, whole in two.told[told:]))
    assert VS in {key for figures, _ in two.told[told:] for key in figures}
    two.peers.clear()
    two.term.change(leads=True, term=4)
    assert (await two.becomes("Programmed"))["message"] == "1 of 1 affected proxies run it"


async def test_a_server_without_objects_has_told_everything_too(two: Two) -> None:
    await asyncio.sleep(0.05)  # it leads, and rests
    two.term.change(leads=False, term=2)
    await until(lambda: [whole for _, whole in two.told] == [True])
    two.term.change(leads=False, term=3)
    await until(lambda: [whole for _, whole in two.told] == [True, True])
    await used(two)
    await until(lambda: any(VS in figures for figures, _ in two.told))


@pytest.mark.parametrize("ticks", range(4))
async def test_one_that_is_woken_just_when_it_is_stopped_stops(
    ticks: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """`asyncio.wait_for` of Python 3.11 takes such a cancellation for the end of what it waits for."""
    monkeypatch.setattr(reporting, "RETRY_AFTER", 3600.0)
    made = Two()
    made.away = True
    made.term.change(leads=False, term=2)
    task = asyncio.create_task(made.reporter.run())
    await until(lambda: bool(made.reporter._woken._waiters))
    made.reporter._woken.set()
    for _ in range(ticks):
        await asyncio.sleep(0)
    task.cancel()
    await asyncio.wait([task], timeout=5)
    assert task.cancelled()
