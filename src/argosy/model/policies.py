"""Which AuthorizationPolicies are for a workload, and what they mean in its mesh.

Facts (Istio): those of the root namespace are for every namespace, by their selectors; the others for their own.
In a principal `cluster.local` stands for the mesh's own trust domain, whatever that is called, and a principal of the
mesh's domain or of one of its aliases is one of all of them. A principal that does not name a trust domain, or another
one, means what it says.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from functools import lru_cache
from typing import TYPE_CHECKING

from msgspec.structs import replace

from argosy.model import attachment, ir
from argosy.model.attachment import AttachedRule
from argosy.model.ir.policies import (
    Action,
    Attribute,
    Authorization,
    AuthorizationPolicy,
    Condition,
    Match,
    PolicyRule,
    TextMatch,
    text_match,
)
from argosy.model.providers import ExternalAuthorization
from argosy.model.scope import Scope

if TYPE_CHECKING:
    from argosy.model.reader import Reader

POINTER = "cluster.local"
"""Means the mesh's own trust domain, however it is called."""


class AuthorizationPolicyRule(AttachedRule, frozen=True, kw_only=True):
    policy: AuthorizationPolicy


Domains = tuple[str, ...]
"""The mesh's trust domain, then its aliases."""


def domains(mesh: ir.Mesh) -> Domains:
    return (mesh.trust_domain, *mesh.trust_domain_aliases)


def for_workload(
    rules: Iterable[AuthorizationPolicyRule], labels: frozenset[tuple[str, str]], trusted: Domains
) -> Authorization:
    """`rules`: those of the groups of a workload with these labels, in any order. The oldest first."""
    found = {rule.age: rule for rule in rules if attachment.holds(rule.selected, labels)}
    ordered = [(found[age].policy.action, in_mesh(found[age].policy, trusted)) for age in sorted(found)]
    by_action = {
        action: tuple(policy for its, policy in ordered if its is action) for action in tuple(Action)
    }
    return Authorization(
        custom=by_action[Action.CUSTOM],
        audit=by_action[Action.AUDIT],
        deny=by_action[Action.DENY],
        allow=by_action[Action.ALLOW],
    )


def authorizer(policies: Authorization, scope: Scope, reader: Reader) -> ExternalAuthorization | None:
    """Whom the policies of CUSTOM for a workload ask, its service in full. None: there is no such provider, something
    is wrong with it, the proxy does not see its service, or they name several: then what they match is denied."""
    named = {one.provider for one in policies.custom}
    found = dict(reader.mesh().authorizers).get(named.pop()) if len(named) == 1 else None
    if found is None:
        return None
    for host in (found.to.host, f"{found.to.host}.svc.{reader.mesh().domain_suffix}"):
        service = reader.service(host)
        if service is not None and service.port(found.to.port) is not None and reader.visible(scope, host):
            return replace(found, to=replace(found.to, host=host))
    return None


# --- trust domains --------------------------------------------------------------------------------------------------


@lru_cache(maxsize=4096)
def in_mesh(policy: AuthorizationPolicy, trusted: Domains) -> AuthorizationPolicy:
    """A policy as written, as it holds in a mesh of these trust domains."""
    return replace(policy, rules=tuple(_rule(rule, trusted) for rule in policy.rules))


def _rule(rule: PolicyRule, trusted: Domains) -> PolicyRule:
    return PolicyRule(
        sources=tuple(tuple(_condition(one, trusted) for one in source) for source in rule.sources),
        operations=rule.operations,
        when=tuple(_condition(one, trusted) for one in rule.when),
    )


def _condition(condition: Condition, trusted: Domains) -> Condition:
    match condition.attribute:
        case Attribute.SOURCE_PRINCIPAL:
            expand = _principal
        case Attribute.SOURCE_TRUST_DOMAIN:
            expand = _trust_domain
        case _:
            return condition
    return replace(
        condition,
        values=_expanded(condition.values, trusted, expand),
        not_values=_expanded(condition.not_values, trusted, expand),
    )


Expand = Callable[[Match, Domains], Iterable[Match]]


def _expanded(matches: tuple[Match, ...], trusted: Domains, expand: Expand) -> tuple[Match, ...]:
    return tuple(dict.fromkeys(one for match in matches for one in expand(match, trusted)))


def _principal(match: Match, trusted: Domains) -> Iterable[Match]:
    domain, *rest = match.written.split("/")
    ours = domain == POINTER or any(_alike(domain, one) for one in trusted)
    if len(rest) != 4 or domain == "*" or not ours:  # TRUST-DOMAIN/ns/NAMESPACE/sa/SERVICE-ACCOUNT
        yield match
        return
    for one in trusted:
        yield match if _ends(one, domain) else text_match("/".join((one, *rest)))


def _trust_domain(match: Match, trusted: Domains) -> Iterable[Match]:
    if match.value in trusted:
        return (Match(TextMatch.EXACT, one) for one in trusted)
    return (match,)


def _alike(one: str, other: str) -> bool:
    """Whether one is the other, or a wildcard that covers it."""
    return (
        one == other
        or other == "*"
        or any(
            (pattern.endswith("*") and domain.startswith(pattern[:-1])) or _ends(domain, pattern)
            for domain, pattern in ((one, other), (other, one))
        )
    )


def _ends(domain: str, pattern: str) -> bool:
    return pattern.startswith("*") and domain.endswith(pattern[1:])
