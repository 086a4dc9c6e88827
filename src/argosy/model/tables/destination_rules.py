"""DestinationRules, by the host they are for."""

from __future__ import annotations

from typing import Any

from argosy.model import lower_destination_rule
from argosy.model.facts import Fact, FactKind
from argosy.model.groups import Groups
from argosy.model.rules import DestinationRuleRule
from argosy.model.scope import Selector, traits
from argosy.model.selectors import SelectorIndex
from argosy.model.tables.base import Name, Table, one
from argosy.model.updates import Ref
from argosy.resources.networking import DestinationRule


class DestinationRules(Table[DestinationRuleRule]):
    kind = "DestinationRule"
    resource = DestinationRule
    makes = frozenset((FactKind.DESTINATION,))

    def __init__(self, selectors: SelectorIndex, domain_suffix: str) -> None:
        super().__init__(selectors)
        self.by_host: Groups[str, DestinationRuleRule] = Groups()
        self._domain_suffix = domain_suffix

    def lower(self, obj: Any) -> DestinationRuleRule:
        return lower_destination_rule.lower(obj, self._domain_suffix)

    def changed(
        self, key: Name, old: DestinationRuleRule | None, new: DestinationRuleRule | None
    ) -> set[Fact]:
        before, after = one(old.host if old else None), one(new.host if new else None)
        self.by_host.replace(old, before, new, after)
        return {Fact(FactKind.DESTINATION, host) for host in before | after}

    def facts(self, key: Name, rule: DestinationRuleRule) -> set[Fact]:
        return {Fact(FactKind.DESTINATION, rule.host)}

    def contributors(self, fact: Fact) -> frozenset[Ref]:
        return self.refs(self.by_host.get(fact.name))

    def selectors(self, rule: DestinationRuleRule) -> frozenset[Selector]:
        own = (rule.selector,) if rule.selector and rule.selector.labels else ()
        return frozenset((*own, *traits(rule.traits)))
