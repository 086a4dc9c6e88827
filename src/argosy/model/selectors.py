"""The selectors that configuration uses, indexed so that a proxy's labels find theirs without a walk over all."""

from __future__ import annotations

from collections.abc import Iterable

from argosy.model.ir import Pairs
from argosy.model.scope import Selector
from argosy.model.updates import Ref


class SelectorIndex:
    """Selectors and the objects that use them. A selector lies in the bucket of its first label."""

    __slots__ = ("_buckets", "_users")

    def __init__(self) -> None:
        self._users: dict[Selector, set[Ref]] = {}
        self._buckets: dict[tuple[str, str], set[Selector]] = {}

    def replace(self, user: Ref, old: frozenset[Selector], new: frozenset[Selector]) -> bool:
        """Whether the set of selectors in use changed."""
        changed = False
        for selector in new - old:
            users = self._users.get(selector)
            if users is None:
                users = self._users[selector] = set()
                self._buckets.setdefault(selector.labels[0], set()).add(selector)
                changed = True
            users.add(user)
        for selector in old - new:
            users = self._users[selector]
            users.discard(user)
            if users:
                continue
            del self._users[selector]
            bucket = self._buckets[selector.labels[0]]
            bucket.discard(selector)
            if not bucket:
                del self._buckets[selector.labels[0]]
            changed = True
        return changed

    def matching(self, namespace: str, labels: Pairs) -> tuple[Selector, ...]:
        """Those that match the labels of a proxy in `namespace`, sorted by id."""
        have = frozenset(labels)
        found = {
            selector
            for pair in labels
            for selector in self._buckets.get(pair, ())
            if selector.matches(namespace, have)
        }
        return tuple(sorted(found, key=lambda selector: selector.id))

    def users(self) -> Iterable[Ref]:
        return (user for users in self._users.values() for user in users)
