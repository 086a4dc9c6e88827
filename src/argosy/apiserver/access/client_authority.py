"""The authority for clients of the API: a key of its own, apart from the workloads', so that no workload is a user.

    D/client-ca/ca.crt  ca.key      ECDSA P-256, PEM, 0600

A certificate that it signs names a User (CN), the groups at that time (O) and the object's uid (a URI), so that it dies
with the object. Which groups the user has is for the object to say. With an authority of one's own (`--client-ca-file`)
CN and O are the user and its groups, as in Kubernetes, and no object is needed.
"""

from __future__ import annotations

import shutil
import time
from collections.abc import Callable
from functools import lru_cache, partial
from pathlib import Path

from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID
from msgspec import Struct

from argosy.runtime.certificates import (
    CLOCK_SKEW,
    DAY,
    BadRequest,
    at,
    authority_builder,
    authority_name,
    key_pem,
    key_usage,
    load_certificate,
    load_pair,
    must_be_private,
    pem,
    request_key,
)
from argosy.runtime.errors import Failure
from argosy.runtime.paths import private_dir, write_private

LIFETIME = 3650 * DAY
LONGEST = 398 * DAY
UID_PREFIX = "urn:uuid:"
_LONGEST_NAME = 64  # RFC 5280: of a CN and of an O


class Read(Struct, frozen=True, kw_only=True):
    """What a client certificate says."""

    name: str
    groups: tuple[str, ...]
    uid: str
    begins: float
    ends: float
    foreign: bool  # of the authority in --client-ca-file


class ClientAuthority:
    """Signs for Users. `key` None: another server has it, and this one only recognises what that one signed."""

    def __init__(
        self,
        certificate: x509.Certificate,
        key: ec.EllipticCurvePrivateKey | None,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self.certificate = certificate
        self._key = key
        self._clock = clock

    @property
    def pem(self) -> str:
        return pem(self.certificate)

    @property
    def signs(self) -> bool:
        return self._key is not None

    def sign(
        self, csr_pem: str, name: str, groups: tuple[str, ...], uid: str, seconds: int
    ) -> tuple[str, float]:
        """(certificate in PEM, Unix time of its end). Raises BadRequest."""
        if self._key is None:
            raise BadRequest(
                "this server does not hold the key of the clients' authority: ask the one that does"
            )
        key = request_key(csr_pem)
        for field, text in (("user", name), *(("group", group) for group in groups)):
            if len(text) > _LONGEST_NAME:
                raise BadRequest(f"the {field} {text[:80]!r} has more than {_LONGEST_NAME} characters")
        now = self._clock()
        ends = min(now + min(seconds, LONGEST), self.certificate.not_valid_after_utc.timestamp())
        subject = [
            *(x509.NameAttribute(NameOID.ORGANIZATION_NAME, group) for group in groups),
            x509.NameAttribute(NameOID.COMMON_NAME, name),
        ]
        signed = (
            x509.CertificateBuilder()
            .subject_name(x509.Name(subject))
            .issuer_name(self.certificate.subject)
            .public_key(key)
            .serial_number(x509.random_serial_number())
            .not_valid_before(at(now - CLOCK_SKEW))
            .not_valid_after(at(ends))
            .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
            .add_extension(key_usage(certify=False), critical=True)
            .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.CLIENT_AUTH]), critical=False)
            .add_extension(
                x509.SubjectAlternativeName([x509.UniformResourceIdentifier(UID_PREFIX + uid)]),
                critical=False,
            )
            .sign(self._key, hashes.SHA256())
        )
        return pem(signed), signed.not_valid_after_utc.timestamp()


class ClientCertificates:
    """Reads the certificates that TLS has let through: signed by the authority of the mesh's clients, or by a foreign
    one (PEM of `--client-ca-file`)."""

    def __init__(self, own: ClientAuthority, foreign: str = "") -> None:
        self.own = own
        self.trusted = own.pem + foreign
        """The PEM of all that TLS lets through."""
        self._foreign = bool(foreign)
        self.read = lru_cache(4096)(self._read)

    def _read(self, der: bytes) -> Read | None:
        """None where it names nobody."""
        try:
            certificate = x509.load_der_x509_certificate(der)
            names = _texts(certificate, NameOID.COMMON_NAME)
            groups = _texts(certificate, NameOID.ORGANIZATION_NAME)
            ours, uid = self._is_ours(certificate), _uid(certificate)
        except ValueError:
            return None
        if len(names) != 1 or not names[0] or not (ours or self._foreign):
            return None
        return Read(
            name=names[0],
            groups=tuple(groups),
            uid=uid,
            begins=certificate.not_valid_before_utc.timestamp(),
            ends=certificate.not_valid_after_utc.timestamp(),
            foreign=not ours,
        )

    def _is_ours(self, certificate: x509.Certificate) -> bool:
        try:
            certificate.verify_directly_issued_by(self.own.certificate)
        except (ValueError, TypeError, InvalidSignature):
            return False
        return True


def open_client_authority(directory: Path, clock: Callable[[], float] = time.time) -> ClientAuthority:
    """Loads the authority of a directory, or makes it where there is none; without `ca.key` it signs nothing.

    Raises Failure where what is there is broken or may be read by others: it is never replaced.
    """
    certificate_path, key_path = directory / "ca.crt", directory / "ca.key"
    if not certificate_path.exists() and not key_path.exists():
        _create(directory, clock())
    broken = partial(_broken, directory)
    if not key_path.exists():
        return ClientAuthority(load_certificate(certificate_path, broken), None, clock)
    must_be_private(key_path, f"move {directory} away for a new one")
    certificate, key = load_pair(certificate_path, key_path, broken)
    return ClientAuthority(certificate, key, clock)


def foreign_authorities(path: Path, mesh: tuple[x509.Certificate, ...]) -> str:
    """The PEM of a `--client-ca-file`. Raises Failure where it holds none, or one of the workloads' (`mesh`)."""
    try:
        text = path.read_text("ascii")
        found = x509.load_pem_x509_certificates(text.encode())
    except (OSError, ValueError) as error:
        raise Failure(
            f"--client-ca-file {path}: is no file of certificates in PEM: {error}",
            "name another, or leave it out",
        ) from error
    keys = {_key_bytes(certificate) for certificate in mesh}
    if any(_key_bytes(certificate) in keys for certificate in found):
        raise Failure(
            f"--client-ca-file {path}: holds an authority of the mesh's workloads, which would be users of the API",
            "use an authority that signs for people alone",
        )
    return "".join(pem(certificate) for certificate in found)


def _create(directory: Path, now: float) -> None:
    key = ec.generate_private_key(ec.SECP256R1())
    subject = authority_name(f"API clients {x509.random_serial_number() >> 96:016x}")
    certificate = (
        authority_builder(subject, key.public_key(), 0, now - CLOCK_SKEW, now + LIFETIME)
        .issuer_name(subject)
        .sign(key, hashes.SHA256())
    )
    install(directory, pem(certificate).encode(), key_pem(key))


def install(directory: Path, certificate: bytes, key: bytes) -> None:
    """Makes the directory of an authority (PEM), whole; what it held before is gone. Raises Failure."""
    private_dir(directory.parent)
    new = directory.with_name(f".{directory.name}.new")
    shutil.rmtree(new, ignore_errors=True)  # of a first start that was killed half-way
    private_dir(new)
    try:
        write_private(new / "ca.key", key)
        write_private(new / "ca.crt", certificate)
        shutil.rmtree(directory, ignore_errors=True)
        new.replace(directory)
    except OSError as error:
        raise Failure(f"cannot create {directory}: {error.strerror}", "free some disk space") from error


def _texts(certificate: x509.Certificate, oid: x509.ObjectIdentifier) -> list[str]:
    return [
        value
        for attribute in certificate.subject.get_attributes_for_oid(oid)
        if isinstance(value := attribute.value, str)
    ]


def _uid(certificate: x509.Certificate) -> str:
    try:
        names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except x509.ExtensionNotFound:
        return ""
    found = [
        uri.removeprefix(UID_PREFIX)
        for uri in names.get_values_for_type(x509.UniformResourceIdentifier)
        if uri.startswith(UID_PREFIX)
    ]
    return found[0] if len(found) == 1 else ""


def _broken(directory: Path, what: str) -> Failure:
    return Failure(
        f"the authority for API clients in {directory} is broken: {what}",
        f"restore the files from a backup, or move {directory} away: a new one is made, "
        "and every client certificate must be made anew",
    )


def _key_bytes(certificate: x509.Certificate) -> bytes:
    return certificate.public_key().public_bytes(
        serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo
    )
