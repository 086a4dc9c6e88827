"""The IdentityRegistrations of this moment, for the certificate authority: who may have which service account.

Followed in the store, so that a mapping that is taken away counts at once. While the store cannot be read, the last
known ones hold.
"""

from __future__ import annotations

import asyncio

from argosy.identity.attestation import Registration
from argosy.resources.identity import IdentityRegistration
from argosy.resources.kinds import decode
from argosy.runtime.log import logger
from argosy.store.base import Compacted, EventType, Key, Store, Stored, StoreError

RESOURCE = "identity.argosy.dev/identityregistrations"
RETRY_AFTER = 1.0

log = logger("identity")


class Registrations:
    def __init__(self, store: Store) -> None:
        self.store = store
        self._by_key: dict[Key, Registration] = {}

    def current(self) -> tuple[Registration, ...]:
        return tuple(self._by_key.values())

    async def load(self) -> int:
        """Reads all; the revision to watch from. Raises StoreError."""
        listing = await self.store.list(RESOURCE)
        self._by_key = {}
        for stored in listing.items:
            self._put(stored)
        return listing.revision

    async def follow(self, revision: int) -> None:
        """For ever."""
        while True:
            try:
                async for event in self.store.watch(revision, RESOURCE):
                    revision = event.stored.revision
                    if event.type is EventType.DELETED:
                        self._by_key.pop(event.stored.key, None)
                    else:
                        self._put(event.stored)
                revision = await self.load()
            except Compacted:
                revision = await self._reload()
            except StoreError as error:
                log.error("registrations unreadable: the last known ones hold", error=str(error))
                await asyncio.sleep(RETRY_AFTER)
                revision = await self._reload()

    async def _reload(self) -> int:
        while True:
            try:
                return await self.load()
            except StoreError:
                await asyncio.sleep(RETRY_AFTER)

    def _put(self, stored: Stored) -> None:
        """An object that cannot be read gives nobody anything."""
        self._by_key.pop(stored.key, None)
        try:
            obj = decode(stored.body)
        except ValueError as error:
            log.error("IdentityRegistration not usable", name=stored.key.name, error=str(error))
            return
        if isinstance(obj, IdentityRegistration):
            match = obj.spec.match
            self._by_key[stored.key] = Registration(
                name=f"{stored.key.namespace}/{stored.key.name}",
                unix_user=match.unix_user or "",
                unix_uid=match.unix_uid,
                service_accounts=obj.spec.service_accounts,
            )
