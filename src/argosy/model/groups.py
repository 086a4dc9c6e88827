"""Rules grouped under what they are for (a host, a gateway, a namespace), the oldest first in each group."""

from __future__ import annotations

import bisect
from collections.abc import Hashable, Iterable, Iterator
from typing import Generic, Protocol, TypeVar


class Aged(Protocol):
    @property
    def age(self) -> tuple[str, str, str]:
        """Sorts the oldest first, and is unique within a kind."""


K = TypeVar("K", bound=Hashable)
R = TypeVar("R", bound=Aged)


def _age(rule: Aged) -> tuple[str, str, str]:
    return rule.age


class Groups(Generic[K, R]):
    """The tuple of a group is a value: it is replaced, never changed."""

    __slots__ = ("_groups",)

    def __init__(self) -> None:
        self._groups: dict[K, tuple[R, ...]] = {}

    def get(self, key: K) -> tuple[R, ...]:
        return self._groups.get(key, ())

    def __iter__(self) -> Iterator[K]:
        return iter(self._groups)

    def replace(self, old: R | None, before: Iterable[K], new: R | None, after: Iterable[K]) -> set[K]:
        """Takes `old` out of the groups `before`, puts `new` into `after`. The groups that appeared or vanished."""
        before, after = set(before), set(after)
        touched = before | after
        if old is not None and new is not None and old.age == new.age:  # in its place: groups may be long
            for key in before & after:
                rules = list(self._groups[key])
                rules[bisect.bisect_left(rules, old.age, key=_age)] = new
                self._groups[key] = tuple(rules)
            before, after = before - after, after - before
        existed = {key for key in touched if key in self._groups}
        for key in before:
            left = self._groups[key]
            if old is not None:
                at = bisect.bisect_left(left, old.age, key=_age)
                left = left[:at] + left[at + 1 :]
            if left:
                self._groups[key] = left
            else:
                del self._groups[key]
        if new is not None:
            for key in after:
                there = self._groups.get(key, ())
                at = bisect.bisect_left(there, new.age, key=_age)
                self._groups[key] = (*there[:at], new, *there[at:])
        return existed ^ {key for key in touched if key in self._groups}
