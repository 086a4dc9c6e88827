"""ServiceAccount: nothing beyond its metadata."""

from __future__ import annotations

from argosy.resources.core import ServiceAccount
from argosy.resources.semantics.findings import Findings


def check(obj: ServiceAccount, findings: Findings) -> None:
    """Its name is checked with the metadata."""
