"""JWT-SVIDs: the keys that a server signs them with, and how one is made.

    D/ca/jwt.json     the keys of this server (0600): the one of now, and the next                       never leave it
    /internal/jwt-keys/SERVER   their public halves, in the store: all of them together are the bundle of the trust
    domain

Rule: a key signs only once it has been public for `PREPARE`, and stays public for as long as something that it signed
may live. Facts: SPIFFE JWT-SVID (ES256; `sub`, `aud` and `exp` are there; bundles are JWK sets with the use
jwt-svid).
"""

from __future__ import annotations

import json
import secrets
import time
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any, Protocol

import jwt as pyjwt
import msgspec
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec
from msgspec import Struct

from argosy.identity.protocol import JwtResponse
from argosy.runtime.certificates import DAY, key_pem, must_be_private
from argosy.runtime.errors import Failure
from argosy.runtime.paths import write_private

FILE = "jwt.json"
ALGORITHM = "ES256"
USE = "jwt-svid"
LIFETIME = 300  # seconds of a token, as with SPIRE
SIGNS_FOR = 30 * DAY
PREPARE = 600
MOST_AUDIENCES, LONGEST_AUDIENCE = 8, 512


class JwtSigner(Protocol):
    """What signs JWT-SVIDs for identities that were proven: our own keys. An external one would be another."""

    def sign(self, spiffe_id: str, audience: Sequence[str]) -> JwtResponse:
        """Raises ValueError for what is not signed."""
        ...


class Key(Struct, frozen=True, kw_only=True):
    kid: str
    pem: str
    begins: float  # Unix time from which it signs
    ends: float  # until which it signs


class PublicKey(Struct, frozen=True, kw_only=True):
    """What the store holds of a key."""

    jwk: dict[str, str]
    until: float  # Unix time: nothing that it signed lives longer


class _Kept(Struct, frozen=True, kw_only=True):
    format: int = 1
    keys: tuple[Key, ...] = ()


class JwtKeys:
    """The keys of one server. Raises Failure where the file cannot be used."""

    def __init__(self, directory: Path, clock: Callable[[], float] = time.time) -> None:
        self.path = directory / FILE
        self.clock = clock
        self.keys = self._load()
        self._parsed: dict[str, ec.EllipticCurvePrivateKey] = {}
        if not self.usable():
            now = clock()
            self._save((*self.keys, _new(now, now)))

    def usable(self) -> list[Key]:
        now = self.clock()
        return [key for key in self.keys if key.begins <= now < key.ends]

    def renew_if_due(self) -> bool:
        """Whether the keys are others now, so that they must be published."""
        now = self.clock()
        newest = max(self.keys, key=lambda key: key.ends)
        if newest.ends - now > DAY and all(key.ends + LIFETIME > now for key in self.keys):
            return False
        kept = tuple(key for key in self.keys if key.ends + LIFETIME > now)
        self._save(kept if newest.ends - now > DAY else (*kept, _new(now, now + PREPARE)))
        return True

    def public(self) -> list[PublicKey]:
        return [
            PublicKey(jwk=_jwk(key.kid, self._private(key)), until=key.ends + LIFETIME) for key in self.keys
        ]

    def sign(self, spiffe_id: str, audience: Sequence[str]) -> JwtResponse:
        """Raises ValueError for what is not signed."""
        check_audience(audience)
        usable = self.usable()
        if not usable:
            raise ValueError("there is no key that signs now")
        key = max(usable, key=lambda one: one.ends)
        now = int(self.clock())
        claims = {"sub": spiffe_id, "aud": list(dict.fromkeys(audience)), "iat": now, "exp": now + LIFETIME}
        token = pyjwt.encode(claims, self._private(key), algorithm=ALGORITHM, headers={"kid": key.kid})
        return JwtResponse(token=token, expires_at=float(now + LIFETIME))

    def _private(self, key: Key) -> ec.EllipticCurvePrivateKey:
        if key.kid not in self._parsed:
            found = serialization.load_pem_private_key(key.pem.encode(), password=None)
            if not isinstance(found, ec.EllipticCurvePrivateKey):
                raise Failure(f"{self.path} holds a key of another kind", "move it away: another is made")
            self._parsed[key.kid] = found
        return self._parsed[key.kid]

    def _load(self) -> tuple[Key, ...]:
        try:
            data = self.path.read_bytes()
        except FileNotFoundError:
            return ()
        must_be_private(self.path, "move it away: other keys are made")
        try:
            kept = msgspec.json.decode(data, type=_Kept)
        except msgspec.MsgspecError as error:
            raise Failure(f"{self.path} is damaged: {error}", "move it away: other keys are made") from error
        if kept.format > 1:
            raise Failure(f"{self.path} was written by a newer version", "run that version")
        return kept.keys

    def _save(self, keys: tuple[Key, ...]) -> None:
        try:
            write_private(self.path, msgspec.json.encode(_Kept(keys=keys)))
        except OSError as error:
            raise Failure(f"cannot write {self.path}: {error.strerror}", "free some disk space") from error
        self.keys = keys


def check_audience(audience: Sequence[str]) -> None:
    """Raises ValueError."""
    if not audience or len(audience) > MOST_AUDIENCES:
        raise ValueError(f"audience: name 1 to {MOST_AUDIENCES}")
    for one in audience:
        if not one or len(one) > LONGEST_AUDIENCE or not one.isprintable():
            raise ValueError(f"audience: one is empty, longer than {LONGEST_AUDIENCE}, or cannot be printed")


def jwks(keys: Iterable[PublicKey], now: float) -> str:
    """A bundle: the keys that may have signed something that still lives, in a fixed order."""
    live = {key.jwk["kid"]: key.jwk for key in keys if key.until > now}
    return json.dumps({"keys": [live[kid] for kid in sorted(live)]})


def _new(now: float, begins: float) -> Key:
    key = ec.generate_private_key(ec.SECP256R1())
    return Key(kid=secrets.token_urlsafe(16), pem=key_pem(key).decode(), begins=begins, ends=now + SIGNS_FOR)


def _jwk(kid: str, key: ec.EllipticCurvePrivateKey) -> dict[str, str]:
    found: dict[str, Any] = json.loads(pyjwt.algorithms.ECAlgorithm.to_jwk(key.public_key()))
    return {**{name: str(found[name]) for name in ("kty", "crv", "x", "y")}, "kid": kid, "use": USE}
