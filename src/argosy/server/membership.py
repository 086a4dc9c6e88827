"""Which mesh a store belongs to: `/internal/mesh/root` is its `Trust`: which roots it trusts, and below which it
issues.

Rule: whoever opens a store holds an authority under a root that it names, or makes the first one. A server with a
root of its own on the store of others would cut off every workload; it is told how to join them instead.
"""

from __future__ import annotations

import contextlib
import re
import secrets
import shutil
from pathlib import Path

import msgspec
from cryptography import x509

from argosy.identity.authority import Authority, open_authority
from argosy.identity.issuer import NEXT
from argosy.identity.trust import Trust, fingerprint
from argosy.runtime.certificates import pem
from argosy.runtime.errors import Failure
from argosy.runtime.locks import alone
from argosy.runtime.log import logger
from argosy.runtime.paths import write_private
from argosy.server.settings import TRUST_DOMAIN, Settings
from argosy.store.base import INTERNAL, AlreadyExists, Conflict, Key, NotFound, Store, Stored

MESH = Key(f"{INTERNAL}mesh", "", "root")
JOIN = (
    "join it: make a token there with `argosy join-token`, and start with "
    "--join HOST:PORT --join-token-file FILE (docs/replicas.md)"
)

ATTEMPTS = 5

log = logger("server")


def server_id(state: Path) -> str:
    """What this state directory is called among the servers of the mesh; the same after a restart."""
    path = state / "server.id"
    with alone(state / "setup.lock"):
        try:
            known = path.read_text().strip()
        except FileNotFoundError:
            known = ""
        if not re.fullmatch(r"[0-9a-f]{12}", known):
            known = secrets.token_hex(6)
            write_private(path, known.encode() + b"\n")
    return known


async def member(store: Store, settings: Settings, server: str) -> Authority:
    """The authority of this server: of the mesh of the store, or of a new mesh where the store has none.

    `server`: its id. Raises Failure, StoreError.
    """
    stored = await store.get(MESH)
    mesh = decoded(stored) if stored else None
    folder = settings.state / "ca"
    with alone(
        settings.state / "setup.lock"
    ):  # roles that start at once on a new directory make one authority
        made = not folder.is_dir() or not any(folder.iterdir())
        if made and mesh is not None and mesh.server != server:
            raise Failure(f"the store belongs to a mesh, and {settings.state} is no part of it", JOIN)
        if mesh is not None and not made and settings.trust_domain not in ("", mesh.trust_domain):
            raise Failure(
                f"--trust-domain {settings.trust_domain}: the mesh of this store is {mesh.trust_domain}",
                "leave the option out",
            )
        domain = settings.trust_domain or (mesh.trust_domain if mesh else TRUST_DOMAIN)
        authority = open_authority(folder, domain, settings.cert_ttl, settings.max_cert_ttl)
    held = frozenset(one.fingerprint for one in authority.issuers) | rotated_to(folder)
    ours = Trust(
        root=authority.base.fingerprint,
        trust_domain=authority.trust_domain,
        server=server,
        roots=(pem(authority.base.root),),
    )
    if not await _agreed(store, ours, held, made):
        if made:
            shutil.rmtree(folder)
            raise Failure("another server began this mesh at the same moment", JOIN)
        raise await _stranger(store, folder, held)
    return authority


def rotated_to(folder: Path) -> frozenset[str]:
    """Fingerprints of roots for which this server was made ready."""
    try:
        return frozenset((fingerprint(load_root(folder / NEXT / "root.crt")),))
    except (OSError, ValueError):
        return frozenset()


def load_root(path: Path) -> x509.Certificate:
    """Raises OSError, ValueError."""
    return x509.load_pem_x509_certificate(path.read_bytes())


async def _stranger(store: Store, folder: Path, held: frozenset[str]) -> Failure:
    stored = await store.get(MESH)
    mesh = decoded(stored) if stored else None
    if mesh is not None and held & set(mesh.retired):
        return Failure(
            f"the root of the mesh was rotated while this server was away: {folder} is of the one before",
            f"move {folder} away, and {JOIN}",
        )
    return Failure(
        f"the store belongs to a mesh with another root than {folder}",
        f"choose another --state-dir, and {JOIN}",
    )


async def _agreed(store: Store, ours: Trust, held: frozenset[str], made: bool) -> bool:
    """Whether the store's mesh is ours: written there now, or before. `held`: fingerprints of the roots below which
    this server has something to sign with; `made`: our root is new."""
    for _ in range(ATTEMPTS):
        stored = await store.get(MESH)
        with contextlib.suppress(AlreadyExists, Conflict, NotFound):  # another was as quick: look again
            if stored is None:
                await store.create(MESH, msgspec.json.encode(ours))
                return True
            mesh = decoded(stored)
            current = {
                mesh.root,
                mesh.issues,
            }  # who joins while one takes the place of another begins with the new one
            if mesh.trust_domain == ours.trust_domain and current & held:
                return True
            if not made or mesh.server != ours.server:
                return False
            await store.update(MESH, msgspec.json.encode(ours), stored.revision)
            log.warning(
                "a new root was made: every workload needs a new proof", before=mesh.root, now=ours.root
            )
            return True
    return False


def decoded(stored: Stored) -> Trust:
    """Raises Failure."""
    try:
        return msgspec.json.decode(stored.body, type=Trust)
    except msgspec.MsgspecError as error:
        raise Failure(
            f"which mesh the store belongs to cannot be read: {error}", "was it written by a newer version?"
        ) from error
