"""Servers that know each other by the store, and what they ask each other."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import grpc
import msgspec
import pytest
from cryptography.hazmat.primitives.asymmetric import ec

from argosy.identity import client as identity
from argosy.identity.authority import (
    ISSUING_RENEWAL,
    Authority,
    Joined,
    join,
    open_authority,
)
from argosy.identity.issuer import ISSUING_LIFETIME, csr_of
from argosy.identity.names import Identity
from argosy.runtime.paths import write_private
from argosy.server import fleet, ports
from argosy.server.advice import Advice
from argosy.server.figures import Figure
from argosy.server.fleet import (
    ASK,
    RESOURCE,
    AskDelivery,
    AskIssuing,
    AskProxies,
    Fleet,
    Operations,
    OperationsService,
    ServerRecord,
    Take,
    TellFigures,
    Warn,
)
from argosy.server.joining import renew_if_due
from argosy.server.proxies import ProxyState, disconnected
from argosy.server.settings import Address
from argosy.server.verdict import Rejection, State, Verdict, merged
from argosy.store.base import Hold, Key, Unavailable
from argosy.store.memory import MemoryStore

VS = Key("networking.istio.io/virtualservices", "default", "reviews")


def connected(name: str, since: float = 1.0) -> ProxyState:
    return msgspec.structs.replace(disconnected(name), connected=True, connected_since=since)


class Server:
    """The part of a server that others ask."""

    def __init__(
        self,
        store: MemoryStore,
        trusted: Authority,
        name: str,
        take: Take = lambda _: False,
        authority: Authority | None = None,
        warn: Warn | None = None,
    ) -> None:
        self.authority, self.warn = authority, warn
        self.take = take
        self.own = ports.OwnCertificate(trusted)
        self.states: list[ProxyState] = []
        self.verdict = Verdict(state=State.UNAFFECTED)
        self.asked: list[Key] = []
        self.fleet = Fleet(store, ServerRecord(id=name, version="1", roles=("xds",)), self.own)
        self.operations = Operations(self.fleet, lambda: self.states, self.deliver)

    async def deliver(self, key: Key, revision: int, timeout: float) -> Verdict:
        self.asked.append(key)
        return self.verdict

    @contextlib.asynccontextmanager
    async def running(self) -> AsyncIterator[Server]:
        service = OperationsService(lambda: self.states, self.deliver, self.take, self.authority, self.warn)
        handler = service.handler()
        server = ports.grpc_server([handler])
        bound = ports.bind(server, "xds", Address("127.0.0.1", 0), ports.credentials(self.own, "required"))
        await server.start()
        own = self.fleet.own
        self.fleet.own = ServerRecord(id=own.id, version=own.version, roles=own.roles, xds=str(bound))
        present = asyncio.create_task(self.fleet.run())
        try:
            yield self
        finally:
            present.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await present
            await server.stop(0)


@pytest.fixture
def authority(tmp_path: Path) -> Authority:
    return open_authority(tmp_path / "ca", "cluster.local")


async def see(server: Server, count: int) -> None:
    async with asyncio.timeout(10):
        while len(server.fleet.others) != count:
            await asyncio.sleep(0.005)


async def test_servers_find_each_other_and_notice_who_leaves(authority: Authority) -> None:
    store = MemoryStore()
    async with Server(store, authority, "a").running() as a:
        async with Server(store, authority, "b").running() as b:
            await see(a, 1)
            await see(b, 1)
            assert [one.id for one in a.fleet.servers] == ["a", "b"]
            assert a.fleet.others[0].xds == b.fleet.own.xds
        await see(a, 0)


async def test_a_server_that_was_killed_and_comes_back_is_known_at_its_new_address_at_once(
    authority: Authority,
) -> None:
    store = MemoryStore()
    stale = ServerRecord(id="b", version="1", roles=("xds",), xds="127.0.0.1:1")
    await store.hold(Key(RESOURCE, "", "b"), msgspec.json.encode(stale), 600)
    async with Server(store, authority, "a").running() as a, Server(store, authority, "b").running() as b:
        async with asyncio.timeout(10):
            while [one.xds for one in a.fleet.others] != [b.fleet.own.xds]:
                await asyncio.sleep(0.005)


async def test_what_is_asked_of_one_is_answered_by_all(authority: Authority) -> None:
    store = MemoryStore()
    async with Server(store, authority, "a").running() as a, Server(store, authority, "b").running() as b:
        await see(a, 1)
        a.states = [connected("one.default"), disconnected("two.default")]
        b.states = [connected("two.default"), disconnected("one.default"), disconnected("three.default")]
        states, silent = await a.operations.proxies()
        assert [(one.name, one.connected) for one in states] == [
            ("one.default", True),
            ("three.default", False),
            ("two.default", True),
        ]
        assert silent == ()
        a.verdict = Verdict(state=State.LIVE, proxies=("one.default",), disconnected=("two.default",))
        b.verdict = Verdict(
            state=State.TIMEOUT, pending=("two.default",), reason="not acknowledged by two.default"
        )
        verdict = await a.operations.deliver(VS, 7, 0.1)
        assert (verdict.state, verdict.proxies, verdict.pending) == (
            State.TIMEOUT,
            ("one.default",),
            ("two.default",),
        )
        assert verdict.disconnected == (), "who is connected to another server is not away"
        assert b.asked == [VS]


async def test_a_server_that_does_not_answer_is_named_not_left_out(authority: Authority) -> None:
    store = MemoryStore()
    lost = ServerRecord(id="lost", version="1", roles=("xds",), xds="127.0.0.1:1")
    async with Server(store, authority, "a").running() as a:
        await store.create(Key(RESOURCE, "", "lost"), msgspec.json.encode(lost))
        await see(a, 1)
        a.verdict = Verdict(state=State.LIVE, proxies=("one.default",))
        verdict = await a.operations.deliver(VS, 7, 0.1)
        assert verdict.state is State.TIMEOUT
        assert "no answer from the control plane at 127.0.0.1:1" in verdict.reason
        _, silent = await a.operations.proxies()
        assert silent == ("127.0.0.1:1",)


async def test_a_server_that_died_is_asked_until_it_is_one_no_more(authority: Authority) -> None:
    store = MemoryStore()
    lost = ServerRecord(id="lost", version="1", roles=("xds",), xds="127.0.0.1:1")
    async with Server(store, authority, "a").running() as a:
        key = Key(RESOURCE, "", "lost")
        await store.create(key, msgspec.json.encode(lost))
        await see(a, 1)
        a.verdict = Verdict(state=State.LIVE, proxies=("one.default",))
        waiting = asyncio.create_task(a.operations.deliver(VS, 7, 30))
        async with asyncio.timeout(10):
            while len(a.asked) < 2:
                await asyncio.sleep(0.005)
        assert not waiting.done()
        a.verdict = Verdict(state=State.LIVE, proxies=("one.default", "of-the-lost.default"))
        await store.delete(key)  # its lease is over
        verdict = await asyncio.wait_for(waiting, 10)
        assert (verdict.state, verdict.proxies) == (State.LIVE, ("of-the-lost.default", "one.default"))


async def test_the_leader_is_told_figures(authority: Authority) -> None:
    told: list[TellFigures] = []

    def take(one: TellFigures) -> bool:
        told.append(one)
        return one.term == 7

    async with Server(MemoryStore(), authority, "a", take).running() as a:
        for term, taken in ((7, b"true"), (8, b"false")):
            question = TellFigures("b", term, ((VS, Figure(generation=3, programmed=2)),), whole=True)
            assert await a.fleet.ask(a.fleet.own, question, 5) == taken
            assert told[-1] == question


async def test_a_workload_may_not_ask(authority: Authority) -> None:
    key, csr = identity.new_key_and_csr()
    who = Identity(
        trust_domain="cluster.local", namespace="istio-system", service_account="argosy-server", workload="w"
    )
    svid = identity.svid(authority.sign(csr, who), key)
    async with Server(MemoryStore(), authority, "a").running() as a:
        async with identity.channel(a.fleet.own.xds, svid.bundle, svid.chain, svid.key) as channel:
            call = channel.unary_unary(ASK, request_serializer=None, response_deserializer=None)
            with pytest.raises(grpc.aio.AioRpcError) as caught:
                await call(b'{"type":"proxies"}', timeout=5)
        assert caught.value.code() is grpc.StatusCode.PERMISSION_DENIED


@pytest.mark.parametrize("question", [b"", b"{", b'{"type":"other"}', b"[" * 20_000])
async def test_a_question_that_is_none_is_refused(authority: Authority, question: bytes) -> None:
    async with Server(MemoryStore(), authority, "a").running() as a:
        pair = a.own.current
        async with identity.channel(a.fleet.own.xds, authority.bundle, pair.chain, pair.key) as channel:
            call = channel.unary_unary(ASK, request_serializer=None, response_deserializer=None)
            with pytest.raises(grpc.aio.AioRpcError) as caught:
                await call(question, timeout=5)
        assert caught.value.code() is grpc.StatusCode.INVALID_ARGUMENT


def test_questions_are_told_apart() -> None:
    assert (
        msgspec.json.decode(msgspec.json.encode(AskProxies()), type=AskProxies | AskDelivery) == AskProxies()
    )


@pytest.mark.parametrize(
    ("states", "expected"),
    [
        ((), State.UNAFFECTED),
        ((State.LIVE, State.UNAFFECTED), State.LIVE),
        ((State.LIVE, State.TIMEOUT), State.TIMEOUT),
        ((State.TIMEOUT, State.REJECTED, State.LIVE), State.REJECTED),
    ],
)
def test_the_worst_verdict_counts(states: tuple[State, ...], expected: State) -> None:
    found = merged([Verdict(state=state, reason=f"because {state}") for state in states])
    assert found.state is expected
    assert found.reason == (f"because {expected}" if states else found.reason)
    assert found.reason


def test_who_refused_is_not_away() -> None:
    refused = Verdict(state=State.REJECTED, rejected=(Rejection(proxy="a.default", message="bad"),))
    other = Verdict(state=State.LIVE, disconnected=("a.default", "b.default"))
    assert merged([refused, other]).disconnected == ("b.default",)


class Unheld(MemoryStore):
    """Takes nobody for present any more, from when the test says."""

    def __init__(self) -> None:
        super().__init__()
        self.away = False

    async def hold(self, key: Key, body: bytes, ttl: float) -> Hold:
        if self.away:
            raise Unavailable("away")
        return await super().hold(key, body, ttl)


@pytest.mark.parametrize("others", [True, False])
async def test_a_server_that_cannot_say_that_it_is_there_is_cut_off_where_there_are_others(
    authority: Authority, others: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(fleet, "CUT_OFF_AFTER", 0.05)
    monkeypatch.setattr(fleet, "PRESENT", 0.3)
    store = Unheld()
    async with Server(store, authority, "a").running() as a:
        if others:
            other = ServerRecord(id="b", version="1", roles=("xds",), xds="127.0.0.1:1")
            await store.create(Key(RESOURCE, "", "b"), msgspec.json.encode(other))
            await see(a, 1)
        async with asyncio.timeout(10):
            while Key(RESOURCE, "", "a") not in a.fleet.records:
                await asyncio.sleep(0.005)
        assert not a.fleet.cut_off
        store.away = True
        await store.delete(Key(RESOURCE, "", "a"))
        await asyncio.sleep(1)
        assert a.fleet.cut_off is others
        store.away = False
        async with asyncio.timeout(10):
            while Key(RESOURCE, "", "a") not in a.fleet.records or a.fleet.cut_off:
                await asyncio.sleep(0.005)


async def test_who_holds_the_root_renews_the_issuing_certificate_of_another(
    authority: Authority, tmp_path: Path
) -> None:
    directory = tmp_path / "joined"
    key = ec.generate_private_key(ec.SECP256R1())
    note = Joined(trust_domain="cluster.local", server="x:1", at=0)
    join(directory, note, authority.bundle, authority.sign_issuing(csr_of(key)), key)
    joined = open_authority(directory, "")
    before = joined.issuing
    store = MemoryStore()
    async with (
        Server(store, authority, "a", authority=authority).running() as a,
        Server(store, joined, "b", authority=joined).running() as b,
    ):
        await see(b, 1)
        await renew_if_due(directory, joined, b.fleet)
        assert joined.issuing == before, "it has years"
        joined.clock = lambda: time.time() + ISSUING_LIFETIME - ISSUING_RENEWAL + 60
        await renew_if_due(directory, joined, b.fleet)
        assert joined.issuing == before, "nobody there holds the root"
        record = msgspec.structs.replace(a.fleet.own, root=True)
        stored = await store.get(Key(RESOURCE, "", "a"))
        assert stored is not None
        await store.update(stored.key, msgspec.json.encode(record))
        async with asyncio.timeout(10):
            while not b.fleet.others[0].root:
                await asyncio.sleep(0.005)
        authority.clock = joined.clock
        await renew_if_due(directory, joined, b.fleet)
        assert joined.issuing.not_valid_after_utc > before.not_valid_after_utc
        assert joined.issuing.public_key() == before.public_key()
        assert open_authority(directory, "", clock=joined.clock).issuing == joined.issuing
        with pytest.raises(grpc.aio.AioRpcError, match="does not hold the root"):
            await a.fleet.ask(b.fleet.own, AskIssuing(authority.issuing_csr()), 5)


def test_the_root_key_may_be_given_to_a_server_that_joined(authority: Authority, tmp_path: Path) -> None:
    key = ec.generate_private_key(ec.SECP256R1())
    note = Joined(trust_domain="td", server="x:1", at=0)
    join(tmp_path / "joined", note, authority.bundle, authority.sign_issuing(csr_of(key)), key)
    assert not open_authority(tmp_path / "joined", "").holds_root
    write_private(tmp_path / "joined" / "root.key", (tmp_path / "ca" / "root.key").read_bytes())
    again = open_authority(tmp_path / "joined", "")
    assert (again.holds_root, again.trust_domain) == (True, "td")


async def test_the_analysis_is_asked_of_a_server_that_has_one(authority: Authority) -> None:
    store = MemoryStore()
    asked: list[tuple[dict[str, Any], int]] = []

    async def warn(obj: dict[str, Any], revision: int) -> tuple[tuple[str, str], ...]:
        asked.append((obj, revision))
        return (("spec.host", "nobody"),)

    front = Fleet(
        store, ServerRecord(id="front", version="1", roles=("api",)), ports.OwnCertificate(authority)
    )
    advice = Advice(front)
    assert await advice.warnings({"kind": "X"}, 7) is None, "nobody serves proxies"
    async with Server(store, authority, "a", warn=warn).running(), Server(store, authority, "b").running():
        async with asyncio.timeout(10):
            while len(front.others) != 2:
                await asyncio.sleep(0.005)
                await front.load()
        for _ in range(3):
            assert await advice.warnings({"kind": "X"}, 7) == (("spec.host", "nobody"),), "b has none"
        assert asked == [({"kind": "X"}, 7)] * 3
    assert await advice.warnings({"kind": "X"}, 7) is None, "nobody is there any more"
    await advice.close()
