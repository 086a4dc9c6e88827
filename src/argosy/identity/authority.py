"""The certificate authority of a mesh: a root that signs an issuing certificate a server, which signs the workloads'.

    D/ca/root.crt  root.key  issuing.crt  issuing.key      ECDSA P-256, PEM, 0600
         joined.json    of a server that joined: it has no root.key, and got issuing.crt from one that has

Made whole at the first start, or when a server joins (a folder is renamed into place), loaded after; what is there and
broken is never replaced, because a new root cuts off every workload. Who holds the root renews the issuing certificate
when it nears its end; an issuing key never leaves its server.
Envoy wants KeyUsage digitalSignature in a leaf (without it: "verify cert failed: cert precheck").
"""

from __future__ import annotations

import ipaddress
import shutil
import time
from collections.abc import Callable, Iterable, Mapping
from functools import partial
from pathlib import Path

import msgspec
from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID
from msgspec import Struct

from argosy.identity.names import Identity, check, dns_san
from argosy.identity.proofs import comment
from argosy.identity.protocol import SERVER_DNS_NAME, SignResponse
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

ROOT_LIFETIME = 3650 * DAY
ISSUING_LIFETIME = 1825 * DAY
ISSUING_RENEWAL = 90 * DAY  # the issuing certificate is renewed when less than this is left
SERVER_LIFETIME = 7 * DAY
SHORTEST_TTL = 60
DEFAULT_TTL = 48 * 3600
RENEW_AT = 0.25  # of the lifetime: 12 h of 48 h, so that an outage of 36 h is survived
SERVER_ACCOUNT = "argosy-server"
ROOT_NAMESPACE = "istio-system"

_FILES = ("root.crt", "root.key", "issuing.crt", "issuing.key")
JOINED = "joined.json"


class ServerCertificate(Struct, frozen=True, kw_only=True):
    """The control plane's own certificate."""

    chain: str  # PEM, leaf first, without the root
    key: str  # PEM
    not_after: float
    renew_after: float


class Joined(Struct, frozen=True, kw_only=True):
    """`joined.json`: of which mesh a server became a part."""

    format: int = 1
    trust_domain: str
    server: str  # host:port that let it in
    at: float  # Unix time


class Authority:
    """The keys of one server, and what they sign. `root_key` None: another server holds the root."""

    def __init__(
        self,
        trust_domain: str,
        root: x509.Certificate,
        issuing: x509.Certificate,
        issuing_key: ec.EllipticCurvePrivateKey,
        default_ttl: int = DEFAULT_TTL,
        maximum_ttl: int = 0,
        clock: Callable[[], float] = time.time,
        root_key: ec.EllipticCurvePrivateKey | None = None,
    ) -> None:
        """Times to live in seconds; `maximum_ttl` 0: the default is also the most."""
        if default_ttl < SHORTEST_TTL:
            raise Failure(
                f"certificate lifetime {default_ttl} s is too short", f"use {SHORTEST_TTL}s or more"
            )
        self.trust_domain = trust_domain
        self.root = root
        self.issuing = issuing
        self.issuing_key = issuing_key
        self.default_ttl = default_ttl
        self.maximum_ttl = max(maximum_ttl, default_ttl)
        self.clock = clock
        self.bundle = pem(root)
        self._root_key = root_key

    @property
    def holds_root(self) -> bool:
        return self._root_key is not None

    @property
    def issuing_ends_soon(self) -> bool:
        return self.issuing.not_valid_after_utc.timestamp() - self.clock() < ISSUING_RENEWAL

    def sign_issuing(self, csr_pem: str) -> str:
        """An issuing certificate (PEM) for the key of another server, which has proven that it may have one.

        Raises BadRequest.
        """
        if self._root_key is None:
            raise BadRequest("this server does not hold the root of the mesh")
        return pem(_issuing(self.root, self._root_key, request_key(csr_pem), self.clock()))

    def issuing_csr(self) -> str:
        """Asks for another certificate for the issuing key of now (PEM)."""
        return csr_of(self.issuing_key)

    def renewed(self, directory: Path, issuing_pem: str) -> None:
        """Takes a new issuing certificate for the key of now, and keeps it. Raises BadRequest, Failure."""
        self.issuing = checked_issuing(issuing_pem, self.root, self.issuing_key)
        _write(directory / "issuing.crt", issuing_pem.encode())

    def sign(
        self, csr_pem: str, identity: Identity, ttl: int = 0, given_for: tuple[str, ...] = ()
    ) -> SignResponse:
        """Signs the CSR's public key, and nothing else of it, for an identity that the caller has proven.
        `given_for`: the selectors that decided; () where they are not known.

        Raises BadRequest for a CSR that is broken, not signed by its key, or of a weak key, and NotAnIdentity (both
        are ValueError) for names that do not fit into a certificate.
        """
        key = request_key(csr_pem)
        check(identity)
        if ttl < 0:
            raise BadRequest(f"ttl: {ttl} is negative")
        seconds = min(max(ttl or self.default_ttl, SHORTEST_TTL), self.maximum_ttl)
        now = self.clock()
        names: list[x509.GeneralName] = [
            x509.UniformResourceIdentifier(identity.spiffe_id),
            x509.DNSName(dns_san(identity)),
        ]
        leaf = self._leaf(key, names, now, seconds, given_for)
        return SignResponse(
            chain=(pem(leaf), pem(self.issuing)),
            bundle=self.bundle,
            not_before=leaf.not_valid_before_utc.timestamp(),
            not_after=leaf.not_valid_after_utc.timestamp(),
            renew_after=now + (leaf.not_valid_after_utc.timestamp() - now) * RENEW_AT,
        )

    def server_certificate(self, hosts: Iterable[str] = ()) -> ServerCertificate:
        """A new key and certificate for the control plane: its DNS name, its identity, loopback and `hosts`."""
        key = ec.generate_private_key(ec.SECP256R1())
        now = self.clock()
        identity = f"spiffe://{self.trust_domain}/ns/{ROOT_NAMESPACE}/sa/{SERVER_ACCOUNT}"
        names: list[x509.GeneralName] = [x509.UniformResourceIdentifier(identity)]
        for host in dict.fromkeys((SERVER_DNS_NAME, "localhost", "127.0.0.1", "::1", *hosts)):
            names.append(_host_name(host))
        leaf = self._leaf(key.public_key(), names, now, SERVER_LIFETIME)
        until = leaf.not_valid_after_utc.timestamp()
        return ServerCertificate(
            chain=pem(leaf) + pem(self.issuing),
            key=key_pem(key).decode(),
            not_after=until,
            renew_after=now + (until - now) / 2,
        )

    def _leaf(
        self,
        key: ec.EllipticCurvePublicKey,
        names: list[x509.GeneralName],
        now: float,
        seconds: int,
        given_for: tuple[str, ...] = (),
    ) -> x509.Certificate:
        end = min(now + seconds, self.issuing.not_valid_after_utc.timestamp())
        usages = [ExtendedKeyUsageOID.SERVER_AUTH, ExtendedKeyUsageOID.CLIENT_AUTH]
        builder = (
            x509.CertificateBuilder()
            .subject_name(x509.Name([]))
            .issuer_name(self.issuing.subject)
            .public_key(key)
            .serial_number(x509.random_serial_number())
            .not_valid_before(at(now - CLOCK_SKEW))
            .not_valid_after(at(end))
            .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
            .add_extension(key_usage(certify=False), critical=True)
            .add_extension(x509.ExtendedKeyUsage(usages), critical=False)
            # RFC 5280, 4.2.1.6: critical where the subject is empty.
            .add_extension(x509.SubjectAlternativeName(names), critical=True)
            .add_extension(_authority_key(self.issuing), critical=False)
        )
        if given_for:
            builder = builder.add_extension(comment(given_for), critical=False)
        return builder.sign(self.issuing_key, hashes.SHA256())


def csr_of(key: ec.EllipticCurvePrivateKey) -> str:
    """A CSR (PEM) that names nobody."""
    csr = x509.CertificateSigningRequestBuilder().subject_name(x509.Name([])).sign(key, hashes.SHA256())
    return csr.public_bytes(serialization.Encoding.PEM).decode()


def open_authority(
    directory: Path,
    trust_domain: str,
    default_ttl: int = DEFAULT_TTL,
    maximum_ttl: int = 0,
    clock: Callable[[], float] = time.time,
) -> Authority:
    """Loads the authority of a directory, or makes it where the directory does not exist or is empty.

    `trust_domain` is of an authority that is made; one that joined has that of its mesh. Raises Failure where a piece
    is missing, broken, readable by others, or does not fit the others.
    """
    joined = _joined(directory)
    present = [name for name in _FILES if (directory / name).exists()]
    if not present and joined is None:
        _create(directory, trust_domain, clock())
    elif missing := [name for name in _FILES if name not in present and not (joined and name == "root.key")]:
        raise _broken(directory, f"{', '.join(missing)} missing")
    root_key: ec.EllipticCurvePrivateKey | None = None
    if (directory / "root.key").exists():
        root, root_key = _load(directory, "root")
    else:
        root = load_certificate(directory / "root.crt", partial(_broken, directory))
    issuing, issuing_key = _load(directory, "issuing")
    try:
        issuing.verify_directly_issued_by(root)
    except (ValueError, TypeError, InvalidSignature):
        raise _broken(directory, "issuing.crt is not signed by root.crt") from None
    now = clock()
    if root.not_valid_after_utc.timestamp() <= now:
        raise _broken(directory, f"root.crt expired on {root.not_valid_after_utc:%Y-%m-%d}")
    if root_key is not None and issuing.not_valid_after_utc.timestamp() - now < ISSUING_RENEWAL:
        issuing = _issuing(root, root_key, issuing_key.public_key(), now)
        _write(directory / "issuing.crt", pem(issuing).encode())
    domain = joined.trust_domain if joined else trust_domain
    return Authority(domain, root, issuing, issuing_key, default_ttl, maximum_ttl, clock, root_key)


def join(
    directory: Path, joined: Joined, root_pem: str, issuing_pem: str, key: ec.EllipticCurvePrivateKey
) -> None:
    """Makes the directory of a server that was let in. Raises BadRequest where the certificate is of no use, Failure
    where it cannot be written, or where an authority is there."""
    checked_issuing(issuing_pem, x509.load_pem_x509_certificate(root_pem.encode()), key)
    _write_directory(
        directory,
        {
            "root.crt": root_pem.encode(),
            "issuing.crt": issuing_pem.encode(),
            "issuing.key": key_pem(key),
            JOINED: msgspec.json.encode(joined),
        },
    )


def checked_issuing(text: str, root: x509.Certificate, key: ec.EllipticCurvePrivateKey) -> x509.Certificate:
    """An issuing certificate for this key, signed by this root. Raises BadRequest."""
    try:
        issuing = x509.load_pem_x509_certificate(text.encode())
        issuing.verify_directly_issued_by(root)
        constraints = issuing.extensions.get_extension_for_class(x509.BasicConstraints).value
    except (ValueError, TypeError, InvalidSignature, x509.ExtensionNotFound) as error:
        raise BadRequest(f"the issuing certificate is not signed by the root of the mesh: {error}") from error
    if not constraints.ca or issuing.public_key() != key.public_key():
        raise BadRequest("the issuing certificate is for another key")
    return issuing


def _joined(directory: Path) -> Joined | None:
    try:
        found = msgspec.json.decode((directory / JOINED).read_bytes(), type=Joined)
    except FileNotFoundError:
        return None
    except (OSError, msgspec.MsgspecError) as error:
        raise _broken(directory, f"{JOINED} cannot be read: {error}") from error
    if found.format > 1:
        raise Failure(f"{directory / JOINED} was written by a newer version", "run that version")
    return found


def _create(directory: Path, trust_domain: str, now: float) -> None:
    root_key, issuing_key = ec.generate_private_key(ec.SECP256R1()), ec.generate_private_key(ec.SECP256R1())
    subject = authority_name(f"Root CA for {trust_domain}"[:64])
    root = (
        authority_builder(subject, root_key.public_key(), 1, now - CLOCK_SKEW, now + ROOT_LIFETIME)
        .issuer_name(subject)
        .sign(root_key, hashes.SHA256())
    )
    issuing = _issuing(root, root_key, issuing_key.public_key(), now)
    _write_directory(
        directory,
        {
            "root.crt": pem(root).encode(),
            "root.key": key_pem(root_key),
            "issuing.crt": pem(issuing).encode(),
            "issuing.key": key_pem(issuing_key),
        },
    )


def _write_directory(directory: Path, files: Mapping[str, bytes]) -> None:
    """All or nothing."""
    private_dir(directory.parent)
    new = directory.with_name(f".{directory.name}.new")
    shutil.rmtree(new, ignore_errors=True)  # of a first start that was killed half-way
    private_dir(new)
    for name, data in files.items():
        _write(new / name, data)
    try:
        new.replace(directory)  # an empty directory in its place is replaced, a full one is not
    except OSError as error:
        raise Failure(f"cannot create {directory}: {error.strerror}", "move what is there away") from error


def _write(path: Path, data: bytes) -> None:
    try:
        write_private(path, data)
    except OSError as error:
        raise Failure(f"cannot write {path}: {error.strerror}", "free some disk space") from error


def _issuing(
    root: x509.Certificate, root_key: ec.EllipticCurvePrivateKey, key: ec.EllipticCurvePublicKey, now: float
) -> x509.Certificate:
    end = min(now + ISSUING_LIFETIME, root.not_valid_after_utc.timestamp())
    return (
        authority_builder(authority_name("Issuing CA"), key, 0, now - CLOCK_SKEW, end)
        .issuer_name(root.subject)
        .add_extension(_authority_key(root), critical=False)
        .sign(root_key, hashes.SHA256())
    )


def _load(directory: Path, name: str) -> tuple[x509.Certificate, ec.EllipticCurvePrivateKey]:
    key_path = directory / f"{name}.key"
    must_be_private(key_path, f"move {directory} away for a new root")
    return load_pair(directory / f"{name}.crt", key_path, partial(_broken, directory))


def _broken(directory: Path, what: str) -> Failure:
    return Failure(
        f"the certificate authority in {directory} is broken: {what}",
        f"restore the files from a backup, or move {directory} away: a new root is made, "
        "and every workload must restart",
    )


def _authority_key(issuer: x509.Certificate) -> x509.AuthorityKeyIdentifier:
    identifier = issuer.extensions.get_extension_for_class(x509.SubjectKeyIdentifier).value
    return x509.AuthorityKeyIdentifier.from_issuer_subject_key_identifier(identifier)


def _host_name(host: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ipaddress.ip_address(host))
    except ValueError:
        return x509.DNSName(host)
