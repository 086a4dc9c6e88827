"""Secrets, as they are stored (base64)."""

from __future__ import annotations

from typing import Any

from argosy.model import ir
from argosy.model.facts import Fact, FactKind
from argosy.model.tables.base import Name, Table, named, split
from argosy.model.updates import Ref
from argosy.resources.core import Secret


class Secrets(Table[ir.Pairs]):
    kind = "Secret"
    resource = Secret
    makes = frozenset((FactKind.SECRET,))

    def lower(self, obj: Any) -> ir.Pairs:
        return tuple(sorted(obj.data.items()))

    def changed(self, key: Name, old: ir.Pairs | None, new: ir.Pairs | None) -> set[Fact]:
        return {named(FactKind.SECRET, key)}

    def facts(self, key: Name, rule: ir.Pairs) -> set[Fact]:
        return {named(FactKind.SECRET, key)}

    def contributors(self, fact: Fact) -> frozenset[Ref]:
        key = split(fact.name)
        return frozenset(((self.kind, *key),)) if key in self.rules else frozenset()
