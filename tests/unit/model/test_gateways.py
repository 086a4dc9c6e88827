"""Gateways: which proxies serve them, and the hosts and routes of the VirtualServices bound to them."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from argosy.model import ir
from argosy.model.facts import Fact, FactKind
from argosy.model.reader import Reader
from argosy.model.scope import ProxyType, Scope
from argosy.model.snapshot import Snapshot
from tests.unit.model.written import obj, scope, service, snapshot


def gateway(name: str, *hosts: str, port: int = 80, **more: Any) -> Any:
    created = more.pop("created", "")
    server = {"port": {"number": port, "name": "http", "protocol": "HTTP"}, "hosts": list(hosts)}
    spec = {"selector": {"istio": "ingress"}, "servers": [server]} | more
    return obj("Gateway", name, spec, created=created)


def vs(name: str, hosts: list[str], *gateways: str, **more: Any) -> Any:
    created = more.pop("created", "")
    destination = more.pop("to", "app.com")
    spec = {
        "hosts": hosts,
        "gateways": list(gateways),
        "http": [{"route": [{"destination": {"host": destination}}]}],
    }
    return obj("VirtualService", name, spec | more, created=created)


def servers(made: Snapshot, edge: Scope) -> list[ir.GatewayServer]:
    return [server for one in Reader(made).gateway_listeners(edge) for server in one.servers]


def served(made: Snapshot, port: int = 80, namespace: str = "infra") -> dict[str, list[str]]:
    """host -> hosts that its routes lead to."""
    edge = scope(made, namespace, ProxyType.ROUTER, istio="ingress")
    found: dict[str, list[str]] = {}
    for server in servers(made, edge):
        for host in Reader(made).gateway_hosts(edge, server) if server.port == port else ():
            found.setdefault(host.host, []).extend(
                item.destination.host
                for route in host.table.routes
                if isinstance(route.action, ir.Forward)
                for item in route.action.destinations
            )
    return found


@pytest.mark.parametrize(
    ("type", "labels", "expected"),
    [
        (ProxyType.ROUTER, {"istio": "ingress"}, ["default/open", "default/edge", "default/young"]),
        (ProxyType.ROUTER, {"istio": "other"}, ["default/open"]),
        (ProxyType.SIDECAR, {"istio": "ingress"}, []),
    ],
)
def test_the_proxies_that_a_gateway_selects_serve_it_the_oldest_first(
    type: ProxyType, labels: dict[str, str], expected: list[str]
) -> None:
    made = snapshot(
        gateway("young", "*", created="2021-01-01T00:00:00Z"),
        gateway("edge", "*", created="2020-01-01T00:00:00Z"),
        gateway("open", "*", selector={}, created="2019-01-01T00:00:00Z"),
    )
    found = servers(made, scope(made, "infra", type, **labels))
    assert [server.gateway for server in found] == expected


def test_the_fields_of_a_server() -> None:
    made = snapshot(
        obj(
            "Gateway",
            "shop/edge",
            """
            servers:
            - name: front
              bind: 127.0.0.1
              port: {number: 443, name: https, protocol: https}
              hosts: [a.com, ./b.com, team/c.com]
              tls: {mode: MUTUAL, credentialName: cert, caCertCredentialName: ca, subjectAltNames: [x],
                minProtocolVersion: TLSV1_3, cipherSuites: [AES128-SHA, unknown, AES128-SHA]}
            - port: {number: 444, name: files, protocol: TLS}
              hosts: [a.com]
              tls: {mode: OPTIONAL_MUTUAL, tlsCertificates: [{serverCertificate: /c, privateKey: /k},
                {serverCertificate: /d, privateKey: /l}], caCertificates: /ca, caCrl: /crl}
            - port: {number: 445, name: further, protocol: TLS}
              hosts: [a.com]
              tls: {credentialName: cert}
            """,
        )
    )
    server, files, on = servers(made, scope(made, type=ProxyType.ROUTER))
    assert server == ir.GatewayServer(
        gateway="shop/edge",
        name="front",
        port=443,
        protocol=ir.Protocol.HTTPS,
        hosts=("*/a.com", "shop/b.com", "team/c.com"),
        bind="127.0.0.1",
        tls=ir.GatewayTls(
            mode=ir.ServerTlsMode.MUTUAL,
            credentials=("cert",),
            ca_credential="ca",
            subject_alt_names=("x",),
            min_version="TLSV1_3",
            cipher_suites=("AES128-SHA",),
        ),
        port_name="https",
    )
    assert files.tls == ir.GatewayTls(
        mode=ir.ServerTlsMode.OPTIONAL_MUTUAL,
        certificates=(("/c", "/k"), ("/d", "/l")),
        ca_certificates="/ca",
        ca_crl="/crl",
    )
    assert on.tls == ir.GatewayTls()


@pytest.mark.parametrize("name", ["edge", "default/edge", "./edge", "edge.default.svc.cluster.local"])
def test_a_virtual_service_is_bound_by_name(name: str) -> None:
    made = snapshot(gateway("edge", "*"), vs("v", ["a.com"], name))
    assert served(made) == {"a.com": ["app.com"]}


@pytest.mark.parametrize(
    ("offered", "wanted", "expected"),
    [
        (["*"], ["a.com"], ["a.com"]),
        (["a.com"], ["*"], ["a.com"]),
        (["*.com"], ["a.com", "b.org"], ["a.com"]),
        (["default/*"], ["a.com"], ["a.com"]),
        (["team/*"], ["a.com"], []),
        (["./a.com"], ["a.com"], ["a.com"]),
    ],
)
def test_a_server_serves_the_hosts_that_both_sides_mean(
    offered: list[str], wanted: list[str], expected: list[str]
) -> None:
    made = snapshot(gateway("edge", *offered), vs("v", wanted, "edge"))
    assert sorted(served(made)) == expected


def test_only_servers_on_the_port_count() -> None:
    made = snapshot(gateway("edge", "*", port=80), vs("v", ["a.com"], "edge"))
    assert served(made, port=81) == {}


def test_virtual_services_that_share_a_host_are_joined_with_the_widest_route_last() -> None:
    narrow = {
        "http": [{"match": [{"uri": {"prefix": "/n"}}], "route": [{"destination": {"host": "narrow.com"}}]}]
    }
    made = snapshot(
        gateway("edge", "*"),
        vs("wide", ["a.com"], "edge", to="wide.com", created="2019-01-01T00:00:00Z"),
        vs("narrow", ["a.com"], "edge", created="2020-01-01T00:00:00Z", **narrow),
        vs("wide-too", ["a.com"], "edge", to="never.com", created="2021-01-01T00:00:00Z"),
    )
    assert served(made) == {"a.com": ["narrow.com", "wide.com"]}


def test_a_virtual_service_that_is_not_exported_to_the_proxys_namespace_is_not_served() -> None:
    made = snapshot(gateway("edge", "*"), vs("v", ["a.com"], "edge", exportTo=["."]))
    assert served(made, namespace="infra") == {}
    assert served(made, namespace="default") == {"a.com": ["app.com"]}


def test_matches_by_port_and_gateway() -> None:
    routes = [
        {"match": [{"gateways": ["mesh"]}], "route": [{"destination": {"host": "mesh.com"}}]},
        {"match": [{"port": 8080}], "route": [{"destination": {"host": "ported.com"}}]},
        {"match": [{"gateways": ["edge"]}], "route": [{"destination": {"host": "edge.com"}}]},
    ]
    made = snapshot(gateway("edge", "*"), vs("v", ["a.com"], "edge", "mesh", http=routes))
    assert served(made) == {"a.com": ["edge.com"]}


def test_a_gateway_that_does_not_exist_serves_nothing() -> None:
    assert served(snapshot(vs("v", ["a.com"], "edge"))) == {}


# --- what shares a port ---------------------------------------------------------------------------------------------


def on(*servers: str, name: str = "edge", **more: Any) -> Any:
    """Each server in YAML: `port protocol hosts…`."""
    written: list[dict[str, Any]] = []
    for text in servers:
        port, protocol, *hosts = text.split()
        server: dict[str, Any] = {
            "port": {"number": int(port), "name": f"p{len(written)}", "protocol": protocol},
            "hosts": hosts,
        }
        if protocol in ("HTTPS", "TLS"):
            server["tls"] = {"mode": "SIMPLE", "credentialName": "cert"}
        written.append(server)
    created = more.pop("created", "")
    return obj("Gateway", name, {"servers": written} | more, created=created)


def listens(made: Snapshot, edge: Scope | None = None) -> dict[int, list[str]]:
    """Port -> `gateway protocol` of its servers."""
    edge = edge or scope(made, "infra", ProxyType.ROUTER)
    return {
        one.port: [f"{server.gateway.partition('/')[2]} {server.protocol}" for server in one.servers]
        for one in Reader(made).gateway_listeners(edge)
    }


@pytest.mark.parametrize(
    ("older", "younger", "expected"),
    [
        ("80 HTTP a.com", "80 HTTP a.com", ["a HTTP", "b HTTP"]),
        ("80 HTTP a.com", "80 HTTP2 b.com", ["a HTTP", "b HTTP2"]),
        ("80 HTTP a.com", "80 TCP a.com", ["a HTTP"]),
        ("80 TCP a.com", "80 HTTP a.com", ["a TCP"]),
        ("80 TCP a.com", "80 TCP b.com", ["a TCP"]),
        ("80 MONGO a.com", "81 TCP b.com", ["a Mongo"]),
        ("80 HTTP a.com", "80 HTTPS b.com", ["a HTTP"]),
        ("80 HTTPS a.com", "80 TLS b.com", ["a HTTPS", "b TLS"]),
        ("80 HTTPS a.com", "80 HTTPS a.com", ["a HTTPS"]),
        ("80 HTTPS a.com", "80 HTTPS b.com x/a.com", ["a HTTPS"]),
        ("80 HTTPS *.com", "80 HTTPS a.com", ["a HTTPS", "b HTTPS"]),
    ],
)
def test_servers_that_cannot_be_told_apart_stand_back_behind_the_older(
    older: str, younger: str, expected: list[str]
) -> None:
    made = snapshot(
        on(younger, name="b", created="2021-01-01T00:00:00Z"),
        on(older, name="a", created="2020-01-01T00:00:00Z"),
    )
    assert listens(made)[80] == expected
    refused = Reader(made).gateways_refused(scope(made, "infra", ProxyType.ROUTER))
    assert ["default/b"] * (len(expected) == 1 and younger.startswith("80")) == [
        one.server.gateway for one in refused
    ]


def test_what_binds_elsewhere_is_no_conflict() -> None:
    servers = [
        {"port": {"number": 80, "name": "a", "protocol": "HTTP"}, "hosts": ["*"], "bind": "10.0.0.1"},
        {"port": {"number": 80, "name": "b", "protocol": "TCP"}, "hosts": ["*"], "bind": "10.0.0.2"},
        {"port": {"name": "c", "protocol": "HTTP"}, "hosts": ["*"], "bind": "unix:///run/edge"},
    ]
    made = snapshot(obj("Gateway", "edge", {"servers": servers}))
    found = Reader(made).gateway_listeners(scope(made, type=ProxyType.ROUTER))
    assert [(one.bind, one.port, one.kind) for one in found] == [
        ("10.0.0.1", 80, "HTTP"),
        ("10.0.0.2", 80, "TCP"),
        ("unix:///run/edge", 0, "HTTP"),
    ]


# --- ports of services ----------------------------------------------------------------------------------------------


def instance_of(made: Snapshot, *targets: tuple[str, int, int], namespace: str = "infra") -> Scope:
    return msgspec.structs.replace(scope(made, namespace, ProxyType.ROUTER), targets=targets)


def put_services(made: Snapshot, **labels: str) -> None:
    for name in ("one", "two"):
        made.put_service(
            service(f"{name}.infra.example", 80, namespace="infra", labels=tuple(labels.items()))
        )


def test_the_target_port_of_the_proxys_service_is_listened_on() -> None:
    made = snapshot(on("80 HTTP *"))
    put_services(made)
    edge = instance_of(made, ("one.infra.example", 80, 8080), ("two.infra.example", 80, 8081))
    assert listens(made, edge) == {8080: ["edge HTTP"]}
    assert listens(made, instance_of(made, ("one.infra.example", 81, 8080))) == {80: ["edge HTTP"]}


def test_ports_of_services_that_opt_out_are_not_looked_at() -> None:
    made = snapshot(on("80 HTTP *"))
    put_services(made, **{"experimental.istio.io/disable-gateway-port-translation": "true"})
    assert listens(made, instance_of(made, ("one.infra.example", 80, 8080))) == {80: ["edge HTTP"]}


def test_a_gateway_bound_to_services_has_all_their_ports_and_no_others() -> None:
    bound = obj("Gateway", "infra/edge", {"servers": [], "selector": {"istio": "nobody"}})
    annotations = {"internal.istio.io/gateway-service": "one.infra.example, two.infra.example"}
    spec = on("80 HTTP *", "82 HTTP *").spec
    metadata = msgspec.structs.replace(bound.metadata, annotations=annotations)
    made = snapshot(msgspec.structs.replace(bound, metadata=metadata, spec=spec))
    put_services(made)
    edge = instance_of(made, ("one.infra.example", 80, 8080), ("two.infra.example", 80, 8081))
    assert listens(made, edge) == {8080: ["edge HTTP"], 8081: ["edge HTTP"]}
    assert listens(made, instance_of(made)) == {}


# --- what is no HTTP ------------------------------------------------------------------------------------------------


def test_tcp_routes_of_a_gateway_by_port_and_name() -> None:
    tcp = [
        {"match": [{"port": 81}], "route": [{"destination": {"host": "ported.com"}}]},
        {"match": [{"gateways": ["mesh"]}], "route": [{"destination": {"host": "mesh.com"}}]},
        {"route": [{"destination": {"host": "rest.com", "port": {"number": 9}}}]},
    ]
    made = snapshot(on("80 TCP a.com", "81 TCP a.com", "82 TCP b.com"), vs("v", ["a.com"], "edge", tcp=tcp))
    edge = scope(made, "infra", ProxyType.ROUTER)
    found = [Reader(made).gateway_tcp(edge, server) for server in servers(made, edge)]
    assert [[one.destinations for one in routes] for routes in found] == [
        [(ir.WeightedDestination(ir.Destination("rest.com", 9)),)],
        [(ir.WeightedDestination(ir.Destination("ported.com", 81)),)],
        [],
    ]


def test_tls_routes_of_a_gateway_by_server_name() -> None:
    tls = [
        {
            "match": [{"sniHosts": ["a.com"]}, {"port": 7, "sniHosts": ["b.com"]}],
            "route": [{"destination": {"host": "a.com"}}],
        },
        {
            "match": [{"sniHosts": ["*.com"], "gateways": ["edge"]}],
            "route": [{"destination": {"host": "b.com"}}],
        },
    ]
    made = snapshot(on("443 TLS *.com"), vs("v", ["a.com"], "edge", tls=tls))
    edge = scope(made, "infra", ProxyType.ROUTER)
    (server,) = servers(made, edge)
    assert [
        (one.sni_hosts, one.destinations[0].destination.host)
        for one in Reader(made).gateway_tls(edge, server)
    ] == [
        (("a.com",), "a.com"),
        (("*.com",), "b.com"),
    ]


def test_hosts_that_are_passed_on_by_server_name() -> None:
    passing = {
        "servers": [
            {
                "port": {"number": 15443, "name": "tls", "protocol": "TLS"},
                "hosts": ["*.local"],
                "tls": {"mode": "AUTO_PASSTHROUGH"},
            }
        ]
    }
    made = snapshot(obj("Gateway", "east-west", passing))
    reader = Reader(made)
    assert reader.auto_passthrough(scope(made, "infra", ProxyType.ROUTER)) == ("*.local",)
    assert reader.auto_passthrough(scope(made, "infra")) == ()
    before = made.put_config(
        obj("Gateway", "east-west", passing | {"servers": [passing["servers"][0] | {"name": "x"}]})
    )
    assert before.isdisjoint({Fact(FactKind.AUTO_PASSTHROUGH)})
    assert Fact(FactKind.AUTO_PASSTHROUGH) in made.remove_config("Gateway", "default", "east-west")
