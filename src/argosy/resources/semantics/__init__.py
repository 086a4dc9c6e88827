"""What a schema cannot say: the rules of Istio's webhook and of its CRDs, per kind.

Each module `semantics/<kind>.py` has one function `check(obj, findings)` over the typed object; where a kind has fields
that may not be changed, also `check_change(old, new, findings)`. They report, and never raise. Modules are imported
when the first object of their kind is checked, so that starting the CLI stays quick.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from importlib import import_module
from types import ModuleType
from typing import Any

from argosy.resources.kinds import Kind
from argosy.resources.semantics.findings import Findings

Check = Callable[[Any, Findings], None]
CheckChange = Callable[[Any, Any, Findings], None]

_MODULES = {
    "/namespaces": "namespace",
    "/services": "service",
    "/secrets": "secret",
    "/configmaps": "config_map",
    "/serviceaccounts": "service_account",
    "/endpoints": "endpoints",
    "/events": "event",
    "discovery.k8s.io/endpointslices": "endpoints",
    "apiextensions.k8s.io/customresourcedefinitions": "custom_resource_definition",
    "rbac.authorization.k8s.io/roles": "rbac",
    "rbac.authorization.k8s.io/clusterroles": "rbac",
    "rbac.authorization.k8s.io/rolebindings": "rbac",
    "rbac.authorization.k8s.io/clusterrolebindings": "rbac",
    "networking.istio.io/virtualservices": "virtual_service",
    "networking.istio.io/destinationrules": "destination_rule",
    "networking.istio.io/gateways": "gateway",
    "networking.istio.io/serviceentries": "service_entry",
    "networking.istio.io/workloadentries": "workload_entry",
    "networking.istio.io/workloadgroups": "workload_group",
    "networking.istio.io/sidecars": "sidecar",
    "networking.istio.io/envoyfilters": "envoy_filter",
    "networking.istio.io/proxyconfigs": "proxy_config",
    "security.istio.io/peerauthentications": "peer_authentication",
    "security.istio.io/authorizationpolicies": "authorization_policy",
    "security.istio.io/requestauthentications": "request_authentication",
    "telemetry.istio.io/telemetries": "telemetry",
    "extensions.istio.io/wasmplugins": "extensions",
    "extensions.istio.io/trafficextensions": "extensions",
    "networking.k8s.io/ingresses": "ingress",
    "gateway.networking.k8s.io/gatewayclasses": "gateway_api.gateway",
    "gateway.networking.k8s.io/gateways": "gateway_api.gateway",
    "gateway.networking.k8s.io/listenersets": "gateway_api.gateway",
    "gateway.networking.k8s.io/httproutes": "gateway_api.http_route",
    "gateway.networking.k8s.io/grpcroutes": "gateway_api.grpc_route",
    "gateway.networking.k8s.io/tlsroutes": "gateway_api.stream_routes",
    "gateway.networking.k8s.io/tcproutes": "gateway_api.stream_routes",
    "gateway.networking.k8s.io/udproutes": "gateway_api.stream_routes",
    "gateway.networking.k8s.io/referencegrants": "gateway_api.reference_grant",
    "gateway.networking.k8s.io/backendtlspolicies": "gateway_api.backend_tls_policy",
    "identity.argosy.dev/identityregistrations": "identity_registration",
    "identity.argosy.dev/attestors": "attestor",
    "identity.argosy.dev/issuingpolicies": "issuing_policy",
    "access.argosy.dev/users": "user",
    "access.argosy.dev/clientcertificates": "client_certificate",
    "authentication.k8s.io/selfsubjectreviews": "review",
    "authorization.k8s.io/selfsubjectaccessreviews": "review",
    "authorization.k8s.io/selfsubjectrulesreviews": "review",
    "authorization.k8s.io/subjectaccessreviews": "review",
}


@cache
def check_of(kind: Kind) -> Check:
    check: Check = _module(kind).check
    return check


@cache
def check_change_of(kind: Kind) -> CheckChange | None:
    """None: everything of the kind may be changed."""
    return getattr(_module(kind), "check_change", None)


def _module(kind: Kind) -> ModuleType:
    return import_module(f"{__name__}.{_MODULES[kind.resource]}")
