"""What a table of the Snapshot is: the lowered objects of one kind, and which facts each of them makes.

Rules:
* `set` returns exactly the facts that changed: nothing for an object that lowers to what is already there.
* `facts_of` and `contributors` are the two directions of one relation: an object is a contributor of every fact that
  it has, and has every fact that it is a contributor of.
* Selectors that decide scopes are registered by the base: a table only names those of a rule.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable
from typing import Any, ClassVar, Generic, TypeVar

from argosy.model.facts import Fact, FactKind
from argosy.model.scope import Selector
from argosy.model.selectors import SelectorIndex
from argosy.model.updates import Ref
from argosy.resources.meta import Object

Name = tuple[str, str]
"""(namespace, name)."""

SELECTORS = Fact(FactKind.SELECTORS)
R = TypeVar("R")


class Table(ABC, Generic[R]):
    kind: ClassVar[str]
    resource: ClassVar[type[Object]]
    makes: ClassVar[frozenset[FactKind]]
    """The kinds of facts that its objects contribute to."""

    def __init__(self, selectors: SelectorIndex) -> None:
        self.rules: dict[Name, R] = {}
        self._selectors = selectors

    # --- what a kind says -------------------------------------------------------------------------------------------

    @abstractmethod
    def lower(self, obj: Any) -> R | None:
        """The object as a rule; None for one that is none of this table's. Raises where it cannot be lowered."""

    @abstractmethod
    def changed(self, key: Name, old: R | None, new: R | None) -> set[Fact]:
        """Brings the indexes from `old` to `new`, which differ, and says which facts changed."""

    @abstractmethod
    def facts(self, key: Name, rule: R) -> set[Fact]:
        """The facts that the object contributes to."""

    @abstractmethod
    def contributors(self, fact: Fact) -> frozenset[Ref]:
        """The objects that contribute to a fact of one of the kinds `makes`."""

    def selectors(self, rule: R) -> frozenset[Selector]:
        """Those by which the rule tells proxies apart."""
        return frozenset()

    # --- the same for all -------------------------------------------------------------------------------------------

    def put(self, obj: Any) -> set[Fact]:
        new = self.lower(obj)
        return set() if new is None else self.set((obj.metadata.namespace, obj.metadata.name), new)

    def set(self, key: Name, new: R | None) -> set[Fact]:
        """`new` None: the object is gone."""
        old = self.rules.get(key)
        if old == new:
            return set()
        if new is None:
            del self.rules[key]
        else:
            self.rules[key] = new
        facts = self.changed(key, old, new)
        before = self.selectors(old) if old is not None else frozenset()
        after = self.selectors(new) if new is not None else frozenset()
        if self._selectors.replace((self.kind, *key), before, after):
            facts.add(SELECTORS)
        return facts

    def facts_of(self, key: Name) -> frozenset[Fact]:
        rule = self.rules.get(key)
        return frozenset() if rule is None else frozenset(self.facts(key, rule))

    def refs(self, rules: Iterable[Any]) -> frozenset[Ref]:
        return frozenset((self.kind, rule.namespace, rule.name) for rule in rules)


def named(kind: FactKind, key: Name) -> Fact:
    """The fact of one object."""
    return Fact(kind, f"{key[0]}/{key[1]}")


def split(name: str) -> Name:
    """`named` taken back."""
    namespace, _, rest = name.partition("/")
    return namespace, rest


def one(item: str | None) -> frozenset[str]:
    return frozenset() if item is None else frozenset((item,))
