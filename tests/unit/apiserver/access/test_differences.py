"""What the audit log tells of a change: all of it, and of secrets nothing but names."""

from __future__ import annotations

import copy
from typing import Any

import msgspec
from hypothesis import given, settings
from hypothesis import strategies as st

from argosy.apiserver.access.differences import LAST_APPLIED, LONGEST, changed, difference, told
from argosy.apiserver.patches import merge

Json = dict[str, Any]
values = st.recursive(
    st.booleans() | st.integers(-3, 3) | st.sampled_from(["", "a", "b"]),
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.sampled_from("xyz"), inner, max_size=3),
    max_leaves=8,
)
objects = st.dictionaries(st.sampled_from("abc"), values, max_size=3)


@settings(deadline=None)
@given(objects, objects)
def test_the_patch_makes_the_new_object_of_the_old(old: Json, new: Json) -> None:
    patch = difference(old, new)
    assert merge.merge(copy.deepcopy(old), patch) == new
    assert bool(patch) is (
        msgspec.json.encode(old, order="sorted") != msgspec.json.encode(new, order="sorted")
    )


def body(obj: Json) -> bytes:
    return msgspec.json.encode(obj)


def test_a_change_is_a_merge_patch_without_what_repeats_the_object() -> None:
    old = {
        "metadata": {"name": "m", "generation": 1, "annotations": {LAST_APPLIED: "x"}},
        "data": {"a": "1", "b": "2"},
    }
    new = {
        "metadata": {"name": "m", "generation": 2, "managedFields": [{}], "annotations": {LAST_APPLIED: "y"}},
        "data": {"a": "3"},
    }
    assert told("/configmaps", body(old), body(new)) == {"diff": {"data": {"a": "3", "b": None}}}
    assert told("/configmaps", None, body(new))["diff"]["data"] == {"a": "3"}
    assert told("/configmaps", body(old), None) == {"deleted": True}


def test_of_a_secret_the_names_alone_are_told() -> None:
    old = {
        "kind": "Secret",
        "metadata": {"name": "k", "labels": {"l": "hush"}},
        "data": {"a": "aHVzaA==", "gone": "aHVzaA=="},
    }
    new = {
        "kind": "Secret",
        "metadata": {"name": "k", "annotations": {LAST_APPLIED: "hush", "n": "hush"}},
        "data": {"a": "hush2", "b": {"c": "hush"}},
        "type": "hush",
    }
    assert told("/secrets", body(old), body(new)) == {
        "changed": ["data.a", "data.b", "data.gone", "metadata.annotations.n", "metadata.labels.l", "type"]
    }
    for one in (
        told("/secrets", body(old), body(new)),
        told("/secrets", None, body(new)),
        told("/secrets", body(old), None),
    ):
        assert "hush" not in str(one)
        assert "aHVzaA==" not in str(one)


def test_of_a_user_no_hash_is_told() -> None:
    one = {"kind": "User", "metadata": {"name": "u"}, "spec": {"tokens": [{"sha256": "0" * 64}]}}
    assert "0000" not in str(told("access.argosy.dev/users", None, body(one)))


def test_a_change_that_is_too_long_is_told_by_its_names() -> None:
    found = told("/configmaps", body({"data": {}}), body({"data": {"a": "x" * LONGEST}}))
    assert found["changed"] == ["data.a"]
    assert found["diff_bytes"] > LONGEST


def test_what_is_no_object_is_told_as_nothing() -> None:
    assert told("/secrets", b"hush", b"[1]") == {"changed": []}


@given(objects, objects)
def test_names_of_changes_are_there_whenever_something_changed(old: Json, new: Json) -> None:
    same = msgspec.json.encode(old, order="sorted") == msgspec.json.encode(new, order="sorted")
    assert bool(list(changed(old, new))) is not same
