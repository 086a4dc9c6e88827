"""JSON patch: the examples of RFC 6902, and what is refused."""

from __future__ import annotations

import copy
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from argosy.apiserver.patches import json_patch
from argosy.apiserver.status import Refusal

# RFC 6902, appendix A: (document, patch, result)
EXAMPLES: list[tuple[str, Any, list[dict[str, Any]], Any]] = [
    ("A.1", {"foo": "bar"}, [{"op": "add", "path": "/baz", "value": "qux"}], {"baz": "qux", "foo": "bar"}),
    ("A.2", {"foo": ["bar", "baz"]}, [{"op": "add", "path": "/foo/1", "value": "qux"}], {"foo": ["bar", "qux", "baz"]}),
    ("A.3", {"baz": "qux", "foo": "bar"}, [{"op": "remove", "path": "/baz"}], {"foo": "bar"}),
    ("A.4", {"foo": ["bar", "qux", "baz"]}, [{"op": "remove", "path": "/foo/1"}], {"foo": ["bar", "baz"]}),
    ("A.5", {"baz": "qux", "foo": "bar"}, [{"op": "replace", "path": "/baz", "value": "boo"}],
     {"baz": "boo", "foo": "bar"}),
    ("A.6", {"foo": {"bar": "baz", "waldo": "fred"}, "qux": {"corge": "grault"}},
     [{"op": "move", "from": "/foo/waldo", "path": "/qux/thud"}],
     {"foo": {"bar": "baz"}, "qux": {"corge": "grault", "thud": "fred"}}),
    ("A.7", {"foo": ["all", "grass", "cows", "eat"]}, [{"op": "move", "from": "/foo/1", "path": "/foo/3"}],
     {"foo": ["all", "cows", "eat", "grass"]}),
    ("A.8", {"baz": "qux", "foo": ["a", 2, "c"]},
     [{"op": "test", "path": "/baz", "value": "qux"}, {"op": "test", "path": "/foo/1", "value": 2}],
     {"baz": "qux", "foo": ["a", 2, "c"]}),
    ("A.10", {"foo": "bar"}, [{"op": "add", "path": "/child", "value": {"grandchild": {}}}],
     {"foo": "bar", "child": {"grandchild": {}}}),
    ("A.11", {"foo": "bar"}, [{"op": "add", "path": "/baz", "value": "qux", "xyz": 123}], {"foo": "bar", "baz": "qux"}),
    ("A.14", {"/": 9, "~1": 10}, [{"op": "test", "path": "/~01", "value": 10}], {"/": 9, "~1": 10}),
    ("A.16", {"foo": ["bar"]}, [{"op": "add", "path": "/foo/-", "value": ["abc", "def"]}],
     {"foo": ["bar", ["abc", "def"]]}),
    ("copy", {"a": {"b": 1}},
     [{"op": "copy", "from": "/a", "path": "/c"}, {"op": "replace", "path": "/c/b", "value": 2}],
     {"a": {"b": 1}, "c": {"b": 2}}),
    ("the whole", {"a": 1}, [{"op": "replace", "path": "", "value": {"b": 2}}], {"b": 2}),
    ("move to itself", {"a": 1}, [{"op": "move", "from": "/a", "path": "/a"}], {"a": 1}),
    ("null is a value", {"a": None}, [{"op": "test", "path": "/a", "value": None}], {"a": None}),
    ("numbers", {"a": 1}, [{"op": "test", "path": "/a", "value": 1.0}], {"a": 1}),
]  # fmt: skip

REFUSED: list[tuple[str, Any, int, str]] = [
    ("A.9: a test that fails", [{"op": "test", "path": "/baz", "value": "bar"}], 422, "does not hold"),
    ("A.12: into nothing", [{"op": "add", "path": "/nothing/bat", "value": "qux"}], 422, "there is no 'nothing'"),
    ("A.15: text is no number", [{"op": "test", "path": "/n", "value": "1"}], 422, "does not hold"),
    ("true is not 1", [{"op": "test", "path": "/n", "value": True}], 422, "does not hold"),
    ("the replacement of nothing", [{"op": "replace", "path": "/x", "value": 1}], 422, "there is no 'x'"),
    ("the removal of nothing", [{"op": "remove", "path": "/list/2"}], 422, "no entry 2"),
    ("the removal of all", [{"op": "remove", "path": ""}], 422, "cannot be taken away"),
    ("past the end", [{"op": "add", "path": "/list/3", "value": 1}], 422, "past its end"),
    ("no index", [{"op": "add", "path": "/list/01", "value": 1}], 422, "not an index"),
    ("within text", [{"op": "add", "path": "/baz/x", "value": 1}], 422, "within a simple value"),
    ("the end is no entry", [{"op": "remove", "path": "/list/-"}], 422, "no entry 2"),
    ("into itself", [{"op": "move", "from": "/map", "path": "/map/x"}], 422, "into itself"),
    ("no list", {}, 400, "not a list"),
    ("no object", [5], 400, "operation 0"),
    ("no such operation", [{"op": "sing", "path": ""}], 400, "'sing' is unknown"),
    ("no path", [{"op": "remove"}], 400, "path"),
    ("no pointer", [{"op": "remove", "path": "a"}], 400, "does not begin"),
    ("no source", [{"op": "copy", "path": "/a"}], 400, "from"),
    ("no value", [{"op": "add", "path": "/a"}], 400, "value is missing"),
    ("too many", [{"op": "test", "path": "/n", "value": 1}] * 10_001, 413, "at most 10000"),
    ("a bomb", [{"op": "copy", "from": "", "path": f"/{i}"} for i in range(40)], 413, "copies more than"),
]  # fmt: skip
DOCUMENT = {"baz": "qux", "n": 1, "list": [1, 2], "map": {"a": {}}}


@pytest.mark.parametrize(
    ("document", "patch", "expected"), [row[1:] for row in EXAMPLES], ids=[row[0] for row in EXAMPLES]
)
def test_examples(document: Any, patch: list[dict[str, Any]], expected: Any) -> None:
    before = copy.deepcopy((document, patch))
    assert json_patch.apply(document, json_patch.parse(patch)) == expected
    assert (document, patch) == before


@pytest.mark.parametrize(
    ("patch", "code", "says"), [row[1:] for row in REFUSED], ids=[row[0] for row in REFUSED]
)
def test_what_does_not_fit_is_refused(patch: Any, code: int, says: str) -> None:
    with pytest.raises(Refusal) as caught:
        json_patch.apply(DOCUMENT, json_patch.parse(patch))
    assert (caught.value.code, says in str(caught.value)) == (code, True), str(caught.value)


POINTERS = st.lists(st.sampled_from(["", "baz", "list", "map", "a", "0", "-", "~1"]), max_size=3).map(
    lambda parts: "".join(f"/{part}" for part in parts)
)
OPERATIONS: st.SearchStrategy[dict[str, Any]] = st.fixed_dictionaries(
    {"op": st.sampled_from(["add", "remove", "replace", "move", "copy", "test"]), "path": POINTERS},
    optional={"from": POINTERS, "value": st.sampled_from([1, {"a": []}, None])},
)


@given(st.lists(OPERATIONS, max_size=12))
def test_any_patch_is_applied_or_refused_and_changes_nothing_but_its_result(
    patch: list[dict[str, Any]],
) -> None:
    before = copy.deepcopy((DOCUMENT, patch))
    code = 200
    try:
        json_patch.apply(DOCUMENT, json_patch.parse(patch))
    except Refusal as refusal:
        code = refusal.code
    assert code in (200, 400, 413, 422)
    assert (DOCUMENT, patch) == before


DEEPER: list[dict[str, Any]] = [
    {"op": "move", "from": "/map", "path": "/up"},
    {"op": "add", "path": "/map", "value": {}},
    {"op": "move", "from": "/up", "path": "/map/a"},
]


def test_what_would_nest_without_end_is_refused() -> None:
    for patch in ([{"op": "copy", "from": "/map", "path": "/map/a"}] * 2000, DEEPER * 500):
        with pytest.raises(Refusal, match="nested more than") as caught:
            json_patch.apply(DOCUMENT, json_patch.parse(patch))
        assert caught.value.code == 422
    with pytest.raises(Refusal, match="path is too deep"):
        json_patch.parse([{"op": "add", "path": "/a" * 65, "value": 1}])


def test_what_would_take_too_long_is_refused() -> None:
    front = [{"op": "add", "path": "/list/0", "value": 1}] * 9_000
    with pytest.raises(Refusal, match="too many steps") as caught:
        json_patch.apply({"list": [0] * 50_000}, json_patch.parse(front))
    assert caught.value.code == 413
