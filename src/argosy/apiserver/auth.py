"""Who is asking: the Authenticate protocol, and bearer tokens.

Rule: tokens are compared in constant time, live in files of mode 0600, and never appear in a message or a log.
"""

from __future__ import annotations

import csv
import hashlib
import hmac
import os
import secrets
import stat
from collections.abc import Awaitable, Callable, Mapping
from pathlib import Path

from msgspec import Struct
from starlette.requests import Request

from argosy.runtime.errors import Failure
from argosy.runtime.paths import write_private

SHORTEST_TOKEN = 16
LONGEST_TOKEN_FILE = 4 << 20
AUTHENTICATED = "system:authenticated"
"""The group of everybody who has proven who it is."""


class User(Struct, frozen=True):
    name: str
    groups: tuple[str, ...] = ()
    uid: str = ""
    expires: float = 0.0  # Unix time when what proved it ends; 0: it does not


Authenticate = Callable[[Request], User | Awaitable[User | None] | None]
"""The user of a request, or None where it does not prove one."""


class TokenTable:
    """Users by their tokens, of which the table keeps digests under a key of its own.

    A token is found by that digest and then compared in constant time: how long it takes says nothing of any token.
    """

    def __init__(self, users: Mapping[str, User] | None = None) -> None:
        self._key = secrets.token_bytes(32)
        self._known: dict[bytes, tuple[bytes, User]] = {}
        for token, user in (users or {}).items():
            self.put(digest(token), user)

    def put(self, hashed: bytes, user: User) -> None:
        """`hashed`: the SHA-256 of the token. One that is another's already stays that one's."""
        _, there = self._known.get(self._place(hashed), (b"", user))
        if there.name == user.name:
            self._known[self._place(hashed)] = (hashed, user)

    def remove(self, hashed: bytes, name: str) -> None:
        """Where it is the token of the user of that name."""
        place = self._place(hashed)
        if place in self._known and self._known[place][1].name == name:
            del self._known[place]

    def find(self, token: str) -> User | None:
        given = digest(token)
        known, user = self._known.get(self._place(given), (b"", None))
        return user if hmac.compare_digest(known, given) else None

    def _place(self, hashed: bytes) -> bytes:
        return hmac.digest(self._key, hashed, "sha256")


def bearer_token(request: Request) -> str | None:
    """The token of `Authorization: Bearer TOKEN`; "" where the header is another or holds none; None without one."""
    header = request.headers.get("authorization")
    if header is None:
        return None
    scheme, _, token = header.partition(" ")
    return token.strip() if scheme.lower() == "bearer" else ""


def bearer_tokens(users: Mapping[str, User]) -> Callable[[Request], User | None]:
    """Accepts `Authorization: Bearer TOKEN` for the tokens of `users`."""
    table = TokenTable(users)

    def authenticate(request: Request) -> User | None:
        token = bearer_token(request)
        return table.find(token) if token else None

    return authenticate


def digest(token: str) -> bytes:
    return hashlib.sha256(token.encode("utf-8", "surrogateescape")).digest()


def new_token() -> str:
    return secrets.token_urlsafe(32)


def token_file(path: Path) -> str:
    """The token in a file, which is made with a new one where there is none. Raises Failure."""
    if not path.exists():
        token = new_token()
        write_private(path, token.encode() + b"\n")
        return token
    token = _private_text(path, 4096).strip()
    if len(token) < SHORTEST_TOKEN or not token.isascii() or not token.isprintable():
        raise Failure(f"the token file {path} holds no token", f"remove it: a new one is made ({path})")
    return token


def token_list(path: Path) -> dict[str, User]:
    """The users of a `--token-file`, Kubernetes' CSV: `token,user,uid,"group,group"`; groups may be left out.

    Raises Failure, which never shows a token.
    """
    found: dict[str, User] = {}
    rows = csv.reader(_private_text(path, LONGEST_TOKEN_FILE).splitlines())
    try:
        for number, row in enumerate(rows, 1):
            if not row or row[0].startswith("#"):
                continue
            token, name, uid, *groups = (field.strip() for field in (*row, *[""] * (3 - len(row))))
            if len(token) < SHORTEST_TOKEN or not name or len(row) < 3:
                raise Failure(
                    f"{path}: line {number}: is not token,user,uid with a token of {SHORTEST_TOKEN} characters or more",
                    'write each line as token,user,uid,"group,group"',
                )
            if token in found:
                raise Failure(f"{path}: line {number}: has the token of an earlier line", "give each its own")
            named = tuple(group.strip() for group in ",".join(groups).split(",") if group.strip())
            found[token] = User(name, named, uid)
    except csv.Error as error:
        raise Failure(
            f"{path} is not CSV: {error}", 'write each line as token,user,uid,"group,group"'
        ) from None
    return found


def _private_text(path: Path, most: int) -> str:
    """Raises Failure where others may read it."""
    try:
        handle = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except OSError as error:
        raise Failure(
            f"cannot read the token file {path}: {error.strerror}", "mend its permissions"
        ) from error
    with os.fdopen(handle, "rb") as opened:
        if os.fstat(handle).st_mode & (stat.S_IRWXG | stat.S_IRWXO):
            raise Failure(f"others may read the token file {path}", f"chmod 600 {path}")
        return opened.read(most).decode("utf-8", "replace")
