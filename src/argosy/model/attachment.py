"""Whom a policy is for: workloads by label, or gateways by reference.

Facts (Istio): a policy of the root namespace is for the mesh, another for its namespace, and a selector narrows either.
With references it is for nobody else: a Gateway of the Gateway API means the proxies of its namespace that have its
label. Services, ServiceEntries and GatewayClasses mean waypoints, which are not served.
"""

from __future__ import annotations

from typing import Protocol

from msgspec import Struct

from argosy.model.ir import Pairs
from argosy.model.lower_envoy_filter import GATEWAY, GATEWAY_LABEL
from argosy.model.lower_http import pairs
from argosy.model.rules import policy_group, policy_groups
from argosy.resources.selector import PolicyTargetReference, WorkloadSelector

Selected = tuple[Pairs, ...] | None
"""Label sets, ANY of which a workload must have in full; (): nobody's; None: everybody's."""


class Attached(Protocol):
    @property
    def selector(self) -> WorkloadSelector | None: ...

    @property
    def target_ref(self) -> PolicyTargetReference | None: ...

    @property
    def target_refs(self) -> tuple[PolicyTargetReference, ...]: ...


class AttachedRule(Struct, frozen=True, kw_only=True):
    """What a policy has, whatever it says, once it is lowered."""

    namespace: str
    name: str
    created: str = ""
    selected: Selected = None

    @property
    def age(self) -> tuple[str, str, str]:
        return (self.created, self.name, self.namespace)

    @property
    def groups(self) -> frozenset[str]:
        """Of the objects that the same workloads look at."""
        return groups(self.namespace, self.selected)


def selected(spec: Attached) -> Selected:
    refs = spec.target_refs or ((spec.target_ref,) if spec.target_ref is not None else ())
    if refs:
        names = sorted({ref.name for ref in refs if (ref.group, ref.kind) == GATEWAY})
        return tuple(((GATEWAY_LABEL, name),) for name in names)
    labels = pairs(spec.selector.match_labels) if spec.selector is not None else ()
    return (labels,) if labels else None


def groups(namespace: str, chosen: Selected) -> frozenset[str]:
    """In which a policy of `namespace` stands."""
    if chosen is None:
        return frozenset((policy_group(namespace, None),))
    return frozenset(policy_group(namespace, labels[0]) for labels in chosen)


def groups_of(root: str, namespace: str, labels: Pairs) -> tuple[str, ...]:
    """In which the policies for a workload stand: those of the mesh first."""
    own = policy_groups(namespace, labels)
    return own if root == namespace else (*policy_groups(root, labels), *own)


def holds(chosen: Selected, labels: frozenset[tuple[str, str]]) -> bool:
    return chosen is None or any(labels.issuperset(one) for one in chosen)  # ANY
