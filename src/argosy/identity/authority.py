"""The certificate authority of a mesh: a root that signs one issuing certificate, which signs the workloads'.

    D/ca/root.crt  root.key  issuing.crt  issuing.key      ECDSA P-256, PEM, 0600

Made whole at the first start (a folder is renamed into place), loaded after; what is there and broken is never
replaced, because a new root cuts off every workload. The root renews the issuing certificate when it nears its end.
Envoy wants KeyUsage digitalSignature in a leaf (without it: "verify cert failed: cert precheck").
"""

from __future__ import annotations

import ipaddress
import shutil
import time
from collections.abc import Callable, Iterable
from functools import partial
from pathlib import Path

from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID
from msgspec import Struct

from argosy.identity.names import Identity, check, dns_san
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


class ServerCertificate(Struct, frozen=True, kw_only=True):
    """The control plane's own certificate."""

    chain: str  # PEM, leaf first, without the root
    key: str  # PEM
    not_after: float
    renew_after: float


class Authority:
    """The keys of a mesh, and what they sign. Stateless but for the keys: several replicas may hold the same."""

    def __init__(
        self,
        trust_domain: str,
        root: x509.Certificate,
        issuing: x509.Certificate,
        issuing_key: ec.EllipticCurvePrivateKey,
        default_ttl: int = DEFAULT_TTL,
        maximum_ttl: int = 0,
        clock: Callable[[], float] = time.time,
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

    def sign(self, csr_pem: str, identity: Identity, ttl: int = 0) -> SignResponse:
        """Signs the CSR's public key, and nothing else of it, for an identity that the caller has proven.

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
        leaf = self._leaf(key, names, now, seconds)
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
        self, key: ec.EllipticCurvePublicKey, names: list[x509.GeneralName], now: float, seconds: int
    ) -> x509.Certificate:
        end = min(now + seconds, self.issuing.not_valid_after_utc.timestamp())
        usages = [ExtendedKeyUsageOID.SERVER_AUTH, ExtendedKeyUsageOID.CLIENT_AUTH]
        return (
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
            .sign(self.issuing_key, hashes.SHA256())
        )


def open_authority(
    directory: Path,
    trust_domain: str,
    default_ttl: int = DEFAULT_TTL,
    maximum_ttl: int = 0,
    clock: Callable[[], float] = time.time,
) -> Authority:
    """Loads the authority of a directory, or makes it where the directory does not exist or is empty.

    Raises Failure where a piece is missing, broken, readable by others, or does not fit the others.
    """
    present = [name for name in _FILES if (directory / name).exists()]
    if not present:
        _create(directory, trust_domain, clock())
    elif missing := [name for name in _FILES if name not in present]:
        raise _broken(directory, f"{', '.join(missing)} missing")
    (root, root_key), (issuing, issuing_key) = (_load(directory, name) for name in ("root", "issuing"))
    try:
        issuing.verify_directly_issued_by(root)
    except (ValueError, TypeError, InvalidSignature):
        raise _broken(directory, "issuing.crt is not signed by root.crt") from None
    now = clock()
    if root.not_valid_after_utc.timestamp() <= now:
        raise _broken(directory, f"root.crt expired on {root.not_valid_after_utc:%Y-%m-%d}")
    if issuing.not_valid_after_utc.timestamp() - now < ISSUING_RENEWAL:
        issuing = _issuing(root, root_key, issuing_key, now)
        _write(directory / "issuing.crt", pem(issuing).encode())
    return Authority(trust_domain, root, issuing, issuing_key, default_ttl, maximum_ttl, clock)


def _create(directory: Path, trust_domain: str, now: float) -> None:
    root_key, issuing_key = ec.generate_private_key(ec.SECP256R1()), ec.generate_private_key(ec.SECP256R1())
    subject = authority_name(f"Root CA for {trust_domain}"[:64])
    root = (
        authority_builder(subject, root_key.public_key(), 1, now - CLOCK_SKEW, now + ROOT_LIFETIME)
        .issuer_name(subject)
        .sign(root_key, hashes.SHA256())
    )
    issuing = _issuing(root, root_key, issuing_key, now)
    private_dir(directory.parent)
    new = directory.with_name(f".{directory.name}.new")
    shutil.rmtree(new, ignore_errors=True)  # of a first start that was killed half-way
    private_dir(new)
    for name, data in (
        ("root.crt", pem(root).encode()),
        ("root.key", key_pem(root_key)),
        ("issuing.crt", pem(issuing).encode()),
        ("issuing.key", key_pem(issuing_key)),
    ):
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
    root: x509.Certificate, root_key: ec.EllipticCurvePrivateKey, key: ec.EllipticCurvePrivateKey, now: float
) -> x509.Certificate:
    end = min(now + ISSUING_LIFETIME, root.not_valid_after_utc.timestamp())
    return (
        authority_builder(authority_name("Issuing CA"), key.public_key(), 0, now - CLOCK_SKEW, end)
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
