"""Which workloads whose connection was lost may be taken out of the mesh. A machine without I/O; time is an argument.

Rules (design: a workload is lost): a grace period runs first, also after a restart of the server. Never more than half
of a service's endpoints go for lost connections alone: the rest is kept and reported, because what is lost may be the
network between them and us, and not they. What counts as a service's endpoints is those it has now and those that this
episode of loss took; the episode ends when none of its endpoints is lost.
"""

from __future__ import annotations

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
        for service in tuple(self.taken):
            self.taken[service] -= remaining.get(service, set())  # it came back
            if not remaining.get(service, set()) & self.since.keys():
                del self.taken[service]
        remove: list[Key] = []
        keep: list[tuple[Key, str]] = []
        for entry in self.due(now):
            services = sorted(service for service, entries in remaining.items() if entry in entries)
            blocking = next((s for s in services if not self._may_shrink(s, remaining[s])), None)
            if blocking is not None:
                keep.append((entry, blocking))
                continue
            remove.append(entry)
            self.find(entry)
            for service in services:
                remaining[service].discard(entry)
                self.taken.setdefault(service, set()).add(entry)
        return Decision(tuple(remove), tuple(keep))

    def _may_shrink(self, service: str, remaining: set[Key]) -> bool:
        taken = len(self.taken.get(service, ()))
        return (taken + 1) * 2 <= taken + len(remaining)
