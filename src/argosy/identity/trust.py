"""Which roots a mesh trusts, and how one takes the place of another: the state as a value, its steps as functions.

    (none) ─ begin ─> TRUST ─ issue ─> ISSUE ─ drop ─> (none)
               ^        └── abort ──> (none)

TRUST: both roots are in everybody's bundle, certificates are still issued below the old one. ISSUE: they are issued
below the new one, and whoever holds an old one renews. After `drop` the new root stands alone.

Rule: nobody may meet a certificate whose root is not in their bundle. So `issue` waits until everybody trusts the new
root, and `drop` until nobody holds a certificate of the old one; who decides that is the caller, who sees the mesh.
The state is one object, changed by compare and swap, so that a rotation goes on wherever it stopped.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from enum import StrEnum
from typing import Protocol

import msgspec
from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from msgspec import Struct

from argosy.identity.names import Identity
from argosy.identity.protocol import SignResponse
from argosy.runtime.certificates import CURVES

MOST_ROOTS_PEM = 64 << 10
REMEMBERED_ROOTS = 8
SMALLEST_RSA = 2048


class BundleSource(Protocol):
    """Whose roots are trusted. Ours holds one trust domain, its own; a federation would hold several."""

    def bundle_of(self, trust_domain: str) -> str | None:
        """The roots of a trust domain (PEM); None for one that is not trusted."""


class Signer(Protocol):
    """What signs for identities that were proven: our own authority. An external one would be another."""

    trust_domain: str

    def sign(self, csr_pem: str, identity: Identity, ttl: int = 0) -> SignResponse:
        """Raises ValueError (BadRequest, NotAnIdentity) for what is not signed."""


class Phase(StrEnum):
    TRUST = "trust"
    ISSUE = "issue"


class Rotation(Struct, frozen=True, kw_only=True):
    """A root on its way out, and the one that takes its place (fingerprints)."""

    old: str
    new: str
    phase: Phase
    begun: float  # Unix time
    since: float  # of this phase


class Trust(Struct, frozen=True, kw_only=True):
    """What the store says of a mesh. `roots` () is of an older version: `root` alone is trusted."""

    root: str  # fingerprint: of the root of the mesh; while one takes its place, still the old one
    trust_domain: str
    server: str  # the state directory that made it
    roots: tuple[str, ...] = ()  # PEM, all that are trusted, `root` among them
    rotation: Rotation | None = None
    retired: tuple[str, ...] = ()  # fingerprints of roots that were dropped, the last one last
    version: int = 0  # goes up with each step: of two bundles an agent takes the one of the higher version

    @property
    def issues(self) -> str:
        """The fingerprint of the root below which certificates are issued now."""
        if self.rotation is not None and self.rotation.phase is Phase.ISSUE:
            return self.rotation.new
        return self.root


class WrongStep(Exception):
    """A step that does not follow from where the rotation stands; says where it stands."""


def fingerprint(certificate: x509.Certificate) -> str:
    """SHA-256 of its DER, hexadecimal."""
    return hashlib.sha256(certificate.public_bytes(serialization.Encoding.DER)).hexdigest()


def fingerprints(bundle: str) -> tuple[str, ...]:
    """Of the roots of a bundle (PEM), in its order. Raises ValueError."""
    return tuple(fingerprint(one) for one in x509.load_pem_x509_certificates(bundle.encode()))


def read_root(text: str, now: float) -> x509.Certificate:
    """A root that may be trusted: one certificate, signed by itself, that may sign others, valid now.

    Raises ValueError that says what is wrong.
    """
    if len(text) > MOST_ROOTS_PEM:
        raise ValueError(f"it is longer than {MOST_ROOTS_PEM} bytes")
    try:
        found = x509.load_pem_x509_certificates(text.encode())
    except ValueError as error:
        raise ValueError(f"it is no certificate (PEM): {error}") from error
    if len(found) != 1:
        raise ValueError(f"there are {len(found)} certificates in it: give the root alone")
    root = found[0]
    try:
        root.verify_directly_issued_by(root)
    except (ValueError, TypeError, InvalidSignature) as error:
        raise ValueError("it is not signed by itself, as a root is") from error
    try:
        authority = root.extensions.get_extension_for_class(x509.BasicConstraints).value.ca
    except x509.ExtensionNotFound:
        authority = False
    if not authority:
        raise ValueError("it may not sign certificates (basic constraints: CA is not set)")
    if not _is_strong(root.public_key()):
        raise ValueError("its key is weak: ECDSA P-256, P-384 or P-521, or RSA of 2048 bits or more")
    if root.not_valid_after_utc.timestamp() <= now:
        raise ValueError(f"it expired on {root.not_valid_after_utc:%Y-%m-%d}")
    if root.not_valid_before_utc.timestamp() > now:
        raise ValueError(f"it is not valid before {root.not_valid_before_utc:%Y-%m-%d %H:%M} UTC")
    return root


def _is_strong(key: object) -> bool:
    if isinstance(key, rsa.RSAPublicKey):
        return key.key_size >= SMALLEST_RSA
    return isinstance(key, ec.EllipticCurvePublicKey) and isinstance(key.curve, CURVES)


def root_of(chain: str, roots: Sequence[x509.Certificate]) -> x509.Certificate | None:
    """Which of the roots a chain (PEM, leaf first, without the root) ends at; None for none of them."""
    try:
        last = x509.load_pem_x509_certificates(chain.encode())[-1]
    except ValueError:
        return None
    for root in roots:
        try:
            last.verify_directly_issued_by(root)
        except (ValueError, TypeError, InvalidSignature):
            continue
        return root
    return None


def may_begin(trust: Trust) -> None:
    """Raises WrongStep."""
    if trust.rotation is not None:
        raise WrongStep(f"a rotation is under way already, in the phase {trust.rotation.phase}")


def begin(trust: Trust, old_pem: str, new_pem: str, now: float) -> Trust:
    """Trusts a further root. `old_pem` is the root of now. Raises WrongStep, ValueError."""
    may_begin(trust)
    root = read_root(new_pem, now)
    new = fingerprint(root)
    if new == trust.root:
        raise WrongStep("this is the root of the mesh already")
    if new in trust.retired:
        raise WrongStep("this root was dropped before: make another")
    pem = root.public_bytes(serialization.Encoding.PEM).decode()
    rotation = Rotation(old=trust.root, new=new, phase=Phase.TRUST, begun=now, since=now)
    return _step(trust, roots=(old_pem, pem), rotation=rotation)


def issue(trust: Trust, now: float) -> Trust:
    """From now on certificates are issued below the new root. Raises WrongStep."""
    rotation = _at(trust, Phase.TRUST)
    later = msgspec.structs.replace(rotation, phase=Phase.ISSUE, since=now)
    return _step(trust, rotation=later)


def drop(trust: Trust) -> Trust:
    """The old root is trusted no more. Raises WrongStep."""
    rotation = _at(trust, Phase.ISSUE)
    return _step(
        trust,
        root=rotation.new,
        roots=_without(trust.roots, rotation.old),
        rotation=None,
        retired=(*trust.retired, rotation.old)[-REMEMBERED_ROOTS:],
    )


def abort(trust: Trust) -> Trust:
    """The new root is trusted no more; nothing was issued below it. Raises WrongStep."""
    rotation = _at(trust, Phase.TRUST)
    return _step(trust, roots=_without(trust.roots, rotation.new), rotation=None)


def _at(trust: Trust, phase: Phase) -> Rotation:
    if trust.rotation is None:
        raise WrongStep("no rotation is under way")
    if trust.rotation.phase is not phase:
        raise WrongStep(f"the rotation is in the phase {trust.rotation.phase}")
    return trust.rotation


def _step(trust: Trust, **changes: object) -> Trust:
    return msgspec.structs.replace(trust, version=trust.version + 1, **changes)


def _without(roots: Sequence[str], gone: str) -> tuple[str, ...]:
    return tuple(one for one in roots if fingerprints(one) != (gone,))
