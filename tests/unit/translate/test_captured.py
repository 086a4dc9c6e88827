"""What captured listeners tell apart: blocks of addresses, and the subnets of routes."""

from __future__ import annotations

from typing import Any

import pytest
from msgspec.structs import replace

from argosy.model import ir
from argosy.model.ir import Protocol, Resolution
from argosy.model.reader import Reader
from argosy.model.scope import Interception, ProxyType, Scope, scope_of
from argosy.model.snapshot import Snapshot
from argosy.translate import outbound
from argosy.translate.compiler import Compiler
from argosy.translate.proxy import Proxy
from argosy.translate.resource import CLUSTER, LISTENER, ROUTE
from tests.unit.translate.mesh import decoded, put, service

REDIRECT = Scope(interception=Interception.REDIRECT)
Chains = dict[tuple[str, str, str], str]


def entry(name: str, *addresses: str, protocol: Protocol = Protocol.TCP, created: str = "") -> ir.Service:
    return service(
        name,
        (9999, protocol),
        hostname=f"{name}.example",
        addresses=addresses,
        resolution=Resolution.NONE,
        kubernetes=False,
        external=True,
        created=created,
    )


def mesh(*services: ir.Service) -> Snapshot:
    snapshot = Snapshot()
    for one in services:
        snapshot.put_service(one)
    return snapshot


def listeners(snapshot: Snapshot) -> dict[str, dict[str, Any]]:
    made = Compiler(snapshot).shared(REDIRECT).resources.get(LISTENER, {})
    return {name: decoded(one) for name, one in made.items()}


def chains(snapshot: Snapshot, name: str = "0.0.0.0_9999") -> Chains:
    """(block, server name, application protocols) -> the host of the cluster; HTTP: `http`; the default: *."""
    found: Chains = {}
    listener = listeners(snapshot)[name]
    for chain in listener.get("filter_chains", ()):
        match = chain.get("filter_chain_match", {})
        blocks = [f"{one['address_prefix']}/{one['prefix_len']}" for one in match.get("prefix_ranges", ())]
        for block in blocks or [""]:
            for sni in match.get("server_names", [""]):
                key = (block, sni, ",".join(match.get("application_protocols", ())))
                assert key not in found, "Envoy refuses two chains with one match"
                found[key] = _to(chain)
    if "default_filter_chain" in listener:
        found["*", "", ""] = _to(listener["default_filter_chain"])
    return found


def _to(chain: dict[str, Any]) -> str:
    config = chain["filters"][-1]["typed_config"]
    return str(config["cluster"].rpartition("|")[2]) if "cluster" in config else "http"


# --- blocks ---------------------------------------------------------------------------------------------------------


def test_services_are_told_apart_by_their_blocks() -> None:
    snapshot = mesh(entry("one", "10.0.0.0/8"), entry("two", "10.1.2.3/16", "192.168.0.0/24"))
    assert chains(snapshot) == {
        ("10.0.0.0/8", "", ""): "one.example",
        ("10.1.0.0/16", "", ""): "two.example",
        ("192.168.0.0/24", "", ""): "two.example",
        ("*", "", ""): "PassthroughCluster",
    }


@pytest.mark.parametrize(("first", "second"), [("2020", "2021"), ("2021", "2020")])
def test_the_older_has_a_block(first: str, second: str) -> None:
    snapshot = mesh(
        entry("one", "10.1.0.1/16", created=first), entry("two", "10.1.9.9/16", "10.2.0.0/16", created=second)
    )
    found = chains(snapshot)
    assert found["10.1.0.0/16", "", ""] == ("one.example" if first < second else "two.example")
    assert found["10.2.0.0/16", "", ""] == "two.example"


def test_addresses_beside_blocks_have_listeners_of_their_own() -> None:
    snapshot = mesh(entry("one", "10.0.0.1", "10.1.0.0/16"))
    assert set(listeners(snapshot)) == {"10.0.0.1_9999", "0.0.0.0_9999"}
    assert chains(snapshot, "10.0.0.1_9999") == {("", "", ""): "one.example"}


def test_a_service_without_an_address_has_the_rest() -> None:
    found = chains(mesh(entry("one", "10.0.0.0/8"), entry("two")))
    assert found == {("10.0.0.0/8", "", ""): "one.example", ("*", "", ""): "two.example"}
    http = chains(mesh(entry("one", "10.0.0.0/8"), entry("web", protocol=Protocol.HTTP)))
    assert http == {("10.0.0.0/8", "", ""): "one.example", ("", "", ""): "http"}


def test_http_goes_by_its_host_whatever_its_block() -> None:
    assert chains(mesh(entry("web", "10.0.0.0/8", protocol=Protocol.HTTP))) == {("", "", ""): "http"}


def test_in_a_block_protocols_and_server_names_are_told_apart_as_elsewhere() -> None:
    detected = entry("auto", "10.1.0.0/16", protocol=Protocol.UNSUPPORTED)
    snapshot = mesh(detected, entry("tls", "10.1.0.0/16", protocol=Protocol.TLS))
    assert chains(snapshot) == {
        ("10.1.0.0/16", "", "http/1.0,http/1.1,h2c"): "http",
        ("10.1.0.0/16", "", ""): "auto.example",
        ("10.1.0.0/16", "tls.example", ""): "tls.example",
        ("*", "", ""): "PassthroughCluster",
    }
    inspected = [one["name"] for one in listeners(snapshot)["0.0.0.0_9999"]["listener_filters"]]
    assert inspected == ["envoy.filters.listener.http_inspector", "envoy.filters.listener.tls_inspector"]


def test_blocks_come_and_go() -> None:
    snapshot = mesh(entry("one", "10.0.0.0/8"), entry("two", "10.1.0.0/16"))
    compiler = Compiler(snapshot)
    view = compiler.shared(REDIRECT)

    def clusters() -> str:
        made = view.resources[LISTENER].get("0.0.0.0_9999")
        return str(decoded(made)) if made is not None else ""

    compiler.apply(snapshot.put_service(entry("two", "10.1.0.1")))
    assert "two.example" not in clusters()
    compiler.apply(snapshot.remove_service("one.example"))
    assert clusters() == ""
    compiler.apply(snapshot.put_service(entry("two", "10.2.0.0/16")))
    assert "two.example" in clusters()


# --- names under a wildcard -----------------------------------------------------------------------------------------


def dynamic(protocol: Protocol) -> ir.Service:
    return service(
        "wild",
        (9999, protocol),
        hostname="*.wild.example",
        resolution=Resolution.DYNAMIC_DNS,
        kubernetes=False,
        external=True,
    )


def filters(snapshot: Snapshot) -> list[str]:
    """Of HTTP, or of the chain for the wildcard."""
    chain = listeners(snapshot)["0.0.0.0_9999"]["filter_chains"][0]
    config = chain["filters"][-1]["typed_config"]
    return [one["name"] for one in config.get("http_filters", chain["filters"])]


def test_a_host_under_a_wildcard_is_looked_up_by_its_name_in_the_request() -> None:
    web = entry("web", protocol=Protocol.HTTP)
    assert "envoy.filters.http.dynamic_forward_proxy" not in filters(mesh(web))
    assert filters(mesh(web, dynamic(Protocol.HTTP)))[-2:] == [
        "envoy.filters.http.dynamic_forward_proxy",
        "envoy.filters.http.router",
    ]


def ports_said(route: dict[str, Any]) -> dict[str, str]:
    """What a route, or a part of one, tells the forward proxy."""
    config = route["typed_per_filter_config"]["argosy.destination"]
    return {
        one["object_key"].rpartition(".")[2]: one["format_string"]["text_format_source"]["inline_string"]
        for one in config["on_request_headers"]
    }


def test_it_is_sought_at_the_destinations_port() -> None:
    port = ir.ServicePort(name="tls", number=8443, protocol=Protocol.HTTP, target_port=444)
    wild = dynamic(Protocol.HTTP)
    wild = replace(wild, ports=(*wild.ports, port))
    snapshot = mesh(entry("web", protocol=Protocol.HTTP), wild)
    put(
        snapshot,
        """
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: wild, namespace: default}
spec:
  hosts: ["*.wild.example"]
  http:
  - match: [{uri: {exact: /part}}]
    route:
    - {destination: {host: "*.wild.example", port: {number: 8443}}, weight: 20}
    - {destination: {host: web.example, port: {number: 9999}}, weight: 80}
  - match: [{uri: {exact: /other}}]
    rewrite: {authority: "a.wild.example:1"}
    route: [{destination: {host: "*.wild.example", port: {number: 8443}}}]
  - route: [{destination: {host: "*.wild.example", port: {number: 9999}}}]
""",
    )
    made = decoded(Compiler(snapshot).shared(REDIRECT).resources[ROUTE]["9999"])
    (host,) = (one for one in made["virtual_hosts"] if one["name"] == "*.wild.example:9999")
    part, other, rest = host["routes"]
    looked_up, usual = part["route"]["weighted_clusters"]["clusters"]
    asked_for = "%DYNAMIC_METADATA(argosy.forward_proxy:host)%"
    assert ports_said(looked_up) == {"dynamic_host": asked_for, "dynamic_port": "444"}
    assert "typed_per_filter_config" not in usual
    assert ports_said(other) == {"dynamic_host": "a.wild.example", "dynamic_port": "444"}
    assert ports_said(rest) == {"dynamic_host": asked_for, "dynamic_port": "9999"}
    assert all("typed_per_filter_config" not in one for one in (part, *_routes_of(made, "web.example:9999")))


def _routes_of(made: dict[str, Any], name: str) -> list[dict[str, Any]]:
    return [route for host in made["virtual_hosts"] if host["name"] == name for route in host["routes"]]


def test_or_in_the_tls_hello() -> None:
    snapshot = mesh(dynamic(Protocol.TLS))
    assert chains(snapshot)["", "*.wild.example", ""] == "*.wild.example"
    assert filters(snapshot) == [
        "envoy.filters.network.sni_dynamic_forward_proxy",
        "envoy.filters.network.tcp_proxy",
    ]


def test_at_a_listener_of_a_sidecar_too() -> None:
    snapshot = mesh(dynamic(Protocol.HTTP))
    put(
        snapshot,
        """
apiVersion: networking.istio.io/v1
kind: Sidecar
metadata: {name: s, namespace: default}
spec: {egress: [{port: {number: 9999, protocol: HTTP, name: http}, bind: 127.0.0.1, captureMode: NONE, hosts: ["./*"]}]}
""",
    )
    scope = Scope(interception=Interception.REDIRECT, sidecar="default/s")
    found = Compiler(snapshot).shared(scope).resources[LISTENER]
    made = found["127.0.0.1_9999"]
    assert "envoy.filters.http.dynamic_forward_proxy" in str(decoded(made))


def test_a_listener_that_a_sidecar_binds_takes_what_is_captured_there() -> None:
    """In whatever order they come: one name is one listener."""
    sidecar = """
apiVersion: networking.istio.io/v1
kind: Sidecar
metadata: {name: s, namespace: default}
spec: {egress: [{port: {number: 9999, protocol: TCP, name: tcp}, bind: 0.0.0.0, captureMode: NONE, hosts: ["./*"]}]}
"""
    scope = Scope(interception=Interception.REDIRECT, sidecar="default/s")
    first = mesh(entry("one"))
    put(first, sidecar)
    wanted = Compiler(first).shared(scope).resources[LISTENER]["0.0.0.0_9999"]
    snapshot = mesh(entry("one"))
    compiler = Compiler(snapshot)
    view = compiler.shared(scope)
    captured_one = view.resources[LISTENER]["0.0.0.0_9999"]
    for _ in range(2):
        compiler.apply(put(snapshot, sidecar))
        assert view.resources[LISTENER]["0.0.0.0_9999"].version == wanted.version != captured_one.version
        compiler.apply(snapshot.remove_config("Sidecar", "default", "s"))
        assert view.resources[LISTENER]["0.0.0.0_9999"].version == captured_one.version


@pytest.mark.parametrize("bind", ["0.0.0.0", "::", "10.0.0.9"])
def test_an_ingress_port_that_listens_is_in_nobodys_way(bind: str) -> None:
    """At every address it would get what is captured for the port, and Envoy refuses one of the two."""
    snapshot = mesh(entry("one"))
    put(
        snapshot,
        f"""
apiVersion: networking.istio.io/v1
kind: Sidecar
metadata: {{name: s, namespace: default}}
spec: {{ingress: [{{port: {{number: 9999, protocol: TCP, name: tcp}}, bind: "{bind}", captureMode: NONE}}]}}
""",
    )
    scope = Scope(interception=Interception.REDIRECT, sidecar="default/s")
    compiler = Compiler(snapshot)
    assert "0.0.0.0_9999" in compiler.shared(scope).resources[LISTENER]
    own = compiler.own(Proxy(namespace="default", name="w", scope=scope, bind_address="10.0.0.9")).resources[
        LISTENER
    ]
    socket = decoded(own["inbound_9999"])["address"]["socket_address"]
    assert socket == {"address": "10.0.0.9", "port_value": 9999}


@pytest.mark.parametrize("protocol", [Protocol.HTTP, Protocol.TLS])
@pytest.mark.parametrize(
    ("scope", "kind"),
    [
        (REDIRECT, "envoy.clusters.dynamic_forward_proxy"),
        (Scope(), "envoy.clusters.dynamic_forward_proxy"),
        (Scope(type=ProxyType.ROUTER), "envoy.clusters.dynamic_forward_proxy"),
    ],
)
def test_its_cluster_looks_names_up(protocol: Protocol, scope: Scope, kind: str) -> None:
    made = Compiler(mesh(dynamic(protocol))).shared(scope).resources[CLUSTER]["outbound|9999||*.wild.example"]
    assert decoded(made).get("cluster_type", {}).get("name", "") == kind


# --- subnets of routes ----------------------------------------------------------------------------------------------

ROUTES = """
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: v, namespace: default}
spec:
  hosts: [one.example]
  tcp:
  - {match: [{destinationSubnets: [10.1.0.0/16]}], route: [{destination: {host: a.example}}]}
  - {match: [{destinationSubnets: [10.0.0.0/8, 172.16.0.0/12]}], route: [{destination: {host: b.example}}]}
  - route: [{destination: {host: c.example}}]
  tls:
  - {match: [{sniHosts: [one.example], destinationSubnets: [10.1.0.0/16]}], route: [{destination: {host: a.example}}]}
  - {match: [{sniHosts: [one.example]}], route: [{destination: {host: c.example}}]}
"""


def routed(*addresses: str, protocol: Protocol = Protocol.TCP) -> Snapshot:
    snapshot = mesh(entry("one", *addresses, protocol=protocol))
    put(snapshot, ROUTES)
    return snapshot


def test_without_an_address_routes_go_by_subnets() -> None:
    assert chains(routed()) == {
        ("10.1.0.0/16", "", ""): "a.example",
        ("10.0.0.0/8", "", ""): "b.example",
        ("172.16.0.0/12", "", ""): "b.example",
        ("*", "", ""): "c.example",
    }


def test_subnets_are_narrowed_to_the_services_blocks() -> None:
    assert chains(routed("10.0.0.0/12", "11.0.0.0/8")) == {
        ("10.1.0.0/16", "", ""): "a.example",
        ("10.0.0.0/12", "", ""): "b.example",
        ("11.0.0.0/8", "", ""): "c.example",
        ("*", "", ""): "PassthroughCluster",
    }


@pytest.mark.parametrize(
    ("address", "host"), [("10.1.0.1", "a.example"), ("10.9.0.1", "b.example"), ("11.0.0.1", "c.example")]
)
def test_an_address_is_in_a_subnet_or_not(address: str, host: str) -> None:
    assert chains(routed(address), f"{address}_9999") == {("", "", ""): host}


SOURCES = """
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: v, namespace: default}
spec:
  hosts: [one.example]
  tcp:
  - {match: [{sourceSubnet: 192.168.0.0/16}], route: [{destination: {host: a.example}}]}
  - {match: [{sourceSubnet: 192.168.9.1, destinationSubnets: [10.1.0.0/16]}], route: [{destination: {host: b.example}}]}
  - {match: [{destinationSubnets: [10.0.0.0/8]}], route: [{destination: {host: c.example}}]}
  - {match: [{sourceSubnet: 192.168.1.0/24}], route: [{destination: {host: never.example}}]}
"""


def by_source(listener: dict[str, Any]) -> Chains:
    """(block, source, "") -> the host of the cluster; the default: *."""
    found: Chains = {("*", "", ""): _to(listener["default_filter_chain"])}
    for chain in listener["filter_chains"]:
        match = chain.get("filter_chain_match", {})
        to, sources = (
            [f"{one['address_prefix']}/{one['prefix_len']}" for one in match.get(f"{of}prefix_ranges", ())]
            for of in ("", "source_")
        )
        for key in ((block, source, "") for block in to or [""] for source in sources or [""]):
            assert key not in found, "Envoy refuses two chains with one match"
            found[key] = _to(chain)
    return found


def sourced(*addresses: str) -> dict[str, dict[str, Any]]:
    snapshot = mesh(entry("one", *addresses))
    put(snapshot, SOURCES)
    return listeners(snapshot)


def test_routes_go_by_where_connections_come_from() -> None:
    """In every network of destinations, as Envoy looks at sources in the narrowest of these alone: first the narrowest
    destination decides, then the order in which the routes are written."""
    assert by_source(sourced()["0.0.0.0_9999"]) == {
        ("*", "", ""): "one.example",
        ("", "192.168.0.0/16", ""): "a.example",
        ("", "192.168.9.1/32", ""): "a.example",
        ("", "192.168.1.0/24", ""): "a.example",
        ("10.0.0.0/8", "192.168.0.0/16", ""): "c.example",
        ("10.0.0.0/8", "192.168.9.1/32", ""): "c.example",
        ("10.0.0.0/8", "192.168.1.0/24", ""): "c.example",
        ("10.0.0.0/8", "", ""): "c.example",
        ("10.1.0.0/16", "192.168.0.0/16", ""): "c.example",
        ("10.1.0.0/16", "192.168.9.1/32", ""): "b.example",
        ("10.1.0.0/16", "192.168.1.0/24", ""): "c.example",
        ("10.1.0.0/16", "", ""): "c.example",
    }


def test_sources_are_told_apart_at_one_address() -> None:
    found = by_source(sourced("10.1.0.1")["10.1.0.1_9999"])
    assert found["", "192.168.9.1/32", ""] == "b.example"
    assert found["", "192.168.0.0/16", ""] == found["*", "", ""] == "c.example"


def test_what_is_not_captured_comes_from_the_workload_itself() -> None:
    snapshot = mesh(entry("one"))
    put(snapshot, SOURCES)
    for address, host in (("192.168.9.1", "a.example"), ("172.16.0.1", "one.example"), ("", "one.example")):
        workload = ir.Workload(name="w", namespace="default", address=address)
        scope = scope_of(Reader(snapshot), namespace="default", workload=workload)
        (to,) = outbound.tcp_clusters(Reader(snapshot), scope, "one.example", 9999)
        assert to[0] == f"outbound|9999||{host}"
    captured = scope_of(Reader(snapshot), namespace="default", interception="redirect", workload=workload)
    assert captured.matched == (), "the connection says it: where the workload is parts no views"


def test_tls_goes_by_subnet_and_server_name() -> None:
    found = chains(routed(protocol=Protocol.TLS))
    assert found["10.1.0.0/16", "one.example", ""] == "a.example"
    assert found["", "one.example", ""] == "c.example"
    for address, host in (("10.1.0.1", "a.example"), ("10.9.0.1", "c.example")):
        found = chains(routed(address, protocol=Protocol.TLS), f"{address}_9999")
        assert found["", "one.example", ""] == host


def test_connections_are_limited_and_tunnelled_as_their_destination_says() -> None:
    """Of the first destination the rule, not of the service that they were for."""
    snapshot = routed()
    for host, idle in (("a", "11s"), ("c", "33s"), ("one", "99s")):
        put(
            snapshot,
            f"""
apiVersion: networking.istio.io/v1
kind: DestinationRule
metadata: {{name: {host}, namespace: default}}
spec:
  host: {host}.example
  trafficPolicy:
    connectionPool: {{tcp: {{idleTimeout: {idle}}}}}
    tunnel: {{targetHost: {host}.target, targetPort: 443}}
""",
        )
    found = listeners(snapshot)["0.0.0.0_9999"]
    chains = [*found["filter_chains"], found["default_filter_chain"]]
    proxies = [chain["filters"][-1]["typed_config"] for chain in chains]
    assert {
        one["cluster"].rpartition("|")[2]: (
            one.get("idle_timeout"),
            one.get("tunneling_config", {}).get("hostname"),
        )
        for one in proxies
    } == {
        "a.example": ("11s", "a.target:443"),
        "b.example": (None, None),
        "c.example": ("33s", "c.target:443"),
    }


# --- hosts that nobody knows ----------------------------------------------------------------------------------------

BY_NAME = """
apiVersion: v1
kind: ConfigMap
metadata: {name: istio, namespace: istio-system}
data: {mesh: '{outboundTrafficPolicy: {mode: ALLOW_ANY_DYNAMIC_DNS, tls: {mode: SIMPLE, sni: a.example}}}'}
"""
OWN_POLICY = """
apiVersion: networking.istio.io/v1
kind: Sidecar
metadata: {name: default, namespace: default}
spec: {outboundTrafficPolicy: {mode: ALLOW_ANY}}
"""


def unknown(snapshot: Snapshot) -> tuple[list[str], list[str], str]:
    """(HTTP filters at port 9999, clusters for who is not known, where requests to unknown hosts go)."""
    scope = scope_of(Reader(snapshot), interception=Interception.REDIRECT, namespace="default")
    made = Compiler(snapshot).shared(scope).resources
    manager = decoded(made[LISTENER]["0.0.0.0_9999"])["filter_chains"][0]["filters"][0]["typed_config"]
    last = decoded(made[ROUTE]["9999"])["virtual_hosts"][-1]
    assert last["name"] == "allow_any"
    return (
        [one["name"].rpartition(".")[2] for one in manager["http_filters"]],
        sorted(name for name in made[CLUSTER] if "|" not in name),
        last["routes"][-1]["route"]["cluster"],
    )


def test_captured_requests_to_unknown_hosts_go_where_their_host_is_looked_up() -> None:
    snapshot = mesh(entry("web", protocol=Protocol.HTTP))
    assert unknown(snapshot) == (
        ["cors", "fault", "router"],
        ["BlackHoleCluster", "PassthroughCluster"],
        "PassthroughCluster",
    )
    put(snapshot, BY_NAME)
    assert unknown(snapshot) == (
        ["cors", "fault", "asked_host", "destination", "dynamic_forward_proxy", "router"],
        ["AllowAnyDynamicDNSCluster", "BlackHoleCluster", "PassthroughCluster"],
        "AllowAnyDynamicDNSCluster",
    )
    made = decoded(Compiler(snapshot).shared(REDIRECT).resources[CLUSTER]["AllowAnyDynamicDNSCluster"])
    assert made["transport_socket"]["typed_config"]["sni"] == "a.example"
    put(snapshot, OWN_POLICY)
    assert unknown(snapshot)[2] == "PassthroughCluster", "a Sidecar has no such mode"
