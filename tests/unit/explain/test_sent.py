"""What becomes of a request on its way, and of its answer."""

from __future__ import annotations

import pytest

from argosy.explain import render
from argosy.explain.outcome import Answered, Forwarded, Redirected, Replied, Unrouted, Verdict
from argosy.model import ir
from argosy.model.scope import Interception
from tests.unit.explain.asked import SHOP, asked, clusters, shop, virtual_service
from tests.unit.model.written import mesh_config

ITSELF = f"outbound|9080||reviews.{SHOP}"
REVIEWS = "http://reviews:9080/"
REDIRECT = Interception.REDIRECT


@pytest.mark.parametrize(
    ("rule", "path", "sent"),
    [
        ("{match: [{uri: {prefix: /a}}], rewrite: {uri: /n}}", "a/b?q", "/n/b?q"),
        ("{match: [{uri: {exact: /a}}], rewrite: {uri: /n}}", "a?q", "/n?q"),
        ("{match: [{uri: {regex: '/a.*'}}], rewrite: {uri: /n}}", "abc?q", "/n?q"),
        ("{rewrite: {uri: /n}}", "a", "/na"),
        ("{rewrite: {uriRegexRewrite: {match: 'a', rewrite: 'b'}}}", "aa?a", "/bb?a"),
        ("{}", "a/../b", "/b"),
    ],
)
def test_a_path_is_rewritten(rule: str, path: str, sent: str) -> None:
    route = rule[:-1] + (", " if rule != "{}" else "") + "route: [{destination: {host: reviews}}]}"
    found = asked(shop(virtual_service(f"[{route}]")), REVIEWS + path)
    assert isinstance(found.verdict, Forwarded)
    assert found.verdict.targets[0].path == sent


def test_headers_of_one_destination_are_the_routes_and_of_several_the_route_has_the_last_word() -> None:
    headers = "headers: {request: {set: {x-a: %s, Host: %s}, add: {x-b: %s}, remove: [x-c]}}"
    of = "{destination: {host: reviews}, weight: %s, " + headers % ("theirs", "theirs.test", "theirs") + "}"
    sent = (("x-a", "own"), ("x-c", "1"))
    for destinations, expected in (
        ((of % 1,), (("x-a", "theirs"), ("x-b", "mine"), ("x-b", "theirs"))),
        ((of % 1, of % 2), (("x-b", "theirs"), ("x-a", "mine"), ("x-b", "mine"))),
    ):
        rule = f"{{{headers % ('mine', 'mine.test', 'mine')}, route: [{', '.join(destinations)}]}}"
        found = asked(shop(virtual_service(f"[{rule}]")), REVIEWS, *sent)
        assert isinstance(found.verdict, Forwarded)
        assert found.verdict.targets[0].headers == expected
        assert found.verdict.targets[0].authority == (
            "theirs.test" if len(destinations) == 1 else "mine.test"
        )


def test_an_authority_that_is_rewritten_is_told_to_the_destination() -> None:
    rule = "[{rewrite: {authority: new.test}, route: [{destination: {host: reviews}}]}]"
    found = asked(shop(virtual_service(rule)), REVIEWS)
    assert isinstance(found.verdict, Forwarded)
    target = found.verdict.targets[0]
    assert (target.authority, target.headers) == ("new.test", (("x-forwarded-host", "reviews:9080"),))


@pytest.mark.parametrize(
    ("rule", "asked_for", "told"),
    [
        ("rewrite: {authority: new.test}, route: [{destination: {host: reviews}}]", "true", True),
        ("rewrite: {authority: new.test}, route: [{destination: {host: reviews}}]", "false", False),
        (
            "headers: {request: {set: {Host: new.test}}}, route: [{destination: {host: reviews}}]",
            "true",
            True,
        ),
        (
            "headers: {request: {set: {Host: new.test}}}, route: [{destination: {host: reviews}}]",
            "null",
            False,
        ),
        ("route: [{destination: {host: reviews}}]", "true", False),
    ],
)
def test_the_mesh_says_whether_a_host_that_is_rewritten_is_told(
    rule: str, asked_for: str, told: bool
) -> None:
    made = shop(virtual_service(f"[{{{rule}}}]"))
    made.put_config(
        mesh_config(f"defaultConfig: {{proxyHeaders: {{xForwardedHost: {{enabled: {asked_for}}}}}}}")
    )
    found = asked(made, REVIEWS)
    assert isinstance(found.verdict, Forwarded)
    assert (("x-forwarded-host", "reviews:9080") in found.verdict.targets[0].headers) is told


def test_a_destination_among_several_sets_its_host_before_the_route_rewrites_it() -> None:
    of = "{destination: {host: reviews}, weight: %s, headers: {request: {set: {Host: theirs.test}}}}"
    for destinations, told in ((of % 1, "reviews:9080"), (f"{of % 1}, {of % 2}", "theirs.test")):
        rule = f"[{{rewrite: {{authority: new.test}}, route: [{destinations}]}}]"
        found = asked(shop(virtual_service(rule)), REVIEWS)
        assert isinstance(found.verdict, Forwarded)
        target = found.verdict.targets[0]
        assert (target.authority, target.headers) == ("new.test", (("x-forwarded-host", told),))


@pytest.mark.parametrize(
    ("redirect", "location"),
    [
        ("uri: /b", "http://reviews:9080/b?q"),
        ("uri: '/b?c'", "http://reviews:9080/b?c"),
        ("authority: e.test", "http://e.test/a?q"),
        ("scheme: https, authority: e.test", "https://e.test/a?q"),
        ("scheme: https, uri: /", "https://reviews:9080/?q"),
        ("port: 81, uri: /", "http://reviews:81/?q"),
        ("derivePort: FROM_PROTOCOL_DEFAULT, uri: /", "http://reviews:80/?q"),
        ("derivePort: FROM_REQUEST_PORT, authority: e.test", "http://e.test:9080/a?q"),
    ],
)
def test_a_redirect_leads_where_envoy_leads_it(redirect: str, location: str) -> None:
    found = asked(shop(virtual_service(f"[{{redirect: {{{redirect}}}}}]")), f"{REVIEWS}a?q")
    assert found.verdict == Redirected(301, location)


def test_a_fault_is_said_beside_the_verdict() -> None:
    rule = (
        "{abort: {httpStatus: 418, percentage: {value: %s}}, delay: {fixedDelay: 1s, percentage: {value: 5}}}"
    )
    route = "route: [{destination: {host: reviews}}]"
    for percent, arrives in ((50, True), (100, False)):
        found = asked(shop(virtual_service(f"[{{fault: {rule % percent}, {route}}}]")), REVIEWS)
        assert found.fault is not None
        assert (found.fault.abort_percent, found.fault.abort_status, found.arrives) == (percent, 418, arrives)


QUESTION = (("origin", "https://a.test"), ("access-control-request-method", "GET"))


def test_a_preflight_is_answered_where_it_would_be_forwarded() -> None:
    cors = "corsPolicy: {allowOrigins: [{exact: 'https://a.test'}]}"
    question = QUESTION
    forwards = shop(virtual_service(f"[{{{cors}, route: [{{destination: {{host: reviews}}}}]}}]"))
    answer = asked(forwards, REVIEWS, *question, method="OPTIONS").verdict
    assert answered_with(answer) == (200, {"access-control-allow-origin": "https://a.test"})
    assert clusters(asked(forwards, REVIEWS, *question)) == [ITSELF], "no question"
    redirects = shop(virtual_service(f"[{{{cors}, redirect: {{uri: /b}}}}]"))
    assert isinstance(asked(redirects, REVIEWS, *question, method="OPTIONS").verdict, Redirected)


def answered_with(verdict: Verdict) -> tuple[int, dict[str, str]]:
    assert isinstance(verdict, Answered), verdict
    headers: ir.Pairs = ()
    for one in verdict.response:
        headers = one.of(headers)
    return verdict.status, dict(headers)


def test_what_a_browser_is_told() -> None:
    says = "allowMethods: [GET, PUT], allowHeaders: [x-a], exposeHeaders: [x-b], maxAge: 1500ms, allowCredentials: true"
    cors = f"corsPolicy: {{allowOrigins: [{{exact: 'https://a.test'}}], {says}, unmatchedPreflights: IGNORE}}"
    headers = "headers: {response: {set: {x-r: r, access-control-allow-origin: r}}}"
    made = shop(virtual_service(f"[{{{cors}, {headers}, route: [{{destination: {{host: reviews}}}}]}}]"))
    everybody = {
        "access-control-allow-credentials": "true",
        "access-control-allow-methods": "GET,PUT",
        "access-control-allow-headers": "x-a",
        "access-control-max-age": "1",
    }
    answer = asked(made, REVIEWS, *QUESTION, method="OPTIONS").verdict
    told = {"access-control-allow-origin": "https://a.test", "access-control-expose-headers": "x-b"}
    assert answered_with(answer) == (200, everybody | told), "and nothing of the route"
    other = (("origin", "https://b.test"), QUESTION[1])
    assert answered_with(asked(made, REVIEWS, *other, method="OPTIONS").verdict) == (200, everybody)
    for origin, value in (("https://a.test", "https://a.test"), ("https://b.test", "r")):
        verdict = asked(made, REVIEWS, ("origin", origin)).verdict
        assert isinstance(verdict, Forwarded)
        came: ir.Pairs = ()
        for one in verdict.targets[0].response:
            came = one.of(came)
        assert (dict(came)["x-r"], dict(came)["access-control-allow-origin"]) == ("r", value)


@pytest.mark.parametrize(
    ("rule", "status", "grpc"),
    [
        ("directResponse: {status: 403}", 403, 7),
        ("directResponse: {status: 200}", 200, 2),
        ("directResponse: {status: 429}", 429, 14),
        ("redirect: {uri: /b}", 301, 2),
        ("match: [{uri: {exact: /x}}], route: [{destination: {host: reviews}}]", 404, 12),
        ("route: [{destination: {host: nobody}}]", 503, 14),
        ("fault: {abort: {httpStatus: 401, percentage: {value: 100}}}, route: [{destination: {host: a}}]", 401, 16),
    ],
)  # fmt: skip
def test_to_who_speaks_grpc_the_proxy_answers_with_a_grpc_status(rule: str, status: int, grpc: int) -> None:
    made = shop(virtual_service(f"[{{{rule}}}]"))
    for headers, expected in (
        ((), Replied(status)),
        ((("content-type", "application/grpc"),), Replied(200, grpc)),
        ((("Content-Type", "application/grpc+proto"),), Replied(200, grpc)),
        ((("content-type", "application/grpc-web"),), Replied(status)),
        ((("content-type", "application/grpc;x"),), Replied(status)),
    ):
        found = asked(made, REVIEWS, *headers)
        said: object = found.verdict
        if isinstance(found.verdict, Forwarded):
            said = found.verdict.unserved
        if found.fault is not None:
            said = Replied(found.fault.abort_status, found.fault.abort_grpc_status)
        assert isinstance(said, Answered | Redirected | Unrouted | Replied)
        assert Replied(said.status, said.grpc_status) == expected, headers
    shown = "\n".join(render.lines(asked(made, REVIEWS, ("content-type", "application/grpc"))))
    assert f"gRPC status {grpc}" in shown


def test_an_answer_whose_status_needs_a_location_has_that_of_the_request() -> None:
    for status, leads in ((201, True), (302, True), (200, False), (404, False)):
        made = shop(virtual_service(f"[{{directResponse: {{status: {status}}}}}]"))
        found = asked(made, "http://reviews:9080/a?q").verdict
        assert isinstance(found, Answered)
        assert found.location == ("http://reviews:9080/a?q" if leads else "")


@pytest.mark.parametrize(
    ("does", "where"),
    [("redirect: {uri: /b}", "/elsewhere"), ("directResponse: {status: 200}", "/elsewhere")],
)
def test_a_location_that_is_set_is_where_an_answer_leads(does: str, where: str) -> None:
    headers = "headers: {response: {set: {location: /elsewhere}}}"
    found = asked(shop(virtual_service(f"[{{{does}, {headers}}}]")), REVIEWS).verdict
    assert isinstance(found, Answered | Redirected)
    assert found.location == where


def test_what_is_done_to_the_headers_of_an_answer() -> None:
    """Of one destination with the route's, at once; of several before the route's."""
    of_route = "headers: {response: {set: {x-a: r}, add: {x-b: r}, remove: [x-c]}}"
    one = "destination: {host: reviews}, headers: {response: {add: {x-a: d}, remove: [x-b]}}"
    came = (("x-a", "own"), ("X-B", "own"), ("x-c", "own"), ("x-d", "own"))
    for route, expected in (
        (f"[{{{one}}}]", {("x-d", "own"), ("x-a", "r"), ("x-a", "d"), ("x-b", "r")}),
        (
            f"[{{{one}, weight: 1}}, {{{one}, weight: 1}}]",
            {("x-d", "own"), ("x-a", "r"), ("x-b", "r")},
        ),
    ):
        found = asked(shop(virtual_service(f"[{{{of_route}, route: {route}}}]")), "http://reviews:9080/")
        assert isinstance(found.verdict, Forwarded)
        headers: ir.Pairs = came
        for changes in found.verdict.targets[0].response:
            headers = changes.of(headers)
        assert set(headers) == expected
        assert len(headers) == len(expected)
    told = "\n".join(render.lines(found))
    assert (
        "response      x-b is removed, x-a: d is added, x-c is removed, x-a: r is set, x-b: r is added"
        in told
    )


@pytest.mark.parametrize("does", ["redirect: {uri: /x}", "directResponse: {status: 200}"])
def test_what_the_proxy_answers_has_the_headers_of_its_route(does: str) -> None:
    rule = f"[{{{does}, headers: {{response: {{set: {{x-a: r, ':status': '1'}}}}}}}}]"
    found = asked(shop(virtual_service(rule)), "http://reviews:9080/")
    assert isinstance(found.verdict, Answered | Redirected)
    assert [one.of((("x-a", "own"),)) for one in found.verdict.response] == [(("x-a", "r"),)]
    assert "  response      x-a: r is set" in list(render.lines(found))
