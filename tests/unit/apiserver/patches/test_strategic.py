"""Strategic merge patch: lists by their keys, and the directives."""

from __future__ import annotations

import copy
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from argosy.apiserver.patches import merge, strategic
from argosy.apiserver.status import Refusal
from tests.unit.apiserver.managed.shapes import SHAPE

PORTS = [{"port": 1, "target": 1}, {"port": 2}, {"port": 3}]
CASES: list[tuple[str, Any, Any, Any]] = [
    ("maps merge, null removes", {"name": "a", "inner": {"x": 1, "y": 2}}, {"name": None, "inner": {"x": 3}},
     {"inner": {"x": 3, "y": 2}}),
    ("a list that is one field is replaced", {"hosts": ["a", "b"]}, {"hosts": ["c"]}, {"hosts": ["c"]}),
    ("entries merge by key", {"ports": PORTS}, {"ports": [{"port": 2, "target": 9}, {"port": 4}]},
     {"ports": [{"port": 1, "target": 1}, {"port": 2, "target": 9}, {"port": 3}, {"port": 4}]}),
    ("an entry is deleted", {"ports": PORTS}, {"ports": [{"port": 2, "$patch": "delete"}]},
     {"ports": [{"port": 1, "target": 1}, {"port": 3}]}),
    ("an entry that is not there is deleted", {"ports": PORTS}, {"ports": [{"port": 9, "$patch": "delete"}]},
     {"ports": PORTS}),
    ("an entry is replaced", {"ports": PORTS}, {"ports": [{"port": 1, "protocol": "UDP", "$patch": "replace"}]},
     {"ports": [{"port": 1, "protocol": "UDP"}, {"port": 2}, {"port": 3}]}),
    ("an entry is merged by its word", {"ports": PORTS}, {"ports": [{"port": 1, "protocol": "UDP", "$patch": "merge"}]},
     {"ports": [{"port": 1, "target": 1, "protocol": "UDP"}, {"port": 2}, {"port": 3}]}),
    ("the list is replaced", {"ports": PORTS}, {"ports": [{"$patch": "replace"}, {"port": 7}]},
     {"ports": [{"port": 7}]}),
    ("an order", {"ports": PORTS}, {"$setElementOrder/ports": [{"port": 3}, {"port": 1}, {"port": 2}]},
     {"ports": [{"port": 3}, {"port": 1, "target": 1}, {"port": 2}]}),
    ("an order with a new one", {"ports": PORTS},
     {"$setElementOrder/ports": [{"port": 4}, {"port": 1}], "ports": [{"port": 4}]},
     {"ports": [{"port": 4}, {"port": 1, "target": 1}, {"port": 2}, {"port": 3}]}),
    ("values merge as a set", {"tags": ["a", "b"]}, {"tags": ["b", "c"]}, {"tags": ["a", "b", "c"]}),
    ("values are deleted", {"tags": ["a", "b", "c"]}, {"$deleteFromPrimitiveList/tags": ["a", "x"]},
     {"tags": ["b", "c"]}),
    ("deleted and added, in an order", {"tags": ["a", "b"]},
     {"$deleteFromPrimitiveList/tags": ["a"], "tags": ["c"], "$setElementOrder/tags": ["c", "b"]},
     {"tags": ["c", "b"]}),
    ("a map is replaced", {"inner": {"x": 1, "y": 2}}, {"inner": {"$patch": "replace", "x": 5}}, {"inner": {"x": 5}}),
    ("a map is deleted", {"inner": {"x": 1}, "name": "a"}, {"inner": {"$patch": "delete"}}, {"name": "a"}),
    ("other keys go", {"inner": {"x": 1, "y": 2}}, {"inner": {"$retainKeys": ["y"], "y": 3}}, {"inner": {"y": 3}}),
    ("directives and nulls of what is new go", {}, {"free": {"a": {"$patch": "merge", "b": None, "c": 1}}},
     {"free": {"a": {"c": 1}}}),
    ("an order of nothing", {}, {"$setElementOrder/tags": ["a"]}, {}),
]  # fmt: skip


@pytest.mark.parametrize(
    ("spec", "patch", "expected"), [row[1:] for row in CASES], ids=[row[0] for row in CASES]
)
def test_a_patch_is_applied(spec: Any, patch: Any, expected: Any) -> None:
    before = copy.deepcopy((spec, patch))
    found = strategic.apply(SHAPE, {"spec": spec}, {"spec": patch})
    assert found == {"spec": expected}
    assert (spec, patch) == before


@pytest.mark.parametrize(
    ("patch", "says"),
    [
        ([], "not an object"),
        ({"$patch": "sing"}, "unknown directive"),
        ({"spec": {"ports": [{"target": 1}]}}, "without its merge key 'port'"),
        ({"spec": {"ports": ["x"]}}, "without its merge key"),
        ({"spec": {"$setElementOrder/ports": "x"}}, "not a list"),
        ({"spec": {"$deleteFromPrimitiveList/tags": [[1]]}}, "not a list"),
        ({"$retainKeys": 5}, "not a list"),
    ],
)
def test_what_makes_no_sense_is_refused(patch: Any, says: str) -> None:
    with pytest.raises(Refusal, match=says) as caught:
        strategic.apply(SHAPE, {"spec": {"ports": PORTS}}, patch)
    assert caught.value.code == 400


ANY: st.SearchStrategy[Any] = st.recursive(
    st.sampled_from([None, 1, True, "a", "delete", "replace"]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(
        st.sampled_from(
            ["spec", "ports", "tags", "free", "port", "name", "next", "$patch", "$retainKeys", "$setElementOrder/ports",
             "$setElementOrder/tags", "$deleteFromPrimitiveList/tags"]
        ),
        inner, max_size=4,
    ),
    max_leaves=12,
)  # fmt: skip


@settings(max_examples=300, deadline=None)
@given(ANY, ANY)
def test_any_patch_is_applied_or_refused(target: Any, patch: Any) -> None:
    before = copy.deepcopy((target, patch))
    code, found = 200, None
    try:
        found = strategic.apply(SHAPE, target, patch)
    except Refusal as refusal:
        code = refusal.code
    assert (code == 200 and isinstance(found, dict)) or code == 400
    assert (target, patch) == before


@given(st.dictionaries(st.sampled_from("abc"), st.sampled_from([None, 1, {"x": 1}, {"x": None}])))
def test_without_lists_and_directives_it_is_a_merge_patch(patch: Any) -> None:
    target = {"a": 1, "b": {"x": 2, "y": 3}}
    assert strategic.apply(SHAPE.of("spec").of("free"), target, patch) == merge.merge(target, patch)
