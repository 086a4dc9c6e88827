"""What one change costs, from the store's event to the bytes on the wire, at 100 to 10,000 services.

The whole pipeline without I/O: Reconciler, views, and the sessions of four proxies in two scopes. Counted are calls of
generators, resources and bytes, and lines of the program. Proxies are started as the server would start them in such a
mesh: of many hosts their routes come in parts. Those that were started before send what they always did: one
RouteConfiguration that joins the virtual hosts of all services, whose bytes grow with the mesh; they are counted, too.
"""

from __future__ import annotations

import gc
import tracemalloc
from collections import Counter
from collections.abc import Callable
from functools import cache
from typing import Any

import msgspec
import pytest
from msgspec import Struct

from argosy.model import ir
from argosy.model.scope import Interception, Scope
from argosy.resources.kinds import kind_of
from argosy.server import entries
from argosy.server.reconcile import Reconciler
from argosy.store.base import Event, EventType, Key, Listing, Stored
from argosy.translate import parts
from argosy.translate.generator import calls
from argosy.translate.resource import CLUSTER, ENDPOINT, LISTENER, ROUTE, SCOPE
from argosy.xds import wire
from argosy.xds.registration import Port, Register
from argosy.xds.types import short
from tests.counting import lines
from tests.unit.server.world import FakeEnvoy, node, peer

SIZES = (100, 1_000, 10_000)
NOW = 1_000.0
MIDDLE = "s00050"
PROXIES = (
    ("client-1", "explicit"),
    ("client-2", "explicit"),
    ("client-3", "redirect"),
    ("client-4", "redirect"),
)
HTTP_PROXY, BY_PORT = "http_proxy", "9080"
BYTES_OF_A_HOST = 1_000
"""More than a virtual host of a service without rules takes in a RouteConfiguration; by redirect it has more names."""


class Cost(Struct, frozen=True):
    generators: Counter[str]
    rebuilt: Counter[str]  # slots that were looked at
    sent: Counter[tuple[str, str]]  # (type, name) -> how many proxies got it; a removal counts
    size: int  # bytes of all resources sent, but for RouteConfigurations
    routes: int  # bytes of RouteConfigurations sent
    largest: int  # of them
    lines: int  # of the program that ran until the views had it; each turn of a loop counts


def registered(service: str, bind: int) -> Register:
    ports = (Port(workload=9080, bind=bind, application=40_001, protocol="http"),)
    return Register(
        workload=f"{service}-v1",
        namespace="default",
        service_account=service,
        service=service,
        address="127.0.0.1",
        ports=ports,
    )


def service_body(service: str) -> Any:
    return entries.service(registered(service, 1), NOW)


def entry_body(service: str, bind: int) -> Any:
    body = entries.workload_entry(registered(service, bind), None, NOW)
    return entries.with_health(body, "True", "Announced", "", NOW)


def istio(kind: str, name: str, spec: dict[str, Any]) -> Any:
    api_version = "networking.istio.io/v1"
    return {
        "apiVersion": api_version,
        "kind": kind,
        "metadata": {"name": name, "namespace": "default"},
        "spec": spec,
    }


def virtual_service(timeout: str) -> Any:
    route = {"route": [{"destination": {"host": MIDDLE}}], "timeout": timeout}
    return istio("VirtualService", MIDDLE, {"hosts": [MIDDLE], "http": [route]})


def destination_rule(connections: int) -> Any:
    pool = {"tcp": {"maxConnections": connections}}
    return istio("DestinationRule", MIDDLE, {"host": MIDDLE, "trafficPolicy": {"connectionPool": pool}})


class World:
    """A mesh of `size` services with one endpoint each, and the proxies that look at it. `old`: started when it was
    small."""

    def __init__(self, size: int, old: bool = False) -> None:
        self.revision = 0
        self.reconciler = Reconciler(ir.Mesh(), clock=lambda: NOW, monotonic=lambda: NOW)
        names = [f"s{number:05}" for number in range(size)]
        bodies = [service_body(name) for name in names] + [entry_body(name, 21_000) for name in names]
        bodies += [virtual_service("1s"), destination_rule(11)]
        stored = tuple(self.stored(body) for body in bodies)
        self.reconciler.replace(Listing(stored, self.revision))
        self.envoys = [
            Subscriber(self.reconciler, name, interception, () if old else self.parted(interception))
            for name, interception in PROXIES
        ]

    def parted(self, interception: str) -> tuple[str, ...]:
        return parts.wanted(self.reconciler.snapshot, Scope(interception=Interception(interception)))

    def stored(self, body: Any) -> Stored:
        self.revision += 1
        kind = kind_of(body["apiVersion"], body["kind"])
        assert kind is not None
        key = Key(kind.resource, "default", body["metadata"]["name"])
        return Stored(key, self.revision, msgspec.json.encode(body))

    def put(self, *bodies: Any) -> None:
        self.reconciler.apply([Event(EventType.MODIFIED, self.stored(body)) for body in bodies])

    def remove(self, *bodies: Any) -> None:
        self.reconciler.apply([Event(EventType.DELETED, self.stored(body)) for body in bodies])

    def cost(self, change: Callable[[World], None]) -> Cost:
        called, rebuilt = calls(), self.reconciler.compiler.rebuilt
        ran = lines(lambda: change(self))
        sent: Counter[tuple[str, str]] = Counter()
        size: Counter[str] = Counter()
        largest = 0
        for envoy in self.envoys:
            before = len(envoy.received)
            envoy.exchange()
            for one in envoy.received[before:]:
                sent.update((short(one.type_url), parts.whole(resource.name)) for resource in one.resources)
                sent.update((short(one.type_url), name) for name in one.removed)
                each = [len(resource.frame) for resource in one.resources]
                size[one.type_url] += sum(each)
                largest = max(largest, *each) if one.type_url == ROUTE and each else largest
        assert not self.reconciler.compiler.errors
        assert not self.reconciler.snapshot.rejected
        return Cost(
            generators=calls() - called,
            rebuilt=self.reconciler.compiler.rebuilt - rebuilt,
            sent=sent,
            size=sum(size.values()) - size[ROUTE],
            routes=size[ROUTE],
            largest=largest,
            lines=ran,
        )


class Subscriber(FakeEnvoy):
    """Asks for the routes of both interceptions; the one that its listeners do not name is not there."""

    def __init__(
        self, reconciler: Reconciler, workload: str, interception: str, parted: tuple[str, ...]
    ) -> None:
        super().__init__(reconciler, workload, node(interception=interception, parted=parted))
        self.client.subscribe(ROUTE, {BY_PORT})
        if parted:
            self.client.subscribe(SCOPE, {"*"})
            self.exchange()
            self.client.subscribe(ROUTE, set(self.held[SCOPE]))
        self.exchange()


CHANGES: dict[str, Callable[[World], None]] = {
    "an endpoint moves": lambda world: world.put(entry_body(MIDDLE, 21_001)),
    "an endpoint comes": lambda world: world.put(
        entry_body(MIDDLE, 21_002)
        | {"metadata": entry_body(MIDDLE, 21_002)["metadata"] | {"name": f"{MIDDLE}-v2"}}
    ),
    "a DestinationRule changes": lambda world: world.put(destination_rule(12)),
    "a VirtualService changes": lambda world: world.put(virtual_service("2s")),
    "a service comes": lambda world: world.put(service_body("sextra"), entry_body("sextra", 21_000)),
    "nothing changes": lambda world: world.put(
        virtual_service("2s"), destination_rule(12), service_body("sextra"), entry_body("sextra", 21_000)
    ),
    "a service goes": lambda world: world.remove(entry_body("sextra", 21_000), service_body("sextra")),
}


def costs(size: int, old: bool = False) -> dict[str, Cost]:
    return _costs(size, old)


@cache
def _costs(size: int, old: bool) -> dict[str, Cost]:
    gc.collect()  # as in tests/unit/translate/test_compiler.py: what a smaller world made would not be counted again
    world = World(size, old)
    for envoy in world.envoys:
        assert len(envoy.held[ENDPOINT]) == size, "every proxy sees the whole mesh"
    return {name: world.cost(change) for name, change in CHANGES.items()}


def everywhere(*slots: tuple[str, str]) -> Counter[tuple[str, str]]:
    """Each of these once to every proxy."""
    return Counter({(short(type_url), name): len(PROXIES) for type_url, name in slots})


def cluster_of(service: str) -> str:
    return f"outbound|9080||{service}.default.svc.cluster.local"


ROUTES = Counter({(short(ROUTE), HTTP_PROXY): 2, (short(ROUTE), BY_PORT): 2})
"""Each proxy has one RouteConfiguration of all hosts, that of its interception, or a part of it."""


@pytest.mark.parametrize("old", [False, True], ids=["parted", "whole"])
@pytest.mark.parametrize("change", CHANGES)
def test_a_change_costs_the_same_at_any_size(change: str, old: bool) -> None:
    few = costs(SIZES[0], old)[change]
    for size in SIZES[1:2] if old else SIZES[1:]:
        many = costs(size, old)[change]
        assert few.generators == many.generators
        assert few.rebuilt == many.rebuilt
        assert few.sent == many.sent
        assert few.size == many.size
        assert many.lines < 2 * few.lines, "what grows are the chunks that a RouteConfiguration joins"
        assert old or many.routes <= 2 * few.routes


def test_a_part_is_no_larger_than_the_routes_of_a_small_mesh() -> None:
    """What an Envoy makes anew when one host changes: of a mesh a hundred times as large no more than twice."""
    few, many = (costs(size)["a VirtualService changes"] for size in (SIZES[0], SIZES[-1]))
    assert 0 < many.largest < 2 * few.largest


def test_an_endpoint_sends_its_service_s_endpoints_alone() -> None:
    for change in ("an endpoint moves", "an endpoint comes"):
        cost = costs(SIZES[-1])[change]
        assert cost.generators == {"load_assignment": 1}, "made once, for all proxies"
        assert cost.sent == everywhere((ENDPOINT, cluster_of(MIDDLE)))
        assert 0 < cost.size < 2_000 * len(PROXIES)


def test_a_destination_rule_sends_its_cluster_with_its_endpoints() -> None:
    cost = costs(SIZES[-1])["a DestinationRule changes"]
    assert cost.generators == {"cluster": 1}
    # Envoy warms a changed cluster only when its endpoints come again.
    assert cost.sent == everywhere((CLUSTER, cluster_of(MIDDLE)), (ENDPOINT, cluster_of(MIDDLE)))
    assert cost.routes == 0


def test_a_virtual_service_makes_one_virtual_host_and_sends_the_routes_that_hold_it() -> None:
    few, many = (costs(size, old=True)["a VirtualService changes"] for size in SIZES[:2])
    assert many.generators["virtual_host"] == 2, "one of each interception: their domains differ"
    assert many.generators["virtual_hosts"] == 2, "each is joined with its neighbours alone"
    assert many.generators["route_configuration"] == 2
    assert many.sent == ROUTES
    assert many.size == 0
    # The price of a single RouteConfiguration: all hosts travel again. Linear, and no more than that.
    more = (many.routes - few.routes) / (SIZES[1] - SIZES[0]) / len(PROXIES)
    assert 100 < more < BYTES_OF_A_HOST


def test_a_service_sends_its_own_resources_and_the_routes() -> None:
    came, went = costs(SIZES[-1])["a service comes"], costs(SIZES[-1])["a service goes"]
    own = everywhere((CLUSTER, cluster_of("sextra")), (ENDPOINT, cluster_of("sextra")))
    assert came.sent == own + ROUTES
    assert came.generators["cluster"] == came.generators["load_assignment"] == 1
    assert went.sent - own == ROUTES
    assert went.generators["cluster"] == went.generators["load_assignment"] == 0


def test_what_changes_nothing_sends_nothing() -> None:
    cost = costs(SIZES[-1])["nothing changes"]
    assert cost == Cost(Counter(), Counter(), Counter(), 0, 0, 0, cost.lines)


def remembered_of_a_proxy(size: int) -> float:
    """Bytes that one more proxy of a known scope costs the server, subscribed to everything and up to date."""
    world = World(size)
    clusters = [cluster_of(f"s{number:05}") for number in range(size)]
    asked = {CLUSTER: ["*"], LISTENER: ["*"], ENDPOINT: clusters, ROUTE: [HTTP_PROXY]}
    sessions = []

    def connect(number: int) -> None:
        session = world.reconciler.proxies.session(node(), peer(f"client-{number}"))
        session.connected(lambda: None)
        for type_url, names in asked.items():
            session.on_request(wire.request(type_url, subscribe=names), NOW)
        while (response := session.next_response(NOW)) is not None:
            session.on_request(wire.request(response.type_url, nonce=response.nonce), NOW)
        assert session.state().synced
        sessions.append(session)

    for number in range(10, 15):
        connect(number)
    gc.collect()
    tracemalloc.start()
    before = tracemalloc.get_traced_memory()[0]
    for number in range(20, 60):
        connect(number)
    gc.collect()
    each = (tracemalloc.get_traced_memory()[0] - before) / 40
    tracemalloc.stop()
    return each


def test_what_is_remembered_of_a_proxy_does_not_grow_with_what_it_sees() -> None:
    few, many = remembered_of_a_proxy(20), remembered_of_a_proxy(1_000)
    assert 0 < few < 20_000
    assert many < few + 2_000, "a list of 1,000 names alone would be 8,000"
