"""ProxyConfig: whom it is for.

# Istio: ValidateProxyConfig, CRD rules
"""

from __future__ import annotations

from argosy.resources.networking.proxy_config import ProxyConfig
from argosy.resources.semantics import selectors
from argosy.resources.semantics.findings import Findings


def check(obj: ProxyConfig, findings: Findings) -> None:
    if obj.spec.selector is not None:
        selectors.check_selector("spec.selector.matchLabels", obj.spec.selector.match_labels, findings)
