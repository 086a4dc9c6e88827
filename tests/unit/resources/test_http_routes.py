"""The rules of HTTP routes: each row is what is written, the field that is wrong, and a word of why."""

from collections.abc import Callable
from typing import Any

import pytest

from argosy.resources.validation import Verdict
from tests.unit.resources.virtual_services import TO, match, only, route, vs

Judge = Callable[..., Verdict]


@pytest.mark.parametrize(
    ("spec", "field", "says"),
    [
        (only(), "spec.http[0]", "does nothing"),
        (route(redirect={"uri": "/"}), "spec.http[0]", "has route and redirect, which exclude each other"),
        (route(directResponse={"status": 200}), "spec.http[0]", "exclude each other"),
        (only(redirect={"uri": "/"}, directResponse={"status": 200}), "spec.http[0]", "exclude each other"),
        (route(delegate={"name": "a"}), "spec.http[0]", "exclude each other"),
        (only(redirect={"uri": "/"}, rewrite={"uri": "/"}), "spec.http[0].rewrite", "no effect"),
        (
            only(directResponse={"status": 200}, fault={"abort": {"httpStatus": 500}}),
            "spec.http[0].fault",
            "no effect",
        ),
        (vs(hosts=[], http=[{"delegate": {"name": "a"}}]), "spec.http[0].delegate", "cannot delegate again"),
        (route(timeout="0s"), "spec.http[0].timeout", "less than 1ms"),
        (route(timeout="5"), "spec.http[0].timeout", "1h30m"),
        (route(timeout=5), "spec.http[0].timeout", "5 is not text"),
        (match(uri={"exact": "/", "prefix": "/"}), "spec.http[0].match[0].uri", "has exact and prefix"),
        (match(uri={"regex": ""}), "spec.http[0].match[0].uri.regex", "is empty"),
        (match(uri={"regex": "(?=a)"}), "spec.http[0].match[0].uri.regex", "look-around"),
        (match(scheme={"prefix": ""}), "spec.http[0].match[0].scheme.prefix", "is empty"),
        (match(headers={"x": {"prefix": ""}}), "spec.http[0].match[0].headers['x'].prefix", "is empty"),
        (match(headers={"x": None}), "spec.http[0].match[0].headers.x", "null is not a mapping"),
        (match(headers={"a b": {}}), "spec.http[0].match[0].headers['a b']", "not a header name"),
        (
            match(headers={"@request.auth.claims.a..b": {}}),
            "spec.http[0].match[0].headers['@request.auth.claims.a..b']",
            "not a header name",
        ),
        (match(headers={"": {}}), "spec.http[0].match[0].headers['']", "is empty"),
        (
            match(headers={"@request.auth.claims.a": {"exact": "b"}}),
            "spec.http[0].match[0].headers['@request.auth.claims.a']",
            "at gateways alone",
        ),
        (
            match(withoutHeaders={"x": {"regex": "?"}}),
            "spec.http[0].match[0].withoutHeaders['x'].regex",
            "repeat",
        ),
        (
            match(queryParams={"q": {"regex": "a)"}}),
            "spec.http[0].match[0].queryParams['q'].regex",
            "without",
        ),
        (match(port=70000), "spec.http[0].match[0].port", "70000 is not a port"),
        (match(port=-1), "spec.http[0].match[0].port", "less than 0"),
        (match(sourceLabels={"a b": "c"}), "spec.http[0].match[0].sourceLabels", "not a label key"),
        (match(sourceLabels={"a": "b c"}), "spec.http[0].match[0].sourceLabels", "not a label value"),
        (match(sourceNamespace="a.b"), "spec.http[0].match[0].sourceNamespace", "not a DNS label"),
        (match(gateways=["/a"]), "spec.http[0].match[0].gateways[0]", "namespace"),
        (only(redirect={}), "spec.http[0].redirect", "goes nowhere"),
        (
            only(redirect={"uri": "/", "redirectCode": 200}),
            "spec.http[0].redirect.redirectCode",
            "200 is not",
        ),
        (only(redirect={"scheme": "ftp"}), "spec.http[0].redirect.scheme", "'ftp' is not http or https"),
        (only(redirect={"port": 65536}), "spec.http[0].redirect.port", "not a port"),
        (
            only(redirect={"port": 1, "derivePort": "FROM_REQUEST_PORT"}),
            "spec.http[0].redirect.derivePort",
            "excludes port",
        ),
        (
            only(redirect={"uri": "/", "prefixRewrite": "/"}),
            "spec.http[0].redirect.prefixRewrite",
            "excludes uri",
        ),
        (
            only(redirect={"prefixRewrite": "/b"}, match=[{"uri": {"exact": "/a"}}]),
            "spec.http[0].redirect.prefixRewrite",
            "match[0].uri is none",
        ),
        (
            only(redirect={"prefixRewrite": "/b"}, match=[{"uri": {"regex": "/a.*"}}]),
            "spec.http[0].redirect.prefixRewrite",
            "needs a prefix",
        ),
        (
            only(redirect={"derivePort": "X"}),
            "spec.http[0].redirect.derivePort",
            "not one of FROM_PROTOCOL_DEFAULT",
        ),
        (only(directResponse={"status": 600}), "spec.http[0].directResponse.status", "use 200 to 599"),
        (only(directResponse={}), "spec.http[0].directResponse.status", "is missing"),
        (
            only(directResponse={"status": 200, "body": {"string": "x" * (2**20 + 1)}}),
            "spec.http[0].directResponse.body",
            "at most",
        ),
        (
            only(directResponse={"status": 200, "body": {"bytes": "*"}}),
            "spec.http[0].directResponse.body.bytes",
            "not base64",
        ),
        (
            only(directResponse={"status": 200, "body": {"bytes": "aa", "string": ""}}),
            "spec.http[0].directResponse.body",
            "keep one",
        ),
        (route(rewrite={}), "spec.http[0].rewrite", "rewrites nothing"),
        (
            route(rewrite={"uri": "/", "uriRegexRewrite": {"match": "a", "rewrite": "b"}}),
            "spec.http[0].rewrite.uriRegexRewrite",
            "excludes uri",
        ),
        (
            route(rewrite={"uriRegexRewrite": {"match": "a"}}),
            "spec.http[0].rewrite.uriRegexRewrite",
            "needs both",
        ),
        (
            route(rewrite={"uriRegexRewrite": {"match": "(", "rewrite": "b"}}),
            "spec.http[0].rewrite.uriRegexRewrite.match",
            "without",
        ),
        (
            route(rewrite={"authority": "a"}, headers={"request": {"set": {"Host": "b"}}}),
            "spec.http[0]",
            "rewrite.authority and headers.request.set['Host']",
        ),
        (route(retries={"attempts": -1}), "spec.http[0].retries.attempts", "-1 is negative"),
        (route(retries={"retryOn": "5xx"}), "spec.http[0].retries.retryOn", "attempts is 0"),
        (
            route(retries={"attempts": 0, "perTryTimeout": "1s"}),
            "spec.http[0].retries.perTryTimeout",
            "attempts is 0",
        ),
        (route(retries={"attempts": 1, "retryOn": "5xx, reset"}), "spec.http[0].retries.retryOn", "' reset'"),
        (route(retries={"attempts": 1, "retryOn": "999"}), "spec.http[0].retries.retryOn", "'999'"),
        (route(retries={"attempts": 1, "backoff": "1us"}), "spec.http[0].retries.backoff", "millisecond"),
        (route(fault={}), "spec.http[0].fault", "injects nothing"),
        (
            route(fault={"delay": {"fixedDelay": "0s"}}),
            "spec.http[0].fault.delay.fixedDelay",
            "less than 1ms",
        ),
        (
            route(fault={"delay": {"exponentialDelay": "1s"}}),
            "spec.http[0].fault.delay.exponentialDelay",
            "not supported",
        ),
        (
            route(fault={"abort": {"httpStatus": 500, "percentage": {"value": 100.1}}}),
            "spec.http[0].fault.abort.percentage.value",
            "100.1",
        ),
        (
            route(fault={"abort": {"httpStatus": 500, "percentage": {"value": 0.00001}}}),
            "spec.http[0].fault.abort.percentage.value",
            "neither 0",
        ),
        (route(fault={"abort": {"httpStatus": 199}}), "spec.http[0].fault.abort.httpStatus", "200 to 599"),
        (
            route(fault={"abort": {"grpcStatus": "not_found"}}),
            "spec.http[0].fault.abort.grpcStatus",
            "NOT_FOUND",
        ),
        (route(fault={"abort": {"http2Error": "x"}}), "spec.http[0].fault.abort.http2Error", "not supported"),
        (
            route(fault={"abort": {"httpStatus": 500, "grpcStatus": "OK"}}),
            "spec.http[0].fault.abort",
            "keep one",
        ),
        (route(mirror={"host": "*"}), "spec.http[0].mirror.host", "not a destination"),
        (
            route(mirror={"host": "a"}, mirrors=[{"destination": {"host": "b"}}]),
            "spec.http[0].mirrors",
            "excludes",
        ),
        (route(mirrors=[{}]), "spec.http[0].mirrors[0].destination", "is missing"),
        (
            route(mirrors=[{"destination": {"host": "b"}, "percentage": {"value": -1}}]),
            "spec.http[0].mirrors[0].percentage.value",
            "-1 is not between",
        ),
        (route(mirrorPercentage={"value": 101}), "spec.http[0].mirrorPercentage.value", "101 is not between"),
        (route(mirrorPercent=101), "spec.http[0].mirrorPercent", "101 is not between"),
        (
            route(corsPolicy={"allowOrigins": [{}]}),
            "spec.http[0].corsPolicy.allowOrigins[0]",
            "matches nothing",
        ),
        (route(corsPolicy={"allowMethods": ["get"]}), "spec.http[0].corsPolicy.allowMethods[0]", "'get'"),
        (
            route(corsPolicy={"exposeHeaders": ["a b"]}),
            "spec.http[0].corsPolicy.exposeHeaders[0]",
            "header name",
        ),
        (route(corsPolicy={"maxAge": "1500ms"}), "spec.http[0].corsPolicy.maxAge", "whole seconds"),
        (
            route(corsPolicy={"unmatchedPreflights": "X"}),
            "spec.http[0].corsPolicy.unmatchedPreflights",
            '"X" is not one of',
        ),
        (
            vs(http=[{"route": [{"destination": {"host": "a"}}, {"destination": {"host": "b"}}]}]),
            "spec.http[0].route",
            "add up to 0",
        ),
        (
            vs(http=[{"route": [{"destination": {"host": "a"}, "weight": -1}]}]),
            "spec.http[0].route[0].weight",
            "-1",
        ),
        (vs(http=[{"route": [{"weight": 1}]}]), "spec.http[0].route[0].destination", "is missing"),
        (
            vs(http=[{"route": [{"destination": {"host": "a", "subset": "a.b"}}]}]),
            "spec.http[0].route[0].destination.subset",
            "DNS label",
        ),
        (
            vs(http=[{"route": [{"destination": {"host": "a", "port": {}}}]}]),
            "spec.http[0].route[0].destination.port.number",
            "0 is not a port",
        ),
        (vs(http=[None]), "spec.http[0]", "null is not a mapping"),
        (route(retry={}), "spec.http[0].retry", "is not a field"),
        (route(cors_policy={}), "spec.http[0].cors_policy", "did you mean corsPolicy?"),
    ],
)
def test_invalid(judge: Judge, spec: dict[str, Any], field: str, says: str) -> None:
    errors = judge("VirtualService", spec).errors
    assert [problem.field for problem in errors] == [field]
    assert says in errors[0].message


@pytest.mark.parametrize(
    ("spec", "field", "says"),
    [
        (route(mirror={"host": "a"}, mirrorPercent=5), "spec.http[0].mirrorPercent", "mirrorPercentage"),
        (route(fault={"abort": {}}), "spec.http[0].fault.abort", "aborts with nothing"),
        (
            route(fault={"delay": {"percent": 5, "fixedDelay": "1s"}}),
            "spec.http[0].fault.delay.percent",
            "deprecated",
        ),
        (route(corsPolicy={"allowOrigin": ["a"]}), "spec.http[0].corsPolicy.allowOrigin", "allowOrigins"),
        (only(redirect={"uri": "/", "redirectCode": 304}), "spec.http[0].redirect.redirectCode", "304"),
        (
            only(directResponse={"status": 200, "body": {"string": "x" * 200_000}}),
            "spec.http[0].directResponse.body",
            "200000 bytes",
        ),
        (route(websocketUpgrade=True), "spec.http[0].websocketUpgrade", "always upgraded"),
        (
            vs(http=[{"route": TO}, {"match": [{"port": 1}], "route": TO}]),
            "spec.http[1]",
            "spec.http[0] before it",
        ),
        (
            vs(http=[{"match": [{"uri": {"prefix": p}, "port": 1}], "route": TO} for p in ("/a", "/a/b")]),
            "spec.http[1].match[0]",
            "spec.http[0].match[0] before it",
        ),
        (
            vs(
                http=[
                    {"match": [{"uri": {"prefix": "/a"}}], "route": TO},
                    {"match": [{"uri": {"prefix": "/ab"}, "method": {"exact": "GET"}}], "route": TO},
                ]
            ),
            "spec.http[1].match[0]",
            "spec.http[0].match[0] before it",
        ),
        (
            vs(
                http=[
                    {"match": [{"uri": {k: v}, "port": 1}], "route": TO}
                    for k, v in (("prefix", "/"), ("exact", "/a"))
                ]
            ),
            "spec.http[1].match[0]",
            "spec.http[0].match[0] before it",
        ),
    ],
)
def test_warned_of(judge: Judge, spec: dict[str, Any], field: str, says: str) -> None:
    verdict = judge("VirtualService", spec)
    assert verdict.errors == ()
    assert [problem.field for problem in verdict.warnings] == [field]
    assert says in verdict.warnings[0].message


def test_a_route_all_of_whose_matches_are_repeated_is_warned_of_as_a_whole(judge: Judge) -> None:
    spec = vs(http=[{"match": [{"uri": {"prefix": "/a"}, "name": n}], "route": TO} for n in "xy"])
    told = {problem.field: problem.message for problem in judge("VirtualService", spec).warnings}
    assert list(told) == ["spec.http[1].match[0]", "spec.http[1]"]
    assert "spec.http[0].match[0] before it" in told["spec.http[1].match[0]"]
    assert "routes before it have all its matches" in told["spec.http[1]"]


@pytest.mark.parametrize(
    "routes",
    [
        [{"match": [{"uri": {"prefix": "/a"}}]}, {"match": [{"uri": {"prefix": "/b"}}]}, {}],
        [{"match": [{"uri": {"prefix": "/a"}, "port": 1}]}, {"match": [{"uri": {"prefix": "/a/b"}}]}],
        [{"match": [{"uri": {"exact": "/a"}}]}, {"match": [{"uri": {"prefix": "/a"}}]}],
        [{"match": [{"uri": {"prefix": "/a/b"}}]}, {"match": [{"uri": {"prefix": "/a"}}]}],
    ],
)
def test_routes_that_can_be_reached_are_not_warned_of(judge: Judge, routes: list[dict[str, Any]]) -> None:
    verdict = judge("VirtualService", vs(http=[{"route": TO} | route for route in routes]))
    assert verdict.errors == ()
    assert verdict.warnings == ()
