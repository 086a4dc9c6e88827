"""From stored objects to what a proxy is sent: the reconcile step without I/O, and the loop over a store in memory."""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator
from typing import Any

import msgspec
import pytest
from google.protobuf.struct_pb2 import Struct as PbStruct

from argosy.model import ir
from argosy.resources.kinds import by_resource
from argosy.server import entries
from argosy.server.proxies import ProxySession, proxy_node
from argosy.server.reconcile import Loop, Reconciler, is_status_alone
from argosy.server.views import LINGER
from argosy.store.base import Compacted, Event, EventType, Key, Listing, Stored
from argosy.store.memory import MemoryStore
from argosy.translate.resource import CLUSTER, ENDPOINT, LISTENER, ROUTE
from argosy.xds.node import METADATA_KEY, ProxyNode
from argosy.xds.registration import Port, Register
from argosy.xds.server import Refused
from argosy.xds.wire import Node
from tests.unit.apiserver.test_written_past import BODIES
from tests.unit.server.world import (
    REVIEWS,
    VS,
    World,
    node,
    peer,
    virtual_service,
)

# --- the step -------------------------------------------------------------------------------------------------------


def test_a_proxy_gets_the_services_of_the_mesh(world: World) -> None:
    world.workload("reviews-v1")
    envoy = world.envoy("client-1")
    assert REVIEWS in envoy.held[CLUSTER]
    assert REVIEWS in envoy.held[ENDPOINT]
    assert "outbound_proxy" in envoy.held[LISTENER]
    assert b"reviews.default.svc.cluster.local" in envoy.held[ROUTE]["http_proxy"]


def test_one_endpoint_that_moves_sends_one_resource(world: World) -> None:
    world.workload("reviews-v1")
    envoy = world.envoy("client-1")
    world.workload("reviews-v2", bind=21002)
    assert envoy.exchange() == [REVIEWS]
    assert envoy.received[-1].type_url == ENDPOINT
    world.workload("reviews-v2", bind=21002, healthy=False)
    assert envoy.exchange() == [REVIEWS]


def test_what_changes_nothing_sends_nothing(world: World) -> None:
    world.workload("reviews-v1")
    world.put(virtual_service(), VS)
    envoy = world.envoy("client-1")
    assert envoy.exchange() == []
    world.put(virtual_service(), VS)
    world.workload("reviews-v1")
    assert envoy.exchange() == []


@pytest.mark.parametrize("body", BODIES.values(), ids=BODIES.keys())
def test_what_was_written_past_the_api_harms_nobody(world: World, body: bytes) -> None:
    world.workload("reviews-v1")
    world.put(virtual_service(), VS)
    envoy = world.envoy("client-1")
    event = world.event(body, VS)
    world.reconciler.apply([event])
    envoy.exchange()
    assert REVIEWS in envoy.held[CLUSTER]
    for previous in (body, b"[]", msgspec.json.encode(virtual_service())):
        is_status_alone(Event(EventType.MODIFIED, event.stored, previous))
    other = Key(VS.resource, "elsewhere", "other")
    assert not any(key == other for key in world.reconciler.known), "its key says what it is"
    world.put(virtual_service(timeout="7s"), VS)
    assert "http_proxy" in envoy.exchange(), "what replaces it is in force"


def test_an_object_of_no_kind_or_no_sense_harms_nobody(world: World) -> None:
    world.workload("reviews-v1")
    envoy = world.envoy("client-1")
    world.put({"kind": "Later"}, Key("later.argosy.dev/laters", "default", "x"))
    world.reconciler.apply(
        [world.event(b'{"spec": 7}', VS), world.event(b"garbage", entries.entry_key("a", "b"))]
    )
    assert envoy.exchange() == []
    assert world.reconciler.unusable(VS)
    world.put(virtual_service(), VS)
    assert envoy.exchange() == ["http_proxy"]
    assert not world.reconciler.unusable(VS)


def test_a_workload_that_is_mended_is_in_force_again(world: World) -> None:
    key = entries.entry_key("default", "reviews-v1")
    world.reconciler.apply([world.event(b"garbage", key)])
    assert world.reconciler.unusable(key)
    world.workload("reviews-v1")
    assert not world.reconciler.unusable(key)


def test_gateways_of_two_groups_with_one_name_do_not_meet(world: World) -> None:
    istio = Key("networking.istio.io/gateways", "default", "edge")
    kubernetes = Key("gateway.networking.k8s.io/gateways", "default", "edge")
    meta = {"kind": "Gateway", "metadata": {"name": "edge", "namespace": "default"}}
    servers = [{"port": {"number": 80, "name": "http", "protocol": "HTTP"}, "hosts": ["*"]}]
    world.put({"apiVersion": "networking.istio.io/v1", "spec": {"servers": servers}, **meta}, istio)
    listeners = [{"name": "http", "port": 80, "protocol": "HTTP"}]
    spec = {"gatewayClassName": "a", "listeners": listeners}
    body = {"apiVersion": "gateway.networking.k8s.io/v1", "spec": spec, **meta}
    world.put(body, kubernetes)
    world.reconciler.apply([world.event(b"garbage", kubernetes)])
    assert world.reconciler.unusable(kubernetes)
    assert not world.reconciler.unusable(istio)
    assert world.reconciler.slots_of(kubernetes) == set()
    world.put(body, kubernetes)
    assert not world.reconciler.unusable(kubernetes)
    world.delete(kubernetes)
    assert ("default", "edge") in world.reconciler.snapshot.gateways.rules
    world.delete(istio)
    assert ("default", "edge") not in world.reconciler.snapshot.gateways.rules


class Lines:
    def __init__(self) -> None:
        self.said: list[dict[str, Any]] = []

    def warning(self, event: str, **fields: Any) -> None:
        self.said.append({"event": event, **fields})


@pytest.mark.parametrize(
    ("resource", "body"),
    [
        ("extensions.istio.io/wasmplugins", {"spec": {"url": "oci://a.example/module"}}),
    ],
)
def test_a_kind_that_is_not_in_force_changes_nothing_and_is_told(
    world: World, monkeypatch: pytest.MonkeyPatch, resource: str, body: dict[str, Any]
) -> None:
    world.workload("reviews-v1")
    envoy = world.envoy("client-1")
    kind = by_resource(resource)
    assert kind is not None
    lines = Lines()
    monkeypatch.setattr("argosy.server.reconcile.log", lines)
    meta = {"metadata": {"name": "reviews", "namespace": "default", "uid": "u", "generation": 1}}
    key = Key(resource, "default", "reviews")
    world.put({"apiVersion": kind.api_version, "kind": kind.kind, **meta, **body}, key)
    assert envoy.exchange() == []
    (said,) = lines.said
    assert said["event"] == "accepted and not in force"
    assert said["object"] == f"{kind.kind} default/reviews"
    (told,) = said["fields"]
    assert "NOT ENFORCED" in told or "not in force" in told
    world.delete(key)
    assert envoy.exchange() == []


def test_endpoints_that_are_written_reach_proxies_and_leave_them(world: World) -> None:
    world.workload("reviews-v1")
    envoy = world.envoy("client-1")
    key = Key("discovery.k8s.io/endpointslices", "default", "more")
    # The Service says who may run it: who can prove nothing is no endpoint.
    labels = {"kubernetes.io/service-name": "reviews", "security.istio.io/tlsMode": "istio"}
    metadata = {"name": "more", "namespace": "default", "labels": labels}
    body = {"apiVersion": "discovery.k8s.io/v1", "kind": "EndpointSlice", "metadata": metadata}
    ports = [{"name": "http-9080", "port": 9080}]
    endpoints = [{"addresses": ["10.0.0.1"]}]
    world.put(body | {"addressType": "IPv4", "endpoints": endpoints, "ports": ports}, key)
    assert REVIEWS in envoy.exchange()
    assert not world.reconciler.unusable(key)
    world.delete(key)
    assert REVIEWS in envoy.exchange()


def test_what_is_not_in_force_is_logged_once_for_what_a_person_wrote(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    lines = Lines()
    monkeypatch.setattr("argosy.server.reconcile.log", lines)
    key = Key("networking.istio.io/gateways", "default", "edge")
    server = {
        "hosts": ["*"],
        "port": {"number": 80, "name": "http", "protocol": "HTTP"},
        "defaultEndpoint": "127.0.0.1:80",
    }
    body = entries.new_object(
        {
            "apiVersion": "networking.istio.io/v1",
            "kind": "Gateway",
            "metadata": {"name": "edge", "namespace": "default"},
            "spec": {"servers": [server]},
        },
        world.now,
    )
    world.put(body, key)
    (line,) = lines.said
    assert (line["event"], line["object"]) == ("accepted and not in force", "Gateway default/edge")
    assert line["fields"] == [
        "spec.servers[0].defaultEndpoint: 127.0.0.1:80: has no effect, as in Istio; remove it"
    ]
    world.put(body | {"status": {"conditions": []}}, key)
    assert len(lines.said) == 1, "no person wrote anything new"
    world.put(body | {"metadata": body["metadata"] | {"generation": 2}}, key)
    assert len(lines.said) == 2
    world.delete(key)
    world.put(body, key)
    assert len(lines.said) == 3


def test_a_batch_is_the_same_as_its_events_one_by_one(world: World) -> None:
    other = World()
    world.workload("reviews-v1")
    world.put(virtual_service("1s"), VS)
    world.put(virtual_service("2s"), VS)
    events = []
    for body, key in (
        (entries.service(_registered("reviews-v1"), 100.0), Key("/services", "default", "reviews")),
        (virtual_service("1s"), VS),
        (virtual_service("2s"), VS),
    ):
        events.append(other.event(body, key))
    other.workload("reviews-v1")
    other.reconciler.apply(events)
    assert world.envoy("client-1").held == other.envoy("client-1").held


def _registered(name: str) -> Register:
    return Register(
        workload=name,
        namespace="default",
        service_account="reviews",
        service="reviews",
        address="127.0.0.1",
        ports=(Port(workload=9080, bind=21001, application=40001),),
    )


def test_listing_again_finds_what_was_missed(world: World) -> None:
    world.workload("reviews-v1")
    world.put(virtual_service(), VS)
    envoy = world.envoy("client-1")
    service = Stored(
        Key("/services", "default", "ratings"),
        50,
        msgspec.json.encode(
            entries.service(msgspec.structs.replace(_registered("r"), service="ratings"), 100.0)
        ),
    )
    kept = [
        Stored(key, revision, b"") for key, revision in world.reconciler.known.items() if key not in (VS,)
    ]
    world.reconciler.replace(Listing((*kept, service), 51))
    came = envoy.exchange()
    assert "outbound|9080||ratings.default.svc.cluster.local" in came
    assert "http_proxy" in came  # the route is gone, and ratings has come
    assert REVIEWS not in came, "what has the same revision is not even looked at"
    assert world.reconciler.revision == 51
    assert VS not in world.reconciler.known


def test_what_is_taken_in_together_is_remembered_once(world: World) -> None:
    """Ten thousand services at the start must not keep ten thousand copies of what they all touched."""
    registers = [msgspec.structs.replace(_registered(f"w{n}"), service=f"s{n}") for n in range(20)]
    world.reconciler.apply(
        [
            world.event(entries.service(one, 100.0), Key("/services", "default", one.service))
            for one in registers
        ]
    )
    remembered = [touched.facts for touched in world.reconciler.touched.values()]
    assert len(remembered) == 20
    assert len({id(facts) for facts in remembered}) == 1


# --- proxies --------------------------------------------------------------------------------------------------------


def test_a_proxy_gets_its_inbound_side_when_its_entry_comes(world: World) -> None:
    envoy = world.envoy("reviews-v1")
    assert "inbound_9080" not in envoy.held[LISTENER]
    world.workload("reviews-v1", healthy=False)
    envoy.exchange()
    assert "inbound_9080" in envoy.held[LISTENER]
    assert "inbound|9080||" in envoy.held[CLUSTER]


def test_an_entry_of_another_service_account_gives_a_proxy_no_labels(world: World) -> None:
    world.workload("reviews-v1")
    own = world.reconciler.proxies.session(node(), peer("reviews-v1"))
    foreign = world.reconciler.proxies.session(node(), peer("reviews-v1", "thief"))
    assert ("app", "reviews") in own.held.proxy.labels
    assert foreign.held.proxy.labels == ()


def test_proxies_of_one_scope_share_their_view(world: World) -> None:
    one, other = world.envoy("client-1").session, world.envoy("client-2").session
    assert one.held.layers[1] is other.held.layers[1]
    assert one.held.layers[0] is not other.held.layers[0]
    assert world.reconciler.views.counts() == (1, 2)


def test_a_selector_that_comes_into_use_moves_the_proxies_it_matches(world: World) -> None:
    world.workload("reviews-v1")
    world.workload("client-1", "client", bind=0)
    chosen, other = world.envoy("client-1"), world.envoy("client-2")
    rule = virtual_service()
    rule["spec"]["http"][0]["match"] = [{"sourceLabels": {"app": "client"}}]
    world.put(rule, VS)
    assert chosen.session.held.layers[1] is not other.session.held.layers[1]
    assert "http_proxy" in chosen.exchange()
    assert b"sourceLabels" not in chosen.held[ROUTE]["http_proxy"]
    assert chosen.held[ROUTE]["http_proxy"] != other.held[ROUTE]["http_proxy"]


def test_a_view_that_nobody_holds_lingers_and_goes(world: World) -> None:
    world.workload("reviews-v1")
    envoy = world.envoy("client-1")
    views = world.reconciler.views
    envoy.session.disconnected()
    world.now += LINGER - 1
    views.sweep()
    assert views.counts() == (1, 1)
    held = views.hold(envoy.session.held.proxy)
    world.now += 10
    views.sweep()
    assert views.counts() == (1, 1)
    views.let_go(held)
    world.put(virtual_service(), VS)
    assert world.reconciler.touched[VS].before
    world.now += LINGER
    world.reconciler.sweep()
    assert views.counts() == (0, 0)
    assert not world.reconciler.touched[VS].before, "nothing keeps the views alive"
    world.workload("reviews-v1")
    assert REVIEWS in world.envoy("client-1").held[CLUSTER], "a new one is complete"


def test_the_status_says_how_a_proxy_stands(world: World) -> None:
    world.workload("reviews-v1")
    envoy = world.envoy("client-1")
    (state,) = world.reconciler.proxies.states()
    assert (state.name, state.service_account, state.type) == ("client-1.default", "client", "sidecar")
    assert state.synced
    assert state.certificate_expires_at == 10_000
    assert {one.type for one in state.types} == {
        "Cluster",
        "ClusterLoadAssignment",
        "Listener",
        "RouteConfiguration",
    }
    envoy.refuse = {"http_proxy"}
    world.put(virtual_service(), VS)
    envoy.exchange()
    (state,) = world.reconciler.proxies.states()
    assert not state.synced
    assert state.last_nack == "RouteConfiguration: http_proxy is bad"
    envoy.session.disconnected()
    assert world.reconciler.proxies.states() == []


@pytest.mark.parametrize(
    "metadata", [{"type": 7}, {"upstreams": [{"host": "a"}]}, {"port_map": {"x": 1}}, "text"]
)
def test_broken_metadata_is_refused(metadata: Any) -> None:
    broken = PbStruct()
    broken.update({METADATA_KEY: metadata})
    with pytest.raises(Refused, match="ARGOSY"):
        proxy_node(Node(metadata=broken))


def test_metadata_is_read_as_it_was_written() -> None:
    described = ProxyNode(type="router", port_map={80: 8080}, outbound_port=15001)
    metadata = PbStruct()
    metadata.update({METADATA_KEY: json.loads(msgspec.json.encode(described))})
    assert proxy_node(Node(metadata=metadata)) == described
    assert proxy_node(Node()) == ProxyNode()


def test_sessions_are_hashable_by_identity(world: World) -> None:
    one = world.reconciler.proxies.session(node(), peer("client-1"))
    other = world.reconciler.proxies.session(node(), peer("client-1"))
    assert len({one, other}) == 2
    assert isinstance(one, ProxySession)


# --- the loop -------------------------------------------------------------------------------------------------------


@contextlib.asynccontextmanager
async def looping(store: MemoryStore) -> AsyncIterator[Reconciler]:
    reconciler = Reconciler(ir.Mesh())
    loop = Loop(store, reconciler)
    task = asyncio.create_task(loop.run())
    await asyncio.wait_for(loop.synced.wait(), 10)
    yield reconciler
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)


async def reached(reconciler: Reconciler, revision: int) -> None:
    async with asyncio.timeout(10):
        while reconciler.revision < revision:
            await asyncio.sleep(0.001)


async def test_the_loop_follows_the_store() -> None:
    store = MemoryStore()
    await store.create(VS, msgspec.json.encode(virtual_service()))
    async with looping(store) as reconciler:
        assert VS in reconciler.known
        stored = await store.update(VS, msgspec.json.encode(virtual_service("5s")))
        await reached(reconciler, stored.revision)
        stored = await store.delete(VS)
        await reached(reconciler, stored.revision)
        assert VS not in reconciler.known


async def test_many_changes_are_pushed_in_few_steps() -> None:
    store = MemoryStore()
    async with looping(store) as reconciler:
        steps = 0

        def count() -> None:
            nonlocal steps
            steps += 1

        reconciler.on_reconciled.append(count)
        last = await store.create(VS, msgspec.json.encode(virtual_service()))
        for _ in range(500):
            last = await store.update(VS, msgspec.json.encode(virtual_service()))
        await reached(reconciler, last.revision)
        assert steps <= 20


class Forgetful(MemoryStore):
    """Its log is cut before the first watch reads on."""

    cut = 0

    async def watch(self, after: int, resource: str | None = None) -> AsyncIterator[Event]:
        async for event in super().watch(after, resource):
            if self.cut == 0:
                self.cut += 1
                raise Compacted("the log does not reach back")
            yield event


async def test_where_the_log_was_cut_everything_is_listed_again() -> None:
    store = Forgetful()
    async with looping(store) as reconciler:
        await store.create(VS, msgspec.json.encode(virtual_service()))
        await reached(reconciler, 1)
        assert VS in reconciler.known
        stored = await store.delete(VS)
        await reached(reconciler, stored.revision)
        assert VS not in reconciler.known
        assert store.cut == 1
