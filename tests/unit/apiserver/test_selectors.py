"""Selectors: what each form selects, and that anything else is refused by name."""

from __future__ import annotations

import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from argosy.apiserver.selectors import parse
from argosy.apiserver.status import Refusal
from argosy.store.base import Key

LABELS = [{}, {"app": "a"}, {"app": "b", "tier": "x"}, {"app": "", "example.com/team": "core"}]

CASES: list[tuple[str, list[int]]] = [
    ("", [0, 1, 2, 3]),
    (",", [0, 1, 2, 3]),
    ("app", [1, 2, 3]),
    ("!app", [0]),
    ("! app", [0]),
    ("app=a", [1]),
    ("app==a", [1]),
    (" app = a ", [1]),
    ("app!=a", [0, 2, 3]),
    ("app=", [3]),
    ("app in (a,b)", [1, 2]),
    ("app in ( a )", [1]),
    ("app in (a,)", [1, 3]),
    ("app notin (a,b)", [0, 3]),
    ("app,tier", [2]),
    ("app in (a,b),tier=x", [2]),
    ("app in (a,b), !tier", [1]),
    ("example.com/team=core", [3]),
    ("in in (in)", []),
]


@pytest.mark.parametrize(("text", "selected"), CASES)
def test_a_label_selector_selects(text: str, selected: list[int]) -> None:
    selector = parse(text, "")
    assert [i for i, labels in enumerate(LABELS) if selector.selects_labels(labels)] == selected


@pytest.mark.parametrize(
    "text",
    [
        "a=b=c",
        "=a",
        "a in",
        "a in b",
        "a in (b",
        "a notin ()x",
        "a b",
        "!",
        "a=b c",
        "a in (b c)",
        "a!",
        "-a",
    ],
)
def test_what_is_no_label_selector_is_refused_by_name(text: str) -> None:
    with pytest.raises(Refusal, match=r"labelSelector: .* is not a requirement") as refused:
        parse(text, "")
    assert refused.value.code == 400


@pytest.mark.parametrize(
    ("text", "selected"),
    [
        ("", ["a/x", "b/x", "b/y"]),
        ("metadata.name=x", ["a/x", "b/x"]),
        ("metadata.name==y", ["b/y"]),
        ("metadata.name!=x", ["b/y"]),
        ("metadata.namespace=b,metadata.name=x", ["b/x"]),
        ("metadata.namespace=", []),
    ],
)
def test_a_field_selector_selects(text: str, selected: list[str]) -> None:
    selector = parse("", text)
    keys = [Key("/services", "a", "x"), Key("/services", "b", "x"), Key("/services", "b", "y")]
    assert [f"{key.namespace}/{key.name}" for key in keys if selector.selects_key(key)] == selected


@pytest.mark.parametrize(
    "text", ["metadata.name", "spec.host=a", "metadata.name=a=b", "=", "metadata.labels=x"]
)
def test_what_is_no_field_selector_is_refused(text: str) -> None:
    with pytest.raises(Refusal, match="fieldSelector"):
        parse("", text)


@given(st.text(max_size=40), st.text(max_size=40))
def test_any_text_is_parsed_or_refused(labels: str, fields: str) -> None:
    with contextlib.suppress(Refusal):
        assert parse(labels, fields).selects_labels({"a": "b"}) in (True, False)
