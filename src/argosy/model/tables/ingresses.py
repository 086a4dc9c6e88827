"""Ingresses, as the Gateways and VirtualServices that they are short for: these stand in the tables of their kinds,
under names that nobody else gives."""

from __future__ import annotations

from typing import Any

from argosy.model import lower_ingress
from argosy.model.facts import Fact
from argosy.model.lower_ingress import IngressRules
from argosy.model.selectors import SelectorIndex
from argosy.model.tables.base import Name, Table
from argosy.model.tables.gateways import Gateways
from argosy.model.tables.virtual_services import VirtualServices
from argosy.model.updates import Ref
from argosy.resources.ingress import Ingress


class Ingresses(Table[IngressRules]):
    kind = "Ingress"
    resource = Ingress
    makes = frozenset()  # the facts are those of the tables that it writes to

    def __init__(
        self,
        selectors: SelectorIndex,
        gateways: Gateways,
        routes: VirtualServices,
        domain_suffix: str,
        gateway: str,
    ) -> None:
        """`gateway`: the label `istio` of the gateways that serve them."""
        super().__init__(selectors)
        self._gateways = gateways
        self._routes = routes
        self._domain_suffix = domain_suffix
        self._served_by = gateway

    def lower(self, obj: Any) -> IngressRules:
        return lower_ingress.served_by(lower_ingress.lower(obj, self._domain_suffix), self._served_by)

    def serve_by(self, gateway: str) -> set[Fact]:
        """All of them, by the gateways with another label."""
        self._served_by = gateway
        facts: set[Fact] = set()
        for name, rules in tuple(self.rules.items()):
            facts |= self.set(name, lower_ingress.served_by(rules, gateway))
        return facts

    def changed(self, key: Name, old: IngressRules | None, new: IngressRules | None) -> set[Fact]:
        facts: set[Fact] = set()
        before, after = old or IngressRules(), new or IngressRules()
        gateway = after.gateway or before.gateway
        if gateway is not None:
            facts |= self._gateways.set((gateway.namespace, gateway.name), after.gateway)
        wanted = {(rule.namespace, rule.name): rule for rule in after.routes}
        for name in {(rule.namespace, rule.name) for rule in before.routes} | wanted.keys():
            facts |= self._routes.set(name, wanted.get(name))
        return facts

    def facts(self, key: Name, rule: IngressRules) -> set[Fact]:
        found: set[Fact] = set()
        if rule.gateway is not None:
            found |= self._gateways.facts((rule.gateway.namespace, rule.gateway.name), rule.gateway)
        for one in rule.routes:
            found |= self._routes.facts((one.namespace, one.name), one)
        return found

    def contributors(self, fact: Fact) -> frozenset[Ref]:
        return frozenset()
