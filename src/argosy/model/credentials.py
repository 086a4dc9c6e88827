"""What a Secret holds for TLS: a certificate with its key, or the authorities that others are verified by.

Facts (Istio): of a Secret the keys `tls.crt` and `tls.key` count, else `cert` and `key`; authorities are `ca.crt`, else
`cacert`, revoked certificates `ca.crl`, else `crl`. Authorities named NAME stand in the Secret NAME-cacert, else in
NAME.
Rule: what is broken is refused here with the Secret and what to do, before a proxy sees it. No message shows a value.
"""

from __future__ import annotations

import base64
from collections.abc import Callable, Iterable
from datetime import UTC, datetime

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import serialization
from msgspec import Struct

from argosy.model.ir import Pairs

AUTHORITIES = "-cacert"
_PAIRS = (("tls.crt", "tls.key"), ("cert", "key"))
_AUTHORITIES = ("ca.crt", "cacert")
_REVOKED = ("ca.crl", "crl")

Data = Callable[[str], Pairs | None]
"""The data of the Secret of a name, as stored (base64); None where there is none."""


class Unusable(ValueError):
    """A Secret is missing or broken; the message names it."""


class Unfitting(Unusable):
    """A certificate and a key, each good, that do not belong together."""

    def __init__(self, message: str, certificates: bytes) -> None:
        super().__init__(message)
        self.certificates = certificates


class KeyPair(Struct, frozen=True):
    """In PEM."""

    certificates: bytes  # the leaf first
    key: bytes


class Authorities(Struct, frozen=True):
    """In PEM."""

    certificates: bytes
    revoked: bytes = b""


def key_pair(name: str, data: Data) -> KeyPair:
    """Raises Unusable. `name` is namespace/name."""
    held = _held(name, data)
    for certificate, key in _PAIRS:
        if certificate in held and key in held:
            found = KeyPair(_decoded(name, certificate, held), _decoded(name, key, held))
            _check_pair(name, certificate, key, found)
            return found
    raise Unusable(f"Secret {name} has no tls.crt and tls.key (or cert and key); put them into its data")


def authorities(name: str, data: Data) -> Authorities:
    """Raises Unusable. `name` is namespace/name, without -cacert."""
    beside = f"{name}{AUTHORITIES}"
    place = beside if data(beside) is not None else name
    held = _held(place, data)
    found = next((key for key in _AUTHORITIES if key in held), "")
    if not found:
        raise Unusable(f"Secret {place} has no ca.crt (or cacert); put the authorities into its data")
    certificates = _decoded(place, found, held)
    _certificates(place, found, certificates)
    revoked = next((_decoded(place, key, held) for key in _REVOKED if key in held), b"")
    if revoked:
        try:
            x509.load_pem_x509_crl(revoked)
        except ValueError:
            raise Unusable(f"Secret {place}: its list of revoked certificates is not PEM") from None
    return Authorities(certificates, revoked)


def expired(pem: bytes, now: float) -> str:
    """Why certificates are out of date at `now` (Unix time); "" where they are not."""
    moment = datetime.fromtimestamp(now, UTC)
    for one in x509.load_pem_x509_certificates(pem):
        if one.not_valid_after_utc <= moment:
            return f"a certificate expired on {one.not_valid_after_utc:%Y-%m-%d}; renew it"
        if one.not_valid_before_utc > moment:
            return f"a certificate is not valid before {one.not_valid_before_utc:%Y-%m-%d %H:%M}; wait, or renew it"
    return ""


def _held(name: str, data: Data) -> dict[str, str]:
    held = data(name)
    if held is None:
        raise Unusable(f"there is no Secret {name}; create it")
    return dict(held)


def _decoded(name: str, key: str, held: dict[str, str]) -> bytes:
    try:
        return base64.b64decode("".join(held[key].split()), validate=True)
    except ValueError:
        raise Unusable(f"Secret {name}: {key} is not base64") from None


def _certificates(name: str, key: str, pem: bytes) -> Iterable[x509.Certificate]:
    try:
        return x509.load_pem_x509_certificates(pem)
    except ValueError:
        raise Unusable(f"Secret {name}: {key} is not a certificate in PEM") from None


def _check_pair(name: str, certificate: str, key: str, found: KeyPair) -> None:
    leaf = next(iter(_certificates(name, certificate, found.certificates)))
    try:
        private = serialization.load_pem_private_key(found.key, password=None)
        public = leaf.public_key()
    except (ValueError, TypeError, UnsupportedAlgorithm):
        raise Unusable(f"Secret {name}: {key} is not a private key in PEM, without a password") from None
    form = (serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo)
    if private.public_key().public_bytes(*form) != public.public_bytes(*form):
        raise Unfitting(
            f"Secret {name}: {key} is not the key of {certificate}; put the two that belong together",
            found.certificates,
        )
