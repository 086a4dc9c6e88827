"""The one door for objects: schema first, then what a schema cannot say. It answers, and never raises.

What is refused here changes nothing; what passes here the model can lower.
"""

from __future__ import annotations

from typing import Any

import msgspec
from msgspec import Struct

from argosy.resources import schema
from argosy.resources.kinds import KINDS, Kind, decode_as, kind_of, kind_of_group, why_elsewhere
from argosy.resources.problem import Problem
from argosy.resources.semantics import check_change_of, check_of, metadata
from argosy.resources.semantics.findings import Findings

__all__ = ["Problem", "Verdict", "validate"]


class Verdict(Struct, frozen=True):
    kind: Kind | None  # None: not one of ours
    errors: tuple[Problem, ...] = ()
    warnings: tuple[Problem, ...] = ()

    @property
    def valid(self) -> bool:
        return not self.errors


def validate(obj: Any, *, strict: bool = True, old: dict[str, Any] | None = None) -> Verdict:
    """`strict`: fields the kind does not have are errors; otherwise warnings. `old`: the object that it replaces."""
    unfit = schema.shape(obj)
    if unfit is not None:
        return _refused("", unfit)
    if not isinstance(obj, dict):
        return _refused("", "is not an object; write a mapping with apiVersion, kind, metadata and spec")
    for field in ("apiVersion", "kind"):
        if not isinstance(obj.get(field), str) or not obj[field]:
            return _refused(field, "is missing; say what the object is")
    kind = kind_of(obj["apiVersion"], obj["kind"])
    if kind is None:
        return _unserved(obj["apiVersion"], obj["kind"])
    found = schema.check(kind, obj)
    findings = Findings()
    findings.errors += found.wrong
    findings.warnings += found.tolerated
    (findings.errors if strict else findings.warnings).extend(found.unknown)
    if not found.wrong:
        _semantics(kind, obj, old, findings)
    return Verdict(kind, tuple(findings.errors), tuple(findings.warnings))


def _semantics(kind: Kind, obj: dict[str, Any], old: dict[str, Any] | None, findings: Findings) -> None:
    try:
        typed = decode_as(kind, obj)
    except msgspec.ValidationError as error:
        findings.errors.append(_unreadable(str(error)))
        return
    metadata.check(kind, typed.metadata, findings)
    check_of(kind)(typed, findings)
    check_change = check_change_of(kind) if old is not None else None
    if old is not None and check_change is not None:
        try:
            before = decode_as(kind, old)
        except msgspec.ValidationError:
            return  # what cannot be read may be replaced by anything
        check_change(before, typed, findings)


def _unreadable(text: str) -> Problem:
    """What the struct knows and JSON Schema does not: that a key of a map is a number, as of ports."""
    message, _, place = text.partition(" - at ")
    path = place.partition("`$")[2].rstrip("`").lstrip(".")
    return Problem(
        path, f"has a wrong key: {message}; change the key" if place.startswith("`key`") else message
    )


def _unserved(api_version: str, name: str) -> Verdict:
    known = kind_of_group(api_version, name)
    if known is not None:
        return _refused(
            "apiVersion", f"{api_version[:80]!r} is not served; use {' or '.join(known.api_versions)}"
        )
    elsewhere = why_elsewhere(api_version, name)
    if elsewhere:
        return _refused("kind", f"{name!r} is not held here: {elsewhere}")
    served = ", ".join(k.kind for k in KINDS)
    return _refused("kind", f"{name[:80]!r} of {api_version[:80]!r} is not served; the kinds are {served}")


def _refused(field: str, message: str) -> Verdict:
    return Verdict(None, (Problem(field, message),))
