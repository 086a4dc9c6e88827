"""What a path of the API means: discovery, or a target (kind, namespace, name, subresource).

    /api/v1/namespaces/NS/PLURAL[/NAME[/SUBRESOURCE]]      /apis/GROUP/VERSION/namespaces/NS/PLURAL…
    /api/v1/PLURAL (all namespaces; cluster-scoped kinds)  /apis/GROUP/VERSION/PLURAL…

Facts: https://kubernetes.io/docs/reference/using-api/api-concepts/#resource-uris
"""

from __future__ import annotations

from functools import cache

import msgspec
from msgspec import Struct

from argosy.apiserver.status import no_such_path
from argosy.resources.kinds import SERVED, Kind

NAMESPACES = "/namespaces"


class Discovery(Struct, frozen=True):
    """What the API says of itself: `/version`, `/openapi/v2`, `/openapi/v3…`, `/api`, `/api/v1`, `/apis`,
    `/apis/GROUP`, `/apis/GROUP/VERSION`."""

    parts: tuple[str, ...]


class Target(Struct, frozen=True, kw_only=True):
    kind: Kind
    version: str
    namespace: str = ""  # "" for cluster-scoped kinds and for all namespaces
    name: str = ""
    subresource: str = ""

    @property
    def api_version(self) -> str:
        return f"{self.kind.group}/{self.version}" if self.kind.group else self.version


_TABLE = {(kind.group, version, kind.plural): kind for kind in SERVED for version in kind.versions}
_SUBRESOURCES = {"status"}


@cache
def has_status(kind: Kind) -> bool:
    """Whether `status` is a part of its own: written by `…/status` alone."""
    return any(field.encode_name == "status" for field in msgspec.structs.fields(kind.struct))


def parse(path: str) -> Discovery | Target:
    """Raises Refusal (404) for a path that means nothing."""
    parts = tuple(path.removeprefix("/").removesuffix("/").split("/"))
    match parts:
        case ("version",) | ("api",) | ("api", _) | ("apis",) | ("apis", _) | ("apis", _, _):
            return Discovery(parts)
        case ("openapi", "v2") | ("openapi", "v3", *_):
            return Discovery(parts)
        case ("api", version, *rest):
            return _target("", version, rest)
        case ("apis", group, version, *rest) if group:
            return _target(group, version, rest)
    raise no_such_path()


def _target(group: str, version: str, rest: list[str]) -> Target:
    match rest:
        case ["namespaces", namespace, plural, *more] if namespace and plural not in _SUBRESOURCES:
            return _object(_kind(group, version, plural), version, namespace, more)
        case [plural, *more]:
            kind = _kind(group, version, plural)
            if kind.namespaced and more:
                raise no_such_path()
            return _object(kind, version, "", more)
    raise no_such_path()


def _object(kind: Kind, version: str, namespace: str, more: list[str]) -> Target:
    if namespace and not kind.namespaced:
        raise no_such_path()
    match more:
        case []:
            return Target(kind=kind, version=version, namespace=namespace)
        case [name] if name:
            return Target(kind=kind, version=version, namespace=namespace, name=name)
        case [name, "status"] if name and has_status(kind) and not kind.virtual:
            return Target(kind=kind, version=version, namespace=namespace, name=name, subresource="status")
    raise no_such_path()


def _kind(group: str, version: str, plural: str) -> Kind:
    kind = _TABLE.get((group, version, plural))
    if kind is None:
        raise no_such_path()
    return kind
