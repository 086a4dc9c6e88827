"""Does everybody who uses it run it? Waits until the proxies have acknowledged what an object matters to.

A slot is one resource of one view; the compiler's reverse index says which are made from an object. A proxy counts that
holds the view and subscribes to the resource. Whoever is not connected is named and not waited for.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable

from argosy.server.metrics import Metrics
from argosy.server.proxies import ProxySession
from argosy.server.reconcile import Reconciler
from argosy.server.verdict import Rejection, State, Verdict
from argosy.server.views import Slot
from argosy.store.base import Key
from argosy.xds.stream import Standing
from argosy.xds.types import CLUSTER, ENDPOINT, EXTENSION, SECRET, short

FORGOTTEN = frozenset((CLUSTER, ENDPOINT, EXTENSION, SECRET))
"""Types whose removal nobody waits for: they go (later) when nothing that is acknowledged names them any more."""


class Delivery:
    def __init__(
        self,
        reconciler: Reconciler,
        lost: Callable[[], set[str]],
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        """`lost`: names (`workload.namespace`) of workloads that are known and not connected."""
        self.reconciler = reconciler
        self.lost = lost
        self.monotonic = monotonic
        self._moved = asyncio.Event()
        reconciler.on_reconciled.append(self._wake)
        reconciler.proxies.on_moved.append(self._session_moved)

    @property
    def metrics(self) -> Metrics:
        return self.reconciler.metrics

    def _wake(self) -> None:
        self._moved.set()

    def _session_moved(self, session: ProxySession) -> None:
        self._moved.set()

    async def deliver(self, key: Key, revision: int, timeout: float) -> Verdict:
        """Waits until the views hold `revision` and every connected proxy has answered what it got of the object."""
        started = self.monotonic()
        deadline = started + timeout
        while True:
            self._moved.clear()
            verdict = self.verdict(key, revision)
            if verdict.state is not State.TIMEOUT:
                self.metrics.delivery.observe(self.monotonic() - started)
                return verdict
            left = deadline - self.monotonic()
            if left <= 0:
                return verdict
            try:
                await asyncio.wait_for(self._moved.wait(), left)
            except TimeoutError:
                continue

    def verdict(self, key: Key, revision: int) -> Verdict:
        """How it stands now; TIMEOUT means that somebody has not answered yet."""
        reconciler = self.reconciler
        if reconciler.revision < revision:
            return Verdict(
                state=State.TIMEOUT,
                reason=f"revision {revision} is not in the views yet (they hold {reconciler.revision})",
            )
        disconnected = tuple(sorted(self.lost() - reconciler.proxies.connected_names()))
        if wrong := reconciler.unusable(key):
            return Verdict(state=State.REJECTED, disconnected=disconnected, reason=wrong)
        slots = reconciler.slots_of(key)
        if failures := reconciler.failures(slots):
            return Verdict(state=State.REJECTED, disconnected=disconnected, reason="; ".join(failures))
        acknowledged, pending, rejected = self._stand(slots)
        if rejected:
            state = State.REJECTED
        elif pending:
            state = State.TIMEOUT
        elif acknowledged:
            state = State.LIVE
        else:
            state = State.UNAFFECTED
        return Verdict(
            state=state,
            proxies=tuple(sorted(acknowledged)),
            pending=tuple(sorted(pending)),
            disconnected=disconnected,
            rejected=tuple(rejected),
            reason=self._reason(state, slots, pending),
        )

    def _stand(self, slots: set[Slot]) -> tuple[set[str], set[str], list[Rejection]]:
        by_view: dict[int, list[Slot]] = {}
        for slot in slots:
            by_view.setdefault(id(slot[0]), []).append(slot)
        acknowledged: set[str] = set()
        pending: set[str] = set()
        rejected: list[Rejection] = []
        for session in self.reconciler.proxies.sessions:
            standings = {
                (type_url, name): session.stream.standing(type_url, name)
                for view in session.held.layers
                for _, type_url, name in by_view.get(id(view), ())
                if type_url not in FORGOTTEN or view.get(type_url, name) is not None
            }
            used = {slot: one for slot, one in standings.items() if one is not Standing.UNSUBSCRIBED}
            rejected += [
                _rejection(session, type_url, name)
                for (type_url, name), one in used.items()
                if one is Standing.REJECTED
            ]
            if Standing.PENDING in used.values():
                pending.add(session.name)
            elif used and Standing.REJECTED not in used.values():
                acknowledged.add(session.name)
        return acknowledged - pending, pending, rejected

    def _reason(self, state: State, slots: set[Slot], pending: set[str]) -> str:
        if state is State.TIMEOUT:
            return f"not acknowledged by {', '.join(sorted(pending))}"
        if state is not State.UNAFFECTED:
            return ""
        if not self.reconciler.proxies.sessions:
            return "no proxy is connected"
        if not slots:
            return "no proxy's configuration is made from it"
        return "no connected proxy uses what is made from it"


def _rejection(session: ProxySession, type_url: str, name: str) -> Rejection:
    nack = session.stream.nack(type_url, name)
    return Rejection(
        proxy=session.name,
        message=nack.message if nack else session.last_nack,
        type=short(type_url),
        resource=name,
    )
