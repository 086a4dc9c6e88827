"""What `argosy validate` answers: one entry per object, in the form the conformance suites read.

Mesh settings are no objects; in a file of their own they are judged, too, as MeshConfig or MeshNetworks.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from argosy.resources import meshconfig
from argosy.resources.kinds import kind_of_group
from argosy.resources.loading import Document
from argosy.resources.problem import Problem
from argosy.resources.validation import validate

Entry = dict[str, Any]
SETTINGS = {meshconfig.KEY: "MeshConfig", meshconfig.NETWORKS_KEY: "MeshNetworks"}


def report(documents: Iterable[Document]) -> list[Entry]:
    """`skipped` marks objects whose kind is not the mesh's: they are neither valid nor invalid."""
    return [_entry(document) for document in documents]


def _entry(document: Document) -> Entry:
    obj = document.object
    fields = obj if isinstance(obj, dict) else {}
    meta = fields.get("metadata")
    meta = meta if isinstance(meta, dict) else {}
    entry: Entry = {
        "file": document.source,
        "index": document.index,
        "apiVersion": fields.get("apiVersion"),
        "kind": fields.get("kind"),
        "namespace": meta.get("namespace"),
        "name": meta.get("name"),
    }
    key = meshconfig.key_of(obj)
    if key is not None:
        found = meshconfig.judge_settings(obj, key)
        return entry | {"kind": SETTINGS[key]} | _judged(tuple(found.errors), tuple(found.warnings))
    api_version, kind = fields.get("apiVersion"), fields.get("kind")
    named = isinstance(api_version, str) and isinstance(kind, str) and api_version and kind
    if named and kind_of_group(str(api_version), str(kind)) is None:
        return entry | {"skipped": True, "valid": True, "errors": [], "warnings": []}
    verdict = validate(obj)
    return entry | _judged(verdict.errors, verdict.warnings)


def _judged(errors: tuple[Problem, ...], warnings: tuple[Problem, ...]) -> Entry:
    return {
        "valid": not errors,
        "errors": [_problem(p) for p in errors],
        "warnings": [_problem(p) for p in warnings],
    }


def _problem(problem: Problem) -> dict[str, str]:
    return {"field": problem.field, "message": problem.message}
