"""The incremental compiler: what a change costs is counted, and whatever it does equals compiling anew."""

from __future__ import annotations

import gc
import random
from collections import Counter
from collections.abc import Callable

import pytest
from msgspec.structs import replace

from argosy.model import ir
from argosy.model.facts import Fact, FactKind
from argosy.model.ir import Protocol
from argosy.model.reader import Reader
from argosy.model.scope import Interception, ProxyType, Scope, scope_of
from argosy.model.snapshot import Snapshot
from argosy.translate import edge, outbound
from argosy.translate.cluster import cluster
from argosy.translate.compiler import Compiler
from argosy.translate.generator import calls
from argosy.translate.proxy import DeclaredUpstream, Proxy
from argosy.translate.resource import CLUSTER, ENDPOINT, EXTENSION, LISTENER, ROUTE
from tests.unit.translate.mesh import SUFFIX, decoded, endpoint, populate, put, service, workload

EXPLICIT = Scope(type=ProxyType.SIDECAR, interception=Interception.EXPLICIT, namespace="default")
REDIRECT = Scope(type=ProxyType.SIDECAR, interception=Interception.REDIRECT, namespace="default")


def destination_rule(host: str, connections: int = 5, name: str = "r", subsets: str = "[]") -> str:
    return f"""
apiVersion: networking.istio.io/v1
kind: DestinationRule
metadata: {{name: {name}, namespace: default}}
spec:
  host: {host}
  trafficPolicy: {{connectionPool: {{tcp: {{maxConnections: {connections}}}}}}}
  subsets: {subsets}
"""


def virtual_service(host: str, timeout: int = 1, name: str = "v") -> str:
    return f"""
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {{name: {name}, namespace: default}}
spec: {{hosts: ["{host}"], http: [{{timeout: {timeout}s, route: [{{destination: {{host: svc-1}}}}]}}]}}
"""


# --- what a change costs --------------------------------------------------------------------------------------------

Change = Callable[[Snapshot], set[Fact]]
CHANGES: dict[str, Change] = {
    "an endpoint moves": lambda s: s.put_endpoints(
        f"svc-1.{SUFFIX}", (endpoint("svc-1", "v1", 9080, 30001), endpoint("svc-1", "v2", 9080, 2))
    ),
    "a DestinationRule changes": lambda s: put(s, destination_rule("svc-1")),
    "a VirtualService changes": lambda s: put(s, virtual_service("svc-1")),
    "a service comes": lambda s: s.put_service(service("new", (9080, Protocol.HTTP))),
    "a service goes": lambda s: s.remove_service(f"new.{SUFFIX}"),
    "a PeerAuthentication for another namespace": lambda s: put(
        s,
        """
apiVersion: security.istio.io/v1
kind: PeerAuthentication
metadata: {name: p, namespace: elsewhere}
spec: {mtls: {mode: STRICT}}
""",
    ),
}


def costs(size: int) -> dict[str, tuple[Counter[str], Counter[str], Counter[str], int]]:
    """Of each change: generators called, slots rebuilt, names changed by type, and bytes but for the one big route."""
    gc.collect()  # what an earlier compiler made is in the memo until it is gone, and would not be counted again
    snapshot = Snapshot(ir.Mesh(h2_upgrade=True))
    for number in range(size):
        snapshot.put_service(service(f"svc-{number}", (9080, Protocol.HTTP)))
        two = tuple(endpoint(f"svc-{number}", f"v{one}", 9080, one) for one in (1, 2))
        snapshot.put_endpoints(f"svc-{number}.{SUFFIX}", two)
    compiler = Compiler(snapshot)
    compiler.shared(EXPLICIT)
    found = {}
    for name, change in CHANGES.items():
        called, rebuilt = calls(), compiler.rebuilt
        changed: Counter[str] = Counter()
        size_of_rest = 0
        for _, changes in compiler.apply(change(snapshot)):
            for kind, (upserts, removals) in changes.items():
                changed[kind] += len(upserts) + len(removals)
                if kind != ROUTE:
                    size_of_rest += sum(len(one.frame) for one in upserts.values())
        found[name] = (calls() - called, compiler.rebuilt - rebuilt, changed, size_of_rest)
    assert not compiler.errors
    return found


# At 10,000 services every run counts the whole server's work: tests/unit/server/test_scale.py.
@pytest.mark.parametrize("size", [1_000, pytest.param(10_000, marks=pytest.mark.long)])
def test_a_change_costs_the_same_among_many_services(size: int) -> None:
    few, many = costs(100), costs(size)
    assert few == many
    called, rebuilt, changed, _ = many["an endpoint moves"]
    assert called == {"load_assignment": 1}
    assert rebuilt == {CLUSTER: 1, ENDPOINT: 1}, "the cluster looks at its identities, and is the same"
    assert changed == {ENDPOINT: 1}
    called, rebuilt, changed, _ = many["a DestinationRule changes"]
    assert called == {"cluster": 1}
    assert rebuilt == {"plan": 1, CLUSTER: 1, ENDPOINT: 1, "virtual-host": 1}, "localities count as before"
    assert changed == {CLUSTER: 1}
    called, rebuilt, changed, _ = many["a VirtualService changes"]
    assert called == {"virtual_host": 1, "virtual_hosts": 1, "route_configuration": 1}
    assert rebuilt == {"virtual-host": 1, ROUTE: 1}, (
        "one fragment, and the RouteConfiguration that joins them"
    )
    assert changed == {ROUTE: 1}
    called, rebuilt, changed, _ = many["a service comes"]
    made = ("cluster", "load_assignment", "virtual_host", "virtual_hosts", "route_configuration")
    assert called == dict.fromkeys(made, 1)
    assert changed == {CLUSTER: 1, ENDPOINT: 1, ROUTE: 1}
    _, rebuilt, _, _ = many["a PeerAuthentication for another namespace"]
    assert rebuilt == {}


# --- incremental equals anew ----------------------------------------------------------------------------------------


def some_change(chance: random.Random, snapshot: Snapshot) -> set[Fact]:
    """A random change over a few names, so that they meet."""
    kinds = (Protocol.HTTP, Protocol.TCP, Protocol.GRPC, Protocol.TLS, Protocol.UNSUPPORTED)
    name, number = f"svc-{chance.randrange(4)}", chance.randrange(3)
    host, odd = f"{name}.{SUFFIX}", chance.choice(["svc-0.default", "a.example", "*.example"])
    match chance.randrange(12):
        case 0 | 1:
            one = service(
                name,
                *((port, chance.choice(kinds)) for port in (80, 9080) if chance.random() < 0.7),
                addresses=chance.choice([(), ("10.0.0.1",), ("10.0.0.2",)]),
                export_to=chance.choice([("*",), ("*",), ("other",)]),
                created=chance.choice(["", "2020"]),
            )
            return snapshot.put_service(one)
        case 2:
            return snapshot.remove_service(chance.choice([host, odd]))
        case 3:
            endpoints = tuple(
                endpoint(name, f"v{one}", 9080, chance.randrange(3), healthy=chance.random() < 0.8)
                for one in range(chance.randrange(3))
            )
            return snapshot.put_endpoints(host, endpoints)
        case 4:
            subsets = "[{name: v1, labels: {version: v1}}]"
            return put(snapshot, destination_rule(name, chance.randrange(3) + 1, f"d{number}", subsets))
        case 5:
            return put(snapshot, virtual_service(name, chance.randrange(3) + 1, f"v{number}"))
        case 6:
            return put(snapshot, virtual_service(chance.choice(["only.example", odd]), 1, f"v{number}"))
        case 7:
            return snapshot.remove_config("DestinationRule", "default", f"d{number}")
        case 8:
            return snapshot.remove_config("VirtualService", "default", f"v{number}")
        case 9:
            entry = service(
                "entry",
                (80, Protocol.HTTP),
                hostname=odd,
                resolution=chance.choice(list(ir.Resolution)),
                kubernetes=False,
                external=True,
            )
            return snapshot.put_service(entry)
        case 10 if chance.random() < 0.3:
            return snapshot.remove_workload("default", "svc-0-v1")
        case 10:
            port = (9080, chance.randrange(9) + 1, 1, chance.choice(kinds))
            return snapshot.put_workload(workload("svc-0", "v1", port))
        case _:
            mode = chance.choice(["ALLOW_ANY", "REGISTRY_ONLY"])
            return put(
                snapshot,
                f"""
apiVersion: v1
kind: ConfigMap
metadata: {{name: istio, namespace: istio-system}}
data: {{mesh: "outboundTrafficPolicy: {{mode: {mode}}}"}}
""",
            )


@pytest.mark.parametrize("seed", range(3))
def test_after_any_changes_it_is_what_compiling_anew_gives(seed: int) -> None:
    chance = random.Random(seed)
    snapshot = Snapshot(ir.Mesh(h2_upgrade=True))
    compiler = Compiler(snapshot)
    proxies = [
        Proxy(
            namespace="default",
            name="svc-0-v1",
            scope=scope,
            outbound_port=1,
            upstreams=(DeclaredUpstream("svc-1", 9080, 2),),
        )
        for scope in (EXPLICIT, REDIRECT, replace(EXPLICIT, parted=("http_proxy",)))
    ]
    views = [compiler.shared(one.scope) for one in proxies] + [compiler.own(one) for one in proxies]
    mirrors = [{kind: dict(held) for kind, held in view.resources.items()} for view in views]
    for number in range(250):
        for view, changes in compiler.apply(some_change(chance, snapshot)):
            mirror = mirrors[views.index(view)]
            for kind, (upserts, removals) in changes.items():
                assert not upserts.keys() & removals
                held = mirror.setdefault(kind, {})
                held.update(upserts)
                for name in removals:
                    held.pop(name, None)
        if number % 10 == 0:
            fresh = Compiler(snapshot)
            anew = [fresh.shared(one.scope) for one in proxies] + [fresh.own(one) for one in proxies]
            for view, other, mirror in zip(views, anew, mirrors, strict=True):
                expected = {kind: held for kind, held in other.resources.items() if held}
                assert {kind: held for kind, held in view.resources.items() if held} == expected
                assert {kind: held for kind, held in mirror.items() if held} == expected, "changes say it all"
    assert not compiler.errors


# --- views ----------------------------------------------------------------------------------------------------------


@pytest.fixture
def snapshot() -> Snapshot:
    found = Snapshot(ir.Mesh(h2_upgrade=True))
    populate(found)
    return found


def test_views_are_interned_and_dropped_with_their_last_user(snapshot: Snapshot) -> None:
    gc.collect()
    others = set(cluster.memo)  # what other tests' views hold
    compiler = Compiler(snapshot)
    view = compiler.shared(EXPLICIT)
    assert len(cluster.memo) >= len(view.resources[CLUSTER]) > 0
    assert compiler.shared(EXPLICIT) is view
    compiler.release(view)
    assert compiler.slots_for({Fact(FactKind.MESH)})
    compiler.release(view)
    assert not compiler.graph.index
    del view
    gc.collect()
    assert set(cluster.memo) <= others
    assert compiler.apply({Fact(FactKind.MESH)}) == []


def test_two_scopes_share_what_is_the_same(snapshot: Snapshot) -> None:
    compiler = Compiler(snapshot)
    other = Scope(type=ProxyType.SIDECAR, interception=Interception.EXPLICIT, namespace="other")
    name = f"outbound|9080||reviews.{SUFFIX}"
    one, two = compiler.shared(EXPLICIT), compiler.shared(other)
    assert one.resources[CLUSTER][name] is two.resources[CLUSTER][name]
    assert one.resources[ROUTE]["http_proxy"] != two.resources[ROUTE]["http_proxy"], "short names differ"


def test_the_slots_of_a_fact(snapshot: Snapshot) -> None:
    compiler = Compiler(snapshot)
    view = compiler.shared(EXPLICIT)
    host, name = f"reviews.{SUFFIX}", f"outbound|9080||reviews.{SUFFIX}"
    assert compiler.slots_for({Fact(FactKind.ENDPOINTS, host)}) == {
        (view, CLUSTER, name),
        (view, ENDPOINT, name),
    }
    assert (view, ROUTE, "http_proxy") in compiler.slots_for({Fact(FactKind.ROUTES, host)})


def test_a_generator_that_raises_keeps_the_last_value_and_the_rest(
    snapshot: Snapshot, monkeypatch: pytest.MonkeyPatch
) -> None:
    compiler = Compiler(snapshot)
    view = compiler.shared(EXPLICIT)
    name = f"outbound|9080||reviews.{SUFFIX}"
    before = view.resources[CLUSTER][name]
    working = outbound.cluster

    def raising(reader: Reader, scope: Scope, host: str, port: int, subset: str) -> object:
        if host.startswith("reviews"):
            raise ValueError(f"{host} cannot be translated")
        return working(reader, scope, host, port, subset)

    monkeypatch.setattr(outbound, "cluster", raising)
    put(snapshot, destination_rule("reviews"))
    facts = put(snapshot, destination_rule("inventory", name="other"))
    facts.add(Fact(FactKind.DESTINATION, f"reviews.{SUFFIX}"))
    changes = dict(compiler.apply(facts)[0][1])
    assert set(changes[CLUSTER][0]) == {f"outbound|9090||inventory.{SUFFIX}"}
    assert view.resources[CLUSTER][name] is before
    assert compiler.errors == {(CLUSTER, name): f"ValueError: reviews.{SUFFIX} cannot be translated"}
    monkeypatch.undo()
    compiler.apply({Fact(FactKind.DESTINATION, f"reviews.{SUFFIX}")})
    assert compiler.errors == {}
    assert view.resources[CLUSTER][name] != before


def test_a_change_of_policy_touches_the_listener_and_the_policy_alone(snapshot: Snapshot) -> None:
    compiler = Compiler(snapshot)
    proxy = Proxy(namespace="default", name="reviews-v1", scope=EXPLICIT, outbound_port=1)
    own = compiler.own(proxy)
    facts = put(
        snapshot,
        """
apiVersion: security.istio.io/v1
kind: PeerAuthentication
metadata: {name: default, namespace: default}
spec: {mtls: {mode: STRICT}}
""",
    )
    (found,) = compiler.apply(facts)
    assert found[0] is own
    assert {kind: (set(up), down) for kind, (up, down) in found[1].items()} == {
        LISTENER: ({"inbound_9080"}, set()),
        EXTENSION: ({"peer-authentication/9080"}, set()),
    }


def test_a_workload_that_comes_gets_its_inbound_configuration(snapshot: Snapshot) -> None:
    compiler = Compiler(snapshot)
    own = compiler.own(Proxy(namespace="default", name="late-v1", scope=EXPLICIT))
    assert set(own.resources) == {LISTENER}
    compiler.apply(snapshot.put_workload(workload("late", "v1", (80, 1, 2, Protocol.HTTP))))
    assert set(own.resources[CLUSTER]) == {"inbound|80||"}
    assert set(own.resources[LISTENER]) == {"connect_http", "inbound_80"}
    compiler.apply(snapshot.remove_workload("default", "late-v1"))
    assert own.resources[CLUSTER] == {}
    assert set(own.resources[LISTENER]) == {"connect_http"}


def test_a_declared_upstream_finds_its_service_when_it_comes(snapshot: Snapshot) -> None:
    compiler = Compiler(snapshot)
    own = compiler.own(
        Proxy(
            namespace="default",
            name="c",
            scope=EXPLICIT,
            upstreams=(DeclaredUpstream("late", 80, 7), DeclaredUpstream("db.other", 5432, 8)),
        )
    )
    route = decoded(own.resources[ROUTE]["upstream|80|late"])
    assert route["virtual_hosts"][0]["routes"][0]["direct_response"]["status"] == 503
    compiler.apply(snapshot.put_service(service("late", (80, Protocol.HTTP))))
    action = decoded(own.resources[ROUTE]["upstream|80|late"])["virtual_hosts"][0]["routes"][0]["route"]
    assert action["cluster"] == f"outbound|80||late.{SUFFIX}"
    assert action["host_rewrite_literal"] == "late"
    compiler.apply(snapshot.put_service(service("db", (5432, Protocol.TCP), namespace="other")))
    assert "upstream|5432|db.other" not in own.resources[ROUTE], "it is TCP now"
    listener = decoded(own.resources[LISTENER]["upstream_5432_db.other"])
    proxy = listener["filter_chains"][0]["filters"][0]["typed_config"]
    assert proxy["cluster"] == "outbound|5432||db.other.svc.cluster.local"


# --- gateways -------------------------------------------------------------------------------------------------------

GATEWAY = """
apiVersion: networking.istio.io/v1
kind: Gateway
metadata: {name: edge, namespace: default}
spec:
  selector: {istio: ingressgateway}
  servers:
  - {port: {number: 80, name: http, protocol: HTTP}, hosts: ["*"]}
  - {port: {number: 443, name: tls, protocol: TLS}, hosts: ["*"], tls: {mode: PASSTHROUGH}}
---
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: shop, namespace: default}
spec:
  hosts: [shop.example]
  gateways: [edge]
  http: [{route: [{destination: {host: reviews}}]}]
"""


def test_a_gateway_listens_where_the_port_map_says_and_routes_by_host(snapshot: Snapshot) -> None:
    put(snapshot, GATEWAY)
    scope = scope_of(
        Reader(snapshot), type=ProxyType.ROUTER, namespace="edge", labels=(("istio", "ingressgateway"),)
    )
    compiler = Compiler(snapshot)
    shared = compiler.shared(scope)
    own = compiler.own(Proxy(namespace="edge", name="gw", scope=scope, port_map=((80, 8080),)))
    listener = decoded(own.resources[LISTENER]["127.0.0.1_80"])
    assert listener["address"]["socket_address"]["port_value"] == 8080
    assert listener["enable_reuse_port"] is False
    (host,) = decoded(shared.resources[ROUTE]["http.80"])["virtual_hosts"]
    assert host["domains"] == ["shop.example"]
    assert host["routes"][0]["route"]["cluster"] == f"outbound|9080||reviews.{SUFFIX}"
    assert f"outbound|9080||reviews.{SUFFIX}" in shared.resources[CLUSTER]
    assert own.resources[LISTENER].keys() == {"127.0.0.1_80"}, "no VirtualService says where TLS goes"
    assert [one.name for one in edge.routed(scope, Reader(snapshot))] == ["http.80"]
    compiler.apply(snapshot.remove_config("Gateway", "default", "edge"))
    assert own.resources[LISTENER] == {}
    assert shared.resources[ROUTE] == {}
    assert compiler.errors == {}
