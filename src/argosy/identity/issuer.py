"""What a server signs with below one root, and how it is kept: `Issuer`, and the folder of one.

    D/ca/root.crt  root.key  issuing.crt  issuing.key      ECDSA P-256 where made here; PEM, 0600
         joined.json    of a server that joined: it has no root.key, and got issuing.crt from one that has
         offline.json   the root is kept elsewhere: no root.key either
         next/          the same four, below the root that takes the place of this one (`rotate-root`)
    D/.ca.promoted, D/.ca.retired    for a moment, while next/ becomes D/ca

`issuing.crt` holds the issuing certificate first, then what leads from it to the root, where that was signed elsewhere.
Rule: a folder is whole or it is not there; what is there and broken is never replaced.
"""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from functools import partial
from pathlib import Path

from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from msgspec import Struct

from argosy.identity.trust import fingerprint
from argosy.runtime.certificates import (
    CLOCK_SKEW,
    CURVES,
    DAY,
    BadRequest,
    authority_builder,
    authority_name,
    key_pem,
    key_usage,
    load_certificate,
    load_pair,
    must_be_private,
    pem,
)
from argosy.runtime.errors import Failure
from argosy.runtime.paths import private_dir, write_private

ROOT_LIFETIME = 3650 * DAY
ISSUING_LIFETIME = 1825 * DAY
LONGEST_CHAIN = 5
FILES = ("root.crt", "root.key", "issuing.crt", "issuing.key")
JOINED, OFFLINE, NEXT, PENDING = "joined.json", "offline.json", "next", "pending.key"


class Issuer(Struct, frozen=True, kw_only=True):
    """`chain`: the issuing certificate first, without the root. `root_key` None: it is kept elsewhere."""

    root: x509.Certificate
    chain: tuple[x509.Certificate, ...]
    key: ec.EllipticCurvePrivateKey
    root_key: ec.EllipticCurvePrivateKey | None = None

    @property
    def issuing(self) -> x509.Certificate:
        return self.chain[0]

    @property
    def fingerprint(self) -> str:
        """Of its root."""
        return fingerprint(self.root)

    @property
    def ends(self) -> float:
        """Unix time from which nothing it signed is good any more."""
        return min(one.not_valid_after_utc.timestamp() for one in (self.root, *self.chain))

    def signed(self, key: ec.EllipticCurvePublicKey, now: float) -> x509.Certificate:
        """An issuing certificate for the key of a server. Raises BadRequest where the root's key is not here."""
        if self.root_key is None:
            raise BadRequest("this server does not hold the root of the mesh")
        return issuing_certificate(self.root, self.root_key, key, now)

    def files(self) -> dict[str, bytes]:
        found = {
            "root.crt": pem(self.root).encode(),
            "issuing.crt": "".join(map(pem, self.chain)).encode(),
            "issuing.key": key_pem(self.key),
        }
        return found | ({"root.key": key_pem(self.root_key)} if self.root_key is not None else {})


# --- making -----------------------------------------------------------------------------------------------------------


def new_root(
    trust_domain: str, now: float, lifetime: float = ROOT_LIFETIME
) -> tuple[x509.Certificate, ec.EllipticCurvePrivateKey]:
    key = ec.generate_private_key(ec.SECP256R1())
    subject = authority_name(f"Root CA for {trust_domain}"[:64])
    root = (
        authority_builder(subject, key.public_key(), 1, now - CLOCK_SKEW, now + lifetime)
        .issuer_name(subject)
        .sign(key, hashes.SHA256())
    )
    return root, key


def below(root: x509.Certificate, root_key: ec.EllipticCurvePrivateKey, now: float) -> Issuer:
    """A new issuing key, below a root whose key is here."""
    key = ec.generate_private_key(ec.SECP256R1())
    issuing = issuing_certificate(root, root_key, key.public_key(), now)
    return Issuer(root=root, chain=(issuing,), key=key, root_key=root_key)


def issuing_certificate(
    root: x509.Certificate, root_key: ec.EllipticCurvePrivateKey, key: ec.EllipticCurvePublicKey, now: float
) -> x509.Certificate:
    end = min(now + ISSUING_LIFETIME, root.not_valid_after_utc.timestamp())
    return (
        authority_builder(authority_name("Issuing CA"), key, 0, now - CLOCK_SKEW, end)
        .issuer_name(root.subject)
        .add_extension(authority_key(root), critical=False)
        .sign(root_key, hashes.SHA256())
    )


def authority_key(issuer: x509.Certificate) -> x509.AuthorityKeyIdentifier:
    try:
        identifier = issuer.extensions.get_extension_for_class(x509.SubjectKeyIdentifier).value
    except x509.ExtensionNotFound:  # of a root that was made elsewhere
        key = issuer.public_key()
        if not isinstance(key, ec.EllipticCurvePublicKey):
            raise BadRequest("the certificate has no subject key identifier") from None
        return x509.AuthorityKeyIdentifier.from_issuer_public_key(key)
    return x509.AuthorityKeyIdentifier.from_issuer_subject_key_identifier(identifier)


def csr_of(key: ec.EllipticCurvePrivateKey) -> str:
    """A CSR (PEM) that names nobody."""
    csr = x509.CertificateSigningRequestBuilder().subject_name(x509.Name([])).sign(key, hashes.SHA256())
    return csr.public_bytes(serialization.Encoding.PEM).decode()


def issuing_csr_of(key: ec.EllipticCurvePrivateKey) -> str:
    """A CSR (PEM) for an issuing certificate that is signed elsewhere, with its name, which signers keep."""
    csr = (
        x509.CertificateSigningRequestBuilder()
        .subject_name(authority_name("Issuing CA"))
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(key_usage(certify=True), critical=True)
        .sign(key, hashes.SHA256())
    )
    return csr.public_bytes(serialization.Encoding.PEM).decode()


def checked_chain(
    text: str, root: x509.Certificate, key: ec.EllipticCurvePrivateKey, now: float | None = None
) -> tuple[x509.Certificate, ...]:
    """An issuing certificate for this key, and what leads from it to this root. Raises BadRequest that says why not.

    `now`: where it must be valid already.
    """
    try:
        chain = tuple(x509.load_pem_x509_certificates(text.encode()))
    except ValueError as error:
        raise BadRequest(f"the issuing certificate cannot be read: {error}") from error
    if len(chain) > 1 and chain[-1] == root:  # signing tools often add it
        chain = chain[:-1]
    if not 1 <= len(chain) <= LONGEST_CHAIN:
        raise BadRequest(f"the issuing certificate is a chain of {len(chain)}: at most {LONGEST_CHAIN}")
    for depth, (one, issuer) in enumerate(zip(chain, (*chain[1:], root), strict=True)):
        _must_sign(one, issuer, depth)
    if chain[0].public_key() != key.public_key():
        raise BadRequest("the issuing certificate is for another key")
    for one in (*chain, root) if now is not None else ():
        if not one.not_valid_before_utc.timestamp() <= (now or 0) < one.not_valid_after_utc.timestamp():
            raise BadRequest(
                f"{one.subject.rfc4514_string()} is valid from {one.not_valid_before_utc:%Y-%m-%d %H:%M} to "
                f"{one.not_valid_after_utc:%Y-%m-%d %H:%M} UTC, and not now"
            )
    return chain


def _must_sign(one: x509.Certificate, issuer: x509.Certificate, depth: int) -> None:
    name = one.subject.rfc4514_string() or "the issuing certificate"
    try:
        one.verify_directly_issued_by(issuer)
    except (ValueError, TypeError, InvalidSignature) as error:
        raise BadRequest(
            f"the issuing certificate is not signed by the root of the mesh: {name} is not signed by "
            f"{issuer.subject.rfc4514_string()}"
        ) from error
    try:
        limits = one.extensions.get_extension_for_class(x509.BasicConstraints).value
        usage = one.extensions.get_extension_for_class(x509.KeyUsage).value
    except x509.ExtensionNotFound as error:
        raise BadRequest(
            f"{name} may not sign: basic constraints and key usage are those of an authority"
        ) from error
    if not limits.ca or not usage.key_cert_sign:
        raise BadRequest(f"{name} may not sign certificates: CA:TRUE and keyCertSign are needed")
    if limits.path_length is not None and limits.path_length < depth:
        raise BadRequest(f"{name}: its path length of {limits.path_length} is less than {depth}")
    if not one.subject.rdns or one.subject == one.issuer:
        # With empty names, what it signs would look like its own issuer: nobody could find the chain.
        raise BadRequest(
            "the issuing certificate has no subject of its own: sign it with a name (CN=Issuing CA)"
        )
    key = one.public_key()
    if depth == 0 and not (isinstance(key, ec.EllipticCurvePublicKey) and isinstance(key.curve, CURVES)):
        raise BadRequest(f"{name}: its key is not ECDSA P-256, P-384 or P-521")


# --- the folder -------------------------------------------------------------------------------------------------------


def load(directory: Path, without_root_key: str = "") -> Issuer:
    """What a folder holds. `without_root_key`: why there may be none. Raises Failure."""
    missing = [name for name in FILES if not (directory / name).exists()]
    if without_root_key and "root.key" in missing:
        missing.remove("root.key")
    if missing:
        raise broken(directory, f"{', '.join(missing)} missing")
    fail = partial(broken, directory)
    root_key: ec.EllipticCurvePrivateKey | None = None
    if (directory / "root.key").exists():
        root, root_key = _pair(directory, "root")
    else:
        root = load_certificate(directory / "root.crt", fail)
    _, key = _pair(directory, "issuing")
    try:
        chain = checked_chain((directory / "issuing.crt").read_text("ascii"), root, key)
    except BadRequest as error:
        if "is not signed" in str(error):
            raise broken(directory, "issuing.crt is not signed by root.crt") from None
        raise broken(directory, f"issuing.crt: {error}") from None
    return Issuer(root=root, chain=chain, key=key, root_key=root_key)


def _pair(directory: Path, name: str) -> tuple[x509.Certificate, ec.EllipticCurvePrivateKey]:
    key_path = directory / f"{name}.key"
    must_be_private(key_path, f"move {directory} away for a new root")
    return load_pair(directory / f"{name}.crt", key_path, partial(broken, directory))


def write_directory(directory: Path, files: Mapping[str, bytes]) -> None:
    """All or nothing."""
    private_dir(directory.parent)
    new = directory.with_name(f".{directory.name}.new")
    shutil.rmtree(new, ignore_errors=True)  # of a first start that was killed half-way
    private_dir(new)
    for name, data in files.items():
        write(new / name, data)
    try:
        new.replace(directory)  # an empty directory in its place is replaced, a full one is not
    except OSError as error:
        raise Failure(f"cannot create {directory}: {error.strerror}", "move what is there away") from error


def write(path: Path, data: bytes) -> None:
    try:
        write_private(path, data)
    except OSError as error:
        raise Failure(f"cannot write {path}: {error.strerror}", "free some disk space") from error


def promote(directory: Path) -> None:
    """`next` takes the place of what is in the folder; the old keys go. Killed at any point, `recover` ends it."""
    kept = [name for name in (JOINED, OFFLINE, PENDING) if (directory / name).exists()]
    promoted = directory.with_name(f".{directory.name}.promoted")
    shutil.rmtree(promoted, ignore_errors=True)
    files = {name: path.read_bytes() for name in FILES if (path := directory / NEXT / name).exists()}
    if "root.key" in files:
        kept = [name for name in kept if name != OFFLINE]
    elif JOINED not in kept and OFFLINE not in kept:
        files[OFFLINE] = b"{}"
    files |= {name: (directory / name).read_bytes() for name in kept}
    write_directory(promoted, files)
    directory.replace(_retired(directory))
    recover(directory)


def recover(directory: Path) -> None:
    """Ends a promotion that was interrupted."""
    promoted, retired = directory.with_name(f".{directory.name}.promoted"), _retired(directory)
    if not directory.exists() and promoted.is_dir() and retired.is_dir():
        promoted.replace(directory)
    shutil.rmtree(promoted, ignore_errors=True)
    shutil.rmtree(retired, ignore_errors=True)


def _retired(directory: Path) -> Path:
    return directory.with_name(f".{directory.name}.retired")


def broken(directory: Path, what: str) -> Failure:
    return Failure(
        f"the certificate authority in {directory} is broken: {what}",
        f"restore the files from a backup, or move {directory} away: a new root is made, "
        "and workloads come back with a new proof (docs/identity.md)",
    )
