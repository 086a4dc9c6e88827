"""EnvoyFilters in views: who pays, what is computed again, and what is told of what cannot be made."""

from __future__ import annotations

import gc
from typing import Any

import pytest

from argosy.model import ir
from argosy.model.facts import Fact, FactKind
from argosy.model.reader import Reader
from argosy.model.scope import Interception, ProxyType, Scope, scope_of
from argosy.model.snapshot import Snapshot
from argosy.translate.compiler import Compiler
from argosy.translate.generator import calls
from argosy.translate.patches.view import PatchedView
from argosy.translate.proxy import DeclaredUpstream, Proxy
from argosy.translate.resource import CLUSTER, ENDPOINT, EXTENSION, LISTENER, ROUTE
from tests.unit.translate.mesh import SUFFIX, decoded, populate, put

EXPLICIT = Scope(type=ProxyType.SIDECAR, interception=Interception.EXPLICIT, namespace="default")
REDIRECT = Scope(type=ProxyType.SIDECAR, interception=Interception.REDIRECT, namespace="default")
REVIEWS = f"outbound|9080||reviews.{SUFFIX}"
HOST = f"reviews.{SUFFIX}:9080"


class World:
    """Views of one proxy of a scope."""

    def __init__(self, scope: Scope = EXPLICIT, text: str = "") -> None:
        self.snapshot = Snapshot(ir.Mesh(h2_upgrade=True))
        populate(self.snapshot)
        put(self.snapshot, text)
        self.compiler = Compiler(self.snapshot)
        self.shared = self.compiler.shared(scope)
        self.own = self.compiler.own(
            Proxy(
                namespace="default",
                name="reviews-v1",
                scope=scope,
                outbound_port=15001,
                upstreams=(DeclaredUpstream("reviews", 9080, 18000),),
            )
        )

    def put(self, text: str) -> set[tuple[str, str]]:
        """(type, name) of what became different."""
        return self.apply(put(self.snapshot, text))

    def remove(self, name: str) -> set[tuple[str, str]]:
        return self.apply(self.snapshot.remove_config("EnvoyFilter", "default", name))

    def apply(self, facts: set[Fact]) -> set[tuple[str, str]]:
        changed = self.compiler.apply(facts)
        assert not self.compiler.errors
        return {
            (kind.rpartition(".")[2], name)
            for _, changes in changed
            for kind, (upserts, removals) in changes.items()
            for name in (*upserts, *removals)
        }

    def versions(self) -> dict[tuple[str, str], str]:
        return {
            (kind, name): one.version
            for view in (self.shared, self.own)
            for kind, held in view.resources.items()
            for name, one in held.items()
        }

    def told(self, name: str) -> str:
        return self.compiler.faults.of(("EnvoyFilter", "default", name))

    def slots(self, name: str) -> set[tuple[str, str]]:
        found = self.compiler.slots_for({Fact(FactKind.ENVOY_FILTER, f"default/{name}")})
        return {(kind.rpartition(".")[2], slot) for _, kind, slot in found}


def ef(name: str, *patches: str, namespace: str = "default") -> str:
    lines = "\n".join(f"  - {patch}" for patch in patches)
    return f"""
apiVersion: networking.istio.io/v1alpha3
kind: EnvoyFilter
metadata: {{name: {name}, namespace: {namespace}}}
spec:
  configPatches:
{lines}
"""


def cluster(timeout: str) -> str:
    patch = f"patch: {{operation: MERGE, value: {{connect_timeout: {timeout}}}}}"
    return f"{{applyTo: CLUSTER, match: {{cluster: {{name: '{REVIEWS}'}}}}, {patch}}}"


ROUTE_PATCH = (
    f"{{applyTo: HTTP_ROUTE, match: {{context: SIDECAR_OUTBOUND, routeConfiguration: {{vhost: {{name: '{HOST}'}}}}}},"
    " patch: {operation: MERGE, value: {route: {timeout: 9s}}}}"
)


@pytest.mark.parametrize("scope", [EXPLICIT, REDIRECT], ids=["explicit", "redirect"])
def test_who_has_no_envoy_filter_pays_nothing_and_shares_the_bytes(scope: Scope) -> None:
    gc.collect()
    plain = World(scope)
    before = calls()
    beside = World(scope, ef("elsewhere", cluster("9s"), ROUTE_PATCH, namespace="other"))
    assert calls() - before == {}, "everything is in the generators' memo"
    assert beside.versions() == plain.versions()
    assert beside.own.resources[LISTENER] == plain.own.resources[LISTENER]
    mentioned = {fact.kind for fact in beside.compiler.graph.index}
    assert FactKind.ENVOY_FILTER not in mentioned
    nodes = beside.compiler.graph.index[Fact(FactKind.ENVOY_FILTERS, "default")]
    assert len(nodes) == 2, "one node of each view asks whether there is one"


def test_a_patch_costs_what_it_changes() -> None:
    world = World()
    plain = world.versions()
    before = calls()
    assert world.put(ef("e", cluster("9s"))) == {("Cluster", REVIEWS)}
    assert calls() - before == {"patched": 1}
    assert decoded(world.shared.resources[CLUSTER][REVIEWS])["connect_timeout"] == "9s"
    assert world.slots("e") == {("Cluster", REVIEWS)}
    before = calls()
    routes = {("RouteConfiguration", "http_proxy"), ("RouteConfiguration", "upstream|9080|reviews")}
    assert world.put(ef("e", cluster("9s"), ROUTE_PATCH)) == routes
    made = ("patched_host", "virtual_hosts", "route_configuration", "patched")
    assert calls() - before == dict.fromkeys(made, 1)
    assert world.slots("e") == {("Cluster", REVIEWS), *routes}
    world.remove("e")
    assert world.versions() == plain
    assert world.slots("e") == set()
    for view in (world.shared, world.own):
        assert isinstance(view, PatchedView)
        assert view.outcomes == {}


def test_what_a_patched_resource_is_made_of_still_changes_it() -> None:
    world = World(text=ef("e", cluster("9s"), ROUTE_PATCH))
    rule = """
apiVersion: networking.istio.io/v1
kind: DestinationRule
metadata: {name: r, namespace: default}
spec: {host: reviews, trafficPolicy: {loadBalancer: {simple: RANDOM}}}
"""
    assert world.put(rule) == {("Cluster", REVIEWS)}
    made = decoded(world.shared.resources[CLUSTER][REVIEWS])
    assert (made["lb_policy"], made["connect_timeout"]) == ("RANDOM", "9s")


def test_several_are_applied_in_order() -> None:
    world = World(text=ef("b", cluster("2s")) + "---" + ef("a", cluster("1s")))
    assert decoded(world.shared.resources[CLUSTER][REVIEWS])["connect_timeout"] == "2s"
    assert world.slots("a") == world.slots("b") == {("Cluster", REVIEWS)}


def test_a_removed_cluster_goes_with_its_endpoints_and_may_be_replaced() -> None:
    world = World()
    match = f"match: {{cluster: {{name: '{REVIEWS}'}}}}"
    remove = f"{{applyTo: CLUSTER, {match}, patch: {{operation: REMOVE}}}}"
    gone = {("Cluster", REVIEWS), ("ClusterLoadAssignment", REVIEWS)}
    assert world.put(ef("e", remove)) == gone
    assert REVIEWS not in world.shared.resources[CLUSTER]
    assert REVIEWS not in world.shared.resources[ENDPOINT]
    add = (
        f"{{applyTo: CLUSTER, patch: {{operation: ADD, value: {{name: '{REVIEWS}', connect_timeout: 3s}}}}}}"
    )
    assert world.put(ef("e", remove, add)) == {("Cluster", REVIEWS)}
    assert decoded(world.shared.resources[CLUSTER][REVIEWS])["connect_timeout"] == "3s"
    assert world.put(ef("e", add)) == gone, "what is generated goes before what is added"
    assert decoded(world.shared.resources[CLUSTER][REVIEWS])["connect_timeout"] == "10s"
    assert world.remove("e") == set()


def test_resources_are_added_and_go_again() -> None:
    listener = (
        "{applyTo: LISTENER, match: {context: SIDECAR_INBOUND}, patch: {operation: ADD, value: {name: mine}}}"
    )
    cors = "{'@type': type.googleapis.com/envoy.extensions.filters.http.cors.v3.Cors}"
    extension = (
        "{applyTo: EXTENSION_CONFIG, patch: {operation: ADD, "
        f"value: {{name: mine, typed_config: {cors}}}}}}}"
    )
    cluster = "{applyTo: CLUSTER, patch: {operation: ADD, value: {name: mine}}}"
    gateway = "{applyTo: CLUSTER, match: {context: GATEWAY}, patch: {operation: ADD, value: {name: edge}}}"
    names = {(kind, "mine") for kind in ("Listener", "TypedExtensionConfig", "Cluster")}
    world = World()
    assert world.put(ef("e", listener, extension, cluster, gateway)) == names
    assert "mine" in world.shared.resources[EXTENSION]
    assert world.slots("e") == names
    assert world.remove("e") == names


def test_a_patch_that_cannot_be_made_is_told_on_its_object_alone() -> None:
    broken = "{applyTo: CLUSTER, patch: {operation: MERGE, value: {name: other}}}"
    world = World(text=ef("good", cluster("9s")))
    world.put(ef("bad", cluster("8s"), broken))
    assert world.told("good") == ""
    assert world.told("bad").startswith(
        "spec.configPatches[1].patch.value: name: 'other' would rename 'BlackHoleCluster'; leave the name out"
    )
    assert decoded(world.shared.resources[CLUSTER][REVIEWS])["connect_timeout"] == "9s", "good is younger"
    world.put(ef("bad", cluster("8s")))
    assert world.told("bad") == ""
    world.put(ef("bad", broken))
    world.remove("bad")
    assert world.told("bad") == ""
    assert list(world.compiler.faults) == []


def test_what_a_view_told_is_forgotten_with_it() -> None:
    world = World(text=ef("bad", "{applyTo: CLUSTER, patch: {operation: ADD, value: {connect_timeout: 1s}}}"))
    assert world.told("bad").startswith(
        "spec.configPatches[0].patch.value.name: is missing; name what is added"
    )
    world.compiler.release(world.shared)
    assert world.told("bad") == ""


def test_patches_of_a_port_find_its_hosts_in_the_routes_of_all_ports() -> None:
    def routes(name: str) -> Any:
        hosts = decoded(world.shared.resources[ROUTE][name])["virtual_hosts"]
        return {host["name"] for host in hosts if "request_headers_to_remove" in host}

    merge = "patch: {operation: MERGE, value: {request_headers_to_remove: [x]}}"
    port = f"{{applyTo: VIRTUAL_HOST, match: {{routeConfiguration: {{portNumber: 9080}}}}, {merge}}}"
    world = World(EXPLICIT, ef("e", port))
    assert routes("http_proxy") == {HOST}
    every = f"{{applyTo: VIRTUAL_HOST, match: {{context: SIDECAR_OUTBOUND}}, {merge}}}"
    world.put(ef("e", every))
    assert {HOST, "allow_any"} < routes("http_proxy")
    world = World(REDIRECT, ef("e", port))
    assert routes("9080") == {HOST, "allow_any"}
    assert routes("9090") == set()


def test_sides() -> None:
    merge = "patch: {operation: MERGE, value: {per_connection_buffer_limit_bytes: 7}}"
    wanted = {
        "SIDECAR_INBOUND": {"inbound_9080"},
        "SIDECAR_OUTBOUND": {"outbound_proxy", "connect_http", "upstream_9080_reviews"},
        "GATEWAY": set(),
    }
    for side, names in wanted.items():
        world = World(text=ef("e", f"{{applyTo: LISTENER, match: {{context: {side}}}, {merge}}}"))
        held = world.own.resources[LISTENER]
        found = {name for name, one in held.items() if "per_connection_buffer_limit_bytes" in decoded(one)}
        assert found == names, side


def test_a_gateways_listener_and_routes_are_patched() -> None:
    snapshot = Snapshot()
    populate(snapshot)
    put(
        snapshot,
        """
apiVersion: networking.istio.io/v1
kind: Gateway
metadata: {name: edge, namespace: default}
spec: {selector: {istio: edge}, servers: [{port: {number: 80, name: http, protocol: HTTP}, hosts: [a.example]}]}
---
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: a, namespace: default}
spec: {hosts: [a.example], gateways: [edge], http: [{route: [{destination: {host: reviews}}]}]}
---"""
        + ef(
            "e",
            "{applyTo: LISTENER, match: {context: GATEWAY, listener: {portNumber: 8080}},"
            " patch: {operation: MERGE, value: {per_connection_buffer_limit_bytes: 7}}}",
            "{applyTo: HTTP_ROUTE, match: {context: GATEWAY, routeConfiguration: {name: http.80, "
            "vhost: {name: 'a.example:80'}}}, patch: {operation: MERGE, value: {route: {timeout: 9s}}}}",
        ),
    )
    scope = scope_of(
        Reader(snapshot), type=ProxyType.ROUTER, namespace="default", labels=(("istio", "edge"),)
    )
    compiler = Compiler(snapshot)
    shared = compiler.shared(scope)
    own = compiler.own(Proxy(namespace="default", name="edge", scope=scope, port_map=((80, 8080),)))
    (listener,) = own.resources[LISTENER].values()
    assert decoded(listener)["per_connection_buffer_limit_bytes"] == 7
    (host,) = decoded(shared.resources[ROUTE]["http.80"])["virtual_hosts"]
    assert host["routes"][0]["route"]["timeout"] == "9s"


def test_a_host_that_goes_takes_with_it_what_was_told_of_it() -> None:
    wrong = "{applyTo: VIRTUAL_HOST, patch: {operation: MERGE, value: {domains: 1}}}"
    for scope in (EXPLICIT, REDIRECT):
        world = World(scope, ef("bad", wrong))
        assert "is not a VirtualHost" in world.told("bad")
        held = len(world.shared.outcomes) if isinstance(world.shared, PatchedView) else 0
        world.apply(world.snapshot.remove_service(f"reviews.{SUFFIX}"))
        assert isinstance(world.shared, PatchedView)
        assert len(world.shared.outcomes) < held
