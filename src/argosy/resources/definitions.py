"""CustomResourceDefinitions of the kinds that Kubernetes does not have: manifests, and what the API shows of them.

# Kubernetes: apiextensions/v1 CustomResourceDefinition; KEP-1111: the annotation that groups of *.k8s.io need
"""

from __future__ import annotations

from typing import Any

from argosy.resources import apiextensions
from argosy.resources.kinds import KINDS, Column, Kind
from argosy.resources.structural import inline

Json = dict[str, Any]

PROTECTED = ".k8s.io"
APPROVAL = "api-approved.kubernetes.io"


def defined() -> tuple[Kind, ...]:
    """The kinds that have a definition."""
    return tuple(kind for kind in KINDS if not kind.builtin and not kind.virtual)


def name_of(kind: Kind) -> str:
    return f"{kind.plural}.{kind.group}"


def manifest(kind: Kind) -> Json:
    """The definition as it is given to a Kubernetes API server."""
    metadata: Json = {"name": name_of(kind), "labels": {"app.kubernetes.io/part-of": "argosy"}}
    if kind.group.endswith(PROTECTED):
        metadata["annotations"] = {APPROVAL: "unapproved, written by Argosy from its description of the kind"}
    return {
        "apiVersion": f"{apiextensions.GROUP}/v1",
        "kind": "CustomResourceDefinition",
        "metadata": metadata,
        "spec": {
            "group": kind.group,
            "names": _names(kind),
            "scope": "Namespaced" if kind.namespaced else "Cluster",
            "versions": [_version(kind, version) for version in kind.versions],
        },
    }


def established(kind: Kind, *, uid: str, now: str) -> Json:
    """The definition as an API server shows it that serves the kind."""
    found = manifest(kind)
    metadata = found["metadata"] | {"uid": uid, "creationTimestamp": now, "generation": 1}
    conditions = [
        {
            "type": "NamesAccepted",
            "status": "True",
            "reason": "NoConflicts",
            "message": "no conflicts found",
            "lastTransitionTime": now,
        },
        {
            "type": "Established",
            "status": "True",
            "reason": "InitialNamesAccepted",
            "message": "the kind is served",
            "lastTransitionTime": now,
        },
    ]
    status = {
        "acceptedNames": _names(kind),
        "conditions": conditions,
        "storedVersions": [kind.versions[0]],
    }
    spec = found["spec"] | {"conversion": {"strategy": "None"}}
    return found | {"metadata": metadata, "spec": spec, "status": status}


def _names(kind: Kind) -> Json:
    said: Json = {
        "kind": kind.kind,
        "listKind": f"{kind.kind}List",
        "plural": kind.plural,
        "singular": kind.singular,
    }
    if kind.short_names:
        said["shortNames"] = list(kind.short_names)
    if kind.categories:
        said["categories"] = list(kind.categories)
    return said


def _version(kind: Kind, version: str) -> Json:
    schema = inline(kind)
    said: Json = {
        "name": version,
        "served": True,
        "storage": version == kind.versions[0],
        "schema": {"openAPIV3Schema": schema},
    }
    if "status" in schema["properties"]:
        said["subresources"] = {"status": {}}
    if kind.columns:
        said["additionalPrinterColumns"] = [_column(column) for column in kind.columns]
    return said


def _column(column: Column) -> Json:
    said: Json = {"name": column.name, "type": column.type.value, "jsonPath": column.json_path}
    for field, value in (
        ("format", column.format),
        ("description", column.description),
        ("priority", column.priority),
    ):
        if value:
            said[field] = value
    return said
