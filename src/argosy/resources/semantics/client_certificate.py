"""Requests for certificates: what is certified is judged where it is signed."""

from __future__ import annotations

from argosy.resources.access import ClientCertificate
from argosy.resources.semantics.findings import Findings


def check(obj: ClientCertificate, findings: Findings) -> None:
    if not obj.spec.user:
        findings.error("spec.user", "is empty; name a User that is there")
    if "BEGIN CERTIFICATE REQUEST" not in obj.spec.request:
        findings.error("spec.request", "is not a certificate signing request in PEM")
