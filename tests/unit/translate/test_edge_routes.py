"""The routes of gateways: after any changes they are what a dumb walk over all that is bound to them makes, and what
compiling anew gives, byte for byte.
"""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import Any

import pytest
from envoy.config.route.v3 import route_pb2
from envoy.service.discovery.v3 import discovery_pb2
from msgspec.structs import replace

from argosy.model import gateways, ir
from argosy.model.envoy_patches import Side
from argosy.model.facts import Fact, FactKind
from argosy.model.ir import Protocol
from argosy.model.reader import Reader
from argosy.model.scope import ProxyType, Scope, Selector, SelectorUse
from argosy.model.snapshot import Snapshot
from argosy.resources.kinds import decode
from argosy.translate import names, outbound, parts
from argosy.translate.compiler import Compiler
from argosy.translate.graph import PLAN, VIRTUAL_HOST, ViewBuild
from argosy.translate.patches import subject as subjects
from argosy.translate.patches.patched import PatchKey, patched
from argosy.translate.patches.subject import concerns
from argosy.translate.proxy import Proxy
from argosy.translate.resource import LISTENER, ROUTE, SCOPE, Resource
from argosy.translate.route import (
    RouteConfigurationKey,
    VirtualHostKey,
    route_configuration,
    virtual_host,
    written_headers,
)
from tests.unit.translate.mesh import decoded, service

ISTIO = {"istio": "ingressgateway"}
SELECTED = Selector(SelectorUse.GATEWAY, tuple(ISTIO.items())).id
OWN = "gw.edge.svc.cluster.local"
SCOPES = (
    Scope(type=ProxyType.ROUTER, namespace="edge", matched=(SELECTED,)),
    Scope(
        type=ProxyType.ROUTER,
        namespace="shop",
        matched=(SELECTED,),
        targets=((OWN, 80, 8080), (OWN, 8080, 8080)),
    ),
)
"""Of the second two ports of Gateways are one."""
PARTED = replace(SCOPES[0], parted=("http.80", "http.81"))
NAMESPACES = ("default", "shop")
AGES = ("", "2020-01-01T00:00:00Z", "2021-01-01T00:00:00Z")
HOSTS = ("a.example", "b.example", "*.example", "*", "only.net", "a.shop.net", "*.shop.net")
OFFERED = (
    "*",
    "*/*",
    "a.example",
    "*.example",
    "shop/*",
    "./*.example",
    "only.net",
    "*.net",
    "shop/a.shop.net",
)
TARGETS = ("svc-0", "svc-1", "a.looked.up", "nobody.net")


# --- the dumb walk --------------------------------------------------------------------------------------------------


def walked(scope: Scope, reader: Reader) -> dict[str, Resource]:
    servers: dict[str, list[ir.GatewayServer]] = {}
    for listener in reader.gateway_listeners(scope):
        for server in listener.servers:
            if server.routes_http:
                servers.setdefault(names.gateway_route(server, listener.port), []).append(server)
    return {name: routes(scope, name, found, reader) for name, found in servers.items()}


def told_apart(scope: Scope, view: ViewBuild, expected: dict[str, Resource]) -> None:
    """Parts: what is said of the hosts of each is what the whole says."""
    held = view.resources.get(ROUTE, {})
    assert held.keys() == {name for route in expected for name in names_of(scope, route)}
    assert view.resources.get(SCOPE, {}).keys() == {
        name for route in expected if route in scope.parted for name in names_of(scope, route)
    }
    for route, whole in expected.items():
        made = message(whole)
        for name in names_of(scope, route):
            found = message(held[name])
            if route in scope.parted:
                assert list(found.request_headers_to_remove) == [parts.HEADER]
                found.ClearField("request_headers_to_remove")
                part = int(name.rpartition("/")[2])
                kept = [host for host in made.virtual_hosts if part in parts.of_domains(host.domains)]
                wanted = route_pb2.RouteConfiguration()
                wanted.CopyFrom(made)
                del wanted.virtual_hosts[:]
                wanted.virtual_hosts.extend(
                    host for host in made.virtual_hosts if host in kept or host.name == "more"
                )
                wanted.name = name
                assert found == wanted, name
            else:
                assert found == made


def names_of(scope: Scope, route: str) -> tuple[str, ...]:
    return tuple(parts.names(route)) if route in scope.parted else (route,)


def routes(scope: Scope, name: str, servers: list[ir.GatewayServer], reader: Reader) -> Resource:
    """Of one host at several servers the routes are joined in the order of their Gateways."""
    joined: dict[str, list[ir.Route]] = {}
    ports: dict[str, int] = {}
    secure: set[str] = set()
    seen: set[tuple[str, str, int]] = set()
    for server in servers:
        redirects = server.tls is not None and server.tls.https_redirect
        for served in reader.gateway_hosts(scope, server):
            ports.setdefault(served.host, server.port)
            if redirects:
                secure.add(served.host)
            if (served.host, server.bound_by, server.port) not in seen:
                seen.add((served.host, server.bound_by, server.port))
                joined.setdefault(served.host, []).extend(
                    one
                    for one in served.table.routes
                    if gateways.looked_up_within(one, served.host, reader.is_looked_up)
                )
        for host in server.server_names if redirects else ():
            secure.add(host)
            ports.setdefault(host, server.port)
            joined.setdefault(host, [])
    if not joined:
        joined, ports = {"*": []}, {"*": servers[0].port}
    fragments = tuple(
        virtual_host(
            VirtualHostKey(
                name=f"{host if found or host in secure else 'blackhole'}:{ports[host]}",
                domains=(host,),
                routes=gateways.joined(found),
                looked_up=outbound.looked_up(reader, found),
                port=ports[host],
                require_tls="ALL" if host in secure else "",
                headers=written_headers(reader.mesh().proxy),
            )
        )
        for host, found in sorted(joined.items())
    )
    told = next((server.http3 for server in servers if server.serves_http3), 0)
    made = route_configuration(
        RouteConfigurationKey(name=name, virtual_hosts=fragments, ignore_port=True, http3=told)
    )
    subject = subjects.routes(Side.GATEWAY, name)
    patches = tuple(one.patch for one in reader.envoy_filters(scope) if concerns(one.patch, subject))
    key = PatchKey(made=made, type_url=ROUTE, subject=subject, patches=patches)
    whole = patched(key).made if patches else made
    assert whole is not None
    return whole


def message(resource: Resource) -> Any:
    data = discovery_pb2.Resource.FromString(resource.frame).resource.value
    return route_pb2.RouteConfiguration.FromString(data)


# --- changes --------------------------------------------------------------------------------------------------------


def istio(kind: str, name: str, spec: Any, namespace: str = "default", created: str = "") -> Any:
    metadata = {"name": name, "namespace": namespace, "creationTimestamp": created}
    if not created:
        del metadata["creationTimestamp"]
    version = "v1alpha3" if kind == "EnvoyFilter" else "v1"
    api = f"networking.istio.io/{version}"
    return {"apiVersion": api, "kind": kind, "metadata": metadata, "spec": spec}


def some_server(chance: random.Random) -> Any:
    hosts = chance.sample(OFFERED, chance.choice((1, 1, 2, 3)))
    number = chance.choice((80, 80, 80, 8080))
    match chance.randrange(8):
        case 0:
            tls = {"mode": "SIMPLE", "credentialName": "cert"}
            port: Any = {"number": 443, "name": chance.choice(("https", "web")), "protocol": "HTTPS"}
            return {"port": port, "hosts": hosts, "tls": tls}
        case 1:
            port = {"number": 443, "name": "tls", "protocol": "TLS"}
            return {"port": port, "hosts": hosts, "tls": {"mode": "PASSTHROUGH"}}
        case 2 | 3:
            port = {"number": number, "name": "http", "protocol": "HTTP"}
            return {"port": port, "hosts": hosts, "tls": {"httpsRedirect": True}}
        case 4:
            return {"port": {"number": 3306, "name": "tcp", "protocol": "TCP"}, "hosts": hosts}
        case _:
            bind = {"bind": "10.0.0.9"} if chance.random() < 0.2 else {}
            return {"port": {"number": number, "name": "http", "protocol": "HTTP"}, "hosts": hosts} | bind


def some_gateway(chance: random.Random) -> Any:
    servers = [some_server(chance) for _ in range(chance.choice((1, 1, 2, 3)))]
    selector = chance.choice(({}, ISTIO, ISTIO))
    name, namespace = chance.choice("efg"), chance.choice(NAMESPACES)
    spec = {"selector": selector, "servers": servers}
    return istio("Gateway", name, spec, namespace, chance.choice(AGES))


def some_rule(chance: random.Random) -> Any:
    match: dict[str, Any] = {}
    if chance.random() < 0.6:
        match["uri"] = {chance.choice(("prefix", "exact")): chance.choice(("/", "/a", "/b"))}
    if chance.random() < 0.2:
        match["port"] = chance.choice((80, 8080, 443))
    if chance.random() < 0.2:
        match["gateways"] = [chance.choice(("e", "f", "shop/g"))]
    found: dict[str, Any] = {"match": [match]} if match else {}
    if chance.random() < 0.15:
        return found | {"delegate": {"name": chance.choice(("d1", "d2")), "namespace": "default"}}
    if chance.random() < 0.15:
        return found | {"redirect": {"uri": "/elsewhere"}}
    if chance.random() < 0.3:
        found["timeout"] = f"{chance.randrange(1, 4)}s"
    if chance.random() < 0.1:
        found["rewrite"] = {"authority": chance.choice(("x.looked.up", "a.example"))}
    return found | {"route": [{"destination": {"host": chance.choice(TARGETS)}}]}


def some_virtual_service(chance: random.Random) -> Any:
    bound = chance.sample(("e", "f", "shop/g", "shop/e", "default/g", "mesh"), chance.choice((1, 1, 2, 3)))
    spec: dict[str, Any] = {
        "hosts": chance.sample(HOSTS, chance.choice((1, 1, 2, 3))),
        "gateways": bound,
        "http": [some_rule(chance) for _ in range(chance.choice((1, 1, 2)))],
    }
    to = [{"destination": {"host": "svc-0", "port": {"number": 80}}}]
    if chance.random() < 0.15:
        spec["tls"] = [{"match": [{"sniHosts": [chance.choice(spec["hosts"])]}], "route": to}]
    if chance.random() < 0.15:
        spec["tcp"] = [{"match": [{"port": 3306}], "route": to}]
    if chance.random() < 0.1 and ("tls" in spec or "tcp" in spec):
        del spec["http"]
    if chance.random() < 0.2:
        spec["exportTo"] = [chance.choice((".", "edge", "shop"))]
    name, namespace = f"v{chance.randrange(8)}", chance.choice(NAMESPACES)
    return istio("VirtualService", name, spec, namespace, chance.choice(AGES))


def some_delegate(chance: random.Random) -> Any:
    http = [rule for rule in (some_rule(chance) for _ in range(3)) if "delegate" not in rule]
    return istio("VirtualService", chance.choice(("d1", "d2")), {"http": http or [{"redirect": {}}]})


def some_ingress(chance: random.Random) -> Any:
    backend = {"service": {"name": "svc-0", "port": {"number": 80}}}
    paths = [
        {"path": path, "pathType": chance.choice(("Prefix", "Exact")), "backend": backend}
        for path in chance.sample(("/", "/a", "/a/b"), 2)
    ]
    rule = {"host": chance.choice(("a.example", "only.net", "")), "http": {"paths": paths}}
    spec: dict[str, Any] = {"ingressClassName": chance.choice(("istio", "istio", "x")), "rules": [rule]}
    if chance.random() < 0.4:
        spec["tls"] = [{"hosts": ["a.example"], "secretName": "cert"}]
    metadata = {"name": f"i{chance.randrange(3)}", "namespace": chance.choice(NAMESPACES)}
    return {"apiVersion": "networking.k8s.io/v1", "kind": "Ingress", "metadata": metadata, "spec": spec}


VALUES: tuple[Any, ...] = (
    {
        "applyTo": "VIRTUAL_HOST",
        "patch": {"operation": "MERGE", "value": {"include_is_timeout_retry_header": True}},
    },
    {
        "applyTo": "VIRTUAL_HOST",
        "match": {"routeConfiguration": {"vhost": {"name": "a.example:80"}}},
        "patch": {"operation": "REMOVE"},
    },
    {
        "applyTo": "VIRTUAL_HOST",
        "match": {"routeConfiguration": {"vhost": {"name": "blackhole:80"}}},
        "patch": {"operation": "REMOVE"},
    },
    {
        "applyTo": "VIRTUAL_HOST",
        "match": {"routeConfiguration": {"name": "http.80"}},
        "patch": {"operation": "ADD", "value": {"name": "more", "domains": ["more.net"]}},
    },
    {
        "applyTo": "HTTP_ROUTE",
        "match": {"routeConfiguration": {"portNumber": 80, "vhost": {"route": {"action": "ROUTE"}}}},
        "patch": {"operation": "MERGE", "value": {"route": {"priority": "HIGH"}}},
    },
    {
        "applyTo": "HTTP_ROUTE",
        "match": {"routeConfiguration": {"gateway": "default/e"}},
        "patch": {
            "operation": "INSERT_FIRST",
            "value": {"name": "first", "match": {"prefix": "/first"}, "direct_response": {"status": 418}},
        },
    },
    {
        "applyTo": "ROUTE_CONFIGURATION",
        "patch": {"operation": "MERGE", "value": {"most_specific_header_mutations_wins": True}},
    },
)


def some_filter(chance: random.Random) -> Any:
    patches = chance.sample(VALUES, chance.choice((1, 2)))
    return istio("EnvoyFilter", f"p{chance.randrange(2)}", {"configPatches": patches}, "istio-system")


def some_settings(chance: random.Random) -> Any:
    mesh = chance.choice(
        ("", "defaultVirtualServiceExportTo: ['edge']", "defaultHttpRetryPolicy: {attempts: 7}")
    )
    metadata = {"name": "istio", "namespace": "istio-system"}
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata, "data": {"mesh": mesh}}


def some_destination_rule(chance: random.Random) -> Any:
    balancer = chance.choice(({"simple": "RANDOM"}, {"consistentHash": {"httpHeaderName": "user"}}))
    spec = {"host": "svc-0", "trafficPolicy": {"loadBalancer": balancer}}
    return istio("DestinationRule", "r", spec)


Make = Callable[[random.Random], Any]
MAKES: tuple[tuple[int, Make], ...] = (
    (10, some_virtual_service),
    (5, some_gateway),
    (2, some_delegate),
    (2, some_ingress),
    (1, some_filter),
    (1, some_settings),
    (1, some_destination_rule),
)


Bodies = dict[tuple[str, str, str], Any]


def some_change(chance: random.Random, snapshot: Snapshot, bodies: Bodies) -> set[Fact]:
    if chance.random() < 0.1:
        return some_service(chance, snapshot)
    weights, makes = zip(*MAKES, strict=True)
    body = chance.choices(makes, weights)[0](chance)
    ref = (body["kind"], body["metadata"]["namespace"], body["metadata"]["name"])
    if chance.random() < 0.3:
        bodies.pop(ref, None)
        return snapshot.remove_config(*ref)
    if ref in bodies and chance.random() < 0.4:  # the same, made at another time
        metadata = bodies[ref]["metadata"] | {"creationTimestamp": chance.choice(AGES[1:])}
        body = bodies[ref] | {"metadata": metadata}
    bodies[ref] = body
    facts = snapshot.put_config(decode(body))
    assert not snapshot.rejected
    return facts


def some_service(chance: random.Random, snapshot: Snapshot) -> set[Fact]:
    if chance.random() < 0.4:
        return snapshot.remove_service(chance.choice(("svc-0.default.svc.cluster.local", "*.looked.up", OWN)))
    if chance.random() < 0.4:
        ports = ((80, Protocol.HTTP), (8080, Protocol.HTTP))
        return snapshot.put_service(service("gw", *ports, namespace="edge"))
    if chance.random() < 0.5:
        return snapshot.put_service(service("svc-0", (chance.choice((80, 81)), Protocol.HTTP)))
    wild = service(
        "wild",
        (80, Protocol.HTTP),
        hostname=chance.choice(("a.looked.up", "*.looked.up")),
        resolution=ir.Resolution.DYNAMIC_DNS,
        kubernetes=False,
        external=True,
    )
    return snapshot.put_service(wild)


# --- the proof ------------------------------------------------------------------------------------------------------


def held(view: ViewBuild) -> dict[str, dict[str, Resource]]:
    return {kind: found for kind, found in view.resources.items() if found}


@pytest.mark.parametrize("seed", range(6))
def test_after_any_changes_routes_are_what_a_walk_over_everything_makes(seed: int) -> None:
    check(seed, SCOPES, 250)


@pytest.mark.parametrize("seed", range(2))
def test_in_parts_they_are_the_same(seed: int) -> None:
    check(seed, (PARTED,), 100)


def check(seed: int, scopes: tuple[Scope, ...], changes: int) -> None:
    chance = random.Random(seed)
    snapshot = Snapshot()
    compiler = Compiler(snapshot)
    proxies = [Proxy(namespace=scope.namespace, name="gw", scope=scope) for scope in scopes]
    views = [compiler.shared(one.scope) for one in proxies] + [compiler.own(one) for one in proxies]
    bodies: Bodies = {}
    most = 0
    for number in range(changes):
        facts: set[Fact] = set()
        for _ in range(chance.choice((1, 1, 1, 3))):
            facts |= some_change(chance, snapshot, bodies)
        compiler.apply(facts)
        assert not compiler.errors
        for view, scope in zip(views, scopes, strict=False):
            expected = walked(scope, Reader(snapshot))
            found = view.resources.get(ROUTE, {})
            most = max(most, len(expected))
            if scope.parted:
                told_apart(scope, view, expected)
                continue
            assert found.keys() == expected.keys()
            for name, resource in found.items():
                assert message(resource) == message(expected[name]), (number, name)
                if not snapshot.envoy_filters.rules:
                    assert resource.frame == expected[name].frame, (number, name)
        if number % 4 == 0:
            fresh = Compiler(snapshot)
            anew = [fresh.shared(one.scope) for one in proxies] + [fresh.own(one) for one in proxies]
            assert [held(view) for view in views] == [held(view) for view in anew]
            for view, other in zip(views, anew, strict=True):
                assert view.nodes.keys() == other.nodes.keys(), "nothing is left behind"
    assert most > 3
    assert not list(compiler.faults)


# --- what is looked at ----------------------------------------------------------------------------------------------


class World:
    """One gateway with three VirtualServices, one of them for TLS that passes on, too."""

    def __init__(self) -> None:
        self.snapshot = Snapshot()
        self.snapshot.put_service(service("svc-0", (80, Protocol.HTTP)))
        servers = [
            {"port": {"number": 80, "name": "http", "protocol": "HTTP"}, "hosts": ["*"]},
            {
                "port": {"number": 443, "name": "tls", "protocol": "TLS"},
                "hosts": ["*"],
                "tls": {"mode": "PASSTHROUGH"},
            },
        ]
        self.compiler = Compiler(self.snapshot)
        self.put(istio("Gateway", "e", {"servers": servers}))
        self.put(*(self.virtual_service(name) for name in "ab"), self.virtual_service("c", tls="c.example"))
        self.shared = self.compiler.shared(SCOPES[0])
        self.own = self.compiler.own(Proxy(namespace="edge", name="gw", scope=SCOPES[0]))

    def virtual_service(self, name: str, timeout: int = 1, tls: str = "", **more: Any) -> Any:
        to = [{"destination": {"host": "svc-0", "port": {"number": 80}}}]
        spec: dict[str, Any] = {"hosts": [f"{name}.example"], "gateways": ["e"]}
        spec["http"] = [{"timeout": f"{timeout}s", "route": to}]
        if tls:
            spec["tls"] = [{"match": [{"sniHosts": [tls]}], "route": to}]
        return istio("VirtualService", name, spec | more)

    def put(self, *bodies: Any) -> set[tuple[str, str]]:
        """(type, name) of what became different."""
        return self.apply({fact for body in bodies for fact in self.snapshot.put_config(decode(body))})

    def apply(self, facts: set[Fact]) -> set[tuple[str, str]]:
        assert not self.snapshot.rejected
        changed = self.compiler.apply(facts)
        assert not self.compiler.errors
        return {
            (kind, name)
            for _, changes in changed
            for kind, (upserts, removals) in changes.items()
            for name in (*upserts, *removals)
        }

    def hosts(self) -> list[str]:
        made = decoded(self.shared.resources[ROUTE]["http.80"])
        return [host["name"] for host in made["virtual_hosts"]]

    def slots(self, name: str) -> set[tuple[str, str]]:
        facts = set(self.snapshot.facts_of("VirtualService", "default", name))
        return {(kind, slot) for _, kind, slot in self.compiler.slots_for(facts)}


def test_a_virtual_service_that_changes_touches_its_host_and_no_listener() -> None:
    world = World()
    before = world.compiler.rebuilt
    assert world.put(world.virtual_service("a", 2)) == {(ROUTE, "http.80")}
    assert world.compiler.rebuilt - before == {PLAN: 1, VIRTUAL_HOST: 1, ROUTE: 1}


def test_tls_routes_are_the_listener_s_alone() -> None:
    world = World()
    before = world.compiler.rebuilt
    assert world.put(world.virtual_service("c", tls="*.c.example")) == {(LISTENER, "127.0.0.1_443")}
    assert world.compiler.rebuilt - before == {LISTENER: 1}
    before = world.compiler.rebuilt
    assert world.put(world.virtual_service("c", 2, tls="*.c.example")) == {(ROUTE, "http.80")}
    assert LISTENER not in world.compiler.rebuilt - before


def test_one_that_comes_or_goes_is_one_virtual_host() -> None:
    world = World()
    before = world.compiler.rebuilt
    assert world.put(world.virtual_service("d")) == {(ROUTE, "http.80")}
    assert world.compiler.rebuilt - before == {PLAN: 1, VIRTUAL_HOST: 1, ROUTE: 1}
    assert world.hosts() == [f"{name}.example:80" for name in "abcd"]
    before = world.compiler.rebuilt
    facts = world.snapshot.remove_config("VirtualService", "default", "d")
    assert world.apply(facts) == {(ROUTE, "http.80")}
    assert world.compiler.rebuilt - before == {ROUTE: 1}
    assert world.hosts() == [f"{name}.example:80" for name in "abc"]


def test_where_nothing_is_served_one_host_says_so() -> None:
    world = World()
    for name in "abc":
        world.apply(world.snapshot.remove_config("VirtualService", "default", name))
    assert world.hosts() == ["blackhole:80"]
    world.put(world.virtual_service("a"))
    assert world.hosts() == ["a.example:80"]


def test_the_slots_of_what_is_served() -> None:
    world = World()
    assert world.slots("a") == {(ROUTE, "http.80")}
    assert world.slots("c") == {(ROUTE, "http.80"), (LISTENER, "127.0.0.1_443")}
    world.put(world.virtual_service("a", exportTo=["elsewhere"]))
    assert world.slots("a") == set(), "nothing is made of it"
    gateway = world.compiler.slots_for({Fact(FactKind.GATEWAY, "default/e")})
    assert {(kind, name) for _, kind, name in gateway} == {(ROUTE, "http.80"), (LISTENER, "127.0.0.1_443")}


def test_gateways_that_the_proxies_do_not_serve_cost_nothing() -> None:
    world = World()
    before = world.compiler.rebuilt
    assert world.put(world.virtual_service("x", gateways=["elsewhere"])) == set()
    assert not world.compiler.rebuilt - before
    assert world.put(world.virtual_service("x")) == {(ROUTE, "http.80")}
    assert world.put(world.virtual_service("x", gateways=["elsewhere"])) == {(ROUTE, "http.80")}
    assert world.hosts() == [f"{name}.example:80" for name in "abc"]
