"""What captured listeners tell apart: blocks of addresses, and the subnets of routes."""

from __future__ import annotations

from typing import Any

import pytest

from argosy.model import ir
from argosy.model.ir import Protocol, Resolution
from argosy.model.reader import Reader
from argosy.model.scope import Interception, Scope, scope_of
from argosy.model.snapshot import Snapshot
from argosy.translate import outbound
from argosy.translate.compiler import Compiler
from argosy.translate.proxy import Proxy
from argosy.translate.resource import LISTENER
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


# --- sidecars' own listeners ----------------------------------------------------------------------------------------


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


@pytest.mark.parametrize(("taken", "listens"), [("127.0.0.1", False), ("127.0.0.2", True)])
def test_one_address_is_not_captured_and_listened_on(taken: str, listens: bool) -> None:
    """Envoy refuses the second of two listeners of one address, even where only one of them binds it."""
    snapshot = mesh(entry("one"))
    put(
        snapshot,
        f"""
apiVersion: networking.istio.io/v1
kind: Sidecar
metadata: {{name: s, namespace: default}}
spec:
  ingress: [{{port: {{number: 9999, protocol: TCP, name: tcp}}, bind: 127.0.0.1, captureMode: NONE}}]
  egress: [{{port: {{number: 9999, protocol: TCP, name: tcp}}, bind: {taken}, hosts: ["./*"]}}]
""",
    )
    scope = Scope(interception=Interception.REDIRECT, sidecar="default/s")
    compiler = Compiler(snapshot)
    assert f"{taken}_9999" in compiler.shared(scope).resources[LISTENER]
    own = compiler.own(Proxy(namespace="default", name="w", scope=scope)).resources[LISTENER]
    assert ("inbound_9999" in own) is listens


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
