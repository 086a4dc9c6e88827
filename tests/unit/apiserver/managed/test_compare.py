"""The fields of an object, and those in which two differ."""

from __future__ import annotations

from typing import Any

import pytest

from argosy.apiserver.managed.compare import Comparison, field_set, same
from argosy.apiserver.managed.fieldset import FieldSet, shown
from argosy.apiserver.managed.shape import Form, Shape, shape_of
from argosy.resources.kinds import KINDS
from tests.unit.apiserver.managed.shapes import SHAPE


def texts(fields: FieldSet) -> set[str]:
    return set(map(shown, fields))


FIELDS: list[tuple[str, dict[str, Any], set[str]]] = [
    ("a leaf", {"spec": {"name": "a"}}, {".spec.name"}),
    ("a list that says nothing is one field", {"spec": {"hosts": ["a", "b"]}}, {".spec.hosts"}),
    ("an empty one too", {"spec": {"hosts": []}}, {".spec.hosts"}),
    ("an atomic map is one field", {"spec": {"whole": {"a": "b"}}}, {".spec.whole"}),
    ("entries of a map", {"metadata": {"labels": {"a": "b"}}}, {".metadata.labels.a"}),
    ("values of a set", {"spec": {"tags": ["a", "b"]}}, {'.spec.tags[="a"]', '.spec.tags[="b"]'}),
    ("an empty struct", {"spec": {"inner": {}}}, {".spec.inner"}),
    ("null leaves a declared field out", {"spec": {"inner": None, "name": "a"}}, {".spec.name"}),
    ("free maps are made of entries", {"spec": {"free": {"a": {"b": 1, "c": [1]}}}},
     {".spec.free.a", ".spec.free.a.b", ".spec.free.a.c"}),
    ("null in a free map is a value", {"spec": {"free": {"a": None}}}, {".spec.free.a"}),
    ("entries with keys, one of them by default", {"spec": {"ports": [{"port": 80, "target": 1}]}},
     {'.spec.ports[port=80,protocol="TCP"]', '.spec.ports[port=80,protocol="TCP"].port',
      '.spec.ports[port=80,protocol="TCP"].target'}),
    ("entries that are there twice are one field", {"spec": {"tags": ["a", "a"]}}, {'.spec.tags[="a"]'}),
    ("entries without their key go by place", {"spec": {"ports": [{"target": 1}]}},
     {".spec.ports[0]", ".spec.ports[0].target"}),
    ("a schema that leads into itself", {"spec": {"next": {"next": {"name": "a"}}}}, {".spec.next.next.name"}),
    ("a value of another form is one field", {"spec": {"ports": "none"}}, {".spec.ports"}),
]  # fmt: skip


@pytest.mark.parametrize(("value", "expected"), [row[1:] for row in FIELDS], ids=[row[0] for row in FIELDS])
def test_the_fields_of_what_is_applied(value: dict[str, Any], expected: set[str]) -> None:
    assert texts(field_set(SHAPE, value)) == expected


PORT = '.spec.ports[port=80,protocol="TCP"]'
DIFFERENCES: list[tuple[str, dict[str, Any], dict[str, Any], set[str], set[str], set[str]]] = [
    ("nothing", {"spec": {"name": "a"}}, {"spec": {"name": "a"}}, set(), set(), set()),
    ("a leaf", {"spec": {"name": "a"}}, {"spec": {"name": "b"}}, set(), {".spec.name"}, set()),
    ("what is new, and what it is in", {}, {"spec": {"inner": {"x": 1}}},
     {".spec", ".spec.inner", ".spec.inner.x"}, set(), set()),
    ("what is gone, and what it was in", {"spec": {"inner": {"x": 1}}}, {"spec": {}}, set(), set(),
     {".spec.inner", ".spec.inner.x"}),
    ("an entry of a list", {"spec": {"ports": [{"port": 80}]}}, {"spec": {"ports": [{"port": 80, "target": 1}]}},
     {f"{PORT}.target"}, set(), set()),
    ("another order is none", {"spec": {"tags": ["a", "b"]}}, {"spec": {"tags": ["b", "a"]}}, set(), set(), set()),
    ("in a list that is one field it is", {"spec": {"hosts": ["a", "b"]}}, {"spec": {"hosts": ["b", "a"]}}, set(),
     {".spec.hosts"}, set()),
    ("an entry that comes twice", {"spec": {"tags": ["a"]}}, {"spec": {"tags": ["a", "a"]}}, {'.spec.tags[="a"]'},
     set(), {'.spec.tags[="a"]'}),
    ("an entry that came twice", {"spec": {"tags": ["a", "a"]}}, {"spec": {"tags": ["a"]}}, {'.spec.tags[="a"]'},
     set(), {'.spec.tags[="a"]'}),
    ("twice, but not the same twice", {"spec": {"ports": [{"port": 80}, {"port": 80}]}},
     {"spec": {"ports": [{"port": 80}, {"port": 80, "target": 1}]}}, set(), {PORT}, set()),
    ("none and empty", {"spec": {}}, {"spec": {"tags": []}}, {".spec.tags"}, set(), set()),
    ("a map that becomes a leaf", {"spec": {"free": {"a": {"b": 1}}}}, {"spec": {"free": {"a": 1}}},
     {".spec.free.a"}, set(), {".spec.free.a", ".spec.free.a.b"}),
    ("true and 1", {"spec": {"free": {"a": 1}}}, {"spec": {"free": {"a": True}}}, set(), {".spec.free.a"}, set()),
]  # fmt: skip


@pytest.mark.parametrize(
    ("old", "new", "added", "modified", "removed"), [r[1:] for r in DIFFERENCES], ids=[r[0] for r in DIFFERENCES]
)  # fmt: skip
def test_the_fields_in_which_objects_differ(
    old: dict[str, Any], new: dict[str, Any], added: set[str], modified: set[str], removed: set[str]
) -> None:
    found = Comparison(SHAPE, old, new)
    assert (texts(found.added), texts(found.modified), texts(found.removed)) == (added, modified, removed)
    back = Comparison(SHAPE, new, old)
    assert texts(back.modified) == modified
    if not modified:
        assert (texts(back.added), texts(back.removed)) == (removed, added)


@pytest.mark.parametrize(
    ("one", "other", "equal"),
    [(1, 1.0, True), (1, True, False), (0, False, False), ([1, {"a": 2}], [1.0, {"a": 2.0}], True),
     ([1], [1, 2], False), ({"a": 1}, {"a": 1, "b": 2}, False), (None, False, False), ("1", 1, False)],
)  # fmt: skip
def test_equal_is_meant_as_in_json(one: Any, other: Any, equal: bool) -> None:
    assert same(one, other) is equal
    assert same(other, one) is equal


def test_every_kind_has_a_shape_with_labels_apart_from_each_other() -> None:
    for kind in KINDS:
        shape = shape_of(kind)
        labels = shape.of("metadata").of("labels")
        assert (shape.form, labels.form) == (Form.MAP, Form.MAP), kind.kind
        assert isinstance(labels.entries, Shape)
        assert shape.of("metadata").of("finalizers").form is Form.LIST
        assert shape.of("metadata").of("ownerReferences").keys == ("uid",)
