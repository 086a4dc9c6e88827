"""Writes the conditions of the mesh's own objects into the store: what `kubectl get` and `kubectl wait` see.

Of several servers one writes, the leader, what all of them see (`tally`); the others tell it.

Rules:

* What a person wrote comes first: an object that changed, and one that is open (somebody has not answered, or refused)
  as proxies speak. They are looked at once it has been quiet for QUIET seconds, after MOST at the latest: a look asks
  every proxy, so the answers of thousands are one look, when the last is there.
* What moves many objects by a little (a proxy that joins or leaves, a refusal that may concern others) is taken up
  once it has been quiet for SETTLED seconds, by going over all of them.
* The rate is bounded: looking takes at most LOOKING_SHARE of the time, and writes come at most WRITES_PER_SECOND.
* Whoever begins to lead waits a moment for what the others see, so that nobody's proxies are missing in between.
* Written is only what differs, on the generation it is about, by compare and swap. With the store away, or full, it is
  written later; nothing else waits for it.

Not reported: entries that agents write (their own condition `Healthy` says how they are), and the core kinds.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Iterable
from typing import Protocol

import msgspec

from argosy.resources.kind import MESH_GROUPS
from argosy.resources.kinds import by_resource
from argosy.runtime.log import logger
from argosy.server import entries, gateways
from argosy.server.analysis import Found, is_analysed
from argosy.server.delivery import Delivery
from argosy.server.figures import Figure, Json, brief, figure_of, with_conditions
from argosy.server.key_sets import POLICIES
from argosy.server.proxies import ProxySession
from argosy.server.reconcile import Reconciler
from argosy.server.tally import Tally
from argosy.store.base import Conflict, Key, NotFound, Store, StoreError

SETTLED = 2.0  # seconds without a proxy that joins or leaves
QUIET, MOST = 0.1, 1.0
LOOKING_SHARE = 0.1
CHUNK_SECONDS = 0.005
WRITES_PER_SECOND = 100
TELL_EVERY = 0.2
TOLD_AT_ONCE = 256 << 10  # characters
PEERS_WITHIN = 10.0
RETRY_AFTER = 1.0
GATEWAYS_EVERY = 3600.0  # seconds; certificates that they name run out without an event
GATEWAYS = "networking.istio.io/gateways"
SECRETS = "/secrets"

log = logger("status")


class Leads(Protocol):
    """`leader.Leadership`."""

    leads: bool
    leader: str
    term: int
    on_changed: list[Callable[[], None]]


class Alone:
    """There is no other server."""

    leads, leader, term = True, "", 0

    def __init__(self) -> None:
        self.on_changed: list[Callable[[], None]] = []


Tell = Callable[[tuple[tuple[Key, Figure], ...], bool], Awaitable[None]]


async def nobody(_figures: tuple[tuple[Key, Figure], ...], _whole: bool) -> None:
    raise Untold("there is no other server")


class Untold(Exception):
    """The leader did not take it; says why."""


class Reporter:
    """Made before the views are filled, so that it hears of every object; `run` writes, or tells, for ever.

    `tell(figures, whole)` tells the leader; it raises Untold.
    """

    def __init__(
        self,
        store: Store,
        reconciler: Reconciler,
        delivery: Delivery,
        leadership: Leads | None = None,
        tally: Tally | None = None,
        tell: Tell = nobody,
        clock: Callable[[], float] = time.time,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self.store = store
        self.reconciler = reconciler
        self.delivery = delivery
        self.leadership = leadership or Alone()
        self.tally = tally or Tally(dict)
        self.tell = tell
        self.clock = clock
        self.monotonic = monotonic
        self.written = 0
        self.open: set[Key] = set()
        self._figures: dict[Key, Figure] = {}  # as last written, found written, or told
        self._term = (False, "", 0)
        self._heard: object = None  # the term in which the others have spoken
        self._told_all = False
        self._due: OrderedDict[Key, None] = OrderedDict()
        self._woken = asyncio.Event()
        self._sweep_at: float | None = None
        self._fresh: dict[Key, None] = {}  # written since it was last quiet
        self._quiet_at: float | None = None
        self._quiet_by = 0.0
        self._gateways_at = monotonic() + GATEWAYS_EVERY
        self.keys_of: Callable[[str, str], tuple[Found, ...] | None] = lambda namespace, name: None
        """What is to be said of the keys that a RequestAuthentication names: `key_sets.KeySets.found`."""
        reconciler.on_touched.append(self.touched)
        reconciler.proxies.on_moved.append(self._moved)
        reconciler.proxies.on_changed.append(self._changed)
        self.leadership.on_changed.append(self._another_term)

    # --- what is to be looked at ---

    def touched(self, keys: Iterable[Key]) -> None:
        """These objects were written, or deleted."""
        for key in keys:
            if key not in self.reconciler.known:
                self.tally.forget(key)
            if is_reported(key):
                self._fresh[key] = None
            if key.resource in (SECRETS, GATEWAYS):
                self._look_at_gateways()
        self._look_at_outdated()
        self._look_when_quiet()
        self._woken.set()

    def _look_at_outdated(self) -> None:
        """Of which the analysis may say something else: what they name came, or went."""
        for key in self.reconciler.analysis.outdated():
            if is_reported(key):
                self._due.setdefault(key)

    def _look_at_gateways(self) -> None:
        """Those that name a Secret, or share a port with another, may stand otherwise."""
        for namespace, name in self.reconciler.snapshot.gateways.rules:
            self._due.setdefault(Key(GATEWAYS, namespace, name))

    def _moved(self, _: ProxySession) -> None:
        """A proxy spoke."""
        if self.open or self._fresh:
            self._look_when_quiet()

    def _look_when_quiet(self) -> None:
        now = self.monotonic()
        if self._quiet_at is None:
            self._quiet_by = now + MOST
            self._woken.set()
        self._quiet_at = min(now + QUIET, self._quiet_by)

    def _changed(self, _: ProxySession) -> None:
        """A proxy joined, left, uses other resources, or refuses one."""
        self._sweep_at = self.monotonic() + SETTLED
        self._woken.set()

    def _another_term(self) -> None:
        """Another leads, or this one anew: everything is to be said again."""
        leadership = self.leadership
        now = (leadership.leads, leadership.leader, leadership.term)
        if now == self._term:
            return
        self._term = now
        self._told_all = False
        self._figures.clear()
        self.tally.clear()
        self._look_at_all()

    def fleet_changed(self) -> None:
        """A server came or went."""
        if self.tally.drop_gone():
            self._look_at_all()

    def take(self, server: str, figures: tuple[tuple[Key, Figure], ...], whole: bool) -> None:
        """What another server tells."""
        self.tally.take(server, figures, whole)
        for key, _ in figures:
            self._due.setdefault(key)
        if whole:
            self._look_at_all()
        self._woken.set()

    def _take_up(self) -> None:
        """What waits for quiet, once it is."""
        if self._quiet_at is None or self._quiet_at > self.monotonic():
            return
        self._quiet_at = None
        for key in self.open:
            self._due.setdefault(key)
        self._take_fresh()

    def _take_fresh(self) -> None:
        for key in self._fresh:
            self._due[key] = None
            self._due.move_to_end(key, last=False)
        self._fresh.clear()

    def _look_at_all(self) -> None:
        for key in self.reconciler.known:
            if is_reported(key):
                self._due.setdefault(key)
        self._woken.set()

    # --- for ever ---

    async def run(self) -> None:
        while True:
            self._take_up()
            if self.leadership.leads or self._told_all:
                await self._rest()
            if self.leadership.leads:
                await self._hear_others()
                await self._look_and_write()
            else:
                await self._look_and_tell()

    async def _hear_others(self) -> None:
        """Right after the beginning of a term, until all have spoken (bounded)."""
        term, until = self._term, self.monotonic() + PEERS_WITHIN
        while term != self._heard and not self.tally.complete() and self.monotonic() < until:
            await asyncio.sleep(TELL_EVERY)
        self._heard = term

    async def _rest(self) -> None:
        """Until something is due, or another term begins."""
        term = self._term
        while not self._due and term == self._term:
            self._woken.clear()
            self._take_up()
            now = self.monotonic()
            if self._due:
                return
            if self._sweep_at is not None and self._sweep_at <= now:
                self._sweep_at = None
                self._look_at_all()
            elif self._gateways_at <= now:
                self._gateways_at = now + GATEWAYS_EVERY
                self._look_at_gateways()
                self.reconciler.analysis.aged()
                self._look_at_outdated()
            else:
                moments = (self._gateways_at, self._sweep_at, self._quiet_at)
                until = min(at for at in moments if at is not None)
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(until - now):
                        await self._woken.wait()

    def _look_at_due(self) -> tuple[list[tuple[Key, Figure]], float]:
        """What differs, of some that are due; and the seconds that it took."""
        started = self.monotonic()
        differing: list[tuple[Key, Figure]] = []
        size = 0
        while self._due and size < TOLD_AT_ONCE and self.monotonic() - started < CHUNK_SECONDS:
            key, _ = self._due.popitem(last=False)
            figure = self._look(key)
            if figure is not None and figure != self._figures.get(key):
                differing.append((key, figure))
                size += figure.size
        return differing, self.monotonic() - started

    async def _look_and_tell(self) -> None:
        if not self._told_all:
            self._take_fresh()  # or it would not be everything
        differing, looked = self._look_at_due()
        whole = not self._due
        if not differing and (self._told_all or not whole):
            await asyncio.sleep(looked / LOOKING_SHARE)
            return
        term, figures = self._term, tuple((key, brief(figure)) for key, figure in differing)
        try:
            await self.tell(figures, whole and not self._told_all)
        except Untold as error:
            log.debug("figures not told", reason=str(error))
            self._woken.clear()
            for key, _ in differing:
                self._due.setdefault(key)
            with contextlib.suppress(TimeoutError):  # or until another leads
                async with asyncio.timeout(RETRY_AFTER):
                    await self._woken.wait()
            return
        if term == self._term:
            self._figures.update(differing)
            self._told_all = self._told_all or whole
        await asyncio.sleep(looked / LOOKING_SHARE if self._due else max(looked / LOOKING_SHARE, TELL_EVERY))

    async def _look_and_write(self) -> None:
        differing, looked = self._look_at_due()
        for key, figure in differing:
            if not self.leadership.leads:
                self._due.setdefault(key)  # to be told, then
                continue
            await self._write(key, figure)
            await asyncio.sleep(1 / WRITES_PER_SECOND)
        await asyncio.sleep(looked / LOOKING_SHARE)

    def _look(self, key: Key) -> Figure | None:
        """How the object stands now; None where it is gone, or an agent's."""
        revision = self.reconciler.known.get(key)
        noted = self.reconciler.noted.get(key)
        if revision is None or noted is None or noted.machine:
            self._figures.pop(key, None)
            self.open.discard(key)
            return None
        limits, references = noted.limits, None
        found = self._found(key)
        if key.resource == GATEWAYS:
            scopes = {one.held.proxy.scope for one in self.reconciler.proxies.sessions}
            snapshot, name = self.reconciler.snapshot, f"{key.namespace}/{key.name}"
            limits = (*limits, *gateways.standing_back(snapshot, scopes, name))
            references = gateways.unusable_secrets(snapshot, scopes, name, self.clock())
            if (
                references is not None and found
            ):  # by the proxies that serve it, who know better than labels do
                found = tuple(one for one in found if not one.secret)
        elif key.resource == POLICIES and (of_keys := self.keys_of(key.namespace, key.name)) is not None:
            found = (*(found or ()), *of_keys)
        verdict = self.delivery.verdict(key, revision)
        figure = figure_of(noted.generation, verdict, limits, references, found)
        if self.leadership.leads:
            figure = self.tally.of_all(key, figure)
        (self.open.add if figure.open else self.open.discard)(key)
        return figure

    def _found(self, key: Key) -> tuple[Found, ...] | None:
        """What the analysis says; worked out by who writes it. None: by another server, or there are no rules."""
        kind = by_resource(key.resource)
        if not self.leadership.leads or kind is None or not is_analysed(kind):
            return None
        return self.reconciler.analysis.of(kind, key, self.clock())

    async def _write(self, key: Key, figure: Figure) -> None:
        try:
            stored = await self.store.get(key)
            body = _readable(stored.body) if stored else None
            if stored is None or body is None or body["metadata"].get("generation", 0) != figure.generation:
                return  # an event tells of it, and then it is looked at again
            after = with_conditions(body, figure, entries.timestamp(self.clock()))
            if after != body:
                await self.store.update(key, msgspec.json.encode(after), stored.revision)
                self.written += 1
            self._figures[key] = figure
        except (Conflict, NotFound):
            self._due.setdefault(key)
        except StoreError as error:
            log.warning("status not written: tried again", object=str(key), error=str(error))
            self._due.setdefault(key)
            await asyncio.sleep(RETRY_AFTER)


def _readable(body: bytes) -> Json | None:
    """An object that a status can be written on; None for what somebody wrote past the API and is none."""
    try:
        obj = msgspec.json.decode(body)
    except (ValueError, RecursionError):
        return None
    return obj if isinstance(obj, dict) and isinstance(obj.get("metadata"), dict) else None


def is_reported(key: Key) -> bool:
    return key.resource.partition("/")[0] in MESH_GROUPS
