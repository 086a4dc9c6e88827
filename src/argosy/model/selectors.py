"""The selectors that configuration uses, indexed so that a proxy's labels find theirs without a walk over all; those
by what a proxy says of itself are few, and are walked."""

from __future__ import annotations

from collections.abc import Iterable

from argosy.model.ir import Pairs
from argosy.model.scope import Selector, SelectorUse
from argosy.model.updates import Ref


class SelectorIndex:
    """Selectors and the objects that use them. A selector lies in the bucket of its first label, those of NODE and
    TRAIT apart."""

    __slots__ = ("_buckets", "_of_nodes", "_traits", "_users")

    def __init__(self) -> None:
        self._users: dict[Selector, set[Ref]] = {}
        self._buckets: dict[tuple[str, str], set[Selector]] = {}
        self._of_nodes: set[Selector] = set()
        self._traits: set[Selector] = set()

    def replace(self, user: Ref, old: frozenset[Selector], new: frozenset[Selector]) -> bool:
        """Whether the set of selectors in use changed."""
        changed = False
        for selector in new - old:
            users = self._users.get(selector)
            if users is None:
                users = self._users[selector] = set()
                self._bucket(selector).add(selector)
                changed = True
            users.add(user)
        for selector in old - new:
            users = self._users[selector]
            users.discard(user)
            if users:
                continue
            del self._users[selector]
            bucket = self._bucket(selector)
            bucket.discard(selector)
            if not bucket and bucket is not self._of_nodes and bucket is not self._traits:
                del self._buckets[selector.labels[0]]
            changed = True
        return changed

    def _bucket(self, selector: Selector) -> set[Selector]:
        if selector.use is SelectorUse.NODE:
            return self._of_nodes
        if selector.use is SelectorUse.TRAIT:
            return self._traits
        return self._buckets.setdefault(selector.labels[0], set())

    def matching(self, namespace: str, labels: Pairs, metadata: Pairs, root: str) -> tuple[Selector, ...]:
        """Those that match a proxy in `namespace`, by its labels and the metadata of its node, sorted by id. `root`:
        the namespace whose EnvoyFilters hold everywhere."""
        have, said = frozenset(labels), frozenset(metadata)
        own, everywhere = frozenset((namespace,)), frozenset((namespace, root))
        found = {
            selector
            for pair in labels
            for selector in self._buckets.get(pair, ())
            if selector.matches(everywhere if selector.use is SelectorUse.ENVOY_FILTER else own, have)
        }
        found |= {selector for selector in self._of_nodes if selector.matches(own, said)}
        return tuple(sorted(found, key=lambda selector: selector.id))

    def traits(self) -> frozenset[str]:
        """What is asked of every proxy."""
        return frozenset(selector.labels[0][0] for selector in self._traits)

    def users(self) -> Iterable[Ref]:
        return (user for users in self._users.values() for user in users)
