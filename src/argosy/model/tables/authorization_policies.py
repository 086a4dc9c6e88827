"""AuthorizationPolicies, by the groups of workloads that look at them."""

from __future__ import annotations

from typing import Any

from argosy.model import lower_authorization_policy
from argosy.model.facts import Fact, FactKind
from argosy.model.groups import Groups
from argosy.model.policies import AuthorizationPolicyRule
from argosy.model.selectors import SelectorIndex
from argosy.model.tables.base import Name, Table
from argosy.model.updates import Ref
from argosy.resources.security import AuthorizationPolicy


class AuthorizationPolicies(Table[AuthorizationPolicyRule]):
    kind = "AuthorizationPolicy"
    resource = AuthorizationPolicy
    makes = frozenset((FactKind.AUTHORIZATION,))

    def __init__(self, selectors: SelectorIndex) -> None:
        super().__init__(selectors)
        self.by_group: Groups[str, AuthorizationPolicyRule] = Groups()

    def lower(self, obj: Any) -> AuthorizationPolicyRule:
        return lower_authorization_policy.lower(obj)

    def changed(
        self, key: Name, old: AuthorizationPolicyRule | None, new: AuthorizationPolicyRule | None
    ) -> set[Fact]:
        before = old.groups if old is not None else frozenset()
        after = new.groups if new is not None else frozenset()
        self.by_group.replace(old, before, new, after)
        return {Fact(FactKind.AUTHORIZATION, group) for group in before | after}

    def facts(self, key: Name, rule: AuthorizationPolicyRule) -> set[Fact]:
        return {Fact(FactKind.AUTHORIZATION, group) for group in rule.groups}

    def contributors(self, fact: Fact) -> frozenset[Ref]:
        return self.refs(self.by_group.get(fact.name))
