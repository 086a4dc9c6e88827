"""The figures of all servers on one table: the others tell theirs to the leader, who adds them up and writes.

    another server ── TellFigures (what differs from what it told before) ──> leader ── merged ──> conditions

Rules:
* Told is what changed, and everything anew to a new leader, or in a new term of the same one: a leader keeps nothing of
  an earlier term.
* A server counts once it has told everything (`whole`), and until it is no longer one of the fleet. From then on it is
  waited for where it has not said how it stands to an object, by its name.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping

from argosy.server.figures import Figure, merged
from argosy.store.base import Key


class Tally:
    """`peers`: the other servers that serve proxies now, id -> what they are called in messages."""

    def __init__(self, peers: Callable[[], Mapping[str, str]]) -> None:
        self.peers = peers
        self._told: dict[str, dict[Key, Figure]] = {}
        self._whole: set[str] = set()

    def clear(self) -> None:
        """Another term begins."""
        self._told.clear()
        self._whole.clear()

    def take(self, server: str, figures: Iterable[tuple[Key, Figure]], whole: bool) -> None:
        """`whole`: with this the server has told everything."""
        self._told.setdefault(server, {}).update(figures)
        if whole:
            self._whole.add(server)

    def complete(self) -> bool:
        """Whether every server has told everything."""
        return self._whole >= self.peers().keys()

    def drop_gone(self) -> bool:
        """Forgets the servers that are no longer there; whether there were any."""
        gone = self._told.keys() - self.peers().keys()
        for server in gone:
            del self._told[server]
            self._whole.discard(server)
        return bool(gone)

    def forget(self, key: Key) -> None:
        """The object is gone."""
        for told in self._told.values():
            told.pop(key, None)

    def of_all(self, key: Key, own: Figure) -> Figure:
        """How the object stands with the proxies of all servers."""
        peers = [(server, name) for server, name in self.peers().items() if server in self._whole]
        told = {server: self._told[server].get(key) for server, _ in peers}
        missing = tuple(f"the server at {name}" for server, name in peers if told[server] is None)
        return merged((own, *(one for one in told.values() if one is not None)), missing)
