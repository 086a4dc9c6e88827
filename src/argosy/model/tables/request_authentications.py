"""RequestAuthentications, by the group of workloads that look at them and by where their keys are fetched; and the key
sets that were fetched, which the shell gives in."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from argosy.model import lower_request_authentication
from argosy.model.facts import Fact, FactKind
from argosy.model.groups import Groups
from argosy.model.selectors import SelectorIndex
from argosy.model.tables.base import Name, Table
from argosy.model.tokens import KeySource, RequestAuthenticationRule
from argosy.model.updates import Ref
from argosy.resources.security import RequestAuthentication


class RequestAuthentications(Table[RequestAuthenticationRule]):
    kind = "RequestAuthentication"
    resource = RequestAuthentication
    makes = frozenset((FactKind.REQUEST_AUTHENTICATION, FactKind.KEY_SET))

    def __init__(self, selectors: SelectorIndex) -> None:
        super().__init__(selectors)
        self.by_group: Groups[str, RequestAuthenticationRule] = Groups()
        self._by_source: Groups[str, RequestAuthenticationRule] = Groups()
        self._key_sets: dict[KeySource, str] = {}
        self.asked = 0
        """Counts the changes of what `sources` says, and may count more."""

    # --- key sets ---------------------------------------------------------------------------------------------------

    def sources(self) -> Iterator[tuple[KeySource, int]]:
        """Each place from which keys are wanted, and how long fetching them may take: as the rule says that allows the
        longest."""
        found: dict[KeySource, int] = {}
        for policy in self.rules.values():
            for one in policy.rules:
                if one.source is not None:
                    found[one.source] = max(found.get(one.source, 0), one.timeout)
        return iter(found.items())

    def named_by(self, source: KeySource) -> frozenset[Ref]:
        """The objects that want a source."""
        return self.refs(self._by_source.get(source.name))

    def key_set(self, source: KeySource) -> str:
        """As JSON; "": none yet."""
        return self._key_sets.get(source, "")

    def put_key_set(self, source: KeySource, text: str) -> set[Fact]:
        """`text` "": it is forgotten."""
        if self.key_set(source) == text:
            return set()
        if text:
            self._key_sets[source] = text
        else:
            del self._key_sets[source]
        return {Fact(FactKind.KEY_SET, source.name)}

    # --- the table --------------------------------------------------------------------------------------------------

    def lower(self, obj: Any) -> RequestAuthenticationRule:
        return lower_request_authentication.lower(obj)

    def changed(
        self, key: Name, old: RequestAuthenticationRule | None, new: RequestAuthenticationRule | None
    ) -> set[Fact]:
        before, after = old.groups if old else frozenset(), new.groups if new else frozenset()
        self.by_group.replace(old, before, new, after)
        self._by_source.replace(old, _sources(old), new, _sources(new))
        if _sources(old) or _sources(new):
            self.asked += 1
        return {Fact(FactKind.REQUEST_AUTHENTICATION, group) for group in before | after}

    def facts(self, key: Name, rule: RequestAuthenticationRule) -> set[Fact]:
        groups = {Fact(FactKind.REQUEST_AUTHENTICATION, group) for group in rule.groups}
        return groups | {Fact(FactKind.KEY_SET, name) for name in _sources(rule)}

    def contributors(self, fact: Fact) -> frozenset[Ref]:
        groups = self._by_source if fact.kind is FactKind.KEY_SET else self.by_group
        return self.refs(groups.get(fact.name))


def _sources(rule: RequestAuthenticationRule | None) -> frozenset[str]:
    return frozenset(source.name for source in rule.sources) if rule is not None else frozenset()
