"""Kinds of the Gateway API: what its definitions refuse is refused at the same field."""

from collections.abc import Callable
from typing import Any

import pytest

from argosy.resources.gateway_api import GROUP, KINDS, HTTPRoute
from argosy.resources.gateway_api.http_route import PathMatchType
from argosy.resources.kinds import decode, json_schema
from argosy.resources.validation import Verdict, validate

Judge = Callable[..., Verdict]
Json = dict[str, Any]
BACKEND = {"name": "reviews", "port": 9080}
CERTIFICATE = {"certificateRefs": [{"name": "cert"}]}


def errors(verdict: Verdict) -> list[str]:
    return [problem.field for problem in verdict.errors]


def name(kind: str) -> str:
    return f"{kind}.{GROUP}"


def listener(**fields: Any) -> Json:
    return {"name": "web", "port": 80, "protocol": "HTTP"} | fields


def gateway(*listeners: Json, **fields: Any) -> Json:
    return {"gatewayClassName": "argosy", "listeners": list(listeners or (listener(),))} | fields


def rule(**fields: Any) -> Json:
    return {"rules": [{"backendRefs": [BACKEND]} | fields]}


def filtered(**fields: Any) -> Json:
    return {"rules": [{"filters": [fields]}]}


HTTPS = listener(name="tls", protocol="HTTPS", port=443, tls=CERTIFICATE)
PREFIX = {"path": {"type": "ReplacePrefixMatch", "replacePrefixMatch": "/"}}


@pytest.mark.parametrize(
    "spec",
    [
        gateway(),
        gateway(HTTPS, listener()),
        gateway(listener(name="a", hostname="a.example"), listener(name="b", hostname="*.example")),
        gateway(listener(protocol="TLS", tls={"mode": "Passthrough"})),
        gateway(listener(protocol="TLS", tls={"options": {"example.com/a": "b"}})),
        gateway(listener(protocol="example.com/own")),
        gateway(
            HTTPS,
            addresses=[
                {"value": "10.0.0.1"},
                {"type": "Hostname", "value": "a.example"},
                {"type": "Hostname"},
            ],
            allowedListeners={"namespaces": {"from": "All"}},
            tls={
                "backend": {"clientCertificateRef": {"name": "own"}},
                "frontend": {
                    "default": {
                        "validation": {"caCertificateRefs": [{"group": "", "kind": "ConfigMap", "name": "a"}]}
                    },
                    "perPort": [{"port": 443, "tls": {}}],
                },
            },
            infrastructure={"labels": {"a": "b"}, "annotations": {"example.com/a": "b"}},
        ),
    ],
)
def test_a_gateway_whose_listeners_can_be_told_apart_is_valid(judge: Judge, spec: Json) -> None:
    assert errors(judge(name("Gateway"), spec)) == []


@pytest.mark.parametrize(
    ("spec", "field"),
    [
        ({"listeners": [listener()]}, "spec.gatewayClassName"),
        (gateway() | {"listeners": []}, "spec.listeners"),
        (gateway(*[listener(name=f"a{n}", port=n + 1) for n in range(65)]), "spec.listeners"),
        (gateway(listener(), listener(port=81)), "spec.listeners[1].name"),
        (gateway(listener(), listener(name="other")), "spec.listeners[1]"),
        (gateway(listener(port=0)), "spec.listeners[0].port"),
        (gateway(listener(protocol="a/")), "spec.listeners[0].protocol"),
        (gateway(listener(hostname="a.*")), "spec.listeners[0].hostname"),
        (gateway(listener(protocol="tcp", hostname="a.example")), "spec.listeners[0].hostname"),
        (gateway(listener(tls=CERTIFICATE)), "spec.listeners[0].tls"),
        (gateway(listener(protocol="TLS")), "spec.listeners[0].tls"),
        (gateway(listener(protocol="HTTPS", tls={"mode": "Passthrough"})), "spec.listeners[0].tls.mode"),
        (gateway(listener(protocol="HTTPS", tls={})), "spec.listeners[0].tls.certificateRefs"),
        (gateway(addresses=[{"value": "a"}]), "spec.addresses[0].value"),
        (gateway(addresses=[{"type": "Hostname", "value": "A"}]), "spec.addresses[0].value"),
        (gateway(addresses=[{"value": "10.0.0.1"}] * 2), "spec.addresses[1].value"),
        (
            gateway(tls={"frontend": {"default": {}, "perPort": [{"port": 1, "tls": {}}] * 2}}),
            "spec.tls.frontend.perPort[1].port",
        ),
        (gateway(infrastructure={"labels": {"a b": "c"}}), "spec.infrastructure.labels"),
        (
            gateway(
                listener(
                    allowedRoutes={
                        "namespaces": {
                            "from": "Selector",
                            "selector": {"matchExpressions": [{"key": "a", "operator": "Is"}]},
                        }
                    }
                )
            ),
            "spec.listeners[0].allowedRoutes.namespaces.selector.matchExpressions[0].operator",
        ),
    ],
)
def test_a_gateway_that_cannot_be_served_is_refused_at_its_field(
    judge: Judge, spec: Json, field: str
) -> None:
    assert field in errors(judge(name("Gateway"), spec))


def test_a_listener_set_has_the_rules_of_listeners(judge: Judge) -> None:
    spec = {"parentRef": {"name": "edge"}, "listeners": [listener(), listener()]}
    assert errors(judge(name("ListenerSet"), spec)) == ["spec.listeners[1].name", "spec.listeners[1]"]


def test_a_class_keeps_its_controller() -> None:
    def of(controller: str) -> Json:
        kind = {"apiVersion": f"{GROUP}/v1", "kind": "GatewayClass", "metadata": {"name": "a"}}
        return kind | {"spec": {"controllerName": controller}}

    assert errors(validate(of("a.example/b"), old=of("a.example/b"))) == []
    assert errors(validate(of("a.example/c"), old=of("a.example/b"))) == ["spec.controllerName"]
    assert errors(validate(of("no-path"))) == ["spec.controllerName"]


@pytest.mark.parametrize(
    "spec",
    [
        {},
        rule(),
        rule(
            matches=[{"path": {"value": "/a%20b"}, "headers": [{"name": "a", "value": "b"}], "method": "GET"}]
        ),
        rule(matches=[{"path": {"type": "RegularExpression", "value": "a(b|c)"}}]),
        {"rules": [{"name": "a"}, {"name": "b"}, {}]},
        rule(backendRefs=[{"name": "a", "kind": "ServiceImport", "group": "multicluster.x-k8s.io"}]),
        rule(timeouts={"request": "0s", "backendRequest": "10s"}, retry={"codes": [500, 503], "attempts": 2}),
        filtered(type="RequestRedirect", requestRedirect={"scheme": "https", "statusCode": 301}),
        filtered(type="URLRewrite", urlRewrite=PREFIX),
        filtered(type="CORS", cors={"allowOrigins": ["https://*.example.com:8443", "http://a"], "maxAge": 1}),
        filtered(type="CORS", cors={"allowOrigins": ["*"], "allowMethods": ["*"]}),
        filtered(type="RequestMirror", requestMirror={"backendRef": BACKEND, "fraction": {"numerator": 1}}),
        filtered(type="ExternalAuth", externalAuth={"protocol": "GRPC", "backendRef": BACKEND, "grpc": {}}),
        {"parentRefs": [{"name": "a", "sectionName": "b"}, {"name": "a", "sectionName": "c"}, {"name": "d"}]},
        {
            "parentRefs": [
                {"name": "a"},
                {"name": "a", "namespace": "other"},
                {"name": "a", "kind": "Service"},
            ]
        },
        {"parentRefs": [{"name": "a", "port": 80}, {"name": "a", "port": 443}]},
    ],
)
def test_an_http_route_that_can_be_followed_is_valid(judge: Judge, spec: Json) -> None:
    assert errors(judge(name("HTTPRoute"), spec)) == []


PATH = "spec.rules[0].matches[0].path.value"


@pytest.mark.parametrize(
    ("spec", "field"),
    [
        ({"hostnames": ["10.0.0.0/8"]}, "spec.hostnames[0]"),
        ({"hostnames": ["a.example"] * 17}, "spec.hostnames"),
        ({"rules": []}, "spec.rules"),
        ({"rules": [{}] * 17}, "spec.rules"),
        ({"rules": [{"name": "a"}, {"name": "a"}]}, "spec.rules[1].name"),
        ({"rules": [{"matches": [{}] * 43}] * 3}, "spec.rules"),
        *[
            (rule(matches=[{"path": {"value": value}}]), PATH)
            for value in ("a", "/a//b", "/./a", "/a/../b", "/a/..", "/a/.", "/%2F", "/a#b", "/a b", "/%zz")
        ],
        (rule(matches=[{"path": {"type": "Prefix"}}]), "spec.rules[0].matches[0].path.type"),
        (
            rule(matches=[{"headers": [{"name": ":a", "value": "b"}]}]),
            "spec.rules[0].matches[0].headers[0].name",
        ),
        (
            rule(matches=[{"headers": [{"name": "a", "value": "b"}] * 2}]),
            "spec.rules[0].matches[0].headers[1]",
        ),
        (
            rule(matches=[{"queryParams": [{"name": "a", "value": "b"}] * 2}]),
            "spec.rules[0].matches[0].queryParams[1]",
        ),
        (rule(backendRefs=[{"name": "a"}]), "spec.rules[0].backendRefs[0].port"),
        (rule(backendRefs=[BACKEND | {"weight": -1}]), "spec.rules[0].backendRefs[0].weight"),
        (rule(filters=[{"type": "RequestRedirect", "requestRedirect": {}}]), "spec.rules[0].backendRefs"),
        (rule(timeouts={"request": "1s", "backendRequest": "2s"}), "spec.rules[0].timeouts.backendRequest"),
        (rule(timeouts={"request": "1.5s"}), "spec.rules[0].timeouts.request"),
        (rule(retry={"codes": [200]}), "spec.rules[0].retry.codes[0]"),
        (rule(retry={"codes": [500, 500]}), "spec.rules[0].retry.codes"),
        (
            rule(sessionPersistence={"cookieConfig": {"lifetimeType": "Permanent"}}),
            "spec.rules[0].sessionPersistence.absoluteTimeout",
        ),
        (filtered(type="URLRewrite"), "spec.rules[0].filters[0].urlRewrite"),
        (filtered(type="URLRewrite", urlRewrite={}, cors={}), "spec.rules[0].filters[0].cors"),
        (
            {
                "rules": [
                    {
                        "filters": [
                            {"type": "URLRewrite", "urlRewrite": {}},
                            {"type": "RequestRedirect", "requestRedirect": {}},
                        ]
                    }
                ]
            },
            "spec.rules[0].filters[1].type",
        ),
        ({"rules": [{"filters": [{"type": "CORS", "cors": {}}] * 2}]}, "spec.rules[0].filters[1].type"),
        (
            filtered(type="URLRewrite", urlRewrite={"path": {"type": "ReplaceFullPath"}}),
            "spec.rules[0].filters[0].urlRewrite.path.replaceFullPath",
        ),
        (
            filtered(type="URLRewrite", urlRewrite={"path": PREFIX["path"] | {"replaceFullPath": "/"}}),
            "spec.rules[0].filters[0].urlRewrite.path.replaceFullPath",
        ),
        (
            rule(
                filters=[{"type": "URLRewrite", "urlRewrite": PREFIX}], matches=[{"path": {"type": "Exact"}}]
            ),
            "spec.rules[0].filters[0].urlRewrite.path.replacePrefixMatch",
        ),
        (
            rule(
                matches=[{}, {"path": {"value": "/a"}}],
                backendRefs=[BACKEND | {"filters": [{"type": "URLRewrite", "urlRewrite": PREFIX}]}],
            ),
            "spec.rules[0].backendRefs[0].filters[0].urlRewrite.path.replacePrefixMatch",
        ),
        (
            filtered(
                type="RequestHeaderModifier", requestHeaderModifier={"set": [{"name": "a", "value": "b\n"}]}
            ),
            "spec.rules[0].filters[0].requestHeaderModifier.set[0].value",
        ),
        (
            filtered(type="ResponseHeaderModifier", responseHeaderModifier={"remove": ["a", "a"]}),
            "spec.rules[0].filters[0].responseHeaderModifier.remove[1]",
        ),
        (
            filtered(
                type="RequestMirror",
                requestMirror={
                    "backendRef": BACKEND,
                    "percent": 1,
                    "fraction": {"numerator": 2, "denominator": 1},
                },
            ),
            "spec.rules[0].filters[0].requestMirror.fraction",
        ),
        (
            filtered(
                type="RequestMirror",
                requestMirror={"backendRef": BACKEND, "fraction": {"numerator": 2, "denominator": 1}},
            ),
            "spec.rules[0].filters[0].requestMirror.fraction.numerator",
        ),
        (
            filtered(type="RequestMirror", requestMirror={"backendRef": {"name": "a"}}),
            "spec.rules[0].filters[0].requestMirror.backendRef.port",
        ),
        (
            filtered(type="CORS", cors={"allowOrigins": ["*", "http://a"]}),
            "spec.rules[0].filters[0].cors.allowOrigins",
        ),
        (
            filtered(type="CORS", cors={"allowOrigins": ["a.example"]}),
            "spec.rules[0].filters[0].cors.allowOrigins[0]",
        ),
        (
            filtered(type="CORS", cors={"allowMethods": ["get"]}),
            "spec.rules[0].filters[0].cors.allowMethods[0]",
        ),
        (
            filtered(
                type="ExternalAuth", externalAuth={"protocol": "HTTP", "backendRef": BACKEND, "grpc": {}}
            ),
            "spec.rules[0].filters[0].externalAuth.http",
        ),
        ({"parentRefs": [{"name": "a"}, {"name": "a"}]}, "spec.parentRefs[1]"),
        ({"parentRefs": [{"name": "a"}, {"name": "a", "sectionName": "b"}]}, "spec.parentRefs[1]"),
        ({"parentRefs": [{"name": "a"}] * 33}, "spec.parentRefs"),
    ],
)
def test_an_http_route_that_cannot_is_refused_at_its_field(judge: Judge, spec: Json, field: str) -> None:
    assert field in errors(judge(name("HTTPRoute"), spec))


def test_what_an_http_route_leaves_out_has_the_defaults_of_its_definition() -> None:
    found = decode(
        {"apiVersion": f"{GROUP}/v1beta1", "kind": "HTTPRoute", "metadata": {"name": "a"}, "spec": {}}
    )
    assert isinstance(found, HTTPRoute)
    ((match,),) = [one.matches for one in found.spec.rules]
    assert (match.path.type, match.path.value) == (PathMatchType.PATH_PREFIX, "/")
    body = {"apiVersion": f"{GROUP}/v1", "kind": "HTTPRoute", "metadata": {"name": "a"}}
    named = decode(body | {"spec": {"parentRefs": [{"name": "edge"}], "rules": [{"backendRefs": [BACKEND]}]}})
    assert isinstance(named, HTTPRoute)
    (parent,), (backend,) = named.spec.parent_refs, named.spec.rules[0].backend_refs
    assert (parent.group, parent.kind) == (GROUP, "Gateway")
    assert (backend.group, backend.kind, backend.weight) == ("", "Service", 1)


@pytest.mark.parametrize(
    ("match", "field"),
    [
        ({}, "method"),
        ({"service": "shop/Reviews"}, "method.service"),
        ({"method": "1"}, "method.method"),
        ({"service": "shop.v1.Reviews", "method": "Get_1"}, None),
        ({"type": "RegularExpression", "service": "shop/.*"}, None),
    ],
)
def test_a_grpc_match_names_a_service_or_a_method(judge: Judge, match: Json, field: str | None) -> None:
    found = errors(judge(name("GRPCRoute"), rule(matches=[{"method": match}])))
    assert found == ([f"spec.rules[0].matches[0].{field}"] if field else [])


def test_grpc_routes_have_the_rules_of_filters_and_backends(judge: Judge) -> None:
    spec = {"rules": [{"filters": [{"type": "RequestMirror"}], "backendRefs": [{"name": "a"}]}]}
    assert errors(judge(name("GRPCRoute"), spec)) == [
        "spec.rules[0].filters[0].requestMirror",
        "spec.rules[0].backendRefs[0].port",
    ]


@pytest.mark.parametrize("kind", ["TLSRoute", "TCPRoute", "UDPRoute"])
def test_v1_of_a_stream_route_has_one_rule_and_its_forerunners_more(kind: str) -> None:
    def judged(version: str, rules: int, hostnames: list[str]) -> list[str]:
        spec = {"rules": [{"backendRefs": [BACKEND]}] * rules}
        hosts = {"hostnames": hostnames} if kind == "TLSRoute" else {}
        meta = {"name": "a", "namespace": "shop"}
        body = {"apiVersion": f"{GROUP}/{version}", "kind": kind, "metadata": meta}
        return errors(validate(body | {"spec": spec | hosts}))

    assert judged("v1", 1, ["a.example"]) == judged("v1alpha2", 2, []) == []
    assert judged("v1", 2, ["a.example"]) == ["spec.rules"]
    if kind == "TLSRoute":
        assert judged("v1", 1, []) == judged("v1alpha3", 2, []) == ["spec.hostnames"]
        assert judged("v1", 1, ["10.0.0.1"]) == ["spec.hostnames[0]"]


VALIDATION = {"hostname": "a.example", "wellKnownCACertificates": "System"}
SERVICE = {"group": "", "kind": "Service", "name": "a"}


@pytest.mark.parametrize(
    ("spec", "field"),
    [
        ({"targetRefs": [SERVICE], "validation": VALIDATION}, None),
        ({"targetRefs": [], "validation": VALIDATION}, "spec.targetRefs"),
        ({"targetRefs": [SERVICE] * 2, "validation": VALIDATION}, "spec.targetRefs[1]"),
        (
            {"targetRefs": [SERVICE, SERVICE | {"sectionName": "b"}], "validation": VALIDATION},
            "spec.targetRefs[1]",
        ),
        ({"targetRefs": [SERVICE], "validation": {"hostname": "a"}}, "spec.validation.caCertificateRefs"),
        (
            {
                "targetRefs": [SERVICE],
                "validation": VALIDATION | {"caCertificateRefs": [{"kind": "ConfigMap", "name": "a"}]},
            },
            "spec.validation.wellKnownCACertificates",
        ),
        (
            {"targetRefs": [SERVICE], "validation": VALIDATION | {"subjectAltNames": [{"type": "URI"}]}},
            "spec.validation.subjectAltNames[0].uri",
        ),
        (
            {
                "targetRefs": [SERVICE],
                "validation": VALIDATION
                | {"subjectAltNames": [{"type": "URI", "uri": "spiffe://a/b", "hostname": "a.example"}]},
            },
            "spec.validation.subjectAltNames[0].hostname",
        ),
    ],
)
def test_a_backend_tls_policy_has_one_source_of_trust(judge: Judge, spec: Json, field: str | None) -> None:
    assert errors(judge(name("BackendTLSPolicy"), spec)) == ([field] if field else [])


def test_a_grant_says_who_and_what(judge: Judge) -> None:
    who, what = {"group": GROUP, "kind": "HTTPRoute", "namespace": "b"}, {"group": "", "kind": "Service"}
    assert errors(judge(name("ReferenceGrant"), {"from": [who], "to": [what]})) == []
    assert errors(judge(name("ReferenceGrant"), {"from": [], "to": [what]})) == ["spec.from"]
    assert errors(judge(name("ReferenceGrant"), {"from": [who]})) == ["spec.to"]


def test_lists_have_the_merge_keys_of_the_definitions() -> None:
    found: dict[tuple[str, str], list[str]] = {}
    for kind in KINDS:
        for struct, definition in json_schema(kind)["$defs"].items():
            for field, schema in definition.get("properties", {}).items():
                if keys := schema.get("x-kubernetes-list-map-keys"):
                    found[struct, field] = keys
    assert found["GatewaySpec", "listeners"] == ["name"]
    assert found["GatewayStatus", "listeners"] == ["name"]
    assert found["GatewayStatus", "conditions"] == ["type"]
    assert found["FrontendTLSConfig", "perPort"] == ["port"]
    assert found["HTTPRouteMatch", "headers"] == found["HTTPRouteMatch", "queryParams"] == ["name"]
    assert found["HTTPHeaderFilter", "set"] == found["HTTPHeaderFilter", "add"] == ["name"]
    assert found["RouteParentStatus", "conditions"] == ["type"]
