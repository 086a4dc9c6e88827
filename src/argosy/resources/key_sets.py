"""Key sets of issuers (JWKS): which keys in them proxies can use, and what makes a set one that is refused as a whole.

Rules:
* What is *not understood* is passed over, as RFC 7517 (5) asks: another kind of key, another use, another algorithm.
* What is *wrong* refuses the set: secrets (symmetric and private keys) in it, keys that are no keys, two keys of one
  name. Proxies would drop a bad key silently, and refuse good tokens without a word.
* What is given on is made anew from what was read, so that proxies see nothing that was not looked at.

# RFC 7517, 7518 (6), 8037 (2). Envoy 1.40 (source/common/jwt/jwks.cc): RSA with exponent 3 or 65537, P-256, P-384,
# P-521, Ed25519.
"""

from __future__ import annotations

import base64
import binascii
import json
from typing import Any

from msgspec import Struct

MOST_BYTES = 1024 * 1024
MOST_KEYS = 100
"""A token that names no key is tried with each."""
LEAST_BITS, MOST_BITS, SAFE_BITS = 1024, 16384, 2048
"""Of an RSA modulus: with less it is refused, and below SAFE_BITS told."""

_PRIVATE = frozenset(("d", "p", "q", "dp", "dq", "qi", "oth", "k"))
_ALGORITHMS = {
    "RSA": ("RS256", "RS384", "RS512", "PS256", "PS384", "PS512"),
    "EC": ("ES256", "ES384", "ES512"),
    "OKP": ("EdDSA",),
}
_CURVE_OF = {"ES256": "P-256", "ES384": "P-384", "ES512": "P-521"}


class KeySet(Struct, frozen=True):
    text: str  # as proxies get it: compact JSON, members sorted, keys in their order
    keys: int  # 0: none that proxies can use; with it, they refuse every token
    told: tuple[str, ...] = ()  # what was passed over, and what is weak


def read(text: str | bytes) -> KeySet:
    """Also takes one key alone. Raises ValueError with the reason for a set that is refused."""
    if len(text) > MOST_BYTES:
        raise ValueError(f"is larger than {MOST_BYTES >> 10} KiB")
    kept: dict[tuple[str, ...], dict[str, str]] = {}
    made: list[dict[str, str]] = []
    told: list[str] = []
    for index, written in enumerate(_keys(text)):
        name = f"key {index} ({written['kid']!r:.80})" if written.get("kid") else f"key {index}"
        try:
            why = _passed_over(written)
            if why:
                told.append(f"{name} {why}: it is not used")
                continue
            key = _key(written, name, told)
        except ValueError as error:
            raise ValueError(f"is refused: {name} {error}") from error
        if not key.get("kid"):
            made.append(key)
            continue
        same = (key["kid"], key["kty"], key.get("alg", ""))
        other = kept.setdefault(same, key)
        if other is key:
            made.append(key)
        elif other != key:
            raise ValueError(
                f"is refused: {name} has the name of another key of its kind, and is not the same"
            )
    canonical = json.dumps({"keys": made}, sort_keys=True, separators=(",", ":"))
    return KeySet(canonical, len(made), tuple(told))


def _keys(text: str | bytes) -> list[dict[str, Any]]:
    try:
        found = json.loads(text, object_pairs_hook=_members, parse_constant=_no_number)
    except RecursionError as error:
        raise ValueError("is nested too deeply") from error
    except (UnicodeDecodeError, json.JSONDecodeError) as error:
        raise ValueError("is not JSON; a JSON Web Key Set is expected") from error
    if isinstance(found, dict):
        keys = found.get("keys", [found] if "kty" in found else None)
        if isinstance(keys, list) and len(keys) > MOST_KEYS:
            raise ValueError(f"has {len(keys)} keys, and more than {MOST_KEYS} are not taken")
        if isinstance(keys, list) and all(isinstance(one, dict) and "kty" in one for one in keys):
            return keys
    raise ValueError('is not a JSON Web Key Set; {"keys": […]} is expected, each key with its type (kty)')


def _members(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        raise ValueError("says something twice in one object")
    return found


def _no_number(text: str) -> None:
    raise ValueError(f"is not JSON: {text} is no number of it")


def _passed_over(written: dict[str, Any]) -> str:
    """Why a key is none of ours; "": it is."""
    kind, use, operations = written["kty"], written.get("use"), written.get("key_ops")
    if kind == "oct" or not _PRIVATE.isdisjoint(written):
        secret = "a symmetric key" if kind == "oct" else "a private key"
        raise ValueError(f"is {secret}: it is a secret, and everybody who may see it can make tokens")
    if not isinstance(kind, str) or kind not in _ALGORITHMS:
        return f"is of kind {kind!r:.40}"
    if use not in (None, "sig"):
        return f"is for {use!r:.40}, not for signatures"
    if operations is not None and (not isinstance(operations, list) or "verify" not in operations):
        return "is not for verifying"
    algorithm = written.get("alg")
    if algorithm is not None and algorithm not in _ALGORITHMS[kind]:
        return f"is for {algorithm!r:.40}"
    if kind == "RSA" and _number(written, "e") not in (3, 65537):
        return "has an exponent other than 3 and 65537"
    if kind == "EC" and _curve(written) not in _CURVES:
        return f"is on the curve {written.get('crv')!r:.40}"
    if kind == "OKP" and written.get("crv") != "Ed25519":
        return f"is on the curve {written.get('crv')!r:.40}"
    return ""


def _key(written: dict[str, Any], name: str, told: list[str]) -> dict[str, str]:
    """What proxies get of a key that is ours."""
    kind = written["kty"]
    key: dict[str, str] = {"kty": kind}
    for member in ("kid", "alg"):
        value = written.get(member)
        if value is None:
            continue
        if not isinstance(value, str):
            raise ValueError(f"has a {member} that is no text")
        key[member] = value
    match kind:
        case "RSA":
            bits = _modulus(written).bit_length()
            if bits < SAFE_BITS:
                told.append(f"{name} has {bits} bits: keys of less than {SAFE_BITS} are weak")
            members: tuple[str, ...] = ("n", "e")
        case "EC":
            key["crv"] = _curve(written)
            _on_curve(key["crv"], _number(written, "x"), _number(written, "y"))
            if "alg" in key and _CURVE_OF[key["alg"]] != key["crv"]:
                raise ValueError(f"is for {key['alg']}, which is not for {key['crv']}")
            members = ("x", "y")
        case _:
            key["crv"] = "Ed25519"
            if len(_bytes(written, "x")) != 32:
                raise ValueError("has an x of another length than 32 bytes")
            members = ("x",)
    for member in members:
        key[member] = base64.urlsafe_b64encode(_bytes(written, member)).rstrip(b"=").decode()
    return key


def _bytes(written: dict[str, Any], member: str) -> bytes:
    value = written.get(member)
    if not isinstance(value, str) or not value:
        raise ValueError(f"has no member {member} that is text")
    bare = value.rstrip("=").replace("-", "+").replace("_", "/")
    try:
        return base64.b64decode(bare + "=" * (-len(bare) % 4), validate=True)
    except (binascii.Error, ValueError) as error:
        raise ValueError(f"has a member {member} that is not base64url") from error


def _number(written: dict[str, Any], member: str) -> int:
    return int.from_bytes(_bytes(written, member))


def _modulus(written: dict[str, Any]) -> int:
    modulus = _number(written, "n")
    bits = modulus.bit_length()
    if not LEAST_BITS <= bits <= MOST_BITS:
        raise ValueError(f"has {bits} bits; {LEAST_BITS} to {MOST_BITS} are taken")
    if modulus % 2 == 0:
        raise ValueError("has an even modulus, so it is no RSA key")
    return modulus


# --- curves -----------------------------------------------------------------------------------------------------------

# NIST SP 800-186 (3.2.1): y² = x³ - 3x + b modulo p.
_CURVES = {
    "P-256": (
        2**256 - 2**224 + 2**192 + 2**96 - 1,
        0x5AC635D8AA3A93E7B3EBBD55769886BC651D06B0CC53B0F63BCE3C3E27D2604B,
    ),
    "P-384": (
        2**384 - 2**128 - 2**96 + 2**32 - 1,
        int(
            "B3312FA7E23EE7E4988E056BE3F82D19181D9C6EFE8141120314088F5013875A"
            "C656398D8A2ED19D2A85C8EDD3EC2AEF",
            16,
        ),
    ),
    "P-521": (
        2**521 - 1,
        int(
            "0051953EB9618E1C9A1F929A21A0B68540EEA2DA725B99B315F3B8B489918EF1"
            "09E156193951EC7E937B1652C0BD3BB1BF073573DF883D2C34F1EF451FD46B503F00",
            16,
        ),
    ),
}


def _curve(written: dict[str, Any]) -> str:
    """Facts (Envoy): a key that does not say is on the curve of its algorithm, or on P-256."""
    said = written.get("crv") or _CURVE_OF.get(written.get("alg") or "ES256", "")
    return said if isinstance(said, str) else ""


def _on_curve(curve: str, x: int, y: int) -> None:
    prime, b = _CURVES[curve]
    if x >= prime or y >= prime or (y * y - (x * x * x - 3 * x + b)) % prime:
        raise ValueError(f"is no point on {curve}")
