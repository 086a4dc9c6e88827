"""Sets of fields, and FieldsV1."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from argosy.apiserver.managed.fieldset import (
    FieldSet,
    from_json,
    indexed,
    keyed,
    named,
    of_paths,
    shown,
    to_json,
    valued,
)

STEPS = st.one_of(
    st.sampled_from("abc").map(named),
    st.sampled_from([keyed({"name": "a"}), keyed({"port": 80, "protocol": "TCP"})]),
    st.sampled_from(["x", 1, True]).map(valued),
    st.integers(0, 3).map(indexed),
)
PATHS = st.lists(STEPS, min_size=1, max_size=4).map(tuple)
SETS = st.frozensets(PATHS, max_size=12)


def test_it_is_written_as_kubernetes_writes_it() -> None:
    ports = ("f:spec", "f:ports", keyed({"protocol": "TCP", "port": 80}))
    fields = of_paths(
        [("f:metadata", "f:labels"), ("f:metadata", "f:labels", "f:app"), ports, (*ports, "f:name")]
    )
    fields.insert(("f:metadata", "f:finalizers", valued("a/b")))
    assert to_json(fields) == {
        "f:metadata": {"f:finalizers": {'v:"a/b"': {}}, "f:labels": {".": {}, "f:app": {}}},
        "f:spec": {"f:ports": {'k:{"port":80,"protocol":"TCP"}': {".": {}, "f:name": {}}}},
    }


@pytest.mark.parametrize(
    ("path", "text"),
    [
        (("f:spec", "f:ports", 'k:{"port":80,"protocol":"TCP"}', "f:name"), '.spec.ports[port=80,protocol="TCP"].name'),
        (("f:metadata", "f:finalizers", 'v:"a/b"'), '.metadata.finalizers[="a/b"]'),
        (("f:metadata", "f:annotations", "f:example.com/a"), ".metadata.annotations.example.com/a"),
        (("f:spec", "i:2"), ".spec[2]"),
    ],
)  # fmt: skip
def test_a_path_is_shown_as_kubernetes_shows_it(path: tuple[str, ...], text: str) -> None:
    assert shown(path) == text


@given(SETS)
def test_what_is_written_is_read_again(paths: frozenset[tuple[str, ...]]) -> None:
    written = json.loads(json.dumps(to_json(of_paths(paths))))
    assert set(from_json(written)) == paths
    assert to_json(from_json(written)) == written


@given(SETS, SETS)
def test_sets_of_fields_are_sets(one: frozenset[tuple[str, ...]], other: frozenset[tuple[str, ...]]) -> None:
    first, second = of_paths(one), of_paths(other)
    assert set(first | second) == one | other
    assert set(first & second) == one & other
    assert set(first - second) == one - other
    assert (first == second) == (one == other)
    assert bool(first) == bool(one)
    assert all((path in first) == (path in one) for path in one | other)
    assert set(first) == one, "nothing is changed by it"
    assert set(second) == other, "nothing is changed by it"


def test_a_step_is_the_same_however_it_was_spelled() -> None:
    spelled = from_json({'k:{ "protocol":"TCP", "port":80.0 }': {}, "v:1.0": {}, "i:02": {}})
    assert set(spelled) == {('k:{"port":80,"protocol":"TCP"}',), ("v:1",), ("i:2",)}


@pytest.mark.parametrize(
    "wrong",
    [[], "f:a", {"f:a": 1}, {"x:a": {}}, {"": {}}, {"k:5": {}}, {"k:{}": {}}, {"k:{": {}}, {"v:": {}}, {"i:-1": {}},
     {"i:x": {}}, {"a": {}}],
)  # fmt: skip
def test_what_is_no_set_of_fields_is_refused(wrong: Any) -> None:
    with pytest.raises(ValueError, match=r"."):
        from_json(wrong)


def test_nesting_without_end_is_refused() -> None:
    deep: Any = {}
    for _ in range(500):
        deep = {"f:a": deep}
    with pytest.raises(ValueError, match="tree"):
        from_json(deep)


def test_the_object_as_a_whole_is_nobodys() -> None:
    fields = FieldSet()
    fields.insert(())
    assert not fields
    assert not from_json({".": {}})
