"""Label and field selectors of list and watch.

    labelSelector: a=b, a==b, a!=b, a in (b, c), a notin (b, c), a, !a; joined by commas: ALL must hold
    fieldSelector: metadata.name, metadata.namespace, with =, ==, !=

`!=` and `notin` also hold where the label is absent.
Facts: https://kubernetes.io/docs/concepts/overview/working-with-objects/labels/#label-selectors
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from enum import Enum, auto
from typing import Any

from msgspec import Struct

from argosy.apiserver.status import bad_request
from argosy.store.base import Key


class Operator(Enum):
    IN = auto()
    NOT_IN = auto()
    EXISTS = auto()
    ABSENT = auto()


class Requirement(Struct, frozen=True):
    key: str
    operator: Operator
    values: frozenset[str] = frozenset()

    def holds(self, labels: Mapping[str, Any]) -> bool:
        match self.operator:
            case Operator.IN:
                return self.key in labels and labels[self.key] in self.values
            case Operator.NOT_IN:
                return self.key not in labels or labels[self.key] not in self.values
            case Operator.EXISTS:
                return self.key in labels
            case Operator.ABSENT:
                return self.key not in labels


class Selector(Struct, frozen=True):
    """ALL requirements must hold; none: everything is selected."""

    labels: tuple[Requirement, ...] = ()
    fields: tuple[Requirement, ...] = ()

    def selects_key(self, key: Key) -> bool:
        fields = {"metadata.name": key.name, "metadata.namespace": key.namespace}
        return all(requirement.holds(fields) for requirement in self.fields)

    def selects_labels(self, labels: Mapping[str, Any]) -> bool:
        return all(requirement.holds(labels) for requirement in self.labels)


FIELDS = ("metadata.name", "metadata.namespace")
_NAME = r"[A-Za-z0-9][-A-Za-z0-9_./]{0,316}"
_VALUE = r"[-A-Za-z0-9_.]{0,63}"
_SET = re.compile(rf"({_NAME})\s+(in|notin)\s*\(([^()]*)\)")
_EQUAL = re.compile(rf"({_NAME})\s*(==|!=|=)\s*({_VALUE})")
_PRESENT = re.compile(rf"(!?)\s*({_NAME})")
_FIELD = re.compile(r"([^=!,]+?)\s*(==|!=|=)\s*([^=!,]*)")


def parse(label_selector: str, field_selector: str) -> Selector:
    """Raises Refusal (400) that names the part it does not understand."""
    labels = tuple(_label(part) for part in _split(label_selector))
    fields = tuple(_field(part) for part in field_selector.split(",") if part.strip())
    return Selector(labels, fields)


def _split(text: str) -> list[str]:
    """Parts at the commas that are not within parentheses."""
    parts = re.findall(r"(?:[^,()]|\([^()]*\)|[()])+", text)
    return [part.strip() for part in parts if part.strip()]


def _label(part: str) -> Requirement:
    if found := _SET.fullmatch(part):
        key, word, inner = found.groups()
        values = [value.strip() for value in inner.split(",")]
        if all(re.fullmatch(_VALUE, value) for value in values):
            return Requirement(key, Operator.IN if word == "in" else Operator.NOT_IN, frozenset(values))
    elif found := _EQUAL.fullmatch(part):
        key, sign, value = found.groups()
        return Requirement(key, Operator.NOT_IN if sign == "!=" else Operator.IN, frozenset((value,)))
    elif found := _PRESENT.fullmatch(part):
        return Requirement(found[2], Operator.ABSENT if found[1] else Operator.EXISTS)
    raise bad_request(
        f"labelSelector: {part!r} is not a requirement (a=b, a!=b, a in (b,c), a notin (b), a, !a)"
    )


def _field(part: str) -> Requirement:
    found = _FIELD.fullmatch(part.strip())
    if found is None:
        raise bad_request(f"fieldSelector: {part!r} is not a requirement (metadata.name=NAME)")
    key, sign, value = (text.strip() for text in found.groups())
    if key not in FIELDS:
        raise bad_request(f"fieldSelector: field label not supported: {key} (supported: {', '.join(FIELDS)})")
    return Requirement(key, Operator.NOT_IN if sign == "!=" else Operator.IN, frozenset((value,)))
