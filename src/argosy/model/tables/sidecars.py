"""Sidecars, and which of them a workload has."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from argosy.model import lower_sidecar
from argosy.model.facts import Fact, FactKind
from argosy.model.groups import Groups
from argosy.model.scope import Selector
from argosy.model.selectors import SelectorIndex
from argosy.model.sidecars import SidecarRule
from argosy.model.tables.base import SELECTORS, Name, Table, named, one, split
from argosy.model.updates import Ref
from argosy.resources.networking import Sidecar


class Sidecars(Table[SidecarRule]):
    kind = "Sidecar"
    resource = Sidecar
    makes = frozenset((FactKind.SIDECAR,))

    def __init__(self, selectors: SelectorIndex, domain_suffix: str) -> None:
        super().__init__(selectors)
        self._by_selector: Groups[str, SidecarRule] = Groups()  # id of a selector
        self._of_namespace: Groups[str, SidecarRule] = Groups()  # those without a selector
        self._domain_suffix = domain_suffix

    def chosen(self, namespace: str, root: str, matching: Iterable[Selector]) -> str:
        """`namespace/name` of the Sidecar of a workload; "" where there is none. What it says follows from SELECTORS.

        Facts (Istio): one that selects the workload, else that of the namespace, else that of the root namespace; of
        several the oldest.
        """
        selected = [rule for selector in matching for rule in self._by_selector.get(selector.id)]
        if selected:
            return min(selected, key=lambda rule: rule.age).id
        found = self._of_namespace.get(namespace) or self._of_namespace.get(root)
        return found[0].id if found else ""

    def lower(self, obj: Any) -> SidecarRule:
        return lower_sidecar.lower(obj, self._domain_suffix)

    def changed(self, key: Name, old: SidecarRule | None, new: SidecarRule | None) -> set[Fact]:
        self._by_selector.replace(old, one(_selector(old)), new, one(_selector(new)))
        self._of_namespace.replace(old, one(_everybody(old)), new, one(_everybody(new)))
        facts = {named(FactKind.SIDECAR, key)}
        if old is None or new is None or (old.selector, old.created) != (new.selector, new.created):
            facts.add(SELECTORS)
        return facts

    def facts(self, key: Name, rule: SidecarRule) -> set[Fact]:
        return {named(FactKind.SIDECAR, key)}

    def contributors(self, fact: Fact) -> frozenset[Ref]:
        key = split(fact.name)
        return frozenset(((self.kind, *key),)) if key in self.rules else frozenset()

    def selectors(self, rule: SidecarRule) -> frozenset[Selector]:
        return frozenset((rule.selector,)) if rule.selector else frozenset()


def _selector(rule: SidecarRule | None) -> str | None:
    return rule.selector.id if rule is not None and rule.selector is not None else None


def _everybody(rule: SidecarRule | None) -> str | None:
    return rule.namespace if rule is not None and rule.selector is None else None
