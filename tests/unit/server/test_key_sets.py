"""Key sets: who fetches them, when, what becomes of failures and lies, and that every server serves the same."""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator, Callable, Iterable
from typing import Any

import pytest

from argosy.model import ir
from argosy.model.reader import Reader
from argosy.model.tokens import KeySource
from argosy.resources import key_sets as documents
from argosy.resources.kinds import decode
from argosy.server import key_sets
from argosy.server.fetching import FetchError
from argosy.server.key_sets import KeySets, key_of
from argosy.server.metrics import Metrics
from argosy.server.reconcile import Reconciler
from argosy.store.base import Event, EventType, Key, Unavailable
from argosy.store.memory import MemoryStore
from tests.tokens import key, key_set

ONE, TWO = key_set(key("ES256", "one")), key_set(key("ES256", "one"), key("EdDSA", "two"))
URL, OPENID = "https://a.example/keys", "https://a.example/.well-known/openid-configuration"
SOURCE = KeySource(URL)


class Leads:
    def __init__(self) -> None:
        self.leads = True
        self.on_changed: list[Callable[[], None]] = []

    def turn(self, leads: bool) -> None:
        self.leads = leads
        for tell in self.on_changed:
            tell()


class Web:
    """What is where; an exception is raised."""

    def __init__(self) -> None:
        self.there: dict[str, bytes | Exception] = {}
        self.asked: list[tuple[str, float]] = []
        self.running = self.most = 0

    async def fetch(self, url: str, timeout: float) -> bytes:
        self.asked.append((url, timeout))
        self.running += 1
        self.most = max(self.most, self.running)
        await asyncio.sleep(0)
        self.running -= 1
        found = self.there.get(url, FetchError("is answered by 404"))
        if isinstance(found, Exception):
            raise found
        return found


class Server:
    """One of the servers of a store: what it serves, and the part that fetches."""

    def __init__(self, store: MemoryStore, web: Web) -> None:
        self.store, self.web, self.leads = store, web, Leads()
        self.reconciler = Reconciler(ir.Mesh(trust_domain="cluster.local"))
        self.now = 1000.0
        self.told: list[Key] = []
        self.key_sets = KeySets(
            store, self.reconciler.key_sets, self.leads, web.fetch, self._tell, refresh=1200,
            clock=lambda: 1_000_000 + self.now, monotonic=lambda: self.now,
        )  # fmt: skip
        self.reconciler.on_reconciled.append(self.key_sets.reconciled)

    def _tell(self, keys: Iterable[Key]) -> None:
        self.told += keys

    async def follow(self) -> None:
        async for event in self.store.watch(0):
            self.reconciler.apply([event])

    def put(self, name: str = "a", *rules: dict[str, Any]) -> None:
        body = {
            "apiVersion": "security.istio.io/v1",
            "kind": "RequestAuthentication",
            "metadata": {"name": name, "namespace": "shop"},
            "spec": {"jwtRules": list(rules) or [{"issuer": "a", "jwksUri": URL}]},
        }
        self.reconciler.snapshot.put_config(decode(body))
        self.key_sets.reconciled()

    def remove(self, name: str = "a") -> None:
        self.reconciler.snapshot.remove_config("RequestAuthentication", "shop", name)
        self.key_sets.reconciled()

    async def later(self, seconds: float) -> None:
        """As if that time had passed, and all that is due then has been done."""
        self.now += seconds
        self.key_sets._woken.set()
        await self.settled()

    async def settled(self) -> None:
        for _ in range(30):
            await asyncio.sleep(0)

    @property
    def serves(self) -> list[str]:
        return [rule.keys for rule in Reader(self.reconciler.snapshot).token_rules("shop", ())]

    @property
    def said(self) -> list[str]:
        return [one.text for one in self.key_sets.found("shop", "a") or ()]


@contextlib.asynccontextmanager
async def running(*servers: Server) -> AsyncIterator[None]:
    tasks = [asyncio.ensure_future(work) for one in servers for work in (one.follow(), one.key_sets.run())]
    try:
        for one in servers:
            await one.settled()
        yield
        for task in tasks:
            assert not task.done(), task
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


@pytest.fixture
async def server() -> AsyncIterator[Server]:
    one = Server(MemoryStore(), Web())
    async with running(one):
        yield one


def canonical(text: str) -> str:
    return documents.read(text).text


async def test_keys_are_fetched_stored_and_served(server: Server) -> None:
    server.web.there[URL] = ONE.encode()
    server.put()
    assert server.serves == [""]
    assert server.said == []
    await server.settled()
    assert server.serves == [canonical(ONE)]
    assert server.web.asked == [(URL, 5.0)]
    assert server.told == [Key(key_sets.POLICIES, "shop", "a")], "once they are there"
    stored = await server.store.get(key_of(SOURCE))
    assert stored is not None
    assert server.said == []


async def test_of_many_objects_that_name_a_source_it_is_fetched_once(server: Server) -> None:
    server.web.there[URL] = ONE.encode()
    for index in range(20):
        server.put(f"n{index}", {"issuer": f"i{index}", "jwksUri": URL}, {"issuer": "b", "jwksUri": URL})
    await server.settled()
    assert len(server.web.asked) == 1
    assert server.serves == [canonical(ONE)] * 40


async def test_the_keys_of_an_issuer_are_found_by_its_configuration(server: Server) -> None:
    server.web.there[OPENID] = json.dumps({"jwks_uri": URL}).encode()
    server.web.there[URL] = ONE.encode()
    server.put("a", {"issuer": "https://a.example/", "timeout": "2s"})
    await server.settled()
    assert server.serves == [canonical(ONE)]
    assert [url for url, _ in server.web.asked] == [OPENID, URL]
    assert all(timeout == 2.0 for _, timeout in server.web.asked), "the clock of the test stands still"


@pytest.mark.parametrize(
    ("document", "why"),
    [
        (b"<html>", "it is not JSON"),
        (b"[]", "it has no jwks_uri"),
        (b'{"jwks_uri": 1}', "it has no jwks_uri"),
        (b'{"jwks_uri": "file:///etc/passwd"}', "it has no jwks_uri"),
        (b'{"jwks_uri": "http://a.example/keys"}', "from https to http"),
    ],
)
async def test_a_configuration_that_lies(server: Server, document: bytes, why: str) -> None:
    server.web.there[OPENID] = document
    server.put("a", {"issuer": "https://a.example"})
    await server.settled()
    assert server.serves == [""]
    (said,) = server.said
    assert why in said


async def test_they_are_fetched_again_and_changes_are_served(server: Server) -> None:
    server.web.there[URL] = ONE.encode()
    server.put()
    await server.settled()
    server.web.there[URL] = TWO.encode()
    await server.later(1000)
    assert len(server.web.asked) == 1
    await server.later(330)  # a tenth more than 1200 at the latest
    assert len(server.web.asked) == 2
    assert server.serves == [canonical(TWO)]
    revision = await server.store.revision()
    await server.later(1330)
    assert await server.store.revision() == revision, "what is the same is not written"


LIES = {
    "nothing": (b"", "is not JSON"),
    "a page": (b"<html></html>", "is not JSON"),
    "no keys": (b'{"keys": []}', "no key that proxies can use"),
    "a secret": (b'{"keys": [{"kty": "oct", "k": "YQ"}]}', "symmetric"),
    "something else": (b'{"error": "a"}', "is not a JSON Web Key Set"),
    "a broken key": (b'{"keys": [{"kty": "RSA", "n": "AA", "e": "AQAB"}]}', "bits"),
}


@pytest.mark.parametrize("lie", LIES)
async def test_a_document_that_lies_leaves_the_last_good_one(server: Server, lie: str) -> None:
    server.web.there[URL] = ONE.encode()
    server.put()
    await server.settled()
    document, why = LIES[lie]
    server.web.there[URL] = document
    await server.later(1330)
    assert server.serves == [canonical(ONE)]
    (said,) = server.said
    assert said.startswith(
        "spec.jwtRules[0]: the keys at https://a.example/keys could not be fetched since 1970-01-12"
    )
    assert "the last good ones hold" in said
    assert why in said
    assert Key(key_sets.POLICIES, "shop", "a") in server.told

    server.web.there[URL] = TWO.encode()
    await server.later(2)
    assert server.serves == [canonical(TWO)], "and it is tried again soon"
    assert server.said == []


async def test_failures_are_tried_again_ever_more_seldom(server: Server) -> None:
    server.put()
    await server.settled()
    (said,) = server.said
    assert said.endswith("not there yet, and every token of this rule is refused: is answered by 404")
    tries = []
    for _ in range(14):
        before = len(server.web.asked)
        waited = 0.0
        while len(server.web.asked) == before:
            await server.later(0.5)
            waited += 0.5
        tries.append(waited)
    assert tries[0] <= 1.5
    assert tries[4] >= 2 * tries[1]
    assert 270 <= tries[-1] <= 330
    assert 270 <= tries[-2] <= 330
    text = shown(server)
    assert 'argosy_jwks_fetches_total{result="failed"} 15' in text
    assert "argosy_jwks_failing 1" in text
    assert "argosy_jwks_missing 1" in text


def shown(server: Server) -> str:
    metrics = Metrics()
    server.key_sets.show(metrics)
    return metrics.text()


async def test_what_nobody_names_is_forgotten(server: Server) -> None:
    server.web.there[URL] = ONE.encode()
    server.put("a")
    server.put("b")
    await server.settled()
    server.remove("a")
    await server.settled()
    assert await server.store.get(key_of(SOURCE)) is not None
    server.remove("b")
    await server.settled()
    assert await server.store.get(key_of(SOURCE)) is None
    assert server.reconciler.snapshot.request_authentications.key_set(SOURCE) == ""
    await server.later(5000)
    assert len(server.web.asked) == 1
    assert "argosy_jwks_sources 0" in shown(server)


async def test_keys_that_come_when_nobody_names_them_any_more_are_not_kept(server: Server) -> None:
    waiting = asyncio.Event()

    async def fetch(url: str, timeout: float) -> bytes:
        await waiting.wait()
        return ONE.encode()

    server.key_sets.fetch = fetch
    server.put()
    await server.settled()
    server.remove()
    await server.settled()
    waiting.set()
    await server.settled()
    assert await server.store.get(key_of(SOURCE)) is None


async def test_a_rule_that_becomes_more_patient_is_heard(server: Server) -> None:
    server.put("a", {"issuer": "a", "jwksUri": URL, "timeout": "1s"})
    await server.settled()
    server.put("a", {"issuer": "a", "jwksUri": URL, "timeout": "9s"})
    await server.later(2)
    assert [timeout for _, timeout in server.web.asked] == [1.0, 9.0]


async def test_a_defect_of_ours_ends_nothing_and_is_not_tried_without_a_pause(server: Server) -> None:
    server.web.there[URL] = KeyError("a defect")
    server.put()
    for _ in range(5):
        await server.settled()
    assert len(server.web.asked) == 1
    assert "fetching failed (KeyError)" in server.said[0]
    server.web.there[URL] = ONE.encode()
    await server.later(2)
    assert server.serves == [canonical(ONE)]


async def test_nobody_is_as_patient_as_to_keep_others_waiting(server: Server) -> None:
    server.put("a", {"issuer": "a", "jwksUri": URL, "timeout": "10h"})
    await server.settled()
    assert server.web.asked == [(URL, key_sets.MOST_SECONDS)]


async def test_not_more_than_some_at_once(server: Server) -> None:
    rules = [{"issuer": f"i{index}", "jwksUri": f"{URL}/{index}"} for index in range(50)]
    server.put("a", *rules)
    for _ in range(10):
        await server.settled()
    assert len(server.web.asked) == 50
    assert 1 < server.web.most <= key_sets.MOST_AT_ONCE


# --- several servers, and restarts ----------------------------------------------------------------------------------


async def test_the_leader_fetches_and_all_serve_the_same() -> None:
    store, web = MemoryStore(), Web()
    web.there[URL] = ONE.encode()
    leader, other = Server(store, web), Server(store, web)
    other.leads.leads = False
    async with running(leader, other):
        for one in (leader, other):
            one.put()
        await leader.settled()
        assert len(web.asked) == 1
        assert leader.serves == other.serves == [canonical(ONE)]
        assert other.key_sets.found("shop", "a") is None, "the leader says"

        leader.leads.turn(False)
        other.leads.turn(True)
        web.there[URL] = FetchError("nobody answers there")
        await other.settled()
        await other.later(6)
        assert len(web.asked) == 2, "the new leader looks by itself"
        assert leader.serves == other.serves == [canonical(ONE)]
        assert other.said
        await leader.later(5000)
        assert len(web.asked) == 2


async def test_a_restart_needs_no_issuer() -> None:
    store, web = MemoryStore(), Web()
    web.there[URL] = ONE.encode()
    first = Server(store, web)
    async with running(first):
        first.put()
        await first.settled()
    web.there.clear()
    second = Server(store, web)
    second.put()
    second.reconciler.replace(await store.list())
    assert second.serves == [canonical(ONE)], "before anything is asked"
    async with running(second):
        await second.later(10)
        assert second.serves == [canonical(ONE)]
        assert second.said


async def test_what_was_deleted_while_the_log_was_lost_is_gone() -> None:
    store, web = MemoryStore(), Web()
    server = Server(store, web)
    await store.create(key_of(SOURCE), key_sets.encoded(SOURCE, canonical(ONE)))
    server.put()
    server.reconciler.replace(await store.list())
    assert server.serves == [canonical(ONE)]
    await store.delete(key_of(SOURCE))
    server.reconciler.replace(await store.list())
    assert server.serves == [""]


@pytest.mark.parametrize(
    "body",
    [b"", b"{}", b"[" * 2000, key_sets.encoded(SOURCE, "{}"), key_sets.encoded(KeySource("other"), ONE)],
)
async def test_what_somebody_else_wrote_there_changes_nothing(server: Server, body: bytes) -> None:
    server.web.there[URL] = ONE.encode()
    server.put()
    await server.settled()
    stored = await server.store.get(key_of(SOURCE))
    assert stored is not None
    event = Event(EventType.MODIFIED, type(stored)(stored.key, stored.revision + 1, body))
    server.reconciler.apply([event])
    assert server.serves == [canonical(ONE)]


async def test_a_store_that_is_away_is_tried_again(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    server.web.there[URL] = ONE.encode()
    create = server.store.create

    async def away(*_: Any, **__: Any) -> Any:
        raise Unavailable("the disk is full")

    monkeypatch.setattr(server.store, "create", away)
    server.put()
    await server.settled()
    assert server.serves == [""]
    monkeypatch.setattr(server.store, "create", create)
    await server.later(2)
    assert server.serves == [canonical(ONE)]


async def test_weak_keys_are_told_and_used(server: Server) -> None:
    other = {"kty": "EC", "crv": "secp256k1", "x": "AA", "y": "AA", "kid": "odd"}
    server.web.there[URL] = json.dumps({"keys": [other, key("ES256").jwk]}).encode()
    server.put()
    await server.settled()
    (found,) = server.key_sets.found("shop", "a") or ()
    assert (found.reason, found.reference) == ("KeysNotUsed", False)
    assert "'odd'" in found.text
