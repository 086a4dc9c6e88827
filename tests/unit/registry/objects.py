"""Objects as people write them, short."""

from __future__ import annotations

import json
from typing import Any

from argosy.registry.backing import SERVICE_LABEL
from argosy.registry.hosts import EXPORT_ANNOTATION, SERVICE_ACCOUNTS_ANNOTATION
from argosy.registry.workloads import HEALTH_CHECKS_ANNOTATION, PORTS_ANNOTATION
from argosy.resources.kinds import decode
from argosy.resources.meta import Object

REVIEWS = "reviews.default.svc.cluster.local"
PORTS = [{"name": "http", "port": 8080}]


def _meta(name: str, more: dict[str, Any]) -> dict[str, Any]:
    namespace, slash, short = name.partition("/")
    return {"name": short if slash else name, "namespace": namespace if slash else "default"} | more


def service(
    name: str,
    *ports: dict[str, Any],
    selector: dict[str, str] | None = None,
    accounts: str = "",
    export: str = "",
    created: str = "",
    **spec: Any,
) -> Object:
    """Without `ports`: `http` on 80. Without `selector`: the label `app` is the name."""
    annotations = {SERVICE_ACCOUNTS_ANNOTATION: accounts, EXPORT_ANNOTATION: export}
    meta = {"annotations": {key: value for key, value in annotations.items() if value}}
    if created:
        meta["creationTimestamp"] = created  # type: ignore[assignment]
    spec.setdefault("ports", list(ports) or [{"name": "http", "port": 80}])
    spec["selector"] = {"app": name.rpartition("/")[2]} if selector is None else selector
    return decode({"apiVersion": "v1", "kind": "Service", "metadata": _meta(name, meta), "spec": spec})


def service_entry(name: str, *hosts: str, created: str = "", **spec: Any) -> Object:
    """Without `ports`: `http` on 80; resolution STATIC."""
    spec.setdefault("ports", [{"number": 80, "name": "http", "protocol": "HTTP"}])
    spec.setdefault("resolution", "STATIC")
    meta = {"creationTimestamp": created} if created else {}
    return decode(
        {
            "apiVersion": "networking.istio.io/v1",
            "kind": "ServiceEntry",
            "metadata": _meta(name, meta),
            "spec": {"hosts": list(hosts)} | spec,
        }
    )


def workload(
    name: str,
    app: str = "reviews",
    *,
    sidecar: list[dict[str, Any]] | str | None = None,
    checked: str = "",
    healthy: str = "",
    why: str = "",
    meta_labels: dict[str, str] | None = None,
    **spec: Any,
) -> Object:
    annotations = {}
    if sidecar is not None:
        annotations[PORTS_ANNOTATION] = sidecar if isinstance(sidecar, str) else json.dumps(sidecar)
    if checked:
        annotations[HEALTH_CHECKS_ANNOTATION] = checked
    spec["labels"] = ({"app": app} if app else {}) | spec.get("labels", {})
    spec.setdefault("address", "10.0.0.1")
    return decode(
        {
            "apiVersion": "networking.istio.io/v1",
            "kind": "WorkloadEntry",
            "metadata": _meta(name, {"annotations": annotations, "labels": meta_labels or {}}),
            "spec": spec,
            "status": {
                "conditions": [{"type": "Healthy", "status": healthy, "reason": why}] if healthy else []
            },
        }
    )


def endpoints(
    *addresses: str, name: str = "reviews", ports: Any = PORTS, labels: Any = None, **subset: Any
) -> Object:
    body = {"ports": ports, **subset}
    if addresses:
        body["addresses"] = [{"ip": one} for one in addresses]
    metadata = _meta(name, {"labels": labels or {}})
    return decode({"apiVersion": "v1", "kind": "Endpoints", "metadata": metadata, "subsets": [body]})


def slice_of(
    *addresses: str, name: str = "a", of: str = "reviews", kind: str = "IPv4", ports: Any = PORTS, **one: Any
) -> Object:
    labels = {SERVICE_LABEL: of} if of else {}
    return decode(
        {
            "apiVersion": "discovery.k8s.io/v1",
            "kind": "EndpointSlice",
            "metadata": _meta(name, {"labels": labels}),
            "addressType": kind,
            "endpoints": [{"addresses": [address], **one} for address in addresses],
            "ports": ports,
        }
    )
