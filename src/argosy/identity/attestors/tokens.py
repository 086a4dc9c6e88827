"""JSON Web Tokens (RFC 7519), as attestors believe them: signed by a key of the issuer, of now, and for us.

Refused before anything is believed: what is longer than `LONGEST_TOKEN`, is no token of three parts, has no algorithm
with a public key (`none`, and HMAC with somebody's public key, are classics), or has a `crit` that we do not know.
Asked of the claims: `iss` the issuer, `aud` an audience of ours, `exp` there and to come, `nbf` and `iat` not to
come.
"""

from __future__ import annotations

import base64
import binascii
import json
import math
from collections.abc import Mapping, Sequence
from typing import Any

import jwt as pyjwt
from cryptography.hazmat.primitives.asymmetric import rsa

from argosy.identity.attestors.base import Unproven

LONGEST_TOKEN = 16 << 10
SKEW = 60.0  # seconds that clocks may differ
SMALLEST_RSA = 2048
ALGORITHMS: Mapping[str, str] = {
    **dict.fromkeys(("RS256", "RS384", "RS512", "PS256", "PS384", "PS512"), "RSA"),
    **dict.fromkeys(("ES256", "ES384", "ES512"), "EC"),
    "EdDSA": "OKP",
}
"""RFC 7518 and 8037: the algorithm, and the type (kty) of the keys that it needs."""

Claims = Mapping[str, Any]
Jwk = Mapping[str, Any]


def header(token: str) -> Mapping[str, Any]:
    """The header of a token that nobody believes yet. Raises Unproven."""
    if len(token) > LONGEST_TOKEN:
        raise Unproven(f"the token is longer than {LONGEST_TOKEN} bytes")
    parts = token.split(".")
    if len(parts) != 3 or not all(parts):
        raise Unproven("the token has not three parts: it is not signed, or is no JWT")
    try:
        found = json.loads(
            base64.b64decode(parts[0] + "=" * (-len(parts[0]) % 4), altchars=b"-_", validate=True)
        )
    except (ValueError, binascii.Error, RecursionError):
        raise Unproven("the header of the token cannot be read") from None
    if not isinstance(found, dict):
        raise Unproven("the header of the token is no object")
    if found.get("alg") not in ALGORITHMS:
        raise Unproven(
            f"the token's algorithm {str(found.get('alg'))[:40]!r} is not one of {', '.join(ALGORITHMS)}"
        )
    if "crit" in found:
        raise Unproven("the token has a critical extension that is not known here")
    return found


def candidates(keys: Sequence[Jwk], head: Mapping[str, Any]) -> list[Jwk]:
    """The keys that may have signed it: those of its `kid`, which a token without one leaves open."""
    kid, algorithm = head.get("kid"), head["alg"]
    return [
        key
        for key in keys
        if key.get("kty") == ALGORITHMS[algorithm]
        and key.get("use", "sig") == "sig"
        and key.get("alg", algorithm) == algorithm
        and (kid is None or key.get("kid") == kid)
    ]


def verified(token: str, keys: Sequence[Jwk]) -> Claims:
    """The claims of a token that one of these keys has signed. Raises Unproven."""
    head = header(token)
    fitting = candidates(keys, head)
    if not fitting:
        raise Unproven(f"the issuer has no key {str(head.get('kid'))[:80]!r} for {head['alg']}")
    reason = "its signature is wrong"
    for key in fitting[:8]:
        try:
            public = pyjwt.PyJWK.from_dict(dict(key), algorithm=head["alg"])
            if isinstance(public.key, rsa.RSAPublicKey) and public.key.key_size < SMALLEST_RSA:
                reason = f"the key of the issuer is RSA of {public.key.key_size} bits"
                continue
            claims = pyjwt.decode(
                token,
                public,
                algorithms=[head["alg"]],
                options={
                    "verify_signature": True,
                    "verify_exp": False,
                    "verify_nbf": False,
                    "verify_iat": False,
                    "verify_aud": False,
                    "verify_iss": False,
                    "verify_sub": False,
                    "verify_jti": False,
                },
            )
        except pyjwt.InvalidSignatureError:
            continue
        except (pyjwt.PyJWTError, ValueError, TypeError, RecursionError) as error:
            reason = f"{type(error).__name__}: {str(error)[:120]}"
            continue
        return claims
    raise Unproven(f"the token is not the issuer's: {reason}")


def check_claims(claims: Claims, issuer: str, audiences: Sequence[str], now: float) -> None:
    """Raises Unproven. ANY of our audiences among ANY of the token's."""
    if claims.get("iss") != issuer:
        raise Unproven(f"the issuer of the token is {str(claims.get('iss'))[:120]!r}, not {issuer!r}")
    named = audiences_of(claims)
    if not set(named) & set(audiences):
        raise Unproven(f"the token is for {', '.join(named)[:200] or 'nobody in particular'}, not for us")
    check_times(claims, now)


def check_times(claims: Claims, now: float) -> None:
    """Raises Unproven where the token is not of now."""
    ends = _time(claims, "exp")
    if ends is None:
        raise Unproven("the token never ends: it has no exp")
    if ends + SKEW <= now:
        raise Unproven(f"the token ended {now - ends:.0f} s ago")
    for name in ("nbf", "iat"):
        begins = _time(claims, name)
        if begins is not None and begins - SKEW > now:
            raise Unproven(f"the token begins in {begins - now:.0f} s ({name})")


def audiences_of(claims: Claims) -> tuple[str, ...]:
    """`aud` is a text or a list of them."""
    found = claims.get("aud", ())
    if isinstance(found, str):
        return (found,)
    return tuple(one for one in found if isinstance(one, str)) if isinstance(found, list) else ()


def _time(claims: Claims, name: str) -> float | None:
    found = claims.get(name)
    if found is None:
        return None
    if isinstance(found, bool) or not isinstance(found, int | float) or not math.isfinite(found):
        raise Unproven(f"{name} of the token is no time")
    return float(found)


def claim(claims: Claims, path: str) -> tuple[str, ...]:
    """The values of a claim: named as it is, or by its path with dots; numbers and truth as JSON writes them. Nothing
    where there is none, or an object."""
    found: Any = claims.get(path)
    if found is None:
        found = claims
        for step in path.split("."):
            found = found.get(step) if isinstance(found, dict) else None
    values = found if isinstance(found, list) else [found]
    return tuple(text for one in values if (text := _text(one)))


def _text(value: object) -> str:
    if isinstance(value, str):
        return value
    return json.dumps(value) if isinstance(value, bool | int | float) else ""
