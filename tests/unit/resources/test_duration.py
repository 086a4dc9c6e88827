"""Durations as Go writes them."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from argosy.resources.duration import parse_duration


@pytest.mark.parametrize(
    ("text", "milliseconds"),
    [
        ("0", 0),
        ("0s", 0),
        ("+5s", 5_000),
        ("1h30m", 5_400_000),
        ("0.5s", 500),
        (".5s", 500),
        ("1.s", 1_000),
        ("100ms", 100),
        ("1000us", 1),
        ("1000µs", 1),
        ("1s1000000ns", 1_001),
        ("48h", 172_800_000),
        ("0.001s", 1),
    ],
)
def test_duration_is_read(text: str, milliseconds: int) -> None:
    assert parse_duration(text) == milliseconds


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("", "is not a duration"),
        ("5", "is not a duration"),
        ("s", "is not a duration"),
        ("1 s", "is not a duration"),
        ("1d", "is not a duration"),
        ("1h30", "is not a duration"),
        ("٣s", "is not a duration"),
        ("-1s", "is negative"),
        ("-0.5s", "is negative"),
        ("1us", "finer than a millisecond"),
        ("0.0005s", "finer than a millisecond"),
        ("9" * 40 + "h", "longer than 10,000 years"),
        ("1" * 65 + "s", "is not a duration"),
    ],
)
def test_what_is_no_duration_is_refused_with_the_remedy(text: str, says: str) -> None:
    with pytest.raises(ValueError, match=says):
        parse_duration(text)


@given(st.integers(0, 10**12))
def test_whole_milliseconds_come_back_from_any_unit(milliseconds: int) -> None:
    assert parse_duration(f"{milliseconds}ms") == milliseconds
    assert parse_duration(f"{milliseconds // 1000}s{milliseconds % 1000}ms") == milliseconds
    assert parse_duration(f"{milliseconds // 1000}.{milliseconds % 1000:03}s") == milliseconds


@given(st.text(max_size=30))
def test_any_text_is_a_duration_or_a_value_error(text: str) -> None:
    try:
        milliseconds = parse_duration(text)
    except ValueError:
        return
    assert milliseconds >= 0
