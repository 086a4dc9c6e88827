"""Workloads join, are announced, withdrawn, leave and are lost: what stands in the store, and what they are told."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import msgspec
import pytest

from argosy.identity.names import Identity
from argosy.server import entries
from argosy.server.attend import Conversation
from argosy.server.attendance import Attendance
from argosy.server.registration import Refusal, Registrar
from argosy.server.verdict import State, Verdict
from argosy.store.base import Conflict, Key, Stored
from argosy.store.memory import MemoryStore
from argosy.xds.registration import (
    AgentMessage,
    Announce,
    Announced,
    Leave,
    Left,
    Port,
    Refused,
    Register,
    Registered,
    ServerMessage,
    Servers,
    Withdraw,
    Withdrawn,
)

V1 = Identity(
    trust_domain="cluster.local", namespace="default", service_account="reviews", workload="reviews-v1"
)
ENTRY = entries.entry_key("default", "reviews-v1")
LABELS = {"version": "v1", "app": "reviews"}
SERVICE = Key("/services", "default", "reviews")


def register(workload: str = "reviews-v1", **changes: Any) -> Register:
    message = Register(
        workload=workload,
        namespace="default",
        service_account="reviews",
        service="reviews",
        address="127.0.0.1",
        labels={"version": "v1"},
        ports=(Port(workload=9080, bind=21001, application=40001),),
    )
    return msgspec.structs.replace(message, **changes)


def identity(workload: str = "reviews-v1") -> Identity:
    return msgspec.structs.replace(V1, workload=workload)


class Mesh:
    """A store in memory, a clock that stands, and proxies that answer what the test says."""

    def __init__(self) -> None:
        self.store = MemoryStore()
        self.now = 1000.0
        self.verdict = Verdict(state=State.LIVE, proxies=("client.default",))
        self.asked: list[tuple[Key, int]] = []
        self.answer = asyncio.Event()
        self.answer.set()
        self.talks: list[Talk] = []
        self.servers: tuple[str, ...] = ()
        self.begin()

    def begin(self) -> None:
        """The server starts."""
        self.attendance = Attendance(
            self.store, "server-1", clock=lambda: self.now, monotonic=lambda: self.now
        )
        self.registrar = Registrar(
            self.store, self.deliver, self.attendance, servers=lambda: self.servers, clock=lambda: self.now
        )

    async def deliver(self, key: Key, revision: int, timeout: float) -> Verdict:
        self.asked.append((key, revision))
        await self.answer.wait()
        return self.verdict

    async def body(self, key: Key = ENTRY) -> dict[str, Any]:
        stored = await self.store.get(key)
        assert stored is not None, key
        decoded: dict[str, Any] = msgspec.json.decode(stored.body)
        return decoded

    async def healthy(self, key: Key = ENTRY) -> bool:
        return entries.is_healthy(await self.body(key))

    async def present(self) -> set[str]:
        return {stored.key.name for stored in (await self.store.list(entries.WORKLOAD_ENTRIES)).items}


@pytest.fixture
async def mesh() -> AsyncIterator[Mesh]:
    made = Mesh()
    await made.store.create(Key("/namespaces", "", "default"), b"{}")
    yield made
    for talk in made.talks:
        await talk.hang_up()


class Talk:
    """One workload's stream."""

    def __init__(self, mesh: Mesh, who: Identity = V1) -> None:
        self.requests: asyncio.Queue[bytes | None] = asyncio.Queue()
        self.answers: asyncio.Queue[ServerMessage] = asyncio.Queue()
        self.conversation = Conversation(mesh.registrar, who, self.answers.put)
        self.task = asyncio.create_task(self.conversation.run(self._requests()))
        mesh.talks.append(self)

    async def _requests(self) -> AsyncIterator[bytes]:
        while (data := await self.requests.get()) is not None:
            yield data

    def say(self, message: AgentMessage) -> None:
        self.requests.put_nowait(msgspec.json.encode(message))

    async def heard(self) -> ServerMessage:
        return await asyncio.wait_for(self.answers.get(), 5)

    async def ask(self, message: AgentMessage) -> ServerMessage:
        self.say(message)
        return await self.heard()

    async def hang_up(self) -> None:
        """Ends the stream, once."""
        if not self.task.done():
            self.requests.put_nowait(None)
            await asyncio.wait_for(self.task, 5)


async def test_a_workload_joins_and_leaves(mesh: Mesh) -> None:
    talk = Talk(mesh)
    assert await talk.ask(register()) == Registered(
        entry="default/reviews-v1", created_service="default/reviews", labels=LABELS
    )
    body = await mesh.body()
    assert not await mesh.healthy()
    assert body["spec"] == {
        "address": "127.0.0.1",
        "labels": {"version": "v1", "app": "reviews"},
        "serviceAccount": "reviews",
    }
    annotations = body["metadata"]["annotations"]
    assert annotations["proxy.istio.io/health-checks-enabled"] == "true"
    assert msgspec.json.decode(annotations["sidecar.argosy.dev/ports"]) == [
        {"workload": 9080, "bind": 21001, "application": 40001, "protocol": "http"}
    ]
    assert await talk.ask(Announce()) == Announced(acknowledged=1)
    assert await mesh.healthy()
    assert await talk.ask(Withdraw("leaving")) == Withdrawn(acknowledged=1)
    assert not await mesh.healthy()
    assert await talk.ask(Leave()) == Left()
    assert await mesh.present() == set()
    await talk.hang_up()
    assert mesh.attendance.losses.since == {}


async def test_the_service_is_created_once_with_the_proven_identity(mesh: Mesh) -> None:
    first, second = Talk(mesh), Talk(mesh, identity("reviews-v2"))
    await first.ask(register())
    service = await mesh.body(SERVICE)
    assert service["spec"] == {
        "selector": {"app": "reviews"},
        "ports": [{"name": "http-9080", "port": 9080, "targetPort": 9080, "protocol": "TCP"}],
    }
    assert service["metadata"]["annotations"] == {"argosy.dev/service-accounts": "reviews"}
    assert await second.ask(register("reviews-v2")) == Registered(entry="default/reviews-v2", labels=LABELS)
    assert await mesh.body(SERVICE) == service


@pytest.mark.parametrize("changes", [{"ports": ()}, {"create_service": False}, {"service": ""}])
async def test_no_service_is_created_where_none_is_wanted(mesh: Mesh, changes: dict[str, Any]) -> None:
    answer = await Talk(mesh).ask(register(**changes))
    assert isinstance(answer, Registered)
    assert (answer.entry, answer.created_service) == ("default/reviews-v1", "")
    assert await mesh.store.get(SERVICE) is None


async def test_a_service_of_another_identity_is_not_joined(mesh: Mesh) -> None:
    await Talk(mesh).ask(register())
    rogue = msgspec.structs.replace(identity("rogue"), service_account="rogue")
    answer = await Talk(mesh, rogue).ask(register("rogue", service_account="rogue"))
    assert isinstance(answer, Refused)
    assert answer.field == "service_account"
    assert "--service-account reviews" in answer.message
    assert await mesh.present() == {"reviews-v1"}


@pytest.mark.parametrize("field", ["workload", "namespace", "service_account"])
async def test_a_message_that_claims_more_than_the_certificate_is_refused(mesh: Mesh, field: str) -> None:
    answer = await Talk(mesh).ask(register(**{field: "other"}))
    assert isinstance(answer, Refused)
    assert answer.field == field
    assert await mesh.present() == set()
    assert await mesh.store.get(SERVICE) is None


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"labels": {"version": "not a label!"}}, "label"),
        ({"service": "Not_A_Name"}, "Not_A_Name"),
        ({"ports": (Port(workload=0, bind=1, application=1),)}, "0"),
        ({"proxy_type": "waypoint"}, "sidecar, router"),
    ],
)
async def test_what_the_api_would_refuse_is_refused_here_too(
    mesh: Mesh, changes: dict[str, Any], says: str
) -> None:
    answer = await Talk(mesh).ask(register(**changes))
    assert isinstance(answer, Refused)
    assert says in answer.message
    assert await mesh.present() == set()


async def test_a_namespace_that_does_not_exist_is_named(mesh: Mesh) -> None:
    who = msgspec.structs.replace(V1, namespace="nowhere")
    answer = await Talk(mesh, who).ask(register(namespace="nowhere"))
    assert isinstance(answer, Refused)
    assert (answer.field, "nowhere" in answer.message) == ("namespace", True)


async def test_the_entry_of_a_person_or_of_another_identity_is_not_taken_over(mesh: Mesh) -> None:
    by_hand = {"apiVersion": "networking.istio.io/v1", "kind": "WorkloadEntry", "metadata": {}, "spec": {}}
    await mesh.store.create(ENTRY, msgspec.json.encode(by_hand))
    answer = await Talk(mesh).ask(register())
    assert isinstance(answer, Refused)
    assert "not written by an agent" in answer.message
    assert await mesh.body() == by_hand
    await mesh.store.delete(ENTRY)
    await Talk(mesh).ask(register())
    other = msgspec.structs.replace(V1, service_account="other")
    answer = await Talk(mesh, other).ask(register(service_account="other", service=""))
    assert isinstance(answer, Refused)
    assert "belongs to service account reviews" in answer.message


@pytest.mark.parametrize("message", [Announce(), Withdraw("x"), Leave()])
async def test_the_first_message_must_be_register(mesh: Mesh, message: AgentMessage) -> None:
    await Talk(mesh).ask(register())
    answer = await Talk(mesh).ask(message)
    assert isinstance(answer, Refused)
    assert await mesh.present() == {"reviews-v1"}


async def test_garbage_is_answered_and_the_stream_goes_on(mesh: Mesh) -> None:
    talk = Talk(mesh)
    talk.requests.put_nowait(b"garbage")
    assert isinstance(await talk.heard(), Refused)
    assert isinstance(await talk.ask(register()), Registered)


async def test_registering_again_keeps_the_announcement(mesh: Mesh) -> None:
    talk = Talk(mesh)
    await talk.ask(register())
    await talk.ask(Announce())
    before = await mesh.store.get(ENTRY)
    await talk.hang_up()
    again = Talk(mesh)
    await again.ask(register())
    assert await mesh.store.get(ENTRY) == before, "nothing was written, so nothing is sent again"


async def test_another_bind_port_must_be_announced_again(mesh: Mesh) -> None:
    talk = Talk(mesh)
    await talk.ask(register())
    await talk.ask(Announce())
    await talk.ask(register(ports=(Port(workload=9080, bind=21002, application=40001),)))
    assert not await mesh.healthy()


async def test_an_answer_names_who_did_not_acknowledge(mesh: Mesh) -> None:
    talk = Talk(mesh)
    await talk.ask(register())
    mesh.verdict = Verdict(
        state=State.TIMEOUT,
        proxies=("a.default", "b.default"),
        pending=("slow.default", "reviews-v1.default"),
        disconnected=("away.default",),
    )
    answer = await talk.ask(Announce())
    assert answer == Announced(acknowledged=2, missing=("away.default", "slow.default"))
    stored = await mesh.store.get(ENTRY)
    assert stored is not None
    assert mesh.asked[-1] == (ENTRY, stored.revision)


async def test_a_newer_message_ends_the_wait(mesh: Mesh) -> None:
    talk = Talk(mesh)
    await talk.ask(register())
    mesh.answer.clear()  # the proxies never answer
    talk.say(Announce())
    while not mesh.asked:
        await asyncio.sleep(0)
    talk.say(Withdraw("probe failed"))
    announced = await talk.heard()
    assert isinstance(announced, Announced)
    assert announced.missing
    mesh.answer.set()
    assert isinstance(await talk.heard(), Withdrawn)
    assert not await mesh.healthy()


async def test_a_new_stream_replaces_the_old_one(mesh: Mesh) -> None:
    old, new = Talk(mesh), Talk(mesh)
    await old.ask(register())
    await new.ask(register())
    answer = await old.ask(Leave())
    assert isinstance(answer, Refused)
    assert await mesh.present() == {"reviews-v1"}
    await old.hang_up()
    assert mesh.attendance.losses.since == {}, "the entry is still spoken for"
    await new.hang_up()
    assert set(mesh.attendance.losses.since) == {ENTRY}


class Contested(MemoryStore):
    """Somebody else changes each object just before each of the first updates."""

    def __init__(self, times: int) -> None:
        super().__init__()
        self.times = times

    async def update(self, key: Key, body: bytes, expected: int | None = None) -> Stored:
        if self.times and expected is not None:
            self.times -= 1
            current = msgspec.json.decode((await self.get(key)).body)  # type: ignore[union-attr]
            current["metadata"]["labels"]["touched"] = str(self.times)
            await super().update(key, msgspec.json.encode(current))
        return await super().update(key, body, expected)


async def test_a_write_is_repeated_where_somebody_else_wrote_between(mesh: Mesh) -> None:
    mesh.registrar.store = mesh.store = Contested(5)
    await mesh.store.create(Key("/namespaces", "", "default"), b"{}")
    await mesh.registrar.register(V1, register())
    await mesh.registrar.announce(ENTRY)
    assert await mesh.healthy()
    assert (await mesh.body())["metadata"]["labels"]["touched"] == "0", "what the other wrote is kept"


async def test_a_write_that_is_always_overtaken_ends(mesh: Mesh) -> None:
    mesh.registrar.store = mesh.store = Contested(1_000_000)
    await mesh.store.create(Key("/namespaces", "", "default"), b"{}")
    await mesh.registrar.register(V1, register())
    with pytest.raises(Conflict):
        await mesh.registrar.announce(ENTRY)


async def test_an_entry_that_somebody_deleted_is_registered_again(mesh: Mesh) -> None:
    await mesh.registrar.register(V1, register())
    await mesh.store.delete(ENTRY)
    with pytest.raises(Refusal, match="register again"):
        await mesh.registrar.announce(ENTRY)


async def announced(mesh: Mesh, *workloads: str) -> list[Talk]:
    talks = []
    for workload in workloads:
        talk = Talk(mesh, identity(workload))
        assert isinstance(await talk.ask(register(workload)), Registered)
        assert isinstance(await talk.ask(Announce()), Announced)
        talks.append(talk)
    return talks


async def test_a_lost_workload_goes_after_its_grace(mesh: Mesh) -> None:
    talks = await announced(mesh, "a", "b")
    await talks[0].hang_up()
    assert {key.name for key in mesh.attendance.losses.since} == {"a"}
    mesh.now += 29
    await mesh.attendance.sweep()
    assert await mesh.present() == {"a", "b"}
    mesh.now += 1
    await mesh.attendance.sweep()
    assert await mesh.present() == {"b"}
    assert mesh.attendance.removed_for_loss == 1


async def test_half_of_a_service_is_kept_and_reported(mesh: Mesh) -> None:
    for talk in await announced(mesh, "a", "b", "c"):
        await talk.hang_up()
    mesh.now += 31
    await mesh.attendance.sweep()
    assert await mesh.present() == {"b", "c"}
    assert {key.name for key in mesh.attendance.kept} == {"b", "c"}
    mesh.now += 1000
    await mesh.attendance.sweep()
    assert await mesh.present() == {"b", "c"}
    back = Talk(mesh, identity("b"))
    await back.ask(register("b"))
    assert {key.name for key in mesh.attendance.kept} == {"c"}


async def test_after_a_restart_everybody_has_a_grace(mesh: Mesh) -> None:
    await announced(mesh, "a", "b", "c", "d")
    by_hand = {"apiVersion": "networking.istio.io/v1", "kind": "WorkloadEntry", "metadata": {}, "spec": {}}
    await mesh.store.create(entries.entry_key("default", "by-hand"), msgspec.json.encode(by_hand))
    mesh.begin()
    await mesh.attendance.expect_all()
    for workload in ("b", "c", "d"):
        await Talk(mesh, identity(workload)).ask(register(workload))
    mesh.now += 29
    await mesh.attendance.sweep()
    assert await mesh.present() == {"a", "b", "c", "d", "by-hand"}
    mesh.now += 2
    await mesh.attendance.sweep()
    assert await mesh.present() == {"b", "c", "d", "by-hand"}


async def test_an_entry_deleted_by_hand_is_forgotten(mesh: Mesh) -> None:
    (talk,) = await announced(mesh, "a")
    await talk.hang_up()
    await mesh.store.delete(entries.entry_key("default", "a"))
    mesh.now += 31
    await mesh.attendance.sweep()
    assert mesh.attendance.losses.since == {}
    assert mesh.attendance.kept == {}


async def test_an_agent_hears_where_the_servers_are_if_it_understands(mesh: Mesh) -> None:
    mesh.servers = ("one:1",)
    new, old = Talk(mesh, identity("new")), Talk(mesh, identity("old"))
    silent = Talk(mesh, identity("silent"))
    answer = await new.ask(register("new"))
    assert isinstance(answer, Registered)
    assert answer.xds_addresses == ("one:1",)
    await old.ask(register("old", protocol=1))
    for servers in (("one:1",), ("one:1", "two:2"), ("one:1", "two:2"), ("one:1",)):
        mesh.servers = servers
        for talk in (new, old, silent):
            talk.conversation.tell_servers()
    assert await new.heard() == Servers(xds_addresses=("one:1", "two:2"))
    assert await new.heard() == Servers(xds_addresses=("one:1",))
    for talk in (new, old, silent):
        await talk.hang_up()
        assert talk.answers.empty()


async def test_an_entry_names_the_server_that_attends_it(mesh: Mesh) -> None:
    talk = Talk(mesh)
    await talk.ask(register())
    await talk.ask(Announce())
    assert (await mesh.body())["metadata"]["annotations"]["istio.io/workloadController"] == "server-1"
    mesh.attendance.own = "server-2"
    again = Talk(mesh)
    await again.ask(register())
    body = await mesh.body()
    assert body["metadata"]["annotations"]["istio.io/workloadController"] == "server-2"
    assert body["metadata"]["generation"] == 1, "what it is has not changed"
    assert await mesh.healthy(), "it is as healthy as it was"
