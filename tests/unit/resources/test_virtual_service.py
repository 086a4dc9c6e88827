"""The rules of VirtualService but for its HTTP routes (test_http_routes.py): each row is what is written, the field
that is wrong, and a word of why."""

from collections.abc import Callable
from typing import Any

import pytest

from argosy.resources.validation import Verdict
from tests.unit.resources.virtual_services import TO, match, only, route, vs

Judge = Callable[..., Verdict]


@pytest.mark.parametrize(
    "spec",
    [
        vs(),
        vs(hosts=["*.example.com", "reviews", "10.0.0.1", "example.com."]),
        vs(hosts=["*"], gateways=["shop/gw"]),
        vs(hosts=[], http=[{"route": TO}]),
        vs(gateways=["mesh", "shop/gw", "gw"]),
        vs(exportTo=["."]),
        vs(exportTo=["*"]),
        vs(exportTo=["a", "b"]),
        route(timeout="1h30m"),
        route(timeout=None, match=None, retries=None),
        route(headers={"request": {"set": {"host": "a", "x": "%REQ(:path):10%"}, "remove": ["y"]}}),
        route(
            headers={
                "response": {"add": {"x": '%DOWNSTREAM_PEER_SUBJECT% 100%% %UPSTREAM_METADATA(["a", "b"])%'}}
            }
        ),
        match(uri={"prefix": ""}),
        match(headers={"x": {}, "y": {"exact": ""}}),
        match(withoutHeaders={"x": {"regex": "*"}}),
        match(port=80, sourceLabels={"app": "a"}, sourceNamespace="shop", gateways=["shop/gw"]),
        vs(
            gateways=["shop/gw"],
            http=[{"match": [{"headers": {"@request.auth.claims.sub": {"exact": "a"}}}], "route": TO}],
        ),
        vs(
            gateways=["shop/gw"],
            http=[
                {"match": [{"withoutHeaders": {"@request.auth.claims[a][b.c]": {"exact": "a"}}}], "route": TO}
            ],
        ),
        only(redirect={"uri": "/x"}),
        only(redirect={"port": 8080}),
        only(redirect={"derivePort": "FROM_REQUEST_PORT"}),
        only(redirect={"authority": "a", "redirectCode": 308, "scheme": "https"}),
        only(redirect={"prefixRewrite": "/b"}, match=[{"uri": {"prefix": "/a"}}, {"port": 80}]),
        only(directResponse={"status": 503, "body": {"string": "no"}}),
        only(directResponse={"status": 200, "body": {"bytes": "aGVsbG8"}}),
        only(delegate={"name": "a", "namespace": "b"}, match=[{"uri": {"prefix": "/a"}}]),
        route(rewrite={"uri": "/"}),
        route(rewrite={"uriRegexRewrite": {"match": "^/a/(.*)$", "rewrite": "/\\1"}, "authority": "a"}),
        route(retries={"attempts": 0}),
        route(
            retries={
                "attempts": 3,
                "retryOn": "5xx,reset,429,unavailable",
                "perTryTimeout": "2s",
                "backoff": "25ms",
            }
        ),
        route(fault={"delay": {"fixedDelay": "5s", "percentage": {"value": 0.0001}}}),
        route(fault={"abort": {"httpStatus": 599, "percentage": {"value": 100}}}),
        route(fault={"abort": {"grpcStatus": "NOT_FOUND"}}),
        route(mirror={"host": "b", "port": {"number": 80}}, mirrorPercentage={"value": 10.5}),
        route(
            mirrors=[
                {"destination": {"host": "b"}, "percentage": {"value": 1}},
                {"destination": {"host": "c"}},
            ]
        ),
        route(
            corsPolicy={
                "allowOrigins": [{"exact": "a"}],
                "allowMethods": ["GET"],
                "allowHeaders": ["*"],
                "maxAge": "1m",
            }
        ),
        vs(
            http=[
                {
                    "route": [
                        {"destination": {"host": "a"}, "weight": 1},
                        {"destination": {"host": "b"}, "weight": 700},
                    ]
                }
            ]
        ),
        {"hosts": ["a.com"], "tls": [{"match": [{"sniHosts": ["a.com"], "port": 443}], "route": TO}]},
        {"hosts": ["*.com"], "tls": [{"match": [{"sniHosts": ["*.a.com"]}], "route": TO}]},
        {
            "hosts": ["a"],
            "tcp": [{"match": [{"destinationSubnets": ["10.0.0.0/8", "::1"], "port": 1}], "route": TO}],
        },
        {
            "hosts": ["outbound_.80_._.a.com"],
            "gateways": ["ns/gw"],
            "tls": [{"match": [{"sniHosts": ["outbound_.80_._.a.com"]}], "route": TO}],
        },
    ],
)
def test_valid(judge: Judge, spec: dict[str, Any]) -> None:
    verdict = judge("VirtualService", spec)
    assert verdict.errors == ()
    assert verdict.kind is not None


@pytest.mark.parametrize(
    ("spec", "field", "says"),
    [
        (vs(hosts=["a b"]), "spec.hosts[0]", "not a host name"),
        (vs(hosts=["a.*.com"]), "spec.hosts[0]", "not a host name"),
        (vs(hosts=["a" * 64]), "spec.hosts[0]", "not a host name"),
        (vs(hosts=["a.1"]), "spec.hosts[0]", "is a number"),
        (vs(hosts=["1.2.3.4.5"]), "spec.hosts[0]", "is a number"),
        (vs(hosts=["a." * 130]), "spec.hosts[0]", "at most 255"),
        (vs(hosts=[""]), "spec.hosts[0]", "is empty"),
        (vs(hosts=["*"]), "spec.hosts[0]", "bind it to gateways alone"),
        (vs(hosts=["*"], gateways=["mesh", "a/b"]), "spec.hosts[0]", "bind it to gateways alone"),
        (vs(hosts=["a", "a"]), "spec.hosts[1]", "overlaps 'a'"),
        (vs(hosts=["*.a.com", "*.com"]), "spec.hosts[1]", "overlaps"),
        (vs(hosts=["*.com", "x.com"]), "spec.hosts[1]", "overlaps"),
        (vs(gateways=["a/"]), "spec.gateways[0]", "write namespace/name"),
        (vs(gateways=["a/b.c"]), "spec.gateways[0]", "write namespace/name"),
        (vs(gateways=["*"]), "spec.gateways[0]", "not a host name"),
        (vs(hosts=[], gateways=["a/b"]), "spec.gateways", "not for a delegate"),
        (vs(hosts=[], tcp=[{"route": TO}]), "spec.tcp", "not for a delegate"),
        ({"hosts": ["a"]}, "spec", "has no routes"),
        (vs(exportTo=["~"]), "spec.exportTo[0]", "ServiceEntry alone"),
        (vs(exportTo=["*", "a"]), "spec.exportTo", "use '*' alone"),
        (vs(exportTo=[".", "shop"]), "spec.exportTo[1]", "twice"),
        (vs(exportTo=["A_B"]), "spec.exportTo[0]", "not a DNS label"),
        ({"hosts": ["a"], "tls": [{"match": [], "route": TO}]}, "spec.tls[0].match", "is empty"),
        ({"hosts": ["a"], "tls": [{"route": TO}]}, "spec.tls[0].match", "is missing"),
        ({"hosts": ["a"], "tls": [{"match": [{"sniHosts": ["a"]}]}]}, "spec.tls[0].route", "is empty"),
        (
            {"hosts": ["a"], "tls": [{"match": [{"sniHosts": []}], "route": TO}]},
            "spec.tls[0].match[0].sniHosts",
            "empty",
        ),
        (
            {"hosts": ["a"], "tls": [{"match": [{"sniHosts": ["b"]}], "route": TO}]},
            "spec.tls[0].match[0].sniHosts[0]",
            "not covered by spec.hosts (a)",
        ),
        (
            {"hosts": ["a.com"], "tls": [{"match": [{"sniHosts": ["*.com"]}], "route": TO}]},
            "spec.tls[0].match[0].sniHosts[0]",
            "not covered",
        ),
        ({"hosts": ["a"], "tcp": [{}]}, "spec.tcp[0].route", "is empty"),
        (
            {"hosts": ["a"], "tcp": [{"match": [{"destinationSubnets": ["10.0.0.0/33"]}], "route": TO}]},
            "spec.tcp[0].match[0].destinationSubnets[0]",
            "not a CIDR block",
        ),
        (
            {
                "hosts": ["a"],
                "tcp": [{"match": [{"destinationSubnets": ["10.0.0.0/255.0.0.0"]}], "route": TO}],
            },
            "spec.tcp[0].match[0].destinationSubnets[0]",
            "not a CIDR block",
        ),
        (
            {"hosts": ["a"], "tcp": [{"match": [{"sourceSubnet": "x"}], "route": TO}]},
            "spec.tcp[0].match[0].sourceSubnet",
            "not an IP",
        ),
        (vs(gateway=["a"]), "spec.gateway", "the fields here are hosts, gateways"),
    ],
)
def test_invalid(judge: Judge, spec: dict[str, Any], field: str, says: str) -> None:
    errors = judge("VirtualService", spec).errors
    assert [problem.field for problem in errors] == [field]
    assert says in errors[0].message


@pytest.mark.parametrize(
    ("spec", "field", "says"),
    [
        (vs(gateways=["gw.shop.svc.cluster.local"]), "spec.gateways[0]", "write 'shop/gw'"),
        (
            {"hosts": ["1.2.3.4"], "tls": [{"match": [{"sniHosts": ["1.2.3.4"]}], "route": TO}]},
            "spec.tls[0].match[0].sniHosts[0]",
            "IP address",
        ),
        ({"hosts": ["a"], "tcp": [{"route": TO}, {"route": TO}]}, "spec.tcp[1]", "spec.tcp[0] before it"),
        (
            {"hosts": ["a"], "tcp": [{"match": [{"port": 1}, {"port": 1}], "route": TO}]},
            "spec.tcp[0].match[1]",
            "spec.tcp[0].match[0] before it",
        ),
    ],
)
def test_warned_of(judge: Judge, spec: dict[str, Any], field: str, says: str) -> None:
    verdict = judge("VirtualService", spec)
    assert verdict.errors == ()
    assert [problem.field for problem in verdict.warnings] == [field]
    assert says in verdict.warnings[0].message


def test_every_problem_is_found_at_once(judge: Judge) -> None:
    spec = vs(
        hosts=["a b"],
        unknown=1,
        http=[{"route": [{"destination": {"host": ""}, "weight": -3}], "timeout": "1"}],
    )
    assert [problem.field for problem in judge("VirtualService", spec).errors] == [
        "spec.unknown",
        "spec.hosts[0]",
        "spec.http[0].route[0].destination.host",
        "spec.http[0].route[0].weight",
        "spec.http[0].timeout",
    ]
