"""Discovery: which groups, versions and kinds there are, from the list of kinds alone; whole or level by level.

# Kubernetes: meta/v1 APIVersions, APIGroupList, APIGroup, APIResourceList; version.Info; apidiscovery.k8s.io
# APIGroupDiscoveryList, which is the same in v2 and v2beta1
"""

from __future__ import annotations

import re
from functools import cache
from typing import Any

import argosy
from argosy.apiserver import encoding
from argosy.apiserver.paths import Discovery, has_status
from argosy.apiserver.representation import alternatives, not_acceptable
from argosy.apiserver.status import no_such_path
from argosy.resources.kinds import SERVED, Kind

Json = dict[str, Any]

VERBS = ("create", "delete", "deletecollection", "get", "list", "patch", "update", "watch")
READ_VERBS = ("get", "list", "watch")
VIRTUAL_VERBS = ("create",)
STATUS_VERBS = ("get", "patch", "update")
KUBERNETES_VERSION = ("1", "33")
"""The Kubernetes whose API rules are followed; clients choose their ways by it."""
AGGREGATED = ("v2", "v2beta1")
AGGREGATED_GROUP, AGGREGATED_FORM = "apidiscovery.k8s.io", "APIGroupDiscoveryList"
JSON = "application/json"


def document(what: Discovery, accept: str) -> tuple[bytes, str]:
    """(body, media type) of a discovery path. Raises Refusal (404, 406)."""
    version = _aggregated_version(accept) if what.parts in (("api",), ("apis",)) else ""
    if not version:
        return _rendered(what.parts), JSON
    media = f"{JSON};g={AGGREGATED_GROUP};v={version};as={AGGREGATED_FORM}"
    return _rendered_whole(what.parts[0], version), media


def verbs(kind: Kind) -> tuple[str, ...]:
    """What can be done with objects of a kind."""
    if kind.read_only:
        return READ_VERBS
    return VIRTUAL_VERBS if kind.virtual else VERBS


def methods(kind: Kind, level: str) -> tuple[str, ...]:
    """The HTTP methods of a collection of the kind, of an object, or of its `status`."""
    served = STATUS_VERBS if level == "status" else verbs(kind)
    return tuple(
        method for method, named in _METHODS.items() if not set(named.get(level, ())).isdisjoint(served)
    )


def groups() -> dict[str, list[Kind]]:
    """The kinds of each group, in the order in which clients look for a name."""
    return _GROUPS


def versions(group: str) -> list[str]:
    """The preferred version first: stable before beta before alpha, the later before the earlier."""
    found = dict.fromkeys(version for kind in _GROUPS.get(group, ()) for version in kind.versions)
    return sorted(found, key=_rank)


def describe(what: Discovery) -> Json:
    """The document of a discovery path. Raises Refusal (404)."""
    match what.parts:
        case ("version",):
            return version()
        case ("api",):
            return {"kind": "APIVersions", "apiVersion": "v1", "versions": versions(""), **_ADDRESSES}
        case ("apis",):
            listed = [_group(name) for name in _GROUPS if name]
            return {"kind": "APIGroupList", "apiVersion": "v1", "groups": listed}
        case ("apis", name) if name and name in _GROUPS:
            return {"kind": "APIGroup", "apiVersion": "v1", **_group(name)}
        case ("api", chosen) if chosen in versions(""):
            return _resources("", chosen)
        case ("apis", name, chosen) if name and name in _GROUPS and chosen in versions(name):
            return _resources(name, chosen)
    raise no_such_path()


def whole(root: str, version: str) -> Json:
    """Everything below `api` or `apis` in one document."""
    listed = [name for name in _GROUPS if (not name) == (root == "api")]
    return {
        "kind": AGGREGATED_FORM,
        "apiVersion": f"{AGGREGATED_GROUP}/{version}",
        "metadata": {},
        "items": [{"metadata": {"name": name}, "versions": _whole_group(name)} for name in listed],
    }


def version() -> Json:
    major, minor = KUBERNETES_VERSION
    return {
        "major": major,
        "minor": minor,
        "gitVersion": f"v{major}.{minor}.0+argosy.{argosy.__version__}",
        "gitCommit": "",
        "gitTreeState": "clean",
        "buildDate": "1970-01-01T00:00:00Z",
        "goVersion": "",
        "compiler": "",
        "platform": "linux",
    }


_METHODS: dict[str, dict[str, tuple[str, ...]]] = {
    "GET": {"collection": ("list", "watch"), "object": ("get",), "status": ("get",)},
    "POST": {"collection": ("create",)},
    "PUT": {"object": ("update",), "status": ("update",)},
    "PATCH": {"object": ("patch",), "status": ("patch",)},
    "DELETE": {"collection": ("deletecollection",), "object": ("delete",)},
}
_ADDRESSES: Json = {"serverAddressByClientCIDRs": [{"clientCIDR": "0.0.0.0/0", "serverAddress": ""}]}
_GROUPS: dict[str, list[Kind]] = {}
for _kind in SERVED:
    _GROUPS.setdefault(_kind.group, []).append(_kind)
_VERSION = re.compile(r"v(\d+)(?:(alpha|beta)(\d+))?")
_STAGES = {None: 0, "beta": 1, "alpha": 2}


def _rank(version: str) -> tuple[int, int, int, str]:
    found = _VERSION.fullmatch(version)
    if found is None:
        return 3, 0, 0, version
    return _STAGES[found[2]], -int(found[1]), -int(found[3] or 0), version


@cache
def _rendered(parts: tuple[str, ...]) -> bytes:
    return encoding.encode(describe(Discovery(parts)))


@cache
def _rendered_whole(root: str, version: str) -> bytes:
    return encoding.encode(whole(root, version))


def _aggregated_version(accept: str) -> str:
    """The version of the aggregated document that the client prefers; "": the old documents."""
    for media in alternatives(accept):
        form, group = media.parameters.get("as", ""), media.parameters.get("g", "")
        if media.kind not in (JSON, "application/*", "*/*"):
            continue
        if not form:
            return ""
        if (form, group) == (AGGREGATED_FORM, AGGREGATED_GROUP) and media.parameters.get("v") in AGGREGATED:
            return media.parameters["v"]
    raise not_acceptable((JSON, f"{JSON};g={AGGREGATED_GROUP};v=v2;as={AGGREGATED_FORM}"))


def _group(name: str) -> Json:
    listed = [{"groupVersion": f"{name}/{version}", "version": version} for version in versions(name)]
    return {"name": name, "versions": listed, "preferredVersion": listed[0]}


def _whole_group(name: str) -> list[Json]:
    return [
        {
            "version": version,
            "freshness": "Current",
            "resources": [_whole_kind(kind, version) for kind in _GROUPS[name] if version in kind.versions],
        }
        for version in versions(name)
    ]


def _whole_kind(kind: Kind, version: str) -> Json:
    response = {"group": kind.group, "version": version, "kind": kind.kind}
    entry: Json = {
        "resource": kind.plural,
        "responseKind": response,
        "scope": "Namespaced" if kind.namespaced else "Cluster",
        "singularResource": kind.singular,
        "verbs": list(verbs(kind)),
        **_names(kind),
    }
    if has_status(kind) and not kind.virtual:
        entry["subresources"] = [
            {"subresource": "status", "responseKind": response, "verbs": list(STATUS_VERBS)}
        ]
    return entry


def _resources(group: str, chosen: str) -> Json:
    entries = [entry for kind in _GROUPS[group] if chosen in kind.versions for entry in _entries(kind)]
    return {
        "kind": "APIResourceList",
        "apiVersion": "v1",
        "groupVersion": f"{group}/{chosen}" if group else chosen,
        "resources": entries,
    }


def _entries(kind: Kind) -> list[Json]:
    entry: Json = {
        "name": kind.plural,
        "singularName": kind.singular,
        "namespaced": kind.namespaced,
        "kind": kind.kind,
        "verbs": list(verbs(kind)),
        **_names(kind),
    }
    if not has_status(kind) or kind.virtual:
        return [entry]
    status = {
        "name": f"{kind.plural}/status",
        "singularName": "",
        "namespaced": kind.namespaced,
        "kind": kind.kind,
        "verbs": list(STATUS_VERBS),
    }
    return [entry, status]


def _names(kind: Kind) -> Json:
    said: Json = {}
    if kind.short_names:
        said["shortNames"] = list(kind.short_names)
    if kind.categories:
        said["categories"] = list(kind.categories)
    return said
