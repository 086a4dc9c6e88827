"""Requests of an access log, before a change and after it."""

from __future__ import annotations

import json
from typing import Any

from argosy.explain import access_log, what_if
from argosy.explain.access_log import FIELDS
from argosy.explain.evaluate import Evaluator
from argosy.explain.request import Request, Spoken
from argosy.model.snapshot import Snapshot
from argosy.translate.filters.access_log import FIELDS as WRITTEN
from tests.unit.explain.asked import SHOP, endpoint, shop, virtual_service, web

ITSELF = f"outbound|9080||reviews.{SHOP}"


def entry(path: str | None = "/", **more: Any) -> dict[str, Any]:
    return {
        **dict.fromkeys(FIELDS),
        "method": "GET",
        "path": path,
        "authority": "reviews:9080",
        "response_code": 200,
        "upstream_cluster": ITSELF,
        "user_agent": "curl",
        **more,
    }


def as_json(*entries: dict[str, Any]) -> list[str]:
    return [json.dumps(one) for one in entries]


def test_the_text_form_has_the_fields_that_are_written_in_their_order() -> None:
    assert tuple(WRITTEN) == FIELDS


def test_both_forms_say_the_same() -> None:
    one = entry("/a?b", x_forwarded_for="10.0.0.1")
    text = " ".join(f'"{"-" if one[name] is None else one[name]}"' for name in FIELDS)
    assert access_log.read([text]) == access_log.read(as_json(one))
    (recorded,) = access_log.read([text]).requests
    assert recorded.request == Request(
        authority="reviews:9080",
        path="/a?b",
        port=9080,
        headers=(("user-agent", "curl"), ("x-forwarded-for", "10.0.0.1")),
    )
    assert recorded.cluster == ITSELF


def test_the_same_request_is_asked_once_and_what_is_none_is_counted() -> None:
    log = access_log.read(
        [
            *as_json(
                entry(request_id="1"),
                entry(request_id="2"),
                entry(upstream_cluster="inbound|9080||"),
                entry(None, method=None, authority=None),
                entry(None, method="CONNECT", authority="cache:6379"),
            ),
            "[info] something else",
            '{"a": 1}',
            "{",
            "",
        ]
    )
    assert [(one.count, one.request.spoken) for one in log.requests] == [(2, Spoken.HTTP), (1, Spoken.TCP)]
    assert (log.lines, log.inbound, log.connections, log.other) == (8, 1, 1, 3)


def compared(made: Snapshot, changed: Snapshot, *entries: dict[str, Any]) -> what_if.Comparison:
    recorded = access_log.read(as_json(*entries)).requests
    later = Evaluator(changed, web(changed))
    earlier = what_if.before(Evaluator(made, web(made)), recorded)
    return what_if.compare(earlier, lambda one: later.outcome(one.recorded.request))


def test_requests_that_go_elsewhere_are_told_together() -> None:
    rule = "[{name: a, match: [{uri: {prefix: /a}}], route: [{destination: {host: nobody}}]}, {name: b, %s}]"
    made, changed = shop(), shop(virtual_service(rule % "route: [{destination: {host: reviews}}]"))
    found = compared(made, changed, entry("/a"), entry("/a/1"), entry("/b"))
    assert (found.replayed, found.otherwise) == (3, 0)
    (moved,) = found.moved
    assert (moved.count, moved.lost, moved.request) == (2, True, "GET http://reviews:9080/a")
    assert (moved.before, moved.after) == (ITSELF, f"outbound|9080||nobody.{SHOP} (nobody there)")
    assert moved.because == "VirtualService shop/vs spec.http[0].match[0]"


def test_what_is_sent_otherwise_counts_too() -> None:
    route = "route: [{destination: {host: reviews}}]"
    plain = shop(virtual_service(f"[{{{route}}}]"))
    for more in (
        "timeout: 1s, ",
        "rewrite: {uri: /x}, ",
        "rewrite: {authority: x}, ",
        "mirror: {host: cache}, ",
    ):
        (moved,) = compared(
            plain, shop(virtual_service(f"[{{{more}{route}}}]")), entry("/a"), entry("/b")
        ).moved
        assert (moved.count, moved.lost) == (2, False), more
    more = "headers: {request: {set: {x: '1'}}}, "
    assert not compared(plain, shop(virtual_service(f"[{{{more}{route}}}]")), entry("/a")).moved


def test_redirects_of_one_route_are_one_group() -> None:
    changed = shop(virtual_service("[{redirect: {authority: else.test}}]"))
    (moved,) = compared(shop(), changed, entry("/a"), entry("/b")).moved
    assert (moved.count, moved.after) == (2, "301 http://else.test/a")


def test_a_request_that_was_recorded_at_another_cluster_is_told() -> None:
    found = compared(shop(), shop(), entry(upstream_cluster="outbound|1||other"), entry())
    assert (found.otherwise, found.moved) == (1, ())


POLICY = """
apiVersion: security.istio.io/v1
kind: AuthorizationPolicy
metadata: {name: %s}
spec: {action: %s, rules: [{to: [{operation: {paths: ["/a*"]}}]}]%s}
"""


def test_a_policy_tells_the_requests_that_would_be_denied() -> None:
    made, changed = shop(), shop(POLICY % ("none", "DENY", ""))
    found = compared(made, changed, entry("/a"), entry("/a/1"), entry("/b"))
    (moved,) = found.moved
    assert (moved.count, moved.lost, moved.request) == (2, True, "GET http://reviews:9080/a")
    denied = "refused: AuthorizationPolicy shop/none rules[0] denies it (403)"
    assert (moved.before, moved.after) == (ITSELF, f"{ITSELF} ({denied})")
    assert moved.because == "AuthorizationPolicy shop/none spec.rules[0]"
    (back,) = compared(changed, made, entry("/a")).moved
    assert (back.lost, back.after) == (False, ITSELF)


def test_one_version_that_denies_and_a_provider_that_is_asked_are_told_too() -> None:
    both = shop()
    both.put_endpoints(f"reviews.{SHOP}", (endpoint("v1"), endpoint("v2", address="10.0.0.2")))
    one = shop(POLICY % ("none", "DENY", ", selector: {matchLabels: {version: v2}}"))
    one.put_endpoints(f"reviews.{SHOP}", (endpoint("v1"), endpoint("v2", address="10.0.0.2")))
    (moved,) = compared(both, one, entry("/a")).moved
    said = "shop/reviews-v2 refuses it: AuthorizationPolicy shop/none rules[0] denies it (403)"
    assert (moved.lost, moved.after) == (False, f"{ITSELF}; {said}")
    (moved,) = compared(
        shop(), shop(POLICY % ("ask", "CUSTOM", ", provider: {name: opa}")), entry("/a")
    ).moved
    assert moved.after == f"{ITSELF}; provider opa is asked"
