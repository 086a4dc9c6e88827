"""Patches of routes and of clusters."""

from __future__ import annotations

from typing import Any

import pytest
from envoy.config.cluster.v3 import cluster_pb2
from envoy.config.route.v3 import route_pb2

from argosy.model.envoy_patches import Side
from argosy.translate.patches import subject
from argosy.translate.resource import CLUSTER, ROUTE
from tests.unit.translate.patches.written import TYPES, Json, after, message, outcome

ROUTES = """
name: "9080"
virtual_hosts:
- name: a:9080
  domains: [a, a.b]
  routes:
  - {name: connect, match: {connect_matcher: {}}, route: {cluster: c}}
  - {name: one, match: {prefix: /one}, route: {cluster: c, timeout: 1s}}
  - {name: two, match: {prefix: /two}, redirect: {path_redirect: /}}
  - {name: default, match: {prefix: /}, direct_response: {status: 404}}
- {name: allow_any, domains: ["*"], routes: [{name: allow_any, match: {prefix: /}, route: {cluster: p}}]}
"""
OUTBOUND = subject.routes(Side.OUTBOUND, "9080")
ALL = ["connect", "one", "two", "default"]


def patched(*patches: Json | str) -> Any:
    return after(ROUTE, message(route_pb2.RouteConfiguration, ROUTES), OUTBOUND, *patches)


def of_host(host: Json | None, part: str, operation: str, value: Json | None = None) -> Json:
    match = {"match": {"routeConfiguration": {"vhost": host}}} if host is not None else {}
    patch = {"operation": operation} | ({"value": value} if value is not None else {})
    return {"applyTo": part, "patch": patch} | match


def route(operation: str, value: Json | None = None, **match: str) -> Json:
    host: Json = {"name": "a:9080"} | ({"route": match} if match else {})
    new = {"name": "new", "match": {"prefix": "/new"}, "direct_response": {"status": 200}}
    return of_host(host, "HTTP_ROUTE", operation, None if operation == "REMOVE" else value or new)


def test_a_merge_that_leaves_a_route_without_a_destination_is_left_out() -> None:
    """Envoy refuses a RouteConfiguration with such a route as a whole."""
    made = message(route_pb2.RouteConfiguration, ROUTES)
    limits = route("MERGE", {"route": {"timeout": "9s"}})
    found = outcome(ROUTE, made, OUTBOUND, limits, route("ADD"))
    assert found.failed == (
        (
            0,
            "patch.value.route: names no cluster, and two has none to merge with (its action is redirect); match "
            "routes whose action is ROUTE",
        ),
    )
    assert found.applied == (1,)
    assert patched(route("MERGE", {"route": {"cluster": "c"}}))["virtual_hosts"][0]["routes"][2]["route"]


@pytest.mark.parametrize(
    ("patch", "wanted"),
    [
        (route("ADD"), [*ALL, "new"]),
        (route("INSERT_FIRST"), ["new", *ALL]),
        (route("INSERT_FIRST", name="two"), ["new", *ALL]),
        (route("INSERT_FIRST", name="nobody"), ALL),
        (route("INSERT_BEFORE"), ["new", *ALL]),
        (route("INSERT_BEFORE", name="two"), ["connect", "one", "new", "two", "default"]),
        (route("INSERT_AFTER", name="one"), ["connect", "one", "new", "two", "default"]),
        (route("INSERT_AFTER"), [*ALL, "new"]),
        (route("INSERT_AFTER", action="REDIRECT"), ["connect", "one", "two", "new", "default"]),
        (route("INSERT_BEFORE", action="DIRECT_RESPONSE"), ["connect", "one", "two", "new", "default"]),
        (route("REMOVE", name="one"), ["connect", "two", "default"]),
        (route("REMOVE", action="ROUTE"), ["connect", "two", "default"]),
        (route("REMOVE", name="one", action="REDIRECT"), ALL),
        (route("REMOVE"), ["connect"]),
        (route("REMOVE", name="connect"), ["one", "two", "default"]),
        (route("REPLACE", name="one"), ALL),
    ],
    ids=str,
)
def test_routes(patch: Json, wanted: list[str]) -> None:
    hosts = patched(patch)["virtual_hosts"]
    assert [one["name"] for one in hosts[0]["routes"]] == wanted
    assert [one["name"] for one in hosts[1]["routes"]] == ["allow_any"]


def test_a_route_is_merged() -> None:
    limits = {"route": {"timeout": "300ms", "retry_policy": {"num_retries": 3}}}
    found = patched(route("MERGE", limits, name="one"))["virtual_hosts"][0]["routes"]
    assert found[1]["route"] == {"cluster": "c", "timeout": "0.300s", "retry_policy": {"num_retries": 3}}
    assert found[2] == {"name": "two", "match": {"prefix": "/two"}, "redirect": {"path_redirect": "/"}}


ADDED = {"name": "new", "domains": ["n"]}


@pytest.mark.parametrize(
    ("patch", "wanted"),
    [
        (of_host({"name": "a:9080"}, "VIRTUAL_HOST", "REMOVE"), ["allow_any"]),
        (of_host({"domainName": "a.b"}, "VIRTUAL_HOST", "REMOVE"), ["allow_any"]),
        (of_host({"domainName": "a.c"}, "VIRTUAL_HOST", "REMOVE"), ["a:9080", "allow_any"]),
        (of_host(None, "VIRTUAL_HOST", "REMOVE"), []),
        (of_host(None, "VIRTUAL_HOST", "ADD", ADDED), ["a:9080", "allow_any", "new"]),
        (of_host({"name": "a:9080"}, "VIRTUAL_HOST", "REPLACE", ADDED), ["new", "allow_any"]),
    ],
    ids=str,
)
def test_virtual_hosts(patch: Json, wanted: list[str]) -> None:
    assert [one["name"] for one in patched(patch).get("virtual_hosts", ())] == wanted


def test_hosts_and_configurations_are_merged() -> None:
    found = patched(
        of_host(
            {"name": "a:9080"},
            "VIRTUAL_HOST",
            "MERGE",
            {"domains": ["c"], "include_request_attempt_count": True},
        ),
        of_host(None, "ROUTE_CONFIGURATION", "MERGE", {"request_headers_to_remove": ["x"]}),
    )
    assert found["virtual_hosts"][0]["domains"] == ["a", "a.b", "c"]
    assert found["request_headers_to_remove"] == ["x"]
    other = of_host(None, "ROUTE_CONFIGURATION", "MERGE", {"name": "80"})
    refused = outcome(ROUTE, message(route_pb2.RouteConfiguration, ROUTES), OUTBOUND, other)
    assert refused.failed[0][1].startswith("patch.value: name: '80' would rename '9080'")


def test_an_inbound_virtual_host_is_called_by_the_service_port_too() -> None:
    made = message(
        route_pb2.RouteConfiguration, "{name: 'inbound|8080||', virtual_hosts: [{name: 'inbound|http|8080'}]}"
    )
    found = subject.routes(Side.INBOUND, "inbound|8080||", ("inbound|http|80",))
    remove = of_host({"name": "inbound|http|80"}, "VIRTUAL_HOST", "REMOVE")
    assert after(ROUTE, made, found, remove) == {"name": "inbound|8080||"}


# --- clusters -------------------------------------------------------------------------------------------------------

TLS = f"{TYPES}.transport_sockets.tls.v3.UpstreamTlsContext"
NAME = "outbound|80||a.com"
OF = subject.cluster(Side.OUTBOUND, NAME)


def cluster(text: str, *patches: Json | str) -> Any:
    made = message(cluster_pb2.Cluster, text)
    made.name = NAME
    return after(CLUSTER, made, OF, *patches)


def merging(value: Json) -> Json:
    return {"applyTo": "CLUSTER", "patch": {"operation": "MERGE", "value": value}}


def socket(name: str = "envoy.transport_sockets.tls", **config: Any) -> Json:
    return {"name": name, "typed_config": {"@type": TLS} | config}


HELD = f'{{name: envoy.transport_sockets.tls, typed_config: {{"@type": {TLS}, sni: a}}}}'


def test_a_cluster_is_merged_or_removed() -> None:
    assert (
        cluster("{connect_timeout: 1s}", merging({"connect_timeout": "20ms"}))["connect_timeout"] == "0.020s"
    )
    removed = {"applyTo": "CLUSTER", "patch": {"operation": "REMOVE"}}
    assert cluster("{}", removed) is None


def test_a_transport_socket_is_merged_into_that_of_its_name() -> None:
    new = merging({"transport_socket": socket(max_session_keys=3), "lb_policy": "RANDOM"})
    merged = {"@type": TLS, "sni": "a", "max_session_keys": 3}
    found = cluster(f"{{transport_socket: {HELD}}}", new)
    assert (found["transport_socket"]["typed_config"], found["lb_policy"]) == (merged, "RANDOM")
    choice = f"{{transport_socket_matches: [{{name: x, transport_socket: {HELD}}}]}}"
    (match,) = cluster(choice, new)["transport_socket_matches"]
    assert match["transport_socket"]["typed_config"] == merged
    other = merging({"transport_socket": socket("other", sni="b"), "lb_policy": "RANDOM"})
    assert cluster(f"{{transport_socket: {HELD}}}", other)["transport_socket"] == socket("other", sni="b")
    assert cluster("{}", other)["transport_socket"] == socket("other", sni="b")
    kept = cluster(choice, other)
    assert "transport_socket" not in kept, "beside the choice of endpoints Envoy refuses one"
    assert kept["lb_policy"] == "RANDOM"


def test_a_cluster_with_other_endpoints_does_not_wait_for_those_it_had() -> None:
    made = message(cluster_pb2.Cluster, "{type: EDS, eds_cluster_config: {eds_config: {ads: {}}}}")
    made.name = NAME
    kept = outcome(CLUSTER, made, OF, merging({"lb_policy": "RANDOM"})).made
    other = outcome(CLUSTER, made, OF, merging({"type": "STATIC"})).made
    assert kept is not None
    assert other is not None
    assert (kept.follow, other.follow) == (NAME, None)
