"""The page about compatibility says what is so."""

from __future__ import annotations

from tests.unit.translate.compatibility import BEGIN, END, PAGE, page


def test_the_tables_of_the_page_are_those_of_the_code() -> None:
    text = PAGE.read_text()
    assert BEGIN in text
    assert END in text
    assert text == page(), "run python -m tests.unit.translate.compatibility"
