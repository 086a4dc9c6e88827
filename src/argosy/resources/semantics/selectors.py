"""Label selectors: which workloads an object is for."""

from __future__ import annotations

from argosy.resources.selector import LabelSelector
from argosy.resources.semantics import names
from argosy.resources.semantics.findings import Findings


def check_selector(path: str, match_labels: dict[str, str], findings: Findings) -> None:
    for key, value in match_labels.items():
        if key == "":
            findings.error(path, f"the key of {names.shown(value)} is empty; name the label")
        elif "*" in key or "*" in value:
            findings.error(
                path, f"{names.shown(f'{key}={value}')}: wildcards are not supported; name key and value"
            )
        elif len(value) > 63:
            findings.error(path, f"{names.shown(f'{key}={value}')}: a label value has at most 63 characters")
    if not match_labels:
        findings.warn(path, "selects by no labels, so it is for every workload; name labels or leave it out")


def check_label_selector(path: str, selector: LabelSelector, findings: Findings) -> None:
    """Kubernetes' own form."""
    for wrong in names.labels(selector.match_labels):
        findings.error(f"{path}.matchLabels", wrong)
    for index, one in enumerate(selector.match_expressions):
        at = f"{path}.matchExpressions[{index}]"
        findings.error(f"{at}.key", names.label_key(one.key))
        if one.operator in ("In", "NotIn"):
            if not one.values:
                findings.error(f"{at}.values", f"is empty; {one.operator} needs at least one value")
            for position, value in enumerate(one.values):
                findings.error(f"{at}.values[{position}]", names.label_value(value))
        elif one.operator in ("Exists", "DoesNotExist"):
            if one.values:
                findings.error(f"{at}.values", f"has no meaning for {one.operator}; remove it")
        else:
            findings.error(
                f"{at}.operator",
                f"{names.shown(one.operator)} is not one of In, NotIn, Exists, DoesNotExist",
            )
