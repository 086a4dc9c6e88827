"""Telemetry objects, by the group of proxies that look at them."""

from __future__ import annotations

from typing import Any

from argosy.model import lower_telemetry
from argosy.model.facts import Fact, FactKind
from argosy.model.groups import Groups
from argosy.model.scope import Selector
from argosy.model.selectors import SelectorIndex
from argosy.model.tables.base import Name, Table
from argosy.model.telemetry import TelemetryRule
from argosy.model.updates import Ref
from argosy.resources.telemetry import Telemetry


class Telemetries(Table[TelemetryRule]):
    kind = "Telemetry"
    resource = Telemetry
    makes = frozenset((FactKind.TELEMETRY,))

    def __init__(self, selectors: SelectorIndex) -> None:
        super().__init__(selectors)
        self.by_group: Groups[str, TelemetryRule] = Groups()

    def lower(self, obj: Any) -> TelemetryRule:
        return lower_telemetry.lower(obj)

    def changed(self, key: Name, old: TelemetryRule | None, new: TelemetryRule | None) -> set[Fact]:
        before, after = old.groups if old else frozenset(), new.groups if new else frozenset()
        self.by_group.replace(old, before, new, after)
        return {Fact(FactKind.TELEMETRY, group) for group in before | after}

    def facts(self, key: Name, rule: TelemetryRule) -> set[Fact]:
        return {Fact(FactKind.TELEMETRY, group) for group in rule.groups}

    def contributors(self, fact: Fact) -> frozenset[Ref]:
        return self.refs(self.by_group.get(fact.name))

    def selectors(self, rule: TelemetryRule) -> frozenset[Selector]:
        return frozenset(rule.selectors or ())
