"""What a stream remembers of one type: what is asked for, what is owed, what is out, what was refused.

Memory matters (10,000 streams): the set of names is shared between all that ask for the same, `seen` is one number,
and the rest is empty while nothing changes.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable
from enum import StrEnum
from weakref import WeakValueDictionary

from argosy.xds.types import Nack, Resource

WILDCARD = "*"
NEVER = -1
"""The position of a resource that the client does not have."""
BROUGHT = 0
"""The position of a resource that the client has in some version from an earlier stream."""

_sets: WeakValueDictionary[frozenset[str], frozenset[str]] = WeakValueDictionary()


def shared(names: Iterable[str]) -> frozenset[str]:
    """The one frozenset of these names."""
    wanted = frozenset(names)
    return _sets.setdefault(wanted, wanted)


class Standing(StrEnum):
    """How a client stands to a resource."""

    ACKNOWLEDGED = "acknowledged"
    PENDING = "pending"
    REJECTED = "rejected"
    UNSUBSCRIBED = "unsubscribed"


class Flight:
    """A response that is not acknowledged yet."""

    __slots__ = ("known", "nonce", "position", "resources", "sent_at", "versions")

    def __init__(
        self,
        nonce: str,
        position: int,
        sent_at: float,
        resources: tuple[Resource, ...],
        removed: Iterable[str],
        known: dict[str, int],
    ) -> None:
        self.nonce = nonce
        self.position = position  # up to where the client is current once it acknowledges
        self.sent_at = sent_at
        self.resources = resources
        self.versions: dict[str, str | None] = {one.name: one.version for one in resources}
        self.versions.update(dict.fromkeys(removed))  # None: removed
        self.known = known  # name -> up to where the client was current before


class Subscription:
    """One type on one stream."""

    __slots__ = (
        "acknowledged",
        "flight",
        "greet",
        "held_since",
        "nack",
        "names",
        "owed",
        "rejected",
        "resume",
        "seen",
        "sent",
        "trials",
        "uncertain",
        "waiting",
        "wildcard",
    )

    def __init__(self) -> None:
        self.wildcard = False
        self.names: frozenset[str] = shared(())
        self.seen = 0  # position up to which changes were looked at
        self.owed: dict[str, int] = {}  # name -> position up to which the client is current
        self.greet = False  # a new wildcard subscription is answered even if there is nothing
        self.resume: dict[str, str] = {}  # versions the client brought along, of names not known yet
        self.waiting: dict[
            str, None
        ] = {}  # names asked for that got no answer: unknown yet, or not to be answered
        self.flight: Flight | None = None
        self.trials: list[Collection[str]] = []  # groups to be sent alone: one of them is bad
        self.rejected: dict[str, str] = {}  # name -> version that was refused
        self.uncertain: dict[str, frozenset[str | None]] = {}
        """Name -> versions (None: none) that the client may run in place of the last one it acknowledged."""
        self.nack: Nack | None = None
        self.held_since: float | None = None
        self.sent = 0  # positions of the last response sent, and of the last acknowledged
        self.acknowledged = 0

    def wants(self, name: str) -> bool:
        return self.wildcard or name in self.names

    def wants_any(self, names: Iterable[str]) -> bool:
        return self.wildcard or any(name in self.names for name in names)

    def astray(self) -> set[str]:
        """Of a response that it refuses Envoy takes a part without noting the versions, and what is out may be
        refused."""
        return set(self.uncertain) | (set(self.flight.versions) if self.flight is not None else set())

    def owe(self, name: str, known: int) -> None:
        """The client must be told about the name; `known`: up to where it is current."""
        if self.flight is not None and name in self.flight.known:
            known = self.flight.known[name]
        self.owed[name] = min(known, self.owed.get(name, known))

    def change(self, subscribe: Collection[str], unsubscribe: Collection[str]) -> None:
        names = set(self.names)
        names.difference_update(unsubscribe)
        names.update(subscribe)
        if WILDCARD in unsubscribe and WILDCARD not in subscribe:
            self.wildcard = False
        if WILDCARD in subscribe:
            self.wildcard = True
        names.discard(WILDCARD)
        self.names = shared(names)
        gone = [name for name in unsubscribe if not self.wants(name)]
        if WILDCARD in unsubscribe and not self.wildcard:
            gone += [
                name
                for name in (*self.owed, *self.rejected, *self.uncertain, *self.resume, *self.waiting)
                if not self.wants(name)
            ]
        for name in gone:
            self.owed.pop(name, None)
            self.rejected.pop(name, None)
            self.uncertain.pop(name, None)
            self.resume.pop(name, None)
            self.waiting.pop(name, None)
