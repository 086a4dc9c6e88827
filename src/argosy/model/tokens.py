"""RequestAuthentications as rules, and what those for one workload are together.

Facts (Istio): those of the root namespace and of the workload's are joined, the mesh's first and the oldest first;
rules are asked in the order of their issuers.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable

from msgspec import Struct
from msgspec.structs import replace

from argosy.model import attachment
from argosy.model.attachment import AttachedRule
from argosy.model.ir.tokens import TokenRule

DEFAULT_TIMEOUT = 5000


class KeySource(Struct, frozen=True, order=True):
    """Where a key set is fetched by the control plane. `discovers`: what is there is the issuer's OpenID configuration,
    which names the key set."""

    uri: str
    discovers: bool = False

    @property
    def name(self) -> str:
        """Of its fact."""
        return f"openid:{self.uri}" if self.discovers else self.uri


class WrittenRule(Struct, frozen=True):
    rule: TokenRule  # without keys where there is a source
    source: KeySource | None = None
    timeout: int = DEFAULT_TIMEOUT  # of fetching, in milliseconds


class RequestAuthenticationRule(AttachedRule, frozen=True, kw_only=True):
    rules: tuple[WrittenRule, ...] = ()

    @property
    def sources(self) -> frozenset[KeySource]:
        return frozenset(one.source for one in self.rules if one.source is not None)


def joined(
    policies: Iterable[RequestAuthenticationRule],
    root: str,
    labels: frozenset[tuple[str, str]],
    keys: Callable[[KeySource], str],
) -> tuple[TokenRule, ...]:
    """What holds for a workload with these labels. `policies`: of the groups that it looks at; `keys`: the key set from
    a source, "" where there is none yet."""
    own = {(one.namespace, one.name): one for one in policies if attachment.holds(one.selected, labels)}
    ordered = sorted(own.values(), key=lambda one: (one.namespace != root, one.age))
    written = (each for one in ordered for each in one.rules)
    rules = (
        each.rule if each.source is None else replace(each.rule, keys=keys(each.source)) for each in written
    )
    return tuple(sorted(rules, key=lambda rule: rule.issuer))
