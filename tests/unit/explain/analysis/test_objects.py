"""Objects by themselves: schemas, annotations, conditions, definitions; and what is of Kubernetes alone."""

from __future__ import annotations

from typing import Any

import pytest
import yaml

from tests.unit.explain.analysis.written import found, obj


def test_what_does_not_fit_its_schema_is_told_and_hinders_nothing() -> None:
    wrong = obj(
        "VirtualService a/v", "{hosts: [x.com], http: 5, tcp: [{route: [7, {destination: {host: no.org}}]}]}"
    )
    service = obj("Service a/s", "{ports: [{name: http, port: 80}]}")
    told = found(wrong, service, only="IST0106 IST0101")
    assert ("IST0106", "VirtualService a/v") in told
    assert ("IST0101", "VirtualService a/v") in told
    for strange in ("spec: 5", "spec: [1]", "metadata: 7", "spec: {hosts: {a: 1}, http: [[]], gateways: 3}"):
        for kind in (
            "VirtualService",
            "Gateway",
            "Sidecar",
            "Service",
            "Pod",
            "EnvoyFilter",
            "DestinationRule",
        ):
            body = obj(f"{kind} a/x")
            found(body | yaml.safe_load(strange))


def test_warnings_of_schemas_have_codes_of_their_own() -> None:
    route = "route: [{destination: {host: a}}]"
    spec = "{hosts: [x.com], http: [%s]}"
    only = "IST0130 IST0131 IST0133 IST0002"
    cases = {
        f"{{{route}}}, {{{route}}}": ["IST0130"],
        f"{{match: [{{port: 1}}], {route}}}, {{match: [{{port: 1}}, {{port: 2}}], {route}}}": ["IST0131"],
        f"{{match: [{{port: 1}}], {route}}}, {{match: [{{port: 1}}], {route}}}": ["IST0130", "IST0131"],
        f"{{fault: {{delay: {{percent: 5, fixedDelay: 1s}}}}, {route}}}": ["IST0002"],
        f"{{mirror: {{host: a}}, mirrorPercent: 5, {route}}}": ["IST0133"],
        f"{{{route}}}": [],
    }
    for http, codes in cases.items():
        assert [code for code, _ in found(obj("VirtualService a/v", spec % http), only=only)] == codes, http


def test_kinds_that_are_gone() -> None:
    assert found(obj("ClusterRbacConfig a/c")) == [("IST0002", "ClusterRbacConfig a/c")]
    gone = obj("CustomResourceDefinition x", "{group: rbac.istio.io, names: {kind: ServiceRole}}")
    assert found(gone) == [("IST0002", "CustomResourceDefinition x")]


ANNOTATIONS = [
    ("Service", "sidecar.istio.io/nonsense", "1", ["IST0108"]),
    ("Service", "example.com/anything", "1", []),
    ("Service", "sidecar.istio.io/logLevel", "debug", ["IST0107"]),
    ("Pod", "sidecar.istio.io/logLevel", "debug", []),
    ("Service", "networking.istio.io/exportTo", "a", []),
    ("Service", "galley.istio.io/analyze-suppress", "IST0001", []),
    ("Pod", "sidecar.istio.io/inject", "true", ["IST0135"]),
    ("Pod", "sidecar.istio.io/interceptionMode", "MAYBE", ["IST0125"]),
    ("Pod", "sidecar.istio.io/interceptionMode", "TPROXY", []),
    ("Pod", "status.sidecar.istio.io/port", "15020", []),
    ("Pod", "status.sidecar.istio.io/port", "x", ["IST0125"]),
    ("Pod", "traffic.sidecar.istio.io/includeOutboundIPRanges", "10.0.0.0/8,x", ["IST0125"]),
    ("Pod", "traffic.sidecar.istio.io/includeOutboundIPRanges", "*", []),
    ("Pod", "traffic.sidecar.istio.io/excludeInboundPorts", "80,443", []),
    ("Pod", "traffic.sidecar.istio.io/excludeInboundPorts", "80,70000", ["IST0125"]),
    ("Pod", "sidecar.istio.io/proxyCPU", "100m", []),
    ("Pod", "sidecar.istio.io/proxyMemory", "much", ["IST0125"]),
    ("Pod", "prometheus.istio.io/merge-metrics", "perhaps", ["IST0125"]),
]


@pytest.mark.parametrize(("kind", "name", "value", "codes"), ANNOTATIONS)
def test_annotations(kind: str, name: str, value: str, codes: list[str]) -> None:
    assert [code for code, _ in found(obj(f"{kind} a/x", annotations={name: value}))] == codes


def condition(type_: str, status: str, reason: str = "R") -> str:
    return f"{{type: {type_}, status: '{status}', reason: {reason}, message: m}}"


CONDITIONS = [
    ("ServiceEntry", condition("istio.io/WaypointBound", "False"), ["IST0171"]),
    ("ServiceEntry", condition("istio.io/WaypointBound", "True"), []),
    ("Service", condition("example.com/Synced", "False"), []),
    ("AuthorizationPolicy", condition("WaypointAccepted", "True", "PartiallyInvalid"), ["IST0171"]),
    ("VirtualService", condition("Accepted", "False"), []),
]


@pytest.mark.parametrize(("kind", "text", "codes"), CONDITIONS)
def test_conditions(kind: str, text: str, codes: list[str]) -> None:
    written = obj(f"{kind} istio-system/x", f"{{spec: {{}}, status: {{conditions: [{text}]}}}}")
    assert [code for code, _ in found(written)] == codes


def test_conditions_of_routes_are_with_their_parents() -> None:
    parents = f"{{parents: [{{conditions: [{condition('Accepted', 'False')}, {condition('ResolvedRefs', 'True')}]}}]}}"
    assert found(obj("HTTPRoute a/r", f"{{spec: {{}}, status: {parents}}}")) == [("IST0171", "HTTPRoute a/r")]


@pytest.mark.parametrize(
    ("version", "codes"), [("v1.0.0", ["IST0176"]), ("v1.1.0", []), ("v1.4.1-rc1", []), ("x", [])]
)
def test_definitions_of_the_gateway_api(version: str, codes: list[str]) -> None:
    name = "grpcroutes.gateway.networking.k8s.io"
    annotations = {"gateway.networking.k8s.io/bundle-version": version}
    assert [
        code for code, _ in found(obj(f"CustomResourceDefinition {name}", annotations=annotations))
    ] == codes


# --- Kubernetes alone ---


def namespace(name: str, **labels: str) -> dict[str, Any]:
    keys = {"injection": "istio-injection", "rev": "istio.io/rev", "mode": "istio.io/dataplane-mode"}
    return obj(f"Namespace {name}", labels={keys[key]: value for key, value in labels.items()})


@pytest.mark.parametrize(
    ("labels", "codes"),
    [
        ({}, ["IST0102"]),
        ({"injection": "enabled"}, []),
        ({"injection": "disabled"}, []),
        ({"rev": "canary"}, []),
        ({"mode": "ambient"}, []),
        ({"injection": "enabled", "rev": "canary"}, ["IST0123"]),
        ({"injection": "disabled", "rev": "canary"}, []),
        ({"injection": "enabled", "mode": "ambient"}, ["IST0123"]),
    ],
)
def test_how_namespaces_are_in_the_mesh(labels: dict[str, str], codes: list[str]) -> None:
    assert [code for code, _ in found(namespace("a", **labels))] == codes
    assert found(namespace("a", **labels), complete=True) == [], "a mesh without Kubernetes injects nothing"


def test_pods_without_the_proxy_they_should_have() -> None:
    around = namespace("a", injection="enabled")
    assert found(around, obj("Pod a/p", "{containers: [{name: app}]}")) == [("IST0103", "Pod a/p")]
    assert found(around, obj("Pod a/p", "{containers: [{name: istio-proxy, image: x}]}")) == []
    assert found(around, obj("Pod a/p", labels={"sidecar.istio.io/inject": "false"})) == []
    assert found(around, obj("Pod a/p", "{hostNetwork: true}")) == []


VALUES = '{"global": {"hub": "h", "tag": "2", "proxy": {"image": "proxyv2"}}, %s}'


def injector(more: str = '"x": 1') -> dict[str, Any]:
    return obj("ConfigMap istio-system/istio-sidecar-injector") | {"data": {"values": VALUES % more}}


def test_what_the_injector_does() -> None:
    by_default = injector('"sidecarInjectorWebhook": {"enableNamespacesByDefault": true}')
    assert found(by_default, namespace("a")) == [("IST0148", "Namespace a")]
    around = namespace("a", injection="enabled")
    for image, codes in (
        ("h/proxyv2:1", ["IST0158"]),
        ("h/proxyv2:2", []),
        ("h/proxyv2:2-distroless", ["IST0158"]),
    ):
        pod = obj("Pod a/p", f"{{containers: [{{name: istio-proxy, image: '{image}'}}]}}")
        assert [code for code, _ in found(injector(), around, pod)] == codes
    assert found(injector(), around, pod, mesh="defaultConfig: {image: {imageType: distroless}}") == []


AUTO = "{containers: [{name: istio-proxy, image: auto}]}"


def test_images_that_injection_is_to_replace() -> None:
    assert found(obj("Pod a/p", AUTO)) == [("IST0147", "Pod a/p")]
    deployment = obj("Deployment a/d", f"{{template: {{metadata: {{labels: {{app: x}}}}, spec: {AUTO}}}}}")
    selector = "{matchLabels: {app: x}, matchExpressions: [{key: off, operator: DoesNotExist}]}"
    hook = obj(
        "MutatingWebhookConfiguration i", f"{{webhooks: [{{name: a.istio.io, objectSelector: {selector}}}]}}"
    )
    assert found(deployment) == [("IST0146", "Deployment a/d")]
    assert found(deployment, hook, only="IST0146") == []


def test_the_user_of_the_proxy_is_nobody_elses() -> None:
    mine = "{containers: [{name: app, securityContext: {runAsUser: %d}}]}"
    assert found(obj("Pod a/p", mine % 1337)) == [("IST0144", "Pod a/p")]
    assert found(obj("Pod a/p", mine % 1000)) == []
    assert found(obj("Pod a/p", (mine % 1337).replace("app", "istio-proxy"))) == []
    whole = "{template: {spec: {securityContext: {runAsUser: 1337}}}}"
    assert found(obj("Deployment a/d", whole)) == [("IST0144", "Deployment a/d")]


def test_keys_of_tokens_are_not_fetched_from_everywhere() -> None:
    istiod = "{template: {spec: {containers: [{name: discovery, env: [%s]}]}}}"
    bounded = "{name: BLOCKED_CIDRS_IN_JWKS_URIS, value: 10.0.0.0/8}"
    jwt, app = obj("RequestAuthentication a/jwt"), {"app": "istiod"}
    assert found(obj("Deployment s/istiod", istiod % "", labels=app), jwt) == [
        ("IST0175", "Deployment s/istiod")
    ]
    assert found(obj("Deployment s/istiod", istiod % bounded, labels=app), jwt) == []
    assert found(obj("Deployment s/istiod", istiod % "", labels=app)) == []
    assert found(obj("Deployment s/other", istiod % ""), jwt) == []


def hook(name: str, client: str, selector: str = "{}") -> dict[str, Any]:
    one = f"{{name: rev.istio.io, clientConfig: {client}, namespaceSelector: {selector}}}"
    return obj(f"MutatingWebhookConfiguration {name}", f"{{webhooks: [{one}]}}")


def test_injection_webhooks() -> None:
    there, here = (
        obj("Service s/istiod", "{ports: [{name: https, port: 443}]}"),
        "{service: {namespace: s, name: istiod}}",
    )
    enabled = "{matchLabels: {istio-injection: enabled}}"
    one, other = hook("one", here, enabled), hook("two", here, enabled)
    assert found(one) == [("IST0139", "MutatingWebhookConfiguration one")]
    assert found(one, there) == []
    assert {origin for _, origin in found(one, other, there, only="IST0139")} == {
        "MutatingWebhookConfiguration one",
        "MutatingWebhookConfiguration two",
    }
    revision = hook("two", here, "{matchLabels: {istio.io/rev: canary}, matchExpressions: []}")
    apart = revision["webhooks"][0]["namespaceSelector"]
    apart["matchExpressions"] = [{"key": "istio-injection", "operator": "DoesNotExist"}]
    assert found(one, revision, there) == []


@pytest.mark.parametrize(
    ("client", "codes"),
    [
        ("{url: ''}", ["IST0163"]),
        ("{url: 'https://a b/inject'}", ["IST0163"]),
        ("{url: 'https://1.2.3.4:15017/inject'}", ["IST0164"]),
        ("{url: 'https://plane.example/inject'}", []),
        ("{service: {namespace: s, name: istiod}}", []),
    ],
)
def test_a_control_plane_elsewhere(client: str, codes: list[str]) -> None:
    one = hook("istio-sidecar-injector-x", client)
    assert [code for code, _ in found(one, only="IST0163 IST0164")] == codes
    assert found(hook("somebody", client), only="IST0163 IST0164") == []
