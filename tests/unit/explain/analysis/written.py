"""A World of objects written short: `Kind namespace/name` and YAML of what stands beside metadata."""

from __future__ import annotations

from typing import Any

import yaml

from argosy.explain.analysis.analyze import analyze
from argosy.explain.analysis.loaded import world as loaded
from argosy.explain.analysis.world import World
from argosy.resources.loading import Document

API = {
    **dict.fromkeys(("VirtualService", "DestinationRule", "Gateway", "Sidecar"), "networking.istio.io/v1"),
    **dict.fromkeys(("ServiceEntry", "WorkloadEntry"), "networking.istio.io/v1"),
    "EnvoyFilter": "networking.istio.io/v1alpha3",
    **dict.fromkeys(("AuthorizationPolicy", "RequestAuthentication"), "security.istio.io/v1"),
    "Telemetry": "telemetry.istio.io/v1",
    "WasmPlugin": "extensions.istio.io/v1alpha1",
    "Deployment": "apps/v1",
    "CustomResourceDefinition": "apiextensions.k8s.io/v1",
    "HTTPRoute": "gateway.networking.k8s.io/v1",
    "ClusterRbacConfig": "rbac.istio.io/v1alpha1",
    "MutatingWebhookConfiguration": "admissionregistration.k8s.io/v1",
    "ValidatingWebhookConfiguration": "admissionregistration.k8s.io/v1",
}
"""Kind -> apiVersion; all others: v1."""
OF_THE_CLUSTER = (
    "Namespace",
    "Node",
    "CustomResourceDefinition",
    "MutatingWebhookConfiguration",
    "ValidatingWebhookConfiguration",
)


def obj(called: str, text: str = "", **metadata: Any) -> dict[str, Any]:
    """`text`: spec in YAML; where it has `spec` or another top field: the whole object but metadata."""
    kind, _, name = called.partition(" ")
    namespace, slash, name = name.rpartition("/")
    meta: dict[str, Any] = {"name": name} | ({"namespace": namespace} if slash else {})
    body = yaml.safe_load(text) or {}
    top = {"spec", "status", "data", "webhooks"} & set(body)
    api = metadata.pop("api", API.get(kind, "v1"))
    return {"apiVersion": api, "kind": kind, "metadata": meta | metadata} | (body if top else {"spec": body})


def world(*objects: dict[str, Any], mesh: str = "", **more: Any) -> World:
    documents = [Document("file.yaml", index, 1, each) for index, each in enumerate(objects)]
    settings = Document("mesh.yaml", 0, 1, yaml.safe_load(mesh)) if mesh else None
    made, strange = loaded(documents, mesh=settings, **more)
    assert strange == []
    return made


def found(*objects: dict[str, Any], only: str = "", mesh: str = "", **more: Any) -> list[tuple[str, str]]:
    """(code, origin) of all that is found but what schemas say, or of some codes alone."""
    messages = [each.message for each in analyze(world(*objects, mesh=mesh, **more))]
    wanted = only.split()
    return [
        (each.code, each.origin)
        for each in messages
        if (each.code in wanted if wanted else each.code not in ("IST0106", "IST0133"))
    ]
