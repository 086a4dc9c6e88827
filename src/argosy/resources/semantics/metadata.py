"""Metadata of every kind: names, labels, annotations.

# Kubernetes: apimachinery validation of ObjectMeta; Istio: names of workload labels
"""

from __future__ import annotations

from argosy.resources import access, rbac
from argosy.resources.kinds import Kind
from argosy.resources.meta import ObjectMeta
from argosy.resources.semantics import names
from argosy.resources.semantics.findings import Findings

_MAX_ANNOTATIONS = 256 * 1024  # bytes in all, as in Kubernetes
DRY_RUN = "istio.io/dry-run"
AUTHORIZATION_POLICIES = "security.istio.io/authorizationpolicies"


def check(kind: Kind, metadata: ObjectMeta, findings: Findings) -> None:
    _name(kind, metadata, findings)
    if metadata.namespace and not kind.namespaced:
        findings.error("metadata.namespace", f"a {kind.kind} belongs to no namespace; leave it out")
    elif metadata.namespace:
        findings.error("metadata.namespace", names.namespace_name(metadata.namespace))
    for wrong in names.labels(metadata.labels):
        findings.error("metadata.labels", wrong)
    size = 0
    for key, value in metadata.annotations.items():
        findings.error("metadata.annotations", names.label_key(key.lower()))
        size += len(key) + len(value)
    if size > _MAX_ANNOTATIONS:
        findings.error(
            "metadata.annotations", f"have {size} characters; at most {_MAX_ANNOTATIONS} are allowed"
        )
    if kind.group and kind.resource != AUTHORIZATION_POLICIES and DRY_RUN in metadata.annotations:
        findings.error(
            "metadata.annotations",
            f"{DRY_RUN!r} is for AuthorizationPolicy alone; remove it from this {kind.kind}",
        )


def _name(kind: Kind, metadata: ObjectMeta, findings: Findings) -> None:
    if not metadata.name:
        if not metadata.generate_name and not kind.virtual:
            findings.error("metadata.name", "is missing; give the object a name")
        return
    if kind.group in (rbac.GROUP, access.GROUP):
        findings.error("metadata.name", names.path_segment(metadata.name))
    elif kind.resource == "/namespaces":
        findings.error("metadata.name", names.namespace_name(metadata.name))
    elif kind.resource == "/services":
        findings.error("metadata.name", names.lower_label(metadata.name))
    elif kind.resource == "networking.istio.io/gateways":
        findings.error("metadata.name", names.dns_label(metadata.name))
    else:
        findings.error("metadata.name", names.object_name(metadata.name))
