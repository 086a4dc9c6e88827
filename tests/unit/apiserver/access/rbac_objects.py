"""Roles and bindings in few words, for tests."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from argosy.apiserver.access.attributes import Attributes
from argosy.apiserver.access.rbac import Policy
from argosy.resources.meta import ObjectMeta
from argosy.resources.rbac import (
    GROUP,
    AggregationRule,
    ClusterRole,
    ClusterRoleBinding,
    PolicyRule,
    Role,
    RoleBinding,
    RoleRef,
    Subject,
)
from argosy.resources.selector import LabelSelector

NETWORKING = "networking.istio.io"


def rule(
    verbs: str, resources: str = "", *, groups: str = NETWORKING, names: str = "", urls: str = ""
) -> PolicyRule:
    """Lists as words; the group `core` is ""."""
    listed = tuple("" if group == "core" else group for group in groups.split()) if not urls else ()
    return PolicyRule(
        verbs=tuple(verbs.split()),
        api_groups=listed,
        resources=tuple(resources.split()),
        resource_names=tuple(names.split()),
        non_resource_urls=tuple(urls.split()),
    )


def wanted(verb: str, resource: str = "", **more: str) -> Attributes:
    """`resource` as `virtualservices/status`; a path where it begins with /."""
    if resource.startswith("/"):
        return Attributes(verb=verb, path=resource)
    name, _, subresource = resource.partition("/")
    return Attributes(**({"group": NETWORKING} | more), verb=verb, resource=name, subresource=subresource)


def role(name: str, *rules: PolicyRule, namespace: str) -> Role:
    return Role(
        api_version=f"{GROUP}/v1",
        kind="Role",
        metadata=ObjectMeta(name=name, namespace=namespace),
        rules=rules,
    )


def cluster_role(
    name: str,
    *rules: PolicyRule,
    labels: dict[str, str] | None = None,
    aggregates: Iterable[dict[str, str]] | None = None,
) -> ClusterRole:
    selectors = None if aggregates is None else tuple(LabelSelector(match_labels=one) for one in aggregates)
    return ClusterRole(
        api_version=f"{GROUP}/v1",
        kind="ClusterRole",
        metadata=ObjectMeta(name=name, labels=labels or {}),
        rules=rules,
        aggregation_rule=None if selectors is None else AggregationRule(cluster_role_selectors=selectors),
    )


def subject(text: str) -> Subject:
    """`User:ada`, `Group:devs`, `ServiceAccount:shop/bot`."""
    kind, _, name = text.partition(":")
    if kind != "ServiceAccount":
        return Subject(kind=kind, name=name, api_group=GROUP)
    namespace, _, name = name.partition("/")
    return Subject(kind=kind, name=name, namespace=namespace)


def bound(
    role_name: str, *subjects: str, namespace: str = "", kind: str = "ClusterRole", name: str = ""
) -> Any:
    """A RoleBinding, or a ClusterRoleBinding where there is no namespace."""
    struct = RoleBinding if namespace else ClusterRoleBinding
    return struct(
        api_version=f"{GROUP}/v1",
        kind=struct.__name__,
        metadata=ObjectMeta(name=name or f"{role_name}-binding", namespace=namespace),
        role_ref=RoleRef(kind=kind, name=role_name),
        subjects=tuple(subject(one) for one in subjects),
    )


def policy(*objects: Any) -> Policy:
    found = Policy()
    for obj in objects:
        found.put(obj)
    return found
