"""BackendTLSPolicy: targets that are distinct, and one source of trust.

# Gateway API: apis/v1/backendtlspolicy_types.go
"""

from __future__ import annotations

from argosy.resources.gateway_api.policies import BackendTLSPolicy, SubjectAltName
from argosy.resources.semantics.findings import Findings
from argosy.resources.semantics.gateway_api import references


def check(obj: BackendTLSPolicy, findings: Findings) -> None:
    same: dict[tuple[str, str, str], list[tuple[int, tuple[str, int]]]] = {}
    for index, target in enumerate(obj.spec.target_refs):
        key = (target.group, target.kind, target.name)
        same.setdefault(key, []).append((index, (target.section_name or "", 0)))
    for key, found in same.items():
        references.check_parts("spec.targetRefs", key[-1], found, "sectionName", findings)
    validation, path = obj.spec.validation, "spec.validation"
    if validation.ca_certificate_refs and validation.well_known_ca_certificates:
        findings.error(
            f"{path}.wellKnownCACertificates", "cannot stand beside caCertificateRefs; keep one of them"
        )
    if not validation.ca_certificate_refs and not validation.well_known_ca_certificates:
        findings.error(
            f"{path}.caCertificateRefs",
            "is empty, and so is wellKnownCACertificates; say whom to trust in one of them",
        )
    for index, name in enumerate(validation.subject_alt_names):
        _name(f"{path}.subjectAltNames[{index}]", name, findings)


def _name(path: str, name: SubjectAltName, findings: Findings) -> None:
    for type_, field, value in (("Hostname", "hostname", name.hostname), ("URI", "uri", name.uri)):
        if name.type == type_ and value is None:
            findings.error(f"{path}.{field}", f"is missing, which type {type_} needs; give it")
        elif name.type != type_ and value is not None:
            findings.error(f"{path}.{field}", f"is not for type {name.type}; remove it")
