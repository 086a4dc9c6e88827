"""`exportTo`: to which namespaces an object is visible. `*` all, `.` its own, a name, and for ServiceEntry `~` none."""

from __future__ import annotations

from argosy.resources.semantics import names
from argosy.resources.semantics.findings import Findings

FIELD = "spec.exportTo"


def check_export_to(export_to: tuple[str, ...], namespace: str, findings: Findings) -> frozenset[str]:
    """The namespaces it names, `.` resolved. `~` is refused: see `check_export_to_or_none`."""
    for i, entry in enumerate(export_to):
        if entry == "~":
            findings.error(f"{FIELD}[{i}]", "'~' is for a ServiceEntry alone; use '.', '*' or namespaces")
    return _check(export_to, namespace, findings)


def check_export_to_or_none(export_to: tuple[str, ...], namespace: str, findings: Findings) -> frozenset[str]:
    if "~" in export_to and len(export_to) > 1:
        findings.error(FIELD, "has '~' (no namespace) and others; use '~' alone or leave it out")
    return _check(export_to, namespace, findings)


def _check(export_to: tuple[str, ...], namespace: str, findings: Findings) -> frozenset[str]:
    seen: set[str] = set()
    for i, entry in enumerate(export_to):
        path = f"{FIELD}[{i}]"
        key = namespace if entry == "." and namespace else entry
        if key in seen:
            findings.error(
                path, f"{names.shown(entry)} is there twice ('.' is the object's own namespace); keep one"
            )
        seen.add(key)
        if entry not in (".", "*", "~"):
            findings.error(path, names.dns_label(entry))
    if "*" in seen and len(export_to) > 1:
        findings.error(FIELD, "has '*' (every namespace) and others; use '*' alone or leave it out")
    return frozenset(seen)
