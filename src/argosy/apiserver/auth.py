"""Who is asking: the Authenticate protocol, and bearer tokens.

Rule: tokens are compared in constant time, live in files of mode 0600, and never appear in a message or a log.
"""

from __future__ import annotations

import hashlib
import hmac
import os
import secrets
import stat
from collections.abc import Callable, Mapping
from pathlib import Path

from msgspec import Struct
from starlette.requests import Request

from argosy.runtime.errors import Failure
from argosy.runtime.paths import write_private

SHORTEST_TOKEN = 16


class User(Struct, frozen=True):
    name: str
    groups: tuple[str, ...] = ()


Authenticate = Callable[[Request], User | None]
"""The user of a request, or None where it does not prove one."""


def bearer_tokens(users: Mapping[str, User]) -> Authenticate:
    """Accepts `Authorization: Bearer TOKEN` for the tokens of `users`."""
    known = [(_digest(token), user) for token, user in users.items()]

    def authenticate(request: Request) -> User | None:
        scheme, _, token = request.headers.get("authorization", "").partition(" ")
        if scheme.lower() != "bearer" or not token:
            return None
        given, found = _digest(token.strip()), None
        for digest, user in known:  # to the end, whichever matches: the time taken says nothing
            if hmac.compare_digest(given, digest):
                found = user
        return found

    return authenticate


def token_file(path: Path) -> str:
    """The token in a file, which is made with a new one where there is none. Raises Failure."""
    try:
        handle = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except FileNotFoundError:
        token = secrets.token_urlsafe(32)
        write_private(path, token.encode() + b"\n")
        return token
    except OSError as error:
        raise Failure(
            f"cannot read the token file {path}: {error.strerror}", "mend its permissions"
        ) from error
    with os.fdopen(handle, "rb") as opened:
        if os.fstat(handle).st_mode & (stat.S_IRWXG | stat.S_IRWXO):
            raise Failure(f"others may read the token file {path}", f"chmod 600 {path}")
        token = opened.read(4096).decode("ascii", "replace").strip()
    if len(token) < SHORTEST_TOKEN or not token.isascii() or not token.isprintable():
        raise Failure(f"the token file {path} holds no token", f"remove it: a new one is made ({path})")
    return token


def _digest(token: str) -> bytes:
    return hashlib.sha256(token.encode("utf-8", "surrogateescape")).digest()
