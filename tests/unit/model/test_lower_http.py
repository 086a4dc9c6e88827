"""Each field of an HTTPRoute: what is written, and what it means."""

from __future__ import annotations

from typing import Any

import pytest
import yaml

from argosy.model import ir
from argosy.model.errors import LoweringError
from argosy.model.ir import BUILT_IN_RETRY
from argosy.model.lower_http import Names, http_rule
from argosy.model.rules import HttpRule, MirrorTarget, Target
from argosy.resources.networking import VirtualService
from tests.unit.model.written import exact, obj, prefix

TO_REVIEWS = "route: [{destination: {host: reviews}}]"


def lowered(text: str) -> HttpRule:
    body: dict[str, Any] = yaml.safe_load(text)
    made = obj("VirtualService", "shop/v", {"hosts": ["reviews"], "http": [body]})
    assert isinstance(made, VirtualService)
    return http_rule(made.spec.http[0], Names("shop", "cluster.local"), "spec.http[0]")


@pytest.mark.parametrize(
    ("written", "match"),
    [
        ("{uri: {exact: /a}}", ir.RouteMatch(uri=exact("/a"))),
        (
            "{uri: {prefix: /a}, ignoreUriCase: true}",
            ir.RouteMatch(uri=ir.StringMatch(ir.MatchKind.PREFIX, "/a", True)),
        ),
        (
            "{uri: {regex: '/a.*'}, ignoreUriCase: true}",
            ir.RouteMatch(uri=ir.StringMatch(ir.MatchKind.REGEX, "/a.*")),
        ),
        ("{scheme: {exact: https}}", ir.RouteMatch(scheme=exact("https"))),
        ("{method: {exact: GET}}", ir.RouteMatch(method=exact("GET"))),
        ("{authority: {prefix: api.}}", ir.RouteMatch(authority=prefix("api."))),
        (
            "{headers: {b: {exact: x}, a: {}}}",
            ir.RouteMatch(
                headers=(
                    ir.NamedMatch("a", ir.StringMatch(ir.MatchKind.PRESENT)),
                    ir.NamedMatch("b", exact("x")),
                )
            ),
        ),
        (
            "{headers: {a: {regex: '*'}}}",
            ir.RouteMatch(headers=(ir.NamedMatch("a", ir.StringMatch(ir.MatchKind.PRESENT)),)),
        ),
        (
            "{withoutHeaders: {a: {prefix: x}}}",
            ir.RouteMatch(headers=(ir.NamedMatch("a", prefix("x"), invert=True),)),
        ),
        (
            "{headers: {'@request.auth.claims.a.b': {exact: x}, c: {exact: y}}}",
            ir.RouteMatch(
                headers=(ir.NamedMatch("c", exact("y")),), claims=(ir.ClaimMatch(("a", "b"), exact("x")),)
            ),
        ),
        (
            "{withoutHeaders: {'@Request.Auth.Claims[a.b][c]': {}}}",
            ir.RouteMatch(
                claims=(ir.ClaimMatch(("a.b", "c"), ir.StringMatch(ir.MatchKind.PRESENT), invert=True),)
            ),
        ),
        ("{queryParams: {q: {exact: ''}}}", ir.RouteMatch(query=(ir.NamedMatch("q", exact("")),))),
    ],
)
def test_matches(written: str, match: ir.RouteMatch) -> None:
    assert lowered(f"{{match: [{written}], {TO_REVIEWS}}}").matches[0].match == match


BASE = BUILT_IN_RETRY.retry_on


@pytest.mark.parametrize(
    ("written", "policy"),
    [
        ("{attempts: 0}", ir.RetryPolicy(attempts=0)),
        ("{perTryTimeout: 1s}", ir.RetryPolicy(attempts=0)),
        ("{attempts: 5}", ir.RetryPolicy(attempts=5, retry_on=BASE)),
        (
            "{attempts: 1, perTryTimeout: 250ms, backoff: 10ms}",
            ir.RetryPolicy(attempts=1, per_try_timeout=250, backoff=10, retry_on=BASE),
        ),
        (
            "{attempts: 1, retryOn: 'gateway-error, 502,503'}",
            ir.RetryPolicy(attempts=1, retry_on=("gateway-error", "502", "503", "retriable-status-codes")),
        ),
        ("{attempts: 1, retryOn: 5xx}", ir.RetryPolicy(attempts=1, retry_on=("5xx",))),
        (
            "{attempts: 1, retryOn: 5xx, retryRemoteLocalities: true, retryIgnorePreviousHosts: false}",
            ir.RetryPolicy(
                attempts=1, retry_on=("5xx",), remote_localities=True, ignore_previous_hosts=False
            ),
        ),
    ],
)
def test_retries(written: str, policy: ir.RetryPolicy) -> None:
    assert lowered(f"{{retries: {written}, {TO_REVIEWS}}}").retry == policy


@pytest.mark.parametrize(
    ("written", "fault"),
    [
        (
            "{delay: {fixedDelay: 2s, percentage: {value: 12.5}}}",
            ir.Fault(delay=ir.Delay(2000, 12.5)),
        ),
        ("{delay: {fixedDelay: 2s, percent: 10}}", ir.Fault(delay=ir.Delay(2000, 10.0))),
        ("{delay: {fixedDelay: 2s}}", None),
        ("{delay: {fixedDelay: 2s, percentage: {value: 0}}}", None),
        (
            "{abort: {httpStatus: 503, percentage: {value: 100}}}",
            ir.Fault(abort=ir.Abort(http_status=503, percent=100.0)),
        ),
        (
            "{abort: {grpcStatus: UNAVAILABLE, percentage: {value: 1}}}",
            ir.Fault(abort=ir.Abort(grpc_status=14, percent=1.0)),
        ),
        ("{abort: {httpStatus: 503}}", None),
    ],
)
def test_faults(written: str, fault: ir.Fault | None) -> None:
    assert lowered(f"{{fault: {written}, {TO_REVIEWS}}}").fault == fault


@pytest.mark.parametrize(
    ("written", "weights"),
    [
        ("[{destination: {host: a}}]", {"a": 1}),
        ("[{destination: {host: a}, weight: 0}]", {"a": 1}),
        ("[{destination: {host: a}, weight: 90}, {destination: {host: b}, weight: 10}]", {"a": 90, "b": 10}),
        ("[{destination: {host: a}, weight: 100}, {destination: {host: b}, weight: 0}]", {"a": 100}),
        ("[{destination: {host: a}, weight: 1}, {destination: {host: b}}]", {"a": 1}),
    ],
)
def test_weights(written: str, weights: dict[str, int]) -> None:
    found = lowered(f"{{route: {written}}}").targets
    assert {item.target.host.partition(".")[0]: item.weight for item in found} == weights


def test_a_destination_is_named_in_full_with_its_port_and_subset() -> None:
    rule = lowered("route: [{destination: {host: reviews, port: {number: 9080}, subset: v2}}]")
    assert rule.targets[0].target == Target("reviews.shop.svc.cluster.local", 9080, "v2")


@pytest.mark.parametrize(
    ("written", "mirrors"),
    [
        ("mirror: {host: b.x}", (MirrorTarget(Target("b.x")),)),
        ("mirror: {host: b.x}, mirrorPercentage: {value: 5}", (MirrorTarget(Target("b.x"), 5.0),)),
        ("mirror: {host: b.x}, mirrorPercent: 7", (MirrorTarget(Target("b.x"), 7.0),)),
        ("mirror: {host: b.x}, mirrorPercentage: {value: 0}", ()),
        (
            "mirrors: [{destination: {host: b.x}}, {destination: {host: c.x}, percentage: {value: 1}}]",
            (MirrorTarget(Target("b.x")), MirrorTarget(Target("c.x"), 1.0)),
        ),
    ],
)
def test_mirrors(written: str, mirrors: tuple[MirrorTarget, ...]) -> None:
    assert lowered(f"{{{written}, {TO_REVIEWS}}}").mirrors == mirrors


@pytest.mark.parametrize(
    ("written", "redirect"),
    [
        ("{uri: /new}", ir.Redirect(uri="/new")),
        ("{authority: a.b, redirectCode: 302}", ir.Redirect(authority="a.b", code=302)),
        ("{scheme: https, port: 8443}", ir.Redirect(scheme="https", port=8443)),
        ("{derivePort: FROM_PROTOCOL_DEFAULT}", ir.Redirect(derive_port="FROM_PROTOCOL_DEFAULT")),
        ("{prefixRewrite: /v2}", ir.Redirect(prefix_rewrite="/v2")),
    ],
)
def test_redirects(written: str, redirect: ir.Redirect) -> None:
    assert lowered(f"redirect: {written}").redirect == redirect


@pytest.mark.parametrize(
    ("written", "response"),
    [
        ("{status: 204}", ir.DirectResponse(status=204)),
        ("{status: 200, body: {string: hi}}", ir.DirectResponse(status=200, body=b"hi")),
        ("{status: 200, body: {bytes: aGk=}}", ir.DirectResponse(status=200, body=b"hi")),
    ],
)
def test_direct_responses(written: str, response: ir.DirectResponse) -> None:
    assert lowered(f"directResponse: {written}").direct == response


def test_everything_else_of_a_route() -> None:
    rule = lowered(
        f"""
        name: r
        timeout: 1.5s
        rewrite: {{uri: /x, authority: h, uriRegexRewrite: {{match: '^/a', rewrite: /b}}}}
        headers:
          request: {{set: {{b: "2", a: "1"}}, add: {{c: "3"}}, remove: [d]}}
          response: {{set: {{e: "5"}}}}
        corsPolicy:
          allowOrigins: [{{exact: 'https://a'}}, {{regex: '.*'}}]
          allowMethods: [GET]
          allowHeaders: [h]
          exposeHeaders: [x]
          maxAge: 24h
          allowCredentials: true
          unmatchedPreflights: IGNORE
        {TO_REVIEWS}
        """
    )
    assert (rule.name, rule.timeout) == ("r", 1500)
    assert rule.rewrite == ir.Rewrite(uri="/x", authority="h", regex="^/a", regex_substitution="/b")
    assert rule.headers == ir.HeaderOps(
        request_set=(("a", "1"), ("b", "2")),
        request_add=(("c", "3"),),
        request_remove=("d",),
        response_set=(("e", "5"),),
    )
    assert rule.cors == ir.Cors(
        allow_origins=(exact("https://a"), ir.StringMatch(ir.MatchKind.REGEX, ".*")),
        allow_methods=("GET",),
        allow_headers=("h",),
        expose_headers=("x",),
        max_age=86_400_000,
        allow_credentials=True,
        unmatched_preflights="IGNORE",
    )


def test_the_deprecated_origins_are_exact() -> None:
    cors = lowered(f"{{corsPolicy: {{allowOrigin: ['*']}}, {TO_REVIEWS}}}").cors
    assert cors == ir.Cors(allow_origins=(exact("*"),))


@pytest.mark.parametrize(
    ("written", "field", "says"),
    [
        (f"{{timeout: soon, {TO_REVIEWS}}}", "spec.http[0].timeout", "soon"),
        ("{match: []}", "spec.http[0]", "add one"),
        (
            "{route: [{destination: {host: a}, weight: 0}, {destination: {host: b}, weight: 0}]}",
            "spec.http[0].route",
            "every weight is 0",
        ),
        (
            "{route: [{destination: {host: a}, weight: -1}, {destination: {host: b}, weight: 1}]}",
            "spec.http[0].route[0].weight",
            "-1",
        ),
        (
            f"{{retries: {{attempts: 1, perTryTimeout: x}}, {TO_REVIEWS}}}",
            "spec.http[0].retries.perTryTimeout",
            "x",
        ),
        (
            f"{{fault: {{abort: {{grpcStatus: NOPE, percentage: {{value: 1}}}}}}, {TO_REVIEWS}}}",
            "spec.http[0].fault.abort.grpcStatus",
            "NOPE",
        ),
        (
            "{directResponse: {status: 200, body: {bytes: '###'}}}",
            "spec.http[0].directResponse.body.bytes",
            "base64",
        ),
        ("{route: [{destination: {host: ''}}]}", "spec.http[0].route[0].destination", "host"),
    ],
)
def test_what_cannot_be_lowered_names_its_field_and_value(written: str, field: str, says: str) -> None:
    with pytest.raises(LoweringError) as caught:
        lowered(written)
    assert caught.value.field == field
    assert says in caught.value.message
