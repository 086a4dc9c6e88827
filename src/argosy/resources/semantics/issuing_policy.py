"""IssuingPolicy: says something, a lifetime that certificates can have, and service accounts that can exist."""

from __future__ import annotations

from argosy.resources.duration import parse_duration
from argosy.resources.issuing import IssuingPolicy
from argosy.resources.semantics import names
from argosy.resources.semantics.findings import Findings
from argosy.resources.semantics.identity_registration import is_pattern

SHORTEST_MS = 60_000


def check(obj: IssuingPolicy, findings: Findings) -> None:
    spec = obj.spec
    if not (spec.max_lifetime or spec.allow or spec.deny):
        findings.error("spec", "says nothing; give maxLifetime, allow or deny")
    if spec.max_lifetime is not None:
        try:
            milliseconds = parse_duration(spec.max_lifetime)
        except ValueError as error:
            findings.error("spec.maxLifetime", str(error))
        else:
            if milliseconds < SHORTEST_MS:
                findings.error(
                    "spec.maxLifetime", f"{names.shown(spec.max_lifetime)} is too short; use 1m or more"
                )
    for field, patterns in (("allow", spec.allow), ("deny", spec.deny)):
        for i, account in enumerate(patterns):
            if not is_pattern(account):
                findings.error(
                    f"spec.{field}[{i}]",
                    f"{names.shown(account)} is not namespace/name; write one as in shop/reviews, shop/* or */*",
                )
