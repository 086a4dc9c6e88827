"""GRPCRoute: services and methods that can match, filters that go together.

# Gateway API: apis/v1/grpcroute_types.go
"""

from __future__ import annotations

import re

from argosy.resources.gateway_api.grpc_route import GRPCMethodMatch, GRPCRoute
from argosy.resources.gateway_api.http_route import MatchType
from argosy.resources.semantics import names
from argosy.resources.semantics.findings import Findings
from argosy.resources.semantics.gateway_api import filters, references

_SERVICE = re.compile(r"\.?[A-Za-z_][A-Za-z_0-9]*(\.[A-Za-z_][A-Za-z_0-9]*)*")
_METHOD = re.compile(r"[A-Za-z_][A-Za-z_0-9]*")


def check(obj: GRPCRoute, findings: Findings) -> None:
    spec = obj.spec
    references.check_parents(spec.parent_refs, findings)
    references.check_rule_names((rule.name for rule in spec.rules), findings)
    references.check_matches((len(rule.matches) for rule in spec.rules), findings)
    for index, rule in enumerate(spec.rules):
        path = f"spec.rules[{index}]"
        for place, match in enumerate(rule.matches):
            at = f"{path}.matches[{place}]"
            filters.check_names(f"{at}.headers", [header.name for header in match.headers], findings)
            if match.method is not None:
                _method(f"{at}.method", match.method, findings)
        filters.check(f"{path}.filters", rule.filters, findings)
        for place, backend in enumerate(rule.backend_refs):
            references.check_backend(f"{path}.backendRefs[{place}]", backend, findings)
            filters.check(f"{path}.backendRefs[{place}].filters", backend.filters, findings)
        references.check_session(f"{path}.sessionPersistence", rule.session_persistence, findings)


def _method(path: str, match: GRPCMethodMatch, findings: Findings) -> None:
    if match.service is None and match.method is None:
        findings.error(path, "has neither service nor method; give one of them, or leave it out")
    if match.type != MatchType.EXACT:
        return
    if match.service is not None and not _SERVICE.fullmatch(match.service):
        findings.error(
            f"{path}.service", f"{names.shown(match.service)} is not a service; write it as shop.Reviews"
        )
    if match.method is not None and not _METHOD.fullmatch(match.method):
        findings.error(
            f"{path}.method", f"{names.shown(match.method)} is not a method; write it as GetReview"
        )
