"""Join tokens: what an operator gives to a further server, so that it and the mesh recognise each other.

    argosy-join-1.ID.SECRET.ROOT      ROOT: the root certificate of the mesh, DER in base64url; while one takes the
                                      place of another, both: ROOT.ROOT

Rule: the store holds a hash, `/internal/join-tokens/ID`, and the time when it ends. A token counts once: whoever marks
it as used, by compare and swap, has used it. With the root certificate in it, whoever holds it speaks to no stranger.
"""

from __future__ import annotations

import base64
import binascii
import contextlib
import hashlib
import hmac
import re
import secrets
import time
from collections.abc import Callable
from datetime import UTC, datetime

import msgspec
from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import serialization
from msgspec import Struct

from argosy.runtime.certificates import pem
from argosy.runtime.errors import Failure
from argosy.store.base import INTERNAL, Conflict, Key, NotFound, Store

RESOURCE = f"{INTERNAL}join-tokens"
PREFIX = "argosy-join-1"
SHORTEST, LONGEST = 60, 7 * 24 * 3600
LONGEST_TEXT = 16 << 10
REMEMBERED = 24 * 3600
"""Seconds for which a token that ended is known, so that whoever comes with it hears why it does not count."""

ID = re.compile(r"[0-9a-f]{12}")


class NoToken(Exception):
    """It does not count; says why, and nothing to who does not hold it."""


class JoinToken(Struct, frozen=True):
    """A token as it is given to a server. Never in a log."""

    id: str
    secret: str
    root: str  # PEM; while one takes the place of another, both

    @property
    def text(self) -> str:
        roots = x509.load_pem_x509_certificates(self.root.encode())
        ders = (one.public_bytes(serialization.Encoding.DER) for one in roots)
        return ".".join(
            (PREFIX, self.id, self.secret, *(base64.urlsafe_b64encode(der).decode() for der in ders))
        )


def parse(text: str, origin: str) -> JoinToken:
    """`origin`: where it came from. Raises Failure."""
    parts = text.strip().split(".")
    wrong = Failure(
        f"{origin} holds no join token",
        "take the file as `argosy join-token` wrote it, or make a new one",
    )
    if (
        len(text) > LONGEST_TEXT
        or len(parts) not in (4, 5)
        or parts[0] != PREFIX
        or not ID.fullmatch(parts[1])
    ):
        raise wrong
    try:
        roots = [
            x509.load_der_x509_certificate(base64.urlsafe_b64decode(one.encode("ascii"))) for one in parts[3:]
        ]
        for root in roots:
            root.verify_directly_issued_by(root)
    except (ValueError, binascii.Error, InvalidSignature) as error:
        raise wrong from error
    return JoinToken(parts[1], parts[2], "".join(map(pem, roots)))


class _Kept(Struct, frozen=True, kw_only=True):
    sha256: str  # of the secret
    expires: float  # Unix time
    used_at: float = 0.0
    used_by: str = ""


class JoinTokens:
    """The tokens of a store."""

    def __init__(self, store: Store, clock: Callable[[], float] = time.time) -> None:
        self.store = store
        self.clock = clock

    async def create(self, seconds: float, root: str) -> tuple[JoinToken, float]:
        """A new one, and the Unix time when it ends. Raises StoreError."""
        await self._forget()
        token = JoinToken(secrets.token_hex(6), secrets.token_urlsafe(32), root)
        expires = self.clock() + min(max(seconds, SHORTEST), LONGEST)
        kept = _Kept(sha256=hashed(token.secret), expires=expires)
        await self.store.create(_key(token.id), msgspec.json.encode(kept))
        return token, expires

    async def use(self, id: str, secret: str, server: str) -> None:
        """Uses a token up. Raises NoToken, StoreError."""
        unknown = NoToken("the join token is not known here: it is of another mesh, or ended long ago")
        if not ID.fullmatch(id):
            raise unknown
        stored = await self.store.get(_key(id))
        kept = msgspec.json.decode(stored.body, type=_Kept) if stored else _Kept(sha256="", expires=0.0)
        if not hmac.compare_digest(kept.sha256.encode(), hashed(secret).encode()) or stored is None:
            raise unknown
        if kept.used_at:
            raise NoToken(
                f"the join token was used by {kept.used_by} at {moment(kept.used_at)}: it counts once"
            )
        if kept.expires <= self.clock():
            raise NoToken(f"the join token ended at {moment(kept.expires)}")
        used = msgspec.structs.replace(kept, used_at=self.clock(), used_by=server)
        try:
            await self.store.update(stored.key, msgspec.json.encode(used), stored.revision)
        except (Conflict, NotFound):
            raise NoToken("the join token was used at the same moment by another server") from None

    async def _forget(self) -> None:
        """Those that ended long ago."""
        for stored in (await self.store.list(RESOURCE)).items:
            with contextlib.suppress(msgspec.MsgspecError, Conflict, NotFound):
                if msgspec.json.decode(stored.body, type=_Kept).expires < self.clock() - REMEMBERED:
                    await self.store.delete(stored.key, stored.revision)


def _key(id: str) -> Key:
    return Key(RESOURCE, "", id)


def hashed(secret: str) -> str:
    return hashlib.sha256(secret.encode("utf-8", "surrogateescape")).hexdigest()


def moment(unix: float) -> str:
    return datetime.fromtimestamp(int(unix), UTC).strftime("%Y-%m-%d %H:%M:%S UTC")
