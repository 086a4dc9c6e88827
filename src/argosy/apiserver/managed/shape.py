"""The shape of a kind, as far as ownership needs it: what is one field, and what is made of fields.

A map is made of its entries, a list of kind `map` of the entries told apart by its keys, one of kind `set` of its
values; everything else, and every list that says nothing of itself, is one field. What has no fixed form goes by the
value: maps are made of entries, lists are one field.
# Kubernetes: x-kubernetes-list-type, x-kubernetes-list-map-keys, x-kubernetes-map-type
"""

from __future__ import annotations

from enum import Enum, auto
from functools import cache
from typing import Any

from argosy.resources.kinds import Kind, json_schema

Json = dict[str, Any]
LIST_TYPE, LIST_KEYS, MAP_TYPE = (
    "x-kubernetes-list-type",
    "x-kubernetes-list-map-keys",
    "x-kubernetes-map-type",
)


class Form(Enum):
    LEAF = auto()  # one field, whatever is in it
    MAP = auto()
    LIST = auto()
    FREE = auto()  # the value decides


class Shape:
    """One node; filled in after it is made, since a schema may lead back into itself."""

    __slots__ = ("defaults", "entries", "fields", "form", "item", "keys")

    def __init__(self, form: Form = Form.LEAF) -> None:
        self.form = form
        self.fields: dict[str, Shape] = {}  # of a MAP: its declared fields
        self.entries: Shape | None = None  # of a MAP: all others
        self.item: Shape = self  # of a LIST
        self.keys: tuple[str, ...] = ()  # of a LIST: what tells its entries apart; none: their values
        self.defaults: Json = {}  # of a LIST: what an entry that does not say a key means

    def of(self, name: str) -> Shape:
        """The shape of an entry of a MAP."""
        return self.fields.get(name) or self.entries or FREE


LEAF = Shape(Form.LEAF)
FREE = Shape(Form.FREE)
FREE_MAP = Shape(Form.MAP)


def resolve(shape: Shape, value: Any) -> Shape:
    """The shape of this value: never FREE, and LEAF where the value is not what the shape says."""
    if isinstance(value, dict):
        if shape.form is Form.FREE:
            return FREE_MAP
        return shape if shape.form is Form.MAP else LEAF
    if isinstance(value, list):
        return shape if shape.form is Form.LIST else LEAF
    return LEAF


@cache
def shape_of(kind: Kind) -> Shape:
    schema = json_schema(kind)
    return _Compiler(schema["$defs"]).compile(schema)


class _Compiler:
    def __init__(self, definitions: Json) -> None:
        self._definitions = definitions
        self._made: dict[str, Shape] = {}

    def compile(self, schema: Json) -> Shape:
        name = schema.get("$ref", "").rpartition("/")[2]
        if not name:
            return self._fill(Shape(), schema)
        shape = self._made.get(name)
        if shape is None:
            shape = self._made[name] = Shape()
            self._fill(shape, self._definitions[name] | {k: v for k, v in schema.items() if k != "$ref"})
        return shape

    def _fill(self, shape: Shape, schema: Json) -> Shape:
        match schema.get("type"):
            case "object" if schema.get(MAP_TYPE) == "atomic":
                shape.form = Form.LEAF
            case "object" if "properties" in schema:
                shape.form = Form.MAP
                shape.fields = {k: self.compile(v) for k, v in schema["properties"].items()}
            case "object":
                entries = schema.get("additionalProperties")
                shape.form = Form.MAP if isinstance(entries, dict) and entries else Form.FREE
                shape.entries = self.compile(entries) if isinstance(entries, dict) and entries else None
            case "array" if schema.get(LIST_TYPE) in ("map", "set"):
                shape.form = Form.LIST
                shape.item = self.compile(schema["items"])
                shape.keys = tuple(schema.get(LIST_KEYS, ())) if schema[LIST_TYPE] == "map" else ()
                shape.defaults = self._defaults(schema["items"], shape.keys)
            case str():
                shape.form = Form.LEAF
            case _:
                shape.form = Form.FREE
        return shape

    def _defaults(self, schema: Json, keys: tuple[str, ...]) -> Json:
        item = self._definitions.get(schema.get("$ref", "").rpartition("/")[2], schema)
        fields = item.get("properties", {})
        return {key: fields[key]["default"] for key in keys if "default" in fields.get(key, {})}
