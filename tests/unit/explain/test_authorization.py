"""What policies say of a call: each attribute, each action, and which rule came closest."""

from __future__ import annotations

from typing import Any

import pytest
from msgspec.structs import replace

from argosy.explain.authorization import Decision, Verdict, decide
from argosy.explain.called import Called, Undetermined
from argosy.explain.request import Request, Trust, seen
from argosy.model.ir.policies import (
    Action,
    Attribute,
    Authorization,
    AuthorizationPolicy,
    Condition,
    Match,
    PolicyRule,
    TextMatch,
    text_match,
)

WEB = "spiffe://cluster.local/ns/shop/sa/web"
BILLING = "spiffe://other.test/ns/billing/sa/cron"


def http(method: str = "GET", path: str = "/", authority: str = "reviews", **headers: str) -> Any:
    pairs = tuple((name.replace("_", "-"), value) for name, value in headers.items())
    return seen(Request(authority=authority, method=method, path=path, headers=pairs), Trust.ALL)


CALL = Called(
    identities=(WEB,), address="10.0.0.7", remote="203.0.113.9", to="10.0.0.1", port=9080, http=http(path="/api/x?a=1"),
    server_name="outbound_.9080_._.reviews.shop.svc.cluster.local",
)  # fmt: skip


def match(written: str, kind: TextMatch | None = None) -> Match:
    return text_match(written) if kind is None else Match(kind, written)


def condition(attribute: Attribute, *values: str, no: tuple[str, ...] = (), key: tuple[str, ...] = (),
              kind: TextMatch | None = None) -> Condition:  # fmt: skip
    return Condition(
        attribute=attribute,
        key=key,
        values=tuple(match(one, kind) for one in values),
        not_values=tuple(match(one, kind) for one in no),
    )


def policy(name: str, *rules: PolicyRule, action: Action = Action.ALLOW, **more: Any) -> AuthorizationPolicy:
    return AuthorizationPolicy(namespace="shop", name=name, action=action, rules=rules, **more)


def when(*conditions: Condition) -> PolicyRule:
    return PolicyRule(when=conditions)


def allowed(rule: PolicyRule, call: Called) -> bool:
    return decide(Authorization(allow=(policy("one", rule),)), call).allowed


A, T = Attribute, TextMatch
HOLD: list[tuple[Condition, Called, bool]] = [
    (condition(A.SOURCE_PRINCIPAL, "cluster.local/ns/shop/sa/web"), CALL, True),
    (condition(A.SOURCE_PRINCIPAL, "cluster.local/ns/shop/sa/we"), CALL, False),
    (condition(A.SOURCE_PRINCIPAL, "cluster.local/ns/shop/*"), CALL, True),
    (condition(A.SOURCE_PRINCIPAL, "*/sa/web"), CALL, True),
    (condition(A.SOURCE_PRINCIPAL, "*"), CALL, True),
    (condition(A.SOURCE_PRINCIPAL, "*"), replace(CALL, identities=()), False),
    (condition(A.SOURCE_PRINCIPAL, no=("*",)), replace(CALL, identities=()), True),
    (condition(A.SOURCE_PRINCIPAL, "*/sa/cron"), replace(CALL, identities=(WEB, BILLING)), True),
    (condition(A.SOURCE_PRINCIPAL, no=("*/sa/cron",)), replace(CALL, identities=(WEB, BILLING)), False),
    (condition(A.SOURCE_NAMESPACE, "shop"), CALL, True),
    (condition(A.SOURCE_NAMESPACE, "sho"), CALL, False),
    (condition(A.SOURCE_NAMESPACE, "sh*"), CALL, True),
    (condition(A.SOURCE_SERVICE_ACCOUNT, "shop/web"), CALL, True),
    (condition(A.SOURCE_SERVICE_ACCOUNT, "web"), CALL, False),
    (condition(A.SOURCE_TRUST_DOMAIN, "cluster.local"), CALL, True),
    (condition(A.SOURCE_TRUST_DOMAIN, no=("cluster.*",)), CALL, False),
    (condition(A.SOURCE_IP, "10.0.0.0/29", kind=T.ADDRESS), CALL, True),
    (condition(A.SOURCE_IP, "10.0.0.0/30", kind=T.ADDRESS), CALL, False),
    (condition(A.SOURCE_IP, "::/0", kind=T.ADDRESS), CALL, False),
    (condition(A.REMOTE_IP, "203.0.113.9", kind=T.ADDRESS), CALL, True),
    (condition(A.DESTINATION_IP, "10.0.0.1", kind=T.ADDRESS), CALL, True),
    (condition(A.DESTINATION_PORT, "9080", kind=T.PORT), CALL, True),
    (condition(A.DESTINATION_PORT, no=("9080",), kind=T.PORT), CALL, False),
    (condition(A.SNI, "*.svc.cluster.local"), CALL, True),
    (condition(A.SNI, "*"), replace(CALL, server_name=""), False),
    (condition(A.METHOD, "GET"), CALL, True),
    (condition(A.METHOD, "get"), CALL, False),
    (condition(A.PATH, "/api/x"), CALL, True),  # without the query
    (condition(A.PATH, "/api/{*}", kind=T.TEMPLATE), CALL, True),
    (condition(A.PATH, "/{*}", kind=T.TEMPLATE), CALL, False),
    (condition(A.PATH, "/{**}", kind=T.TEMPLATE), CALL, True),
    (condition(A.HOST, "REVIEWS"), CALL, True),
    (condition(A.HOST, "reviews"), replace(CALL, http=http(authority="Reviews:9080")), False),
    (condition(A.HOST, "reviews:*"), replace(CALL, http=http(authority="Reviews:9080")), True),
    (condition(A.HEADER, "a", key=("X-User",)), replace(CALL, http=http(x_user="a")), True),
    (condition(A.HEADER, no=("a",), key=("x-user",)), CALL, True),
    (condition(A.HEADER, "*", key=("x-user",)), CALL, False),
    (condition(A.REQUEST_PRINCIPAL, "*"), CALL, False),
    (replace(condition(A.REQUEST_PRINCIPAL), values=(replace(match("i"), subject=match("s*")),)),
     replace(CALL, token={"iss": "i", "sub": "s/1"}), True),
    (replace(condition(A.REQUEST_PRINCIPAL), values=(replace(match("i"), subject=match("*")),)),
     replace(CALL, token={"iss": "i"}), False),
    (condition(A.SOURCE_NAMESPACE, "s*p", kind=T.PATTERN), CALL, True),
    (condition(A.SOURCE_NAMESPACE, "*s*", kind=T.PATTERN), replace(CALL, identities=(BILLING,)), False),
    (condition(A.HEADER, "*", key=("x-user",)), replace(CALL, http=http(x_user="")), True),
    (condition(A.AUDIENCES, "b"), replace(CALL, token={"aud": ["a", "b"]}), True),
    (condition(A.PRESENTER, "p"), replace(CALL, token={"azp": "p"}), True),
    (condition(A.CLAIM, "admin", key=("groups",)), replace(CALL, token={"groups": ["dev", "admin"]}), True),
    (condition(A.CLAIM, "admin", key=("realm", "role")), replace(CALL, token={"realm": {"role": "admin"}}), True),
    (condition(A.CLAIM, "7", key=("level",)), replace(CALL, token={"level": 7}), False),
]  # fmt: skip


@pytest.mark.parametrize(
    ("asked", "call", "expected"), HOLD, ids=lambda one: str(getattr(one, "attribute", ""))
)
def test_what_a_condition_says(asked: Condition, call: Called, expected: bool) -> None:
    assert allowed(when(asked), call) is expected


def test_several_lines_of_a_header_are_several_values() -> None:
    lines = (("x-user", "a"), ("x-user", "b"))
    call = replace(CALL, http=seen(Request(authority="reviews", headers=lines), Trust.ALL))
    assert allowed(when(condition(A.HEADER, "b", key=("x-user",))), call)
    assert not allowed(when(condition(A.HEADER, no=("b",), key=("x-user",))), call)


def test_all_of_a_source_any_of_the_sources_all_of_when() -> None:
    right, wrong = condition(A.SOURCE_NAMESPACE, "shop"), condition(A.SOURCE_TRUST_DOMAIN, "else.where")
    assert not allowed(PolicyRule(sources=((right, wrong),)), CALL)
    assert allowed(PolicyRule(sources=((wrong,), (right,))), CALL)
    assert not allowed(PolicyRule(sources=((right,),), when=(wrong,)), CALL)
    assert allowed(PolicyRule(), CALL)


GET, POST = condition(A.METHOD, "GET"), condition(A.METHOD, "POST")
EVERYTHING = PolicyRule()


def test_the_order_of_actions() -> None:
    ask = policy("ask", EVERYTHING, action=Action.CUSTOM, provider="opa")
    deny = policy("deny", when(GET), action=Action.DENY)
    allow = policy("allow", when(GET))
    said = decide(Authorization(custom=(ask,), deny=(deny,), allow=(allow,)), CALL)
    assert (said.verdict, said.by and said.by.policy) == (Verdict.DENY, "shop/deny")
    said = decide(Authorization(custom=(ask,), allow=(allow,)), CALL)
    assert (said.verdict, said.asks and said.asks.provider) == (Verdict.ASK, "opa")
    assert "AuthorizationPolicy shop/ask rules[0] has the provider asked (opa)" in said.because
    assert (
        decide(Authorization(custom=(ask,), allow=(policy("post", when(POST)),)), CALL).verdict
        is Verdict.DENY
    )
    assert decide(Authorization(), CALL).verdict is Verdict.ALLOW
    assert decide(Authorization(allow=(policy("nothing"),)), CALL).verdict is Verdict.DENY


def test_audit_marks_and_dry_run_tells() -> None:
    mark = policy("mark", EVERYTHING, action=Action.AUDIT)
    shadow = policy("shadow", EVERYTHING, action=Action.DENY, dry_run=True)
    narrow = policy("narrow", when(POST), dry_run=True)
    said = decide(Authorization(audit=(mark,), deny=(shadow,), allow=(narrow,)), CALL)
    assert said.verdict is Verdict.ALLOW
    assert [one.policy for one in said.audited] == ["shop/mark"]
    assert said.dry_run == (
        "it would be denied: AuthorizationPolicy shop/shadow rules[0] denies it (only counted)",
        "it would be denied, as AuthorizationPolicy shop/narrow (only counted) would not allow it",
    )


def test_the_nearest_miss_of_a_denied_call() -> None:
    far = when(condition(A.SOURCE_NAMESPACE, "x"), POST)
    near = when(condition(A.SOURCE_PRINCIPAL, "cluster.local/ns/shop/sa/frontend"), GET)
    said = decide(Authorization(allow=(policy("allow", far, near),)), CALL)
    assert said.because == "AuthorizationPolicy shop/allow allows some calls, and not this one"
    assert [one.says() for one in said.misses] == [
        "AuthorizationPolicy shop/allow rules[1] would allow it, but source.principal is cluster.local/ns/shop/sa/web "
        "and not cluster.local/ns/shop/sa/frontend"
    ]


def test_the_nearest_miss_of_an_allowed_call_is_who_would_deny_it() -> None:
    deny = policy("deny", when(condition(A.PATH, "/admin*"), GET), action=Action.DENY)
    said: Decision = decide(Authorization(deny=(deny,)), CALL)
    assert said.because == "no rule of AuthorizationPolicy shop/deny denies it"
    assert said.misses[0].says().endswith("would deny it, but request.path is /api/x and not /admin*")


def test_what_is_not_http_has_nothing_of_http() -> None:
    tcp = replace(CALL, http=None)
    both = PolicyRule(operations=((GET, condition(A.DESTINATION_PORT, "9080", kind=T.PORT)),))
    said = decide(Authorization(allow=(policy("allow", both),)), tcp)
    assert said.verdict is Verdict.DENY
    assert said.misses[0].failed == ("request.method is of HTTP requests, and this is none",)
    ask = policy("ask", both, action=Action.CUSTOM, provider="opa")
    assert decide(Authorization(custom=(ask,)), tcp).verdict is Verdict.ASK
    assert (
        decide(Authorization(deny=(policy("deny", both, action=Action.DENY),)), tcp).verdict is Verdict.DENY
    )
    elsewhere = PolicyRule(operations=((GET, condition(A.DESTINATION_PORT, "1", kind=T.PORT)),))
    assert decide(Authorization(deny=(policy("deny", elsewhere, action=Action.DENY),)), tcp).allowed


def test_what_is_not_known_is_not_guessed() -> None:
    blocks = policy("blocks", when(condition(A.SOURCE_IP, "10.0.0.0/8", kind=T.ADDRESS)))
    with pytest.raises(Undetermined, match="the address that it comes from"):
        decide(Authorization(allow=(blocks,)), replace(CALL, address=""))


def test_what_is_not_known_does_not_matter_where_something_else_decides() -> None:
    block = condition(A.SOURCE_IP, "10.0.0.0/8", kind=T.ADDRESS)
    nowhere = replace(CALL, address="")
    posting = policy("posting", PolicyRule(sources=((block,),), when=(POST,)))
    assert decide(Authorization(allow=(posting,)), nowhere).verdict is Verdict.DENY
    assert (
        decide(Authorization(allow=(policy("both", when(block), when(GET)),)), nowhere).verdict
        is Verdict.ALLOW
    )
    either = PolicyRule(sources=((condition(A.SOURCE_NAMESPACE, "x"),), (block,)))
    for action in (Action.DENY, Action.CUSTOM):
        one = (policy("either", either, action=action),)
        policies = Authorization(deny=one) if action is Action.DENY else Authorization(custom=one)
        with pytest.raises(Undetermined):
            decide(policies, nowhere)
        nothing = replace(policies, allow=(policy("post", when(POST)),))
        assert decide(nothing, nowhere).verdict is Verdict.DENY
