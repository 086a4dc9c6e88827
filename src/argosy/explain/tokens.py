"""What a workload's RequestAuthentications make of a request: who it is from by its tokens, or why it is refused (401).

The time is given in; keys are those that the model holds. What a person claims without a token is taken as signed
(`assumed`): everything else about it is judged.

# Envoy: extensions.filters.http.jwt_authn.v3; Istio: security.istio.io/v1 RequestAuthentication
"""

from __future__ import annotations

import base64
from collections.abc import Iterator, Sequence
from urllib.parse import unquote

import msgspec
from msgspec import Struct
from msgspec.structs import replace

from argosy.explain import signatures
from argosy.explain.matching import query_parameters
from argosy.explain.request import Claims, Seen
from argosy.explain.signatures import NoToken, Token
from argosy.model.ir.tokens import DELIMITED, TokenRule

UNAUTHENTICATED, FORBIDDEN = 401, 403
SKEW = 60
"""Seconds by which clocks may differ (Envoy's default, and Istio's)."""


class Judge(Struct, frozen=True, kw_only=True):
    """By what tokens are judged. `fetched`: whether keys that are fetched from an issuer would be known; where not, a
    token of such an issuer is taken as signed."""

    now: float | None = None  # in seconds since 1970; None: every time is right
    assumed: frozenset[str] = frozenset()  # tokens that are taken as signed
    fetched: bool = False


class Authenticated(Struct, frozen=True):
    """`claims` None: without an identity. `seen`: the request with what was done to its headers."""

    seen: Seen
    claims: Claims | None = None
    because: str = ""


class Refused(Struct, frozen=True):
    because: str
    status: int = UNAUTHENTICATED


class Wrong(Struct, frozen=True):
    """What is wrong with a token."""

    because: str
    status: int = UNAUTHENTICATED
    strange: bool = False  # it is of an issuer that the rule is not for


class Judged(Struct, frozen=True):
    rule: TokenRule
    valid: Claims | None = None  # the claims of its last token, where ALL are valid
    wrong: Wrong | None = None  # with one of its tokens
    unlooked: bool = False  # nobody has looked whether it is signed


def authenticated(rules: Sequence[TokenRule], seen: Seen, judge: Judge) -> Authenticated | Refused:
    """Facts (Envoy 1.40, tried): a token that was verified is taken off before the next rule looks; where ANY rule is
    enough the first that is satisfied ends it; where some are required all are asked, and the last token counts."""
    if _is_preflight(seen):
        return Authenticated(seen)
    required = any(rule.required for rule in rules)
    last: Judged | None = None
    wrong: list[Wrong] = []
    for rule in rules:
        one = _judged(rule, seen, judge)
        if one.valid is not None:
            last, seen = one, _after(one, seen)
            if not required:
                break
        elif one.wrong is not None:
            wrong.append(one.wrong)
        if required and one.wrong is not None:
            return Refused(one.wrong.because, one.wrong.status)
        if rule.required and one.valid is None:
            return Refused(f"a token of {_whose(rule)} is required, and there is none")
    if last is None and wrong:
        told = next((one for one in wrong if not one.strange), wrong[-1])
        return Refused(told.because, told.status)
    if last is None or last.valid is None:
        return Authenticated(seen)
    unlooked = (
        " (keys that are fetched are not known here: its signature is not looked at)" if last.unlooked else ""
    )
    return Authenticated(seen, last.valid, f"its token of {_whose(last.rule)} is valid{unlooked}")


def without_told(rules: Sequence[TokenRule], seen: Seen) -> Seen:
    """Without the headers in which tokens are told of, whoever wrote them."""
    told = {name for rule in rules for name in rule.told_headers}
    return replace(seen, headers={name: values for name, values in seen.headers.items() if name not in told})


def _is_preflight(seen: Seen) -> bool:
    """Facts (Istio): a browser asks without tokens whether it may ask."""
    asks = seen.headers.get("access-control-request-method", ("",))[0]
    return seen.method == "OPTIONS" and bool(seen.headers.get("origin", ("",))[0]) and bool(asks)


def _whose(rule: TokenRule) -> str:
    return f"issuer {rule.issuer}" if rule.issuer else "any issuer"


# --- one rule -------------------------------------------------------------------------------------------------------


def _judged(rule: TokenRule, seen: Seen, judge: Judge) -> Judged:
    valid: Claims | None = None
    keyless = not rule.keys and not judge.fetched
    for text in found(rule, seen):  # ALL
        try:
            token = signatures.read(text)
        except NoToken as error:
            return Judged(rule, wrong=Wrong(f"the token is malformed: {error}"))
        if (why := invalid(token, rule, judge.now, keyless or text in judge.assumed)) is not None:
            return Judged(rule, wrong=why)
        valid = delimited(token.claims, rule)
    return Judged(rule, valid, unlooked=keyless and valid is not None)


def found(rule: TokenRule, seen: Seen) -> Iterator[str]:
    """The tokens at the rule's places."""
    for header in rule.headers:
        for value in seen.headers.get(header.name, ())[:1]:
            if value.startswith(header.prefix):
                yield value[len(header.prefix) :].strip()
            elif header.prefix and header.prefix in value:
                yield _word(value[value.index(header.prefix) + len(header.prefix) :])
    parameters = query_parameters(seen.path)
    for name in rule.params:
        if name in parameters:
            yield unquote(parameters[name])
    cookies = dict(
        reversed([(part.partition("=")[0].strip(), part.partition("=")[2]) for value in seen.headers.get("cookie", ())
                  for part in value.split(";")])
    )  # fmt: skip
    for name in rule.cookies:
        if name in cookies:
            yield cookies[name]


def _word(text: str) -> str:
    """Of a header in which the prefix stands somewhere: the characters of a token that follow."""
    allowed = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_."
    end = next((at for at, char in enumerate(text) if char not in allowed), len(text))
    return text[:end]


def invalid(token: Token, rule: TokenRule, now: float | None, assumed: bool) -> Wrong | None:
    """Facts (Envoy): who is not meant by a token is answered 403, in place of 401."""
    claims = token.claims
    if rule.issuer and claims.get("iss") != rule.issuer:
        why = f"the token is of issuer {claims.get('iss', '(none)')}, and not of {rule.issuer}"
        return Wrong(why, strange=True)
    if now is not None and "nbf" in claims and now + SKEW < claims["nbf"]:
        return Wrong("the token is not valid yet (nbf)")
    if now is not None and "exp" in claims and now > claims["exp"] + SKEW:
        return Wrong("the token has expired (exp)")
    audiences = [one for one in _listed(claims.get("aud")) if isinstance(one, str)]
    if rule.audiences and not {_bare(one) for one in rule.audiences} & {_bare(one) for one in audiences}:
        meant = ", ".join(audiences) or "no audience"
        return Wrong(f"the token is for {meant}, and not for {' or '.join(rule.audiences)}", FORBIDDEN)
    if assumed:
        return None
    if not signatures.key_set(rule.keys):
        return Wrong(f"no keys of {_whose(rule)} are known")
    return (
        None
        if signatures.is_signed(token, rule.keys)
        else Wrong(f"the token is signed by no key of {_whose(rule)}")
    )


def _listed(value: object) -> list[object]:
    return value if isinstance(value, list) else [] if value is None else [value]


def _bare(audience: str) -> str:
    """Facts (Envoy): http:// and https:// before an audience, and a slash behind it, are not compared."""
    for scheme in ("https://", "http://"):
        if audience.startswith(scheme):
            audience = audience[len(scheme) :]
            break
    return audience.removesuffix("/")


def delimited(claims: Claims, rule: TokenRule) -> Claims:
    """With those claims as lists that are written with spaces."""
    names = (*DELIMITED, *rule.space_delimited)
    return {
        name: value.split(" ") if name in names and isinstance(value, str) and " " in value else value
        for name, value in claims.items()
    }


# --- what is done to the request ------------------------------------------------------------------------------------


def _after(one: Judged, seen: Seen) -> Seen:
    rule, headers, path = one.rule, dict(seen.headers), seen.path
    if not rule.forward:
        path = _without_parameters(path, rule.params)
        for header in rule.headers:
            if any(header.prefix in value for value in headers.get(header.name, ())):
                headers.pop(header.name)
    if rule.payload_header:
        payload = base64.urlsafe_b64encode(msgspec.json.encode(one.valid)).rstrip(b"=").decode()
        headers[rule.payload_header] = (payload,)
    for claim in rule.claim_headers:
        value: object = one.valid
        for part in claim.claim.split("."):
            value = value.get(part) if isinstance(value, dict) else None
        if (text := claim_text(value)) is not None:
            headers[claim.header] = (text,)
    return replace(seen, headers=headers, path=path)


def _without_parameters(path: str, names: tuple[str, ...]) -> str:
    before, mark, query = path.partition("?")
    if not mark or not names:
        return path
    left = [one for one in query.split("&") if one.partition("=")[0] not in names]
    return f"{before}?{'&'.join(left)}" if left else before


def claim_text(value: object) -> str | None:
    """Of text, a number or a boolean as a header; None: of nothing else."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int | float):
        return str(int(value)) if value == int(value) else repr(value)
    return value if isinstance(value, str) else None


# --- a token to ask with --------------------------------------------------------------------------------------------


def unsigned(claims: Claims) -> str:
    """A token that says these claims, to be assumed as signed."""
    parts = (msgspec.json.encode({"alg": "none"}), msgspec.json.encode(dict(claims)), b"none")
    return ".".join(base64.urlsafe_b64encode(one).rstrip(b"=").decode() for one in parts)


def presented(text: str, rules: Sequence[TokenRule], seen: Seen) -> Seen:
    """The request with a token at the first place where the rule of its issuer looks (else where any rule does)."""
    try:
        issuer = signatures.read(text).claims.get("iss", "")
    except NoToken:
        issuer = ""
    rule = next((one for one in rules if one.issuer in ("", issuer)), rules[0] if rules else None)
    if rule is None or rule.headers:
        name, prefix = (
            (rule.headers[0].name, rule.headers[0].prefix) if rule else ("authorization", "Bearer ")
        )
        return replace(seen, headers={**seen.headers, name: (prefix + text,)})
    if rule.params:
        mark = "&" if "?" in seen.path else "?"
        return replace(seen, path=f"{seen.path}{mark}{rule.params[0]}={text}")
    cookie = "; ".join((*seen.headers.get("cookie", ()), f"{rule.cookies[0]}={text}"))
    return replace(seen, headers={**seen.headers, "cookie": (cookie,)})
