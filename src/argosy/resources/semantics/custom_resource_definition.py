"""CustomResourceDefinition: what its parts say of each other. The API serves them read-only; files may hold them.

# Kubernetes: apiextensions validation: ValidateCustomResourceDefinition
"""

from __future__ import annotations

from argosy.resources.apiextensions import CustomResourceDefinition
from argosy.resources.semantics.findings import Findings

SCOPES = ("Namespaced", "Cluster")


def check(definition: CustomResourceDefinition, findings: Findings) -> None:
    spec = definition.spec
    expected = f"{spec.names.plural}.{spec.group}"
    if definition.metadata.name != expected:
        findings.error(
            "metadata.name", f"{definition.metadata.name!r} is not {expected!r}, the plural and the group"
        )
    if spec.scope not in SCOPES:
        findings.error("spec.scope", f"{spec.scope!r} is neither {' nor '.join(SCOPES)}")
    stored = [version.name for version in spec.versions if version.storage]
    if len(stored) != 1:
        findings.error("spec.versions", f"{len(stored)} versions have storage: true; give it to one")
