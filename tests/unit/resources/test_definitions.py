"""Manifests of CustomResourceDefinitions: what a Kubernetes API server would refuse them for, if for anything."""

from __future__ import annotations

from typing import Any

import jsonschema_rs
import pytest

from argosy.resources.definitions import defined, manifest, name_of
from argosy.resources.kinds import KINDS, Kind, kind_of
from argosy.resources.structural import inline
from argosy.resources.validation import validate
from tests.unit.resources.rich import RICH
from tests.unit.resources.structural import faults


@pytest.mark.parametrize("kind", defined(), ids=lambda kind: kind.kind)
def test_a_manifest_is_what_kubernetes_takes(kind: Kind) -> None:
    found = manifest(kind)
    spec = found["spec"]
    assert found["metadata"]["name"] == name_of(kind) == f"{spec['names']['plural']}.{spec['group']}"
    assert [version["name"] for version in spec["versions"]] == list(kind.versions)
    assert [version["storage"] for version in spec["versions"]] == [True] + [False] * (len(kind.versions) - 1)
    for version in spec["versions"]:
        assert faults(version["schema"]["openAPIV3Schema"]) == []
        has_status = "status" in version["schema"]["openAPIV3Schema"]["properties"]
        status: Any = {"subresources": {"status": {}}} if has_status else {}
        assert {key: value for key, value in version.items() if key == "subresources"} == status
        columns = version["additionalPrinterColumns"]
        assert {column["type"] for column in columns} <= {"string", "integer", "number", "boolean", "date"}
        assert "Age" in {column["name"] for column in columns}
        assert all(column["jsonPath"].startswith(".") for column in columns)
    assert "status" not in found
    approved = "api-approved.kubernetes.io" in found["metadata"].get("annotations", {})
    assert approved == kind.group.endswith(".k8s.io")
    assert validate(found).valid


def test_the_kinds_of_kubernetes_itself_have_none() -> None:
    assert {kind.kind for kind in KINDS} - {kind.kind for kind in defined()} >= {
        "Secret",
        "Namespace",
        "Role",
    }


@pytest.mark.parametrize("obj", RICH, ids=lambda obj: obj["kind"])
def test_objects_with_every_field_fit_the_schema_of_their_definition(obj: dict[str, Any]) -> None:
    kind = kind_of(obj["apiVersion"], obj["kind"])
    assert kind is not None
    jsonschema_rs.Draft4Validator(inline(kind)).validate(obj)


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"metadata": {"name": "other"}}, "the plural and the group"),
        ({"spec": {"scope": "Everywhere"}}, "neither Namespaced nor Cluster"),
        (
            {"spec": {"versions": [{"name": "v1", "served": True, "storage": False}]}},
            "0 versions have storage",
        ),
    ],
)
def test_a_definition_in_a_file_is_checked(change: dict[str, Any], says: str) -> None:
    found = manifest(defined()[0])
    changed = found | {key: found[key] | value for key, value in change.items()}
    (problem,) = validate(changed).errors
    assert says in problem.message


def test_nothing_is_said_of_the_metadata_as_kubernetes_demands() -> None:
    """A kube-apiserver refuses the definition otherwise."""
    for kind in defined():
        for version in manifest(kind)["spec"]["versions"]:
            assert version["schema"]["openAPIV3Schema"]["properties"]["metadata"] == {"type": "object"}
