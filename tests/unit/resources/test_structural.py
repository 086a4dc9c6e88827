"""Structural schemas: what a real API server would take, for every kind; and each form of a field."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated, Any

import pytest
from msgspec import Meta, Struct

from argosy.resources.kinds import KINDS, Kind
from argosy.resources.structural import inline, of_struct, structs_within
from tests.unit.resources.structural import faults


class Colour(StrEnum):
    RED = "RED"
    BLUE = "BLUE"


class Leaf(Struct, kw_only=True, rename="camel"):
    """A leaf."""

    leaf_name: str
    """How it is called,
    in one word.

    Not empty."""
    port: int = 80
    nothing: Any = None


class Tree(Struct, kw_only=True, rename="camel"):
    colour: Colour = Colour.RED
    leaf: Leaf | None = None
    """The one."""
    leaves: Annotated[
        tuple[Leaf, ...],
        Meta(
            extra_json_schema={
                "x-kubernetes-list-type": "map",
                "x-kubernetes-list-map-keys": ["leafName", "port"],
            }
        ),
    ] = ()
    either: int | str | None = None
    share: Annotated[float, Meta(ge=0, le=100)] = 0.0
    small: Annotated[int, Meta(ge=1, le=65535)] | None = None
    free: dict[str, Any] = {}
    named: dict[str, Leaf] = {}
    tree: Tree | None = None
    texts: Annotated[tuple[str, ...], Meta(min_length=1, max_length=3)] = ("a",)
    true: bool = False
    """Where a field
    has a docstring."""


def inlined() -> dict[str, Any]:
    return of_struct(Tree, lambda _: None)["properties"]  # type: ignore[no-any-return]


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.kind)
def test_every_kind_has_a_structural_schema(kind: Kind) -> None:
    schema = inline(kind)
    assert faults(schema) == []
    assert list(schema["properties"])[:3] == ["apiVersion", "kind", "metadata"]
    assert schema["properties"]["metadata"]["type"] == "object"
    assert not {"apiVersion", "kind", "metadata"} & set(schema.get("required", ()))


def test_each_form_of_a_field_has_its_schema() -> None:
    fields = inlined()
    assert fields["colour"] == {"type": "string", "enum": ["RED", "BLUE"]}
    assert fields["either"] == {
        "anyOf": [{"type": "integer"}, {"type": "string"}],
        "x-kubernetes-int-or-string": True,
    }
    assert fields["share"] == {"type": "number", "minimum": 0, "maximum": 100}
    assert fields["small"] == {"type": "integer", "format": "int32", "minimum": 1, "maximum": 65535}
    assert fields["free"] == {"type": "object", "x-kubernetes-preserve-unknown-fields": True}
    assert fields["texts"] == {"type": "array", "items": {"type": "string"}, "minItems": 1, "maxItems": 3}
    assert fields["named"]["additionalProperties"]["required"] == ["leafName"]
    assert fields["leaf"]["properties"]["nothing"] == {"x-kubernetes-preserve-unknown-fields": True}
    assert fields["leaf"]["properties"]["port"] == {"type": "integer", "format": "int64"}


def test_a_struct_within_itself_ends_in_an_object_of_any_form() -> None:
    assert inlined()["tree"] == {"type": "object", "x-kubernetes-preserve-unknown-fields": True}
    assert faults(of_struct(Tree, lambda _: None)) == []


def test_keys_of_a_list_are_required_or_have_a_default() -> None:
    items = inlined()["leaves"]["items"]
    assert items["required"] == ["leafName"]
    assert items["properties"]["port"]["default"] == 80
    assert "default" not in items["properties"]["leafName"]
    assert "default" not in inlined()["leaf"]["properties"]["port"]


def test_descriptions_are_docstrings_the_field_s_before_the_struct_s() -> None:
    fields = inlined()
    assert fields["leaf"]["description"] == "The one."
    assert fields["named"]["additionalProperties"]["description"] == "A leaf."
    assert fields["leaf"]["properties"]["leafName"] == {
        "type": "string",
        "description": "How it is called, in one word.\n\nNot empty.",
    }
    assert "description" not in fields["share"]
    assert fields["true"]["description"] == "Where a field has a docstring."


def test_references_stand_in_place_of_structs_and_keep_the_field_s_description() -> None:
    schema = of_struct(Tree, lambda struct: {"$ref": f"#/{struct.__name__}"})
    fields = schema["properties"]
    assert fields["leaf"] == {"description": "The one.", "allOf": [{"$ref": "#/Leaf"}]}
    assert fields["tree"] == {"$ref": "#/Tree"}
    assert fields["leaves"]["items"] == {"$ref": "#/Leaf"}
    assert structs_within(Tree) == (Tree, Leaf)
