"""Key sets of issuers: fetched by the leader, kept in the store, followed by every server.

    /internal/keysets/SHA-256 OF THE SOURCE    {"source": {"uri": …, "discovers": …}, "keys": {"keys": […]}}

Rules:
* The leader of the servers fetches, each source once, however many objects name it; what it writes reaches every
  server, it too, as any object of the store does (`reconcile`). So all of them serve the same keys, those that start
  too, and a restart needs no issuer.
* Only what `resources.key_sets` takes is written. Whatever else comes leaves the last good set where it is, for as
  long as it takes; the failure is told on the objects that name it, in metrics and in the log.
* What worked is fetched again after REFRESH, what failed after RETRY, doubled with each failure up to LONGEST_RETRY;
  all of them a tenth earlier or later, so that many do not go together.
* What nobody names any more is forgotten, in the store too.
"""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import random
import time
from collections.abc import Awaitable, Callable, Iterable
from typing import Any, Protocol

import msgspec
from msgspec import Struct

from argosy.model.facts import Fact
from argosy.model.snapshot import Snapshot
from argosy.model.tokens import KeySource
from argosy.model.updates import Ref
from argosy.resources import key_sets
from argosy.runtime.log import logger
from argosy.server.analysis import Found
from argosy.server.fetching import REFRESH, FetchError
from argosy.server.metrics import Counter, Gauge, Metrics
from argosy.store.base import (
    INTERNAL,
    AlreadyExists,
    Conflict,
    Event,
    EventType,
    Key,
    NotFound,
    Store,
    StoreError,
)

RESOURCE = f"{INTERNAL}keysets"
POLICIES = "security.istio.io/requestauthentications"
RETRY, LONGEST_RETRY = 1.0, 300.0
MOST_AT_ONCE = 8
MOST_SECONDS = 30.0
"""Of one fetch, whatever a rule says: it keeps others waiting."""
UNWRITTEN_RETRY = 1.0
NOT_FETCHED, NOT_USED = "KeysNotFetched", "KeysNotUsed"
"""Reasons of conditions."""

log = logger("keys")

Fetch = Callable[[str, float], Awaitable[bytes]]
"""(URL, seconds) -> the document. Raises FetchError."""


class Leads(Protocol):
    """`leader.Leadership`."""

    leads: bool
    on_changed: list[Callable[[], None]]


class Record(Struct, frozen=True):
    """As it is stored."""

    source: KeySource
    keys: msgspec.Raw


def key_of(source: KeySource) -> Key:
    return Key(RESOURCE, "", hashlib.sha256(source.name.encode(errors="replace")).hexdigest()[:40])


def encoded(source: KeySource, text: str) -> bytes:
    return msgspec.json.encode(Record(source, msgspec.Raw(text.encode())))


class Kept:
    """What stands in the store, as events tell it: given into a Snapshot."""

    def __init__(self, snapshot: Snapshot) -> None:
        self.snapshot = snapshot
        self.on_changed: list[Callable[[KeySource], None]] = []
        self._sources: dict[Key, KeySource] = {}

    def take(self, event: Event) -> set[Fact]:
        """The facts that changed."""
        before = self._sources.get(event.stored.key)
        facts = self._taken(event)
        if facts and (source := self._sources.get(event.stored.key, before)):
            for tell in self.on_changed:
                tell(source)
        return facts

    def _taken(self, event: Event) -> set[Fact]:
        key = event.stored.key
        table = self.snapshot.request_authentications
        if event.type is EventType.DELETED:
            source = self._sources.pop(key, None)
            return set() if source is None else table.put_key_set(source, "")
        try:
            record = msgspec.json.decode(event.stored.body, type=Record)
            found = key_sets.read(bytes(record.keys))
        except (msgspec.MsgspecError, ValueError) as error:
            log.warning(
                "stored keys not readable: what they were before stays", name=key.name, error=str(error)
            )
            return set()
        if key != key_of(record.source):
            return set()
        self._sources[key] = record.source
        return table.put_key_set(record.source, found.text)


class _Fetched(Struct):
    """How one source stands."""

    timeout: float
    due: float  # monotonic
    failures: int = 0
    error: str = ""
    since: float = 0.0  # Unix time of the first failure in a row
    told: tuple[str, ...] = ()  # keys that are not used, and weak ones
    good: float = 0.0  # Unix time of the last success of this term
    busy: bool = False


class KeySets:
    """Fetches what the Snapshot's RequestAuthentications want, for as long as this server leads. `tell` hears of the
    objects of which something else is to be said."""

    def __init__(
        self,
        store: Store,
        kept: Kept,
        leadership: Leads,
        fetch: Fetch,
        tell: Callable[[Iterable[Key]], None],
        refresh: float = REFRESH,
        clock: Callable[[], float] = time.time,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self.store = store
        self.snapshot = kept.snapshot
        self.leadership = leadership
        self.fetch = fetch
        self.tell = tell
        self.refresh = refresh
        self.clock = clock
        self.monotonic = monotonic
        self.fetches = Counter()
        self.state: dict[KeySource, _Fetched] = {}
        self._seen = -1  # of the table's sources
        self._tasks: set[asyncio.Task[None]] = set()
        self._room = asyncio.Semaphore(MOST_AT_ONCE)
        self._woken = asyncio.Event()
        leadership.on_changed.append(self._woken.set)
        kept.on_changed.append(self._tell_of)

    def show(self, metrics: Metrics) -> None:
        metrics.show("argosy_jwks_fetches_total", "Key sets fetched from issuers, by result.", self.fetches)
        for name, help_text, read in (
            ("argosy_jwks_sources", "Places from which key sets are fetched.", lambda: len(self.state)),
            (
                "argosy_jwks_failing",
                "Of them, those of which the last fetch failed.",
                lambda: sum(bool(one.error) for one in self.state.values()),
            ),
            (
                "argosy_jwks_missing",
                "Of them, those without any keys: every token of their rules is refused.",
                lambda: sum(not self._keys(source) for source in self.state),
            ),
        ):
            metrics.show(name, help_text, Gauge(read))

    def reconciled(self) -> None:
        """The mesh may want other keys."""
        if self.snapshot.request_authentications.asked != self._seen:
            self._woken.set()

    def found(self, namespace: str, name: str) -> tuple[Found, ...] | None:
        """What is to be said of the keys that an object names; None: it names none, or another server knows."""
        rule = self.snapshot.request_authentications.rules.get((namespace, name))
        if rule is None or not rule.sources or not self.leadership.leads:
            return None
        found: list[Found] = []
        for index, written in enumerate(rule.rules):
            state = self.state.get(written.source) if written.source else None
            if written.source is None or state is None:
                continue
            where = f"spec.jwtRules[{index}]: the keys at {written.source.uri}"
            if why := self._missing(written.source, state):
                found.append(Found(NOT_FETCHED, f"{where} {why}", reference=True))
            found += [Found(NOT_USED, f"{where}: {told}", reference=False) for told in state.told]
        return tuple(found)

    def _missing(self, source: KeySource, state: _Fetched) -> str:
        if not self._keys(source):
            why = state.error or "they are being fetched"
            return f"are not there yet, and every token of this rule is refused: {why}"
        if state.error:
            since = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(state.since))
            return f"could not be fetched since {since}, and the last good ones hold: {state.error}"
        return ""

    def _keys(self, source: KeySource) -> str:
        return self.snapshot.request_authentications.key_set(source)

    # --- for ever ---

    async def run(self) -> None:
        try:
            while True:
                self._woken.clear()
                await self._look()
                await self._rest()
        finally:
            for task in self._tasks:
                task.cancel()
            await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _look(self) -> None:
        if not self.leadership.leads:
            self.state.clear()
            self._seen = -1
            return
        table = self.snapshot.request_authentications
        if table.asked != self._seen:
            self._seen = table.asked
            await self._follow(dict(table.sources()))
        now = self.monotonic()
        for source, state in self.state.items():
            if state.due <= now and not state.busy:
                state.busy = True
                task = asyncio.create_task(self._bring(source, state))
                self._tasks.add(task)
                task.add_done_callback(self._tasks.discard)

    async def _rest(self) -> None:
        due = min((one.due for one in self.state.values() if not one.busy), default=None)
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(None if due is None else max(0.0, due - self.monotonic())):
                await self._woken.wait()

    async def _follow(self, wanted: dict[KeySource, int]) -> None:
        """What is new is fetched at once; what has keys already, from before this term, is too, but not in a crowd."""
        for source in self.state.keys() - wanted.keys():
            del self.state[source]
        for source, timeout in wanted.items():
            state, seconds = self.state.get(source), min(timeout / 1000, MOST_SECONDS)
            if state is None:
                later = random.uniform(0, min(5.0, self.refresh / 10)) if self._keys(source) else 0.0  # noqa: S311
                self.state[source] = _Fetched(seconds, self.monotonic() + later)
            else:
                state.timeout = seconds
        await self._forget_others()

    async def _forget_others(self) -> None:
        wanted = {key_of(source) for source in self.state}
        try:
            for stored in (await self.store.list(RESOURCE)).items:
                if stored.key not in wanted:
                    with contextlib.suppress(NotFound, Conflict):
                        await self.store.delete(stored.key, stored.revision)
        except StoreError as error:
            log.warning("keys that nobody names are not forgotten yet", error=str(error))

    # --- one source ---

    async def _bring(self, source: KeySource, state: _Fetched) -> None:
        before = (state.error, state.told)
        try:
            async with self._room:
                found = await self._fetched(source, state.timeout)
            await self._write(source, found.text)
        except FetchError as error:
            self._failed(source, state, str(error))
        except StoreError as error:
            state.due = self.monotonic() + UNWRITTEN_RETRY
            log.warning("keys fetched and not stored: tried again", source=source.uri, error=str(error))
        except Exception as error:  # a defect of ours ends nothing, and is not tried again without a pause
            log.exception("keys not fetched", source=source.uri)
            self._failed(source, state, f"fetching failed ({type(error).__name__})")
        else:
            self.fetches.add(result="ok")
            if state.error or not state.good:
                log.info("keys fetched", source=source.uri, keys=found.keys, not_used=list(found.told))
            state.failures, state.error, state.told, state.good = 0, "", found.told, self.clock()
            state.due = self.monotonic() + _about(self.refresh)
        finally:
            state.busy = False
            self._woken.set()
        if (state.error, state.told) != before:
            self._tell_of(source)

    async def _fetched(self, source: KeySource, timeout: float) -> key_sets.KeySet:
        """Raises FetchError."""
        ends = self.monotonic() + timeout
        url = source.uri
        if source.discovers:
            url = _location(await self.fetch(url, timeout), url)
        try:
            found = key_sets.read(await self.fetch(url, max(0.001, ends - self.monotonic())))
        except ValueError as error:
            raise FetchError(f"what is there {error}") from error
        if not found.keys:
            raise FetchError("what is there has no key that proxies can use")
        return found

    def _failed(self, source: KeySource, state: _Fetched, why: str) -> None:
        self.fetches.add(result="failed")
        if not state.error:
            state.since = self.clock()
        if why != state.error:
            kept = "the last good ones hold" if self._keys(source) else "every token is refused"
            log.warning("keys not fetched", source=source.uri, error=why, so=kept)
        state.failures, state.error = state.failures + 1, why
        state.due = self.monotonic() + _about(min(LONGEST_RETRY, RETRY * 2 ** min(state.failures - 1, 20)))

    async def _write(self, source: KeySource, text: str) -> None:
        """Where it differs from what is stored, by this or another leader. Raises StoreError."""
        key, body = key_of(source), encoded(source, text)
        for _ in range(3):
            if not self.leadership.leads or source not in self.state:
                return
            try:
                stored = await self.store.get(key)
                if stored is None:
                    await self.store.create(key, body)
                elif stored.body != body:
                    await self.store.update(key, body, stored.revision)
                return
            except (AlreadyExists, Conflict, NotFound):
                continue

    def _tell_of(self, source: KeySource) -> None:
        refs: Iterable[Ref] = self.snapshot.request_authentications.named_by(source)
        self.tell([Key(POLICIES, namespace, name) for _, namespace, name in refs])


def _location(document: bytes, url: str) -> str:
    """Where an OpenID configuration says the keys are. Raises FetchError."""
    try:
        found: Any = msgspec.json.decode(document)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise FetchError("what is there is no OpenID configuration: it is not JSON") from error
    keys = found.get("jwks_uri") if isinstance(found, dict) else None
    if not isinstance(keys, str) or not keys.startswith(("https://", "http://")):
        raise FetchError("what is there is no OpenID configuration: it has no jwks_uri")
    if url.startswith("https://") and not keys.startswith("https://"):
        raise FetchError("the OpenID configuration leads from https to http")
    return keys


def _about(seconds: float) -> float:
    return seconds * random.uniform(0.9, 1.1)  # noqa: S311
