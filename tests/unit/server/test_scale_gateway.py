"""What one change costs at a gateway, from the store's event to the bytes on the wire, with 100 to 10,000
VirtualServices.

As tests/unit/server/test_scale.py does for sidecars: the gateway is started as the server would start it, of many hosts
its routes come in parts. One that was started before sends one RouteConfiguration, whose bytes grow with what is
served; nothing else does.
"""

from __future__ import annotations

import gc
from collections import Counter
from collections.abc import Callable
from functools import cache
from typing import Any

import msgspec
import pytest
from msgspec import Struct

from argosy.model import ir
from argosy.model.scope import ProxyType, Scope
from argosy.resources.kinds import kind_of
from argosy.server.reconcile import Reconciler
from argosy.store.base import Event, EventType, Key, Listing, Stored
from argosy.translate import parts
from argosy.translate.generator import calls
from argosy.translate.graph import PLAN, VIRTUAL_HOST
from argosy.translate.resource import LISTENER, ROUTE, SCOPE
from argosy.xds.types import short
from tests.counting import lines
from tests.unit.server.test_scale import NOW, istio, service_body
from tests.unit.server.world import FakeEnvoy, node

SIZES = (100, 1_000, 10_000)
MIDDLE = "v00050"
ROUTES, PASSED_ON = "http.80", "127.0.0.1_443"
BYTES_OF_A_HOST = 1_000


class Cost(Struct, frozen=True):
    generators: Counter[str]
    rebuilt: Counter[str]  # slots that were looked at
    sent: Counter[tuple[str, str]]  # (type, name)
    routes: int  # bytes of RouteConfigurations sent
    largest: int  # of them
    lines: int  # of the program that ran until the views had it; each turn of a loop counts


def gateway(*more: Any) -> Any:
    plain = {"port": {"number": 80, "name": "http", "protocol": "HTTP"}, "hosts": ["*"]}
    port = {"number": 443, "name": "tls", "protocol": "TLS"}
    passed_on = {"port": port, "hosts": ["*"], "tls": {"mode": "PASSTHROUGH"}}
    return istio("Gateway", "edge", {"servers": [plain, passed_on, *more]})


def virtual_service(name: str, timeout: int = 1, **more: Any) -> Any:
    route = {"route": [{"destination": {"host": "svc"}}], "timeout": f"{timeout}s"}
    spec = {"hosts": [f"{name}.example.com"], "gateways": ["edge"], "http": [route]}
    return istio("VirtualService", name, spec | more)


def connections(server_name: str) -> Any:
    """A VirtualService of the gateway for TLS that passes on."""
    match = [{"sniHosts": [server_name], "port": 443}]
    tls = {"match": match, "route": [{"destination": {"host": "svc", "port": {"number": 9080}}}]}
    spec = {"hosts": ["*.passed.net"], "gateways": ["edge"], "tls": [tls]}
    return istio("VirtualService", "passed", spec)


class World:
    """A gateway with `size` VirtualServices, all of them to one service. `old`: started when there were few."""

    def __init__(self, size: int, old: bool = False) -> None:
        self.revision = 0
        self.reconciler = Reconciler(ir.Mesh(), clock=lambda: NOW, monotonic=lambda: NOW)
        bodies = [service_body("svc"), gateway(), connections("a.passed.net")]
        bodies += [virtual_service(f"v{number:05}") for number in range(size)]
        self.reconciler.replace(Listing(tuple(self.stored(body) for body in bodies), self.revision))
        parted = () if old else parts.wanted(self.reconciler.snapshot, Scope(type=ProxyType.ROUTER))
        self.envoy = FakeEnvoy(self.reconciler, "edge-1", node(type="router", parted=parted))
        self.envoy.client.subscribe(SCOPE, {"*"})
        self.envoy.exchange()
        self.envoy.client.subscribe(ROUTE, set(self.envoy.held.get(SCOPE, ())) or {ROUTES})
        self.envoy.exchange()
        assert len(self.envoy.held[ROUTE]) == (1 if old or size <= parts.MANY else parts.PARTS)
        assert PASSED_ON in self.envoy.held[LISTENER]

    def stored(self, body: Any) -> Stored:
        self.revision += 1
        kind = kind_of(body["apiVersion"], body["kind"])
        assert kind is not None
        key = Key(kind.resource, "default", body["metadata"]["name"])
        return Stored(key, self.revision, msgspec.json.encode(body))

    def put(self, body: Any) -> None:
        self.reconciler.apply([Event(EventType.MODIFIED, self.stored(body))])

    def remove(self, body: Any) -> None:
        self.reconciler.apply([Event(EventType.DELETED, self.stored(body))])

    def cost(self, change: Callable[[World], None]) -> Cost:
        called, rebuilt = calls(), self.reconciler.compiler.rebuilt
        ran = lines(lambda: change(self))
        before = len(self.envoy.received)
        self.envoy.exchange()
        sent: Counter[tuple[str, str]] = Counter()
        sizes = []
        for one in self.envoy.received[before:]:
            sent.update((short(one.type_url), parts.whole(resource.name)) for resource in one.resources)
            sent.update((short(one.type_url), name) for name in one.removed)
            if one.type_url == ROUTE:
                sizes += [len(resource.frame) for resource in one.resources]
        assert not self.reconciler.compiler.errors
        assert not self.reconciler.snapshot.rejected
        return Cost(
            generators=calls() - called,
            rebuilt=self.reconciler.compiler.rebuilt - rebuilt,
            sent=sent,
            routes=sum(sizes),
            largest=max(sizes, default=0),
            lines=ran,
        )


CHANGES: dict[str, Callable[[World], None]] = {
    "a VirtualService changes": lambda world: world.put(virtual_service(MIDDLE, 2)),
    "a VirtualService has another host": lambda world: world.put(
        virtual_service(MIDDLE, 2, hosts=[f"{MIDDLE}.other.com"])
    ),
    "a VirtualService comes": lambda world: world.put(virtual_service("vextra")),
    "a VirtualService goes": lambda world: world.remove(virtual_service("vextra")),
    "TLS goes elsewhere": lambda world: world.put(connections("b.passed.net")),
    "nothing changes": lambda world: world.put(connections("b.passed.net")),
}


def costs(size: int, old: bool = False) -> dict[str, Cost]:
    return _costs(size, old)


@cache
def _costs(size: int, old: bool) -> dict[str, Cost]:
    gc.collect()  # as in tests/unit/translate/test_compiler.py: what a smaller world made would not be counted again
    world = World(size, old)
    return {name: world.cost(change) for name, change in CHANGES.items()}


@pytest.mark.parametrize("old", [False, True], ids=["parted", "whole"])
@pytest.mark.parametrize("change", CHANGES)
def test_a_change_costs_the_same_at_any_size(change: str, old: bool) -> None:
    few = costs(SIZES[0], old)[change]
    for size in SIZES[1:]:
        many = costs(size, old)[change]
        assert few.generators == many.generators
        assert few.rebuilt == many.rebuilt
        assert few.sent == many.sent
        assert many.lines < 2 * few.lines, "what grows are the chunks that a RouteConfiguration joins"
        assert old or many.routes <= 2 * few.routes


def test_a_virtual_service_makes_its_virtual_host_and_sends_the_routes() -> None:
    few, many = (costs(size, old=True)["a VirtualService changes"] for size in (SIZES[0], SIZES[-1]))
    assert many.generators == {"virtual_host": 1, "virtual_hosts": 1, "route_configuration": 1}
    assert many.rebuilt == {PLAN: 1, VIRTUAL_HOST: 1, ROUTE: 1}, "no listener"
    assert many.sent == {(short(ROUTE), ROUTES): 1}
    # The price of a single RouteConfiguration: all hosts travel again. Linear, and no more than that.
    assert 100 < (many.routes - few.routes) / (SIZES[-1] - SIZES[0]) < BYTES_OF_A_HOST


def test_a_part_is_no_larger_than_the_routes_of_a_gateway_with_few() -> None:
    few, many = (costs(size)["a VirtualService changes"] for size in (SIZES[0], SIZES[-1]))
    assert 0 < many.largest < 2 * few.largest


def test_tls_that_goes_elsewhere_sends_its_listener_alone() -> None:
    cost = costs(SIZES[-1])["TLS goes elsewhere"]
    assert cost.generators == {"gateway_listener": 1}
    assert cost.sent == {(short(LISTENER), PASSED_ON): 1}
    assert cost.rebuilt[LISTENER] == 1
    assert not cost.rebuilt[ROUTE]


def test_what_changes_nothing_sends_nothing() -> None:
    cost = costs(SIZES[-1])["nothing changes"]
    assert cost == Cost(Counter(), Counter(), Counter(), 0, 0, cost.lines)
