"""What the server fills in that nobody wrote, as Kubernetes does for these kinds."""

from __future__ import annotations

from typing import Any

from argosy.apiserver.paths import NAMESPACES
from argosy.resources.kinds import Kind
from argosy.resources.secrets import folded

Json = dict[str, Any]

NAME_LABEL = "kubernetes.io/metadata.name"
KUBERNETES = "kubernetes"
"""The finalizer of a namespace: its contents go first."""


def filled(kind: Kind, obj: Json) -> Json:
    """The object as it is to be checked and stored; of any other form it stays as it is, to be refused."""
    return _namespace(obj) if kind.resource == NAMESPACES else folded(kind, obj)


def born(kind: Kind, obj: Json) -> Json:
    """A new object, with the part of its status that only the server writes."""
    if kind.resource != NAMESPACES:
        return obj
    return obj | {"status": {"phase": "Active"}}


def _namespace(obj: Json) -> Json:
    metadata, spec = obj["metadata"], obj.get("spec")
    labels, name = metadata.get("labels"), metadata.get("name")
    if labels is None:
        labels = {}
    if isinstance(labels, dict) and isinstance(name, str) and name:
        metadata = metadata | {"labels": labels | {NAME_LABEL: name}}
    if spec is None:
        spec = {}
    if isinstance(spec, dict) and not spec.get("finalizers"):
        spec = spec | {"finalizers": [KUBERNETES]}
    return obj | {"metadata": metadata, "spec": spec}
