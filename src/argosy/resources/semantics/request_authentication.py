"""RequestAuthentication: issuers, keys, and where tokens are.

# Istio: ValidateRequestAuthentication, CRD rules
"""

from __future__ import annotations

from urllib.parse import urlsplit

from argosy.resources import key_sets
from argosy.resources.security import JWTRule, RequestAuthentication
from argosy.resources.semantics import attachment, headers, names
from argosy.resources.semantics.findings import Findings


def check(obj: RequestAuthentication, findings: Findings) -> None:
    spec = obj.spec
    attachment.check(spec.selector, spec.target_ref, spec.target_refs, findings)
    for index, rule in enumerate(spec.jwt_rules):
        _rule(f"spec.jwtRules[{index}]", rule, findings)


def _rule(path: str, rule: JWTRule, findings: Findings) -> None:
    if rule.issuer is None and rule.jwks_uri is None:
        findings.error(f"{path}.issuer", "is missing; name the issuer, or where its keys are (jwksUri)")
    if rule.jwks and rule.jwks_uri is not None:
        findings.error(f"{path}.jwks", "cannot stand beside jwksUri; keep one of them")
    if rule.jwks_uri is not None:
        findings.error(f"{path}.jwksUri", _key_location(rule.jwks_uri))
    if rule.jwks:
        _keys(f"{path}.jwks", rule.jwks, findings)
    findings.error(f"{path}.timeout", names.duration(rule.timeout))
    for index, place in enumerate(rule.from_headers):
        findings.error(f"{path}.fromHeaders[{index}].name", _header(place.name))
        findings.error(f"{path}.fromHeaders[{index}].prefix", headers.sendable(place.prefix))
    for index, written in enumerate(rule.output_claim_to_headers):
        findings.error(f"{path}.outputClaimToHeaders[{index}].header", _header(written.header))
    if rule.output_payload_to_header:
        findings.error(f"{path}.outputPayloadToHeader", _header(rule.output_payload_to_header))


_OF_THE_MESSAGE = ("host", "content-length", "transfer-encoding", "connection", "te", "upgrade")


def _header(name: str) -> str | None:
    """Proxies take these headers out of requests, and put others in."""
    if name.startswith(":") or name.lower() in _OF_THE_MESSAGE:
        return f"{names.shown(name)} is part of the message itself; use another header"
    return headers.sendable(name) or (f"{names.shown(name)} is not a header name" if " " in name else None)


def _key_location(text: str) -> str | None:
    try:
        parts = urlsplit(text)
        known = parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
    except ValueError:
        known = False
    if known and "\\" not in text:
        return None
    return f"{names.shown(text)} is not a location of keys; write a URL with http:// or https://"


def _keys(path: str, text: str, findings: Findings) -> None:
    try:
        found = key_sets.read(text)
    except ValueError as error:
        findings.error(path, str(error))
        return
    if not found.keys:
        findings.warn(path, "has no key that proxies can use, so that every token of this rule is refused")
    for told in found.told:
        findings.warn(path, told)
