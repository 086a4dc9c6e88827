"""What is applied, merged; what is no longer applied, taken out."""

from __future__ import annotations

from typing import Any

import pytest

from argosy.apiserver.managed.fieldset import of_paths
from argosy.apiserver.managed.merge import ambiguous, merge, prune, remove
from tests.unit.apiserver.managed.shapes import SHAPE

TAGS: list[tuple[str, list[str], list[str], list[str]]] = [
    ("to nothing", [], ["b", "a"], ["b", "a"]),
    ("live ones first", ["1", "2"], ["a"], ["1", "2", "a"]),
    ("shared ones in the order applied", ["a", "b"], ["b", "a"], ["b", "a"]),
    ("before the next shared one", ["1", "a", "2", "b", "3"], ["a", "b"], ["1", "a", "2", "b", "3"]),
    ("new ones where they are applied", ["a", "b"], ["a", "x", "b"], ["a", "x", "b"]),
    ("moved, with live ones between", ["1", "a", "2", "b"], ["b", "a"], ["1", "2", "b", "a"]),
    ("none applied", ["a"], [], ["a"]),
]


@pytest.mark.parametrize(("live", "applied", "expected"), [r[1:] for r in TAGS], ids=[r[0] for r in TAGS])
def test_sets_are_merged_in_order(live: list[str], applied: list[str], expected: list[str]) -> None:
    merged = merge(SHAPE, {"spec": {"tags": live}}, {"spec": {"tags": applied}})
    assert merged == {"spec": {"tags": expected}}


MERGES: list[tuple[str, Any, Any, Any]] = [
    ("maps by entry", {"metadata": {"labels": {"a": "1"}}}, {"metadata": {"labels": {"b": "2"}}},
     {"metadata": {"labels": {"a": "1", "b": "2"}}}),
    ("a list that is one field is replaced", {"spec": {"hosts": ["a"]}}, {"spec": {"hosts": ["b"]}},
     {"spec": {"hosts": ["b"]}}),
    ("an atomic map too", {"spec": {"whole": {"a": "1"}}}, {"spec": {"whole": {"b": "2"}}},
     {"spec": {"whole": {"b": "2"}}}),
    ("entries by their keys", {"spec": {"ports": [{"port": 80, "protocol": "UDP"}, {"port": 80, "target": 1}]}},
     {"spec": {"ports": [{"port": 80, "protocol": "TCP", "target": 2}]}},
     {"spec": {"ports": [{"port": 80, "protocol": "UDP"}, {"port": 80, "protocol": "TCP", "target": 2}]}}),
    ("null says nothing of a declared field", {"spec": {"name": "a"}}, {"spec": {"name": None}},
     {"spec": {"name": "a"}}),
    ("a form that changes", {"spec": {"free": {"a": {"b": 1}}}}, {"spec": {"free": {"a": 2}}},
     {"spec": {"free": {"a": 2}}}),
    ("entries that are there twice are replaced", {"spec": {"tags": ["a", "a", "b"]}}, {"spec": {"tags": ["a"]}},
     {"spec": {"tags": ["a", "b"]}}),
    ("an empty map takes nothing away", {"spec": {"inner": {"x": 1}}}, {"spec": {"inner": {}}},
     {"spec": {"inner": {"x": 1}}}),
]  # fmt: skip


@pytest.mark.parametrize(("live", "applied", "expected"), [r[1:] for r in MERGES], ids=[r[0] for r in MERGES])
def test_what_is_applied_is_merged(live: Any, applied: Any, expected: Any) -> None:
    assert merge(SHAPE, live, applied) == expected


def test_fields_are_taken_out_and_what_held_them_stays() -> None:
    gone = of_paths([("f:spec", "f:inner", "f:x"), ("f:spec", "f:tags", 'v:"a"')])
    live = {"spec": {"inner": {"x": 1}, "tags": ["a"]}}
    assert remove(SHAPE, live, gone) == {"spec": {"inner": {}, "tags": []}}
    whole = of_paths([("f:spec", "f:ports", 'k:{"port":80,"protocol":"TCP"}')])
    ports = [{"port": 80, "target": 1}, {"port": 81}]
    assert remove(SHAPE, {"spec": {"ports": ports}}, whole) == {"spec": {"ports": [{"port": 81}]}}


def test_what_nobody_applies_any_more_goes_and_what_others_have_stays() -> None:
    last = of_paths([("f:spec", "f:inner", "f:x"), ("f:spec", "f:inner", "f:y"), ("f:spec", "f:name")])
    others = of_paths([("f:spec", "f:inner", "f:y")])
    merged = {"spec": {"inner": {"x": 1, "y": 2}, "name": "a"}}
    assert prune(SHAPE, merged, {}, last, others) == {"spec": {"inner": {"y": 2}}}
    assert prune(SHAPE, merged, {}, last, of_paths([])) == {}


@pytest.mark.parametrize(
    ("value", "says"),
    [
        ({"spec": {"tags": ["a", "b", "a"]}}, '.spec.tags[="a"]: is there 2 times'),
        (
            {"spec": {"ports": [{"port": 1}, {"port": 1, "protocol": "TCP"}]}},
            'protocol="TCP"]: is there 2 times',
        ),
        ({"spec": {"ports": [{"target": 1}]}}, ".spec.ports: entry 0 has no key port or protocol"),
        ({"spec": {"ports": ["a"]}}, ".spec.ports: entry 0"),
        ({"spec": {"tags": [{}]}}, ".spec.tags: entry 0 has no simple value"),
        ({"spec": {"next": {"tags": ["a", "a"]}}}, ".spec.next.tags"),
        ({"spec": {"tags": ["a"], "hosts": ["a", "a"], "ports": [{"port": 1}]}}, None),
    ],
)
def test_what_cannot_be_told_apart_cannot_be_applied(value: Any, says: str | None) -> None:
    found = ambiguous(SHAPE, value)
    assert (found is None) == (says is None)
    assert says is None or says in str(found)
