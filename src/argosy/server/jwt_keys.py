"""The keys of JWT-SVIDs among the servers of a mesh: each publishes its own in the store, and gives out those of all.

`/internal/jwt-keys/SERVER`: the public keys of a server, each with the time until which it counts. What has ended is
left out, whoever published it.
"""

from __future__ import annotations

import time
from collections.abc import Callable

import msgspec

from argosy.identity.jwt_svids import JwtKeys, PublicKey, jwks
from argosy.runtime.log import logger
from argosy.store.base import INTERNAL, AlreadyExists, Conflict, Key, NotFound, Store, StoreError

RESOURCE = f"{INTERNAL}jwt-keys"
FRESH = 2.0

log = logger("identity")


class PublishedKeys:
    """`server`: what this one is called among the others."""

    def __init__(self, store: Store, server: str, clock: Callable[[], float] = time.time) -> None:
        self.store = store
        self.server = server
        self.keys: JwtKeys | None = None
        """Of a server that signs."""
        self.clock = clock
        self._bundle = ""
        self._read_at = -float("inf")

    async def publish(self) -> None:
        """Raises StoreError."""
        if self.keys is None:
            return
        key, body = Key(RESOURCE, "", self.server), msgspec.json.encode(self.keys.public())
        try:
            there = await self.store.get(key)
            if there is None:
                await self.store.create(key, body)
            elif there.body != body:
                await self.store.update(key, body, there.revision)
        except (AlreadyExists, Conflict, NotFound):
            log.info("keys published by another process of this server meanwhile")
        self._read_at = -float("inf")

    async def renew_if_due(self) -> None:
        if self.keys is not None and self.keys.renew_if_due():
            try:
                await self.publish()
            except StoreError as error:
                log.warning("keys of JWT-SVIDs not published", reason=str(error))

    async def bundle(self) -> str:
        """The key set of the trust domain, of now. Raises StoreError where it was never read."""
        now = self.clock()
        if now - self._read_at >= FRESH or now < self._read_at:
            try:
                found: list[PublicKey] = []
                for stored in (await self.store.list(RESOURCE)).items:
                    found += _read(stored.body)
                self._bundle, self._read_at = jwks(found, now), now
            except StoreError:
                if not self._bundle:
                    raise
        return self._bundle


def _read(body: bytes) -> list[PublicKey]:
    try:
        return msgspec.json.decode(body, type=list[PublicKey])
    except msgspec.MsgspecError:
        log.error("published keys cannot be read")
        return []
