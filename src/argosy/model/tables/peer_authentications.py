"""PeerAuthentications, by the group of workloads that look at them."""

from __future__ import annotations

from typing import Any

from argosy.model import lower_peer_authentication
from argosy.model.facts import Fact, FactKind
from argosy.model.groups import Groups
from argosy.model.rules import PeerAuthenticationRule
from argosy.model.selectors import SelectorIndex
from argosy.model.tables.base import Name, Table, one
from argosy.model.updates import Ref
from argosy.resources.security import PeerAuthentication


class PeerAuthentications(Table[PeerAuthenticationRule]):
    kind = "PeerAuthentication"
    resource = PeerAuthentication
    makes = frozenset((FactKind.PEER_AUTHENTICATION,))

    def __init__(self, selectors: SelectorIndex) -> None:
        super().__init__(selectors)
        self.by_group: Groups[str, PeerAuthenticationRule] = Groups()

    def lower(self, obj: Any) -> PeerAuthenticationRule:
        return lower_peer_authentication.lower(obj)

    def changed(
        self, key: Name, old: PeerAuthenticationRule | None, new: PeerAuthenticationRule | None
    ) -> set[Fact]:
        before, after = one(old.group if old else None), one(new.group if new else None)
        self.by_group.replace(old, before, new, after)
        return {Fact(FactKind.PEER_AUTHENTICATION, group) for group in before | after}

    def facts(self, key: Name, rule: PeerAuthenticationRule) -> set[Fact]:
        return {Fact(FactKind.PEER_AUTHENTICATION, rule.group)}

    def contributors(self, fact: Fact) -> frozenset[Ref]:
        return self.refs(self.by_group.get(fact.name))
