"""ProxyConfigs, by namespace. No proxy gets anything of them while it runs, so they make no facts."""

from __future__ import annotations

from typing import Any

from argosy.model import proxy_start
from argosy.model.facts import Fact
from argosy.model.groups import Groups
from argosy.model.proxy_start import ProxyConfigRule
from argosy.model.selectors import SelectorIndex
from argosy.model.tables.base import Name, Table
from argosy.model.updates import Ref
from argosy.resources.networking import ProxyConfig


class ProxyConfigs(Table[ProxyConfigRule]):
    kind = "ProxyConfig"
    resource = ProxyConfig
    makes = frozenset()

    def __init__(self, selectors: SelectorIndex) -> None:
        super().__init__(selectors)
        self.by_namespace: Groups[str, ProxyConfigRule] = Groups()

    def lower(self, obj: Any) -> ProxyConfigRule:
        return proxy_start.lower(obj)

    def changed(self, key: Name, old: ProxyConfigRule | None, new: ProxyConfigRule | None) -> set[Fact]:
        before = () if old is None else (old.namespace,)
        after = () if new is None else (new.namespace,)
        self.by_namespace.replace(old, before, new, after)
        return set()

    def facts(self, key: Name, rule: ProxyConfigRule) -> set[Fact]:
        return set()

    def contributors(self, fact: Fact) -> frozenset[Ref]:
        return frozenset()
