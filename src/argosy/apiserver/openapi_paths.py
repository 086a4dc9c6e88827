"""The paths of an OpenAPI document: which requests there are for the kinds of one group and version.

Clients decide by these what a server can do: kubectl looks for `dryRun` and `fieldValidation` on PATCH, and for the
content types that it takes.
# Kubernetes: api concepts; x-kubernetes-action, x-kubernetes-group-version-kind
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from argosy.apiserver import openapi_types
from argosy.apiserver.discovery import verbs
from argosy.apiserver.openapi_schemas import GVK, Schemas, gvk, reference
from argosy.apiserver.openapi_types import NAMES
from argosy.apiserver.paths import has_status
from argosy.resources.kinds import Kind

Json = dict[str, Any]

JSON, YAML = "application/json", "application/yaml"
WATCHED = "application/json;stream=watch"
PATCHES = ("application/json-patch+json", "application/merge-patch+json", "application/apply-patch+yaml")
STRATEGIC = "application/strategic-merge-patch+json"  # for Kubernetes' own kinds alone

# name -> (type, what it does)
_QUERY: dict[str, tuple[str, str]] = {
    "pretty": ("string", "Taken for the sake of clients; the answer is the same."),
    "allowWatchBookmarks": ("boolean", "Whether a watch is told now and then how far it has come."),
    "continue": ("string", "The token of the page before: asks for the next one."),
    "fieldSelector": ("string", "Which objects, by their fields: metadata.name, metadata.namespace."),
    "labelSelector": ("string", "Which objects, by their labels, as in `app=reviews,tier in (a,b)`."),
    "limit": ("integer", "How many objects at most; the rest follows with `continue`."),
    "resourceVersion": ("string", "The revision to list at, or to watch from."),
    "resourceVersionMatch": ("string", "How resourceVersion is meant: Exact or NotOlderThan."),
    "sendInitialEvents": ("boolean", "Whether a watch begins with what is there."),
    "timeoutSeconds": ("integer", "When a watch ends by itself."),
    "watch": ("boolean", "Whether to wait for changes, one line each, instead of a list."),
    "dryRun": ("string", "All: do everything but write."),
    "fieldManager": ("string", "Who changes the object, as its managed fields will say; needed to apply."),
    "fieldValidation": (
        "string",
        "What becomes of unknown fields: Strict refuses, Warn warns, Ignore drops them.",
    ),
    "force": ("boolean", "Whether an apply takes fields over that others manage."),
    "gracePeriodSeconds": ("integer", "Taken for the sake of clients: objects are deleted at once."),
    "orphanDependents": ("boolean", "No longer used: see propagationPolicy."),
    "propagationPolicy": (
        "string",
        "What becomes of objects that it owns: Orphan, Background or Foreground.",
    ),
}
_LIST = (
    "allowWatchBookmarks",
    "continue",
    "fieldSelector",
    "labelSelector",
    "limit",
    "resourceVersion",
    "resourceVersionMatch",
    "sendInitialEvents",
    "timeoutSeconds",
    "watch",
)
_WRITE = ("dryRun", "fieldManager", "fieldValidation")
_DELETE = ("dryRun", "gracePeriodSeconds", "orphanDependents", "propagationPolicy")
_SELECT = (
    "continue",
    "fieldSelector",
    "labelSelector",
    "limit",
    "resourceVersion",
    "resourceVersionMatch",
    "timeoutSeconds",
)


def paths(group: str, version: str, kinds: Iterable[Kind], schemas: Schemas) -> Json:
    """Of the kinds' objects and collections, and of the version itself."""
    base = f"/apis/{group}/{version}" if group else f"/api/{version}"
    found: Json = {f"{base}/": {"get": _resources(group, version)}}
    for kind in kinds:
        found |= _Kind(kind, group, version, schemas).paths(base)
    return found


class _Kind:
    """The paths of one kind."""

    def __init__(self, kind: Kind, group: str, version: str, schemas: Schemas) -> None:
        self.kind = kind
        self.verbs = verbs(kind)
        self.gvk = gvk(group, version, kind.kind)
        self.tag = _camel(f"{group.partition('.')[0] or 'core'}_{version}")
        self.id = "".join(_camel(part) for part in (group or "core").split(".")) + version.title()
        self.one = reference(schemas.name_of_kind(kind))
        self.many = reference(f"{schemas.name_of_kind(kind)}List")

    def paths(self, base: str) -> Json:
        kind = self.kind
        scoped = (
            f"{base}/namespaces/{{namespace}}/{kind.plural}" if kind.namespaced else f"{base}/{kind.plural}"
        )
        found = {scoped: self._collection(), f"{scoped}/{{name}}": self._object("")}
        if has_status(kind) and "update" in self.verbs:
            found[f"{scoped}/{{name}}/status"] = self._object("status")
        if kind.namespaced and "list" in self.verbs:
            found[f"{base}/{kind.plural}"] = {
                "get": self._list("ForAllNamespaces"),
                "parameters": _parameters("pretty"),
            }
        return {path: item for path, item in found.items() if item.keys() - {"parameters"}}

    def _collection(self) -> Json:
        item: Json = {"parameters": [*self._namespace(), *_parameters("pretty")]}
        if "list" in self.verbs:
            item["get"] = self._list("")
        if "create" in self.verbs:
            item["post"] = self._operation("post", "create", "Creates an object", _WRITE) | {
                "requestBody": _body(self.one, JSON, YAML),
                "responses": _responses(self.one, 200, 201, 202),
            }
        if "deletecollection" in self.verbs:
            told = "Deletes the objects that are selected"
            item["delete"] = self._operation(
                "deletecollection", "deleteCollection", told, (*_SELECT, *_DELETE)
            ) | {
                "requestBody": _body(_DELETE_OPTIONS, JSON, YAML, required=False),
                "responses": _responses(_STATUS, 200),
            }
        return item

    def _list(self, where: str) -> Json:
        operation = self._operation("list", "list", "Lists or watches objects", _LIST, after=where)
        answer = _responses(self.many, 200)
        answer["200"]["content"][WATCHED] = {"schema": self.many}
        return operation | {"responses": answer}

    def _object(self, part: str) -> Json:
        name = _parameter("name", "path", "string", f"The name of the {self.kind.kind}.")
        item: Json = {"parameters": [name, *self._namespace(), *_parameters("pretty")]}
        what = f"the {part} of an object" if part else "an object"
        if "get" in self.verbs:
            item["get"] = self._operation("get", "read", f"Reads {what}", (), part) | {
                "responses": _responses(self.one, 200)
            }
        if "update" in self.verbs:
            item["put"] = self._operation("put", "replace", f"Replaces {what}", _WRITE, part) | {
                "requestBody": _body(self.one, JSON, YAML),
                "responses": _responses(self.one, 200, 201),
            }
        if "patch" in self.verbs:
            forms = (*PATCHES, *((STRATEGIC,) if self.kind.builtin else ()))
            query = (*_WRITE, "force")
            item["patch"] = self._operation("patch", "patch", f"Changes {what} in part", query, part) | {
                "requestBody": _body(reference(openapi_types.PATCH), *forms),
                "responses": _responses(self.one, 200, 201),
            }
        if "delete" in self.verbs and not part:
            item["delete"] = self._operation("delete", "delete", "Deletes an object", _DELETE) | {
                "requestBody": _body(_DELETE_OPTIONS, JSON, YAML, required=False),
                "responses": _responses(_STATUS, 200, 202),
            }
        return item

    def _namespace(self) -> list[Json]:
        if not self.kind.namespaced:
            return []
        return [_parameter("namespace", "path", "string", "The namespace.")]

    def _operation(
        self, action: str, verb: str, told: str, query: tuple[str, ...], part: str = "", after: str = ""
    ) -> Json:
        scope = "Namespaced" if self.kind.namespaced and not after else ""
        return {
            "tags": [self.tag],
            "description": f"{told} of the kind {self.kind.kind}.",
            "operationId": f"{verb}{self.id}{scope}{self.kind.kind}{part.title()}{after}",
            "parameters": _parameters(*query),
            "x-kubernetes-action": action,
            GVK: self.gvk,
        }


_STATUS = reference(NAMES[openapi_types.Status])
_DELETE_OPTIONS = reference(NAMES[openapi_types.DeleteOptions])


def _resources(group: str, version: str) -> Json:
    found = reference(NAMES[openapi_types.APIResourceList])
    name = "".join(_camel(part) for part in (group or "core").split("."))
    return {
        "tags": [_camel(f"{group.partition('.')[0] or 'core'}_{version}")],
        "description": "Lists the resources of this version.",
        "operationId": f"get{name}{version.title()}APIResources",
        "responses": _responses(found, 200),
    }


def _responses(schema: Json, *codes: int) -> Json:
    words = {200: "OK", 201: "Created", 202: "Accepted"}
    answers: Json = {
        str(code): {"description": words[code], "content": {JSON: {"schema": schema}}} for code in codes
    }
    answers["401"] = {"description": "Unauthorized"}
    answers["default"] = {"description": "Refused", "content": {JSON: {"schema": _STATUS}}}
    return answers


def _body(schema: Json, *forms: str, required: bool = True) -> Json:
    body: Json = {"content": {form: {"schema": schema} for form in forms}}
    return body | ({"required": True} if required else {})


def _parameters(*names: str) -> list[Json]:
    return [_parameter(name, "query", *_QUERY[name]) for name in names]


def _parameter(name: str, place: str, kind: str, told: str) -> Json:
    said: Json = {
        "name": name,
        "in": place,
        "description": told,
        "schema": {"type": kind, "uniqueItems": True},
    }
    return said | ({"required": True} if place == "path" else {})


def _camel(text: str) -> str:
    return "".join(part[:1].upper() + part[1:] for part in text.replace("-", "_").split("_")) if text else ""
