"""The schemas of an OpenAPI document: one for each struct that the kinds of a group lead to, named as Kubernetes does.

# Kubernetes: kube-openapi: names by Go package; x-kubernetes-group-version-kind; the patch strategy of lists
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import msgspec

from argosy.apiserver import openapi_types
from argosy.apiserver.openapi_types import NAMES, ListMeta
from argosy.resources.kinds import Kind
from argosy.resources.meta import ObjectMeta
from argosy.resources.structural import (
    API_VERSION,
    KIND,
    LIST_KEYS,
    LIST_TYPE,
    METADATA,
    described,
    of_struct,
    structs_within,
)

Json = dict[str, Any]
GVK = "x-kubernetes-group-version-kind"
COMPONENTS = "#/components/schemas/"

_API_VERSION: Json = {"type": "string", "description": API_VERSION}
_KIND: Json = {"type": "string", "description": KIND}


class Schemas:
    """The schemas of the kinds of one group and version, by name."""

    def __init__(self, group: str, version: str, kinds: Iterable[Kind]) -> None:
        self._group, self._version = group, version
        self._package = package(group, version)
        self._names = dict(NAMES)
        self.found: dict[str, Json] = {}
        for kind in kinds:
            self._add_kind(kind)
        everywhere: tuple[type[msgspec.Struct], ...] = (ObjectMeta, ListMeta, *openapi_types.OF_EVERY_GROUP)
        for struct in everywhere:
            self._add_structs(struct, builtin=True)
        self.found[openapi_types.PATCH] = openapi_types.PATCH_SCHEMA
        for struct in (openapi_types.Status, openapi_types.DeleteOptions, openapi_types.WatchEvent):
            said = [gvk("", "v1", struct.__name__)]
            if struct is not openapi_types.Status and group:
                said.append(gvk(group, version, struct.__name__))
            self.found[NAMES[struct]] = self.found[NAMES[struct]] | {GVK: said}

    def name_of_kind(self, kind: Kind) -> str:
        return f"{self._package}.{kind.kind}"

    def name_of(self, struct: type[msgspec.Struct]) -> str:
        """The struct's own name; where another has it already, its module's before it."""
        if struct not in self._names:
            name = f"{self._package}.{struct.__name__}"
            if name in self._names.values():
                module = struct.__module__.rpartition(".")[2].title().replace("_", "")
                name = f"{self._package}.{module}{struct.__name__}"
            self._names[struct] = name
        return self._names[struct]

    def _refer(self, struct: type[msgspec.Struct]) -> Json:
        return reference(self.name_of(struct))

    def _add_kind(self, kind: Kind) -> None:
        self._names[kind.struct] = self.name_of_kind(kind)
        schema = of_struct(kind.struct, self._refer)
        metadata = described(reference(NAMES[ObjectMeta]), METADATA)
        fields = {"apiVersion": _API_VERSION, "kind": _KIND, "metadata": metadata}
        properties = fields | {k: v for k, v in schema["properties"].items() if k not in fields}
        required = [name for name in schema.pop("required", ()) if name not in fields]
        schema |= {"properties": properties, GVK: [gvk(self._group, self._version, kind.kind)]}
        if required:
            schema["required"] = required
        self.found[self.name_of_kind(kind)] = _with_patch_strategy(schema) if kind.builtin else schema
        self.found[f"{self.name_of_kind(kind)}List"] = self._list_of(kind)
        for struct in structs_within(kind.struct)[1:]:
            self._add_structs(struct, builtin=kind.builtin)

    def _add_structs(self, struct: type[msgspec.Struct], *, builtin: bool) -> None:
        for each in structs_within(struct):
            name = self.name_of(each)
            if name not in self.found:
                schema = of_struct(each, self._refer)
                self.found[name] = _with_patch_strategy(schema) if builtin else schema

    def _list_of(self, kind: Kind) -> Json:
        items = reference(self.name_of_kind(kind))
        return {
            "type": "object",
            "description": f"A list of objects of the kind {kind.kind}.",
            "properties": {
                "apiVersion": _API_VERSION,
                "kind": _KIND,
                "metadata": described(reference(NAMES[ListMeta]), "What the list says about itself."),
                "items": {"type": "array", "description": "The objects.", "items": items},
            },
            "required": ["items"],
            GVK: [gvk(self._group, self._version, f"{kind.kind}List")],
        }


def reference(name: str) -> Json:
    return {"$ref": f"{COMPONENTS}{name}"}


def gvk(group: str, version: str, kind: str) -> Json:
    return {"group": group, "version": version, "kind": kind}


def package(group: str, version: str) -> str:
    """`io.istio.networking.v1`; for groups of Kubernetes `io.k8s.api.core.v1`."""
    if group == "apiextensions.k8s.io":
        return f"io.k8s.apiextensions-apiserver.pkg.apis.apiextensions.{version}"
    if not group or (group.endswith(".k8s.io") and group.count(".") == 2):
        return f"io.k8s.api.{group.partition('.')[0] or 'core'}.{version}"
    if group == "rbac.authorization.k8s.io":
        return f"io.k8s.api.rbac.{version}"
    return ".".join((*reversed(group.split(".")), version))


def _with_patch_strategy(schema: Json) -> Json:
    """How a strategic merge patch merges each list: by its first key, or as a set."""
    properties = {}
    for name, field in schema.get("properties", {}).items():
        match field.get(LIST_TYPE):
            case "map":
                said = {
                    "x-kubernetes-patch-merge-key": field[LIST_KEYS][0],
                    "x-kubernetes-patch-strategy": "merge",
                }
            case "set":
                said = {"x-kubernetes-patch-strategy": "merge"}
            case _:
                said = {}
        properties[name] = said | field
    return schema | ({"properties": properties} if properties else {})
