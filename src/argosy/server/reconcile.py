"""From the store to the views: events -> registry and lowering -> facts -> compiler -> views.

`Reconciler` is the step without I/O: events in, views updated, and the memory of what each object touched, for who
waits for its delivery. `Loop` is the shell: it lists, watches, debounces, and lists again where the log no longer
reaches back.
"""

from __future__ import annotations

import asyncio
import gc
import time
from collections import OrderedDict
from collections.abc import Callable, Iterable, Mapping
from typing import Any

import msgspec
from msgspec import Struct

from argosy.model import ir, lower_mesh
from argosy.model.discovery import Discovery
from argosy.model.facts import Fact
from argosy.model.limits import not_in_force
from argosy.model.snapshot import Snapshot
from argosy.model.updates import Ref
from argosy.registry.objects import ObjectRegistry
from argosy.resources.core import Namespace
from argosy.resources.kinds import Kind, by_resource, decode
from argosy.resources.meta import Object
from argosy.resources.problem import Problem
from argosy.runtime.log import logger
from argosy.server import collecting, entries, key_sets
from argosy.server.analysis import Analysis
from argosy.server.debounce import Change, Debounce
from argosy.server.metrics import Metrics
from argosy.server.proxies import Proxies
from argosy.server.views import Slot, Views
from argosy.store.base import Compacted, Event, EventType, Key, Listing, Store, Stored, StoreError
from argosy.translate.compiler import Compiler

REGISTRY_RESOURCES = frozenset(
    (
        "/namespaces",
        "/services",
        "/endpoints",
        "discovery.k8s.io/endpointslices",
        "networking.istio.io/serviceentries",
        "networking.istio.io/workloadentries",
    )
)
NAMESPACES = "/namespaces"
SETTINGS_KEY = Key("/configmaps", lower_mesh.NAMESPACE, lower_mesh.NAME)
ENDPOINT_RESOURCE = "networking.istio.io/workloadentries"
REMEMBERED = 4096
RETRY_AFTER = 1.0
MOST_AT_ONCE = 5000

log = logger("reconcile")


class Touched(Struct, frozen=True):
    """What an object's last change did."""

    revision: int
    facts: frozenset[Fact]
    before: frozenset[Slot]  # resources that were made from it until then


class Noted(Struct, frozen=True):
    """What an object is, as last read."""

    uid: str
    generation: int
    limits: tuple[str, ...] = ()  # what of it has no effect
    machine: bool = False  # an agent writes it and says how it is


class Reconciler:
    """The state of the mesh as the proxies see it. Synchronous, no I/O."""

    def __init__(
        self,
        mesh: ir.Mesh,
        metrics: Metrics | None = None,
        clock: Callable[[], float] = time.time,
        monotonic: Callable[[], float] = time.monotonic,
        environment: Mapping[str, str] | None = None,
    ) -> None:
        """`environment`: of the process, for mesh settings that name a variable of it."""
        self.snapshot = Snapshot(mesh, environment)
        self.registry = ObjectRegistry(domain_suffix=mesh.domain_suffix, trust_domain=mesh.trust_domain)
        self.key_sets = key_sets.Kept(self.snapshot)
        self.discovery = Discovery(mesh)
        self.unread = False
        """Whether the mesh sees namespaces of which it has not read the objects: the store is to be listed again."""
        self.compiler = Compiler(self.snapshot)
        self.analysis = Analysis(mesh)
        self.metrics = metrics or Metrics()
        self.views = Views(self.compiler, monotonic)
        self.proxies = Proxies(self.snapshot, self.views, self.metrics, clock)
        self.monotonic = monotonic
        self.revision = 0
        """Up to where the store's changes are in the views."""
        self.known: dict[Key, int] = {}  # key -> revision of its last change
        self.touched: OrderedDict[Key, Touched] = OrderedDict()
        self.noted: dict[Key, Noted] = {}
        self.on_reconciled: list[Callable[[], None]] = []
        self.on_touched: list[Callable[[Iterable[Key]], None]] = []
        """Told, after `on_reconciled`, of the objects that were written or deleted."""

    def replace(self, listing: Listing) -> None:
        """Takes in everything there is: at the start, and where events were missed. What is the same costs little."""
        self.revision = min(self.revision, listing.revision)  # lower where a backup of the store was put back
        present = {stored.key for stored in listing.items}
        self._replace(listing, present)
        if self.unread:  # what is listed has shown what else is seen
            self._replace(listing, present)

    def _replace(self, listing: Listing, present: set[Key]) -> None:
        self.unread = False
        events = [
            Event(EventType.MODIFIED, one) for one in listing.items if self.known.get(one.key) != one.revision
        ]
        events += [
            Event(EventType.DELETED, Stored(key, listing.revision, b""))
            for key in self.known
            if key not in present
        ]
        self.analysis.revision = min(self.analysis.revision, listing.revision)
        for event in events:
            self.analysis.follow(event)
        self.analysis.revision = max(self.analysis.revision, listing.revision)
        self.apply(events, listing.revision)

    def apply(self, events: Iterable[Event], revision: int = 0) -> None:
        """Takes in changes, in order. `revision`: up to where the store is then (0: that of the last event)."""
        started = self.monotonic()
        latest: dict[Key, Event] = {}
        for event in events:
            latest.pop(event.stored.key, None)
            latest[event.stored.key] = event
            revision = max(revision, event.stored.revision)
        by_key = self._take_all(latest)
        facts: set[Fact] = set().union(*{id(one): one for one in by_key.values()}.values())
        self._remember(latest, by_key)
        count = self.views.update(self.compiler.apply(facts)) if facts else 0
        if facts:
            self.proxies.follow(facts)
        self.revision = max(self.revision, revision)
        if count:
            self.metrics.pushes.add()
            self._report_failures()
        self.metrics.reconciles.observe(self.monotonic() - started)
        for tell in self.on_reconciled:
            tell()
        for tell_of in self.on_touched:
            tell_of(latest)

    def pass_over(self, event: Event) -> None:
        """Takes note of a change that is none to the mesh (a status)."""
        self.known[event.stored.key] = event.stored.revision
        self.revision = max(self.revision, event.stored.revision)
        for tell in self.on_reconciled:
            tell()

    def _take_all(self, latest: dict[Key, Event]) -> dict[Key, set[Fact]]:
        """The facts that changed, by object. What says which namespaces are seen comes first."""
        by_key: dict[Key, set[Fact]] = {}
        first = {key: event for key, event in latest.items() if _tells_of_namespaces(key)}
        if first:
            before = {name: self.discovery.sees(name) for name in {key.namespace for key in self.known}}
            self._take(first, by_key)
            self.discovery.settings(self.snapshot.mesh)
            gone = self._follow_discovery(before, latest)
            for key in first:
                by_key[key] |= gone
        self._take({key: event for key, event in latest.items() if key not in first}, by_key)
        return by_key

    def _take(self, latest: dict[Key, Event], by_key: dict[Key, set[Fact]]) -> None:
        """What the registry takes in together is not told apart: computing it once is what makes a thousand new
        endpoints cheap."""
        staged: list[Object] = []
        for key, event in latest.items():
            self.metrics.events.add(resource=key.resource)
            kind = by_resource(key.resource)
            by_key[key] = set()
            if key.resource == key_sets.RESOURCE:
                by_key[key] = self._take_keys(event)
            if kind is None:
                continue  # of a newer version, or none of ours
            if event.type is EventType.DELETED:
                by_key[key] = self._forget(kind, key)
            elif (obj := self._decoded(kind, event)) is not None:
                self._note(key, obj)
                if not self._sees(key):
                    continue
                self.snapshot.readable(kind.unique_name, key.namespace, key.name)
                if isinstance(obj, Namespace):
                    self.discovery.namespace(key.name, obj.metadata.labels)
                if key.resource in REGISTRY_RESOURCES:
                    staged.append(obj)
                else:
                    by_key[key] = self.snapshot.put_config(obj)
                    self._report_unusable(kind, key, self.snapshot.rejected)
        if staged:
            together = self.snapshot.apply(self.registry.upsert_all(staged))
            for key, event in latest.items():
                if key.resource in REGISTRY_RESOURCES and event.type is not EventType.DELETED:
                    by_key[key] = together
                    if found := by_resource(key.resource):
                        self._report_unusable(found, key, self.registry.rejected)

    def _take_keys(self, event: Event) -> set[Fact]:
        key = event.stored.key
        if event.type is EventType.DELETED:
            self.known.pop(key, None)
        else:
            self.known[key] = event.stored.revision
        return self.key_sets.take(event)

    def _sees(self, key: Key) -> bool:
        return _tells_of_namespaces(key) or self.discovery.sees(key.namespace)

    def _follow_discovery(self, before: dict[str, bool], latest: dict[Key, Event]) -> set[Fact]:
        """Lets go of what stands in a namespace that is seen no more, and says what facts that changed. Of one that is
        seen from now on only the keys are known: it is read again."""
        turned = {name for name, saw in before.items() if self.discovery.sees(name) != saw}
        facts: set[Fact] = set()
        for key in [key for key in self.known if key.namespace in turned and key not in latest]:
            kind = by_resource(key.resource)
            if self._sees(key):
                self.known[key] = 0
                self.unread = True
            elif kind is not None:
                facts |= self._let_go(kind, key)
        return facts

    def _forget(self, kind: Kind, key: Key) -> set[Fact]:
        self.known.pop(key, None)
        self.noted.pop(key, None)
        return self._let_go(kind, key)

    def _let_go(self, kind: Kind, key: Key) -> set[Fact]:
        facts = self.snapshot.remove_config(kind.unique_name, key.namespace, key.name)
        if key.resource in REGISTRY_RESOURCES:
            facts |= self.snapshot.apply(self.registry.remove(kind.unique_name, key.namespace, key.name))
        if key.resource == NAMESPACES:
            self.discovery.namespace(key.name, None)
        return facts

    def _decoded(self, kind: Kind, event: Event) -> Object | None:
        """As its key says it is: the store may have been written past our API."""
        key = event.stored.key
        self.known[key] = event.stored.revision
        try:
            obj = decode(event.stored.body)
            if not isinstance(obj, kind.struct):
                raise ValueError(f"it is no {kind.unique_name}, as its place says")
            if (obj.metadata.name, obj.metadata.namespace) == (key.name, key.namespace):
                return obj
            metadata = msgspec.structs.replace(obj.metadata, name=key.name, namespace=key.namespace)
            return msgspec.structs.replace(obj, metadata=metadata)
        except (ValueError, RecursionError) as error:
            self.snapshot.reject(kind.unique_name, key.namespace, key.name, str(error))
            self.noted[key] = _noted_unread(event.stored.body)
            self._report_unusable(kind, key, self.snapshot.rejected)
            return None

    def _report_unusable(self, kind: Kind, key: Key, rejected: dict[Ref, str]) -> None:
        if wrong := rejected.get((kind.unique_name, key.namespace, key.name)):
            log.error("object not usable: what it said before stays in force", error=wrong)

    def _note(self, key: Key, obj: Object) -> None:
        """Once for what a person wrote: a change of status alone says nothing new."""
        before, meta = self.noted.get(key), obj.metadata
        if before and (before.uid, before.generation) == (meta.uid, meta.generation):
            return
        limits = tuple(str(Problem(field, message)) for field, message in not_in_force(obj))
        self.noted[key] = Noted(meta.uid, meta.generation, limits, entries.PORTS in meta.annotations)
        if limits:
            log.warning("accepted and not in force", object=obj.label, fields=list(limits))

    def unusable(self, key: Key) -> str:
        """Why the object, as it is stored, is not in force, or not as a whole; "" where it is."""
        if not self._sees(key):
            return (
                f"the mesh does not see namespace {key.namespace}: its labels fit none of discoverySelectors"
            )
        kind = by_resource(key.resource)
        ref = (kind.unique_name, key.namespace, key.name) if kind else ("", "", "")
        rejected = self.snapshot.rejected.get(ref) or self.registry.rejected.get(ref)
        return rejected or self.compiler.faults.of(ref)

    def _remember(self, latest: dict[Key, Event], by_key: dict[Key, set[Fact]]) -> None:
        """Before the compiler goes on: what an object's facts are in now is what goes with them."""
        shared: dict[int, tuple[frozenset[Fact], frozenset[Slot]]] = {}  # many keys share one set of facts
        for key, event in latest.items():
            facts = by_key[key]
            if not facts and (last := self.touched.get(key)):
                # Nothing came of it (a status was written, say): who waits asks for what its last real change did.
                self.touched[key] = msgspec.structs.replace(last, revision=event.stored.revision)
                continue
            if id(facts) not in shared:
                shared[id(facts)] = frozenset(facts), frozenset(self.views.slots(facts))
            self.touched.pop(key, None)
            self.touched[key] = Touched(event.stored.revision, *shared[id(facts)])
        while len(self.touched) > REMEMBERED:
            self.touched.popitem(last=False)

    def sweep(self) -> None:
        """Lets go of the views that nobody has held for a while, here too."""
        if not self.views.sweep():
            return
        living = self.views.living()
        for key, touched in self.touched.items():
            before = frozenset(slot for slot in touched.before if slot[0] in living)
            if len(before) < len(touched.before):
                self.touched[key] = msgspec.structs.replace(touched, before=before)

    def _report_failures(self) -> None:
        for (kind, name), error in self.compiler.errors.items():
            log.error("resource not built", type=kind, resource=name, error=error)
        for kind, namespace, name in self.compiler.faults:
            log.error(
                "object not wholly in force",
                object=f"{kind} {namespace}/{name}",
                error=self.compiler.faults.of((kind, namespace, name)),
            )

    # --- for who waits ---

    def slots_of(self, key: Key) -> set[Slot]:
        """The resources that an object matters to: now, and by its last change."""
        kind = by_resource(key.resource)
        if kind is None:
            return set()
        touched = self.touched.get(key)
        facts = set(self.snapshot.facts_of(kind.unique_name, key.namespace, key.name))
        slots: set[Slot] = set()
        if touched is not None:
            facts |= touched.facts
            slots.update(touched.before)
        return slots | self.views.slots(facts)

    def failures(self, slots: set[Slot]) -> list[str]:
        """What the compiler could not make of these resources."""
        wanted = {(type_url, name) for _, type_url, name in slots}
        return [
            f"{name}: {error}"
            for (kind, name), error in self.compiler.errors.items()
            if (kind, name) in wanted
        ]


def _tells_of_namespaces(key: Key) -> bool:
    return key.resource == NAMESPACES or key == SETTINGS_KEY


class ListAgain(Exception):
    """The mesh sees what it has not read."""


class Loop:
    """Keeps a Reconciler up to date with a store, for ever."""

    def __init__(
        self, store: Store, reconciler: Reconciler, monotonic: Callable[[], float] = time.monotonic
    ) -> None:
        self.store = store
        self.reconciler = reconciler
        self.monotonic = monotonic
        self.synced = asyncio.Event()
        """Set once everything that was there at the start is in the views."""

    async def run(self) -> None:
        while True:
            try:
                await self._follow()
            except Compacted:
                log.info("listing again: the log does not reach back", revision=self.reconciler.revision)
            except ListAgain:
                log.info("listing again: the mesh sees other namespaces")
            except StoreError as error:
                log.error("store unreadable: proxies keep what they have", error=str(error))
                await asyncio.sleep(RETRY_AFTER)

    async def _follow(self) -> None:
        listing = await self.store.list()
        with collecting.paused():
            self.reconciler.replace(listing)
        if not self.synced.is_set():
            gc.collect()
            gc.freeze()  # what is there now mostly stays: later collections need not look at it
            self.synced.set()
            log.info("synced", objects=len(listing.items), revision=listing.revision)
        events: asyncio.Queue[Event] = asyncio.Queue()
        watcher = asyncio.create_task(self._watch(listing.revision, events))
        try:
            await self._push(events, watcher)
        finally:
            watcher.cancel()
            await asyncio.gather(watcher, return_exceptions=True)

    async def _watch(self, after: int, events: asyncio.Queue[Event]) -> None:
        async for event in self.store.watch(after):
            self.reconciler.analysis.follow(event)
            events.put_nowait(event)

    async def _push(self, events: asyncio.Queue[Event], watcher: asyncio.Task[None]) -> None:
        """Gathers events and pushes them when they are due, until the watch ends; raises what it raised."""
        debounce = Debounce()
        pending: list[Event] = []
        while True:
            due = debounce.due()
            timeout = None if due is None else max(0.0, due - self.monotonic())
            if event := await _next(events, watcher, timeout):
                if not pending and is_status_alone(event):
                    self.reconciler.pass_over(event)
                    continue
                pending.append(event)
                change = Change.ENDPOINTS if event.stored.key.resource == ENDPOINT_RESOURCE else Change.CONFIG
                debounce.note(change, self.monotonic())
            if (due := debounce.due()) is not None and due <= self.monotonic():
                while not events.empty() and len(pending) < MOST_AT_ONCE:
                    pending.append(events.get_nowait())
                self.reconciler.apply(pending)
                pending = []
                debounce.pushed(self.monotonic())
                if self.reconciler.unread:
                    raise ListAgain


def _noted_unread(body: bytes) -> Noted:
    """Of an object that somebody wrote past the API: as far as it can be read."""
    try:
        metadata = msgspec.json.decode(body)["metadata"]
        return Noted(str(metadata["uid"]), int(metadata["generation"]))
    except (ValueError, KeyError, TypeError, RecursionError):
        return Noted("", 0)


def is_status_alone(event: Event) -> bool:
    """Whether only the conditions of a person's object changed: nothing that a proxy is made of."""
    if event.type is not EventType.MODIFIED or event.previous is None:
        return False
    if event.stored.key.resource == ENDPOINT_RESOURCE:
        return False  # an endpoint's health is a condition
    before, after = _but_status(event.previous), _but_status(event.stored.body)
    return before is not None and before == after


def _but_status(body: bytes) -> dict[str, Any] | None:
    """None for what is no object: the servers' own records, or what somebody wrote past the API."""
    try:
        obj = msgspec.json.decode(body)
    except (ValueError, RecursionError):
        return None
    return (
        {field: value for field, value in obj.items() if field != "status"} if isinstance(obj, dict) else None
    )


async def _next(
    events: asyncio.Queue[Event], watcher: asyncio.Task[None], timeout: float | None
) -> Event | None:
    """The next event; None where none came in time. Raises what ended the watch."""
    if not events.empty():
        return events.get_nowait()
    getter = asyncio.ensure_future(events.get())
    try:
        await asyncio.wait((getter, watcher), timeout=timeout, return_when=asyncio.FIRST_COMPLETED)
        if getter.done():
            return getter.result()
        if watcher.done():
            watcher.result()
            raise Compacted("the watch ended")
        return None
    finally:
        getter.cancel()
