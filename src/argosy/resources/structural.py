"""Structural schemas from the structs: what Kubernetes publishes, and takes in definitions of custom resources.

They differ from the schemas that we validate with (`kinds.json_schema`): every level has one type; no `$ref` where a
definition is inlined; unknown fields are not spoken of; what has no fixed form says so with an extension.
Descriptions are the docstrings of the structs.
# Kubernetes: apiextensions/v1 JSONSchemaProps, "Specifying a structural schema"
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import cache
from typing import Any

import msgspec
from msgspec import inspect

from argosy.resources import describe
from argosy.resources.kinds import Kind

Json = dict[str, Any]
Refer = Callable[[type[msgspec.Struct]], Json | None]
"""How a struct within another is written: a reference, or None: in its place."""

API_VERSION = (
    "The group and version of the schema that this object is written in, as in `networking.istio.io/v1`."
    " The server converts to the version that a client asks for."
)
KIND = "What the object is, in the singular and in CamelCase. It cannot be changed."
METADATA = "Name, namespace, labels and what else all objects have."
ANYTHING: Json = {"x-kubernetes-preserve-unknown-fields": True}
INT_OR_TEXT: Json = {"anyOf": [{"type": "integer"}, {"type": "string"}], "x-kubernetes-int-or-string": True}
LIST_TYPE, LIST_KEYS = "x-kubernetes-list-type", "x-kubernetes-list-map-keys"

_HEAD: dict[str, Json] = {
    "apiVersion": {"type": "string", "description": API_VERSION},
    "kind": {"type": "string", "description": KIND},
}


@cache
def inline(kind: Kind) -> Json:
    """The whole schema of a kind in one piece, as a CustomResourceDefinition carries it."""
    schema = of_struct(kind.struct, lambda _: None)
    # Kubernetes refuses a definition that says more of it than that, a description included.
    fields = schema["properties"] | _HEAD | {"metadata": {"type": "object"}}
    schema["properties"] = {name: fields[name] for name in (*_FIRST, *fields) if name in fields}
    schema["required"] = [name for name in schema.get("required", ()) if name not in _FIRST]
    if "status" in fields:  # written by machines of any version: what they know is kept
        fields["status"] |= ANYTHING
    return {key: value for key, value in schema.items() if value != []}


def of_struct(struct: type[msgspec.Struct], refer: Refer, within: tuple[type, ...] = ()) -> Json:
    """The schema of a struct; structs in its fields as `refer` says. `within` are those it is inlined in."""
    told = describe.fields(struct)
    properties: Json = {}
    required = []
    within = (*within, struct)
    for field in _info(struct).fields:
        schema = _of_type(field.type, refer, within)
        properties[field.encode_name] = described(schema, told.get(field.name, ""))
        if field.required:
            required.append(field.encode_name)
    schema = {"type": "object", "description": describe.struct(struct), "properties": properties}
    if required:
        schema["required"] = sorted(required)
    return {key: value for key, value in schema.items() if value not in ("", {})}


def described(schema: Json, text: str) -> Json:
    """With a description, where there is one; a reference has no room for one beside it."""
    if not text:
        return schema
    if "$ref" in schema:
        return {"description": text, "allOf": [schema]}
    ordered = {"type": schema.get("type"), "description": text} | {
        key: value for key, value in schema.items() if key not in ("type", "description")
    }
    return {key: value for key, value in ordered.items() if value is not None}


@cache
def structs_within(struct: type[msgspec.Struct]) -> tuple[type[msgspec.Struct], ...]:
    """The struct, and every other that its fields lead to, each once."""
    found: dict[type[msgspec.Struct], None] = {struct: None}
    waiting = [struct]
    while waiting:
        for field in _info(waiting.pop()).fields:
            for inner in _structs(field.type):
                if inner not in found:
                    found[inner] = None
                    waiting.append(inner)
    return tuple(found)


_FIRST = ("apiVersion", "kind", "metadata")


@cache
def _info(struct: type[msgspec.Struct]) -> inspect.StructType:
    info = inspect.type_info(struct)
    if not isinstance(info, inspect.StructType):
        raise TypeError(f"{struct} is not a struct")
    return info


def _structs(kind: inspect.Type) -> Iterator[type[msgspec.Struct]]:
    match kind:
        case inspect.Metadata(type=inner):
            yield from _structs(inner)
        case inspect.StructType(cls=struct):
            yield struct
        case inspect.CollectionType(item_type=item):
            yield from _structs(item)
        case inspect.DictType(value_type=value):
            yield from _structs(value)
        case inspect.UnionType(types=types):
            for each in types:
                yield from _structs(each)


def _of_type(kind: inspect.Type, refer: Refer, within: tuple[type, ...]) -> Json:
    match kind:
        case inspect.Metadata(type=inner, extra_json_schema=extra):
            return _with_keys(_of_type(inner, refer, within) | (extra or {}), inner)
        case inspect.UnionType(types=types):
            return _of_union(
                [each for each in types if not isinstance(each, inspect.NoneType)], refer, within
            )
        case inspect.StructType(cls=struct):
            reference = refer(struct)
            if reference is not None:
                return dict(reference)
            if struct in within:  # a structural schema has no way to lead back into itself
                return described({"type": "object", **ANYTHING}, describe.struct(struct))
            return of_struct(struct, refer, within)
        case inspect.DictType(value_type=inspect.AnyType()):
            return {"type": "object", **ANYTHING}
        case inspect.DictType(value_type=value):
            schema: Json = {"type": "object", "additionalProperties": _of_type(value, refer, within)}
            return schema | _present(minProperties=kind.min_length, maxProperties=kind.max_length)
        case inspect.CollectionType(item_type=item):
            schema = {"type": "array", "items": _of_type(item, refer, within)}
            return schema | _present(minItems=kind.min_length, maxItems=kind.max_length)
        case inspect.EnumType(cls=enum):
            return _of_values([member.value for member in enum])
        case inspect.LiteralType(values=values):
            return _of_values(list(values))
        case inspect.StrType():
            lengths = _present(minLength=kind.min_length, maxLength=kind.max_length, pattern=kind.pattern)
            return {"type": "string", **lengths}
        case inspect.BoolType():
            return {"type": "boolean"}
        case inspect.IntType():
            return {"type": "integer", "format": _width(kind), **_bounds(kind)}
        case inspect.FloatType():
            return {"type": "number", **_bounds(kind)}
        case inspect.AnyType():
            return dict(ANYTHING)
    raise TypeError(f"{kind}: there is no structural schema for it")


def _of_union(types: list[inspect.Type], refer: Refer, within: tuple[type, ...]) -> Json:
    if len(types) == 1:
        return _of_type(types[0], refer, within)
    names = {type(each) for each in types}
    if names == {inspect.IntType, inspect.StrType}:
        return dict(INT_OR_TEXT)
    if names == {inspect.IntType, inspect.FloatType}:
        return {"type": "number"}
    return dict(ANYTHING)


def _of_values(values: list[Any]) -> Json:
    names = {str: "string", int: "integer"}
    (kind,) = {type(value) for value in values}
    return {"type": names[kind], "enum": values}


def _width(kind: inspect.IntType) -> str:
    low, high = kind.ge, kind.le
    small = low is not None and high is not None and low >= -(2**31) and high < 2**31
    return "int32" if small else "int64"


def _bounds(kind: inspect.IntType | inspect.FloatType) -> Json:
    found = _present(minimum=kind.ge, maximum=kind.le, multipleOf=kind.multiple_of)
    if kind.gt is not None:
        found |= {"minimum": kind.gt, "exclusiveMinimum": True}
    if kind.lt is not None:
        found |= {"maximum": kind.lt, "exclusiveMaximum": True}
    return found


def _present(**values: Any) -> Json:
    return {key: value for key, value in values.items() if value is not None}


def _with_keys(schema: Json, inner: inspect.Type) -> Json:
    """A key that entries of a list are told apart by is there in each: given, or else by default."""
    items = schema.get("items")
    if schema.get(LIST_TYPE) != "map" or not isinstance(items, dict) or "properties" not in items:
        return schema
    struct = next(_structs(inner))
    defaults = {field.encode_name: field.default for field in _info(struct).fields if not field.required}
    properties = items["properties"] | {
        key: items["properties"][key] | {"default": defaults[key]}
        for key in schema[LIST_KEYS]
        if key in defaults
    }
    return schema | {"items": items | {"properties": properties}}
