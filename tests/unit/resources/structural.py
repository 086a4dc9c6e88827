"""The rules of a structural schema, as kube-apiserver checks those of custom resources, written down again."""

from __future__ import annotations

from typing import Any

TYPES = {"object", "array", "string", "integer", "number", "boolean"}
SCALARS = TYPES - {"object", "array"}
KNOWN = {
    "type",
    "description",
    "format",
    "enum",
    "default",
    "properties",
    "required",
    "additionalProperties",
    "items",
    "anyOf",
    "minimum",
    "maximum",
    "exclusiveMinimum",
    "exclusiveMaximum",
    "multipleOf",
    "minLength",
    "maxLength",
    "minItems",
    "maxItems",
    "minProperties",
    "maxProperties",
    "pattern",
    "nullable",
    "x-kubernetes-preserve-unknown-fields",
    "x-kubernetes-int-or-string",
    "x-kubernetes-list-type",
    "x-kubernetes-list-map-keys",
    "x-kubernetes-map-type",
    "x-kubernetes-validations",
}


def faults(schema: dict[str, Any], path: str = "") -> list[str]:
    """What a real server would refuse the schema for."""
    found = [f"{path}: {key} has no place here" for key in schema.keys() - KNOWN]
    free = schema.get("x-kubernetes-preserve-unknown-fields") is True
    either = schema.get("x-kubernetes-int-or-string") is True
    if either:
        if "type" in schema:
            found.append(f"{path}: int-or-string with a type")
        if schema.get("anyOf") != [{"type": "integer"}, {"type": "string"}]:
            found.append(f"{path}: int-or-string without its two types")
    elif "anyOf" in schema:
        found.append(f"{path}: anyOf")
    elif "type" not in schema and not free:
        found.append(f"{path}: no type")
    elif "type" in schema and schema["type"] not in TYPES:
        found.append(f"{path}: type {schema['type']}")
    if "properties" in schema and "additionalProperties" in schema:
        found.append(f"{path}: properties and additionalProperties")
    if "additionalProperties" in schema and not isinstance(schema["additionalProperties"], dict):
        found.append(f"{path}: additionalProperties is not a schema")
    if schema.get("type") == "array" and not isinstance(schema.get("items"), dict):
        found.append(f"{path}: a list of nothing")
    if "enum" in schema and (not schema["enum"] or len(set(schema["enum"])) != len(schema["enum"])):
        found.append(f"{path}: enum")
    found += [f"{path}: requires {name}, which is none" for name in _missing(schema)]
    found += _list_faults(schema, path)
    for name, inner in schema.get("properties", {}).items():
        found += faults(inner, f"{path}.{name}")
    for key in ("items", "additionalProperties"):
        if isinstance(schema.get(key), dict):
            found += faults(schema[key], f"{path}[{key}]")
    return found


def _missing(schema: dict[str, Any]) -> set[str]:
    return set(schema.get("required", ())) - set(schema.get("properties", ()))


def _list_faults(schema: dict[str, Any], path: str) -> list[str]:
    kind, keys = schema.get("x-kubernetes-list-type"), schema.get("x-kubernetes-list-map-keys")
    if kind is None:
        return [f"{path}: keys of no map"] if keys else []
    if schema.get("type") != "array":
        return [f"{path}: a list type of what is no list"]
    items = schema["items"]
    if kind == "set":
        return [] if items.get("type") in SCALARS else [f"{path}: a set of {items.get('type')}"]
    if kind == "atomic":
        return []
    if kind != "map" or not keys:
        return [f"{path}: list type {kind} with the keys {keys}"]
    found = []
    for key in keys:
        inner = items.get("properties", {}).get(key, {})
        if inner.get("type") not in SCALARS:
            found.append(f"{path}: the key {key} is {inner.get('type')}")
        if key not in items.get("required", ()) and "default" not in inner:
            found.append(f"{path}: the key {key} is neither required nor has a default")
    return found
