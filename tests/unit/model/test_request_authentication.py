"""RequestAuthentication: whose tokens a workload takes, and where the keys come from."""

from __future__ import annotations

from typing import Any

import pytest

from argosy.model.facts import Fact, FactKind
from argosy.model.ir.tokens import ClaimHeader, TokenHeader, TokenRule
from argosy.model.reader import Reader
from argosy.model.snapshot import Snapshot
from argosy.model.tokens import KeySource
from argosy.resources import key_sets
from tests.tokens import key, key_set
from tests.unit.model.written import obj, snapshot

WEB = {"matchLabels": {"app": "web"}}
KEYS = key_sets.read(key_set(key("EdDSA"))).text
WEB_LABELS = (("app", "web"), ("version", "v1"))


def ra(name: str, *issuers: str, created: str = "", **more: Any) -> Any:
    spec = {"jwtRules": [{"issuer": issuer, "jwks": KEYS} for issuer in issuers], **more}
    return obj("RequestAuthentication", name, spec, created=created)


def gateway(name: str, kind: str = "Gateway") -> dict[str, str]:
    return {"group": "gateway.networking.k8s.io", "kind": kind, "name": name}


def issuers(made: Snapshot, namespace: str = "shop", labels: Any = WEB_LABELS) -> list[str]:
    return [rule.issuer for rule in Reader(made).token_rules(namespace, labels)]


@pytest.mark.parametrize(
    ("policies", "expected"),
    [
        ([], []),
        ([ra("istio-system/all", "mesh")], ["mesh"]),
        ([ra("istio-system/web", "mesh", selector=WEB)], ["mesh"]),
        ([ra("istio-system/other", "mesh", selector={"matchLabels": {"app": "other"}})], []),
        ([ra("shop/all", "shop")], ["shop"]),
        ([ra("other/all", "other")], []),
        ([ra("shop/web", "web", selector=WEB)], ["web"]),
        ([ra("shop/none", "web", selector={})], ["web"]),
        ([ra("shop/web", "web", selector={"matchLabels": {"app": "web", "version": "v2"}})], []),
        (
            [ra("shop/web", "c", selector=WEB), ra("shop/all", "b"), ra("istio-system/all", "a")],
            ["a", "b", "c"],
        ),
        ([ra("shop/web", "z", "y")], ["y", "z"]),
        ([ra("shop/gate", "g", targetRefs=[gateway("edge")])], []),
    ],
)
def test_which_are_for_a_workload(policies: list[Any], expected: list[str]) -> None:
    assert issuers(snapshot(*policies)) == expected


def test_of_rules_for_one_issuer_the_mesh_goes_first_then_age() -> None:
    def one(name: str, created: str, audience: str) -> Any:
        rule = {"issuer": "a", "jwks": KEYS, "audiences": [audience]}
        return obj("RequestAuthentication", name, {"jwtRules": [rule]}, created=created)

    made = snapshot(
        one("shop/new", "2021-01-01T00:00:00Z", "3"),
        one("shop/old", "2020-01-01T00:00:00Z", "2"),
        one("istio-system/newest", "2022-01-01T00:00:00Z", "1"),
    )
    rules = Reader(made).token_rules("shop", WEB_LABELS)
    assert [rule.audiences for rule in rules] == [("1",), ("2",), ("3",)]


@pytest.mark.parametrize("field", ["targetRef", "targetRefs"])
def test_a_reference_means_the_gateways_with_its_label(field: str) -> None:
    ref = gateway("edge")
    target: dict[str, Any] = {field: ref if field == "targetRef" else [ref, gateway("two")]}
    made = snapshot(ra("shop/gate", "g", **target))
    label = "gateway.networking.k8s.io/gateway-name"
    assert issuers(made, labels=((label, "edge"),)) == ["g"]
    assert issuers(made, labels=((label, "else"),)) == []
    assert issuers(made, namespace="other", labels=((label, "edge"),)) == []


@pytest.mark.parametrize("kind", ["GatewayClass", "Service", "ServiceEntry"])
def test_references_to_what_waypoints_serve_are_for_nobody(kind: str) -> None:
    group = {
        "GatewayClass": "gateway.networking.k8s.io",
        "Service": "",
        "ServiceEntry": "networking.istio.io",
    }
    ref = {"group": group[kind], "kind": kind, "name": "web"}
    assert issuers(snapshot(ra("shop/x", "x", targetRefs=[ref]))) == []


def test_every_field_of_a_rule_is_lowered() -> None:
    written = {
        "issuer": "https://a",
        "audiences": ["b"],
        "jwks": KEYS,
        "fromHeaders": [{"name": "X-Token", "prefix": "Token "}],
        "fromParams": ["t"],
        "fromCookies": ["c"],
        "outputPayloadToHeader": "X-Payload",
        "forwardOriginalToken": True,
        "outputClaimToHeaders": [{"header": "X-Sub", "claim": "sub"}],
        "spaceDelimitedClaims": ["roles"],
        "presence": "REQUIRED",
    }
    made = snapshot(obj("RequestAuthentication", "shop/a", {"jwtRules": [written]}))
    assert Reader(made).token_rules("shop", ()) == (
        TokenRule(
            issuer="https://a",
            audiences=("b",),
            keys=KEYS,
            headers=(TokenHeader("x-token", "Token "),),
            params=("t",),
            cookies=("c",),
            payload_header="x-payload",
            claim_headers=(ClaimHeader("x-sub", "sub"),),
            forward=True,
            space_delimited=("roles",),
            required=True,
        ),
    )


def test_without_places_tokens_are_where_bearers_put_them() -> None:
    (rule,) = Reader(snapshot(ra("shop/a", "a"))).token_rules("shop", ())
    assert rule.headers == (TokenHeader("authorization", "Bearer "),)
    assert (rule.params, rule.cookies) == (("access_token",), ())


# --- keys -----------------------------------------------------------------------------------------------------------

FETCHED = {
    "jwtRules": [{"issuer": "https://a/", "timeout": "2s"}, {"issuer": "b", "jwksUri": "https://b/keys"}]
}
OF_A = KeySource("https://a/.well-known/openid-configuration", discovers=True)
OF_B = KeySource("https://b/keys")


def test_keys_are_fetched_where_the_rule_or_the_issuer_says() -> None:
    made = snapshot(obj("RequestAuthentication", "shop/a", FETCHED))
    assert dict(made.request_authentications.sources()) == {OF_A: 2000, OF_B: 5000}


def test_of_two_rules_for_one_source_the_more_patient_decides() -> None:
    patient = {"jwtRules": [{"issuer": "c", "jwksUri": "https://b/keys", "timeout": "9s"}]}
    made = snapshot(
        obj("RequestAuthentication", "shop/a", FETCHED), obj("RequestAuthentication", "shop/c", patient)
    )
    assert dict(made.request_authentications.sources())[OF_B] == 9000


def test_a_key_set_is_a_fact_of_its_own() -> None:
    made = snapshot(obj("RequestAuthentication", "shop/a", FETCHED))
    table = made.request_authentications
    reader = Reader(made)
    assert [rule.keys for rule in reader.token_rules("shop", ())] == ["", ""]
    changed = Fact(FactKind.KEY_SET, "https://b/keys")
    assert changed in reader.facts

    assert table.put_key_set(OF_B, KEYS) == {changed}
    assert table.put_key_set(OF_B, KEYS) == set()
    assert [rule.keys for rule in Reader(made).token_rules("shop", ())] == [KEYS, ""]
    assert made.contributors(changed) == {("RequestAuthentication", "shop", "a")}
    assert changed in made.facts_of("RequestAuthentication", "shop", "a")
    assert table.put_key_set(OF_B, "") == {changed}
    assert [rule.keys for rule in Reader(made).token_rules("shop", ())] == ["", ""]


def test_a_policy_is_a_fact_of_those_that_look_at_it() -> None:
    made = snapshot()
    facts = made.put_config(ra("shop/web", "a", selector=WEB))
    assert facts == {Fact(FactKind.REQUEST_AUTHENTICATION, "shop|app=web")}
    reader = Reader(made)
    reader.token_rules("shop", WEB_LABELS)
    assert facts <= reader.facts
    other = Reader(made)
    other.token_rules("shop", (("app", "other"),))
    assert not facts & other.facts
    assert made.remove_config("RequestAuthentication", "shop", "web") == facts
    assert issuers(made) == []
