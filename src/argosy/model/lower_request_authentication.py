"""RequestAuthentication to `RequestAuthenticationRule`.

Facts (Istio): without places a token is looked for in `Authorization: Bearer` and in the parameter `access_token`; keys
that are in no field are found by the issuer's OpenID configuration. (Envoy takes headers in lower case.)
"""

from __future__ import annotations

from argosy.model import attachment
from argosy.model.errors import LoweringError
from argosy.model.ir.tokens import ACCESS_TOKEN, AUTHORIZATION, ClaimHeader, TokenHeader, TokenRule
from argosy.model.lower_http import milliseconds
from argosy.model.tokens import DEFAULT_TIMEOUT, KeySource, RequestAuthenticationRule, WrittenRule
from argosy.resources import key_sets
from argosy.resources.security import JWTPresence, JWTRule, RequestAuthentication

OPENID_CONFIGURATION = "/.well-known/openid-configuration"


def lower(obj: RequestAuthentication) -> RequestAuthenticationRule:
    """Raises LoweringError for a rule whose keys could be nowhere."""
    meta, spec = obj.metadata, obj.spec
    return RequestAuthenticationRule(
        namespace=meta.namespace,
        name=meta.name,
        created=meta.creation_timestamp,
        selected=attachment.selected(spec),
        rules=tuple(_rule(one, f"spec.jwtRules[{index}]") for index, one in enumerate(spec.jwt_rules)),
    )


def _rule(written: JWTRule, field: str) -> WrittenRule:
    headers = tuple(TokenHeader(one.name.lower(), one.prefix) for one in written.from_headers)
    params = written.from_params
    if not (headers or params or written.from_cookies):
        headers, params = (AUTHORIZATION,), (ACCESS_TOKEN,)
    rule = TokenRule(
        issuer=written.issuer or "",
        audiences=written.audiences,
        keys=_keys(written.jwks),
        headers=headers,
        params=params,
        cookies=written.from_cookies,
        payload_header=written.output_payload_to_header.lower(),
        claim_headers=tuple(
            ClaimHeader(one.header.lower(), one.claim) for one in written.output_claim_to_headers
        ),
        forward=written.forward_original_token,
        space_delimited=written.space_delimited_claims,
        required=written.presence is JWTPresence.REQUIRED,
    )
    timeout = milliseconds(written.timeout, f"{field}.timeout")
    return WrittenRule(rule, _source(written, field), DEFAULT_TIMEOUT if timeout is None else timeout)


def _keys(text: str) -> str:
    """What was written past validation and is no key set refuses every token, and lets none through."""
    try:
        found = key_sets.read(text) if text else None
    except ValueError:
        return ""
    return found.text if found is not None and found.keys else ""


def _source(written: JWTRule, field: str) -> KeySource | None:
    if written.jwks:
        return None
    if written.jwks_uri is not None:
        return KeySource(written.jwks_uri)
    if not written.issuer:
        raise LoweringError(f"{field}.issuer", "is missing; name the issuer, or where its keys are (jwksUri)")
    return KeySource(written.issuer.removesuffix("/") + OPENID_CONFIGURATION, discovers=True)
