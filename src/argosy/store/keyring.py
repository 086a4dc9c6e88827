"""The keys that secrets are sealed with: a file outside the database, read by its owner alone.

    argosy-keys 1
    3f9c01d2 <32 bytes in base64>

The first key seals; all of them open. A line is added above the others to change the key (`argosy store reseal
--new-key`), and taken out when nothing is sealed with it any more.
# NIST SP 800-38D: AES-256-GCM with random nonces of 96 bits, fewer than 2^32 for a key
"""

from __future__ import annotations

import base64
import binascii
import contextlib
import os
import re
import secrets
import stat
from pathlib import Path

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from argosy.runtime.errors import Failure
from argosy.runtime.paths import write_private

HEADER = "argosy-keys 1"
MAGIC = b"argosy:sealed:1:"
NONCE = 12


class UnknownKey(Exception):
    """Sealed with a key that is not in the file."""

    def __init__(self, name: str) -> None:
        super().__init__(name)
        self.name = name


class Tampered(Exception):
    """Not what was sealed, or not in its place."""


class Keyring:
    """Reads its file again when it has changed: another process may have added a key, or taken one out."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._keys: dict[str, AESGCM] = {}
        self._read_at: tuple[int, int] = (0, 0)
        self.load()

    @property
    def names(self) -> tuple[str, ...]:
        """The ids of the keys, the one that seals first."""
        return tuple(self._keys)

    def seal(self, body: bytes, place: bytes) -> bytes:
        """With the first key of the file as it is now: one that was taken out seals nothing. Raises Failure."""
        self.reload()
        name = self.names[0]
        nonce = os.urandom(NONCE)
        return MAGIC + name.encode() + b":" + nonce + self._keys[name].encrypt(nonce, body, place)

    def open(self, sealed: bytes, place: bytes) -> bytes:
        """Raises UnknownKey, Tampered."""
        name = sealed_with(sealed)
        if name not in self._keys:
            with contextlib.suppress(Failure):
                self.reload()
        if name not in self._keys:
            raise UnknownKey(name)
        rest = sealed[len(MAGIC) + len(name) + 1 :]
        try:
            return self._keys[name].decrypt(rest[:NONCE], rest[NONCE:], place)
        except (InvalidTag, ValueError) as error:
            raise Tampered from error

    def reload(self) -> None:
        """Reads the file where it has changed. Raises Failure, also where it is gone."""
        try:
            found = self.path.stat()
        except OSError:
            self._read_at = (0, 0)
        else:
            if (found.st_mtime_ns, found.st_ino) == self._read_at:
                return
        self.load()

    def load(self) -> None:
        """Raises Failure."""
        try:
            found = self.path.stat()
            text = self.path.read_text("ascii")
        except (OSError, UnicodeDecodeError) as error:
            raise Failure(
                f"cannot read the keys of the secrets, {self.path}: {error}",
                "put the file back, or mend its rights",
            ) from error
        if found.st_mode & (stat.S_IRWXG | stat.S_IRWXO):
            raise Failure(
                f"the keys of the secrets, {self.path}, may be read by others", f"chmod 600 {self.path}"
            )
        self._keys = _parse(self.path, text)
        self._read_at = (found.st_mtime_ns, found.st_ino)

    def add(self) -> str:
        """Puts a new key before the others; its id."""
        name, line = _new()
        _, *lines = self.path.read_text("ascii").splitlines()
        write_private(self.path, "\n".join([HEADER, line, *lines, ""]).encode())
        self.load()
        return name


def create(path: Path) -> None:
    """A file with one new key, unless there is a file: another process of this host may be as quick."""
    temporary = path.with_name(f".{path.name}.{secrets.token_hex(8)}.new")
    try:
        write_private(temporary, f"{HEADER}\n{_new()[1]}\n".encode())
        with contextlib.suppress(FileExistsError):
            os.link(temporary, path)
    except OSError as error:
        raise Failure(
            f"cannot write the keys of the secrets, {path}: {error.strerror}",
            "name another --secrets-key-file",
        ) from error
    finally:
        temporary.unlink(missing_ok=True)


def install(path: Path, text: str) -> None:
    """Makes these the keys of a file, before those that are in it: no key is ever lost. Raises Failure."""
    _parse(path, text)
    lines = text.splitlines()
    if path.exists():
        lines += [line for line in path.read_text("ascii").splitlines()[1:] if line not in lines]
    try:
        write_private(path, "\n".join([*lines, ""]).encode())
    except OSError as error:
        raise Failure(
            f"cannot write the keys of the secrets, {path}: {error.strerror}",
            "name another --secrets-key-file",
        ) from error


def is_sealed(body: bytes) -> bool:
    return body.startswith(MAGIC)


def sealed_with(sealed: bytes) -> str:
    """The id of the key; "" where that cannot be read."""
    found = re.match(rb"([0-9a-f]{1,32}):", sealed[len(MAGIC) : len(MAGIC) + 33])
    return found[1].decode() if found else ""


def _new() -> tuple[str, str]:
    name = secrets.token_hex(4)
    return name, f"{name} {base64.b64encode(AESGCM.generate_key(256)).decode()}"


def _parse(path: Path, text: str) -> dict[str, AESGCM]:
    header, *lines = text.splitlines() or [""]
    if header != HEADER:
        raise Failure(
            f"{path} is no file of keys that this Argosy knows (its first line is not {HEADER!r})",
            "put the right file there, or run the version that wrote it",
        )
    keys: dict[str, AESGCM] = {}
    for number, line in enumerate(lines, 2):
        if not line.strip() or line.startswith("#"):
            continue
        name, _, encoded = line.partition(" ")
        try:
            key = base64.b64decode(encoded.strip(), validate=True)
        except binascii.Error:
            key = b""
        if len(key) != 32 or not re.fullmatch(r"[0-9a-f]{1,32}", name) or name in keys:
            raise Failure(f"{path}: line {number} is no key", "put the file back as it was")
        keys[name] = AESGCM(key)
    if not keys:
        raise Failure(f"{path} has no key", "put the file back as it was")
    return keys
