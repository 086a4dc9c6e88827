"""OpenAPI v2 as protobuf: the form in which kubectl asks for it.

One table for each message: the fields of the JSON document -> number and form. What has no form of its own (defaults,
extensions) travels as YAML, of which JSON is a part.
# gnostic: openapiv2/OpenAPIv2.proto
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from argosy.apiserver import encoding

Json = dict[str, Any]
Encode = Callable[[int, Any], bytes]
"""From a field's number and value to its bytes."""

MEDIA_TYPE = "application/com.github.proto-openapi.spec.v2.v1.0+protobuf"
ASKED_AS = "application/com.github.proto-openapi.spec.v2@v1.0+protobuf"
"""What clients say. The answer must not: an `@` is no part of a media type, and Go reads none that has it."""


def encode(document: Json) -> bytes:
    """The message `Document`."""
    return _contents(_DOCUMENT, 0, document)


# --- forms ---


def _varint(value: int) -> bytes:
    out = bytearray()
    value &= (1 << 64) - 1
    while value > 0x7F:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    out.append(value)
    return bytes(out)


def _bytes(number: int, payload: bytes) -> bytes:
    return _varint(number << 3 | 2) + _varint(len(payload)) + payload


def text(number: int, value: Any) -> bytes:
    return _bytes(number, str(value).encode())


def flag(number: int, value: Any) -> bytes:
    return _varint(number << 3) + _varint(int(bool(value)))


def whole(number: int, value: Any) -> bytes:
    return _varint(number << 3) + _varint(value)


def double(number: int, value: Any) -> bytes:
    return _varint(number << 3 | 1) + struct.pack("<d", value)


def free(number: int, value: Any) -> bytes:
    """Any: 2 is `yaml`."""
    return _bytes(number, _bytes(2, encoding.encode(value)))


def each(form: Encode) -> Encode:
    """A repeated field."""
    return lambda number, values: b"".join(form(number, value) for value in values)


def named(form: Encode, entry: int = 1) -> Encode:
    """A message of named entries: of each, 1 is the name and 2 the value."""

    def encode_map(number: int, values: Mapping[str, Any]) -> bytes:
        return _bytes(number, _entries(form, entry, values.items()))

    return encode_map


def within(number: int, form: Encode) -> Encode:
    """In a message that holds nothing but it, under that number."""
    return lambda outer, value: _bytes(outer, form(number, value))


def message(fields: Callable[[], Fields]) -> Encode:
    """Fields as the table says; the rest are extensions. The table may name itself."""

    def encode_message(number: int, value: Json) -> bytes:
        found = fields()
        return _bytes(number, _contents(found.fields, found.extensions, value))

    return encode_message


class Fields:
    def __init__(self, extensions: int, **fields: tuple[int, Encode]) -> None:
        self.extensions = extensions  # the number of the field that holds what is not named here
        self.fields = {name.removesuffix("_"): form for name, form in fields.items()}


def _entries(form: Encode, number: int, values: Iterable[tuple[str, Any]]) -> bytes:
    return b"".join(_bytes(number, text(1, name) + form(2, value)) for name, value in values)


def _contents(fields: Mapping[str, tuple[int, Encode]], extensions: int, value: Json) -> bytes:
    known = b"".join(form(number, value[name]) for name, (number, form) in fields.items() if name in value)
    more = [(name, inner) for name, inner in value.items() if name.startswith("x-")]
    return known + (_entries(free, extensions, more) if extensions else b"")


# --- messages ---


def _additional(number: int, value: Any) -> bytes:
    form = flag(2, value) if isinstance(value, bool) else schema(1, value)
    return _bytes(number, form)


def _parameter(number: int, value: Json) -> bytes:
    """ParametersItem.parameter, .body_parameter or .non_body_parameter by place."""
    inner = _body(1, value) if value["in"] == "body" else _bytes(2, _PLACES[value["in"]](value))
    return _bytes(number, _bytes(1, inner))


_SCHEMA = Fields(
    31,
    format=(2, text),
    title=(3, text),
    description=(4, text),
    default=(5, free),
    multipleOf=(6, double),
    maximum=(7, double),
    exclusiveMaximum=(8, flag),
    minimum=(9, double),
    exclusiveMinimum=(10, flag),
    maxLength=(11, whole),
    minLength=(12, whole),
    pattern=(13, text),
    maxItems=(14, whole),
    minItems=(15, whole),
    uniqueItems=(16, flag),
    maxProperties=(17, whole),
    minProperties=(18, whole),
    required=(19, each(text)),
    enum=(20, each(free)),
    additionalProperties=(21, _additional),
    type=(22, within(1, text)),
    items=(23, within(1, lambda number, value: schema(number, value))),
    properties=(25, named(lambda number, value: schema(number, value))),
)
_SCHEMA.fields["$ref"] = (1, text)
schema: Encode = message(lambda: _SCHEMA)

_body = message(
    lambda: Fields(
        6, description=(1, text), name=(2, text), in_=(3, text), required=(4, flag), schema=(5, schema)
    )
)
_PATH = Fields(
    22,
    required=(1, flag),
    in_=(2, text),
    description=(3, text),
    name=(4, text),
    type=(5, text),
    format=(6, text),
    uniqueItems=(19, flag),
)
_QUERY = Fields(
    23,
    required=(1, flag),
    in_=(2, text),
    description=(3, text),
    name=(4, text),
    type=(6, text),
    format=(7, text),
    uniqueItems=(20, flag),
)
_PLACES: dict[str, Callable[[Json], bytes]] = {
    "query": lambda value: message(lambda: _QUERY)(3, value),
    "path": lambda value: message(lambda: _PATH)(4, value),
}
_RESPONSE = message(lambda: Fields(5, description=(1, text), schema=(2, within(1, schema))))
_OPERATION = Fields(
    13,
    tags=(1, each(text)),
    description=(3, text),
    operationId=(5, text),
    produces=(6, each(text)),
    consumes=(7, each(text)),
    parameters=(8, each(_parameter)),
    responses=(9, named(within(1, _RESPONSE))),
)
_operation = message(lambda: _OPERATION)
_ITEM = Fields(
    10,
    get=(2, _operation),
    put=(3, _operation),
    post=(4, _operation),
    delete=(5, _operation),
    patch=(8, _operation),
    parameters=(9, each(_parameter)),
)
_API_KEY = Fields(5, type=(1, text), name=(2, text), in_=(3, text), description=(4, text))
_DOCUMENT: dict[str, tuple[int, Encode]] = {
    "swagger": (1, text),
    "info": (2, message(lambda: Fields(7, title=(1, text), version=(2, text)))),
    "paths": (8, named(message(lambda: _ITEM), entry=2)),
    "definitions": (9, named(schema)),
    "security": (12, each(named(lambda number, value: _bytes(number, each(text)(1, value))))),
    "securityDefinitions": (13, named(within(2, message(lambda: _API_KEY)))),
}
