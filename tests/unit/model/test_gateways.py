"""Gateways: which proxies serve them, and the hosts and routes of the VirtualServices bound to them."""

from __future__ import annotations

from typing import Any

import pytest

from argosy.model import ir
from argosy.model.reader import Reader
from argosy.model.scope import ProxyType
from argosy.model.snapshot import Snapshot
from tests.unit.model.written import obj, scope, snapshot


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


def served(
    made: Snapshot, name: str = "default/edge", port: int = 80, namespace: str = "infra"
) -> dict[str, list[str]]:
    """host -> hosts that its routes lead to."""
    edge = scope(made, namespace, ProxyType.ROUTER, istio="ingress")
    found: dict[str, list[str]] = {}
    for host in Reader(made).gateway_hosts(edge, name, port):
        found[host.host] = [
            item.destination.host
            for route in host.table.routes
            if isinstance(route.action, ir.Forward)
            for item in route.action.destinations
        ]
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
    servers = Reader(made).gateway_servers(scope(made, "infra", type, **labels))
    assert [server.gateway for server in servers] == expected


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
              tls: {mode: MUTUAL, credentialName: cert, httpsRedirect: true}
            """,
        )
    )
    (server,) = Reader(made).gateway_servers(scope(made, type=ProxyType.ROUTER))
    assert server == ir.GatewayServer(
        gateway="shop/edge",
        name="front",
        port=443,
        protocol=ir.Protocol.HTTPS,
        hosts=("*/a.com", "shop/b.com", "team/c.com"),
        bind="127.0.0.1",
        tls=ir.GatewayTls(mode="MUTUAL", credential_name="cert", https_redirect=True),
    )


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
