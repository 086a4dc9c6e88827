"""Which workloads whose connection was lost may be taken out of the mesh. A machine without I/O; time is an argument.

Rules (design: a workload is lost): a grace period runs first, also after a restart of the server. Never more than half
of a service's endpoints go for lost connections alone: the rest is kept and reported, because what is lost may be the
network between them and us, and not they. What counts as a service's endpoints is those it has now and those that this
episode of loss took, whichever leader did; the episode ends when none of its endpoints is lost. A new leader learns who
is lost bit by bit: for as long as a grace it ends no episode, and takes nobody who was taken for one that came back.
"""

from __future__ import annotations

import math
from collections.abc import Mapping

from msgspec import Struct

from argosy.store.base import Key

GRACE = 30.0


class Decision(Struct, frozen=True):
    remove: tuple[Key, ...]
    keep: tuple[tuple[Key, str], ...]  # and the service for whose sake


class Losses:
    def __init__(self, grace: float = GRACE) -> None:
        self.grace = grace
        self.since: dict[Key, float] = {}
        self.taken: dict[str, set[Key]] = {}  # service -> entries that this episode took
        self._settles = -math.inf  # when it can know who is lost

    def begin(self, now: float, taken: Mapping[str, set[Key]]) -> None:
        """This server leads from now on; `taken`: what was taken before."""
        self.taken = {service: set(entries) for service, entries in taken.items()}
        self._settles = now + self.grace

    def lose(self, entry: Key, now: float) -> None:
        """Its connection was lost (or not there when the server started); the first time counts."""
        self.since.setdefault(entry, now)

    def find(self, entry: Key) -> None:
        """It is connected again, or has left in order."""
        self.since.pop(entry, None)

    def due(self, now: float) -> tuple[Key, ...]:
        """Those whose grace is over, the longest lost first."""
        over = [(at, entry) for entry, at in self.since.items() if now - at >= self.grace]
        return tuple(entry for _, entry in sorted(over))

    def decide(self, now: float, members: Mapping[str, frozenset[Key]]) -> Decision:
        """`members`: service -> its announced endpoints. What is to be removed is forgotten: the caller removes it."""
        remaining = {service: set(entries) for service, entries in members.items()}
        if now >= self._settles:
            self._settle(remaining)
        remove: list[Key] = []
        keep: list[tuple[Key, str]] = []
        for entry in self.due(now):
            services = sorted(service for service, entries in remaining.items() if entry in entries)
            blocking = next((s for s in services if not self._may_take(entry, s, remaining[s])), None)
            if blocking is not None:
                keep.append((entry, blocking))
                continue
            remove.append(entry)
            self.find(entry)
            for service in services:
                remaining[service].discard(entry)
                self.taken.setdefault(service, set()).add(entry)
        return Decision(tuple(remove), tuple(keep))

    def _settle(self, remaining: Mapping[str, set[Key]]) -> None:
        for service in tuple(self.taken):
            there = remaining.get(service, set())
            self.taken[service] -= there - self.since.keys()  # it came back
            if not there & self.since.keys():
                del self.taken[service]

    def _may_take(self, entry: Key, service: str, remaining: set[Key]) -> bool:
        """One that was taken may still be there: the store did not delete it yet."""
        taken = self.taken.get(service, set())
        return len(taken | {entry}) * 2 <= len(taken | remaining)
