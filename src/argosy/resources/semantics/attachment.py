"""What policies have in common: whom they are for, by selector or by reference.

# Istio: validateOneOfSelectorType, validatePolicyTargetReference, CRD rules
"""

from __future__ import annotations

from collections.abc import Sequence

from argosy.resources.selector import PolicyTargetReference, WorkloadSelector
from argosy.resources.semantics import names, selectors
from argosy.resources.semantics.findings import Findings

GATEWAY_API = "gateway.networking.k8s.io"
_TARGETS = (
    (GATEWAY_API, "Gateway"),
    (GATEWAY_API, "GatewayClass"),
    ("", "Service"),
    ("networking.istio.io", "ServiceEntry"),
)


def check(
    selector: WorkloadSelector | None,
    target_ref: PolicyTargetReference | None,
    target_refs: Sequence[PolicyTargetReference],
    findings: Findings,
) -> None:
    written = {
        "selector": selector is not None,
        "targetRef": target_ref is not None,
        "targetRefs": target_refs,
    }
    given = [name for name, value in written.items() if value]
    if len(given) > 1:
        findings.error(f"spec.{given[1]}", f"cannot stand beside {given[0]}; keep one of them")
    if selector is not None:
        selectors.check_selector("spec.selector.matchLabels", selector.match_labels, findings)
    if target_ref is not None:
        _target("spec.targetRef", target_ref, findings)
    check_targets(target_refs, findings)


def check_targets(target_refs: Sequence[PolicyTargetReference], findings: Findings) -> None:
    for index, target in enumerate(target_refs):
        _target(f"spec.targetRefs[{index}]", target, findings)


def _target(path: str, target: PolicyTargetReference, findings: Findings) -> None:
    if target.namespace:
        findings.error(
            f"{path}.namespace",
            f"{names.shown(target.namespace)}: targets of other namespaces are not supported; remove it",
        )
    group = "" if target.group == "core" else target.group
    if (group, target.kind) not in _TARGETS:
        known = ", ".join(f"{kind} ({group})" if group else kind for group, kind in _TARGETS)
        findings.error(
            f"{path}.kind",
            f"{names.shown(target.kind)} of group {names.shown(target.group)} is no target; use one of {known}",
        )
