"""The IssuingPolicies of this moment, for the certificate authority: what may be issued at all.

Followed in the store. One that cannot be read permits nothing: it was written to take something away. While the store
cannot be read, the last known ones hold.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable

from argosy.identity.issuing import IssuingPolicy, covers
from argosy.identity.names import Identity
from argosy.resources.duration import parse_duration
from argosy.resources.issuing import IssuingPolicy as Object
from argosy.resources.kinds import decode
from argosy.runtime.log import logger
from argosy.store.base import Compacted, EventType, Key, Store, Stored, StoreError

RESOURCE = "identity.argosy.dev/issuingpolicies"
RETRY_AFTER = 1.0

log = logger("identity")


class IssuingPolicies:
    def __init__(self, store: Store) -> None:
        self.store = store
        self.on_changed: list[Callable[[], None]] = []
        self._by_key: dict[Key, IssuingPolicy] = {}

    def current(self) -> tuple[IssuingPolicy, ...]:
        return tuple(self._by_key.values())

    def denies(self, identity: Identity) -> bool:
        """Whether ANY policy denies it by name. (That none allows it takes nothing from who holds a certificate.)"""
        return any(
            covers(policy.deny, identity.namespace, identity.service_account)
            for policy in self._by_key.values()
        )

    async def load(self) -> int:
        """Reads all; the revision to watch from. Raises StoreError."""
        listing = await self.store.list(RESOURCE)
        self._by_key = {stored.key: read(stored) for stored in listing.items}
        self._tell()
        return listing.revision

    def _tell(self) -> None:
        for tell in self.on_changed:
            tell()

    async def follow(self, revision: int) -> None:
        """For ever."""
        while True:
            try:
                async for event in self.store.watch(revision, RESOURCE):
                    revision = event.stored.revision
                    if event.type is EventType.DELETED:
                        self._by_key.pop(event.stored.key, None)
                    else:
                        self._by_key[event.stored.key] = read(event.stored)
                    self._tell()
            except Compacted:
                pass
            except StoreError as error:
                log.error("issuing policies unreadable: the last known ones hold", error=str(error))
                await asyncio.sleep(RETRY_AFTER)
            with contextlib.suppress(StoreError):
                revision = await self.load()


def read(stored: Stored) -> IssuingPolicy:
    """What an object says; nothing is permitted where that cannot be read."""
    name = stored.key.name
    try:
        obj = decode(stored.body)
        if not isinstance(obj, Object):
            raise ValueError("it is of another kind")
        longest = obj.spec.max_lifetime
        return IssuingPolicy(
            name=name,
            allow=obj.spec.allow,
            deny=obj.spec.deny,
            maximum_ttl=parse_duration(longest) // 1000 if longest else 0,
        )
    except ValueError as error:
        log.error("IssuingPolicy not usable: nothing is issued", name=name, error=str(error))
        return IssuingPolicy(name=name, deny=("*/*",))
