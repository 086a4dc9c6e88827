"""Random changes against a dumb oracle: a Snapshot built anew from what is there.

After each change: every answer is the oracle's; an answer that changed was made from a fact that was told; nothing is
told of what no object speaks of; the same change again tells nothing.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from argosy.model import ir
from argosy.model.facts import Fact, FactKind
from argosy.model.hostnames import patterns
from argosy.model.reader import Reader
from argosy.model.scope import ProxyType, Scope, scope_of
from argosy.model.snapshot import Snapshot
from argosy.model.tokens import KeySource
from argosy.resources.meta import Object
from tests.long.conftest import count
from tests.unit.model.written import mesh_config, obj

NAMESPACES = ("default", "shop", "istio-system")
HOSTS = ("x", "*.default.svc.cluster.local", "w.com", "*")
FULL = ("x.default.svc.cluster.local", "x.shop.svc.cluster.local", "w.com", "else.org")
PORTS = (80, 81)
LABELS: tuple[ir.Pairs, ...] = ((), (("app", "web"),), (("app", "web"), ("version", "v1")))
FREE_FACTS = {
    Fact(FactKind.HOSTS),
    Fact(FactKind.HOSTS, "virtual"),
    Fact(FactKind.SELECTORS),
    Fact(FactKind.MESH),
}

hosts, namespaces = st.sampled_from(HOSTS), st.sampled_from(NAMESPACES)
PLACES = {
    "VirtualService": (("default", "a"), ("default", "b"), ("shop", "a")),
    "DestinationRule": (("default", "a"), ("default", "b"), ("shop", "a"), ("istio-system", "a")),
    "Gateway": (("default", "a"), ("shop", "b")),
    "PeerAuthentication": (("default", "a"), ("shop", "a"), ("shop", "b"), ("istio-system", "a")),
    "AuthorizationPolicy": (("default", "a"), ("shop", "a"), ("istio-system", "a"), ("istio-system", "b")),
    "RequestAuthentication": (("default", "a"), ("shop", "a"), ("istio-system", "a"), ("istio-system", "b")),
    "Sidecar": (("default", "a"), ("default", "b"), ("istio-system", "a")),
    "EnvoyFilter": (("default", "a"), ("shop", "b"), ("istio-system", "a")),
}
"""Few, so that changes meet."""

labels = st.sampled_from(LABELS).map(dict)
created = st.sampled_from(("", "2020-01-01T00:00:00Z", "2021-01-01T00:00:00Z"))
export = st.sampled_from(([], [], ["."], ["shop"]))


def some(**fields: st.SearchStrategy[Any]) -> st.SearchStrategy[dict[str, Any]]:
    return st.fixed_dictionaries({}, optional=fields)


destination = st.builds(
    lambda host, more: {"host": host} | more,
    hosts.filter(lambda host: "*" not in host),
    some(port=st.sampled_from(PORTS).map(lambda port: {"number": port}), subset=st.just("v1")),
)
match = some(
    uri=st.sampled_from(("/", "/a", "/a/b")).map(lambda path: {"prefix": path}),
    port=st.sampled_from(PORTS),
    sourceLabels=labels,
    sourceNamespace=namespaces,
    gateways=st.sampled_from((["mesh"], ["a"], ["shop/b"])),
    headers=st.just({"@request.auth.claims.sub": {"exact": "a"}}),
)
forward = st.builds(
    lambda match, to, more: {"match": match, "route": [{"destination": to}]} | more,
    st.lists(match, max_size=2),
    destination,
    some(timeout=st.just("1s"), retries=st.sampled_from(({"attempts": 0}, {"attempts": 3}))),
)
delegating = st.builds(
    lambda match, place: {"match": match, "delegate": {"name": place[1], "namespace": place[0]}},
    st.lists(match, max_size=1),
    st.sampled_from(PLACES["VirtualService"]),
)
tcp = st.builds(
    lambda port, to: {"match": [{"port": port}], "route": [{"destination": to}]},
    st.sampled_from(PORTS),
    destination,
)
virtual_service = st.builds(
    lambda hosts, gateways, http, tcp, export: {
        "hosts": hosts,
        "gateways": gateways,
        "http": http,
        "tcp": tcp,
        "exportTo": export,
    },
    st.lists(hosts, max_size=2),
    st.sampled_from(([], [], ["a"], ["mesh", "shop/b"])),
    st.lists(forward | delegating, min_size=1, max_size=2),
    st.lists(tcp, max_size=1),
    export,
)
balancer = some(loadBalancer=st.sampled_from(("RANDOM", "ROUND_ROBIN")).map(lambda kind: {"simple": kind}))
by_locality = st.sampled_from(
    (
        {"outlierDetection": {}},
        {"outlierDetection": {}, "loadBalancer": {"localityLbSetting": {"failoverPriority": ["app"]}}},
        {"loadBalancer": {"localityLbSetting": {"enabled": False}}},
    )
)
destination_rule = st.builds(
    lambda host, more, export: {"host": host, "exportTo": export} | more,
    hosts,
    some(
        trafficPolicy=st.one_of(balancer, by_locality),
        subsets=st.just([{"name": "v1", "labels": {"version": "v1"}}]),
        workloadSelector=labels.map(lambda found: {"matchLabels": found}),
    ),
    export,
)
gateway = st.builds(
    lambda selector, hosts, port: {
        "selector": selector,
        "servers": [{"port": {"number": port, "name": "http", "protocol": "HTTP"}, "hosts": hosts}],
    },
    labels,
    st.lists(hosts, min_size=1, max_size=2),
    st.sampled_from(PORTS),
)
peer_authentication = some(
    selector=labels.map(lambda found: {"matchLabels": found}),
    mtls=st.sampled_from(("STRICT", "DISABLE", "UNSET")).map(lambda mode: {"mode": mode}),
    portLevelMtls=st.just({"80": {"mode": "DISABLE"}}),
)
authorization_policy = st.builds(
    lambda target, action, rules: target | {"action": action, "rules": rules, "provider": {"name": "p"}},
    st.one_of(
        some(selector=labels.map(lambda found: {"matchLabels": found})),
        st.just(
            {
                "targetRefs": [
                    {"group": "gateway.networking.k8s.io", "kind": "Gateway", "name": name}
                    for name in ("a", "b")
                ]
            }
        ),
    ),
    st.sampled_from(("ALLOW", "DENY", "AUDIT", "CUSTOM")),
    st.sampled_from(([], [{}], [{"from": [{"source": {"principals": ["cluster.local/ns/a/sa/b"]}}]}])),
)
KEYS_AT = ("https://a.example/keys", "https://b.example/keys")
request_authentication = st.builds(
    lambda selector, uris: selector | {"jwtRules": [{"issuer": uri[8:], "jwksUri": uri} for uri in uris]},
    some(selector=labels.map(lambda found: {"matchLabels": found})),
    st.lists(st.sampled_from(KEYS_AT), max_size=2),
)
egress = st.builds(
    lambda namespace, host, port: {"hosts": [f"{namespace}/{host}"]} | port,
    st.sampled_from(("*", ".", "shop", "~shop")),
    st.sampled_from((*FULL, "*", "*.svc.cluster.local")),
    some(port=st.sampled_from(PORTS).map(lambda port: {"number": port, "protocol": "HTTP", "name": "p"})),
)
sidecar = some(
    workloadSelector=labels.map(lambda found: {"labels": found}),
    egress=st.lists(egress, max_size=2),
    outboundTrafficPolicy=st.sampled_from(
        ({"mode": "REGISTRY_ONLY"}, {"mode": "ALLOW_ANY", "egressProxy": {"host": FULL[0]}})
    ),
)
envoy_filter = some(
    workloadSelector=labels.map(lambda found: {"labels": found}),
    priority=st.sampled_from((-1, 1)),
    configPatches=st.lists(
        st.builds(
            lambda match, seconds: {
                "applyTo": "CLUSTER",
                "match": match,
                "patch": {"operation": "MERGE", "value": {"connect_timeout": f"{seconds}s"}},
            },
            some(
                proxy=st.sampled_from(({"proxyVersion": "^1"}, {"metadata": {"a": "b"}})),
                context=st.sampled_from(("GATEWAY", "WAYPOINT")),
            ),
            st.sampled_from((1, 2)),
        ),
        max_size=2,
    ),
)
SPECS = {
    "Sidecar": sidecar,
    "VirtualService": virtual_service,
    "DestinationRule": destination_rule,
    "Gateway": gateway,
    "PeerAuthentication": peer_authentication,
    "EnvoyFilter": envoy_filter,
    "AuthorizationPolicy": authorization_policy,
    "RequestAuthentication": request_authentication,
}

Change = Callable[["World"], set[Fact]]


class World:
    """The Snapshot under test, and what it was told, from which the oracle is built."""

    def __init__(self) -> None:
        self.snapshot = Snapshot()
        self.objects: dict[tuple[str, str, str], Object] = {}
        self.services: dict[str, ir.Service] = {}
        self.endpoints: dict[str, tuple[ir.Endpoint, ...]] = {}
        self.keys: dict[str, str] = {}

    def oracle(self) -> Snapshot:
        made = Snapshot()
        for service in self.services.values():
            made.put_service(service)
        for hostname, endpoints in self.endpoints.items():
            made.put_endpoints(hostname, endpoints)
        for _, one in sorted(self.objects.items()):
            made.put_config(one)
        for uri, keys in self.keys.items():
            made.request_authentications.put_key_set(KeySource(uri), keys)
        return made


class Put:
    def __init__(self, one: Object) -> None:
        self.ref = (one.kind, one.metadata.namespace, one.metadata.name)
        self.one = one

    def __repr__(self) -> str:
        return f"Put({self.one!r})"

    def __call__(self, world: World) -> set[Fact]:
        world.objects[self.ref] = self.one
        return world.snapshot.put_config(self.one)


class Remove:
    def __init__(self, kind: str, namespace: str, name: str) -> None:
        self.ref = (kind, namespace, name)

    def __repr__(self) -> str:
        return f"Remove{self.ref}"

    def __call__(self, world: World) -> set[Fact]:
        world.objects.pop(self.ref, None)
        return world.snapshot.remove_config(*self.ref)


class PutService:
    ref = None

    def __init__(
        self,
        hostname: str,
        ports: tuple[int, ...],
        namespace: str,
        export: tuple[str, ...],
        alias_of: str = "",
    ) -> None:
        self.service = ir.Service(
            hostname=hostname,
            name=hostname,
            namespace=namespace,
            ports=tuple(ir.ServicePort(name="p", number=port, protocol=ir.Protocol.HTTP) for port in ports),
            export_to=export,
            alias_of=alias_of,
        )

    def __repr__(self) -> str:
        return f"PutService({self.service!r})"

    def __call__(self, world: World) -> set[Fact]:
        if self.service.alias_of and world.services.get(self.service.hostname) != self.service:
            world.endpoints.pop(self.service.hostname, None)
        world.services[self.service.hostname] = self.service
        return world.snapshot.put_service(self.service)


class RemoveService:
    ref = None

    def __init__(self, hostname: str) -> None:
        self.hostname = hostname

    def __repr__(self) -> str:
        return f"RemoveService({self.hostname!r})"

    def __call__(self, world: World) -> set[Fact]:
        world.services.pop(self.hostname, None)
        world.endpoints.pop(self.hostname, None)
        return world.snapshot.remove_service(self.hostname)


class PutEndpoints:
    ref = None

    def __init__(self, hostname: str, ports: list[int]) -> None:
        self.hostname = hostname
        self.endpoints = tuple(ir.Endpoint(address="10.0.0.1", port=port, port_name="p") for port in ports)

    def __repr__(self) -> str:
        return f"PutEndpoints({self.hostname!r}, {self.endpoints!r})"

    def __call__(self, world: World) -> set[Fact]:
        world.endpoints[self.hostname] = self.endpoints
        return world.snapshot.put_endpoints(self.hostname, self.endpoints)


class PutKeys:
    ref = None

    def __init__(self, uri: str, keys: str) -> None:
        self.uri, self.keys = uri, keys

    def __repr__(self) -> str:
        return f"PutKeys({self.uri!r}, {self.keys!r})"

    def __call__(self, world: World) -> set[Fact]:
        world.keys[self.uri] = self.keys
        return world.snapshot.request_authentications.put_key_set(KeySource(self.uri), self.keys)


full = st.sampled_from(FULL)
puts = st.sampled_from(sorted(SPECS)).flatmap(
    lambda kind: st.builds(
        lambda place, spec, created: Put(obj(kind, place[1], spec, namespace=place[0], created=created)),
        st.sampled_from(PLACES[kind]),
        SPECS[kind],
        created,
    )
)
changes: st.SearchStrategy[Any] = st.one_of(
    puts,
    puts,
    puts.filter(lambda put: put.ref[0] == "VirtualService"),
    st.sampled_from([(kind, *place) for kind, places in PLACES.items() for place in places]).map(
        lambda ref: Remove(*ref)
    ),
    st.sampled_from(("", "rootNamespace: shop", "defaultHttpRetryPolicy: {attempts: 9}")).map(
        lambda text: Put(mesh_config(text))
    ),
    st.just(Remove("ConfigMap", "istio-system", "istio")),
    st.builds(
        PutService,
        full,
        st.sampled_from(((80,), (81,), (80, 81))),
        namespaces,
        st.sampled_from((("*",), ("shop",), ("~",))),
    ),
    st.builds(PutService, full, st.just(()), namespaces, st.just(("*",)), full),
    st.builds(PutKeys, st.sampled_from(KEYS_AT), st.sampled_from(("", "one", "two"))),
    st.builds(RemoveService, full),
    st.builds(PutEndpoints, full, st.lists(st.sampled_from(PORTS), max_size=2)),
)


def scopes(made: Snapshot) -> list[Scope]:
    return [
        scope_of(Reader(made), type=type, namespace=namespace, labels=of)
        for type in ProxyType
        for namespace in NAMESPACES
        for of in LABELS
    ]


Answers = dict[tuple[Any, ...], tuple[Any, frozenset[Fact]]]


def answers(made: Snapshot, seen: list[Scope]) -> Answers:
    """Every question that a Reader takes, with the facts it read."""
    found: Answers = {}

    def ask(question: str, *args: Any) -> None:
        reader = Reader(made)
        found[question, *args] = (getattr(reader, question)(*args), frozenset(reader.facts))

    for question in ("hosts", "virtual_hosts", "mesh", "traits"):
        ask(question)
    for namespace in NAMESPACES:
        for of in LABELS:
            ask("selectors", namespace, of)
            ask("peer_mtls", namespace, of, 80)
            ask("authorization", namespace, of)
            ask("token_rules", namespace, of)
    for host in FULL:
        ask("service", host)
        ask("endpoints", host)
        ask("concrete", host)
        ask("aliases", host)
    for scope in dict.fromkeys(seen):
        ask("outbound", scope)
        ask("looks_up")
        for host in Reader(made).virtual_hosts():
            ask("stands_alone", scope, host)
        ask("envoy_filters", scope)
        ask("gateway_listeners", scope)
        ask("gateways_refused", scope)
        ask("auto_passthrough", scope)
        for edge in ("default/a", "shop/a", "shop/b"):
            server = ir.GatewayServer(
                gateway=edge, name="", port=80, protocol=ir.Protocol.TCP, hosts=("*/*",)
            )
            for question in ("gateway_hosts", "gateway_tcp", "gateway_tls"):
                ask(question, scope, server)
        for host in FULL:
            ask("visible", scope, host)
            ask("reachable", scope, host)
            ask("destination", scope, host)
            for port in PORTS:
                ask("visible_at", scope, host, port)
                ask("route_table", scope, host, port)
                ask("tcp_destinations", scope, host, port)
                ask("tcp_routes", scope, host, port)
    return found


def spoken_of(world: World, change: Any) -> frozenset[Fact]:
    if isinstance(change, (Put, Remove)):
        return world.snapshot.facts_of(*change.ref)
    if isinstance(change, PutKeys):
        return frozenset((Fact(FactKind.KEY_SET, change.uri),))
    hostname = change.service.hostname if isinstance(change, PutService) else change.hostname
    own = {Fact(FactKind.SERVICE, hostname), Fact(FactKind.ENDPOINTS, hostname)}
    own |= {Fact(FactKind.SERVICE, one) for one in world.snapshot.aliases.chain(hostname)}
    return frozenset(own | {Fact(FactKind.ROUTES, wildcard) for wildcard in patterns(hostname)[1:]})


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.lists(changes, min_size=3, max_size=15))
def test_a_change_tells_exactly_the_facts_that_changed(steps: list[Any]) -> None:
    check(steps)


@pytest.mark.long
@pytest.mark.timeout(1800)
@settings(
    max_examples=count(full=3000, short=40), deadline=None, suppress_health_check=[HealthCheck.too_slow]
)
@given(st.lists(changes, min_size=3, max_size=25))
def test_a_change_tells_exactly_the_facts_that_changed_in_many_meshes(steps: list[Any]) -> None:
    check(steps)


def check(steps: list[Any]) -> None:
    world = World()
    before = answers(world.snapshot, scopes(world.snapshot))
    for change in steps:
        speaks_before = spoken_of(world, change)
        told = change(world)
        assert world.snapshot.rejected == {}
        assert told <= speaks_before | spoken_of(world, change) | FREE_FACTS
        oracle = world.oracle()
        assert scopes(world.snapshot) == scopes(oracle)
        after = answers(world.snapshot, scopes(world.snapshot))
        expected = answers(oracle, scopes(oracle))
        assert {key: answer for key, (answer, _) in after.items()} == {
            key: answer for key, (answer, _) in expected.items()
        }
        for key in before.keys() & after.keys():
            answer, read = before[key]
            if after[key][0] != answer:
                assert told & read, f"{key} changed, but of {read} none was told: {told}"
        assert change(world) == set()
        before = after


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.lists(changes, min_size=1, max_size=8))
def test_what_an_object_speaks_of_and_who_speaks_of_a_fact_agree(steps: list[Any]) -> None:
    world = World()
    for change in steps:
        change(world)
    made = world.snapshot
    for ref in world.objects:
        for fact in made.facts_of(*ref):
            assert ref in made.contributors(fact), (ref, fact)
    for hostname in world.services:
        for ref in made.contributors(Fact(FactKind.SERVICE, hostname)):
            assert Fact(FactKind.SERVICE, hostname) in made.facts_of(*ref)


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.lists(puts, min_size=2, max_size=8), st.randoms(use_true_random=False))
def test_the_order_of_arrival_makes_no_difference(steps: list[Put], random: Any) -> None:
    last = {step.ref: step for step in steps}
    one, other = World(), World()
    for step in last.values():
        step(one)
    shuffled = list(last.values())
    random.shuffle(shuffled)
    for step in shuffled:
        step(other)
    left, right = answers(one.snapshot, scopes(one.snapshot)), answers(other.snapshot, scopes(other.snapshot))
    assert {key: answer for key, (answer, _) in left.items()} == {
        key: answer for key, (answer, _) in right.items()
    }
