"""What an object asks for and cannot have, though the resources it concerns are made: told on that object alone."""

from __future__ import annotations

from collections.abc import Hashable, Iterator, Mapping

from argosy.model.updates import Ref

Place = tuple[Hashable, str, str]
"""(view, kind, name) of where it was found."""


class Faults:
    """Indexed by object and by place. Both are empty where nothing is wrong."""

    def __init__(self) -> None:
        self._by_ref: dict[Ref, dict[Place, str]] = {}
        self._by_place: dict[Place, Mapping[Ref, str]] = {}

    def put(self, place: Place, found: Mapping[Ref, str]) -> None:
        """What is wrong at a place now; nothing any more where `found` is empty."""
        for ref in self._by_place.pop(place, ()):
            held = self._by_ref[ref]
            del held[place]
            if not held:
                del self._by_ref[ref]
        if found:
            self._by_place[place] = dict(found)
        for ref, message in found.items():
            self._by_ref.setdefault(ref, {})[place] = message

    def forget(self, view: Hashable) -> None:
        for place in [place for place in self._by_place if place[0] is view]:
            self.put(place, {})

    def of(self, ref: Ref) -> str:
        """ "" for an object of which everything can be had."""
        return "; ".join(sorted(set(self._by_ref.get(ref, {}).values())))

    def __iter__(self) -> Iterator[Ref]:
        return iter(self._by_ref)
