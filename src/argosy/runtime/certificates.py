"""What the mesh's authorities have in common: the workloads' (identity) and the API clients' (apiserver).

Keys are ECDSA; of a certificate request only the key counts, and it must have signed the request. A time of X.509 is in
whole seconds of UTC.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from argosy.runtime.errors import Failure

DAY = 24 * 3600
CLOCK_SKEW = 60  # seconds before now from which a certificate is valid: hosts' clocks differ
CURVES = (ec.SECP256R1, ec.SECP384R1, ec.SECP521R1)


class BadRequest(ValueError):
    """A certificate request that is not signed, whoever sends it; says why."""


def request_key(csr_pem: str) -> ec.EllipticCurvePublicKey:
    """The key of a certificate request, which has signed it. Raises BadRequest."""
    return request_of(csr_pem)[0]


def request_of(csr_pem: str) -> tuple[ec.EllipticCurvePublicKey, x509.CertificateSigningRequest]:
    """And the request. Raises BadRequest."""
    try:
        csr = x509.load_pem_x509_csr(csr_pem.encode())
        key, signed = csr.public_key(), csr.is_signature_valid
    except Exception as error:  # cryptography: UnsupportedAlgorithm derives from Exception alone
        raise BadRequest(f"the certificate request cannot be read: {error}") from error
    if not signed:
        raise BadRequest("the certificate request is not signed by its own key")
    if not isinstance(key, ec.EllipticCurvePublicKey) or not isinstance(key.curve, CURVES):
        raise BadRequest("the key of the certificate request is not ECDSA P-256, P-384 or P-521")
    return key, csr


def load_pair(
    certificate_path: Path, key_path: Path, broken: Callable[[str], Failure]
) -> tuple[x509.Certificate, ec.EllipticCurvePrivateKey]:
    """A certificate and the key that fits it. Raises what `broken` makes of the reason."""
    certificate = load_certificate(certificate_path, broken)
    try:
        key = serialization.load_pem_private_key(key_path.read_bytes(), password=None)
    except (OSError, ValueError, TypeError) as error:
        raise broken(f"{key_path.name} cannot be read") from error
    if not isinstance(key, ec.EllipticCurvePrivateKey) or key.public_key() != certificate.public_key():
        raise broken(f"{key_path.name} is not the key of {certificate_path.name}")
    return certificate, key


def load_certificate(path: Path, broken: Callable[[str], Failure]) -> x509.Certificate:
    """Raises what `broken` makes of the reason."""
    try:
        return x509.load_pem_x509_certificate(path.read_bytes())
    except (OSError, ValueError) as error:
        raise broken(f"{path.name} cannot be read: {error}") from error


def must_be_private(key_path: Path, remedy: str) -> None:
    """Raises Failure where others may read the key; `remedy` is for the case that somebody has."""
    if (mode := key_path.stat().st_mode & 0o777) & 0o077:
        raise Failure(
            f"{key_path} can be read by others (mode {mode:o})",
            f"if nobody has read it: chmod 600 {key_path}; otherwise {remedy}",
        )


def authority_name(common_name: str) -> x509.Name:
    """The subject of an authority of ours."""
    return x509.Name(
        [
            x509.NameAttribute(NameOID.ORGANIZATION_NAME, "Argosy"),
            x509.NameAttribute(NameOID.COMMON_NAME, common_name),
        ]
    )


def authority_builder(
    subject: x509.Name, key: ec.EllipticCurvePublicKey, path_length: int, begins: float, ends: float
) -> x509.CertificateBuilder:
    """A certificate that signs others, without its issuer and signature. Times are Unix times."""
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .public_key(key)
        .serial_number(x509.random_serial_number())
        .not_valid_before(at(begins))
        .not_valid_after(at(ends))
        .add_extension(x509.BasicConstraints(ca=True, path_length=path_length), critical=True)
        .add_extension(key_usage(certify=True), critical=True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key), critical=False)
    )


def key_usage(*, certify: bool) -> x509.KeyUsage:
    """Of an authority, or of a leaf."""
    return x509.KeyUsage(
        digital_signature=not certify,
        key_cert_sign=certify,
        crl_sign=certify,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        encipher_only=False,
        decipher_only=False,
    )


def at(unix: float) -> datetime:
    """A Unix time as certificates have it."""
    return datetime.fromtimestamp(0, UTC) + timedelta(seconds=int(unix))


def pem(certificate: x509.Certificate) -> str:
    return certificate.public_bytes(serialization.Encoding.PEM).decode()


def key_pem(key: ec.EllipticCurvePrivateKey) -> bytes:
    """PKCS #8, not encrypted."""
    return key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
