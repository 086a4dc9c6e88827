"""Issuers, tokens and certificates for the tests of attestors."""

from __future__ import annotations

import base64
import json
from typing import Any

import jwt
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.x509.oid import NameOID

from argosy.runtime.certificates import at, authority_builder, key_usage

NOW = 1_800_000_000.0
ISSUER = "https://issuer.example"


class Issuer:
    """A key of an issuer, and tokens by it."""

    def __init__(self, kid: str = "one", algorithm: str = "ES256", bits: int = 2048) -> None:
        self.kid, self.algorithm = kid, algorithm
        self.key: Any = (
            ec.generate_private_key(ec.SECP256R1())
            if algorithm.startswith("ES")
            else rsa.generate_private_key(65537, bits)
        )

    def jwk(self, **more: Any) -> dict[str, Any]:
        kind = jwt.algorithms.ECAlgorithm if self.algorithm.startswith("ES") else jwt.algorithms.RSAAlgorithm
        return {**json.loads(kind.to_jwk(self.key.public_key())), "kid": self.kid, **more}

    def jwks(self, **more: Any) -> str:
        return json.dumps({"keys": [self.jwk(**more)]})

    def token(self, headers: dict[str, Any] | None = None, **claims: Any) -> str:
        """A good one, but for what is said; a claim that is None is left out."""
        usual = {"iss": ISSUER, "sub": "me", "aud": "argosy", "exp": NOW + 300, "iat": NOW}
        body = {name: value for name, value in (usual | claims).items() if value is not None}
        return jwt.encode(
            body, self.key, algorithm=self.algorithm, headers={"kid": self.kid, **(headers or {})}
        )


def unsigned(claims: dict[str, Any], head: dict[str, Any], signature: str = "AA") -> str:
    def part(data: dict[str, Any]) -> str:
        return base64.urlsafe_b64encode(json.dumps(data).encode()).decode().rstrip("=")

    return f"{part(head)}.{part(claims)}.{signature}"


class Pki:
    """An authority and leaves of it."""

    def __init__(self, name: str = "Company Root", now: float = NOW) -> None:
        self.now = now
        self.key = ec.generate_private_key(ec.SECP256R1())
        self.name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
        self.root = (
            authority_builder(self.name, self.key.public_key(), 1, now - 1000, now + 1e6)
            .issuer_name(self.name)
            .sign(self.key, hashes.SHA256())
        )
        self.pem = self.root.public_bytes(serialization.Encoding.PEM).decode()

    def leaf(
        self,
        cn: str,
        *,
        begins: float | None = None,
        ends: float | None = None,
        sign: bool = True,
        key: Any = None,
    ) -> tuple[str, Any]:
        """(certificate, key)."""
        key = key or ec.generate_private_key(ec.SECP256R1())
        subject = x509.Name(
            [
                x509.NameAttribute(NameOID.COMMON_NAME, cn),
                x509.NameAttribute(NameOID.ORGANIZATION_NAME, "Shop"),
            ]
        )
        identifier = self.root.extensions.get_extension_for_class(x509.SubjectKeyIdentifier).value
        made = (
            x509.CertificateBuilder()
            .subject_name(subject)
            .issuer_name(self.name)
            .public_key(key.public_key())
            .serial_number(0xABC)
            .not_valid_before(at(self.now - 500 if begins is None else begins))
            .not_valid_after(at(self.now + 5000 if ends is None else ends))
            .add_extension(x509.SubjectAlternativeName([x509.DNSName(f"{cn}.example")]), critical=False)
            .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
            .add_extension(key_usage(certify=not sign), critical=True)
            .add_extension(
                x509.AuthorityKeyIdentifier.from_issuer_subject_key_identifier(identifier), critical=False
            )
            .sign(self.key, hashes.SHA256())
        )
        return made.public_bytes(serialization.Encoding.PEM).decode(), key


def pem_of(key: Any) -> bytes:
    data: bytes = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    return data
