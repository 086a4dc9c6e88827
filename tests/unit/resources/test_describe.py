"""Docstrings of structs and of their fields."""

from __future__ import annotations

from msgspec import Struct

from argosy.resources import describe
from argosy.resources.meta import ObjectMeta


class Base(Struct):
    first: int = 0
    """The first."""
    second: int = 0
    """The second."""


class Derived(Base):
    """What it is,
    told on two lines."""

    second: int = 0
    """Another second."""
    third: int = 0
    # no docstring, but a comment
    fourth: int = 0


def test_fields_inherit_their_docstrings_and_may_have_their_own() -> None:
    assert dict(describe.fields(Derived)) == {"first": "The first.", "second": "Another second."}


def test_a_struct_s_docstring_is_its_own_and_in_one_line() -> None:
    assert describe.struct(Derived) == "What it is, told on two lines."
    assert describe.struct(Base) == ""


def test_structs_of_other_modules_are_read_too() -> None:
    assert all(isinstance(text, str) and text for text in describe.fields(ObjectMeta).values())
