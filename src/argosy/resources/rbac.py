"""Kinds of `rbac.authorization.k8s.io`: who may do what with the API.

# Kubernetes: rbac/v1 types; defaults: rbac/v1 defaults.go
"""

from __future__ import annotations

from typing import Annotated

from msgspec import Meta, Struct, field

from argosy.resources.kind import AGE, Column, Kind
from argosy.resources.meta import Object
from argosy.resources.selector import LabelSelector

GROUP = "rbac.authorization.k8s.io"

_ATOMIC = Meta(extra_json_schema={"x-kubernetes-list-type": "atomic"})


class PolicyRule(Struct, frozen=True, kw_only=True, rename="camel", omit_defaults=True):
    """Verbs that are allowed on resources, or on paths of the API that are no resources. Rules only ever add."""

    verbs: Annotated[tuple[str, ...], _ATOMIC]
    """What is allowed: get, list, watch, create, update, patch, delete, deletecollection…; * is every verb."""
    api_groups: Annotated[tuple[str, ...], _ATOMIC] = ()
    """The API groups of the resources, as in networking.istio.io; "" is the core group, * every group."""
    resources: Annotated[tuple[str, ...], _ATOMIC] = ()
    """Resources by plural name, as in virtualservices; a subresource as in virtualservices/status; * is all."""
    resource_names: Annotated[tuple[str, ...], _ATOMIC] = ()
    """The names of the objects that are meant; none: every object."""
    non_resource_urls: Annotated[tuple[str, ...], _ATOMIC] = field(default=(), name="nonResourceURLs")
    """Paths that are no resources, as in /healthz; a * at the end stands for the rest. In a ClusterRole alone."""


class Role(Object, frozen=True, kw_only=True, rename="camel", omit_defaults=True):
    """A set of rules for one namespace. It gives nothing to anybody until a RoleBinding names it."""

    rules: Annotated[tuple[PolicyRule, ...], _ATOMIC] = ()
    """What the role allows within its namespace: the union of the rules."""


class AggregationRule(Struct, frozen=True, kw_only=True, rename="camel", omit_defaults=True):
    """Which other ClusterRoles the rules of this one are put together from."""

    cluster_role_selectors: Annotated[tuple[LabelSelector, ...], _ATOMIC] = ()
    """Selectors of ClusterRoles by label: the rules of each that ANY of them selects are included."""


class ClusterRole(Object, frozen=True, kw_only=True, rename="camel", omit_defaults=True):
    """A set of rules for cluster-scoped resources and all namespaces, or for the namespace of a RoleBinding."""

    rules: Annotated[tuple[PolicyRule, ...], _ATOMIC] = ()
    """What the role allows: the union of the rules."""
    aggregation_rule: AggregationRule | None = None
    """Where it is set, the rules are those of the ClusterRoles that it selects, whatever is written in rules."""


class Subject(Struct, frozen=True, kw_only=True, rename="camel", omit_defaults=True):
    """Whom a binding gives a role: a user, a group, or a service account."""

    kind: str
    """User, Group or ServiceAccount."""
    name: str
    """The name of the user, group or service account."""
    api_group: str = ""
    """rbac.authorization.k8s.io for User and Group, which is also the default; "" for ServiceAccount."""
    namespace: str = ""
    """The namespace of a ServiceAccount; users and groups have none."""


class RoleRef(Struct, frozen=True, kw_only=True, rename="camel", omit_defaults=True):
    """The role that a binding gives. It cannot be changed: delete the binding and create another."""

    kind: str
    """Role or ClusterRole."""
    name: str
    """The name of the role."""
    api_group: str = GROUP
    """The group of the role: always rbac.authorization.k8s.io."""


class RoleBinding(Object, frozen=True, kw_only=True, rename="camel", omit_defaults=True):
    """Gives the rules of a Role or ClusterRole to subjects, within the namespace of the binding."""

    role_ref: RoleRef
    """The Role of the same namespace, or the ClusterRole, that is given. It cannot be changed."""
    subjects: Annotated[tuple[Subject, ...], _ATOMIC] = ()
    """Whom the role is given to."""


class ClusterRoleBinding(Object, frozen=True, kw_only=True, rename="camel", omit_defaults=True):
    """Gives the rules of a ClusterRole to subjects, in all namespaces and for cluster-scoped resources."""

    role_ref: RoleRef
    """The ClusterRole that is given. It cannot be changed."""
    subjects: Annotated[tuple[Subject, ...], _ATOMIC] = ()
    """Whom the role is given to."""


def _kind(struct: type[Object], plural: str, *columns: Column, namespaced: bool) -> Kind:
    return Kind(
        group=GROUP,
        versions=("v1",),
        kind=struct.__name__,
        plural=plural,
        singular=struct.__name__.lower(),
        columns=(*columns, AGE),
        namespaced=namespaced,
        builtin=True,
        struct=struct,
    )


_ROLE = (
    Column("Kind", ".roleRef.kind", description="Whether it gives a Role or a ClusterRole."),
    Column("Role", ".roleRef.name", description="The role that it gives."),
)
KINDS = (
    _kind(Role, "roles", namespaced=True),
    _kind(ClusterRole, "clusterroles", namespaced=False),
    _kind(RoleBinding, "rolebindings", *_ROLE, namespaced=True),
    _kind(ClusterRoleBinding, "clusterrolebindings", *_ROLE, namespaced=False),
)
