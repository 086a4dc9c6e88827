"""DestinationRules of one host to the `DestinationPolicy` of a scope.

Facts (Istio): rules for one host in one namespace are merged, the oldest first: subsets are united and the first of a
name wins, the first traffic policy wins; a rule with a workloadSelector stands for the workloads it selects and takes
from the others what it does not say. A subset inherits field by field from the policy of the rule; a port's settings
replace everything and inherit nothing, but what they have no fields for (proxyProtocol, retryBudget).
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import msgspec

from argosy.model import ir
from argosy.model.hostnames import visible_from
from argosy.model.rules import DestinationRuleRule, PolicyParts, SubsetRule
from argosy.model.scope import Scope, Selector


def lookup_order(client: str, service: ir.Service | None, root: str) -> tuple[str, ...]:
    """The namespaces whose rules are looked at, in order. Facts (Istio): rules of the root namespace are for the whole
    mesh, so for a client that lives there they come last as for everybody."""
    own = () if client == root else (client,)
    of_service = (service.namespace,) if service is not None else ()
    return tuple(dict.fromkeys((*own, *of_service, root)))


def applicable(
    rules: Iterable[DestinationRuleRule], scope: Scope, default_export: tuple[str, ...]
) -> tuple[DestinationRuleRule, ...]:
    """Of the rules for one host and namespace (oldest first) those that hold for a scope: those with a selector first.
    () where none holds."""
    visible = [rule for rule in rules if visible_from(rule, default_export, scope.namespace)]
    selected: list[DestinationRuleRule] = []
    for rule in visible:
        if rule.selector is None or not _selects(rule.selector, scope):
            continue
        if not selected or selected[0].selector == rule.selector:
            selected.append(rule)
    return (*selected, *(rule for rule in visible if rule.selector is None))


def _selects(selector: Selector, scope: Scope) -> bool:
    """A workloadSelector without labels selects all of its namespace."""
    if not selector.labels:
        return selector.namespace == scope.namespace
    return selector.id in scope.matched


def merge(host: str, rules: Sequence[DestinationRuleRule]) -> ir.DestinationPolicy:
    """The policy that these rules (in order of precedence) say for `host`."""
    top: PolicyParts | None = None
    subsets: dict[str, SubsetRule] = {}
    for rule in rules:
        top = top or rule.policy
        for subset in rule.subsets:
            subsets.setdefault(subset.name, subset)
    found: dict[tuple[str, int], ir.TrafficPolicy] = {}
    if top is not None:
        found["", 0] = _policy(top)
        for port, parts in top.ports:
            found["", port] = _policy(_within(parts, top))
    for subset in subsets.values():
        if subset.policy is None:
            continue
        whole = _over(top, subset.policy)
        found[subset.name, 0] = _policy(whole)
        own = dict(subset.policy.ports)
        inherited = dict(top.ports) if top else {}
        for port in own.keys() | inherited.keys():
            parts = own[port] if port in own else _over(inherited[port], subset.policy)
            found[subset.name, port] = _policy(_within(parts, whole))
    return ir.DestinationPolicy(
        host=host,
        subsets=tuple(
            ir.Subset(
                name=subset.name,
                labels=subset.labels,
                tunnel=subset.policy.tunnel if subset.policy is not None else None,
            )
            for subset in sorted(subsets.values(), key=lambda subset: subset.name)
        ),
        policies=tuple((name, port, policy) for (name, port), policy in sorted(found.items(), key=_key)),
        tunnel=top.tunnel if top is not None else None,
    )


def _key(item: tuple[tuple[str, int], ir.TrafficPolicy]) -> tuple[str, int]:
    return item[0]


def _over(base: PolicyParts | None, own: PolicyParts) -> PolicyParts:
    if base is None:
        return own
    return PolicyParts(
        load_balancer=own.load_balancer or base.load_balancer,
        connection_pool=own.connection_pool or base.connection_pool,
        outlier=own.outlier or base.outlier,
        tls=own.tls or base.tls,
        proxy_protocol=own.proxy_protocol or base.proxy_protocol,
        retry_budget=own.retry_budget or base.retry_budget,
    )


def _within(port: PolicyParts, whole: PolicyParts) -> PolicyParts:
    """A port's settings with what they cannot say themselves."""
    return msgspec.structs.replace(port, proxy_protocol=whole.proxy_protocol, retry_budget=whole.retry_budget)


def _policy(parts: PolicyParts) -> ir.TrafficPolicy:
    balancer = parts.load_balancer
    return ir.TrafficPolicy(
        load_balancer=balancer.kind if balancer else ir.LoadBalancer.LEAST_REQUEST,
        hash=balancer.hash if balancer else None,
        minimum_ring_size=balancer.minimum_ring_size if balancer else None,
        maglev_table_size=balancer.maglev_table_size if balancer else None,
        warmup=balancer.warmup if balancer else None,
        locality=balancer.locality if balancer else None,
        connection_pool=parts.connection_pool or ir.ConnectionPool(),
        outlier=parts.outlier,
        tls=parts.tls,
        proxy_protocol=parts.proxy_protocol,
        retry_budget=parts.retry_budget,
    )
