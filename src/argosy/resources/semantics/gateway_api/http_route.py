"""HTTPRoute: paths that can match, filters that go together, timeouts that fit into each other.

# Gateway API: apis/v1/httproute_types.go
"""

from __future__ import annotations

import re

from argosy.resources.duration import parse_duration
from argosy.resources.gateway_api.http_route import (
    HTTPPathMatch,
    HTTPRoute,
    HTTPRouteFilter,
    HTTPRouteMatch,
    HTTPRouteRule,
    HTTPRouteTimeouts,
    PathMatchType,
)
from argosy.resources.semantics import names
from argosy.resources.semantics.findings import Findings
from argosy.resources.semantics.gateway_api import filters, references

_PATH = re.compile(r"(?:[-A-Za-z0-9/._~!$&'()*+,;=:@]|%[0-9a-fA-F]{2})+")
_NEVER_WITHIN = ("//", "/./", "/../", "%2f", "%2F", "#")
_NEVER_LAST = ("/..", "/.")


def check(obj: HTTPRoute, findings: Findings) -> None:
    spec = obj.spec
    references.check_parents(spec.parent_refs, findings)
    references.check_rule_names((rule.name for rule in spec.rules), findings)
    references.check_matches((len(rule.matches) for rule in spec.rules), findings)
    for index, rule in enumerate(spec.rules):
        _rule(f"spec.rules[{index}]", rule, findings)


def _rule(path: str, rule: HTTPRouteRule, findings: Findings) -> None:
    for index, match in enumerate(rule.matches):
        _match(f"{path}.matches[{index}]", match, findings)
    filters.check(f"{path}.filters", rule.filters, findings)
    if rule.backend_refs and any(one.request_redirect is not None for one in rule.filters):
        findings.error(
            f"{path}.backendRefs", "have no meaning beside a RequestRedirect; remove them, or the filter"
        )
    written = [(f"{path}.filters[{index}]", one) for index, one in enumerate(rule.filters)]
    for index, backend in enumerate(rule.backend_refs):
        at = f"{path}.backendRefs[{index}]"
        references.check_backend(at, backend, findings)
        filters.check(f"{at}.filters", backend.filters, findings)
        written += [(f"{at}.filters[{place}]", one) for place, one in enumerate(backend.filters)]
    for at, one in written:
        _prefix(at, one, rule, findings)
    _timeouts(f"{path}.timeouts", rule.timeouts, findings)
    references.check_session(f"{path}.sessionPersistence", rule.session_persistence, findings)
    if rule.retry is not None and len(set(rule.retry.codes)) < len(rule.retry.codes):
        findings.error(f"{path}.retry.codes", "have a code twice; keep one")


def _match(path: str, match: HTTPRouteMatch, findings: Findings) -> None:
    _path(f"{path}.path", match.path, findings)
    filters.check_names(f"{path}.headers", [header.name for header in match.headers], findings)
    filters.check_names(f"{path}.queryParams", [one.name for one in match.query_params], findings)


def _path(path: str, match: HTTPPathMatch, findings: Findings) -> None:
    if match.type == PathMatchType.REGULAR_EXPRESSION:
        return
    value, shown = match.value, names.shown(match.value)
    if not value.startswith("/"):
        findings.error(f"{path}.value", f"{shown} does not begin with /, which type {match.type} needs")
        return
    for never in _NEVER_WITHIN:
        if never in value:
            findings.error(
                f"{path}.value", f"{shown} has {never} in it, which type {match.type} may not have"
            )
    if value.endswith(_NEVER_LAST):
        findings.error(f"{path}.value", f"{shown} ends with a dot segment, which type {match.type} may not")
    if not _PATH.fullmatch(value):
        findings.error(f"{path}.value", f"{shown} has characters that no path has; encode them, as in %20")


def _prefix(path: str, one: HTTPRouteFilter, rule: HTTPRouteRule, findings: Findings) -> None:
    """What replaces the matched prefix needs one match, by prefix."""
    modifiers = {
        "requestRedirect": one.request_redirect.path if one.request_redirect is not None else None,
        "urlRewrite": one.url_rewrite.path if one.url_rewrite is not None else None,
    }
    for name, modifier in modifiers.items():
        if modifier is None or modifier.replace_prefix_match is None:
            continue
        if len(rule.matches) != 1 or rule.matches[0].path.type != PathMatchType.PATH_PREFIX:
            findings.error(
                f"{path}.{name}.path.replacePrefixMatch",
                "needs a rule with exactly one match, whose path is of type PathPrefix; split the rule",
            )


def _timeouts(path: str, timeouts: HTTPRouteTimeouts | None, findings: Findings) -> None:
    if timeouts is None or timeouts.request is None or timeouts.backend_request is None:
        return
    whole, single = parse_duration(timeouts.request), parse_duration(timeouts.backend_request)
    if whole and single > whole:
        findings.error(
            f"{path}.backendRequest",
            f"{timeouts.backend_request} is longer than request, {timeouts.request}; make it shorter",
        )
