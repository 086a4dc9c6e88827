"""Proof of who asks on one host: a Unix socket, whose caller the kernel names, and tokens bound to that Unix user.

The boundary on a host is the Unix user. IdentityRegistration objects say which service accounts a user may have; they
come in as plain `Registration` values. One line in (`AttestRequest`), one line out (`AttestResponse`), then the
connection closes. Sizes and times are bounded, because anybody on the host may connect.
"""

from __future__ import annotations

import asyncio
import base64
import contextlib
import hashlib
import hmac
import os
import pwd
import secrets
import socket
import struct
import time
from collections.abc import Callable, Iterable
from fnmatch import fnmatchcase
from pathlib import Path

import msgspec
from msgspec import Struct

from argosy.identity.protocol import AttestRequest, AttestResponse
from argosy.runtime.errors import Failure
from argosy.runtime.log import logger

TOKEN_LIFETIME = 60
LONGEST_LINE = 4096
LONGEST_WAIT = 5.0
MOST_CALLERS = 64
_CREDENTIALS = struct.Struct("3i")  # struct ucred: pid, uid, gid

log = logger("identity")


class Registration(Struct, frozen=True, kw_only=True):
    """What one IdentityRegistration says: this Unix user may have these service accounts.

    `service_accounts` are `namespace/name`, either with `*`.
    """

    name: str
    unix_user: str = ""
    unix_uid: int | None = None
    service_accounts: tuple[str, ...] = ()

    def is_for(self, uid: int) -> bool:
        """ALL that is set must hold; nothing set holds for nobody."""
        if self.unix_uid is None and not self.unix_user:
            return False
        if self.unix_uid is not None and self.unix_uid != uid:
            return False
        return not self.unix_user or _uid_of(self.unix_user) == uid

    def covers(self, namespace: str, service_account: str) -> bool:
        """ANY of the patterns matches; `*` stands for any part of a namespace or name, never for the slash."""
        for pattern in self.service_accounts:
            wanted_namespace, _, wanted_name = pattern.partition("/")
            if fnmatchcase(namespace, wanted_namespace) and fnmatchcase(service_account, wanted_name):
                return True
        return False


def allowed(uid: int, namespace: str, service_account: str, registrations: Iterable[Registration]) -> bool:
    """May this Unix user have this service account? ANY registration that says so is enough."""
    return any(r.is_for(uid) and r.covers(namespace, service_account) for r in registrations)


def _uid_of(user: str) -> int | None:
    try:
        return pwd.getpwnam(user).pw_uid
    except KeyError:
        return None


# --- tokens ---------------------------------------------------------------------------------------------------------


class BadToken(ValueError):
    """A token that proves nothing; says why."""


class _Claims(Struct, frozen=True):
    uid: int
    expires_at: float


class Tokens:
    """Short-lived proofs `this caller is Unix user N`, made and checked in one process: the key never leaves it."""

    def __init__(self, clock: Callable[[], float] = time.time, key: bytes | None = None) -> None:
        self.clock = clock
        self.key = key or secrets.token_bytes(32)

    def issue(self, uid: int) -> tuple[str, float]:
        """(token, Unix time of its end)."""
        expires_at = self.clock() + TOKEN_LIFETIME
        claims = msgspec.json.encode(_Claims(uid, expires_at))
        return f"{_base64(claims)}.{_base64(self._mac(claims))}", expires_at

    def uid(self, token: str) -> int:
        """The Unix user that the token proves. Raises BadToken."""
        claims_text, _, mac_text = token.partition(".")
        try:
            claims = base64.urlsafe_b64decode(claims_text)
            mac = base64.urlsafe_b64decode(mac_text)
        except ValueError:
            raise BadToken("the token is malformed") from None
        if not hmac.compare_digest(mac, self._mac(claims)):
            raise BadToken("the token was not issued by this server since it started")
        proven = msgspec.json.decode(claims, type=_Claims)
        if proven.expires_at <= self.clock():
            raise BadToken("the token has expired")
        return proven.uid

    def _mac(self, claims: bytes) -> bytes:
        return hmac.new(self.key, claims, hashlib.sha256).digest()


def _base64(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).decode()


# --- the socket -----------------------------------------------------------------------------------------------------


class AttestationSocket:
    """Serves the attestation socket. `answer(uid)` makes the response for a caller the kernel has named."""

    def __init__(self, path: Path, answer: Callable[[int], AttestResponse]) -> None:
        self.path = path
        self.answer = answer
        self.server: asyncio.Server | None = None
        self.callers = 0

    async def start(self) -> None:
        """Raises Failure where the socket cannot be made. The caller holds the lock of the state directory: a socket
        that is already there is a dead server's."""
        if len(os.fsencode(self.path)) > 107:
            raise Failure(
                f"attestation socket {self.path}: the path is longer than the 107 bytes of a Unix socket",
                "choose a shorter --attest-socket",
            )
        if self.path.exists() and not self.path.is_socket():
            raise Failure(f"attestation socket {self.path}: a file is in its place", "remove it")
        try:
            self.path.unlink(missing_ok=True)
            self.server = await asyncio.start_unix_server(self._serve, self.path, limit=LONGEST_LINE)
            self.path.chmod(0o666)  # anybody may ask: the kernel names the caller, the registrations decide
        except OSError as error:
            raise Failure(
                f"attestation socket {self.path}: {error.strerror or error}", "choose another --attest-socket"
            ) from error

    async def stop(self) -> None:
        if self.server is None:
            return
        self.server.close()
        self.path.unlink(missing_ok=True)
        self.server = None

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.callers += 1
        try:
            if self.callers <= MOST_CALLERS:
                async with asyncio.timeout(LONGEST_WAIT):
                    await self._converse(reader, writer)
        except (TimeoutError, OSError, asyncio.IncompleteReadError):
            pass  # the caller went away, or says nothing: it may come again
        finally:
            self.callers -= 1
            writer.close()
            with contextlib.suppress(OSError):
                await writer.wait_closed()

    async def _converse(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        uid = _caller(writer)
        try:
            line = await reader.readuntil(b"\n")
            msgspec.json.decode(line, type=AttestRequest)
            response = self.answer(uid)
        except asyncio.LimitOverrunError:
            response = _refusal(f"the request is longer than {LONGEST_LINE} bytes")
        except msgspec.MsgspecError as error:
            response = _refusal(f"the request is not an AttestRequest: {error}")
        log.debug("attested", uid=uid, error=response.error)
        writer.write(msgspec.json.encode(response) + b"\n")
        await writer.drain()


def _caller(writer: asyncio.StreamWriter) -> int:
    """The user at the other end, as the kernel knows it (at the time it connected)."""
    connection = writer.get_extra_info("socket")
    data = connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _CREDENTIALS.size)
    _, uid, _ = _CREDENTIALS.unpack(data)
    return int(uid)


def _refusal(error: str) -> AttestResponse:
    return AttestResponse(
        token="", expires_at=0, trust_domain="", bundle="", ca_address="", xds_address="", error=error
    )
