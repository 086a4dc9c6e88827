"""EnvoyFilters, by the group of proxies that look at them."""

from __future__ import annotations

from typing import Any

from argosy.model import lower_envoy_filter
from argosy.model.facts import Fact, FactKind
from argosy.model.groups import Groups
from argosy.model.rules import EnvoyFilterRule
from argosy.model.scope import Selector
from argosy.model.selectors import SelectorIndex
from argosy.model.tables.base import Name, Table, named, split
from argosy.model.updates import Ref
from argosy.resources.networking import EnvoyFilter


class EnvoyFilters(Table[EnvoyFilterRule]):
    kind = "EnvoyFilter"
    resource = EnvoyFilter
    makes = frozenset((FactKind.ENVOY_FILTERS, FactKind.ENVOY_FILTER))

    def __init__(self, selectors: SelectorIndex) -> None:
        super().__init__(selectors)
        self.by_group: Groups[str, EnvoyFilterRule] = Groups()

    def lower(self, obj: Any) -> EnvoyFilterRule:
        return lower_envoy_filter.lower(obj)

    def changed(self, key: Name, old: EnvoyFilterRule | None, new: EnvoyFilterRule | None) -> set[Fact]:
        before, after = old.groups if old else frozenset(), new.groups if new else frozenset()
        self.by_group.replace(old, before, new, after)
        groups = {Fact(FactKind.ENVOY_FILTERS, group) for group in before | after}
        return {named(FactKind.ENVOY_FILTER, key), *groups}

    def facts(self, key: Name, rule: EnvoyFilterRule) -> set[Fact]:
        groups = {Fact(FactKind.ENVOY_FILTERS, group) for group in rule.groups}
        return {named(FactKind.ENVOY_FILTER, key), *groups}

    def contributors(self, fact: Fact) -> frozenset[Ref]:
        if fact.kind is FactKind.ENVOY_FILTERS:
            return self.refs(self.by_group.get(fact.name))
        rule = self.rules.get(split(fact.name))
        return self.refs((rule,) if rule else ())

    def selectors(self, rule: EnvoyFilterRule) -> frozenset[Selector]:
        nodes = (one.node for one in rule.patches if one.node is not None)
        return frozenset((*(rule.selectors or ()), *nodes))
