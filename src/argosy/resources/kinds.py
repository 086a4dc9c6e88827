"""The kinds Argosy serves: one visible list. What is not in it, the mesh does not know.

Each API group has a module with its structs and its own list.
"""

from __future__ import annotations

from functools import cache
from typing import Any

import msgspec
from msgspec import Struct

from argosy.resources import (
    access,
    apiextensions,
    core,
    discovery,
    elsewhere,
    events,
    extensions,
    gateway_api,
    identity,
    ingress,
    issuing,
    networking,
    rbac,
    reviews,
    security,
    telemetry,
)
from argosy.resources.kind import AGE, Column, ColumnType, Kind
from argosy.resources.meta import Object

__all__ = ["AGE", "KINDS", "SERVED", "Column", "ColumnType", "Kind"]

KINDS: tuple[Kind, ...] = (
    *core.KINDS,
    *events.KINDS,
    *discovery.KINDS,
    *apiextensions.KINDS,
    *rbac.KINDS,
    *reviews.KINDS,
    *networking.KINDS,
    *security.KINDS,
    *telemetry.KINDS,
    *extensions.KINDS,
    *gateway_api.KINDS,
    *ingress.KINDS,
    *identity.KINDS,
    *issuing.KINDS,
    *access.KINDS,
)
SERVED: tuple[Kind, ...] = (*KINDS, *elsewhere.KINDS)
"""What the API answers for: the mesh's kinds, and those of Kubernetes of which it never holds an object."""

_BY_API = {(api_version, k.kind): k for k in KINDS for api_version in k.api_versions}
_BY_GROUP = {(k.group, k.kind): k for k in KINDS}
_BY_RESOURCE = {k.resource: k for k in KINDS}
_ELSEWHERE = {(k.group, k.kind): k for k in elsewhere.KINDS}


class _TypeMeta(Struct, rename="camel"):
    api_version: str = ""
    kind: str = ""


def kind_of(api_version: str, kind: str) -> Kind | None:
    """The kind of an object that says `apiVersion` and `kind`, in any version served."""
    return _BY_API.get((api_version, kind))


def kind_of_group(api_version: str, kind: str) -> Kind | None:
    """The kind of that group and name, whether or not the version is served."""
    return _BY_GROUP.get((api_version.rpartition("/")[0], kind))


def why_elsewhere(api_version: str, kind: str) -> str:
    """Why the mesh holds no object of that group and kind, where Kubernetes does; "": it is none of those."""
    found = _ELSEWHERE.get((api_version.rpartition("/")[0], kind))
    return found.why_read_only if found else ""


def by_resource(resource: str) -> Kind | None:
    return _BY_RESOURCE.get(resource)


def decode(body: bytes | dict[str, Any]) -> Object:
    """The typed object. Unknown fields are skipped; a null is a field that is not set.

    Raises ValueError (msgspec.ValidationError is one) where the kind is not served or a field has the wrong type.
    """
    if isinstance(body, bytes):
        meta = msgspec.json.decode(body, type=_TypeMeta)
        kind = kind_of(meta.api_version, meta.kind)
        if kind is None:
            raise _unknown(meta.api_version, meta.kind)
        try:
            return _decoder(kind).decode(body)
        except msgspec.ValidationError:
            body = msgspec.json.decode(body)
            if not isinstance(body, dict):
                raise
    api_version, name = str(body.get("apiVersion", "")), str(body.get("kind", ""))
    kind = kind_of(api_version, name)
    if kind is None:
        raise _unknown(api_version, name)
    return decode_as(kind, body)


def decode_as(kind: Kind, body: dict[str, Any]) -> Object:
    """As `decode`, for an object whose kind is known."""
    try:
        return msgspec.convert(body, kind.struct, str_keys=True)
    except msgspec.ValidationError:
        return msgspec.convert(settled(body), kind.struct, str_keys=True)


@cache
def json_schema(kind: Kind) -> dict[str, Any]:
    """JSON Schema (2020-12) of a kind, from its struct: closed (unknown fields are errors), nulls not allowed."""
    schema = msgspec.json.schema(kind.struct)
    for definition in schema["$defs"].values():
        if "properties" in definition:
            definition["additionalProperties"] = False
            definition["properties"] = {k: _not_null(v) for k, v in definition["properties"].items()}
            definition["required"] = sorted(definition["required"])
    top = schema["$defs"][kind.struct.__name__]["properties"]
    top["apiVersion"] = {"enum": list(kind.api_versions)}
    top["kind"] = {"enum": [kind.kind]}
    return schema


def _not_null(schema: dict[str, Any]) -> dict[str, Any]:
    """`X | None` is how a struct says "may be left out"; on the wire that is absence, and errors name X alone."""
    options = [option for option in schema.get("anyOf", ()) if option != {"type": "null"}]
    if len(options) == 1:
        (only,) = options
        return dict(only)
    rest = {k: v for k, v in schema.items() if k != "anyOf" and not (k == "default" and v is None)}
    return rest | ({"anyOf": options} if options else {})


@cache
def _decoder(kind: Kind) -> msgspec.json.Decoder[Object]:
    return msgspec.json.Decoder(kind.struct)


def _unknown(api_version: str, kind: str) -> ValueError:
    return ValueError(f"{kind or 'object'}: apiVersion {api_version!r}, kind {kind!r} is not served")


def settled(value: Any) -> Any:
    """Protobuf's JSON leniency: null is not set, 80.0 is the integer 80."""
    if isinstance(value, dict):
        return {k: settled(v) for k, v in value.items() if v is not None}
    if isinstance(value, (list, tuple)):
        return [settled(v) for v in value]
    if isinstance(value, float) and value.is_integer():
        return int(value)
    return value
