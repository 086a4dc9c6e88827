"""What selects workloads: Sidecars, Telemetries, AuthorizationPolicies, and policies for the Gateway API."""

from __future__ import annotations

from typing import Any

import pytest

from tests.unit.explain.analysis.written import found, obj

CART = obj(
    "Pod a/cart", "{containers: [{name: istio-proxy, image: p}]}", labels={"app": "cart", "tier": "web"}
)


def selecting(kind: str, name: str, labels: str) -> dict[str, Any]:
    if kind == "Sidecar":
        return obj(f"Sidecar {name}", f"{{workloadSelector: {{labels: {labels}}}}}")
    return obj(f"{kind} {name}", f"{{selector: {{matchLabels: {labels}}}}}")


@pytest.mark.parametrize(("kind", "code"), [("Sidecar", "IST0110"), ("Telemetry", "IST0159")])
def test_one_of_a_kind_for_a_workload(kind: str, code: str) -> None:
    one, other = selecting(kind, "a/one", "{app: cart}"), selecting(kind, "a/two", "{tier: web}")
    assert found(CART, one) == []
    assert found(CART, one, other) == [(code, f"{kind} a/one"), (code, f"{kind} a/two")]
    assert found(CART, selecting(kind, "a/one", "{app: none}")) == [("IST0101", f"{kind} a/one")]
    assert found(CART, selecting(kind, "b/one", "{app: cart}")) == [("IST0101", f"{kind} b/one")]


@pytest.mark.parametrize(("kind", "code"), [("Sidecar", "IST0111"), ("Telemetry", "IST0160")])
def test_one_of_a_kind_for_a_namespace(kind: str, code: str) -> None:
    one, two = obj(f"{kind} a/one"), obj(f"{kind} a/two")
    assert found(one, obj(f"{kind} b/two")) == []
    assert found(one, two) == [(code, f"{kind} a/one"), (code, f"{kind} a/two")]


def test_a_telemetry_for_a_named_gateway_is_for_no_namespace() -> None:
    named = obj("Telemetry a/one", "{targetRefs: [{kind: Gateway, name: g}]}")
    assert found(named, obj("Telemetry a/two")) == []


def test_a_sidecar_has_no_effect_without_sidecars() -> None:
    ambient = obj("Namespace a", labels={"istio.io/dataplane-mode": "ambient"})
    injected = obj("Namespace a", labels={"istio.io/dataplane-mode": "ambient", "istio-injection": "enabled"})
    assert found(ambient, obj("Sidecar a/s"), only="IST0167") == [("IST0167", "Sidecar a/s")]
    assert found(injected, obj("Sidecar a/s"), only="IST0167") == []
    pod = obj("Pod a/p", labels={"app": "x"}, annotations={"ambient.istio.io/redirection": "enabled"})
    both = [selecting("Sidecar", f"a/{name}", "{app: x}") for name in ("s", "t")]
    assert found(pod, *both, only="IST0167 IST0110") == [
        ("IST0167", "Sidecar a/s"),
        ("IST0167", "Sidecar a/t"),
    ]


POLICIES = [
    ("a workload of the namespace", selecting("AuthorizationPolicy", "a/p", "{app: cart}"), False),
    ("no workload", selecting("AuthorizationPolicy", "a/p", "{app: none}"), True),
    ("a workload of another namespace", selecting("AuthorizationPolicy", "b/p", "{app: cart}"), True),
    ("the whole namespace", obj("AuthorizationPolicy a/p"), False),
    ("an empty namespace", obj("AuthorizationPolicy b/p"), True),
    ("the mesh", obj("AuthorizationPolicy istio-system/p"), False),
    ("some of the mesh", selecting("AuthorizationPolicy", "istio-system/p", "{app: cart}"), False),
    ("none of the mesh", selecting("AuthorizationPolicy", "istio-system/p", "{app: none}"), True),
    ("a gateway by name", obj("AuthorizationPolicy b/p", "{targetRefs: [{kind: Gateway, name: g}]}"), False),
]


@pytest.mark.parametrize(("policy", "told"), [row[1:] for row in POLICIES], ids=[row[0] for row in POLICIES])
def test_a_policy_is_for_somebody(policy: dict[str, Any], told: bool) -> None:
    assert [code for code, _ in found(CART, policy)] == ["IST0127"] * told


def test_a_pod_without_a_proxy_is_not_of_the_mesh() -> None:
    policy = selecting("AuthorizationPolicy", "a/p", "{app: x}")
    bare, labels = (
        obj("Pod a/x", "{containers: [{name: c}]}", labels={"app": "x"}),
        {"istio-injection": "enabled"},
    )
    said = obj("Pod a/x", labels={"app": "x", "sidecar.istio.io/inject": "true"})
    assert found(bare, policy, only="IST0127") == [("IST0127", "AuthorizationPolicy a/p")]
    assert found(bare, policy, obj("Namespace a", labels=labels), only="IST0127") == []
    assert found(said, policy, only="IST0127") == []
    entry = obj("WorkloadEntry a/x", "{address: 1.1.1.1, labels: {app: x}}")
    assert found(entry, policy, only="IST0127") == []


@pytest.mark.parametrize(
    ("field", "pattern", "told"),
    [
        ("namespaces", "shop", False),
        ("namespaces", "sho*", False),
        ("namespaces", "*op", False),
        ("namespaces", "*", False),
        ("namespaces", "other", True),
        ("notNamespaces", "o*", True),
    ],
)
def test_namespaces_of_policies(field: str, pattern: str, told: bool) -> None:
    policy = obj(
        "AuthorizationPolicy istio-system/p",
        f"{{rules: [{{from: [{{source: {{{field}: ['{pattern}']}}}}]}}]}}",
    )
    shop = obj("Namespace shop", labels={"istio-injection": "enabled"})
    assert [code for code, _ in found(shop, policy)] == ["IST0101"] * told


@pytest.mark.parametrize("kind", ["AuthorizationPolicy", "RequestAuthentication", "Telemetry", "WasmPlugin"])
def test_a_selector_does_nothing_for_gateways_of_the_gateway_api(kind: str) -> None:
    labels = {"gateway.networking.k8s.io/gateway-name": "web"}
    pod = obj("Pod a/web-1", "{containers: [{name: istio-proxy, image: p}]}", labels=labels)
    selector = "selector: {matchLabels: {gateway.networking.k8s.io/gateway-name: web}}"
    one = obj(f"{kind} a/p", f"{{{selector}}}")
    assert found(pod, one) == [("IST0166", f"{kind} a/p")]
    assert found(pod, obj(f"{kind} a/p", f"{{{selector}, targetRefs: [{{kind: Gateway, name: web}}]}}")) == []
    assert found(CART, selecting(kind, "a/p", "{app: cart}")) == []
