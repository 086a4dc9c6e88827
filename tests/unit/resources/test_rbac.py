"""Roles and bindings: what is refused, what stays, and whom a selector selects."""

from typing import Any

import msgspec
import pytest

from argosy.resources.kinds import decode
from argosy.resources.rbac import GROUP, RoleBinding
from argosy.resources.selector import LabelSelector
from argosy.resources.validation import Verdict, validate

RULE = {"apiGroups": ["networking.istio.io"], "resources": ["virtualservices"], "verbs": ["get"]}
REF = {"apiGroup": GROUP, "kind": "Role", "name": "developer"}
SERVICE_ACCOUNT = {"kind": "ServiceAccount", "name": "ci", "namespace": "shop"}


def written(kind: str, name: str = "a", **fields: Any) -> dict[str, Any]:
    metadata = {"name": name} | ({} if kind.startswith("Cluster") else {"namespace": "shop"})
    return {"apiVersion": f"{GROUP}/v1", "kind": kind, "metadata": metadata, **fields}


def errors(verdict: Verdict) -> dict[str, str]:
    return {problem.field: problem.message for problem in verdict.errors}


@pytest.mark.parametrize(
    "obj",
    [
        written("Role", rules=[RULE]),
        written("Role"),
        written(
            "ClusterRole", "system:node", rules=[{"nonResourceURLs": ["/healthz", "/a/*"], "verbs": ["*"]}]
        ),
        written(
            "ClusterRole",
            aggregationRule={"clusterRoleSelectors": [{"matchLabels": {"a": "b"}}]},
            rules=None,
        ),
        written("RoleBinding", roleRef=REF, subjects=[SERVICE_ACCOUNT, {"kind": "User", "name": "ann"}]),
        written("RoleBinding", roleRef=REF | {"kind": "ClusterRole"}),
        written(
            "ClusterRoleBinding",
            roleRef=REF | {"kind": "ClusterRole", "name": "system:admin"},
            subjects=[{"kind": "Group", "name": "system:masters", "apiGroup": GROUP}],
        ),
    ],
    ids=lambda obj: str(obj["kind"]),
)
def test_what_kubernetes_takes_is_valid(obj: dict[str, Any]) -> None:
    assert errors(validate(obj)) == {}


@pytest.mark.parametrize(
    ("obj", "field"),
    [
        (written("Role", rules=[RULE | {"verbs": []}]), "rules[0].verbs"),
        (written("Role", rules=[{"resources": ["a"], "apiGroups": [""]}]), "rules[0].verbs"),
        (written("Role", rules=[RULE | {"apiGroups": []}]), "rules[0].apiGroups"),
        (written("Role", rules=[RULE | {"resources": []}]), "rules[0].resources"),
        (written("Role", rules=[{"nonResourceURLs": ["/"], "verbs": ["get"]}]), "rules[0].nonResourceURLs"),
        (written("ClusterRole", rules=[RULE | {"nonResourceURLs": ["/"]}]), "rules[0].nonResourceURLs"),
        (written("ClusterRole", aggregationRule={}), "aggregationRule.clusterRoleSelectors"),
        (
            written(
                "ClusterRole",
                aggregationRule={
                    "clusterRoleSelectors": [{"matchExpressions": [{"key": "a", "operator": "Is"}]}]
                },
            ),
            "aggregationRule.clusterRoleSelectors[0].matchExpressions[0].operator",
        ),
        (written("ClusterRole", "a/b"), "metadata.name"),
        (written("ClusterRole", ".."), "metadata.name"),
        (written("RoleBinding"), "roleRef"),
        (written("RoleBinding", roleRef=REF | {"kind": "User"}), "roleRef.kind"),
        (written("RoleBinding", roleRef=REF | {"name": ""}), "roleRef.name"),
        (written("RoleBinding", roleRef=REF | {"apiGroup": "x"}), "roleRef.apiGroup"),
        (written("ClusterRoleBinding", roleRef=REF), "roleRef.kind"),
        (
            written("RoleBinding", roleRef=REF, subjects=[SERVICE_ACCOUNT | {"namespace": ""}]),
            "subjects[0].namespace",
        ),
        (
            written("RoleBinding", roleRef=REF, subjects=[SERVICE_ACCOUNT | {"apiGroup": GROUP}]),
            "subjects[0].apiGroup",
        ),
        (
            written("RoleBinding", roleRef=REF, subjects=[SERVICE_ACCOUNT | {"name": "A_b"}]),
            "subjects[0].name",
        ),
        (
            written("RoleBinding", roleRef=REF, subjects=[{"kind": "User", "name": "a", "apiGroup": "x"}]),
            "subjects[0].apiGroup",
        ),
        (written("RoleBinding", roleRef=REF, subjects=[{"kind": "User", "name": ""}]), "subjects[0].name"),
        (written("RoleBinding", roleRef=REF, subjects=[{"kind": "Robot", "name": "a"}]), "subjects[0].kind"),
    ],
)
def test_what_kubernetes_refuses_is_refused_at_its_field(obj: dict[str, Any], field: str) -> None:
    assert field in errors(validate(obj))


def test_the_role_of_a_binding_cannot_be_changed() -> None:
    old = written("RoleBinding", roleRef=REF)
    assert errors(validate(old | {"subjects": [SERVICE_ACCOUNT]}, old=old)) == {}
    assert (
        errors(validate(written("RoleBinding", roleRef={"kind": "Role", "name": "developer"}), old=old)) == {}
    )
    changed = errors(validate(written("RoleBinding", roleRef=REF | {"name": "admin"}), old=old))
    assert changed == {
        "roleRef": "cannot be changed from Role developer to Role admin; delete the binding and create another"
    }


def test_what_cannot_be_read_may_be_replaced() -> None:
    assert validate(written("RoleBinding", roleRef=REF), old=written("RoleBinding", roleRef=5)).valid


def test_rules_of_a_role_may_be_changed() -> None:
    assert validate(written("Role", rules=[RULE]), old=written("Role")).valid


def test_a_reference_without_group_means_the_group_of_roles() -> None:
    found = decode(written("RoleBinding", roleRef={"kind": "Role", "name": "a"}))
    assert isinstance(found, RoleBinding)
    assert found.role_ref.api_group == GROUP


@pytest.mark.parametrize(
    ("selector", "labels", "selected"),
    [
        ({}, {}, True),
        ({"matchLabels": {"a": "b"}}, {"a": "b", "c": "d"}, True),
        ({"matchLabels": {"a": "b"}}, {"a": "c"}, False),
        ({"matchLabels": {"a": ""}}, {}, False),
        ({"matchExpressions": [{"key": "a", "operator": "In", "values": ["b", "c"]}]}, {"a": "c"}, True),
        ({"matchExpressions": [{"key": "a", "operator": "In", "values": ["b"]}]}, {}, False),
        ({"matchExpressions": [{"key": "a", "operator": "NotIn", "values": ["b"]}]}, {}, True),
        ({"matchExpressions": [{"key": "a", "operator": "NotIn", "values": ["b"]}]}, {"a": "b"}, False),
        ({"matchExpressions": [{"key": "a", "operator": "Exists"}]}, {"a": ""}, True),
        ({"matchExpressions": [{"key": "a", "operator": "Exists"}]}, {}, False),
        ({"matchExpressions": [{"key": "a", "operator": "DoesNotExist"}]}, {}, True),
        ({"matchExpressions": [{"key": "a", "operator": "DoesNotExist"}]}, {"a": ""}, False),
        ({"matchExpressions": [{"key": "a", "operator": "?"}]}, {"a": ""}, False),
        (
            {"matchLabels": {"a": "b"}, "matchExpressions": [{"key": "c", "operator": "Exists"}]},
            {"a": "b"},
            False,
        ),
    ],
)
def test_a_selector_needs_all_of_its_conditions(
    selector: dict[str, Any], labels: dict[str, str], selected: bool
) -> None:
    assert msgspec.convert(selector, LabelSelector).selects(labels) is selected
