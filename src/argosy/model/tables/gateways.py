"""Gateways, by the selector of the proxies that serve them ("" for all)."""

from __future__ import annotations

from typing import Any

from argosy.model import lower_gateway
from argosy.model.facts import Fact, FactKind
from argosy.model.groups import Groups
from argosy.model.rules import GatewayRule
from argosy.model.scope import Selector
from argosy.model.selectors import SelectorIndex
from argosy.model.tables.base import Name, Table, named, one, split
from argosy.model.updates import Ref
from argosy.resources.networking import Gateway


class Gateways(Table[GatewayRule]):
    kind = "Gateway"
    resource = Gateway
    makes = frozenset((FactKind.GATEWAY, FactKind.GATEWAY_SERVERS, FactKind.AUTO_PASSTHROUGH))

    def __init__(self, selectors: SelectorIndex) -> None:
        super().__init__(selectors)
        self.by_selector: Groups[str, GatewayRule] = Groups()

    def lower(self, obj: Any) -> GatewayRule:
        return lower_gateway.lower(obj)

    def changed(self, key: Name, old: GatewayRule | None, new: GatewayRule | None) -> set[Fact]:
        before, after = one(_selector_id(old)), one(_selector_id(new))
        self.by_selector.replace(old, before, new, after)
        facts = {named(FactKind.GATEWAY, key)}
        facts |= {Fact(FactKind.GATEWAY_SERVERS, selector) for selector in before | after}
        if before != after or _passed(old) != _passed(new):
            passing = _passed(old) + _passed(new)
            facts |= {Fact(FactKind.AUTO_PASSTHROUGH, selector) for selector in before | after if passing}
        return facts

    def facts(self, key: Name, rule: GatewayRule) -> set[Fact]:
        selector = _selector_id(rule) or ""
        facts = {named(FactKind.GATEWAY, key), Fact(FactKind.GATEWAY_SERVERS, selector)}
        return facts | ({Fact(FactKind.AUTO_PASSTHROUGH, selector)} if rule.auto_passthrough else set())

    def contributors(self, fact: Fact) -> frozenset[Ref]:
        if fact.kind is FactKind.GATEWAY_SERVERS:
            return self.refs(self.by_selector.get(fact.name))
        if fact.kind is FactKind.AUTO_PASSTHROUGH:
            return self.refs(rule for rule in self.by_selector.get(fact.name) if rule.auto_passthrough)
        rule = self.rules.get(split(fact.name))
        return self.refs((rule,) if rule else ())

    def selectors(self, rule: GatewayRule) -> frozenset[Selector]:
        return frozenset((rule.selector,)) if rule.selector and rule.selector.labels else frozenset()


def _passed(rule: GatewayRule | None) -> tuple[str, ...]:
    return rule.auto_passthrough if rule is not None else ()


def _selector_id(rule: GatewayRule | None) -> str | None:
    if rule is None:
        return None
    return rule.selector.id if rule.selector else ""
