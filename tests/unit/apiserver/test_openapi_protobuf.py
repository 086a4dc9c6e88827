"""OpenAPI v2 as protobuf, read back with the protobuf library by the fields that gnostic's messages have."""

from __future__ import annotations

import json
from typing import Any

import httpx
import pytest
from google.protobuf import descriptor_pb2, descriptor_pool, message_factory
from google.protobuf.message import Message

from argosy.apiserver import openapi_protobuf

Json = dict[str, Any]
# message -> field -> (number, type), as gnostic's openapiv2/OpenAPIv2.proto has them; [] is repeated
MESSAGES: dict[str, dict[str, tuple[int, str]]] = {
    "Any": {"yaml": (2, "string")},
    "NamedAny": {"name": (1, "string"), "value": (2, "Any")},
    "Info": {"title": (1, "string"), "version": (2, "string")},
    "TypeItem": {"value": (1, "[]string")},
    "ItemsItem": {"schema": (1, "[]Schema")},
    "AdditionalPropertiesItem": {"schema": (1, "Schema"), "boolean": (2, "bool")},
    "NamedSchema": {"name": (1, "string"), "value": (2, "Schema")},
    "Definitions": {"entries": (1, "[]NamedSchema")},
    "Schema": {
        "ref": (1, "string"),
        "format": (2, "string"),
        "description": (4, "string"),
        "maximum": (7, "double"),
        "minimum": (9, "double"),
        "max_length": (11, "int64"),
        "min_length": (12, "int64"),
        "pattern": (13, "string"),
        "max_items": (14, "int64"),
        "min_items": (15, "int64"),
        "max_properties": (17, "int64"),
        "min_properties": (18, "int64"),
        "required": (19, "[]string"),
        "enum": (20, "[]Any"),
        "additional_properties": (21, "AdditionalPropertiesItem"),
        "type": (22, "TypeItem"),
        "items": (23, "ItemsItem"),
        "properties": (25, "Definitions"),
        "extensions": (31, "[]NamedAny"),
    },
    "BodyParameter": {
        "name": (2, "string"),
        "in": (3, "string"),
        "required": (4, "bool"),
        "schema": (5, "Schema"),
    },
    "QueryParameter": {"in": (2, "string"), "name": (4, "string"), "type": (6, "string")},
    "PathParameter": {
        "required": (1, "bool"),
        "in": (2, "string"),
        "name": (4, "string"),
        "type": (5, "string"),
    },
    "NonBodyParameter": {"query": (3, "QueryParameter"), "path": (4, "PathParameter")},
    "Parameter": {"body": (1, "BodyParameter"), "other": (2, "NonBodyParameter")},
    "ParametersItem": {"parameter": (1, "Parameter")},
    "SchemaItem": {"schema": (1, "Schema")},
    "Response": {"description": (1, "string"), "schema": (2, "SchemaItem")},
    "ResponseValue": {"response": (1, "Response")},
    "NamedResponseValue": {"name": (1, "string"), "value": (2, "ResponseValue")},
    "Responses": {"entries": (1, "[]NamedResponseValue")},
    "Operation": {
        "operation_id": (5, "string"),
        "consumes": (7, "[]string"),
        "parameters": (8, "[]ParametersItem"),
        "responses": (9, "Responses"),
        "extensions": (13, "[]NamedAny"),
    },
    "PathItem": {
        "get": (2, "Operation"),
        "put": (3, "Operation"),
        "post": (4, "Operation"),
        "delete": (5, "Operation"),
        "patch": (8, "Operation"),
        "parameters": (9, "[]ParametersItem"),
    },
    "NamedPathItem": {"name": (1, "string"), "value": (2, "PathItem")},
    "Paths": {"entries": (2, "[]NamedPathItem")},
    "Document": {
        "swagger": (1, "string"),
        "info": (2, "Info"),
        "paths": (8, "Paths"),
        "definitions": (9, "Definitions"),
    },
}
SCALARS: dict[str, Any] = {"string": 9, "double": 1, "bool": 8, "int64": 3}


def document_class() -> type[Message]:
    file = descriptor_pb2.FileDescriptorProto(name="openapi.proto", package="t", syntax="proto3")
    for name, fields in MESSAGES.items():
        described = file.message_type.add(name=name)
        for field, (number, kind) in fields.items():
            plain = kind.removeprefix("[]")
            added = described.field.add(name=field, number=number, label=3 if kind.startswith("[]") else 1)
            if plain in SCALARS:
                added.type = SCALARS[plain]
            else:
                added.type_name = f".t.{plain}"
    pool = descriptor_pool.DescriptorPool()
    pool.Add(file)
    return message_factory.GetMessageClass(pool.FindMessageTypeByName("t.Document"))


def read(data: bytes) -> Any:
    found = document_class()()
    found.ParseFromString(data)
    return found


def schema_of(found: Any) -> Json:
    """The JSON that a Schema stands for."""
    said: Json = {}
    if found.ref:
        said["$ref"] = found.ref
    for field in ("format", "description", "pattern"):
        if getattr(found, field):
            said[field] = getattr(found, field)
    for field in ("length", "items", "properties"):
        for bound in ("max", "min"):
            if limit := getattr(found, f"{bound}_{field}"):
                said[f"{bound}{field.capitalize()}"] = limit
    for field in ("minimum", "maximum"):
        if field in {descriptor.name for descriptor, _ in found.ListFields()}:
            said[field] = getattr(found, field)
    if found.required:
        said["required"] = list(found.required)
    if found.enum:
        said["enum"] = [json.loads(each.yaml) for each in found.enum]
    if found.HasField("additional_properties"):
        said["additionalProperties"] = schema_of(found.additional_properties.schema)
    if found.HasField("type"):
        (said["type"],) = found.type.value
    if found.HasField("items"):
        (items,) = found.items.schema
        said["items"] = schema_of(items)
    if found.HasField("properties"):
        said["properties"] = {each.name: schema_of(each.value) for each in found.properties.entries}
    return said | {each.name: json.loads(each.value.yaml) for each in found.extensions}


def without_zeros(value: Any) -> Any:
    """As proto3 has no presence for numbers that are zero, nor defaults in the part of Schema that is read here."""
    if isinstance(value, dict):
        return {
            k: without_zeros(v)
            for k, v in value.items()
            if not (k in ("minimum", "maximum", "minLength") and v == 0)
            and not (k == "default" and "type" in value)
        }
    return value


async def both(api: httpx.AsyncClient) -> tuple[Json, Any]:
    asked = await api.get("/openapi/v2", headers={"Accept": openapi_protobuf.ASKED_AS})
    assert asked.status_code == 200
    assert asked.headers["content-type"] == openapi_protobuf.MEDIA_TYPE
    return (await api.get("/openapi/v2")).json(), read(asked.content)


async def test_every_definition_says_the_same_in_protobuf_as_in_json(api: httpx.AsyncClient) -> None:
    told, found = await both(api)
    assert (found.swagger, found.info.title) == ("2.0", "Argosy")
    definitions = {each.name: schema_of(each.value) for each in found.definitions.entries}
    assert list(definitions) == list(told["definitions"])
    for name, definition in told["definitions"].items():
        assert without_zeros(definitions[name]) == without_zeros(definition), name


async def test_every_operation_says_the_same_in_protobuf_as_in_json(api: httpx.AsyncClient) -> None:
    told, found = await both(api)
    paths = {each.name: each.value for each in found.paths.entries}
    assert list(paths) == list(told["paths"])
    for path, item in told["paths"].items():
        assert len(paths[path].parameters) == len(item.get("parameters", ()))
        for method, operation in item.items():
            if method == "parameters":
                continue
            read_back = getattr(paths[path], method)
            assert read_back.operation_id == operation["operationId"]
            assert list(read_back.consumes) == operation.get("consumes", [])
            assert [each.name for each in read_back.responses.entries] == list(operation["responses"])
            extensions = {each.name: json.loads(each.value.yaml) for each in read_back.extensions}
            assert extensions == {k: v for k, v in operation.items() if k.startswith("x-")}
            named = []
            for each in read_back.parameters:
                one = each.parameter
                part = one.body if one.HasField("body") else one.other.query
                named.append((part.name, getattr(part, "in")))
            assert named == [(p["name"], p["in"]) for p in operation["parameters"]]


@pytest.mark.parametrize(
    ("accept", "media"),
    [
        (openapi_protobuf.ASKED_AS, openapi_protobuf.MEDIA_TYPE),
        (f"{openapi_protobuf.MEDIA_TYPE}, application/json", openapi_protobuf.MEDIA_TYPE),
        (f"application/json, {openapi_protobuf.ASKED_AS}", "application/json"),
        ("*/*", "application/json"),
    ],
)
async def test_the_form_that_a_client_prefers_is_given(
    api: httpx.AsyncClient, accept: str, media: str
) -> None:
    answer = await api.get("/openapi/v2", headers={"Accept": accept})
    assert answer.headers["content-type"] == media
