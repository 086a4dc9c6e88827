"""Label and field selectors of list and watch.

    labelSelector: a=b, a==b, a!=b, a in (b, c), a notin (b, c), a, !a; joined by commas: ALL must hold
    fieldSelector: metadata.name, metadata.namespace, and those of FIELDS_OF, with =, ==, !=

`!=` and `notin` also hold where the label is absent.
Facts: https://kubernetes.io/docs/concepts/overview/working-with-objects/labels/#label-selectors
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from enum import Enum, auto
from typing import Any

from msgspec import Struct

from argosy.apiserver import encoding
from argosy.apiserver.status import bad_request
from argosy.store.base import Key, Stored


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

    @property
    def narrows(self) -> bool:
        return bool(self.labels or self.fields)

    @property
    def reads_bodies(self) -> bool:
        """Whether the name alone does not decide."""
        return bool(self.labels) or any(each.key not in FIELDS for each in self.fields)

    def selects(self, stored: Stored) -> bool:
        return self.selects_key(stored.key) and self.selects_body(stored.body)

    def selects_key(self, key: Key) -> bool:
        """What the name says; fields of the body aside."""
        fields = {"metadata.name": key.name, "metadata.namespace": key.namespace}
        return all(each.holds(fields) for each in self.fields if each.key in fields)

    def selects_labels(self, labels: Mapping[str, Any]) -> bool:
        return all(requirement.holds(labels) for requirement in self.labels)

    def selects_body(self, body: bytes) -> bool:
        """What labels and fields of the body say."""
        if self.labels and not self.selects_labels(encoding.labels(body)):
            return False
        wanted = [each for each in self.fields if each.key not in FIELDS]
        if not wanted:
            return True
        obj = encoding.decode(Stored(Key("", "", ""), 0, body))
        return all(each.holds({each.key: field_of(obj, each.key)}) for each in wanted)


FIELDS = ("metadata.name", "metadata.namespace")
"""What every kind can be selected by."""
FIELDS_OF: dict[str, tuple[str, ...]] = {
    "/namespaces": ("status.phase",),
    "/secrets": ("type",),
    "/services": ("spec.clusterIP", "spec.type"),
    "/events": (
        "involvedObject.kind", "involvedObject.namespace", "involvedObject.name", "involvedObject.uid",
        "involvedObject.apiVersion", "involvedObject.resourceVersion", "involvedObject.fieldPath", "reason",
        "reportingComponent", "source", "type",
    ),
}  # fmt: skip
"""What Kubernetes' own kinds can be selected by beside."""
_PATHS = {"source": "source.component"}


def field_of(obj: Any, path: str) -> str:
    """The text of a field; "" where it is not set."""
    for name in _PATHS.get(path, path).split("."):
        obj = obj.get(name) if isinstance(obj, dict) else None
    return "" if obj is None else str(obj)


_NAME = r"[A-Za-z0-9][-A-Za-z0-9_./]{0,316}"
_VALUE = r"[-A-Za-z0-9_.]{0,63}"
_SET = re.compile(rf"({_NAME})\s+(in|notin)\s*\(([^()]*)\)")
_EQUAL = re.compile(rf"({_NAME})\s*(==|!=|=)\s*({_VALUE})")
_PRESENT = re.compile(rf"(!?)\s*({_NAME})")
_FIELD = re.compile(r"([^=!,]+)(==|!=|=)([^=!,]*)")
MOST_REQUIREMENTS = 256
"""Of a selector: each is looked at with each object."""


def parse(label_selector: str, field_selector: str, resource: str = "") -> Selector:
    """Raises Refusal (400) that names the part it does not understand. `resource`: of the kind that is selected."""
    known = (*FIELDS, *FIELDS_OF.get(resource, ()))
    wanted = _bounded("labelSelector", _split(label_selector))
    fields = _bounded("fieldSelector", [part for part in field_selector.split(",") if part.strip()])
    return Selector(tuple(_label(part) for part in wanted), tuple(_field(part, known) for part in fields))


def _bounded(name: str, parts: list[str]) -> list[str]:
    if len(parts) > MOST_REQUIREMENTS:
        raise bad_request(f"{name}: has {len(parts)} requirements; at most {MOST_REQUIREMENTS} are looked at")
    return parts


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
        f"labelSelector: {_shown(part)} is not a requirement (a=b, a!=b, a in (b,c), a notin (b), a, !a)"
    )


def _field(part: str, known: tuple[str, ...]) -> Requirement:
    found = _FIELD.fullmatch(part.strip())
    if found is None:
        raise bad_request(f"fieldSelector: {_shown(part)} is not a requirement (metadata.name=NAME)")
    key, sign, value = (text.strip() for text in found.groups())
    if key not in known:
        raise bad_request(
            f"fieldSelector: field label not supported: {key[:80]} (supported: {', '.join(known)})"
        )
    return Requirement(key, Operator.NOT_IN if sign == "!=" else Operator.IN, frozenset((value,)))


def _shown(part: str) -> str:
    return repr(part if len(part) <= 80 else f"{part[:79]}…")
