"""TLSRoute, TCPRoute, UDPRoute: hosts, and what v1 allows less of than its forerunners.

# Gateway API: apis/v1/{tlsroute,tcproute,udproute}_types.go, apis/v1alpha2
"""

from __future__ import annotations

from collections.abc import Sequence

from argosy.resources.gateway_api.stream_routes import (
    TCPRoute,
    TCPRouteRule,
    TLSRoute,
    TLSRouteRule,
    UDPRoute,
    UDPRouteRule,
)
from argosy.resources.semantics import names
from argosy.resources.semantics.findings import Findings
from argosy.resources.semantics.gateway_api import references


def check(obj: TLSRoute | TCPRoute | UDPRoute, findings: Findings) -> None:
    version = obj.api_version.rpartition("/")[2]
    rules: Sequence[TLSRouteRule | TCPRouteRule | UDPRouteRule] = obj.spec.rules
    references.check_parents(obj.spec.parent_refs, findings)
    references.check_rule_names((rule.name for rule in rules), findings)
    if version == "v1" and len(rules) > 1:
        findings.error("spec.rules", f"has {len(rules)} rules; v1 has one alone: split the route")
    for index, rule in enumerate(rules):
        for place, backend in enumerate(rule.backend_refs):
            references.check_backend(f"spec.rules[{index}].backendRefs[{place}]", backend, findings)
    if isinstance(obj, TLSRoute):
        _hostnames(obj, version, findings)


def _hostnames(obj: TLSRoute, version: str, findings: Findings) -> None:
    if version != "v1alpha2" and not obj.spec.hostnames:
        findings.error("spec.hostnames", "is empty; name at least one host")
    for index, host in enumerate(obj.spec.hostnames):
        if names.is_ip(host):
            findings.error(
                f"spec.hostnames[{index}]", f"{host} is an address, which no client asks for; name a host"
            )
