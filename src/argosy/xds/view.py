"""A view: type -> name -> resource, with a log of what changed when. Shared by every stream that sees the same.

* Every change of any view takes the next *position* of one counter, so positions of several views compare, and a
  stream remembers a single number per type: up to where it has looked.
* The log of a type maps name -> position of its last change, in that order, so "what changed since p" costs as much as
  it gives. A removed name stays in it (a tombstone) until every attached stream has looked.
* Those attached are told at once which names changed; they only mark themselves, the work is done later.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable
from itertools import count
from typing import Protocol

from argosy.xds.types import Resource

_positions = count(1)
_TOMBSTONES = 64  # kept without a thought; beyond, a quarter of the live names


class Watcher(Protocol):
    """Who is attached to a view (a stream)."""

    def changed(self, type_url: str, names: Collection[str]) -> None:
        """Some names changed. Must be quick, must not update views."""

    def catch_up(self, type_url: str) -> None:
        """Look at all changes of the type now: its tombstones are about to go."""


class _Table:
    __slots__ = ("log", "resources", "version")

    def __init__(self) -> None:
        self.resources: dict[str, Resource] = {}
        self.log: dict[str, int] = {}
        self.version = 0


_EMPTY = _Table()


class View:
    """A complete view: what is not in it does not exist."""

    def __init__(self) -> None:
        self._tables: dict[str, _Table] = {}
        self._watchers: dict[Watcher, None] = {}

    def get(self, type_url: str, name: str) -> Resource | None:
        return self._tables.get(type_url, _EMPTY).resources.get(name)

    def names(self, type_url: str) -> Collection[str]:
        return self._tables.get(type_url, _EMPTY).resources.keys()

    def resources(self, type_url: str) -> Collection[Resource]:
        return self._tables.get(type_url, _EMPTY).resources.values()

    def types(self) -> Collection[str]:
        return self._tables.keys()

    def position(self, type_url: str) -> int:
        """The position of the type's last change."""
        return self._tables.get(type_url, _EMPTY).version

    def changed_at(self, type_url: str, name: str) -> int:
        """The position of the name's last change; 0 where it never was, or its tombstone is gone."""
        return self._tables.get(type_url, _EMPTY).log.get(name, 0)

    def changed_since(self, type_url: str, position: int) -> list[str]:
        """Names added, changed or removed after `position`, latest first. Costs what it gives."""
        table = self._tables.get(type_url, _EMPTY)
        if table.version <= position:
            return []
        found = []
        for name, at in reversed(table.log.items()):
            if at <= position:
                break
            found.append(name)
        return found

    def knows(self, type_url: str) -> bool:
        """Whether its names are all the names of the type."""
        return True

    def denies(self, type_url: str, name: str) -> bool:
        """Whether the name is known not to exist."""
        return self.get(type_url, name) is None

    def update(self, type_url: str, upserts: Iterable[Resource] = (), removals: Iterable[str] = ()) -> int:
        """Takes in resources and removals; what is the same is no change. Returns the type's position after it."""
        table = self._tables.setdefault(type_url, _Table())
        changed: list[str] = []
        for resource in upserts:
            before = table.resources.get(resource.name)
            if before is None or before.version != resource.version:
                table.resources[resource.name] = resource
                changed.append(resource.name)
        for name in removals:
            if table.resources.pop(name, None) is not None:
                changed.append(name)
        return self._log(type_url, changed)

    def _log(self, type_url: str, names: Collection[str]) -> int:
        table = self._tables.setdefault(type_url, _Table())
        if not names:
            return table.version
        position = next(_positions)
        for name in names:
            table.log.pop(name, None)  # re-inserted at the end: the log is ordered by position
            table.log[name] = position
        table.version = position
        for watcher in tuple(self._watchers):
            watcher.changed(type_url, names)
        self._sweep(type_url, table)
        return position

    def tombstones(self, type_url: str) -> int:
        table = self._tables.get(type_url, _EMPTY)
        return len(table.log) - len(table.resources)

    def _sweep(self, type_url: str, table: _Table) -> None:
        if len(table.log) - len(table.resources) <= max(_TOMBSTONES, len(table.resources) // 4):
            return
        for watcher in tuple(self._watchers):
            watcher.catch_up(type_url)
        for name in [name for name in table.log if name not in table.resources]:
            del table.log[name]

    def attach(self, watcher: Watcher) -> None:
        self._watchers[watcher] = None

    def detach(self, watcher: Watcher) -> None:
        self._watchers.pop(watcher, None)


class PartialView(View):
    """A view that is still being filled (an agent's cache): what is not in it may exist, until `settle` or `deny`."""

    def __init__(self) -> None:
        super().__init__()
        self._settled: set[str] = set()
        self._denied: dict[str, set[str]] = {}

    def knows(self, type_url: str) -> bool:
        return type_url in self._settled

    def denies(self, type_url: str, name: str) -> bool:
        return self.get(type_url, name) is None and name in self._denied.get(type_url, ())

    def denied(self, type_url: str) -> Collection[str]:
        return self._denied.get(type_url, ())

    def settle(self, type_url: str) -> None:
        """All names of the type are there: a wildcard subscription can be answered."""
        if type_url not in self._settled:
            self._settled.add(type_url)
            for watcher in tuple(self._watchers):
                watcher.changed(type_url, ())

    def unsettle(self, type_url: str) -> None:
        """Not all names of the type are kept any more."""
        self._settled.discard(type_url)

    def deny(self, type_url: str, names: Iterable[str]) -> None:
        """The names do not exist: whoever asks for one is told so."""
        denied = self._denied.setdefault(type_url, set())
        fresh = [name for name in names if name not in denied]
        denied.update(fresh)
        self._log(type_url, [name for name in fresh if self.get(type_url, name) is None])

    def forget(self, type_url: str, names: Iterable[str]) -> None:
        """Nobody asks for the names any more: neither what they are nor that they are not is kept."""
        gone = set(names)
        self._denied.get(type_url, set()).difference_update(gone)
        super().update(type_url, (), gone)

    def update(self, type_url: str, upserts: Iterable[Resource] = (), removals: Iterable[str] = ()) -> int:
        added, gone = tuple(upserts), tuple(removals)
        self._denied.setdefault(type_url, set()).difference_update(resource.name for resource in added)
        held = [name for name in gone if self.get(type_url, name) is not None]
        self._denied[type_url].update(held)
        super().update(type_url, added, held)
        self.deny(type_url, gone)
        return self.position(type_url)
