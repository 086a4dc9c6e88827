"""Join tokens of hosts: with one of them another machine joins the mesh, once.

The token is bound to a name of a host; what that host may be is for IdentityRegistrations to say (`host:name=NAME`).
The store holds a hash, `/internal/host-tokens/ID`, and when it ends. Whoever marks it as used, by compare and swap,
has used it; a second use is refused, and logged with who was first. With the roots in it, whoever holds it speaks to
no stranger.
"""

from __future__ import annotations

import contextlib
import hmac
import re
import secrets
import time
from collections.abc import Callable

import msgspec
from msgspec import Struct
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Route

from argosy.apiserver.status import Refusal, bad_request
from argosy.identity.attestors import Unproven
from argosy.identity.host_token import HostToken
from argosy.identity.proofs import HOST, Proven
from argosy.runtime.log import logger
from argosy.server.join_tokens import ID, hashed, moment
from argosy.store.base import INTERNAL, Conflict, Key, NotFound, Store, StoreError

RESOURCE = f"{INTERNAL}host-tokens"
ATTESTOR = "join-token"
SHORTEST, LONGEST = 60, 7 * 24 * 3600
REMEMBERED = 7 * 24 * 3600
"""Seconds for which a token that ended or was used is listed, and whoever comes with it is told apart in the log."""
MOST_REQUEST = 1024

_HOST = re.compile(r"[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?")

log = logger("identity")


class Kept(Struct, frozen=True, kw_only=True):
    """What the store holds."""

    host: str
    sha256: str  # of the secret
    created: float  # Unix time
    expires: float
    used_at: float = 0.0
    used_by: str = ""  # the address, as gRPC names it


class HostTokenState(Struct, frozen=True, kw_only=True):
    """What may be seen of a token: nothing that is secret."""

    id: str
    host: str
    state: str  # waiting | used | ended
    created: float
    expires: float
    used_at: float = 0.0
    used_by: str = ""


class HostTokens:
    """The tokens of a store."""

    def __init__(self, store: Store, clock: Callable[[], float] = time.time) -> None:
        self.store = store
        self.clock = clock
        self.problem: Callable[[str], str] = lambda _: ""
        """Why a host may not be one of the mesh now; "" where it may. Asked before a token is used up."""

    async def create(self, host: str, seconds: float, roots: str, address: str) -> tuple[HostToken, float]:
        """A new one, and the Unix time when it ends. `roots`: PEM; `address`: of the CA port. Raises StoreError."""
        await self._forget()
        token = HostToken(secrets.token_hex(6), host, secrets.token_urlsafe(32), roots, address)
        now = self.clock()
        expires = now + min(max(seconds, SHORTEST), LONGEST)
        kept = Kept(host=host, sha256=hashed(token.secret), created=now, expires=expires)
        await self.store.create(_key(token.id), msgspec.json.encode(kept))
        return token, expires

    async def use(self, proof: str, peer: str) -> Proven:
        """`proof`: ID.SECRET. Uses the token up. Raises Unproven."""
        id, _, secret = proof.partition(".")
        try:
            return await self._use(id, secret, peer)
        except StoreError as error:
            raise Unproven(f"the join token cannot be looked up now: {error}") from error

    async def _use(self, id: str, secret: str, peer: str) -> Proven:
        stored = await self.store.get(_key(id)) if ID.fullmatch(id) else None
        kept = _read(stored.body) if stored else None
        known = kept.sha256 if kept else ""
        if not hmac.compare_digest(known.encode(), hashed(secret).encode()) or kept is None or stored is None:
            raise Unproven(
                "the join token is not known: invented, deleted, of another mesh, or ended long ago"
            )
        if kept.used_at:
            raise Unproven(
                f"the join token {id} of host {kept.host} was used at {moment(kept.used_at)} by {kept.used_by}, and "
                f"now again by {peer}: one of the two has no right to it"
            )
        if kept.expires <= self.clock():
            raise Unproven(f"the join token {id} of host {kept.host} ended at {moment(kept.expires)}")
        if problem := self.problem(kept.host):
            raise Unproven(f"the join token {id} is not used up: {problem}")
        used = msgspec.structs.replace(kept, used_at=self.clock(), used_by=peer)
        try:
            await self.store.update(stored.key, msgspec.json.encode(used), stored.revision)
        except (Conflict, NotFound):
            raise Unproven(
                f"the join token {id} of host {kept.host} was used at the same moment by another"
            ) from None
        log.info("join token used", token=id, host=kept.host, peer=peer)
        return Proven(selectors=(f"{ATTESTOR}:id={id}", f"{HOST}{kept.host}"), host=kept.host)

    async def all(self) -> list[HostTokenState]:
        """Raises StoreError."""
        found = []
        for stored in (await self.store.list(RESOURCE)).items:
            if (kept := _read(stored.body)) is not None:
                state = "used" if kept.used_at else "ended" if kept.expires <= self.clock() else "waiting"
                found.append(
                    HostTokenState(
                        id=stored.key.name,
                        host=kept.host,
                        state=state,
                        created=kept.created,
                        expires=kept.expires,
                        used_at=kept.used_at,
                        used_by=kept.used_by,
                    )
                )
        return sorted(found, key=lambda one: one.created)

    async def delete(self, id: str) -> bool:
        """Whether there was one. Raises StoreError."""
        try:
            await self.store.delete(_key(id))
        except NotFound:
            return False
        return True

    async def _forget(self) -> None:
        """Those that ended long ago."""
        for stored in (await self.store.list(RESOURCE)).items:
            kept = _read(stored.body)
            if kept is None or kept.expires < self.clock() - REMEMBERED:
                with contextlib.suppress(Conflict, NotFound):
                    await self.store.delete(stored.key, stored.revision)


def routes(
    tokens: HostTokens, roots: Callable[[], str], ca_addresses: Callable[[], list[str]], prefix: str
) -> tuple[BaseRoute, ...]:
    """POST …/hosttokens {"host", "seconds"} -> {"id", "token", "expires", "servers"}; GET …/hosttokens; DELETE
    …/hosttokens/ID. Who may: as with everything of the group, roles say."""

    async def create(request: Request) -> Response:
        body = bytearray()
        async for chunk in request.stream():
            body += chunk
            if len(body) > MOST_REQUEST:
                raise bad_request(f"the request is longer than {MOST_REQUEST} bytes")
        try:
            asked = msgspec.json.decode(body, type=_Asked)
        except msgspec.MsgspecError as error:
            raise bad_request(f"the body is no request for a join token: {error}") from error
        if not _HOST.fullmatch(asked.host):
            raise bad_request(f"host: {asked.host[:80]!r} is no DNS label")
        if not SHORTEST <= asked.seconds <= LONGEST:
            raise bad_request(f"seconds: a number from {SHORTEST} to {LONGEST}")
        servers = ca_addresses()
        token, expires = await tokens.create(
            asked.host, asked.seconds, roots(), servers[0] if servers else ""
        )
        log.info("join token made", token=token.id, host=asked.host, expires=int(expires))
        answer = {"id": token.id, "token": token.text, "expires": expires, "servers": servers}
        return Response(
            msgspec.json.encode(answer),
            status_code=201,
            media_type="application/json",
            headers={"cache-control": "no-store"},
        )

    async def list_all(request: Request) -> Response:
        return Response(msgspec.json.encode(await tokens.all()), media_type="application/json")

    async def delete(request: Request) -> Response:
        id = request.path_params["id"]
        if not ID.fullmatch(id) or not await tokens.delete(id):
            raise Refusal(404, f"there is no join token {id[:40]!r}")
        log.info("join token deleted", token=id)
        return Response(b"{}", media_type="application/json")

    return (
        Route(f"{prefix}/hosttokens", create, methods=["POST"]),
        Route(f"{prefix}/hosttokens", list_all, methods=["GET"]),
        Route(f"{prefix}/hosttokens/{{id}}", delete, methods=["DELETE"]),
    )


class _Asked(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    host: str
    seconds: float = 3600.0


def _read(body: bytes) -> Kept | None:
    try:
        return msgspec.json.decode(body, type=Kept)
    except msgspec.MsgspecError:
        return None


def _key(id: str) -> Key:
    return Key(RESOURCE, "", id)
