"""The kinds Argosy serves: one visible list. What is not in it, the mesh does not know."""

from __future__ import annotations

from functools import cache
from typing import Any

import msgspec
from msgspec import Struct

from argosy.resources import apiextensions, core, identity, networking, rbac, security
from argosy.resources.kind import AGE, Column, ColumnType, Kind
from argosy.resources.meta import Object
from argosy.resources.networking.columns import COLUMNS, PROGRAMMED

__all__ = ["AGE", "KINDS", "Column", "ColumnType", "Kind"]


def _networking(struct: type[Object], plural: str, *short_names: str) -> Kind:
    return Kind(
        group="networking.istio.io",
        versions=("v1", "v1beta1", "v1alpha3"),
        kind=struct.__name__,
        plural=plural,
        singular=struct.__name__.lower(),
        short_names=short_names,
        categories=("istio-io", "networking-istio-io"),
        columns=COLUMNS[struct.__name__],
        struct=struct,
    )


def _rbac(struct: type[Object], plural: str, *columns: Column, namespaced: bool) -> Kind:
    return Kind(
        builtin=True,
        columns=(*columns, AGE),
        group=rbac.GROUP,
        versions=("v1",),
        kind=struct.__name__,
        plural=plural,
        singular=struct.__name__.lower(),
        namespaced=namespaced,
        struct=struct,
    )


_ROLE = (
    Column("Kind", ".roleRef.kind", description="Whether it gives a Role or a ClusterRole."),
    Column("Role", ".roleRef.name", description="The role that it gives."),
)

KINDS: tuple[Kind, ...] = (
    Kind(
        group="",
        versions=("v1",),
        kind="Namespace",
        plural="namespaces",
        builtin=True,
        singular="namespace",
        short_names=("ns",),
        namespaced=False,
        struct=core.Namespace,
    ),
    Kind(
        group="",
        versions=("v1",),
        kind="Service",
        plural="services",
        builtin=True,
        singular="service",
        short_names=("svc",),
        struct=core.Service,
    ),
    Kind(
        group="",
        versions=("v1",),
        kind="Secret",
        plural="secrets",
        builtin=True,
        singular="secret",
        struct=core.Secret,
    ),
    Kind(
        group="",
        versions=("v1",),
        kind="ConfigMap",
        plural="configmaps",
        builtin=True,
        singular="configmap",
        short_names=("cm",),
        struct=core.ConfigMap,
    ),
    Kind(
        group=apiextensions.GROUP,
        versions=("v1",),
        kind="CustomResourceDefinition",
        plural="customresourcedefinitions",
        singular="customresourcedefinition",
        short_names=("crd", "crds"),
        categories=("api-extensions",),
        namespaced=False,
        builtin=True,
        virtual=True,
        read_only=True,
        struct=apiextensions.CustomResourceDefinition,
    ),
    _rbac(rbac.Role, "roles", namespaced=True),
    _rbac(rbac.ClusterRole, "clusterroles", namespaced=False),
    _rbac(rbac.RoleBinding, "rolebindings", *_ROLE, namespaced=True),
    _rbac(rbac.ClusterRoleBinding, "clusterrolebindings", *_ROLE, namespaced=False),
    _networking(networking.VirtualService, "virtualservices", "vs"),
    _networking(networking.DestinationRule, "destinationrules", "dr"),
    _networking(networking.Gateway, "gateways", "gw"),
    _networking(networking.ServiceEntry, "serviceentries", "se"),
    _networking(networking.WorkloadEntry, "workloadentries", "we"),
    Kind(
        group="security.istio.io",
        versions=("v1", "v1beta1"),
        kind="PeerAuthentication",
        plural="peerauthentications",
        singular="peerauthentication",
        short_names=("pa",),
        categories=("istio-io", "security-istio-io"),
        columns=(
            Column("Mode", ".spec.mtls.mode", description="Which connections it takes: STRICT, PERMISSIVE…"),
            PROGRAMMED,
            AGE,
        ),
        struct=security.PeerAuthentication,
    ),
    Kind(
        group="identity.argosy.dev",
        versions=("v1",),
        kind="IdentityRegistration",
        plural="identityregistrations",
        singular="identityregistration",
        short_names=("idr",),
        columns=(
            Column("Service Accounts", ".spec.serviceAccounts", description="Whose certificates may be had."),
            AGE,
        ),
        struct=identity.IdentityRegistration,
    ),
)

_BY_API = {(api_version, k.kind): k for k in KINDS for api_version in k.api_versions}
_BY_GROUP = {(k.group, k.kind): k for k in KINDS}
_BY_RESOURCE = {k.resource: k for k in KINDS}


class _TypeMeta(Struct, rename="camel"):
    api_version: str = ""
    kind: str = ""


def kind_of(api_version: str, kind: str) -> Kind | None:
    """The kind of an object that says `apiVersion` and `kind`, in any version served."""
    return _BY_API.get((api_version, kind))


def kind_of_group(api_version: str, kind: str) -> Kind | None:
    """The kind of that group and name, whether or not the version is served."""
    return _BY_GROUP.get((api_version.rpartition("/")[0], kind))


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
