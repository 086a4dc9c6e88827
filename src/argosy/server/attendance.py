"""Who is connected to which server, and who is lost: what takes a workload out of the mesh that did not leave.

    WorkloadEntry   istio.io/workloadController   the server (its id in the fleet) that attends the workload
                    istio.io/disconnectedAt       since when that server misses it

Rules:

* A server judges the workloads that it attends. Those of a server that is gone (its lease is over) are lost as well.
* One server removes: the leader. A grace of 30 s runs there, from when the connection was lost, another server noted
  that, or that server's lease was over; and anew with a new leader. Never more than half of a service's endpoints go
  for lost connections alone (`losses`), which only one can count, and the next one goes on counting (`loss_record`).
* Removed is the entry that was judged, by its revision: a workload that came to another server meanwhile changed it.
  Within one server, an entry that is just being registered is not removed, and the other way round.

# Istio: pilot/pkg/autoregistration (the annotations)
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections import Counter
from collections.abc import AsyncIterator, Callable, Collection
from typing import Any

import msgspec
from msgspec import Struct

from argosy.runtime.log import logger
from argosy.server import entries
from argosy.server.entries import Json
from argosy.server.loss_record import LossRecord, Overtaken
from argosy.server.losses import GRACE, Losses
from argosy.store.base import Compacted, Conflict, EventType, Key, NotFound, Store, Stored, StoreError

SWEEP_EVERY = 1.0
RECONSIDER_EVERY = 5.0
NOTED_AFTER = 2.0  # seconds: a stream that is only made anew is not worth a write
RETRY_AFTER = 1.0

log = logger("registration")


class Known(Struct, frozen=True):
    """What the store says of an agent's entry."""

    controller: str  # "" where an older server wrote it
    disconnected: bool


class Attendance:
    """`own`: the id of this server; `present`: the ids of all that are there; `leads`: whether this one leads."""

    def __init__(
        self,
        store: Store,
        own: str = "",
        present: Callable[[], Collection[str]] = frozenset,
        leads: Callable[[], bool] = lambda: True,
        *,
        grace: float = GRACE,
        clock: Callable[[], float] = time.time,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self.store = store
        self.own = own
        self.present = present
        self.leads = leads
        self.clock = clock
        self.monotonic = monotonic
        self.losses = Losses(grace)
        self.record = LossRecord(store)
        self._counts = False  # whether it leads, and knows what was taken before
        self.attending: dict[Key, object] = {}  # entry -> the stream that speaks for it
        self.kept: dict[Key, str] = {}  # lost, but needed by this service
        self.removed_for_loss = 0
        self._known: dict[Key, Known] = {}
        self._arriving: Counter[Key] = Counter()
        self._removing: dict[Key, asyncio.Event] = {}
        self._considered = 0.0

    # --- who is connected here ---

    def attend(self, entry: Key, stream: object) -> None:
        """From now on `stream` speaks for the entry."""
        self.attending[entry] = stream
        self.find(entry)

    def lost(self, entry: Key, stream: object) -> None:
        """The stream ended. Only the one that speaks for the entry counts."""
        if self.attending.get(entry) is stream:
            del self.attending[entry]
            self.losses.lose(entry, self.monotonic())
            if entry in self._known:
                self._consider(entry)

    def left(self, entry: Key, stream: object) -> None:
        if self.attending.get(entry) is stream:
            del self.attending[entry]

    def find(self, entry: Key) -> None:
        """It is not lost, or gone."""
        self.losses.find(entry)
        self.kept.pop(entry, None)

    @contextlib.asynccontextmanager
    async def arriving(self, entry: Key) -> AsyncIterator[None]:
        """It is registered just now: it is not removed meanwhile, and what removes it already has its way first."""
        self._arriving[entry] += 1
        try:
            while (removing := self._removing.get(entry)) is not None:
                await removing.wait()
            yield
        finally:
            self._arriving[entry] -= 1
            if not self._arriving[entry]:
                del self._arriving[entry]

    # --- what the store says ---

    async def expect_all(self) -> int:
        """At the server's start: the grace of everybody who has not come back begins now. The revision to follow from.

        Raises StoreError.
        """
        listing = await self.store.list(entries.WORKLOAD_ENTRIES)
        found = ((stored.key, _known(stored)) for stored in listing.items)
        self._known = {key: known for key, known in found if known is not None}
        self.reconsider()
        return listing.revision

    async def follow(self, revision: int) -> None:
        """For ever."""
        while True:
            try:
                async for event in self.store.watch(revision, entries.WORKLOAD_ENTRIES):
                    revision = event.stored.revision
                    self._see(event.stored, event.type is EventType.DELETED)
            except Compacted:
                pass
            except StoreError:
                await asyncio.sleep(RETRY_AFTER)
            revision = await self._expect_again()

    async def _expect_again(self) -> int:
        while True:
            try:
                return await self.expect_all()
            except StoreError:
                await asyncio.sleep(RETRY_AFTER)

    def _see(self, stored: Stored, deleted: bool) -> None:
        known = None if deleted else _known(stored)
        if known is None:
            self._known.pop(stored.key, None)
            self.find(stored.key)
        else:
            self._known[stored.key] = known
            self._consider(stored.key)

    def reconsider(self) -> None:
        """A server came or went, or another leads."""
        for entry in {*self._known, *self.losses.since}:
            self._consider(entry)

    def _consider(self, entry: Key) -> None:
        known = self._known.get(entry)
        if entry in self.attending:
            return
        if known is not None and self._misses(known):
            self.losses.lose(entry, self.monotonic())
        else:
            self.find(entry)

    def _misses(self, known: Known) -> bool:
        """Whether a workload that is not connected here is lost, as far as that is for this server to say."""
        if known.controller == self.own:
            return True
        return self.leads() and (known.disconnected or known.controller not in self.present())

    # --- losses ---

    async def sweep_for_ever(self) -> None:
        while True:
            await asyncio.sleep(SWEEP_EVERY)
            try:
                await self.sweep()
            except StoreError as error:
                log.error("lost workloads not looked after", error=str(error))

    async def sweep(self) -> None:
        """The leader removes who has been lost for too long, but for those that a service cannot do without; another
        server notes whom it misses. Raises StoreError."""
        if not self.leads():
            self._counts = False
            await self._note_missed()
            return
        if not self._counts:
            self.losses.begin(self.monotonic(), await self.record.load())
            self._counts = True
        await self._remove_due()

    async def _note_missed(self) -> None:
        now = self.monotonic()
        for entry, since in tuple(self.losses.since.items()):
            known = self._known.get(entry)
            if now - since < NOTED_AFTER or (known is not None and known.disconnected):
                continue
            stored = await self.store.get(entry)
            if stored is None or _known(stored) != Known(self.own, False):
                continue  # it is another's by now, or gone: an event tells
            if entry in self.attending or entry in self._arriving:
                continue
            after = entries.with_disconnected(msgspec.json.decode(stored.body), self.clock())
            with contextlib.suppress(Conflict, NotFound):
                await self.store.update(entry, msgspec.json.encode(after), stored.revision)
                log.warning("workload missed", workload=f"{entry.namespace}/{entry.name}")

    async def _remove_due(self) -> None:
        now = self.monotonic()
        due = self.losses.due(now)
        if not (due or self.losses.taken):
            return
        if all(entry in self.kept for entry in due) and now - self._considered < RECONSIDER_EVERY:
            return
        self._considered = now
        found = {
            stored.key: stored
            for resource in (entries.WORKLOAD_ENTRIES, entries.SERVICES, entries.SERVICE_ENTRIES)
            for stored in (await self.store.list(resource)).items
        }
        objects = {key: _object(stored) for key, stored in found.items()}
        for entry in due:
            known = _known(found[entry]) if entry in found else None
            if known is None or entry in self.attending or not self._misses(known):
                self.find(entry)  # somebody deleted it, or it has come back
        before = dict(self.losses.since)
        decision = self.losses.decide(now, entries.members(objects))
        left = dict.fromkeys(decision.remove)
        try:
            await self.record.save(self.losses.taken)
            for entry in decision.remove:
                self.kept.pop(entry, None)
                await self._remove(found[entry])
                del left[entry]
        except Overtaken as error:
            self._counts = False
            log.warning("lost workloads not removed", reason="another server leads", error=str(error))
        finally:
            self.losses.since |= {entry: before[entry] for entry in left}
        self._report_kept(decision.keep)

    async def _remove(self, stored: Stored) -> None:
        entry = stored.key
        if entry in self._arriving or entry in self.attending:
            return
        self._removing[entry] = asyncio.Event()
        try:
            await self.store.delete(entry, stored.revision)
        except (NotFound, Conflict):
            return  # gone, or just registered elsewhere
        finally:
            self._removing.pop(entry).set()
        self.removed_for_loss += 1
        log.warning("lost workload removed", workload=f"{entry.namespace}/{entry.name}")

    def _report_kept(self, keep: Collection[tuple[Key, str]]) -> None:
        for entry, service in keep:
            if entry not in self.kept:
                self.kept[entry] = service
                log.warning(
                    "lost workload kept",
                    workload=f"{entry.namespace}/{entry.name}",
                    service=service,
                    reason="more than half of the endpoints would go for lost connections alone",
                    remedy=f"if it is gone for good: argosy delete workloadentry {entry.name} -n {entry.namespace}",
                )


class _Metadata(Struct):
    annotations: dict[str, str] | None = None


class _Labels(Struct):
    labels: dict[str, str] | None = None


class _Spec(Struct):
    labels: dict[str, str] | None = None
    selector: dict[str, str] | None = None
    workload_selector: _Labels | None = msgspec.field(default=None, name="workloadSelector")


class _Status(Struct):
    conditions: list[dict[str, Any]] | None = None


class _Read(Struct):
    """What is read here of an entry or a service."""

    metadata: _Metadata = msgspec.field(default_factory=_Metadata)
    spec: _Spec | None = None
    status: _Status | None = None


def _known(stored: Stored) -> Known | None:
    """None where no agent wrote it, or it cannot be read: what is written past the API ends no server."""
    try:
        annotations = msgspec.json.decode(stored.body, type=_Read).metadata.annotations or {}
    except (msgspec.MsgspecError, UnicodeDecodeError):
        return None
    if entries.PORTS not in annotations:
        return None
    return Known(annotations.get(entries.CONTROLLER, ""), entries.DISCONNECTED_AT in annotations)


def _object(stored: Stored) -> Json:
    """What cannot be read counts as an empty one."""
    try:
        msgspec.json.decode(stored.body, type=_Read)
    except (msgspec.MsgspecError, UnicodeDecodeError):
        return {}
    body: Json = msgspec.json.decode(stored.body)
    return body
