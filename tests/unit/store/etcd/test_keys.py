"""Objects as keys of etcd: there and back, in the order that lists have."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from argosy.store.base import Key
from argosy.store.etcd.keys import Layout

LAYOUT = Layout("/argosy")
TEXT = st.text(st.characters(min_codepoint=0x20, exclude_categories=["Cs"]), max_size=5)
KEYS = st.builds(Key, TEXT, TEXT, TEXT)


@given(KEYS)
def test_a_key_comes_back_as_it_was(key: Key) -> None:
    assert LAYOUT.decode(LAYOUT.encode(key)) == key


@given(st.lists(KEYS, max_size=8))
def test_etcds_order_is_that_of_keys(keys: list[Key]) -> None:
    assert sorted(keys, key=LAYOUT.encode) == sorted(keys)


@given(KEYS, KEYS)
def test_a_range_holds_what_it_should_and_nothing_else(key: Key, other: Key) -> None:
    for resource, namespace in ((None, None), (other.resource, None), (other.resource, other.namespace)):
        start, end = LAYOUT.range(resource, namespace)
        wanted = resource in (None, key.resource) and namespace in (None, key.namespace)
        assert (start <= LAYOUT.encode(key) < end) == wanted


@pytest.mark.parametrize("name", ["a\tb", "\x00", "a\nb"])
def test_control_characters_are_refused(name: str) -> None:
    for key in (Key(name, "b", "c"), Key("a", name, "c"), Key("a", "b", name)):
        with pytest.raises(ValueError, match="control characters"):
            LAYOUT.encode(key)


@pytest.mark.parametrize(
    "raw", [b"/argosy/objects/a\tb", b"/argosy/objects/a\tb\tc\td", b"/argosy/objects/\xff\t\t"]
)
def test_what_somebody_else_put_there_is_no_key(raw: bytes) -> None:
    assert LAYOUT.decode(raw) is None
