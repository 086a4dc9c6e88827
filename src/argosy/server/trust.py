"""What the mesh trusts, in this process: followed in the store, told to the authority, and moved on by an operator.

    /internal/mesh/root ── watch ──> TrustKeeper ──> Authority (what is trusted, what is signed with) ──> all who asked
    /internal/standing/SERVER   how far each server is: what it trusts, below which roots it can issue

Who decides a phase is the operator's command, by compare and swap on the one object; that nobody is left behind is
judged there (`rotation.py`) from what servers and agents say. Each server makes itself ready for the new root: who has
the root's key signs for itself, the others ask, and where the root is kept elsewhere an operator brings the
certificate.

Rule: the files follow the store, never the other way round; `D/ca/next` becomes `D/ca` when the old root is dropped.
"""

from __future__ import annotations

import asyncio
import contextlib
import shutil
from collections.abc import Callable
from pathlib import Path

import grpc
import msgspec
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from msgspec import Struct

from argosy.identity import issuer as issuers
from argosy.identity.authority import Authority
from argosy.identity.issuer import NEXT, PENDING, Issuer
from argosy.identity.trust import Phase, Trust, fingerprint, root_of
from argosy.runtime.certificates import BadRequest, key_pem, must_be_private, pem
from argosy.runtime.errors import Failure
from argosy.runtime.locks import alone
from argosy.runtime.log import logger
from argosy.server.fleet import AskIssuing, Fleet
from argosy.server.membership import MESH, decoded
from argosy.store.base import INTERNAL, Compacted, Conflict, EventType, Key, NotFound, Store, StoreError

STANDING = f"{INTERNAL}standing"
RETRY_AFTER = 1.0
PREPARE_EVERY = 2.0
ANSWER_WITHIN = 20.0
ATTEMPTS = 5

log = logger("identity")


class Standing(Struct, frozen=True, kw_only=True):
    """How far one server is; of an older version there is none."""

    trusts: tuple[str, ...]  # fingerprints
    ready: tuple[str, ...]  # of the roots below which it can issue
    issues: str  # of the root below which it issues
    holds: tuple[str, ...]  # of the roots whose keys it has
    ends: float  # Unix time: of what it issues with


class TrustKeeper:
    """`on_changed` hears of every change, once the authority has it."""

    def __init__(self, store: Store, authority: Authority, state: Path, fleet: Fleet) -> None:
        self.store = store
        self.authority = authority
        self.fleet = fleet
        self.on_changed: list[Callable[[], None]] = []
        self._state = state
        self._folder = state / "ca"
        self._told: Standing | None = None
        self._read_at = 0
        self.trust = Trust(root="", trust_domain=authority.trust_domain, server="")

    # --- following ---

    async def load(self) -> int:
        """Reads what the mesh trusts; the revision to watch from. Raises StoreError, Failure."""
        listing = await self.store.list(MESH.resource)
        for stored in listing.items:
            if stored.key == MESH:
                self._apply(decoded(stored))
        return listing.revision

    async def follow(self, revision: int) -> None:
        """For ever."""
        while True:
            try:
                async for event in self.store.watch(revision, MESH.resource):
                    revision = event.stored.revision
                    if event.type is not EventType.DELETED and event.stored.key == MESH:
                        self._apply(decoded(event.stored))
                        await self.tell()
            except Compacted:
                pass
            except StoreError as error:
                log.error("what the mesh trusts cannot be read: the last known holds", error=str(error))
                await asyncio.sleep(RETRY_AFTER)
            with contextlib.suppress(StoreError):
                revision = await self.load()

    async def run(self) -> None:
        """Makes this server ready for what comes, and says how far it is, for ever."""
        while True:
            self._look_at_files()
            with contextlib.suppress(StoreError):
                await self.prepare()
                await self.tell()
            await asyncio.sleep(PREPARE_EVERY)

    def _look_at_files(self) -> None:
        """Another process of this state directory may have got another issuing certificate."""
        if self._written() == self._read_at:
            return
        try:
            with alone(self._state / "setup.lock"):
                self.authority.base = self._load(self._folder)
        except Failure as failure:  # half-way: it is looked at again
            log.warning("authority not read again", reason=failure.what)
            return
        self._apply(self.trust)

    def _written(self) -> int:
        """When the issuing certificate was written (nanoseconds); 0: there is none at this moment."""
        try:
            return (self._folder / "issuing.crt").stat().st_mtime_ns
        except OSError:
            return 0

    def _apply(self, trust: Trust) -> None:
        """Raises Failure where this server was left behind."""
        authority, before = self.authority, (self.trust, self.authority.issuer)
        with alone(self._state / "setup.lock"):
            self._settle(trust)
            self._read_at = self._written()
        issuer = authority.base
        if trust.rotation is not None and trust.rotation.phase is Phase.ISSUE and authority.following:
            issuer = authority.following
        roots = tuple(x509.load_pem_x509_certificate(one.encode()) for one in trust.roots)
        authority.adopt(roots or (authority.base.root,), issuer, trust.version)
        self.trust = trust
        if (trust, issuer) == before:
            return
        if before[0].root:
            phase = str(trust.rotation.phase) if trust.rotation else "none"
            log.warning(
                "trust changed", rotation=phase, issues=short(issuer.fingerprint), version=trust.version
            )
        for tell in self.on_changed:
            tell()

    def _settle(self, trust: Trust) -> None:
        """The files as they must be."""
        authority, following = self.authority, self._following()
        if trust.rotation is None:
            if authority.base.fingerprint != trust.root:
                if following is not None and following.fingerprint == trust.root:
                    issuers.promote(self._folder)
                elsewhere = self._load(self._folder)  # promoted here, or by another process of ours
                if elsewhere.fingerprint != trust.root:
                    raise Failure(
                        "the root of the mesh was rotated, and this server has nothing to issue with below the new one",
                        f"move {self._folder} away, and let it join again (docs/replicas.md)",
                    )
                authority.base = elsewhere
            elif following is not None and not _begins(self._folder):
                shutil.rmtree(self._folder / NEXT)  # of a rotation that was given up
            authority.following = None
        elif following is not None and following.fingerprint == trust.rotation.new:
            authority.following = following

    def _following(self) -> Issuer | None:
        folder = self._folder / NEXT
        return issuers.load(folder, "it is below a new root") if folder.is_dir() else None

    def _load(self, folder: Path) -> Issuer:
        return issuers.load(folder, "it may be elsewhere")

    # --- moving on ---

    async def change(self, step: Callable[[Trust], Trust]) -> Trust:
        """Takes a step by compare and swap. Raises what `step` raises, StoreError."""
        for _ in range(ATTEMPTS):
            stored = await self.store.get(MESH)
            if stored is None:
                raise NotFound("the store belongs to no mesh")
            after = step(decoded(stored))
            try:
                await self.store.update(MESH, msgspec.json.encode(after), stored.revision)
            except (Conflict, NotFound):
                continue
            self._apply(after)
            await self.tell()
            return after
        raise Conflict("the trust of the mesh changes all the time: try again")

    def new_root(self) -> str:
        """Makes a root, and what this server issues with below it (PEM of the root). Raises Failure."""
        authority, now = self.authority, self.authority.clock()
        folder = self._folder / NEXT
        with alone(self._state / "setup.lock"):
            if not folder.is_dir():  # of an attempt that ended before the mesh knew of it: the same again
                root, key = issuers.new_root(authority.trust_domain, now)
                issuers.write_directory(folder, issuers.below(root, key, now).files())
            (folder / BEGINS).touch(mode=0o600)
            found = issuers.load(folder)
        return pem(found.root)

    def begun(self) -> None:
        """The mesh knows of the root that was made."""
        (self._folder / NEXT / BEGINS).unlink(missing_ok=True)

    async def prepare(self) -> None:
        """Something to issue with below the new root, of whoever holds its key."""
        rotation, authority = self.trust.rotation, self.authority
        if rotation is None or authority.base.fingerprint == rotation.new:
            return
        with alone(self._state / "setup.lock"):
            following = self._following()
        if authority.following is None and (following is None or following.fingerprint != rotation.new):
            await self._ask(rotation.new)
        if authority.following is None or authority.issuer is not authority.following:
            self._apply(self.trust)

    async def _ask(self, new: str) -> None:
        root = next((one for one in self.authority.trusted if fingerprint(one) == new), None)
        standing = await self.standings()
        key = ec.generate_private_key(ec.SECP256R1())
        for server in self.fleet.others:
            if root is None or not server.xds or new not in standing.get(server.id, _NOTHING).holds:
                continue
            try:
                question = AskIssuing(issuers.csr_of(key), new)
                answer = await self.fleet.ask(server, question, ANSWER_WITHIN)
                chain = issuers.checked_chain(msgspec.json.decode(answer, type=str), root, key)
            except (grpc.RpcError, TimeoutError, OSError, msgspec.MsgspecError, BadRequest) as error:
                log.warning("no issuing certificate yet", server=server.xds, reason=str(error)[:300])
                continue
            self._keep_next(Issuer(root=root, chain=chain, key=key))
            return

    def _keep_next(self, issuer: Issuer) -> None:
        with alone(self._state / "setup.lock"):
            shutil.rmtree(self._folder / NEXT, ignore_errors=True)
            issuers.write_directory(self._folder / NEXT, issuer.files())
        log.info("ready for the new root", root=short(issuer.fingerprint))

    # --- an issuing certificate that is signed elsewhere ---

    def pending_csr(self) -> str:
        """Asks for an issuing certificate for a key that waits for it (PEM). Raises Failure."""
        return issuers.issuing_csr_of(pending_key(self._folder))

    def install(self, chain_pem: str) -> str:
        """Takes an issuing certificate for the key that waits, below a root of the mesh; the fingerprint of that root.

        Raises BadRequest, Failure.
        """
        key = pending_key(self._folder)
        root = root_of(chain_pem, self.authority.trusted) or self.authority.trusted[0]
        chain = issuers.checked_chain(chain_pem, root, key, self.authority.clock())
        issuer = Issuer(root=root, chain=chain, key=key)
        rotation = self.trust.rotation
        if rotation is not None and self.authority.base.fingerprint != rotation.new:
            if issuer.fingerprint != rotation.new:
                raise BadRequest("a rotation is under way: end it, or install one below the new root")
            self._keep_next(issuer)
            self.authority.following = None
        else:
            with alone(self._state / "setup.lock"):
                self.authority.base = install_files(self._folder, issuer, self.authority.base)
        (self._folder / PENDING).unlink(missing_ok=True)
        self._apply(self.trust)
        return issuer.fingerprint

    # --- how far everybody is ---

    def standing(self) -> Standing:
        authority = self.authority
        return Standing(
            trusts=tuple(fingerprint(one) for one in authority.trusted),
            ready=tuple(one.fingerprint for one in authority.issuers),
            issues=authority.issuer.fingerprint,
            holds=authority.roots_held,
            ends=authority.issuer.ends,
        )

    async def tell(self) -> None:
        """Says how far this server is. Raises StoreError."""
        now = self.standing()
        if now == self._told:
            return
        key, body = Key(STANDING, "", self.fleet.own.id), msgspec.json.encode(now)
        try:
            await self.store.update(key, body)
        except NotFound:
            await self.store.create(key, body)
        self._told = now

    async def standings(self) -> dict[str, Standing]:
        """Of the servers that are present, by id. Raises StoreError."""
        present, found = self.fleet.present(), {}
        for stored in (await self.store.list(STANDING)).items:
            if stored.key.name in present:
                with contextlib.suppress(msgspec.MsgspecError):
                    found[stored.key.name] = msgspec.json.decode(stored.body, type=Standing)
        return found


BEGINS = ".begins"
_NOTHING = Standing(trusts=(), ready=(), issues="", holds=(), ends=0.0)


def _begins(folder: Path) -> bool:
    return (folder / NEXT / BEGINS).exists()


def pending_key(folder: Path) -> ec.EllipticCurvePrivateKey:
    """The key that waits for its certificate; made where there is none. Raises Failure."""
    from cryptography.hazmat.primitives import serialization

    path = folder / PENDING
    if not path.exists():
        issuers.write(path, key_pem(ec.generate_private_key(ec.SECP256R1())))
    must_be_private(path, "remove it, and make another request")
    try:
        key = serialization.load_pem_private_key(path.read_bytes(), password=None)
    except (OSError, ValueError, TypeError) as error:
        raise Failure(f"{path} cannot be read", "remove it, and make another request") from error
    if not isinstance(key, ec.EllipticCurvePrivateKey):
        raise Failure(f"{path} is no ECDSA key", "remove it, and make another request")
    return key


def install_files(folder: Path, issuer: Issuer, before: Issuer) -> Issuer:
    """Another issuing key and certificate below the same root; killed at any point, one pair or the other is whole."""
    whole = msgspec.structs.replace(issuer, root_key=before.root_key)
    staged = folder / NEXT
    shutil.rmtree(staged, ignore_errors=True)
    issuers.write_directory(staged, whole.files())
    issuers.promote(folder)
    return whole


def short(fingerprint: str) -> str:
    """A fingerprint for people."""
    return fingerprint[:16]
