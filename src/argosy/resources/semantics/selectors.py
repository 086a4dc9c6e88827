"""Label selectors: which workloads an object is for."""

from __future__ import annotations

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
