"""What one workload's Envoy confirmed, refused, and has not been heard on; and what must stay because of that.

* *Good* is the last version of a resource that Envoy acknowledged. *Unconfirmed* names changed at the server since.
* A removal waits while the last good version of something may name what is removed: until nothing is unconfirmed or
  refused of the types that may (`REMOVED_AFTER`), and, for endpoints, until their cluster may go. Then what is good is
  always a whole that worked, whenever an Envoy starts from it.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping

from msgspec import Struct

from argosy.xds.subscription import WILDCARD, Flight
from argosy.xds.types import (
    CLUSTER,
    ENDPOINT,
    EXTENSION,
    FOLLOWED_BY,
    REMOVED_AFTER,
    ROUTE,
    SCOPE,
    SECRET,
    CachedResource,
    Resource,
)

LED_BY = {following: leading for leading, following in FOLLOWED_BY.items()}
DEPARTURES = (SCOPE, ROUTE, EXTENSION, CLUSTER, ENDPOINT, SECRET)
"""Types whose resources others name, in the order in which they may go."""


class Refusal(Struct, frozen=True):
    version: str
    message: str  # Envoy's words


class Ledger:
    """One workload's; it outlives the streams of its Envoys."""

    def __init__(self) -> None:
        self.dirty = False
        """Whether something to be saved has changed since this was set to False."""
        self.refused: dict[tuple[str, str], Refusal] = {}
        self._good: dict[str, dict[str, CachedResource]] = {}
        self._unconfirmed: dict[str, set[str]] = {}
        self._leaving: dict[str, set[str]] = {}  # removed by the server, but something good may name them
        self._astray: dict[str, set[str]] = {}  # what earlier streams left behind; see `Stream.astray`

    # -- good

    def good(self, type_url: str) -> Mapping[str, CachedResource]:
        return self._good.setdefault(type_url, {})

    def confirm(self, type_url: str, resource: Resource) -> None:
        good = self._good.setdefault(type_url, {})
        if resource.name not in good or good[resource.name].version != resource.version:
            good[resource.name] = _kept(resource)
            self.dirty = True

    def drop(self, type_url: str, name: str) -> None:
        """The name is good no more: Envoy has let go of it."""
        self.dirty |= self._good.get(type_url, {}).pop(name, None) is not None

    def on_acknowledged(self, type_url: str, flight: Flight, wanted: Collection[str]) -> None:
        """Envoy runs what it acknowledged, even if there is something newer by now. `wanted`: names asked for."""
        self._astray.get(type_url, set()).difference_update(flight.versions)
        for name, version in flight.versions.items():
            if version is None:
                self.drop(type_url, name)
        for resource in flight.resources:
            if WILDCARD in wanted or resource.name in wanted:
                self.confirm(type_url, resource)

    def forget(self, type_url: str, name: str) -> None:
        """Nobody asks for the name any more."""
        self.drop(type_url, name)
        self._unconfirmed.get(type_url, set()).discard(name)
        self._leaving.get(type_url, set()).discard(name)

    # -- not decided yet

    def unconfirmed(self, type_url: str) -> Collection[str]:
        return self._unconfirmed.get(type_url, ())

    def expect(self, type_url: str, names: Collection[str]) -> None:
        """The names have changed: Envoy's word is waited for."""
        self._unconfirmed.setdefault(type_url, set()).update(names)

    def decided(self, type_url: str, name: str) -> None:
        self._unconfirmed.get(type_url, set()).discard(name)

    # -- refused

    def refuse(self, type_url: str, name: str, version: str, message: str) -> None:
        self.refused[type_url, name] = Refusal(version, message)
        self.dirty = True

    def forgive(self, type_url: str, name: str) -> Refusal | None:
        """The refused version is offered no more; returns what the refusal was."""
        refusal = self.refused.pop((type_url, name), None)
        self.dirty |= refusal is not None
        return refusal

    def refuses(self, type_url: str) -> bool:
        return any(kind == type_url for kind, _ in self.refused)

    def refusals(self, type_url: str) -> dict[str, Refusal]:
        return {name: one for (kind, name), one in self.refused.items() if kind == type_url}

    # -- what Envoy may run besides

    def astray(self, type_url: str) -> Collection[str]:
        return self._astray.get(type_url, ())

    def stray(self, type_url: str, names: Collection[str]) -> None:
        self._astray.setdefault(type_url, set()).update(names)

    # -- what must stay

    def removed(self, type_url: str, names: Collection[str]) -> list[str]:
        """The server removed the names; returns those that may go at once."""
        leaving = self._leaving.setdefault(type_url, set())
        stay = {name for name in names if name in self.good(type_url) and self._may_be_named(type_url, name)}
        leaving.difference_update(names)
        leaving.update(stay)
        return [name for name in names if name not in stay]

    def stays(self, type_url: str, names: Collection[str]) -> None:
        """The server has the names, again or still."""
        self._leaving.get(type_url, set()).difference_update(names)

    def departures(self) -> Iterator[tuple[str, list[str]]]:
        """(type, names) that stayed and may go now."""
        for type_url in DEPARTURES:
            leaving = self._leaving.get(type_url, set())
            gone = [name for name in leaving if not self._may_be_named(type_url, name)]
            if gone:
                leaving.difference_update(gone)
                yield type_url, gone

    def _may_be_named(self, type_url: str, name: str) -> bool:
        """Whether the last good version of something that is not confirmed, or is refused, may name it."""
        leading = LED_BY.get(type_url)
        if leading is not None and name in self._leaving.get(leading, ()):
            return True
        users = REMOVED_AFTER.get(type_url, ())
        return any(self._unconfirmed.get(one) or self.refuses(one) for one in users)

    def awaits_users(self, type_url: str) -> bool:
        """Whether Envoy is still to confirm something that may lead it back to resources of the type."""
        users = (*REMOVED_AFTER.get(type_url, ()), LED_BY.get(type_url, ""))
        return any(self._unconfirmed.get(one) for one in users)


def _kept(resource: Resource) -> CachedResource:
    return CachedResource(resource.name, resource.version, resource.frame, resource.follow)
