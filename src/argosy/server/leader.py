"""One of the servers that serve proxies leads: it alone writes conditions, and takes lost workloads out of the mesh.

    /internal/leaders/proxies     held (a lease) by the leader; its body is the leader's id, its revision the term

Rule: what only one may do depends on `leads`; when the leader dies, another takes over within the lease's time. Whoever
led and lost it does nothing more, until it holds the object again: that is another term.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable

from argosy.runtime.log import logger
from argosy.store.base import (
    INTERNAL,
    Compacted,
    Conflict,
    EventType,
    Key,
    NotFound,
    Store,
    Stored,
    StoreError,
)
from argosy.store.holding import keep_present

RESOURCE = f"{INTERNAL}leaders"
KEY = Key(RESOURCE, "", "proxies")
LEASE = 10.0
RETRY_AFTER = 1.0

log = logger("fleet")


class Leadership:
    """`own`: the id of this server, `DIRECTORY-ROLES`."""

    def __init__(self, store: Store, own: str, lease: float = LEASE) -> None:
        self.store = store
        self.own = own
        self.lease = lease
        self.leads = False
        self.leader = ""  # the id of the leader, as far as it is known; "" for none
        self.term = 0
        self.on_changed: list[Callable[[], None]] = []

    async def run(self) -> None:
        """Stands for election and follows who leads, for ever."""
        await self._clear()
        await asyncio.gather(
            keep_present(self.store, KEY, self.own.encode, self.lease, self._held), self._follow()
        )

    async def _clear(self) -> None:
        """What an earlier instance of this state directory holds is nobody's: the role was locked anew."""
        with contextlib.suppress(StoreError):
            stored = await self.store.get(KEY)
            if stored is not None and _directory(stored.body.decode(errors="replace")) == _directory(
                self.own
            ):
                with contextlib.suppress(NotFound, Conflict):
                    await self.store.delete(KEY, stored.revision)

    def _held(self, held: bool) -> None:
        if held == self.leads:
            return
        self.leads = held
        task = asyncio.current_task()
        if held or task is None or not task.cancelling():
            log.info("leads" if held else "leads no more", server=self.own)
            self._tell()

    async def _follow(self) -> None:
        while True:
            try:
                revision = await self.store.revision()
                self._see(await self.store.get(KEY))
                async for event in self.store.watch(revision, RESOURCE):
                    self._see(None if event.type is EventType.DELETED else event.stored)
            except Compacted:
                continue
            except StoreError:
                await asyncio.sleep(RETRY_AFTER)

    def _see(self, stored: Stored | None) -> None:
        seen = (stored.body.decode(errors="replace"), stored.revision) if stored else ("", 0)
        if seen != (self.leader, self.term):
            self.leader, self.term = seen
            self._tell()

    def _tell(self) -> None:
        for tell in self.on_changed:
            tell()


def _directory(server: str) -> str:
    return server.partition("-")[0]
