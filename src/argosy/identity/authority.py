"""The certificate authority of a mesh: what a server signs, with an issuing certificate below the root.

Each server has an `Issuer` (`issuer.py`: keys and files), while one root takes the place of another two of them; what
is trusted and below which root is issued comes from the mesh (`trust.py`) and is told to `adopt`. Made whole at the
first start, or when a server joins, loaded after; what is there and broken is never replaced, because a new root cuts
off every workload. Who holds the root renews the issuing certificate when it nears its end; an issuing key never leaves
its server.
Envoy wants KeyUsage digitalSignature in a leaf (without it: "verify cert failed: cert precheck").
"""

from __future__ import annotations

import ipaddress
import time
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

import msgspec
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID
from msgspec import Struct

from argosy.identity import issuer as issuers
from argosy.identity.issuer import JOINED, NEXT, OFFLINE, Issuer, csr_of
from argosy.identity.names import Identity, check, dns_san
from argosy.identity.proofs import comment
from argosy.identity.protocol import SERVER_DNS_NAME, SignResponse
from argosy.runtime.certificates import (
    CLOCK_SKEW,
    DAY,
    BadRequest,
    at,
    key_pem,
    key_usage,
    pem,
    request_key,
    request_of,
)
from argosy.runtime.errors import Failure

ISSUING_RENEWAL = 90 * DAY  # the issuing certificate is renewed when less than this is left
SERVER_LIFETIME = 7 * DAY
SHORTEST_TTL = 60
DEFAULT_TTL = 48 * 3600
RENEW_AT = 0.25  # of the lifetime: 12 h of 48 h, so that an outage of 36 h is survived
SERVER_ACCOUNT = "argosy-server"
ROOT_NAMESPACE = "istio-system"


class Expired(BadRequest):
    """The authority itself has come to its end; says when."""


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
    """The keys of one server, and what they sign: a `Signer`, and the `BundleSource` of its own trust domain."""

    def __init__(
        self,
        trust_domain: str,
        issuer: Issuer,
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
        self.default_ttl = default_ttl
        self.maximum_ttl = max(maximum_ttl, default_ttl)
        self.clock = clock
        self.base = issuer
        """Of the root of the mesh; while one takes its place, still of the old one."""
        self.following: Issuer | None = None
        """Of the root that takes its place, once there is one."""
        self.trust_version = 0
        self.adopt((issuer.root,), issuer)

    def adopt(self, trusted: Sequence[x509.Certificate], issuer: Issuer, version: int = 0) -> None:
        """What is trusted from now on, and what is signed with."""
        self.trusted = tuple(trusted)
        self.trust_version = version or self.trust_version
        self.bundle = "".join(map(pem, trusted))
        self.issuer = issuer
        self._above = tuple(map(pem, issuer.chain))
        self._key_identifier = issuers.authority_key(issuer.issuing)

    def bundle_of(self, trust_domain: str) -> str | None:
        return self.bundle if trust_domain == self.trust_domain else None

    @property
    def root(self) -> x509.Certificate:
        return self.issuer.root

    @property
    def issuing(self) -> x509.Certificate:
        return self.issuer.issuing

    @property
    def issuing_key(self) -> ec.EllipticCurvePrivateKey:
        return self.issuer.key

    @property
    def issuers(self) -> tuple[Issuer, ...]:
        return tuple(one for one in (self.base, self.following) if one is not None)

    @property
    def holds_root(self) -> bool:
        """Whether the key of a root of the mesh is here: other servers may ask it for an issuing certificate."""
        return any(one.root_key is not None for one in self.issuers)

    @property
    def roots_held(self) -> tuple[str, ...]:
        """Fingerprints of the roots whose keys are here."""
        return tuple(one.fingerprint for one in self.issuers if one.root_key is not None)

    @property
    def issuing_ends_soon(self) -> bool:
        """Whether another one would be good for longer."""
        ends = self.issuing.not_valid_after_utc
        return ends.timestamp() - self.clock() < ISSUING_RENEWAL and ends < self.root.not_valid_after_utc

    def sign_issuing(self, csr_pem: str, root: str = "") -> str:
        """An issuing certificate (PEM) for the key of another server, which has proven that it may have one; below the
        root of this fingerprint, "" for the one that is issued below now.

        Raises BadRequest.
        """
        wanted = root or self.issuer.fingerprint
        for one in self.issuers:
            if one.fingerprint == wanted and one.root_key is not None:
                return pem(one.signed(request_key(csr_pem), self.clock()))
        raise BadRequest("this server does not hold the root of the mesh")

    def issuing_csr(self) -> str:
        """Asks for another certificate for the issuing key of now (PEM)."""
        return csr_of(self.issuing_key)

    def renewed(self, directory: Path, issuing_pem: str) -> None:
        """Takes a new issuing certificate for the key of now, and keeps it. Raises BadRequest, Failure."""
        before = self.issuer
        chain = issuers.checked_chain(issuing_pem, before.root, before.key)
        folder = directory if before is self.base else directory / NEXT
        issuers.write(folder / "issuing.crt", "".join(map(pem, chain)).encode())
        now = msgspec.structs.replace(before, chain=chain)
        if before is self.base:
            self.base = now
        else:
            self.following = now
        self.adopt(self.trusted, now)

    def sign(
        self, csr_pem: str, identity: Identity, ttl: int = 0, given_for: tuple[str, ...] = ()
    ) -> SignResponse:
        """Signs the CSR's public key, and nothing else of it, for an identity that the caller has proven.
        `given_for`: the selectors that decided; () where they are not known.

        Raises BadRequest for a CSR that is broken, not signed by its key, of a weak key, or names others, Expired where
        the authority has; NotAnIdentity (all are ValueError) for names that do not fit into a certificate.
        """
        key, csr = request_of(csr_pem)
        check(identity)
        if ttl < 0:
            raise BadRequest(f"ttl: {ttl} is negative")
        seconds = min(max(ttl or self.default_ttl, SHORTEST_TTL), self.maximum_ttl)
        now = self.clock()
        names: list[x509.GeneralName] = [
            x509.UniformResourceIdentifier(identity.spiffe_id),
            x509.DNSName(dns_san(identity)),
        ]
        _must_ask_for_no_others(csr, names)
        leaf = self._leaf(key, names, now, seconds, given_for)
        return SignResponse(
            chain=(pem(leaf), *self._above),
            bundle=self.bundle,
            not_before=leaf.not_valid_before_utc.timestamp(),
            not_after=leaf.not_valid_after_utc.timestamp(),
            renew_after=now + (leaf.not_valid_after_utc.timestamp() - now) * RENEW_AT,
            serial=f"{leaf.serial_number:x}",
            trust_version=self.trust_version,
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
            chain="".join((pem(leaf), *self._above)),
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
        end = min(now + seconds, self.issuer.ends)
        if end <= now:
            raise Expired(
                f"the authority of this server expired on {at(self.issuer.ends):%Y-%m-%d %H:%M} UTC "
                "(docs/identity.md says how the mesh comes back)"
            )
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
            .add_extension(self._key_identifier, critical=False)
        )
        if given_for:
            builder = builder.add_extension(comment(given_for), critical=False)
        return builder.sign(self.issuing_key, hashes.SHA256())


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
    issuers.recover(directory)
    joined = _joined(directory)
    now = clock()
    if joined is None and not any((directory / name).exists() for name in issuers.FILES):
        root, root_key = issuers.new_root(trust_domain, now)
        issuers.write_directory(directory, issuers.below(root, root_key, now).files())
    elsewhere = "it joined" if joined else "it is offline" if (directory / OFFLINE).exists() else ""
    issuer = issuers.load(directory, elsewhere)
    if issuer.root.not_valid_after_utc.timestamp() <= now:
        raise issuers.broken(directory, f"root.crt expired on {issuer.root.not_valid_after_utc:%Y-%m-%d}")
    if issuer.issuing.not_valid_before_utc.timestamp() > now:
        raise Failure(
            f"the clock of this host says {at(now):%Y-%m-%d %H:%M} UTC, before the issuing certificate in {directory} "
            f"begins ({issuer.issuing.not_valid_before_utc:%Y-%m-%d %H:%M})",
            "set the clock right, and keep it so: timedatectl set-ntp true",
        )
    authority = Authority(
        joined.trust_domain if joined else trust_domain, issuer, default_ttl, maximum_ttl, clock
    )
    if issuer.root_key is not None and authority.issuing_ends_soon:
        authority.renewed(directory, authority.sign_issuing(authority.issuing_csr()))
    if authority.issuer.ends <= now:
        raise Failure(
            f"the issuing certificate in {directory} expired on {at(authority.issuer.ends):%Y-%m-%d}",
            "put the key of the root back as root.key for one start, or let the server join again (docs/identity.md)",
        )
    return authority


def join(
    directory: Path, joined: Joined, roots_pem: str, issuing_pem: str, key: ec.EllipticCurvePrivateKey
) -> None:
    """Makes the directory of a server that was let in. Raises BadRequest where the certificate is of no use, Failure
    where it cannot be written, or where an authority is there."""
    failed: BadRequest | None = None
    for root in x509.load_pem_x509_certificates(roots_pem.encode()):
        try:
            chain = issuers.checked_chain(issuing_pem, root, key)
        except BadRequest as error:
            failed = failed or error
            continue
        files = Issuer(root=root, chain=chain, key=key).files()
        issuers.write_directory(directory, {**files, JOINED: msgspec.json.encode(joined)})
        return
    raise failed or BadRequest("there is no root")


def _must_ask_for_no_others(csr: x509.CertificateSigningRequest, names: Sequence[x509.GeneralName]) -> None:
    """A request need not name anybody; one that names somebody else is no mistake. Raises BadRequest."""
    try:
        asked = csr.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except x509.ExtensionNotFound:
        return
    except Exception as error:  # cryptography raises several for extensions that cannot be read
        raise BadRequest(f"the extensions of the certificate request cannot be read: {error}") from error
    if others := [str(name.value) for name in asked if name not in names]:
        raise BadRequest(f"the certificate request names somebody else: {', '.join(others)[:300]}")


def _joined(directory: Path) -> Joined | None:
    try:
        found = msgspec.json.decode((directory / JOINED).read_bytes(), type=Joined)
    except FileNotFoundError:
        return None
    except (OSError, msgspec.MsgspecError) as error:
        raise issuers.broken(directory, f"{JOINED} cannot be read: {error}") from error
    if found.format > 1:
        raise Failure(f"{directory / JOINED} was written by a newer version", "run that version")
    return found


def _host_name(host: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ipaddress.ip_address(host))
    except ValueError:
        return x509.DNSName(host)
