"""Users: names that bindings can tell apart, tokens that end when they say."""

from __future__ import annotations

from datetime import datetime

from argosy.resources.access import User
from argosy.resources.semantics import names
from argosy.resources.semantics.findings import Findings

RESERVED = "system:"


def check(obj: User, findings: Findings) -> None:
    if obj.metadata.name.startswith(RESERVED):
        findings.error(
            "metadata.name",
            f"{names.shown(obj.metadata.name)} begins with {RESERVED}, which the system keeps for itself; "
            "choose another name",
        )
    for index, group in enumerate(obj.spec.groups):
        if not group:
            findings.error(f"spec.groups[{index}]", "is empty; name a group")
    for index, user in enumerate(obj.spec.unix_users):
        if not user:
            findings.error(f"spec.unixUsers[{index}]", "is empty; name a Unix user")
    for index, token in enumerate(obj.spec.tokens):
        if token.expires and moment(token.expires) is None:
            findings.error(
                f"spec.tokens[{index}].expires",
                f"{names.shown(token.expires)} is not a time with its zone; write it as 2027-01-31T00:00:00Z",
            )


def moment(text: str) -> float | None:
    """A time in Unix seconds; None where the text is none."""
    try:
        found = datetime.fromisoformat(text)
    except ValueError:
        return None
    return found.timestamp() if found.tzinfo is not None else None
