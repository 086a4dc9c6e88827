"""Whether a token (JWT) is signed by a key of a set, as Envoy judges it. Fetches nothing and does not ask the time.

Facts (Envoy: jwt_verify_lib): a key with another `kid`, `alg` or type than the token's is passed over; ANY key that is
left is enough. ES256 is of P-256, ES384 of P-384, ES512 of P-521.

# RFC 7515 (JWS), RFC 7517 (JWK), RFC 7518 (algorithms), RFC 8037 (EdDSA)
"""

from __future__ import annotations

import base64
import binascii
import hmac
from typing import Any

import msgspec
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, padding, rsa, utils
from msgspec import Struct

_HASHES: dict[str, hashes.HashAlgorithm] = {
    "256": hashes.SHA256(),
    "384": hashes.SHA384(),
    "512": hashes.SHA512(),
}
_CURVES: dict[str, tuple[str, ec.EllipticCurve, int]] = {
    "ES256": ("P-256", ec.SECP256R1(), 32),
    "ES384": ("P-384", ec.SECP384R1(), 48),
    "ES512": ("P-521", ec.SECP521R1(), 66),
}
_TYPES = {"RS": "RSA", "PS": "RSA", "ES": "EC", "HS": "oct", "Ed": "OKP"}


class NoToken(ValueError):
    """The text is no token, or none that Envoy looks into. The message says why."""


class Token(Struct, frozen=True):
    header: dict[str, Any]
    claims: dict[str, Any]
    signed: bytes  # what is signed
    signature: bytes

    @property
    def algorithm(self) -> str:
        return str(self.header.get("alg", ""))


def read(text: str) -> Token:
    """Raises NoToken."""
    parts = text.split(".")
    if len(parts) != 3 or not all(parts):
        raise NoToken("it has not three parts with dots between")
    header, claims = _object(parts[0], "header"), _object(parts[1], "payload")
    if not isinstance(header.get("alg"), str):
        raise NoToken("its header names no algorithm (alg)")
    for name in ("iss", "sub"):
        if name in claims and not isinstance(claims[name], str):
            raise NoToken(f"{name} is no text")
    for name in ("exp", "nbf", "iat"):
        if name in claims and (not isinstance(claims[name], int | float) or isinstance(claims[name], bool)):
            raise NoToken(f"{name} is no number")
    return Token(header, claims, f"{parts[0]}.{parts[1]}".encode(), decoded(parts[2], "signature"))


def _object(part: str, what: str) -> dict[str, Any]:
    try:
        found = msgspec.json.decode(decoded(part, what))
    except (msgspec.DecodeError, RecursionError) as error:
        raise NoToken(f"its {what} is no JSON") from error
    if not isinstance(found, dict):
        raise NoToken(f"its {what} is no object")
    return found


def decoded(part: str, what: str) -> bytes:
    try:
        return base64.b64decode(part + "=" * (-len(part) % 4), altchars=b"-_", validate=True)
    except (ValueError, binascii.Error) as error:
        raise NoToken(f"its {what} is no base64url") from error


def is_signed(token: Token, keys: str) -> bool:
    """`keys`: a key set as JSON; one that cannot be read has no keys."""
    return any(_by(token, key) for key in key_set(keys))  # ANY


def key_set(text: str) -> list[dict[str, Any]]:
    try:
        found = msgspec.json.decode(text or "{}")
    except (msgspec.DecodeError, RecursionError):
        return []
    listed = found.get("keys") if isinstance(found, dict) else None
    return [one for one in listed if isinstance(one, dict)] if isinstance(listed, list) else []


def _by(token: Token, key: dict[str, Any]) -> bool:
    algorithm, kid = token.algorithm, token.header.get("kid")
    if kid and key.get("kid") and kid != key["kid"]:
        return False
    if (key.get("alg") or algorithm) != algorithm or key.get("kty") != _TYPES.get(algorithm[:2]):
        return False
    try:
        return _verified(token, key, algorithm)
    except (InvalidSignature, ValueError, KeyError, TypeError, NoToken):
        return False


def _verified(token: Token, key: dict[str, Any], algorithm: str) -> bool:
    """Raises what says that it is not."""
    match algorithm[:2]:
        case "RS" | "PS":
            of_token = _HASHES[algorithm[2:]]
            public = rsa.RSAPublicNumbers(_number(key["e"]), _number(key["n"])).public_key()
            scheme: padding.AsymmetricPadding = padding.PKCS1v15()
            if algorithm.startswith("PS"):
                scheme = padding.PSS(padding.MGF1(of_token), padding.PSS.AUTO)
            public.verify(token.signature, token.signed, scheme, of_token)
        case "ES":
            name, curve, size = _CURVES[algorithm]
            if key.get("crv", name) != name or len(token.signature) != 2 * size:
                return False
            point = ec.EllipticCurvePublicNumbers(_number(key["x"]), _number(key["y"]), curve).public_key()
            r, s = (int.from_bytes(part) for part in (token.signature[:size], token.signature[size:]))
            made = utils.encode_dss_signature(r, s)
            point.verify(made, token.signed, ec.ECDSA(_HASHES[algorithm[2:]]))
        case "HS":
            wanted = hmac.digest(decoded(key["k"], "key"), token.signed, f"sha{algorithm[2:]}")
            return hmac.compare_digest(wanted, token.signature)
        case _:
            if algorithm != "EdDSA" or key.get("crv") != "Ed25519":
                return False
            edwards = ed25519.Ed25519PublicKey.from_public_bytes(decoded(key["x"], "key"))
            edwards.verify(token.signature, token.signed)
    return True


def _number(text: str) -> int:
    return int.from_bytes(decoded(text, "key"))
