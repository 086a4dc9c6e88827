"""Selectors by label in Kubernetes' form, wherever a kind has one; evaluated here, too.

# Kubernetes: meta/v1 LabelSelector
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated

from msgspec import Meta, Struct


class LabelSelectorRequirement(Struct, frozen=True, kw_only=True, rename="camel", omit_defaults=True):
    """A condition on the value of one label."""

    key: str
    """The label."""
    operator: str
    """In, NotIn (the label is missing, or has another value), Exists or DoesNotExist."""
    values: Annotated[tuple[str, ...], Meta(extra_json_schema={"x-kubernetes-list-type": "atomic"})] = ()
    """The values for In and NotIn, at least one; none for the other operators."""


class LabelSelector(Struct, frozen=True, kw_only=True, rename="camel", omit_defaults=True):
    """ALL of its conditions must hold; one without conditions selects everything."""

    match_labels: dict[str, str] = {}
    """Labels with exactly these values."""
    match_expressions: Annotated[
        tuple[LabelSelectorRequirement, ...], Meta(extra_json_schema={"x-kubernetes-list-type": "atomic"})
    ] = ()
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
