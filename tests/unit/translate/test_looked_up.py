"""Hosts that a proxy looks up by the name of each request: those under a wildcard (DYNAMIC_DNS), and unknown ones."""

from __future__ import annotations

from typing import Any

import pytest
from msgspec.structs import replace

from argosy.model import ir
from argosy.model.ir import Protocol, Resolution
from argosy.model.reader import Reader
from argosy.model.scope import Interception, ProxyType, Scope, scope_of
from argosy.model.snapshot import Snapshot
from argosy.translate.compiler import Compiler
from argosy.translate.resource import CLUSTER, LISTENER, ROUTE
from tests.unit.translate.mesh import decoded, put, service
from tests.unit.translate.test_captured import REDIRECT, chains, entry, listeners, mesh

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
