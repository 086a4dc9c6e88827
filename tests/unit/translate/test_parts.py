"""Routes in parts: where a host belongs, and that a change of one host is a change of its part alone."""

from __future__ import annotations

from collections import Counter

import pytest
from msgspec.structs import replace

from argosy.model import ir
from argosy.model.facts import Fact, FactKind
from argosy.model.ir import Protocol
from argosy.model.reader import Reader
from argosy.model.scope import Interception, ProxyType, Scope, scope_of
from argosy.model.snapshot import Snapshot
from argosy.translate import parts
from argosy.translate.compiler import Compiler
from argosy.translate.dump import dump
from argosy.translate.proxy import Proxy
from argosy.translate.resource import LISTENER, ROUTE, SCOPE, Resource
from tests.unit.translate.mesh import SUFFIX, decoded, endpoint, put, service

PARTED = Scope(parted=("http_proxy",))
WHOLE = Scope()
EDGE = Scope(type=ProxyType.ROUTER)
BY_PORT = Scope(interception=Interception.REDIRECT, parted=("9080",))


def mesh(size: int = 40) -> Snapshot:
    snapshot = Snapshot(ir.Mesh())
    for number in range(size):
        name = f"svc-{number}"
        snapshot.put_service(service(name, (9080, Protocol.HTTP), (6379, Protocol.TCP)))
        snapshot.put_endpoints(f"{name}.{SUFFIX}", (endpoint(name, "v1", 9080, number + 1),))
    return snapshot


WILD = """
apiVersion: networking.istio.io/v1
kind: ServiceEntry
metadata: {name: wild, namespace: default}
spec: {hosts: ["*.wild.example"], resolution: NONE, ports: [{number: 80, name: http, protocol: HTTP}]}
"""


def virtual_service(timeout: int) -> str:
    return f"""
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {{name: v, namespace: default}}
spec: {{hosts: [svc-7], http: [{{timeout: {timeout}s, route: [{{destination: {{host: svc-1}}}}]}}]}}
"""


# --- where a host belongs ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "names",
    [
        ("reviews", "reviews:9080", "REVIEWS", "reviews.shop", "Reviews.shop.svc", f"reviews.{SUFFIX}:9080"),
        ("10.96.0.7", "10.96.0.7:80"),
        ("a1-b_2.x", "a1-b_2"),
    ],
)
def test_all_names_of_a_service_are_of_one_part(names: tuple[str, ...]) -> None:
    assert len({parts.part_of(name) for name in names}) == 1


def test_what_is_no_label_is_of_some_part() -> None:
    for odd in ("", ":", ":80", ".", "a.", "[::1]:80", "é.example", "*", "a b", "x" * 10_000):
        assert parts.part_of(odd) in parts.ALL


FAMILIES: dict[str, list[str]] = {
    "numbered, of one length": [f"service-{number:05}" for number in range(10_000)],
    "numbered": [f"svc-{number}" for number in range(10_000)],
    "addresses": [f"10.96.{number // 250}.{number % 250}:80" for number in range(10_000)],
    "two numbers": [f"team-{number % 100}-app-{number // 100}" for number in range(10_000)],
}


@pytest.mark.parametrize("family", FAMILIES)
def test_hosts_are_spread_evenly(family: str) -> None:
    """What a change costs is the largest part: names that are alike must not meet in one."""
    found = Counter(map(parts.part_of, FAMILIES[family]))
    assert len(found) == parts.PARTS
    assert max(found.values()) < 2.5 * len(FAMILIES[family]) / parts.PARTS


def test_wildcards_are_in_all_parts() -> None:
    for domain in ("*", "*.example.com", "*.example.com:80", "www.*"):
        assert parts.of_domains(("a.b", domain)) == parts.ALL
    assert parts.of_domains(("reviews", "reviews.shop:9080")) == {parts.part_of("reviews")}
    assert parts.of_domains(("reviews", "10.0.0.1")) == {parts.part_of("reviews"), parts.part_of("10.0.0.1")}


def test_a_part_knows_the_whole() -> None:
    assert parts.whole("http_proxy/17") == "http_proxy"
    for whole in (
        "http_proxy",
        "9080",
        "unix:///tmp/a/5",
        "inbound|80||",
        "upstream|80|a.b",
        "https.443.a.b.c",
    ):
        assert parts.whole(whole) == whole


# --- who has them -----------------------------------------------------------------------------------------------------


def test_a_sidecar_that_starts_among_many_hosts_has_parts() -> None:
    few, many = mesh(parts.MANY), mesh(parts.MANY + 1)
    assert parts.wanted(few, WHOLE) == ()
    assert parts.wanted(many, WHOLE) == ("http_proxy",)
    assert parts.wanted(many, Scope(interception=Interception.REDIRECT)) == ("9080",), "TCP has no routes"
    assert parts.wanted(many, Scope(type=ProxyType.ROUTER)) == (), "no Gateway serves anything"
    assert parts.wanted(many, Scope(sidecar="default/bounded")) == ()


def test_parts_are_part_of_the_scope() -> None:
    reader = Reader(mesh(1))
    assert scope_of(reader, namespace="default", parted=("b", "a")).parted == ("a", "b")


GATEWAY = """
apiVersion: networking.istio.io/v1
kind: Gateway
metadata: {name: edge, namespace: default}
spec:
  servers:
  - {port: {number: 80, name: http, protocol: HTTP}, hosts: ["*"]}
  - {port: {number: 81, name: bound, protocol: HTTP}, bind: 127.0.0.1, hosts: ["*"]}
  - {port: {number: 82, name: tcp, protocol: TCP}, hosts: ["*"]}
  - {port: {number: 443, name: https, protocol: HTTPS}, hosts: ["*"], tls: {mode: SIMPLE, credentialName: c}}
"""


def at_a_gateway(names: int, wildcards: int = 0) -> Snapshot:
    """With VirtualServices for so many hosts bound to it."""
    hosts = [f"h{number}.example" for number in range(names)]
    hosts += [f"*.w{number}.example" for number in range(wildcards)]
    snapshot = mesh(1)
    put(snapshot, GATEWAY)
    for number, host in enumerate(hosts):
        put(snapshot, bound(number, host))
    return snapshot


def bound(number: int, host: str, match: str = "") -> str:
    return f"""
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {{name: v{number}, namespace: default}}
spec: {{hosts: ["{host}"], gateways: [edge], http: [{{{match}redirect: {{uri: /}}}}]}}
"""


def virtual_hosts(held: dict[str, dict[str, Resource]]) -> dict[int, list[str]]:
    """Of each part of the gateway's routes."""
    made = {part: decoded(held[ROUTE][f"http.80/{part}"]) for part in parts.ALL}
    return {part: [host["name"] for host in one.get("virtual_hosts", ())] for part, one in made.items()}


def test_a_gateway_that_starts_with_many_hosts_bound_has_parts() -> None:
    assert parts.wanted(at_a_gateway(parts.MANY), EDGE) == ()
    assert parts.wanted(at_a_gateway(parts.MANY + 1), EDGE) == ("http.80",), "plain HTTP of a port"
    assert parts.wanted(at_a_gateway(parts.MANY + 1, parts.FEW), EDGE) == ("http.80",)
    assert parts.wanted(at_a_gateway(parts.MANY + 1, parts.FEW + 1), EDGE) == (), "each stands in all parts"
    assert parts.plain_routes(at_a_gateway(1), EDGE) == ("http.80",)


def test_a_gateway_s_parts_hold_what_the_whole_holds_and_its_listener_chooses_among_them() -> None:
    snapshot = at_a_gateway(5, 1)
    scope = replace(EDGE, parted=("http.80",))
    compiler = Compiler(snapshot)
    held = compiler.shared(scope).resources
    assert held[SCOPE].keys() == {f"http.80/{part}" for part in parts.ALL}
    (of_one,) = parts.of_domains(["h3.example"])
    assert {host["domains"][0] for host in decoded(held[ROUTE][f"http.80/{of_one}"])["virtual_hosts"]} == {
        "h3.example",
        "*.w0.example",
    } | {f"h{number}.example" for number in range(5) if parts.part_of(f"h{number}") == of_one}
    listener = decoded(
        compiler.own(Proxy(namespace="default", name="gw", scope=scope)).resources[LISTENER]["127.0.0.1_80"]
    )
    manager = listener["filter_chains"][0]["filters"][0]["typed_config"]
    assert manager["scoped_routes"]["name"] == "http.80"
    for number in (5, 0, 1, 2, 3, 4):
        compiler.apply(snapshot.remove_config("VirtualService", "default", f"v{number}"))
    assert virtual_hosts(held) == {part: ["blackhole:80"] for part in parts.ALL}, "nothing is served at all"
    compiler.apply(put(snapshot, bound(7, "h7.example")))
    of_seven = parts.part_of("h7.example")
    others: dict[int, list[str]] = {part: [] for part in parts.ALL if part != of_seven}
    assert virtual_hosts(held) == {**others, of_seven: ["h7.example:80"]}
    compiler.apply(put(snapshot, bound(8, "h8.example", "match: [{port: 81}], ")))
    slots = compiler.slots_for({Fact(FactKind.VIRTUAL_SERVICE, "default/v8")})
    at = {name for _, kind, name in slots if kind == ROUTE and name.startswith("http.80/")}
    assert at == {parts.name("http.80", parts.part_of("h8.example"))}, (
        "where it would be, were it for the port"
    )
    compiler.apply(snapshot.remove_config("Gateway", "default", "edge"))
    assert not held[ROUTE]
    assert not held[SCOPE]


# --- views ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("scope", "route"), [(PARTED, "http_proxy"), (BY_PORT, "9080")])
def test_the_parts_hold_what_the_whole_holds(scope: Scope, route: str) -> None:
    snapshot = mesh()
    put(snapshot, WILD)
    put(snapshot, virtual_service(1))
    whole = Compiler(snapshot).shared(Scope(interception=scope.interception)).resources
    parted = Compiler(snapshot).shared(scope).resources
    assert parted[SCOPE].keys() == {f"{route}/{part}" for part in parts.ALL}
    expected = {one["name"]: one for one in decoded(whole[ROUTE][route])["virtual_hosts"]}
    found: dict[str, set[int]] = {}
    for part in parts.ALL:
        made = decoded(parted[ROUTE][f"{route}/{part}"])
        assert made["request_headers_to_remove"] == [parts.HEADER]
        for one in made["virtual_hosts"]:
            assert one == expected[one["name"]]
            found.setdefault(one["name"], set()).add(part)
        assert made["virtual_hosts"][-1]["name"] == "allow_any"
    assert found.keys() == expected.keys()
    for name, at in found.items():
        assert at == parts.of_domains(expected[name]["domains"])
    others = {name for name in whole[ROUTE] if name != route}
    assert {name: whole[ROUTE][name] for name in others} == {name: parted[ROUTE][name] for name in others}


def test_a_change_of_a_host_changes_its_part() -> None:
    snapshot = mesh()
    compiler = Compiler(snapshot)
    compiler.shared(PARTED)
    at = f"http_proxy/{parts.part_of('svc-7')}"
    for timeout in (1, 2):
        ((_, changes),) = compiler.apply(put(snapshot, virtual_service(timeout)))
        assert {kind: set(up) for kind, (up, _) in changes.items()} == {ROUTE: {at}}
    assert compiler.slots_for({Fact(FactKind.ROUTES, f"svc-7.{SUFFIX}")}) == {
        (compiler.shared(PARTED), ROUTE, at)
    }
    ((_, changes),) = compiler.apply(snapshot.remove_service(f"svc-7.{SUFFIX}"))
    assert changes[ROUTE][0].keys() == {at}, "all parts stay, whatever they hold"
    assert changes[ROUTE][1] == set()


def test_a_port_without_hosts_has_no_parts() -> None:
    snapshot = mesh(1)
    compiler = Compiler(snapshot)
    view = compiler.shared(BY_PORT)
    assert view.resources[SCOPE]
    compiler.apply(snapshot.remove_service(f"svc-0.{SUFFIX}"))
    assert view.resources[SCOPE] == {}
    assert not any(name.startswith("9080") for name in view.resources[ROUTE])
    compiler.apply(snapshot.put_service(service("late", (9080, Protocol.HTTP))))
    assert len(view.resources[SCOPE]) == parts.PARTS
    late = decoded(view.resources[ROUTE][f"9080/{parts.part_of('late')}"])
    assert late["virtual_hosts"][0]["name"] == f"late.{SUFFIX}:9080"


def test_a_host_that_cannot_be_translated_is_reported_where_it_would_stand(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    from argosy.translate import outbound

    snapshot, working = mesh(), outbound.virtual_host
    compiler = Compiler(snapshot)
    compiler.shared(PARTED)

    def raising(reader: Reader, scope: Scope, host: str, *rest: object) -> object:
        if host.startswith("svc-7."):
            raise ValueError("not this one")
        return working(reader, scope, host, *rest)  # type: ignore[arg-type]

    monkeypatch.setattr(outbound, "virtual_host", raising)
    compiler.apply(put(snapshot, virtual_service(1)))
    assert (ROUTE, f"http_proxy/{parts.part_of('svc-7')}") in compiler.errors


def test_listeners_ask_for_scopes() -> None:
    own = Compiler(mesh(1)).own(Proxy(namespace="default", name="c", scope=PARTED, outbound_port=1))
    for name in ("outbound_proxy", "connect_http"):
        chain = decoded(own.resources[LISTENER][name])["filter_chains"][0]
        manager = chain["filters"][0]["typed_config"]
        assert "rds" not in manager
        assert manager["scoped_routes"]["name"] == "http_proxy"
        (early,) = manager["early_header_mutation_extensions"]
        added = early["typed_config"]["mutations"][-1]
        assert added["append"]["append_action"] == "OVERWRITE_IF_EXISTS_OR_ADD", (
            "whatever the application says"
        )


def test_a_dump_shows_scopes_and_parts() -> None:
    made = dump(mesh(1), Proxy(namespace="default", name="c", scope=PARTED, outbound_port=1))
    assert len(made["scopes"]) == parts.PARTS
    assert {one["name"] for one in made["routes"]} == {
        one["route_configuration_name"] for one in made["scopes"]
    }
    assert "scopes" not in dump(mesh(1), Proxy(namespace="default", name="c", scope=WHOLE, outbound_port=1))


# --- EnvoyFilters -----------------------------------------------------------------------------------------------------

PATCHES = """
apiVersion: networking.istio.io/v1alpha3
kind: EnvoyFilter
metadata: {name: e, namespace: default}
spec:
  configPatches:
  - applyTo: ROUTE_CONFIGURATION
    match: {context: SIDECAR_OUTBOUND, routeConfiguration: {name: http_proxy}}
    patch: {operation: MERGE, value: {name: http_proxy, response_headers_to_remove: [x-secret]}}
  - applyTo: VIRTUAL_HOST
    match: {context: SIDECAR_OUTBOUND, routeConfiguration: {vhost: {name: "svc-7.default.svc.cluster.local:9080"}}}
    patch: {operation: MERGE, value: {domains: ["seven.example"]}}
  - applyTo: VIRTUAL_HOST
    match: {context: SIDECAR_OUTBOUND, routeConfiguration: {name: http_proxy}}
    patch:
      operation: ADD
      value: {name: added, domains: ["added.example"], routes: [{match: {prefix: /}, direct_response: {status: 200}}]}
"""


def test_patches_of_the_whole_hold_for_its_parts() -> None:
    snapshot = mesh()
    compiler = Compiler(snapshot)
    view = compiler.shared(PARTED)
    compiler.apply(put(snapshot, PATCHES))
    assert not list(compiler.faults)
    at: dict[str, set[int]] = {}
    for part in parts.ALL:
        made = decoded(view.resources[ROUTE][f"http_proxy/{part}"])
        assert made["name"] == f"http_proxy/{part}"
        assert made["response_headers_to_remove"] == ["x-secret"]
        for host in made["virtual_hosts"]:
            at.setdefault(host["name"], set()).add(part)
    assert at["added"] == parts.ALL
    seven = {parts.part_of("svc-7"), parts.part_of("seven.example")}
    assert len(seven) == 2
    assert at[f"svc-7.{SUFFIX}:9080"] == seven, "it is found by the name that the patch gave it"
    compiler.apply(snapshot.remove_config("EnvoyFilter", "default", "e"))
    anew = Compiler(snapshot).shared(PARTED)
    assert view.resources[ROUTE] == anew.resources[ROUTE]
