"""Tokens (JWT) and key sets as issuers make them, and as attackers do: signed here, with nothing but `cryptography`."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
from functools import cache
from typing import Any

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, padding, rsa
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature

LATER, BEFORE = 4102444800, 946684800
"""Seconds: the years 2100 and 2000."""

_CURVES: dict[str, tuple[ec.EllipticCurve, str, hashes.HashAlgorithm, int]] = {
    "ES256": (ec.SECP256R1(), "P-256", hashes.SHA256(), 32),
    "ES384": (ec.SECP384R1(), "P-384", hashes.SHA384(), 48),
    "ES512": (ec.SECP521R1(), "P-521", hashes.SHA512(), 66),
}
_HASHES: dict[str, hashes.HashAlgorithm] = {
    "256": hashes.SHA256(),
    "384": hashes.SHA384(),
    "512": hashes.SHA512(),
}


def base64url(data: bytes | dict[str, Any]) -> str:
    if isinstance(data, dict):
        data = json.dumps(data).encode()
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def number(value: int, size: int = 0) -> str:
    return base64url(value.to_bytes(size or (value.bit_length() + 7) // 8))


class Key:
    """A signing key of an issuer; `alg` as tokens name it."""

    def __init__(self, alg: str, kid: str = "", bits: int = 2048) -> None:
        self.alg, self.kid = alg, kid
        self.private: Any
        if alg in _CURVES:
            self.private = ec.generate_private_key(_CURVES[alg][0])
        elif alg == "EdDSA":
            self.private = ed25519.Ed25519PrivateKey.generate()
        else:
            self.private = rsa.generate_private_key(65537, bits)

    @property
    def jwk(self) -> dict[str, Any]:
        """The public key."""
        named: dict[str, Any] = {"kid": self.kid} if self.kid else {}
        if self.alg in _CURVES:
            _, curve, _, size = _CURVES[self.alg]
            point = self.private.public_key().public_numbers()
            return named | {"kty": "EC", "crv": curve, "x": number(point.x, size), "y": number(point.y, size)}
        if self.alg == "EdDSA":
            raw = self.private.public_key().public_bytes_raw()
            return named | {"kty": "OKP", "crv": "Ed25519", "x": base64url(raw)}
        public = self.private.public_key().public_numbers()
        return named | {"kty": "RSA", "n": number(public.n), "e": number(public.e)}

    def sign(self, data: bytes) -> bytes:
        if self.alg in _CURVES:
            _, _, hashed, size = _CURVES[self.alg]
            r, s = decode_dss_signature(self.private.sign(data, ec.ECDSA(hashed)))
            return bytes(r.to_bytes(size) + s.to_bytes(size))
        if self.alg == "EdDSA":
            return bytes(self.private.sign(data))
        hashed = _HASHES[self.alg[2:]]
        pad: Any = padding.PKCS1v15()
        if self.alg.startswith("PS"):
            pad = padding.PSS(padding.MGF1(hashed), hashed.digest_size)
        return bytes(self.private.sign(data, pad, hashed))

    def token(self, claims: dict[str, Any] | None = None, header: dict[str, Any] | None = None) -> str:
        """A token of these claims, valid until 2100 unless they say otherwise; `header` goes over what is usual."""
        head = {"alg": self.alg, "typ": "JWT", **({"kid": self.kid} if self.kid else {}), **(header or {})}
        signed = f"{base64url(head)}.{base64url({'exp': LATER, **(claims or {})})}"
        return f"{signed}.{base64url(self.sign(signed.encode()))}"


@cache
def key(alg: str = "ES256", kid: str = "") -> Key:
    """One of them for all tests of a process: keys of RSA take long."""
    return Key(alg, kid)


def key_set(*keys: Key) -> str:
    return json.dumps({"keys": [one.jwk for one in keys]})


def unsigned(claims: dict[str, Any], header: dict[str, Any] | None = None) -> str:
    return f"{base64url({'alg': 'none', **(header or {})})}.{base64url({'exp': LATER, **claims})}."


def by_secret(secret: bytes, claims: dict[str, Any], kid: str = "") -> str:
    """An HS256 token: of an attacker who takes the public key for a secret, say."""
    head = {"alg": "HS256", "typ": "JWT", **({"kid": kid} if kid else {})}
    signed = f"{base64url(head)}.{base64url({'exp': LATER, **claims})}"
    return f"{signed}.{base64url(hmac.new(secret, signed.encode(), hashlib.sha256).digest())}"
