"""ReferenceGrant: nothing beyond its schema."""

from __future__ import annotations

from argosy.resources.gateway_api.policies import ReferenceGrant
from argosy.resources.semantics.findings import Findings


def check(obj: ReferenceGrant, findings: Findings) -> None:
    """Its fields are bounded by the schema."""
