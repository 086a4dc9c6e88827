"""Secrets, as they are stored (base64), and for whom they are."""

from __future__ import annotations

from typing import Any

from argosy.model.facts import Fact, FactKind
from argosy.model.scope import Selector
from argosy.model.secrets import ANNOTATION, SecretRule, accounts
from argosy.model.tables.base import Name, Table, named, split
from argosy.model.updates import Ref
from argosy.resources.core import Secret


class Secrets(Table[SecretRule]):
    kind = "Secret"
    resource = Secret
    makes = frozenset((FactKind.SECRET,))

    def lower(self, obj: Any) -> SecretRule:
        namespace, written = obj.metadata.namespace, obj.metadata.annotations.get(ANNOTATION)
        return SecretRule(
            namespace=namespace,
            data=tuple(sorted(obj.data.items())),
            accounts=None if written is None else accounts(written, namespace),
        )

    def changed(self, key: Name, old: SecretRule | None, new: SecretRule | None) -> set[Fact]:
        return {named(FactKind.SECRET, key)}

    def facts(self, key: Name, rule: SecretRule) -> set[Fact]:
        return {named(FactKind.SECRET, key)}

    def contributors(self, fact: Fact) -> frozenset[Ref]:
        key = split(fact.name)
        return frozenset(((self.kind, *key),)) if key in self.rules else frozenset()

    def selectors(self, rule: SecretRule) -> frozenset[Selector]:
        return rule.selectors
