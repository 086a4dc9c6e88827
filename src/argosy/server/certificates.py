"""Who holds which certificate: one record a workload in the store, so that every server knows it, whoever signed.

    /internal/certificates/NAMESPACE/WORKLOAD      the certificate that it was given last

Written beside the signing, never before the answer: a store that is away holds nobody up. What waits is bounded by the
number of workloads, as the last one of each counts. A record goes when its workload leaves, or a day after it ended.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Callable, Iterator

import msgspec
from msgspec import Struct

from argosy.runtime.log import logger
from argosy.store.base import INTERNAL, AlreadyExists, Key, NotFound, Store, StoreError

RESOURCE = f"{INTERNAL}certificates"
AT_ONCE = 16
RETRY_AFTER = 2.0
KEPT_AFTER_END = 24 * 3600
SWEEP_EVERY = 600.0

log = logger("identity")


class Held(Struct, frozen=True, kw_only=True):
    """The certificate that a workload was given last."""

    identity: str  # SPIFFE
    namespace: str
    workload: str
    service_account: str
    serial: str  # hexadecimal
    issued_at: float  # Unix time
    not_after: float
    root: str  # fingerprint of the root that it is below
    issuer: str  # serial of the issuing certificate, hexadecimal
    issuer_ends: float
    trusts: tuple[str, ...]  # fingerprints of the roots that came with it
    proof: str
    server: str  # id of the server that signed

    @property
    def name(self) -> str:
        return f"{self.workload}.{self.namespace}"


class Certificates:
    """The records. `put` and `forget` never wait; `run` writes."""

    def __init__(self, store: Store, clock: Callable[[], float] = time.time) -> None:
        self.store = store
        self.clock = clock
        self._waiting: dict[Key, Held | None] = {}  # None: it goes
        self._changed = asyncio.Event()

    def put(self, held: Held) -> None:
        self._waiting[_key(held.namespace, held.workload)] = held
        self._changed.set()

    def forget(self, namespace: str, workload: str) -> None:
        """It left, and its key with it."""
        self._waiting[_key(namespace, workload)] = None
        self._changed.set()

    async def run(self) -> None:
        """Writes for ever."""
        told = False
        while True:
            await self._changed.wait()
            self._changed.clear()
            batch, self._waiting = iter(self._waiting.items()), {}
            failures = [
                one for one in await asyncio.gather(*(self._some(batch) for _ in range(AT_ONCE))) if one
            ]
            if failures:
                if not told:
                    log.warning("who holds which certificate is not recorded now", error=str(failures[0]))
                self._changed.set()
                await asyncio.sleep(RETRY_AFTER)
            told = bool(failures)

    async def _some(self, batch: Iterator[tuple[Key, Held | None]]) -> StoreError | None:
        """Writes what is left of a batch, beside others; what could not be written waits again."""
        failure = None
        for key, held in batch:
            try:
                await self._write(key, held)
            except StoreError as error:
                failure = error
                self._waiting.setdefault(key, held)
        return failure

    async def _write(self, key: Key, held: Held | None) -> None:
        with contextlib.suppress(NotFound, AlreadyExists):
            if held is None:
                await self.store.delete(key)
                return
            body = msgspec.json.encode(held)
            try:
                await self.store.update(key, body)
            except NotFound:
                await self.store.create(key, body)

    async def all(self) -> list[Held]:
        """Of all workloads, by name. Raises StoreError."""
        found = []
        for stored in (await self.store.list(RESOURCE)).items:
            with contextlib.suppress(msgspec.MsgspecError):
                found.append(msgspec.json.decode(stored.body, type=Held))
        return sorted(found, key=lambda held: (held.namespace, held.workload))

    async def sweep_for_ever(self) -> None:
        """By every server: two of them do no harm."""
        while True:
            await asyncio.sleep(SWEEP_EVERY)
            with contextlib.suppress(StoreError):
                await self.sweep()

    async def sweep(self) -> None:
        """Forgets what ended long ago. Raises StoreError."""
        now = self.clock()
        for stored in (await self.store.list(RESOURCE)).items:
            with contextlib.suppress(msgspec.MsgspecError, NotFound):
                held = msgspec.json.decode(stored.body, type=Held)
                if held.not_after + KEPT_AFTER_END < now:
                    await self.store.delete(stored.key, stored.revision)


def _key(namespace: str, workload: str) -> Key:
    return Key(RESOURCE, namespace, workload)
