"""What an object is for: selectors by label, in Istio's and in Kubernetes' form, and references to targets.

# Istio: type/v1beta1/selector.proto; Kubernetes: meta/v1 LabelSelector
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated

from msgspec import Meta, Struct

_ATOMIC = Meta(extra_json_schema={"x-kubernetes-list-type": "atomic"})


class WorkloadSelector(Struct, frozen=True, kw_only=True, rename="camel", omit_defaults=True):
    """Selects workloads by their labels."""

    match_labels: dict[str, str] = {}
    """The labels that a workload must have, ALL of them; none: every workload."""


class PolicyTargetReference(Struct, frozen=True, kw_only=True, rename="camel", omit_defaults=True):
    """The object that a policy is attached to, in the namespace of the policy."""

    kind: Annotated[str, Meta(min_length=1, max_length=63, pattern="^[a-zA-Z]([-a-zA-Z0-9]*[a-zA-Z0-9])?$")]
    """The kind of the target: Gateway, GatewayClass, Service or ServiceEntry."""
    name: Annotated[str, Meta(min_length=1, max_length=253)]
    """The name of the target."""
    group: Annotated[
        str,
        Meta(max_length=253, pattern=r"^$|^[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*$"),
    ] = ""
    """The API group of the target, as in gateway.networking.k8s.io; "" is the core group, of Services."""
    namespace: str = ""
    """Must be left out: a policy is attached to targets of its own namespace."""


class PortSelector(Struct, frozen=True, kw_only=True, rename="camel", omit_defaults=True):
    """A port by its number."""

    number: Annotated[int, Meta(ge=1, le=65535)]
    """The number of the port."""


class LabelSelectorRequirement(Struct, frozen=True, kw_only=True, rename="camel", omit_defaults=True):
    """A condition on the value of one label."""

    key: str
    """The label."""
    operator: str
    """In, NotIn (the label is missing, or has another value), Exists or DoesNotExist."""
    values: Annotated[tuple[str, ...], _ATOMIC] = ()
    """The values for In and NotIn, at least one; none for the other operators."""


class LabelSelector(Struct, frozen=True, kw_only=True, rename="camel", omit_defaults=True):
    """ALL of its conditions must hold; one without conditions selects everything."""

    match_labels: dict[str, str] = {}
    """Labels with exactly these values."""
    match_expressions: Annotated[tuple[LabelSelectorRequirement, ...], _ATOMIC] = ()
    """Further conditions, each on one label."""

    def selects(self, labels: Mapping[str, str]) -> bool:
        return all(labels.get(key) == value for key, value in self.match_labels.items()) and all(
            _holds(one, labels) for one in self.match_expressions
        )


def _holds(requirement: LabelSelectorRequirement, labels: Mapping[str, str]) -> bool:
    present, value = requirement.key in labels, labels.get(requirement.key)
    match requirement.operator:
        case "In":
            return present and value in requirement.values
        case "NotIn":
            return not present or value not in requirement.values
        case "Exists":
            return present
        case "DoesNotExist":
            return not present
    return False  # refused by validation
