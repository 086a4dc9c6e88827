"""Text to objects, and the bounds on what is read."""

import contextlib
import json
import time
from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from argosy.resources import loading
from argosy.resources.loading import LoadError, load_documents


def objects(text: str) -> list[Any]:
    return [document.object for document in load_documents(text, "f")]


def test_documents_are_numbered_and_know_their_line() -> None:
    documents = load_documents("# head\n---\na: 1\n---\n---\n# only a comment\n---\n\nb: 2\n", "dir/f.yaml")
    assert [(d.source, d.index, d.line, d.object) for d in documents] == [
        ("dir/f.yaml", 0, 3, {"a": 1}),
        ("dir/f.yaml", 1, 9, {"b": 2}),
    ]


def test_lists_are_expanded() -> None:
    text = (
        "kind: List\napiVersion: v1\nitems:\n- kind: A\n- kind: BList\n  items: [{kind: B}]\n---\nkind: C\n"
    )
    documents = load_documents(text, "f")
    assert [(d.index, d.object["kind"]) for d in documents] == [(0, "A"), (1, "B"), (2, "C")]


def test_a_kind_that_only_sounds_like_a_list_is_an_object() -> None:
    assert objects("kind: AllowList\nspec: {}") == [{"kind": "AllowList", "spec": {}}]


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("yes", True),
        ("Off", False),
        ("y", "y"),
        ("~", None),
        ("'yes'", "yes"),
        ("12", 12),
        ("-3", -3),
        ("0x1F", 31),
        ("0o17", 15),
        ("017", 15),
        ("08", 8.0),
        ("1_000", 1000),
        ("1_", 1),
        ("1__2", 12),
        ("1_.5_", 1.5),
        ("1.5", 1.5),
        ("1e3", 1000.0),
        ("1:30", "1:30"),
        ("1.2.3", "1.2.3"),
        ("10.0.0.0/8", "10.0.0.0/8"),
        ("2026-01-01", "2026-01-01"),
        (".inf", ".inf"),
        (".nan", ".nan"),
        ("1e999", "1e999"),
        ("+", "+"),
        ("-", [None]),
        ("!!str 5", "5"),
        ("! 5", "5"),
        ("!!int '5'", 5),
        ("<<", "<<"),
        ("|\n  a\n  b\n", "a\nb\n"),
    ],
)
def test_scalars_are_read_as_kubernetes_reads_them(text: str, value: Any) -> None:
    (obj,) = objects(f"k: {text}" if text != "-" else "k:\n-")
    assert obj == {"k": value}
    assert type(obj["k"]) is type(value)


def test_keys_are_text() -> None:
    assert objects("8080: a\ntrue: b\n~: c\n1.5: d\n") == [
        {"8080": "a", "true": "b", "null": "c", "1.5": "d"}
    ]


def test_anchors_and_merges() -> None:
    text = "base: &b {x: 1, y: 1}\na:\n  <<: *b\n  x: 2\nc:\n  y: 3\n  <<: [{z: 5}, *b]\nd: *b\n"
    (obj,) = objects(text)
    assert obj["a"] == {"x": 2, "y": 1}
    assert obj["c"] == {"y": 3, "z": 5, "x": 1}
    assert obj["d"] == {"x": 1, "y": 1}


def test_anchors_end_with_their_document() -> None:
    with pytest.raises(LoadError, match="no anchor"):
        objects("a: &x 1\n---\nb: *x\n")


@pytest.mark.parametrize(
    ("text", "line", "says"),
    [
        ("a: 1\nb: [\n", 3, "did not find"),
        ("a:\n  b: 1\n  b: 2\n", 3, "key 'b' is there twice"),
        ("1: a\n'1': b\n", 2, "key '1' is there twice"),
        ("? [a]\n: 1\n", 1, "a key is not text"),
        ("a: !!python/object:os.system x\n", 1, "tag"),
        ("a: *nowhere\n", 1, "no anchor"),
        ("a: &a [*a]\n", 1, "no anchor"),
        ("a:\n  <<: 5\n", 2, "merges mappings"),
        ("a: \x00", 1, "not YAML"),
        ("\ta: 1", 1, "found character"),
    ],
)
def test_what_cannot_be_read_names_the_line(text: str, line: int, says: str) -> None:
    with pytest.raises(LoadError, match=says) as caught:
        objects(text)
    assert (caught.value.source, caught.value.line) == ("f", line)
    assert str(caught.value).startswith(f"f:{line}: ")


@pytest.mark.parametrize("opening", ["[", "{a: ", "- "])
@pytest.mark.parametrize("depth", [loading.MAX_DEPTH + 1, 100_000])
def test_deep_nesting_is_refused_not_suffered(opening: str, depth: int) -> None:
    with pytest.raises(LoadError, match="nested more than 64"):
        objects(opening * depth)


def test_deep_json_is_refused() -> None:
    for depth in (65, 5_000):
        with pytest.raises(LoadError, match="nested more than 64"):
            objects("[" * depth + "]" * depth)
    (value,) = objects("[" * 64 + "]" * 64)
    assert value


def test_depth_counts_through_aliases() -> None:
    lines = ["k0: &a0 {x: 1}"] + [f"k{i}: &a{i} {{x: {{x: *a{i - 1}}}}}" for i in range(1, 40)]
    with pytest.raises(LoadError, match="nested more than 64"):
        objects("\n".join(lines))


def test_an_alias_costs_what_it_stands_for() -> None:
    lines = ["k0: &a0 [x, x, x, x, x, x, x, x, x, x]"]
    lines += [f"k{i}: &a{i} [{', '.join([f'*a{i - 1}'] * 10)}]" for i in range(1, 10)]
    started = time.process_time()
    with pytest.raises(LoadError, match="values"):
        objects("\n".join(lines))
    assert time.process_time() - started < 5


def test_merges_of_merges_cost_what_they_stand_for() -> None:
    lines = ["k0: &a0 {x: 1}"]
    lines += [f"k{i}: &a{i} {{<<: [{', '.join([f'*a{i - 1}'] * 10)}]}}" for i in range(1, 10)]
    with pytest.raises(LoadError, match="values"):
        objects("\n".join(lines))


def test_size_is_bounded() -> None:
    with pytest.raises(LoadError, match="split it"):
        objects("#" * (loading.MAX_CHARACTERS + 1))


def test_json_is_read_with_all_its_escapes() -> None:
    value = {"a": ["é😀", None, 1.5, {"b": True}], "1": -0.0}
    assert objects(json.dumps(value)) == [value]
    assert objects('\n {"a":\t1}') == [{"a": 1}]


def test_flow_style_is_not_mistaken_for_json() -> None:
    assert objects("{a: 1, b: [x]}\n---\nc: 1") == [{"a": 1, "b": ["x"]}, {"c": 1}]


_SCALARS = (
    st.none()
    | st.booleans()
    | st.integers(-(2**53), 2**53)
    | st.floats(allow_nan=False, allow_infinity=False)
)
_TEXT = st.text(
    st.characters(codec="utf-8", exclude_categories=("Cc", "Cs"), exclude_characters="\u2028\u2029\ufeff")
)
_VALUES = st.recursive(
    _SCALARS | _TEXT,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(_TEXT, inner, max_size=4),
    max_leaves=12,
)


@given(st.dictionaries(_TEXT, _VALUES, min_size=1, max_size=4).filter(lambda d: "kind" not in d))
def test_what_json_writes_is_read_back(value: dict[str, Any]) -> None:
    assert objects(json.dumps(value)) == [value]
    assert objects(json.dumps(value, ensure_ascii=False)) == [value]


_WORDS = st.text("abcxyz", min_size=3, max_size=6)
_SIMPLE = st.recursive(
    st.integers(-999, 999) | _WORDS | st.booleans() | st.none(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(_WORDS, inner, max_size=3),
    max_leaves=10,
)


@given(st.dictionaries(_WORDS, _SIMPLE, min_size=1, max_size=4))
def test_on_plain_yaml_it_agrees_with_pyyaml(value: dict[str, Any]) -> None:
    text = yaml.safe_dump(value)
    assert objects(text) == [yaml.safe_load(text)]


@given(st.text(alphabet="ab:-&*<[]{}?!|>'\"#%\n ,1.~", max_size=60))
def test_any_text_is_objects_or_a_load_error(text: str) -> None:
    with contextlib.suppress(LoadError):
        assert all(value is not None for value in objects(text))
