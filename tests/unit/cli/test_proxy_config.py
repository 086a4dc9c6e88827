"""What is read out of a config dump, and what must never come out of one."""

from __future__ import annotations

import json

import pytest

from argosy.cli.proxy_config import REDACTED, SECTIONS, address, detail, held, redacted

PREFIX = "type.googleapis.com/envoy.admin.v3."
KEY = {"inline_string": "-----BEGIN PRIVATE KEY-----"}
DUMP = {
    "configs": [
        {
            "@type": PREFIX + "BootstrapConfigDump",
            "bootstrap": {"node": {"id": "x"}, "a": [{"private_key": KEY}]},
        },
        {
            "@type": PREFIX + "ClustersConfigDump",
            "static_clusters": [{"cluster": {"name": "agent"}}],
            "dynamic_active_clusters": [
                {"version_info": "7", "cluster": {"name": "outbound|80||a", "type": "EDS"}}
            ],
            "dynamic_warming_clusters": [{"version_info": "8", "cluster": {"name": "b", "type": "EDS"}}],
        },
        {
            "@type": PREFIX + "ListenersConfigDump",
            "dynamic_listeners": [
                {
                    "name": "inbound_80",
                    "active_state": {
                        "version_info": "1",
                        "listener": {
                            "address": {"socket_address": {"address": "127.0.0.1", "port_value": 20001}},
                            "filter_chains": [{"tls": {"private_key": KEY}}],
                        },
                    },
                    "draining_state": {"version_info": "0", "listener": {"internal_listener": {}}},
                }
            ],
        },
        {
            "@type": PREFIX + "RoutesConfigDump",
            "dynamic_route_configs": [
                {"route_config": {"name": "80", "virtual_hosts": [{"routes": [{}, {}]}, {"routes": [{}]}]}}
            ],
        },
        {
            "@type": PREFIX + "ScopedRoutesConfigDump",
            "dynamic_scoped_route_configs": [
                {
                    "name": manager,
                    "version_info": "3",
                    "scoped_route_configs": [
                        {"name": "http_proxy/1", "route_configuration_name": "http_proxy/1"},
                        {"name": "http_proxy/0", "route_configuration_name": "http_proxy/0"},
                    ],
                }
                for manager in ("outbound_proxy", "connect_http")
            ],
        },
        {
            "@type": PREFIX + "EndpointsConfigDump",
            "dynamic_endpoint_configs": [
                {
                    "endpoint_config": {
                        "cluster_name": "outbound|80||a",
                        "endpoints": [
                            {
                                "lb_endpoints": [
                                    {
                                        "health_status": "UNHEALTHY",
                                        "endpoint": {
                                            "address": {"socket_address": {"address": "::1", "port_value": 1}}
                                        },
                                    }
                                ]
                            }
                        ],
                    }
                }
            ],
        },
        {
            "@type": PREFIX + "SecretsConfigDump",
            "dynamic_active_secrets": [
                {"name": "default", "secret": {"name": "default", "tls_certificate": {"private_key": KEY}}}
            ],
        },
    ]
}


@pytest.mark.parametrize(
    ("kind", "expected"),
    [
        (
            "clusters",
            [("agent", "static", "STATIC"), ("b", "warming", "EDS"), ("outbound|80||a", "active", "EDS")],
        ),
        ("listeners", [("inbound_80", "active", "127.0.0.1:20001"), ("inbound_80", "draining", "internal")]),
        ("routes", [("80", "active", "2 virtual hosts, 3 routes")]),
        (
            "scopes",
            [("http_proxy/0", "active", "http_proxy/0"), ("http_proxy/1", "active", "http_proxy/1")],
        ),
        ("endpoints", [("outbound|80||a", "active", "[::1]:1 (unhealthy)")]),
        ("secrets", [("default", "active", "tls certificate")]),
        ("extensions", []),
        ("bootstrap", [("bootstrap", "static", "")]),
    ],
)
def test_each_type_is_found(kind: str, expected: list[tuple[str, str, str]]) -> None:
    assert [(one.name, one.state, detail(kind, one)) for one in held(DUMP, kind)] == expected


def test_no_private_key_comes_out_anywhere() -> None:
    shown = json.dumps({kind: [one.resource for one in held(DUMP, kind)] for kind in SECTIONS})
    assert "PRIVATE KEY" in json.dumps(DUMP)
    assert "PRIVATE KEY" not in shown
    assert shown.count(REDACTED) == 3


def test_what_is_empty_is_not_called_a_secret() -> None:
    assert redacted({"password": "", "private_key": {}, "x": ["y"]}) == {
        "password": "",
        "private_key": {},
        "x": ["y"],
    }


@pytest.mark.parametrize(
    ("where", "text"),
    [
        ({"pipe": {"path": "/x"}}, "unix:/x"),
        ({"envoy_internal_address": {"server_listener_name": "connect_http"}}, "listener connect_http"),
        ({}, "?"),
    ],
)
def test_addresses(where: dict[str, object], text: str) -> None:
    assert address(where) == text
