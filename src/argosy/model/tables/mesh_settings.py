"""Mesh settings: the one ConfigMap that holds them; without it the defaults are in force."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from argosy.model import ir, lower_mesh
from argosy.model.facts import Fact, FactKind
from argosy.model.selectors import SelectorIndex
from argosy.model.tables.base import Name, Table
from argosy.model.tables.ingresses import Ingresses
from argosy.model.updates import Ref
from argosy.resources.core import ConfigMap

MESH = Fact(FactKind.MESH)
PLACE = (lower_mesh.NAMESPACE, lower_mesh.NAME)


class MeshSettings(Table[ir.Mesh]):
    kind = "ConfigMap"
    resource = ConfigMap
    makes = frozenset((FactKind.MESH,))

    def __init__(
        self,
        selectors: SelectorIndex,
        defaults: ir.Mesh,
        ingresses: Ingresses,
        environment: Mapping[str, str],
    ) -> None:
        super().__init__(selectors)
        self.defaults = defaults
        self._ingresses = ingresses
        self._environment = environment

    @property
    def mesh(self) -> ir.Mesh:
        return self.rules.get(PLACE, self.defaults)

    def lower(self, obj: Any) -> ir.Mesh | None:
        if (obj.metadata.namespace, obj.metadata.name) != PLACE:
            return None
        return lower_mesh.lower(obj, self.defaults, self._environment)

    def changed(self, key: Name, old: ir.Mesh | None, new: ir.Mesh | None) -> set[Fact]:
        before, after = old or self.defaults, new or self.defaults
        if before == after:
            return set()
        facts = {MESH}
        if before.ingress_gateway != after.ingress_gateway:
            facts |= self._ingresses.serve_by(after.ingress_gateway)
        return facts

    def facts(self, key: Name, rule: ir.Mesh) -> set[Fact]:
        return {MESH}

    def contributors(self, fact: Fact) -> frozenset[Ref]:
        return frozenset((self.kind, *key) for key in self.rules)
