"""OpenAPI v2 from v3: older clients read no other. What v2 cannot say is left out.

# OpenAPI 2.0 and 3.0; Kubernetes: kube-openapi leaves out anyOf and oneOf in v2
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from argosy.apiserver.openapi_schemas import COMPONENTS

Json = dict[str, Any]

DEFINITIONS = "#/definitions/"
_METHODS = ("get", "put", "post", "delete", "patch")
_NOT_IN_V2 = ("anyOf", "oneOf", "not", "nullable")


def merged(documents: Iterable[Json]) -> Json:
    """One document of the documents of all groups and versions."""
    paths: Json = {}
    definitions: Json = {}
    info: Json = {}
    for document in documents:
        info = document["info"]
        paths |= {path: _item(item) for path, item in document["paths"].items()}
        for name, schema in document["components"]["schemas"].items():
            known = definitions.get(name, {}).get(_GVK, [])
            definitions[name] = _schema(schema)
            said = definitions[name].get(_GVK, [])
            if known:
                definitions[name][_GVK] = known + [each for each in said if each not in known]
    return {
        "swagger": "2.0",
        "info": info,
        "paths": dict(sorted(paths.items())),
        "definitions": dict(sorted(definitions.items())),
        "securityDefinitions": {
            "BearerToken": {
                "type": "apiKey",
                "in": "header",
                "name": "authorization",
                "description": "Bearer token",
            }
        },
        "security": [{"BearerToken": []}],
    }


_GVK = "x-kubernetes-group-version-kind"


def _item(item: Json) -> Json:
    found: Json = {method: _operation(item[method]) for method in _METHODS if method in item}
    if "parameters" in item:
        found["parameters"] = [_parameter(each) for each in item["parameters"]]
    return found


def _operation(operation: Json) -> Json:
    kept = {k: v for k, v in operation.items() if k not in ("requestBody", "responses", "parameters")}
    parameters = [_parameter(each) for each in operation.get("parameters", ())]
    body = operation.get("requestBody")
    if body:
        schema = next(iter(body["content"].values()))["schema"]
        said: Json = {"name": "body", "in": "body", "schema": _schema(schema)}
        parameters.append(said | ({"required": True} if body.get("required") else {}))
        kept["consumes"] = list(body["content"])
    answers: Json = {}
    produced: dict[str, None] = {}
    for code, answer in operation["responses"].items():
        answers[code] = {"description": answer["description"]}
        for form, content in answer.get("content", {}).items():
            produced[form] = None
            answers[code]["schema"] = _schema(content["schema"])
    return kept | {"parameters": parameters, "produces": list(produced), "responses": answers}


def _parameter(parameter: Json) -> Json:
    kept: Json = {k: v for k, v in parameter.items() if k != "schema"}
    kept |= parameter["schema"]
    return kept


def _schema(schema: Json) -> Json:
    if schema.get("x-kubernetes-int-or-string"):
        kept = {k: v for k, v in schema.items() if k in ("description", "default")}
        return kept | {"type": "string", "format": "int-or-string"}
    found: Json = {}
    for key, value in schema.items():
        match key, value:
            case "$ref", str():
                found["$ref"] = value.replace(COMPONENTS, DEFINITIONS)
            case "allOf", [only]:
                found |= _schema(only)
            case "properties", dict():
                found[key] = {name: _schema(inner) for name, inner in value.items()}
            case (("items" | "additionalProperties"), dict()):
                found[key] = _schema(value)
            case _ if key not in _NOT_IN_V2:
                found[key] = value
    return found
