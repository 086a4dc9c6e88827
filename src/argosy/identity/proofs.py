"""What was proven, and what may be had for it: selectors, the registrations over them, and the tokens that carry a
proof from where it was made to where a certificate is signed.

    proof ── attestor ──> Proven (selectors) ── token ──> SIGN ── Registration: ALL its selectors ──> service account

Rule: what a workload claims never decides. A selector is `NAME:KEY=VALUE`; the name says who vouches for it (`unix`:
the kernel of the server's host; `host`: a host that joined; `join-token`; else an Attestor object), and only the
value of a registration's selector may hold `*`. What a certificate was given for stands in it (`COMMENT`), so that
its renewal is judged by the registrations of then: what was taken away is not renewed.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import pwd
import re
import secrets
import time
from collections.abc import Callable, Iterable
from fnmatch import fnmatchcase
from functools import lru_cache

import msgspec
from cryptography import x509
from msgspec import Struct

TOKEN_LIFETIME = 60
NONCE_LIFETIME = 60
MOST_USED = 100_000
HOST = "host:name="
HOSTS = "argosy-hosts"
"""The namespace of the identities of hosts: `spiffe://TD/ns/argosy-hosts/sa/HOST`. No registration gives one to a
workload."""
COMMENT = x509.ObjectIdentifier("2.16.840.1.113730.1.13")
"""Of a certificate's extension, not critical: a comment (an IA5String, as Netscape had it, which every program can
read or passes over). Ours is the list of selectors that it was given for, in JSON."""


class Proven(Struct, frozen=True, kw_only=True):
    """What somebody has proven."""

    selectors: tuple[str, ...] = ()
    host: str = ""
    """A host that may have its certificate for this, once."""

    def __str__(self) -> str:
        return " ".join(self.selectors)[:400]


def unix_user(uid: int) -> Proven:
    """By the kernel of the server's host."""
    return Proven(selectors=(f"unix:uid={uid}",))


def joined_host(name: str) -> Proven:
    """By the certificate of a host."""
    return Proven(selectors=(f"{HOST}{name}",))


class Registration(Struct, frozen=True, kw_only=True):
    """What one IdentityRegistration says: whoever has proven this may have these service accounts.

    `service_accounts` are `namespace/name`, either with `*`. `only`: a namespace beyond which it gives nothing.
    """

    name: str
    unix_user: str = ""
    unix_uid: int | None = None
    selectors: tuple[str, ...] = ()
    service_accounts: tuple[str, ...] = ()
    only: str = ""

    def matched(self, proven: Iterable[str]) -> tuple[str, ...]:
        """The selectors that it holds for; () where it does not. ALL that is set must hold; nothing set holds for
        nobody."""
        shown = tuple(proven)
        wanted = [f"unix:uid={self.unix_uid}"] if self.unix_uid is not None else []
        if self.unix_user:
            wanted.append(f"unix:uid={_uid_of(self.unix_user)}")
        used: list[str] = []
        for exact in wanted:
            if exact not in shown:
                return ()
            used.append(exact)
        for pattern in self.selectors:
            if not (found := [each for each in shown if selects(pattern, each)]):
                return ()
            used += found
        return tuple(dict.fromkeys(used))

    def covers(self, namespace: str, service_account: str) -> bool:
        """ANY of the patterns matches; `*` stands for any part of a namespace or name, never for the slash."""
        if self.only not in ("", namespace) or namespace == HOSTS:
            return False
        for pattern in self.service_accounts:
            wanted_namespace, _, wanted_name = pattern.partition("/")
            if fnmatchcase(namespace, wanted_namespace) and fnmatchcase(service_account, wanted_name):
                return True
        return False


def selects(pattern: str, selector: str) -> bool:
    """`k8s:ns=shop-*` and `k8s:ns=shop-eu`: name and key are the same, `*` in the value stands for any text."""
    head, equals, value = pattern.partition("=")
    shown_head, shown_equals, shown_value = selector.partition("=")
    if not equals or not shown_equals or head != shown_head:
        return False
    return value == shown_value or ("*" in value and _glob(value).fullmatch(shown_value) is not None)


@lru_cache(maxsize=4096)
def _glob(value: str) -> re.Pattern[str]:
    # Stars in a row are one: many `.*` beside each other would take for ever.
    parts = [re.escape(part) for part in re.split(r"\*+", value)]
    return re.compile(".*".join(parts), re.DOTALL)


def used_for(
    proven: Proven, namespace: str, service_account: str, registrations: Iterable[Registration]
) -> tuple[str, ...]:
    """The selectors for which this service account may be had; () where it may not. ANY registration that says so is
    enough."""
    for each in registrations:
        if each.covers(namespace, service_account) and (used := each.matched(proven.selectors)):
            return used
    return ()


def knows_host(host: str, registrations: Iterable[Registration]) -> bool:
    """Whether some registration speaks of the host by its whole name: operators delete that to be rid of the host."""
    return any(f"{HOST}{host}" in each.selectors for each in registrations)


def _uid_of(user: str) -> int | None:
    try:
        return pwd.getpwnam(user).pw_uid
    except KeyError:
        return None


# --- in a certificate -----------------------------------------------------------------------------------------------


def comment(used: Iterable[str]) -> x509.UnrecognizedExtension:
    text = json.dumps(list(used)).encode("ascii")
    length = len(text)
    size = bytes((length,)) if length < 128 else b"\x82" + length.to_bytes(2, "big")
    return x509.UnrecognizedExtension(COMMENT, b"\x16" + size + text)


def given_for(certificate_pem: bytes) -> tuple[str, ...] | None:
    """The selectors that a certificate of ours, which TLS has verified, was given for; None where it does not say, as
    those of versions before."""
    certificate = x509.load_pem_x509_certificate(certificate_pem)
    try:
        found = certificate.extensions.get_extension_for_oid(COMMENT).value
    except x509.ExtensionNotFound:
        return None
    data = found.value if isinstance(found, x509.UnrecognizedExtension) else b""
    begins = 4 if data[1:2] == b"\x82" else 2
    try:
        return msgspec.json.decode(data[begins:], type=tuple[str, ...])
    except msgspec.MsgspecError:
        return ()


# --- tokens ---------------------------------------------------------------------------------------------------------


class BadToken(ValueError):
    """A token that proves nothing; says why."""


class _Claims(Struct, frozen=True):
    proven: Proven
    expires_at: float
    id: str


class Tokens:
    """Short-lived tokens: who holds one has proven what it says. Made and checked in one process."""

    def __init__(self, clock: Callable[[], float] = time.time, key: bytes | None = None) -> None:
        self.clock = clock
        self.key = key or secrets.token_bytes(32)
        self._used = _Used(clock)

    def issue(self, proven: Proven) -> tuple[str, float]:
        """(token, Unix time of its end)."""
        expires_at = self.clock() + TOKEN_LIFETIME
        claims = msgspec.json.encode(_Claims(proven, expires_at, secrets.token_urlsafe(12)))
        return f"{_base64(claims)}.{_base64(self._mac(claims))}", expires_at

    def proven(self, token: str) -> Proven:
        """What the token proves. Raises BadToken."""
        return self._claims(token).proven

    def enrol(self, token: str, host: str) -> None:
        """Takes the host's certificate for the token: once. Raises BadToken."""
        claims = self._claims(token)
        if claims.proven.host != host:
            raise BadToken(f"the token is not for the host {host}")
        if not self._used.first(claims.id, claims.expires_at):
            raise BadToken("the certificate of the host was had for this token already")

    def _claims(self, token: str) -> _Claims:
        claims_text, _, mac_text = token.partition(".")
        try:
            claims = base64.urlsafe_b64decode(claims_text)
            mac = base64.urlsafe_b64decode(mac_text)
        except ValueError:
            raise BadToken("the token is malformed") from None
        if not hmac.compare_digest(mac, self._mac(claims)):
            raise BadToken("the token was not issued by this server since it started")
        found = msgspec.json.decode(claims, type=_Claims)
        if found.expires_at <= self.clock():
            raise BadToken("the token has expired")
        return found

    def _mac(self, claims: bytes) -> bytes:
        return hmac.new(self.key, b"token\0" + claims, hashlib.sha256).digest()


class Nonces:
    """Challenges: made without remembering them, and good once, at this server, for `NONCE_LIFETIME`."""

    def __init__(self, clock: Callable[[], float] = time.time) -> None:
        self.clock = clock
        self._key = secrets.token_bytes(32)
        self._used = _Used(clock)

    def issue(self) -> str:
        body = f"{secrets.token_urlsafe(18)}.{self.clock() + NONCE_LIFETIME:.3f}"
        return f"{body}.{self._mac(body)}"

    def use(self, nonce: str) -> None:
        """Uses it up. Raises BadToken."""
        body, _, mac = nonce.rpartition(".")
        if not hmac.compare_digest(mac.encode(), self._mac(body).encode()):
            raise BadToken("the nonce was not made by this server since it started")
        ends = float(body.partition(".")[2])
        if ends <= self.clock():
            raise BadToken("the nonce is too old")
        if not self._used.first(nonce, ends):
            raise BadToken("the nonce was used before: somebody replays a proof")

    def _mac(self, body: str) -> str:
        return hmac.new(self._key, b"nonce\0" + body.encode(), hashlib.sha256).hexdigest()


class _Used:
    """What was used, until it would not count anyway; bounded: full, nothing more is taken for unused."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._ends: dict[str, float] = {}

    def first(self, what: str, ends: float) -> bool:
        if len(self._ends) >= MOST_USED:
            now = self._clock()
            self._ends = {each: end for each, end in self._ends.items() if end > now}
        if what in self._ends or len(self._ends) >= MOST_USED:
            return False
        self._ends[what] = ends
        return True


def _base64(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).decode()
