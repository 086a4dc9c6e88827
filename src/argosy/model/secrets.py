"""For whom a Secret is: every proxy of its namespace that names it, or those of the service accounts that it says.

Rule: as whom a proxy runs is what it has proven. What it says of itself (that it is a gateway, its labels, its node)
never gives it a Secret that is for certain accounts.
"""

from __future__ import annotations

from msgspec import Struct

from argosy.model.ir import Pairs
from argosy.model.scope import ACCOUNT, Scope, Selector, SelectorUse

ANNOTATION = "argosy.dev/service-accounts"


class SecretRule(Struct, frozen=True, kw_only=True):
    namespace: str
    data: Pairs  # as stored (base64)
    accounts: tuple[str, ...] | None = None  # of its namespace, sorted; None: all, (): nobody

    @property
    def selectors(self) -> frozenset[Selector]:
        return frozenset(
            Selector(SelectorUse.SECRET, ((ACCOUNT, account),), self.namespace)
            for account in self.accounts or ()
        )

    def is_for(self, scope: Scope) -> bool:
        if scope.namespace != self.namespace:
            return False
        return self.accounts is None or any(selector.id in scope.matched for selector in self.selectors)


def accounts(written: str, namespace: str) -> tuple[str, ...]:
    """Of an annotation: names, separated by commas, or with the namespace before them; those of other namespaces are
    never given a Secret."""
    found = set()
    for item in written.split(","):
        owner, slash, name = item.strip().rpartition("/")
        if name and (not slash or owner == namespace):
            found.add(name)
    return tuple(sorted(found))
