"""Certificates, keys and authorities for tests, in PEM."""

from __future__ import annotations

import base64
import datetime
from dataclasses import dataclass

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

Key = ec.EllipticCurvePrivateKey


@dataclass(frozen=True)
class Pair:
    certificate: bytes
    key: bytes


class Authority:
    """A root; what it issues is valid from `since` hours ago until in `until` hours."""

    def __init__(self, name: str = "test root") -> None:
        self.key = ec.generate_private_key(ec.SECP256R1())
        self.name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
        self.certificate = _pem(self._signed(self.name, self.key, x509.BasicConstraints(True, None), 1, 1))

    def issue(self, *names: str, since: float = 1, until: float = 1) -> Pair:
        key = ec.generate_private_key(ec.SECP256R1())
        subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, names[0])])
        alternatives = x509.SubjectAlternativeName(
            [x509.UniformResourceIdentifier(name) if "://" in name else x509.DNSName(name) for name in names]
        )
        signed = self._signed(subject, key, alternatives, since, until)
        private = key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )
        return Pair(_pem(signed), private)

    def revoked(self, *pairs: Pair) -> bytes:
        now = datetime.datetime.now(datetime.UTC)
        builder = (
            x509.CertificateRevocationListBuilder()
            .issuer_name(self.name)
            .last_update(now - datetime.timedelta(hours=1))
            .next_update(now + datetime.timedelta(hours=1))
        )
        for pair in pairs:
            serial = x509.load_pem_x509_certificate(pair.certificate).serial_number
            one = x509.RevokedCertificateBuilder().serial_number(serial).revocation_date(now).build()
            builder = builder.add_revoked_certificate(one)
        return builder.sign(self.key, hashes.SHA256()).public_bytes(serialization.Encoding.PEM)

    def _signed(
        self, subject: x509.Name, key: Key, extension: x509.ExtensionType, since: float, until: float
    ) -> x509.Certificate:
        now = datetime.datetime.now(datetime.UTC)
        is_root = isinstance(extension, x509.BasicConstraints)
        usage = x509.KeyUsage(not is_root, False, False, False, False, is_root, is_root, False, False)
        return (
            x509.CertificateBuilder()
            .subject_name(subject)
            .issuer_name(self.name)
            .public_key(key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - datetime.timedelta(hours=since))
            .not_valid_after(now + datetime.timedelta(hours=until))
            .add_extension(extension, critical=is_root)
            .add_extension(usage, critical=True)
            .sign(self.key, hashes.SHA256())
        )


def _pem(certificate: x509.Certificate) -> bytes:
    return certificate.public_bytes(serialization.Encoding.PEM)


def encoded(**data: bytes) -> dict[str, str]:
    """Of a Secret; a key is written with `_` for its dot."""
    return {key.replace("_", "."): base64.b64encode(value).decode() for key, value in data.items()}
