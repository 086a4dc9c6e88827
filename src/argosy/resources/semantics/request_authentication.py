"""RequestAuthentication: issuers, keys, and where tokens are.

# Istio: ValidateRequestAuthentication, CRD rules
"""

from __future__ import annotations

from urllib.parse import urlsplit

import msgspec

from argosy.resources.security import JWTRule, RequestAuthentication
from argosy.resources.semantics import attachment, names
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
        findings.error(f"{path}.jwks", _keys(rule.jwks))
    findings.error(f"{path}.timeout", names.duration(rule.timeout))


def _key_location(text: str) -> str | None:
    try:
        parts = urlsplit(text)
        known = parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
    except ValueError:
        known = False
    if known and "\\" not in text:
        return None
    return f"{names.shown(text)} is not a location of keys; write a URL with http:// or https://"


def _keys(text: str) -> str | None:
    """A JSON Web Key Set, or one key alone."""
    try:
        found = msgspec.json.decode(text)
    except msgspec.DecodeError as error:
        return f"is not JSON ({error}); give a JSON Web Key Set"
    if isinstance(found, dict):
        keys = found.get("keys", [found] if "kty" in found else None)
        if isinstance(keys, list) and all(isinstance(key, dict) and "kty" in key for key in keys):
            return None
    return 'is not a JSON Web Key Set; write {"keys": […]}, each key with its type (kty)'
