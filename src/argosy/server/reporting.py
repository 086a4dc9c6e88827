"""Writes the conditions of the mesh's own objects into the store: what `kubectl get` and `kubectl wait` see.

Rules:

* What a person wrote comes first: an object that changed is looked at when the views hold it, and again with each word
  of a proxy for as long as it is open (somebody has not answered, or refused).
* What moves many objects by a little (a proxy that joins or leaves, a refusal that may concern others) is taken up
  once it has been quiet for SETTLED seconds, by going over all of them.
* The rate is bounded: looking takes at most LOOKING_SHARE of the time, and writes come at most WRITES_PER_SECOND.
* Written is only what differs, on the generation it is about, by compare and swap. With the store away, or full, it is
  written later; nothing else waits for it.

Not reported: entries that agents write (their own condition `Healthy` says how they are), and the core kinds.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections import OrderedDict
from collections.abc import Callable, Iterable

import msgspec

from argosy.runtime.log import logger
from argosy.server import entries
from argosy.server.delivery import Delivery
from argosy.server.figures import Figure, Json, figure_of, with_conditions
from argosy.server.proxies import ProxySession
from argosy.server.reconcile import Reconciler
from argosy.store.base import Conflict, Key, NotFound, Store, StoreError

GROUPS = frozenset(("networking.istio.io", "security.istio.io", "telemetry.istio.io", "extensions.istio.io"))
SETTLED = 2.0  # seconds without a proxy that joins or leaves
LOOKING_SHARE = 0.1
CHUNK_SECONDS = 0.005
WRITES_PER_SECOND = 100
RETRY_AFTER = 1.0

log = logger("status")


class Reporter:
    """Made before the views are filled, so that it hears of every object; `run` writes for ever."""

    def __init__(
        self,
        store: Store,
        reconciler: Reconciler,
        delivery: Delivery,
        clock: Callable[[], float] = time.time,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self.store = store
        self.reconciler = reconciler
        self.delivery = delivery
        self.clock = clock
        self.monotonic = monotonic
        self.written = 0
        self.open: set[Key] = set()
        self._figures: dict[Key, Figure] = {}  # as last written, or found written
        self._due: OrderedDict[Key, None] = OrderedDict()
        self._woken = asyncio.Event()
        self._sweep_at: float | None = None
        reconciler.on_touched.append(self.touched)
        reconciler.proxies.on_moved.append(self._moved)
        reconciler.proxies.on_changed.append(self._changed)

    # --- what is to be looked at ---

    def touched(self, keys: Iterable[Key]) -> None:
        """These objects were written, or deleted."""
        for key in keys:
            if is_reported(key):
                self._due[key] = None
                self._due.move_to_end(key, last=False)
        self._woken.set()

    def _moved(self, _: ProxySession) -> None:
        """A proxy spoke."""
        for key in self.open:
            self._due.setdefault(key)
        if self.open:
            self._woken.set()

    def _changed(self, _: ProxySession) -> None:
        """A proxy joined, left, uses other resources, or refuses one."""
        self._sweep_at = self.monotonic() + SETTLED
        self._woken.set()

    # --- for ever ---

    async def run(self) -> None:
        while True:
            await self._rest()
            await self._look_and_write()

    async def _rest(self) -> None:
        """Until something is due."""
        while not self._due:
            self._woken.clear()
            if self._sweep_at is None:
                await self._woken.wait()
                continue
            left = self._sweep_at - self.monotonic()
            if left <= 0:
                self._sweep_at = None
                for key in self.reconciler.known:
                    if is_reported(key):
                        self._due.setdefault(key)
                if not self._due:
                    continue
                return
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(left):
                    await self._woken.wait()

    async def _look_and_write(self) -> None:
        started = self.monotonic()
        differing: list[tuple[Key, Figure]] = []
        while self._due and self.monotonic() - started < CHUNK_SECONDS:
            key, _ = self._due.popitem(last=False)
            figure = self._look(key)
            if figure is not None and figure != self._figures.get(key):
                differing.append((key, figure))
        looked = self.monotonic() - started
        for key, figure in differing:
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
        figure = figure_of(noted.generation, self.delivery.verdict(key, revision), noted.limits)
        (self.open.add if figure.open else self.open.discard)(key)
        return figure

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
    return key.resource.partition("/")[0] in GROUPS
