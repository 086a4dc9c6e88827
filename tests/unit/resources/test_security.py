"""AuthorizationPolicy and RequestAuthentication: what can match, and what is refused at which field."""

import json
from collections.abc import Callable
from typing import Any

import pytest

from argosy.resources.validation import Verdict
from tests.tokens import key, key_set

Judge = Callable[..., Verdict]
Json = dict[str, Any]
GATEWAY = {"group": "gateway.networking.k8s.io", "kind": "Gateway", "name": "edge"}


def errors(verdict: Verdict) -> list[str]:
    return [problem.field for problem in verdict.errors]


def warnings(verdict: Verdict) -> list[str]:
    return [problem.field for problem in verdict.warnings]


def source(**fields: Any) -> Json:
    return {"rules": [{"from": [{"source": fields}]}]}


def operation(**fields: Any) -> Json:
    return {"rules": [{"to": [{"operation": fields}]}]}


def when(key: str, *values: str) -> Json:
    return {"rules": [{"when": [{"key": key, "values": list(values)}]}]}


CUSTOM = {"action": "CUSTOM", "provider": {"name": "authz"}}


@pytest.mark.parametrize(
    "spec",
    [
        {},
        {"rules": []},
        {"rules": [{}]},
        {"action": "DENY", "rules": [{}]},
        {"targetRefs": [GATEWAY, {"kind": "Service", "name": "a"}]},
        {"targetRefs": [{"group": "gateway.networking.k8s.io", "kind": "GatewayClass", "name": "istio"}]},
        {"targetRefs": [{"group": "networking.istio.io", "kind": "ServiceEntry", "name": "a"}]},
        source(principals=["*"], notPrincipals=["a/*"], trustDomains=["cluster.local"]),
        source(ipBlocks=["10.0.0.0/8", "::1"], notRemoteIpBlocks=["192.0.2.1"]),
        operation(ports=["80"], paths=["/a/{*}/b", "/{**}", "/c*", "*.css"], hosts=["*.example.com"]),
        when("request.headers[x-user]", "*"),
        when("request.auth.claims[groups]", "admin"),
        when("experimental.envoy.filters.network.mysql_proxy[db.table]", "[update]"),
        when("source.serviceAccount", "shop/frontend"),
        when("destination.port", "80"),
        CUSTOM | {"rules": [{"to": [{"operation": {"paths": ["/admin"]}}]}]},
        CUSTOM | source(ipBlocks=["10.0.0.1"]),
    ],
)
def test_a_policy_that_can_be_evaluated_is_valid(judge: Judge, spec: Json) -> None:
    assert errors(judge("AuthorizationPolicy", spec)) == []


@pytest.mark.parametrize(
    ("spec", "field"),
    [
        ({"action": "ALWAYS"}, "spec.action"),
        ({"selector": {}, "targetRefs": [GATEWAY]}, "spec.targetRefs"),
        ({"targetRef": GATEWAY, "targetRefs": [GATEWAY]}, "spec.targetRefs"),
        ({"targetRefs": [GATEWAY] * 17}, "spec.targetRefs"),
        ({"targetRef": GATEWAY | {"namespace": "other"}}, "spec.targetRef.namespace"),
        ({"targetRef": GATEWAY | {"group": "apps"}}, "spec.targetRef.kind"),
        ({"targetRef": GATEWAY | {"name": ""}}, "spec.targetRef.name"),
        ({"action": "DENY"}, "spec.rules"),
        (CUSTOM, "spec.rules"),
        ({"action": "CUSTOM", "rules": [{}]}, "spec.provider.name"),
        ({"provider": {"name": "a"}}, "spec.provider"),
        (source(), "spec.rules[0].from[0].source"),
        ({"rules": [{"from": []}]}, "spec.rules[0].from"),
        ({"rules": [None]}, "spec.rules[0]"),
        (source(serviceAccounts=["a/b"], namespaces=["c"]), "spec.rules[0].from[0].source.namespaces"),
        (
            source(notServiceAccounts=["a/b"], notPrincipals=["c"]),
            "spec.rules[0].from[0].source.notPrincipals",
        ),
        (source(serviceAccounts=["a/*"]), "spec.rules[0].from[0].source.serviceAccounts[0]"),
        (source(serviceAccounts=["a/b/c"]), "spec.rules[0].from[0].source.serviceAccounts[0]"),
        (source(serviceAccounts=["a"] * 17), "spec.rules[0].from[0].source.serviceAccounts"),
        (source(trustDomains=[""]), "spec.rules[0].from[0].source.trustDomains[0]"),
        (source(ipBlocks=["10.0.0.0/33"]), "spec.rules[0].from[0].source.ipBlocks[0]"),
        (operation(ports=["http"]), "spec.rules[0].to[0].operation.ports[0]"),
        (operation(notPorts=["65536"]), "spec.rules[0].to[0].operation.notPorts[0]"),
        (operation(paths=["/{*}/{name}"]), "spec.rules[0].to[0].operation.paths[0]"),
        (operation(paths=["/{**}/*"]), "spec.rules[0].to[0].operation.paths[0]"),
        (operation(paths=["/{name=*}/{*}"]), "spec.rules[0].to[0].operation.paths[0]"),
        (operation(paths=["/{**}/a/{*}"]), "spec.rules[0].to[0].operation.paths[0]"),
        (operation(notPaths=["/{*}/a b"]), "spec.rules[0].to[0].operation.notPaths[0]"),
        (when("", "a"), "spec.rules[0].when[0].key"),
        (when("source.ip"), "spec.rules[0].when[0]"),
        (when("source.ip", "a"), "spec.rules[0].when[0].values[0]"),
        (when("destination.port", "a"), "spec.rules[0].when[0].values[0]"),
        (when("request.headers", "a"), "spec.rules[0].when[0].key"),
        (when("request.headers[]", "a"), "spec.rules[0].when[0].key"),
        (when("destination.namespace", "a"), "spec.rules[0].when[0].key"),
        (when("destination.labels[a]", "a"), "spec.rules[0].when[0].key"),
        (when("destination.user", "a"), "spec.rules[0].when[0].key"),
        (when("weather", "a"), "spec.rules[0].when[0].key"),
        (CUSTOM | source(principals=["a"]), "spec.rules[0].from[0].source.principals"),
        (CUSTOM | source(notNamespaces=["a"]), "spec.rules[0].from[0].source.notNamespaces"),
        (CUSTOM | when("request.auth.claims[a]", "b"), "spec.rules[0].when[0].key"),
        (CUSTOM | when("source.principal", "b"), "spec.rules[0].when[0].key"),
    ],
)
def test_a_policy_that_cannot_is_refused_at_its_field(judge: Judge, spec: Json, field: str) -> None:
    assert field in errors(judge("AuthorizationPolicy", spec))


@pytest.mark.parametrize(
    ("spec", "warned"),
    [
        (operation(methods=["GET"]), True),
        (operation(methods=["GET"], ports=["80"]), False),
        (operation(methods=["GET"], notPorts=["80"]), False),
        (source(requestPrincipals=["*"]), True),
        (source(namespaces=["a"]), False),
        (source(trustDomains=["a"]), False),
        ({"rules": [{}]}, False),
    ],
)
def test_a_deny_of_http_alone_is_warned_of(judge: Judge, spec: Json, warned: bool) -> None:
    assert warnings(judge("AuthorizationPolicy", {"action": "DENY"} | spec)) == (
        ["spec.rules[0]"] if warned else []
    )
    assert warnings(judge("AuthorizationPolicy", spec)) == []


def test_a_dry_run_is_for_policies_that_allow_or_deny(judge: Judge) -> None:
    def found(value: str, spec: Json, kind: str = "AuthorizationPolicy") -> list[str]:
        return errors(judge(kind, spec, annotations={"istio.io/dry-run": value}))

    assert found("true", {}) == found("0", {"action": "DENY", "rules": [{}]}) == []
    assert found("perhaps", {}) == ["metadata.annotations['istio.io/dry-run']"]
    assert found("true", {"action": "AUDIT"}) == ["metadata.annotations['istio.io/dry-run']"]
    assert found("true", {}, "RequestAuthentication") == ["metadata.annotations"]


JWKS = key_set(key("ES256"))


@pytest.mark.parametrize(
    "rule",
    [
        {"issuer": "a"},
        {"jwksUri": "https://a.example/keys"},
        {"issuer": "a", "jwksUri": "http://a.example:8080/keys", "timeout": "1s", "presence": "OPTIONAL"},
        {"issuer": "a", "jwks": JWKS},
        {"issuer": "a", "jwks": json.dumps(key("EdDSA").jwk)},
        {"issuer": "a", "jwks": '{"keys": []}'},
        {"issuer": "a", "fromHeaders": [{"name": "x-token", "prefix": "Bearer "}], "fromCookies": ["t"]},
    ],
)
def test_a_rule_that_says_whose_tokens_it_takes_is_valid(judge: Judge, rule: Json) -> None:
    assert errors(judge("RequestAuthentication", {"jwtRules": [rule]})) == []


@pytest.mark.parametrize(
    ("rule", "field"),
    [
        ({}, "issuer"),
        ({"jwks": JWKS}, "issuer"),
        ({"issuer": ""}, "issuer"),
        ({"issuer": "a", "jwksUri": "a.example/keys"}, "jwksUri"),
        ({"issuer": "a", "jwksUri": "ftp://a.example"}, "jwksUri"),
        ({"issuer": "a", "jwksUri": "https://"}, "jwksUri"),
        ({"issuer": "a", "jwksUri": "https://a:99999/"}, "jwksUri"),
        ({"issuer": "a", "jwksUri": "https://a", "jwks": JWKS}, "jwks"),
        ({"issuer": "a", "jwks": "{"}, "jwks"),
        ({"issuer": "a", "jwks": "[]"}, "jwks"),
        ({"issuer": "a", "jwks": '{"keys": [{}]}'}, "jwks"),
        ({"issuer": "a", "jwks": '{"kty": "oct", "k": "YQ"}'}, "jwks"),
        ({"issuer": "a", "outputPayloadToHeader": "Host"}, "outputPayloadToHeader"),
        ({"issuer": "a", "outputPayloadToHeader": "a\n"}, "outputPayloadToHeader"),
        ({"issuer": "a", "fromHeaders": [{"name": ":path"}]}, "fromHeaders[0].name"),
        ({"issuer": "a", "fromHeaders": [{"name": "a", "prefix": "b\r"}]}, "fromHeaders[0].prefix"),
        (
            {"issuer": "a", "outputClaimToHeaders": [{"header": "content-length", "claim": "c"}]},
            "outputClaimToHeaders[0].header",
        ),
        ({"issuer": "a", "timeout": "0s"}, "timeout"),
        ({"issuer": "a", "presence": "SOMETIMES"}, "presence"),
        (
            {"issuer": "a", "outputClaimToHeaders": [{"header": "a b", "claim": "c"}]},
            "outputClaimToHeaders[0].header",
        ),
    ],
)
def test_a_rule_that_cannot_be_used_is_refused_at_its_field(judge: Judge, rule: Json, field: str) -> None:
    assert f"spec.jwtRules[0].{field}" in errors(judge("RequestAuthentication", {"jwtRules": [rule]}))
