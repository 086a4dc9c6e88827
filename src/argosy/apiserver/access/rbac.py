"""Roles and their bindings, evaluated: what a user may do, and by which of them.

Rule: pure. Rules only ever add: a request is allowed where ANY rule of ANY binding that names the user, one of the
groups or the service account allows it; everything else is denied. Nothing here waits or reads a store.
# Kubernetes: plugin/pkg/auth/authorizer/rbac; pkg/apis/rbac/v1/evaluation_helpers.go
"""

from __future__ import annotations

from collections.abc import Iterator

from msgspec import Struct

from argosy.apiserver.access.attributes import Attributes, Decision, quoted
from argosy.apiserver.auth import User
from argosy.resources.rbac import (
    GROUP,
    ClusterRole,
    ClusterRoleBinding,
    PolicyRule,
    Role,
    RoleBinding,
    RoleRef,
    Subject,
)

MASTERS = "system:masters"
"""The group that may do everything, whatever the objects say: the way back in."""
ALL = "*"

SubjectKey = tuple[str, str]  # ("User" or "Group", name)
Named = tuple[str, str]  # (namespace, name)


class Grant(Struct, frozen=True):
    """A binding, as far as it concerns one subject."""

    binding: str
    namespace: str  # "": everywhere
    role: RoleRef
    subject: Subject


class Granted(Struct, frozen=True):
    """A rule, and the grant that it came by."""

    rule: PolicyRule
    grant: Grant


class Policy:
    """Roles and bindings as they stand; `put` and `remove` keep it so."""

    def __init__(self) -> None:
        self._roles: dict[Named, Role] = {}
        self._cluster_roles: dict[str, ClusterRole] = {}
        self._bindings: dict[Named, RoleBinding | ClusterRoleBinding] = {}  # namespace "": of all
        self._grants: dict[SubjectKey, dict[Named, list[Grant]]] = {}

    # --- what stands ---

    def put(self, obj: Role | ClusterRole | RoleBinding | ClusterRoleBinding) -> None:
        name, namespace = obj.metadata.name, obj.metadata.namespace
        match obj:
            case Role():
                self._roles[namespace, name] = obj
            case ClusterRole():
                self._cluster_roles[name] = obj
            case RoleBinding():
                self._bind((namespace, name), obj)
            case ClusterRoleBinding():
                self._bind(("", name), obj)

    def remove(self, kind: type[object], namespace: str, name: str) -> None:
        if kind is Role:
            self._roles.pop((namespace, name), None)
        elif kind is ClusterRole:
            self._cluster_roles.pop(name, None)
        elif kind is RoleBinding:
            self._unbind((namespace, name))
        elif kind is ClusterRoleBinding:
            self._unbind(("", name))

    def _bind(self, at: Named, binding: RoleBinding | ClusterRoleBinding) -> None:
        self._unbind(at)
        self._bindings[at] = binding
        for subject in binding.subjects:
            if key := subject_key(subject, at[0]):
                grant = Grant(at[1], at[0], binding.role_ref, subject)
                self._grants.setdefault(key, {}).setdefault(at, []).append(grant)

    def _unbind(self, at: Named) -> None:
        binding = self._bindings.pop(at, None)
        for subject in binding.subjects if binding else ():
            key = subject_key(subject, at[0])
            if key and (held := self._grants.get(key)):
                held.pop(at, None)
                if not held:
                    del self._grants[key]

    # --- what follows from it ---

    def decide(self, user: User, wanted: Attributes) -> Decision:
        if MASTERS in user.groups:
            return Decision(True)
        missing: list[str] = []
        for granted in self.granted(user, wanted.namespace, missing):
            if allows(granted.rule, wanted):
                return Decision(True, _because(granted.grant))
        return Decision(False, f"RBAC: {_aggregate(missing)}" if missing else "")

    def granted(self, user: User, namespace: str, missing: list[str] | None = None) -> Iterator[Granted]:
        """The rules that hold for a user in a namespace ("": those that hold everywhere). `missing` is told of the
        roles that are bound and are not there."""
        for grant in self._of(user, namespace):
            rules = self.rules_of(grant.role, grant.namespace)
            if rules is None:
                if missing is not None and (text := not_found(grant.role)) not in missing:
                    missing.append(text)
                continue
            for rule in rules:
                yield Granted(rule, grant)

    def rules_of(self, role: RoleRef, namespace: str) -> tuple[PolicyRule, ...] | None:
        """The rules of a role, those that it aggregates among them; None where it is not there."""
        if role.kind == "Role":
            found = self._roles.get((namespace, role.name))
            return None if found is None else found.rules
        there = self._cluster_roles.get(role.name)
        return None if there is None else self.cluster_rules(there)

    def cluster_rules(self, role: ClusterRole) -> tuple[PolicyRule, ...]:
        if role.aggregation_rule is None:
            return role.rules
        return tuple(rule for one in self._aggregated(role, {role.metadata.name}) for rule in one.rules)

    def role(self, kind: str, namespace: str, name: str) -> Role | ClusterRole | None:
        return self._roles.get((namespace, name)) if kind == "Role" else self._cluster_roles.get(name)

    def binding(self, namespace: str, name: str) -> RoleBinding | ClusterRoleBinding | None:
        return self._bindings.get((namespace, name))

    def namespaces_of(self, user: User) -> set[str]:
        """The namespaces in which some binding names the user; "" stands for all."""
        return {grant.namespace for grant in self._of(user, None)}

    def _of(self, user: User, namespace: str | None) -> Iterator[Grant]:
        """Grants that count in a namespace; None: wherever."""
        keys = [("User", user.name), *(("Group", group) for group in user.groups)]
        for key in keys:
            for (where, _), grants in self._grants.get(key, {}).items():
                if namespace is None or where in ("", namespace):
                    yield from grants

    def _aggregated(self, role: ClusterRole, seen: set[str]) -> Iterator[ClusterRole]:
        """The roles that ANY selector of an aggregation selects, and what those are put together from."""
        selectors = role.aggregation_rule.cluster_role_selectors if role.aggregation_rule else ()
        for name in sorted(self._cluster_roles):
            one = self._cluster_roles[name]
            if name in seen or not any(selector.selects(one.metadata.labels) for selector in selectors):
                continue
            seen.add(name)
            if one.aggregation_rule is None:
                yield one
            else:
                yield from self._aggregated(one, seen)


def allows(rule: PolicyRule, wanted: Attributes) -> bool:
    """ALL of verb, group, resource and name must match; of a path, verb and path."""
    if not matches(rule.verbs, wanted.verb):
        return False
    if not wanted.resource:
        return any(path_matches(url, wanted.path) for url in rule.non_resource_urls)
    return (
        matches(rule.api_groups, wanted.group)
        and any(_resource_matches(resource, wanted) for resource in rule.resources)
        and (not rule.resource_names or wanted.name in rule.resource_names)
    )


def matches(listed: tuple[str, ...], value: str) -> bool:
    return ALL in listed or value in listed


def path_matches(url: str, path: str) -> bool:
    return url in (ALL, path) or (url.endswith(ALL) and path.startswith(url.rstrip(ALL)))


def subject_key(subject: Subject, namespace: str) -> SubjectKey | None:
    """Under which name a subject is known; None: it names nobody."""
    match subject.kind:
        case "User" | "Group" if subject.api_group in ("", GROUP):
            return subject.kind, subject.name
        case "ServiceAccount" if subject.api_group == "":
            within = subject.namespace or namespace
            return ("User", service_account(within, subject.name)) if within else None
    return None


def service_account(namespace: str, name: str) -> str:
    return f"system:serviceaccount:{namespace}:{name}"


def not_found(role: RoleRef) -> str:
    return f"{role.kind.lower()}.{GROUP} {quoted(role.name)} not found"


def _resource_matches(listed: str, wanted: Attributes) -> bool:
    return listed in (ALL, wanted.full_resource) or bool(
        wanted.subresource and listed == f"{ALL}/{wanted.subresource}"
    )


def _because(grant: Grant) -> str:
    binding = (
        f"RoleBinding {quoted(f'{grant.binding}/{grant.namespace}')}"
        if grant.namespace
        else f"ClusterRoleBinding {quoted(grant.binding)}"
    )
    subject = grant.subject
    whom = quoted(f"{subject.name}/{subject.namespace}" if subject.kind == "ServiceAccount" else subject.name)
    role = grant.role
    return f"RBAC: allowed by {binding} of {role.kind} {quoted(role.name)} to {subject.kind} {whom}"


def _aggregate(texts: list[str]) -> str:
    return texts[0] if len(texts) == 1 else f"[{', '.join(texts)}]"
