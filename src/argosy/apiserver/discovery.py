"""Discovery: which groups, versions and kinds there are, from the list of kinds alone.

# Kubernetes: meta/v1 APIVersions, APIGroupList, APIGroup, APIResourceList; version.Info
"""

from __future__ import annotations

from typing import Any

import argosy
from argosy.apiserver.paths import Discovery, has_status
from argosy.apiserver.status import no_such_path
from argosy.resources.kinds import KINDS, Kind

Json = dict[str, Any]

VERBS = ("create", "delete", "get", "list", "patch", "update", "watch")
STATUS_VERBS = ("get", "patch", "update")
KUBERNETES_VERSION = ("1", "33")
"""The Kubernetes whose API rules are followed; clients choose their ways by it."""


def describe(what: Discovery) -> Json:
    """The document of a discovery path. Raises Refusal (404)."""
    match what.parts:
        case ("version",):
            return version()
        case ("api",):
            return {"kind": "APIVersions", "apiVersion": "v1", "versions": _versions(""), **_ADDRESSES}
        case ("apis",):
            groups = [_group(name) for name in _GROUPS if name]
            return {"kind": "APIGroupList", "apiVersion": "v1", "groups": groups}
        case ("apis", name) if name and name in _GROUPS:
            return {"kind": "APIGroup", "apiVersion": "v1", **_group(name)}
        case ("api", chosen) if chosen in _versions(""):
            return _resources("", chosen)
        case ("apis", name, chosen) if name and name in _GROUPS and chosen in _versions(name):
            return _resources(name, chosen)
    raise no_such_path()


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


_ADDRESSES: Json = {"serverAddressByClientCIDRs": [{"clientCIDR": "0.0.0.0/0", "serverAddress": ""}]}
_GROUPS: dict[str, list[Kind]] = {}
for _kind in KINDS:
    _GROUPS.setdefault(_kind.group, []).append(_kind)


def _versions(group: str) -> list[str]:
    """The preferred version first."""
    return list(dict.fromkeys(version for kind in _GROUPS.get(group, ()) for version in kind.versions))


def _group(name: str) -> Json:
    versions = [{"groupVersion": f"{name}/{version}", "version": version} for version in _versions(name)]
    return {"name": name, "versions": versions, "preferredVersion": versions[0]}


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
        "verbs": list(VERBS),
    }
    if kind.short_names:
        entry["shortNames"] = list(kind.short_names)
    if not has_status(kind):
        return [entry]
    status = {
        "name": f"{kind.plural}/status",
        "singularName": "",
        "namespaced": kind.namespaced,
        "kind": kind.kind,
        "verbs": list(STATUS_VERBS),
    }
    return [entry, status]
