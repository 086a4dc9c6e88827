"""Routes on the wire: each feature of the route table."""

from __future__ import annotations

from typing import Any

import pytest
from envoy.config.route.v3 import route_components_pb2
from google.protobuf import json_format

from argosy.model import ir
from argosy.model.ir import HeaderOps, MatchKind, NamedMatch, RouteMatch, StringMatch
from argosy.translate import names
from argosy.translate.match import route_match
from argosy.translate.route import (
    CatchAllKey,
    RouteConfigurationKey,
    Tunnel,
    VirtualHostKey,
    catch_all,
    http_route,
    route_configuration,
    virtual_host,
)
from tests.unit.translate.mesh import decoded

HOST = "a.default.svc.cluster.local"
CLUSTER = f"outbound|80||{HOST}"
NO_TIMEOUT = {
    "timeout": "0s",
    "max_stream_duration": {"max_stream_duration": "0s", "grpc_timeout_header_max": "0s"},
}


def json(message: Any) -> dict[str, Any]:
    found: dict[str, Any] = json_format.MessageToDict(message, preserving_proto_field_name=True)
    return found


def to(host: str = HOST, subset: str = "", weight: int = 1, **fields: Any) -> ir.WeightedDestination:
    return ir.WeightedDestination(ir.Destination(host, 80, subset), weight, **fields)


ANYTHING = RouteMatch()


def route(action: Any = None, match: RouteMatch = ANYTHING, **fields: Any) -> dict[str, Any]:
    key = VirtualHostKey(name="h", domains=("h",), port=80)
    given = action if action is not None else ir.Forward(destinations=(to(),))
    return json(http_route(ir.Route(match=match, action=given, **fields), key))


def exact(value: str) -> StringMatch:
    return StringMatch(MatchKind.EXACT, value)


MATCHES: list[tuple[RouteMatch, dict[str, Any]]] = [
    (RouteMatch(), {"prefix": "/"}),
    (RouteMatch(uri=exact("/a")), {"path": "/a"}),
    (RouteMatch(uri=StringMatch(MatchKind.PREFIX, "/a")), {"prefix": "/a"}),
    (
        RouteMatch(uri=StringMatch(MatchKind.PREFIX, "/a", True)),
        {"prefix": "/a", "case_sensitive": False},
    ),
    (RouteMatch(uri=StringMatch(MatchKind.REGEX, "/a.*")), {"safe_regex": {"regex": "/a.*"}}),
    (RouteMatch(uri=StringMatch(MatchKind.PATH_PREFIX, "/a/")), {"path_separated_prefix": "/a"}),
    (RouteMatch(uri=StringMatch(MatchKind.PATH_PREFIX, "/")), {"prefix": "/"}),
    (
        RouteMatch(method=exact("GET"), authority=exact("a"), scheme=exact("https")),
        {
            "prefix": "/",
            "headers": [
                {"name": ":method", "string_match": {"exact": "GET"}},
                {"name": ":authority", "string_match": {"exact": "a"}},
                {"name": ":scheme", "string_match": {"exact": "https"}},
            ],
        },
    ),
    (
        RouteMatch(
            headers=(
                NamedMatch("x", exact("1")),
                NamedMatch("y", StringMatch(MatchKind.PRESENT)),
                NamedMatch("z", exact("1"), invert=True),
                NamedMatch("w", StringMatch(MatchKind.PRESENT), invert=True),
            )
        ),
        {
            "prefix": "/",
            "headers": [
                {"name": "x", "string_match": {"exact": "1"}},
                {"name": "y", "present_match": True},
                {
                    "name": "z",
                    "string_match": {"exact": "1"},
                    "invert_match": True,
                    "treat_missing_header_as_empty": True,
                },
                {"name": "w", "present_match": True, "invert_match": True},
            ],
        },
    ),
    (
        RouteMatch(query=(NamedMatch("q", exact("1")), NamedMatch("r", StringMatch(MatchKind.PRESENT)))),
        {
            "prefix": "/",
            "query_parameters": [
                {"name": "q", "string_match": {"exact": "1"}},
                {"name": "r", "present_match": True},
            ],
        },
    ),
]


@pytest.mark.parametrize(("match", "expected"), MATCHES)
def test_matches(match: RouteMatch, expected: dict[str, Any]) -> None:
    assert json(route_match(match)) == expected


def test_a_plain_route_has_no_timeout() -> None:
    assert route()["route"] == {"cluster": CLUSTER, **NO_TIMEOUT}


def test_a_timeout_is_kept_and_zero_is_none() -> None:
    timed = route(ir.Forward(destinations=(to(),), timeout=1500))["route"]
    assert timed == {"cluster": CLUSTER, "timeout": "1.500s"}
    assert route(ir.Forward(destinations=(to(),), timeout=0))["route"] == {"cluster": CLUSTER, **NO_TIMEOUT}


def test_weights_have_their_own_headers() -> None:
    ops = HeaderOps(request_set=(("Host", "x"), ("a", "b")))
    found = route(ir.Forward(destinations=(to(weight=90), to(subset="v2", weight=10, headers=ops))))["route"]
    first, second = found["weighted_clusters"]["clusters"]
    assert first == {"name": CLUSTER, "weight": 90}
    assert second == {
        "name": f"outbound|80|v2|{HOST}",
        "weight": 10,
        "host_rewrite_literal": "x",
        "request_headers_to_add": [
            {"header": {"key": "a", "value": "b"}, "append_action": "OVERWRITE_IF_EXISTS_OR_ADD"}
        ],
    }


def test_retries_avoid_earlier_hosts_and_carry_status_codes() -> None:
    policy = ir.RetryPolicy(
        attempts=3, per_try_timeout=100, retry_on=("5xx", "429"), backoff=25, remote_localities=True
    )
    found = route(ir.Forward(destinations=(to(),), retry=policy))["route"]["retry_policy"]
    assert found["retry_on"] == "5xx,retriable-status-codes"
    assert found["retriable_status_codes"] == [429]
    assert found["num_retries"] == 3
    assert found["per_try_timeout"] == "0.100s"
    assert found["retry_back_off"] == {"base_interval": "0.025s"}
    assert found["host_selection_retry_max_attempts"] == "32"
    assert found["retry_host_predicate"][0]["name"] == "envoy.retry_host_predicates.previous_hosts"
    assert found["retry_priority"]["name"] == "envoy.retry_priorities.previous_priorities"
    same_hosts = ir.RetryPolicy(attempts=1, retry_on=("5xx",), ignore_previous_hosts=False)
    found = route(ir.Forward(destinations=(to(),), retry=same_hosts))["route"]["retry_policy"]
    assert "retry_host_predicate" not in found
    off = route(ir.Forward(destinations=(to(),), retry=ir.RetryPolicy(attempts=0)))["route"]
    assert "retry_policy" not in off


REWRITES: list[tuple[StringMatch | None, ir.Rewrite, dict[str, Any]]] = [
    (StringMatch(MatchKind.PREFIX, "/a"), ir.Rewrite(uri="/b"), {"prefix_rewrite": "/b"}),
    (exact("/a"), ir.Rewrite(uri="/b"), {"prefix_rewrite": "/b"}),
    (
        None,
        ir.Rewrite(regex="/x/(.*)", regex_substitution="/y/\\1"),
        {"regex_rewrite": {"pattern": {"regex": "/x/(.*)"}, "substitution": "/y/\\1"}},
    ),
    (
        StringMatch(MatchKind.PATH_PREFIX, "/a"),
        ir.Rewrite(uri="/"),
        {"regex_rewrite": {"pattern": {"regex": "^/a/*"}, "substitution": "/"}},
    ),
    (None, ir.Rewrite(authority="b"), {"host_rewrite_literal": "b", "append_x_forwarded_host": True}),
]


@pytest.mark.parametrize(("uri", "rewrite", "expected"), REWRITES)
def test_rewrites(uri: StringMatch | None, rewrite: ir.Rewrite, expected: dict[str, Any]) -> None:
    action = ir.Forward(destinations=(to(),), rewrite=rewrite)
    assert route(action, RouteMatch(uri=uri))["route"] == {"cluster": CLUSTER, **NO_TIMEOUT, **expected}


def test_mirrors_and_hashes() -> None:
    action = ir.Forward(
        destinations=(to(),),
        mirrors=(ir.Mirror(ir.Destination(HOST, 80, "v2"), 12.5),),
        hash=(
            ir.HashPolicy(header="x"),
            ir.HashPolicy(cookie_name="c", cookie_path="/", cookie_ttl=1000),
            ir.HashPolicy(query="q"),
            ir.HashPolicy(source_ip=True),
        ),
    )
    found = route(action)["route"]
    assert found["request_mirror_policies"] == [
        {
            "cluster": f"outbound|80|v2|{HOST}",
            "runtime_fraction": {"default_value": {"numerator": 125000, "denominator": "MILLION"}},
        }
    ]
    assert found["hash_policy"] == [
        {"header": {"header_name": "x"}},
        {"cookie": {"name": "c", "path": "/", "ttl": "1s"}},
        {"query_parameter": {"name": "q"}},
        {"connection_properties": {"source_ip": True}},
    ]


REDIRECTS: list[tuple[ir.Redirect, dict[str, Any]]] = [
    (ir.Redirect(uri="/b"), {"path_redirect": "/b"}),
    (
        ir.Redirect(prefix_rewrite="/b", code=308),
        {"prefix_rewrite": "/b", "response_code": "PERMANENT_REDIRECT"},
    ),
    (
        ir.Redirect(authority="a", scheme="https", port=8443, code=302),
        {
            "host_redirect": "a",
            "scheme_redirect": "https",
            "port_redirect": 8443,
            "response_code": "FOUND",
        },
    ),
    (
        ir.Redirect(scheme="https", derive_port="FROM_PROTOCOL_DEFAULT"),
        {"scheme_redirect": "https", "port_redirect": 443},
    ),
    (
        ir.Redirect(authority="a", derive_port="FROM_REQUEST_PORT"),
        {"host_redirect": "a", "port_redirect": 80},
    ),
]


@pytest.mark.parametrize(("action", "expected"), REDIRECTS)
def test_redirects(action: ir.Redirect, expected: dict[str, Any]) -> None:
    assert route(action)["redirect"] == expected


def test_a_direct_response() -> None:
    found = route(ir.DirectResponse(status=418, body=b"tea"))["direct_response"]
    assert found == {"status": 418, "body": {"inline_bytes": "dGVh"}}


def test_header_operations_leave_what_envoy_refuses() -> None:
    ops = HeaderOps(
        request_set=(("a", "1"), ("host", "b")),
        request_add=(("c", ""),),
        request_remove=("d", ":path", "Host"),
        response_set=(("e", "1"),),
        response_add=(("f", "1"),),
        response_remove=("g",),
    )
    found = route(headers=ops)
    assert [one["header"]["key"] for one in found["request_headers_to_add"]] == ["a", "c"]
    assert found["request_headers_to_add"][1]["keep_empty_value"] is True
    assert found["request_headers_to_remove"] == ["d"]
    assert [one["header"]["key"] for one in found["response_headers_to_add"]] == ["e", "f"]
    assert found["response_headers_to_remove"] == ["g"]
    assert found["route"]["host_rewrite_literal"] == "b"


def test_faults_and_cors_are_per_route() -> None:
    fault = ir.Fault(delay=ir.Delay(5000, 50.0), abort=ir.Abort(grpc_status=14, percent=0.1))
    cors = ir.Cors(allow_origins=(exact("https://a"),), allow_methods=("GET", "PUT"), max_age=60_000)
    found = route(fault=fault, cors=cors)["typed_per_filter_config"]
    assert found["envoy.filters.http.fault"]["delay"] == {
        "fixed_delay": "5s",
        "percentage": {"numerator": 500000, "denominator": "MILLION"},
    }
    assert found["envoy.filters.http.fault"]["abort"] == {
        "grpc_status": 14,
        "percentage": {"numerator": 1000, "denominator": "MILLION"},
    }
    assert found["envoy.filters.http.cors"]["allow_methods"] == "GET,PUT"
    assert found["envoy.filters.http.cors"]["max_age"] == "60"


@pytest.mark.parametrize(
    ("tunnel", "clusters", "expected"),
    [
        (Tunnel.NONE, (), None),
        (Tunnel.HTTP, (), {"cluster": "connect_http"}),
        (Tunnel.TCP, (("t", 1),), {"cluster": "t"}),
        (
            Tunnel.TCP,
            (("t", 1), ("u", 3)),
            {"weighted_clusters": {"clusters": [{"name": "t", "weight": 1}, {"name": "u", "weight": 3}]}},
        ),
    ],
)
def test_connect_comes_first(tunnel: Tunnel, clusters: tuple[tuple[str, int], ...], expected: Any) -> None:
    routes = (ir.Route(match=RouteMatch(), action=ir.Forward(destinations=(to(),))),)
    key = VirtualHostKey(name="h", domains=("h",), routes=routes, tunnel=tunnel, tunnel_clusters=clusters)
    found = json(virtual_host.build(key))["routes"]
    if expected is None:
        assert len(found) == 1
        return
    assert found[0]["match"] == {"connect_matcher": {}}
    assert found[0]["route"].items() >= expected.items()
    assert found[0]["route"]["upgrade_configs"] == [{"upgrade_type": "CONNECT", "connect_config": {}}]
    assert found[1]["route"]["cluster"] == CLUSTER


def test_a_route_configuration_joins_fragments() -> None:
    hosts = tuple(virtual_host(VirtualHostKey(name=name, domains=(name,))) for name in ("a", "b"))
    rest = catch_all(CatchAllKey(cluster=names.BLACK_HOLE, tunnel=Tunnel.TCP))
    key = RouteConfigurationKey(name="r", virtual_hosts=(*hosts, rest))
    found = decoded(route_configuration(key))
    assert found["name"] == "r"
    assert found["validate_clusters"] is False
    assert [one["name"] for one in found["virtual_hosts"]] == ["a", "b", "block_all"]
    assert [one["direct_response"]["status"] for one in found["virtual_hosts"][2]["routes"]] == [502, 502]


def test_allow_any_passes_through() -> None:
    found = json(catch_all.build(CatchAllKey(cluster=names.PASSTHROUGH, tunnel=Tunnel.NONE)))
    assert found["domains"] == ["*"]
    assert [one["route"]["cluster"] for one in found["routes"]] == ["PassthroughCluster"]
    assert isinstance(
        catch_all.build(CatchAllKey(cluster=names.PASSTHROUGH, tunnel=Tunnel.TCP)),
        (route_components_pb2.VirtualHost),
    )
