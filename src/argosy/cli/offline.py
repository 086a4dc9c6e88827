"""A root that is kept elsewhere, on the files of a server that does not run: its first authority, and its key's
leaving.

Rule: what is there is never replaced, and a key goes from one place to another, never to none.
"""

from __future__ import annotations

import os
import time
from pathlib import Path

from argosy.identity import issuer as issuers
from argosy.identity import trust
from argosy.identity.issuer import OFFLINE, Issuer
from argosy.runtime.certificates import BadRequest
from argosy.runtime.errors import Failure
from argosy.runtime.locks import FileLock
from argosy.runtime.paths import private_dir
from argosy.runtime.paths import state_dir as chosen
from argosy.server.settings import Role
from argosy.server.trust import pending_key

WAITING = "ca-request"


def new_csr(state_dir: str) -> str:
    """Of a mesh that has no authority yet: its key waits in `D/ca-request`."""
    state = private_dir(chosen(state_dir))
    if (state / "ca").exists():
        raise Failure(
            f"{state / 'ca'} has an authority already", "start the server, and ask it: argosy identity csr"
        )
    return issuers.issuing_csr_of(pending_key(private_dir(state / WAITING)))


def new_authority(state_dir: str, trust_domain: str, root_pem: str, chain_pem: str) -> None:
    """Writes `D/ca` for the first start of a mesh whose root's key was never here. Raises Failure."""
    from argosy.server.settings import trust_domain as checked

    state = private_dir(chosen(state_dir))
    if not (state / WAITING).is_dir():
        raise Failure(f"no certificate was asked for in {state}", "argosy identity csr", code=2)
    key = pending_key(state / WAITING)
    try:
        root = trust.read_root(root_pem, time.time())
        chain = issuers.checked_chain(chain_pem, root, key, time.time())
    except (BadRequest, ValueError) as error:
        raise Failure(str(error), "sign the request again, as an authority, below that root") from error
    checked(trust_domain)
    files = Issuer(root=root, chain=chain, key=key).files()
    issuers.write_directory(state / "ca", {**files, OFFLINE: b"{}"})
    for path in (state / WAITING).iterdir():
        path.unlink()
    (state / WAITING).rmdir()


def take_root(state_dir: str, target: Path) -> Path:
    """Moves the key of the root to `target`. Raises Failure."""
    state = chosen(state_dir)
    folder = state / "ca"
    if not (folder / "root.key").exists():
        raise Failure(f"the key of the root is not in {folder}", "argosy identity status names who holds it")
    if (folder / issuers.NEXT).exists():
        raise Failure("a rotation of the root is under way", "end it first: argosy identity rotate-root")
    locks = [FileLock(state / f"server-{role}.lock") for role in Role]
    try:
        for lock in locks:
            lock.acquire(f"a server runs on {state}, and has the key in memory", "stop it first")
        data = issuers.load(folder).files()["root.key"]
        _write_new(target, data)
        issuers.write(folder / OFFLINE, b"{}")
        (folder / "root.key").unlink()
    finally:
        for lock in locks:
            lock.release()
    return target


def _write_new(path: Path, data: bytes) -> None:
    try:
        handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    except OSError as error:
        raise Failure(
            f"cannot write {path}: {error.strerror}", "name a file that is not there yet"
        ) from error
    with os.fdopen(handle, "wb") as out:
        out.write(data)
        out.flush()
        os.fsync(out.fileno())
