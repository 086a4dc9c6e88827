"""The objects that registration writes: a workload's WorkloadEntry, and the Service where there is none.

A WorkloadEntry of an agent carries the annotation PORTS, and is an endpoint only while its condition Healthy is True
(Istio: annotation proxy.istio.io/health-checks-enabled). Pure functions over JSON bodies as the store keeps them.
"""

from __future__ import annotations

import uuid
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

import msgspec

from argosy.resources.meta import ObjectMeta, prepare_create, prepare_update
from argosy.resources.networking import WorkloadGroup
from argosy.resources.networking.service_entry import WorkloadEntrySpec
from argosy.resources.networking.workload_group import WorkloadGroupMetadata, WorkloadGroupSpec
from argosy.resources.proxy_start import ANNOTATION
from argosy.store.base import Key
from argosy.xds.registration import Register

Json = dict[str, Any]

PORTS = "sidecar.argosy.dev/ports"
HEALTH_CHECKED = "proxy.istio.io/health-checks-enabled"
CONTROLLER = "istio.io/workloadController"
DISCONNECTED_AT = "istio.io/disconnectedAt"
GROUP = "istio.io/autoRegistrationGroup"
SERVICE_ACCOUNTS = "argosy.dev/service-accounts"
HEALTHY = "Healthy"

_OURS = frozenset((PORTS, HEALTH_CHECKED, CONTROLLER, DISCONNECTED_AT, GROUP))

WORKLOAD_GROUPS = "networking.istio.io/workloadgroups"
WORKLOAD_ENTRIES = "networking.istio.io/workloadentries"
SERVICE_ENTRIES = "networking.istio.io/serviceentries"
SERVICES = "/services"
NAMESPACES = "/namespaces"


def entry_key(namespace: str, workload: str) -> Key:
    return Key(WORKLOAD_ENTRIES, namespace, workload)


def timestamp(unix: float) -> str:
    return datetime.fromtimestamp(int(unix), UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def new_object(body: Json, now: float) -> Json:
    """A body ready to be created: uid, creation time, generation."""
    return prepare_create(body, uid=str(uuid.uuid4()), now=timestamp(now))


def workload_entry(
    register: Register,
    before: Json | None,
    now: float,
    controller: str = "",
    group: WorkloadGroup | None = None,
) -> Json:
    """The entry of a workload. What is the same as before stays healthy; what moved must be announced again.

    `controller`: the server that attends it. `group`: what it begins with; what the workload says itself has
    precedence, and its service account is what it has proven.
    """
    template = group.spec.template if group is not None else WorkloadEntrySpec()
    of_group = (group.spec.metadata if group is not None else None) or WorkloadGroupMetadata()
    labels = {**template.labels, **of_group.labels, **register.labels}
    if register.service:
        labels.setdefault("app", register.service)
    ports = [msgspec.to_builtins(port) for port in register.ports]
    spec: Json = {
        "address": register.address,
        "labels": labels,
        "serviceAccount": register.service_account,
    }
    given = {
        "network": register.network or template.network,
        "locality": register.locality or template.locality,
        "weight": template.weight,
        "ports": template.ports,
    }
    spec |= {field: value for field, value in given.items() if value}
    body: Json = {
        "apiVersion": "networking.istio.io/v1",
        "kind": "WorkloadEntry",
        "metadata": {
            "name": register.workload,
            "namespace": register.namespace,
            "labels": labels,
            "annotations": {
                **of_group.annotations,
                **({GROUP: group.metadata.name} if group is not None else {}),
                **_proxy_config(register, of_group, before),
                PORTS: msgspec.json.encode(ports).decode(),
                HEALTH_CHECKED: "true",
                **({CONTROLLER: controller} if controller else {}),
            },
        },
        "spec": spec,
    }
    if before is None:
        return with_health(new_object(body, now), "False", "Registered", "not announced yet", now)
    body["status"] = before.get("status", {})
    body = prepare_update(before, body)
    if _where(before) == _where(body):
        return body
    return with_health(body, "False", "Registered", "registered again with another address or port", now)


def group_of(entry: Json) -> WorkloadGroup:
    """What is left of the group of an entry once the group is gone: what it gave to the entry."""
    spec = msgspec.convert({**entry["spec"], "labels": {}}, WorkloadEntrySpec, strict=False)
    annotations = entry["metadata"].get("annotations") or {}
    given = {name: text for name, text in annotations.items() if name not in _OURS}
    return WorkloadGroup(
        api_version="networking.istio.io/v1",
        kind="WorkloadGroup",
        metadata=ObjectMeta(name=annotation(entry, GROUP), namespace=entry["metadata"].get("namespace", "")),
        spec=WorkloadGroupSpec(
            template=spec,
            metadata=WorkloadGroupMetadata(labels=entry["spec"].get("labels") or {}, annotations=given),
        ),
    )


def _proxy_config(register: Register, of_group: WorkloadGroupMetadata, before: Json | None) -> dict[str, str]:
    """What the workload says itself; where neither it nor its group does, what somebody wrote to the entry stays."""
    kept = "" if ANNOTATION in of_group.annotations else annotation(before or {}, ANNOTATION)
    text = register.proxy_config or kept
    return {ANNOTATION: text} if text else {}


def annotation(entry: Json, name: str) -> str:
    """ "" where it has none."""
    return str((entry.get("metadata", {}).get("annotations") or {}).get(name, ""))


def _where(entry: Json) -> tuple[object, ...]:
    annotations = entry["metadata"].get("annotations", {})
    return entry["spec"].get("address"), entry["spec"].get("network"), annotations.get(PORTS)


def with_health(entry: Json, status: str, reason: str, message: str, now: float) -> Json:
    """The entry with its condition Healthy set; the same object where it is set so already."""
    conditions = list(entry.get("status", {}).get("conditions", ()))
    before = next((c for c in conditions if c.get("type") == HEALTHY), None)
    if before and (before.get("status"), before.get("reason")) == (status, reason):
        return entry
    changed = before is None or before.get("status") != status
    condition = {
        "type": HEALTHY,
        "status": status,
        "reason": reason,
        "message": message,
        "lastTransitionTime": timestamp(now) if changed or before is None else before["lastTransitionTime"],
    }
    rest = [c for c in conditions if c.get("type") != HEALTHY]
    return entry | {"status": {**entry.get("status", {}), "conditions": [*rest, condition]}}


def with_disconnected(entry: Json, now: float) -> Json:
    """The entry, saying that its server misses the workload."""
    metadata = entry["metadata"]
    annotations = metadata.get("annotations", {}) | {DISCONNECTED_AT: timestamp(now)}
    return entry | {"metadata": metadata | {"annotations": annotations}}


def is_healthy(entry: Json) -> bool:
    """Whether it is an endpoint: its condition says so, or nobody checks it."""
    if not is_agents(entry):
        return True
    conditions = entry.get("status", {}).get("conditions", ())
    return any(c.get("type") == HEALTHY and c.get("status") == "True" for c in conditions)


def is_agents(entry: Json) -> bool:
    """Whether an agent wrote it (and not a person)."""
    return PORTS in (entry.get("metadata", {}).get("annotations") or {})


def service(register: Register, now: float) -> Json:
    """The Service of a workload whose service has none; its identity is the proven service account alone."""
    return new_object(
        {
            "apiVersion": "v1",
            "kind": "Service",
            "metadata": {
                "name": register.service,
                "namespace": register.namespace,
                "annotations": {SERVICE_ACCOUNTS: register.service_account},
            },
            "spec": {
                "selector": {"app": register.service},
                "ports": [
                    {
                        "name": f"{port.protocol}-{port.workload}",
                        "port": port.workload,
                        "targetPort": port.workload,
                        "protocol": "TCP",
                    }
                    for port in register.ports
                ],
            },
        },
        now,
    )


def service_accounts(body: Json) -> tuple[str, ...]:
    """The service accounts that a Service names as its own; () where it names none: any."""
    text = (body.get("metadata", {}).get("annotations") or {}).get(SERVICE_ACCOUNTS, "")
    return tuple(part.strip() for part in text.split(",") if part.strip())


def members(objects: Mapping[Key, Json]) -> dict[str, frozenset[Key]]:
    """What selects (`Service shop/reviews`) -> the announced WorkloadEntries it selects, of all the given objects."""
    entries = [
        (key, _labels(body))
        for key, body in objects.items()
        if key.resource == WORKLOAD_ENTRIES and is_healthy(body)
    ]
    found: dict[str, frozenset[Key]] = {}
    for key, body in objects.items():
        spec = body.get("spec") or {}
        if key.resource == SERVICES:
            selector = spec.get("selector")
        elif key.resource == SERVICE_ENTRIES:
            selector = (spec.get("workloadSelector") or {}).get("labels")
        else:
            continue
        if not selector:
            continue
        name = f"{body.get('kind', key.resource)} {key.namespace}/{key.name}"
        wanted = set(selector.items())
        found[name] = frozenset(
            entry for entry, labels in entries if entry.namespace == key.namespace and wanted <= labels
        )
    return found


def _labels(entry: Json) -> set[tuple[str, str]]:
    return set(((entry.get("spec") or {}).get("labels") or {}).items())
