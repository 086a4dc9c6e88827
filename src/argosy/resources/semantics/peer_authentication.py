"""PeerAuthentication: whom it is for, and its ports.

# Istio: ValidatePeerAuthentication, CRD rules
"""

from __future__ import annotations

from argosy.resources.security import PeerAuthentication
from argosy.resources.semantics import names, selectors
from argosy.resources.semantics.findings import Findings


def check(obj: PeerAuthentication, findings: Findings) -> None:
    spec = obj.spec
    if spec.selector is not None:
        selectors.check_selector("spec.selector.matchLabels", spec.selector.match_labels, findings)
    if spec.port_level_mtls is None:
        return
    path = "spec.portLevelMtls"
    if not spec.port_level_mtls:
        findings.error(path, "is empty; give it a port or remove it")
    elif spec.selector is None or not spec.selector.match_labels:
        findings.error(path, "is for chosen workloads; give spec.selector.matchLabels or remove it")
    for number in spec.port_level_mtls:
        findings.error(f"{path}[{number}]", names.port(number))
