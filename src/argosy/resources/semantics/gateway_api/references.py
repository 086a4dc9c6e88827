"""References: parents and targets that are distinct, backends with a port, names of rules.

# Gateway API: apis/v1/shared_types.go, object_reference_types.go
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from argosy.resources.gateway_api.references import (
    BackendObjectReference,
    Fraction,
    ParentReference,
    SessionPersistence,
)
from argosy.resources.semantics import names
from argosy.resources.semantics.findings import Findings

MATCHES = 128
"""So many matches all rules of a route may have together."""


def check_parents(parents: Sequence[ParentReference], findings: Findings) -> None:
    """Those of one object differ in their parts, and all name a part or none does."""
    same: dict[tuple[str, str, str, str], list[tuple[int, tuple[str, int]]]] = {}
    for index, parent in enumerate(parents):
        key = (parent.group, parent.kind, parent.namespace or "", parent.name)
        same.setdefault(key, []).append((index, (parent.section_name or "", parent.port or 0)))
    for key, found in same.items():
        check_parts("spec.parentRefs", key[-1], found, "sectionName or port", findings)


def check_parts(
    path: str, name: str, found: Sequence[tuple[int, tuple[str, int]]], part: str, findings: Findings
) -> None:
    """`found`: place in the list -> (section, port) of references to one object."""
    first_index, first = found[0]
    seen = {first}
    for index, written in found[1:]:
        if [bool(one) for one in written] != [bool(one) for one in first]:
            findings.error(
                f"{path}[{index}]",
                f"refers to {names.shown(name)} as [{first_index}] does, and only one of them gives {part}; give it in "
                "both, or keep one",
            )
        elif written in seen:
            findings.error(
                f"{path}[{index}]", f"refers to {names.shown(name)} a second time; give it another {part}"
            )
        seen.add(written)


def check_backend(path: str, backend: BackendObjectReference, findings: Findings) -> None:
    if not backend.group and backend.kind == "Service" and backend.port is None:
        findings.error(
            f"{path}.port", f"is missing, which Service {names.shown(backend.name)} needs; give its port"
        )


def check_rule_names(rules: Iterable[str | None], findings: Findings) -> None:
    seen: set[str] = set()
    for index, name in enumerate(rules):
        if name is not None and name in seen:
            findings.error(
                f"spec.rules[{index}].name", f"{names.shown(name)} is there twice; name each rule once"
            )
        seen.add(name or "")


def check_matches(counts: Iterable[int], findings: Findings) -> None:
    if (total := sum(counts)) > MATCHES:
        findings.error("spec.rules", f"have {total} matches in all; at most {MATCHES} are allowed")


def check_fraction(path: str, fraction: Fraction | None, findings: Findings) -> None:
    if fraction is not None and fraction.numerator > fraction.denominator:
        findings.error(
            f"{path}.numerator", f"{fraction.numerator} is more than the denominator {fraction.denominator}"
        )


def check_session(path: str, session: SessionPersistence | None, findings: Findings) -> None:
    permanent = session and session.cookie_config and session.cookie_config.lifetime_type == "Permanent"
    if session is not None and permanent and session.absolute_timeout is None:
        findings.error(
            f"{path}.absoluteTimeout", "is missing, which a cookie of lifetimeType Permanent needs; give it"
        )
