"""Docstrings of structs and of their fields."""

from __future__ import annotations

import pytest
from msgspec import Struct

from argosy.resources import describe
from argosy.resources.kinds import SERVED
from argosy.resources.meta import Object, ObjectMeta
from argosy.resources.structural import structs_within


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


def described() -> list[type[Struct]]:
    return list(dict.fromkeys(one for kind in SERVED for one in structs_within(kind.struct)))


@pytest.mark.parametrize("struct", [*described(), ObjectMeta])
def test_every_field_is_told(struct: type[Struct]) -> None:
    assert describe.struct(struct)
    told = describe.fields(struct)
    inherited = ("api_version", "kind", "metadata") if issubclass(struct, Object) else ()
    untold = [name for name in struct.__struct_fields__ if name not in told and name not in inherited]
    assert untold == []
