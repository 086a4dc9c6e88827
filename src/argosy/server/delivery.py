"""Does everybody who uses it run it? Waits until the proxies have acknowledged what an object matters to.

A slot is one resource of one view; the compiler's reverse index says which are made from an object. A proxy counts that
holds the view and subscribes to the resource. Whoever is not connected is named and not waited for.

A listener is acknowledged when it is accepted; it asks for its routes and filters after that, and takes no connection
until it has them. So where a listener is acknowledged and a route or filter of the same change is not asked for, the
proxy has FOLLOW_WITHIN to ask.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Callable

from msgspec import Struct

from argosy.server.proxies import ProxySession
from argosy.server.reconcile import Reconciler
from argosy.server.verdict import Rejection, State, Verdict
from argosy.server.views import Slot
from argosy.store.base import Key
from argosy.xds.stream import Standing
from argosy.xds.types import CLUSTER, ENDPOINT, EXTENSION, LISTENER, ROUTE, SCOPE, SECRET, short

FORGOTTEN = frozenset((CLUSTER, ENDPOINT, EXTENSION, SCOPE, SECRET))
"""Types whose removal nobody waits for: they go (later) when nothing that is acknowledged names them any more."""

FOLLOW_WITHIN = 0.5


class Answer(Struct, frozen=True):
    """How one proxy stands to the slots that it uses."""

    standing: Standing
    rejected: tuple[Rejection, ...] = ()
    may_follow: bool = False  # acknowledged, but it may be about to ask for more


class _Wait:
    """What one waiter knows, so that each acknowledgement costs a look at one proxy and not at all of them."""

    def __init__(self) -> None:
        self.woken = asyncio.Event()
        self.answers: dict[ProxySession, Answer] | None = None  # None: the views changed, look at all
        self.moved: set[ProxySession] = set()
        self.slots: dict[int, list[Slot]] = {}  # by view
        self.following: dict[ProxySession, float] = {}  # until when it may ask for more


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
        self._waits: set[_Wait] = set()
        reconciler.on_reconciled.append(self._reconciled)
        reconciler.proxies.on_moved.append(self._session_moved)

    def _reconciled(self) -> None:
        for wait in self._waits:
            wait.answers = None
            wait.woken.set()

    def _session_moved(self, session: ProxySession) -> None:
        for wait in self._waits:
            wait.moved.add(session)
            wait.woken.set()

    async def deliver(self, key: Key, revision: int, timeout: float) -> Verdict:
        """Waits until the views hold `revision` and every connected proxy has answered what it got of the object."""
        started = self.monotonic()
        deadline = started + timeout
        wait = _Wait()
        self._waits.add(wait)
        try:
            while True:
                wait.woken.clear()
                verdict = self._look(wait, key, revision)
                left = deadline - self.monotonic()
                if verdict.state is not State.TIMEOUT or left <= 0:
                    self.reconciler.metrics.delivery.observe(self.monotonic() - started)
                    return verdict
                now = self.monotonic()
                soon = (until - now for until in wait.following.values() if until > now)
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(min(left, *soon, left)):
                        await wait.woken.wait()
        finally:
            self._waits.discard(wait)

    def verdict(self, key: Key, revision: int) -> Verdict:
        """How it stands now; TIMEOUT means that somebody has not answered yet."""
        return self._look(_Wait(), key, revision)

    def _look(self, wait: _Wait, key: Key, revision: int) -> Verdict:
        reconciler = self.reconciler
        if reconciler.revision < revision:
            return Verdict(
                state=State.TIMEOUT,
                reason=f"revision {revision} is not in the views yet (they hold {reconciler.revision})",
            )
        disconnected = tuple(sorted(self.lost() - reconciler.proxies.connected_names()))
        if wrong := reconciler.unusable(key):
            return Verdict(state=State.REJECTED, disconnected=disconnected, reason=wrong)
        if wait.answers is None:
            slots = reconciler.slots_of(key)
            if failures := reconciler.failures(slots):
                return Verdict(state=State.REJECTED, disconnected=disconnected, reason="; ".join(failures))
            wait.slots = {}
            for slot in slots:
                wait.slots.setdefault(id(slot[0]), []).append(slot)
            wait.answers = {}
            wait.moved = set(reconciler.proxies.sessions)
        self._ask(wait, wait.answers)
        return self._judge(wait.answers, disconnected, bool(wait.slots))

    def _ask(self, wait: _Wait, answers: dict[ProxySession, Answer]) -> None:
        """Looks at the proxies that moved since, and at those that had time to ask for more."""
        now = self.monotonic()
        late = {session for session, until in wait.following.items() if until <= now}
        for session in wait.moved | late:
            answers.pop(session, None)
            if session not in self.reconciler.proxies.sessions:
                wait.following.pop(session, None)
                continue
            answer = _answer(session, wait.slots)
            if not answer.may_follow:
                wait.following.pop(session, None)
            elif now < wait.following.setdefault(session, now + FOLLOW_WITHIN):
                answer = _PENDING
            if answer.standing is not Standing.UNSUBSCRIBED:
                answers[session] = answer
        wait.moved = set()

    def _judge(
        self, answers: dict[ProxySession, Answer], disconnected: tuple[str, ...], concerns_views: bool
    ) -> Verdict:
        names: dict[Standing, set[str]] = {standing: set() for standing in Standing}
        for session, answer in answers.items():
            names[answer.standing].add(session.name)
        pending = names[Standing.PENDING]
        acknowledged = names[Standing.ACKNOWLEDGED] - pending
        rejected = tuple(one for answer in answers.values() for one in answer.rejected)
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
            rejected=rejected,
            reason=self._reason(state, concerns_views, pending),
        )

    def _reason(self, state: State, concerns_views: bool, pending: set[str]) -> str:
        if state is State.TIMEOUT:
            return f"not acknowledged by {', '.join(sorted(pending))}"
        if state is not State.UNAFFECTED:
            return ""
        if not self.reconciler.proxies.sessions:
            return "no proxy is connected"
        if not concerns_views:
            return "no proxy's configuration is made from it"
        return "no connected proxy uses what is made from it"


def _answer(session: ProxySession, slots: dict[int, list[Slot]]) -> Answer:
    """The worst of how the proxy stands to the slots of its views: refused, not answered yet, acknowledged, unused."""
    standings = {
        (type_url, name): session.stream.standing(type_url, name)
        for view in session.held.layers
        for _, type_url, name in slots.get(id(view), ())
        if type_url not in FORGOTTEN or view.get(type_url, name) is not None
    }
    found = standings.values()
    if Standing.REJECTED in found:
        refused = [slot for slot, standing in standings.items() if standing is Standing.REJECTED]
        return Answer(Standing.REJECTED, tuple(_rejection(session, *slot) for slot in refused))
    if Standing.PENDING in found:
        return _PENDING
    if Standing.ACKNOWLEDGED not in found:
        return _UNSUBSCRIBED
    if Standing.UNSUBSCRIBED not in found:
        return _ACKNOWLEDGED
    kinds = {(type_url, standing) for (type_url, _), standing in standings.items()}
    unasked = any((type_url, Standing.UNSUBSCRIBED) in kinds for type_url in (ROUTE, EXTENSION))
    return Answer(Standing.ACKNOWLEDGED, may_follow=unasked and (LISTENER, Standing.ACKNOWLEDGED) in kinds)


_PENDING, _UNSUBSCRIBED, _ACKNOWLEDGED = map(
    Answer, (Standing.PENDING, Standing.UNSUBSCRIBED, Standing.ACKNOWLEDGED)
)


def _rejection(session: ProxySession, type_url: str, name: str) -> Rejection:
    nack = session.stream.nack(type_url, name)
    return Rejection(
        proxy=session.name,
        message=nack.message if nack else session.last_nack,
        type=short(type_url),
        resource=name,
    )
