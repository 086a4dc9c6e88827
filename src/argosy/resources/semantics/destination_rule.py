"""DestinationRule: host, subsets, policies, and whose traffic it is for.

# Istio: ValidateDestinationRule
"""

from __future__ import annotations

from argosy.resources.networking.destination_rule import DestinationRule
from argosy.resources.semantics import names, selectors, traffic_policy, visibility
from argosy.resources.semantics.findings import Findings


def check(obj: DestinationRule, findings: Findings) -> None:
    spec = obj.spec
    findings.error("spec.host", names.wildcard_host(spec.host))
    traffic_policy.check("spec.trafficPolicy", spec.traffic_policy, findings)
    seen: set[str] = set()
    for i, subset in enumerate(spec.subsets):
        path = f"spec.subsets[{i}]"
        findings.error(f"{path}.name", names.dns_label(subset.name))
        if subset.name in seen:
            findings.error(
                f"{path}.name", f"{names.shown(subset.name)} is there twice; give each subset its own name"
            )
        seen.add(subset.name)
        for wrong in names.labels(subset.labels):
            findings.error(f"{path}.labels", wrong)
        traffic_policy.check(f"{path}.trafficPolicy", subset.traffic_policy, findings)
    own = obj.metadata.namespace
    visible = visibility.check_export_to(spec.export_to, own, findings)
    if spec.workload_selector is not None:
        selectors.check_selector(
            "spec.workloadSelector.matchLabels", spec.workload_selector.match_labels, findings
        )
        if not visible <= {own, "."}:
            findings.error(
                visibility.FIELD,
                "goes beyond its namespace, but workloadSelector is for its namespace; use '.'",
            )
