"""Roles and their bindings: what a rule may say, whom a binding may name, and that its role stays.

# Kubernetes: pkg/apis/rbac/validation
"""

from __future__ import annotations

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
from argosy.resources.semantics import names, selectors
from argosy.resources.semantics.findings import Findings

_SUBJECTS = ("User", "Group", "ServiceAccount")


def check(obj: Role | ClusterRole | RoleBinding | ClusterRoleBinding, findings: Findings) -> None:
    if isinstance(obj, (Role, ClusterRole)):
        for index, rule in enumerate(obj.rules):
            _rule(f"rules[{index}]", rule, isinstance(obj, Role), findings)
        if isinstance(obj, ClusterRole):
            _aggregation(obj, findings)
        return
    in_namespace = isinstance(obj, RoleBinding)
    _role_ref(obj.role_ref, ("Role", "ClusterRole") if in_namespace else ("ClusterRole",), findings)
    for index, subject in enumerate(obj.subjects):
        _subject(f"subjects[{index}]", subject, findings)


def check_change(
    old: Role | ClusterRole | RoleBinding | ClusterRoleBinding,
    new: Role | ClusterRole | RoleBinding | ClusterRoleBinding,
    findings: Findings,
) -> None:
    if isinstance(old, (Role, ClusterRole)) or isinstance(new, (Role, ClusterRole)):
        return
    if old.role_ref != new.role_ref:
        findings.error(
            "roleRef",
            f"cannot be changed from {old.role_ref.kind} {old.role_ref.name} to {new.role_ref.kind} "
            f"{new.role_ref.name}; delete the binding and create another",
        )


def _rule(path: str, rule: PolicyRule, in_namespace: bool, findings: Findings) -> None:
    if not rule.verbs:
        findings.error(f"{path}.verbs", "is empty; name at least one verb")
    if rule.non_resource_urls:
        if in_namespace:
            findings.error(
                f"{path}.nonResourceURLs", "is not for a Role, which has a namespace; use a ClusterRole"
            )
        if rule.api_groups or rule.resources or rule.resource_names:
            findings.error(
                f"{path}.nonResourceURLs", "cannot stand with resources in one rule; write two rules"
            )
        return
    if not rule.api_groups:
        findings.error(f"{path}.apiGroups", 'is empty; name at least one group ("" is the core group)')
    if not rule.resources:
        findings.error(f"{path}.resources", "is empty; name at least one resource")


def _aggregation(obj: ClusterRole, findings: Findings) -> None:
    if obj.aggregation_rule is None:
        return
    path = "aggregationRule.clusterRoleSelectors"
    if not obj.aggregation_rule.cluster_role_selectors:
        findings.error(path, "is empty; give at least one selector, or remove aggregationRule")
    for index, selector in enumerate(obj.aggregation_rule.cluster_role_selectors):
        selectors.check_label_selector(f"{path}[{index}]", selector, findings)


def _role_ref(ref: RoleRef, kinds: tuple[str, ...], findings: Findings) -> None:
    if ref.api_group != GROUP:
        findings.error("roleRef.apiGroup", f"{names.shown(ref.api_group)} is not {GROUP}; write that")
    if ref.kind not in kinds:
        findings.error("roleRef.kind", f"{names.shown(ref.kind)} is not one of {', '.join(kinds)}")
    findings.error(
        "roleRef.name", "is empty; name the role" if not ref.name else names.path_segment(ref.name)
    )


def _subject(path: str, subject: Subject, findings: Findings) -> None:
    if not subject.name:
        findings.error(f"{path}.name", "is empty; name the subject")
    if subject.kind == "ServiceAccount":
        if subject.name:
            findings.error(f"{path}.name", names.object_name(subject.name))
        if subject.api_group:
            findings.error(
                f"{path}.apiGroup", f"{names.shown(subject.api_group)} is not for a ServiceAccount; remove it"
            )
        if not subject.namespace:
            findings.error(f"{path}.namespace", "is missing; name the namespace of the ServiceAccount")
    elif subject.kind in _SUBJECTS:
        if subject.api_group not in ("", GROUP):
            findings.error(f"{path}.apiGroup", f"{names.shown(subject.api_group)} is not {GROUP}; write that")
    else:
        findings.error(f"{path}.kind", f"{names.shown(subject.kind)} is not one of {', '.join(_SUBJECTS)}")
