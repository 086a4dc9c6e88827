"""AuthorizationPolicy: what is lowered, for whom it is, and which trust domains a principal is of."""

from __future__ import annotations

from typing import Any

import pytest
import yaml

from argosy.model import ir
from argosy.model.ir.policies import (
    Action,
    Attribute,
    Condition,
    Match,
    PolicyRule,
    TextMatch,
    rule_for_bytes,
)
from argosy.model.reader import Reader
from argosy.resources.kinds import decode
from tests.unit.model.written import mesh_config, obj, snapshot

WEB = {"matchLabels": {"app": "web"}}
GATEWAY = "gateway.networking.k8s.io"


def policy(name: str, action: str = "DENY", *, created: str = "", **more: Any) -> Any:
    return obj("AuthorizationPolicy", name, {"action": action, "rules": [{}], **more}, created=created)


def found(
    *objects: Any, namespace: str = "shop", labels: ir.Pairs = (("app", "web"),), mesh: str = ""
) -> ir.Authorization:
    made = snapshot(*objects, *([mesh_config(mesh)] if mesh else []))
    assert made.rejected == {}
    return Reader(made).authorization(namespace, labels)


def names(policies: tuple[ir.AuthorizationPolicy, ...]) -> list[str]:
    return [f"{one.namespace}/{one.name}" for one in policies]


def of_rule(text: str, *, namespace: str = "shop", mesh: str = "") -> PolicyRule:
    made = found(obj("AuthorizationPolicy", f"{namespace}/p", {"rules": [yaml.safe_load(text)]}), mesh=mesh)
    (one,) = made.allow
    (rule,) = one.rules
    return rule


# --- for whom -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("object_", "holds"),
    [
        (policy("shop/a"), True),
        (policy("other/a"), False),
        (policy("istio-system/a"), True),
        (policy("shop/a", selector=WEB), True),
        (policy("shop/a", selector={}), True),
        (policy("shop/a", selector={"matchLabels": {"app": "web", "version": "v1"}}), False),
        (policy("istio-system/a", selector=WEB), True),  # for the workloads of every namespace
        (policy("istio-system/a", selector={"matchLabels": {"app": "db"}}), False),
        (policy("other/a", selector=WEB), False),
        (policy("shop/a", targetRefs=[{"group": "", "kind": "Service", "name": "web"}]), False),
        (policy("shop/a", targetRefs=[{"group": GATEWAY, "kind": "Gateway", "name": "web"}]), False),
    ],
)
def test_whom_a_policy_is_for(object_: Any, holds: bool) -> None:
    assert names(found(object_).deny) == ([f"{object_.metadata.namespace}/a"] if holds else [])


def test_a_policy_of_gateways_is_for_the_proxies_with_their_names() -> None:
    refs = [{"group": GATEWAY, "kind": "Gateway", "name": name} for name in ("front", "back")]
    one = policy("shop/a", targetRefs=refs)
    mine = ((f"{GATEWAY}/gateway-name", "back"),)
    assert names(found(one, labels=mine).deny) == ["shop/a"]
    assert names(found(one, labels=mine, namespace="other").deny) == []
    only = policy("shop/a", targetRef=refs[0])
    assert names(found(only, labels=mine).deny) == []


def test_policies_stand_by_action_the_oldest_first() -> None:
    made = found(
        policy("shop/b", "DENY", created="2021-01-01T00:00:00Z"),
        policy("shop/a", "DENY", created="2022-01-01T00:00:00Z"),
        policy("istio-system/c", "ALLOW"),
        policy("shop/d", "AUDIT"),
        policy("shop/e", "CUSTOM", provider={"name": "p"}),
    )
    assert [names(one) for one in (made.custom, made.audit, made.deny, made.allow)] == [
        ["shop/e"],
        ["shop/d"],
        ["shop/b", "shop/a"],
        ["istio-system/c"],
    ]
    assert made.custom[0].provider == "p"


def test_in_the_root_namespace_itself_a_policy_is_there_once() -> None:
    assert names(found(policy("istio-system/a"), namespace="istio-system").deny) == ["istio-system/a"]


@pytest.mark.parametrize(("written", "dry"), [("true", True), ("T", True), ("false", False), ("0", False)])
def test_dry_run(written: str, dry: bool) -> None:
    body = {
        "apiVersion": "security.istio.io/v1",
        "kind": "AuthorizationPolicy",
        "metadata": {"name": "a", "namespace": "shop", "annotations": {"istio.io/dry-run": written}},
        "spec": {"rules": [{}]},
    }
    assert found(decode(body)).allow[0].dry_run is dry


# --- what it says ---------------------------------------------------------------------------------------------------


def exact(value: str) -> Match:
    return Match(TextMatch.EXACT, value)


ANY = Match(TextMatch.PRESENT)


@pytest.mark.parametrize(
    ("key", "attribute", "path", "values", "lowered"),
    [
        (
            "request.headers[X-User]",
            Attribute.HEADER,
            ("x-user",),
            ["a", "a*", "*a", "*", "a*b"],
            (exact("a"), Match(TextMatch.PREFIX, "a"), Match(TextMatch.SUFFIX, "a"), ANY, exact("a*b")),
        ),
        (
            "source.ip",
            Attribute.SOURCE_IP,
            (),
            ["1.2.3.4", "10.1.2.3/8", "fd00::/8"],
            tuple(Match(TextMatch.ADDRESS, one) for one in ("1.2.3.4/32", "10.0.0.0/8", "fd00::/8")),
        ),
        ("destination.port", Attribute.DESTINATION_PORT, (), ["080"], (Match(TextMatch.PORT, "80"),)),
        (
            "source.namespace",
            Attribute.SOURCE_NAMESPACE,
            (),
            ["a", "a*b", "*"],
            (exact("a"), Match(TextMatch.PATTERN, "a*b"), Match(TextMatch.PATTERN, "*")),
        ),
        ("source.serviceAccount", Attribute.SOURCE_SERVICE_ACCOUNT, (), ["x", "y/z"],
         (exact("shop/x"), exact("y/z"))),
        ("connection.sni", Attribute.SNI, (), ["*.com"], (Match(TextMatch.SUFFIX, ".com"),)),
        ("request.auth.claims[iss]", Attribute.CLAIM, ("iss",), ["a"], (exact("a"),)),
        ("request.auth.claims[a][b.c]", Attribute.CLAIM, ("a", "b.c"), ["a"], (exact("a"),)),
        ("request.auth.audiences", Attribute.AUDIENCES, (), ["*"], (ANY,)),
        ("request.auth.presenter", Attribute.PRESENTER, (), ["a"], (exact("a"),)),
        (
            "experimental.envoy.filters.a.b[c]",
            Attribute.METADATA,
            ("envoy.filters.a.b", "c"),
            ["a", "[b*]"],
            (exact("a"), Match(TextMatch.PREFIX, "b", in_list=True)),
        ),
    ],
)  # fmt: skip
def test_conditions(
    key: str, attribute: Attribute, path: tuple[str, ...], values: list[str], lowered: tuple[Match, ...]
) -> None:
    rule = of_rule(yaml.safe_dump({"when": [{"key": key, "values": values, "notValues": values[:1]}]}))
    assert rule.when == (Condition(attribute=attribute, key=path, values=lowered, not_values=lowered[:1]),)
    assert (rule.sources, rule.operations) == ((), ())


@pytest.mark.parametrize(
    ("written", "issuer", "subject"),
    [
        ("*", ANY, ANY),
        ("a/b", exact("a"), exact("b")),
        ("https://a/x/b", exact("https://a/x"), exact("b")),
        ("a/*", exact("a"), ANY),
        ("a/b*", exact("a"), Match(TextMatch.PREFIX, "b")),
        ("*/b", ANY, exact("b")),
        ("*a/b", Match(TextMatch.SUFFIX, "a"), exact("b")),
        ("a*", Match(TextMatch.PREFIX, "a"), ANY),
        ("*b", ANY, Match(TextMatch.SUFFIX, "b")),
        ("a", exact("a"), exact("")),
    ],
)
def test_request_principals(written: str, issuer: Match, subject: Match) -> None:
    rule = of_rule(yaml.safe_dump({"from": [{"source": {"requestPrincipals": [written]}}]}))
    ((condition,),) = rule.sources
    (one,) = condition.values
    assert (Match(one.kind, one.value), one.subject) == (issuer, subject)


def test_sources_and_operations() -> None:
    rule = of_rule("""
        from:
        - source: {principals: [a], notNamespaces: [b], trustDomains: [c]}
        - source: {remoteIpBlocks: [1.2.3.4], serviceAccounts: [d]}
        to:
        - operation: {hosts: ["*.com"], notMethods: [GET], paths: ["/a/{*}", /b], ports: ["80"]}
    """)
    assert [[one.attribute for one in source] for source in rule.sources] == [
        [Attribute.SOURCE_PRINCIPAL, Attribute.SOURCE_NAMESPACE, Attribute.SOURCE_TRUST_DOMAIN],
        [Attribute.SOURCE_SERVICE_ACCOUNT, Attribute.REMOTE_IP],
    ]
    ((host, method, path, port),) = rule.operations
    assert host.values == (Match(TextMatch.SUFFIX, ".com"),)
    assert (method.values, method.not_values) == ((), (exact("GET"),))
    assert path.values == (Match(TextMatch.TEMPLATE, "/a/{*}"), exact("/b"))
    assert port.attribute is Attribute.DESTINATION_PORT


# --- trust domains --------------------------------------------------------------------------------------------------

ALIASES = "trustDomain: td1\ntrustDomainAliases: [old, foobar]"


@pytest.mark.parametrize(
    ("written", "means"),
    [
        ("cluster.local/ns/a/sa/b", ["td1/ns/a/sa/b", "old/ns/a/sa/b", "foobar/ns/a/sa/b"]),
        ("td1/ns/a/sa/b", ["td1/ns/a/sa/b", "old/ns/a/sa/b", "foobar/ns/a/sa/b"]),
        ("old/ns/a/sa/*", ["td1/ns/a/sa/*", "old/ns/a/sa/*", "foobar/ns/a/sa/*"]),
        ("else/ns/a/sa/b", ["else/ns/a/sa/b"]),
        ("*/ns/a/sa/b", ["*/ns/a/sa/b"]),
        ("*bar/ns/a/sa/b", ["td1/ns/a/sa/b", "old/ns/a/sa/b", "*bar/ns/a/sa/b"]),
        ("*", ["*"]),
        ("cluster.local/*", ["cluster.local/*"]),
    ],
)
def test_a_principal_is_one_of_every_trust_domain_of_the_mesh(written: str, means: list[str]) -> None:
    text = yaml.safe_dump({"from": [{"source": {"principals": [written]}}]})
    ((condition,),) = of_rule(text, mesh=ALIASES).sources
    assert [one.written for one in condition.values] == means
    ((condition,),) = of_rule(text.replace("principals", "notPrincipals"), mesh=ALIASES).sources
    assert [one.written for one in condition.not_values] == means


def test_a_trust_domain_of_the_mesh_is_all_of_them() -> None:
    ((condition,),) = of_rule("from: [{source: {trustDomains: [old, else]}}]", mesh=ALIASES).sources
    assert [one.value for one in condition.values] == ["td1", "old", "foobar", "else"]


# --- what is not HTTP -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("action", [Action.DENY, Action.AUDIT, Action.CUSTOM])
def test_of_bytes_all_but_allow_hold_by_what_else_they_say(action: Action) -> None:
    rule = of_rule("""
        from: [{source: {namespaces: [a], requestPrincipals: [b]}}]
        to: [{operation: {methods: [GET]}}, {operation: {ports: ["80"]}}]
        when: [{key: "request.headers[a]", values: [b]}]
    """)
    assert rule_for_bytes(rule, Action.ALLOW) is None
    left = rule_for_bytes(rule, action)
    assert left is not None
    assert [[one.attribute for one in source] for source in left.sources] == [[Attribute.SOURCE_NAMESPACE]]
    assert [[one.attribute for one in operation] for operation in left.operations] == [
        [],
        [Attribute.DESTINATION_PORT],
    ]
    assert left.when == ()


def test_of_bytes_a_rule_that_needs_no_http_is_the_same() -> None:
    rule = of_rule("from: [{source: {namespaces: [a]}}]")
    assert rule_for_bytes(rule, Action.ALLOW) == rule
