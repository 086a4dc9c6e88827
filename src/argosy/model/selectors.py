"""The selectors that configuration uses, indexed so that a proxy's labels find theirs without a walk over all; those
by what a proxy says of itself, or by its address, are few, and are walked."""

from __future__ import annotations

from collections.abc import Iterable

from argosy.model.ir import Pairs
from argosy.model.scope import ACCOUNT, Selector, SelectorUse, is_within
from argosy.model.updates import Ref


class SelectorIndex:
    """Selectors and the objects that use them. A selector lies in the bucket of its first label, those of NODE and
    TRAIT and SUBNET apart."""

    __slots__ = ("_apart", "_buckets", "_users")

    def __init__(self) -> None:
        self._users: dict[Selector, set[Ref]] = {}
        self._buckets: dict[tuple[str, str], set[Selector]] = {}
        self._apart: dict[SelectorUse, set[Selector]] = {
            use: set() for use in (SelectorUse.NODE, SelectorUse.TRAIT, SelectorUse.SUBNET)
        }

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
            if not bucket and selector.use not in self._apart:
                del self._buckets[selector.labels[0]]
            changed = True
        return changed

    def _bucket(self, selector: Selector) -> set[Selector]:
        if selector.use in self._apart:
            return self._apart[selector.use]
        return self._buckets.setdefault(selector.labels[0], set())

    def matching(
        self, namespace: str, labels: Pairs, metadata: Pairs, address: str, root: str, account: str = ""
    ) -> tuple[Selector, ...]:
        """Those that match a proxy in `namespace`, by its labels, the metadata of its node, the address of its workload
        ("": not looked at), and the service account that it has proven, sorted by id. `root`: the namespace whose
        EnvoyFilters hold everywhere. (A workload says its labels itself: they are not looked at for an account.)"""
        have, said = frozenset(labels), frozenset(metadata)
        own, everywhere = frozenset((namespace,)), frozenset((namespace, root))
        found = {
            selector
            for pair in labels
            for selector in self._buckets.get(pair, ())
            if selector.use is not SelectorUse.SECRET
            and selector.matches(everywhere if selector.use is SelectorUse.ENVOY_FILTER else own, have)
        }
        proven = (ACCOUNT, account)
        found |= {
            one
            for one in self._buckets.get(proven, ())
            if one.use is SelectorUse.SECRET and one.matches(own, frozenset((proven,)))
        }
        found |= {one for one in self._apart[SelectorUse.NODE] if one.matches(own, said)}
        if address:
            subnets = self._apart[SelectorUse.SUBNET]
            found |= {one for one in subnets if is_within(address, one.labels[0][1])}
        return tuple(sorted(found, key=lambda selector: selector.id))

    def traits(self) -> frozenset[str]:
        """What is asked of every proxy."""
        return frozenset(selector.labels[0][0] for selector in self._apart[SelectorUse.TRAIT])

    def users(self) -> Iterable[Ref]:
        return (user for users in self._users.values() for user in users)
