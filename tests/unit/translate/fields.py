"""What each field of a kind does to proxies: a mesh, proxies of every sort that look at it, and objects changed in
one field at a time."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import msgspec
import yaml

from argosy.model import ir
from argosy.model.facts import Fact
from argosy.model.limits import TABLE, struct_in
from argosy.model.reader import Reader
from argosy.model.scope import Interception, ProxyType, scope_of
from argosy.model.snapshot import Snapshot
from argosy.registry.objects import ObjectRegistry
from argosy.resources.kinds import KINDS, decode, kind_of_group
from argosy.resources.meshconfig import MeshConfig
from argosy.resources.meta import Object
from argosy.translate.compiler import Compiler
from argosy.translate.proxy import DeclaredUpstream, Proxy

HERE = Path(__file__).parent
Json = dict[str, Any]
REGISTRY = ("Service", "ServiceEntry", "WorkloadEntry", "Endpoints", "EndpointSlice")
NOT_OF_TRAFFIC = {
    "Namespace": "of the API alone: what is in it is deleted with it",
    "IdentityRegistration": "of the CA: see tests/unit/identity",
    "Attestor": "of the CA: see tests/unit/identity",
    "IssuingPolicy": "of the CA: see tests/unit/identity",
    "Secret": "what is in one: test_secret.py",
    "CustomResourceDefinition": "of the API alone",
    "ServiceAccount": "of the API alone",
    "Event": "of the API alone",
    "Role": "of the API alone",
    "ClusterRole": "of the API alone",
    "RoleBinding": "of the API alone",
    "ClusterRoleBinding": "of the API alone",
    "SelfSubjectReview": "of the API alone",
    "SelfSubjectAccessReview": "of the API alone",
    "SelfSubjectRulesReview": "of the API alone",
    "SubjectAccessReview": "of the API alone",
    "User": "of the API alone",
    "ClientCertificate": "of the API alone",
}
TOLD_AS_A_WHOLE = frozenset(limit.kind for limit in TABLE if limit.field == "")
GATEWAY = {"gateway.networking.k8s.io/gateway-name": "edge"}
PLACE = ir.Workload(name="", namespace="", locality="r1/z1/s1", network="near")
"""Where the proxies are."""

METADATA = (("ISTIO_VERSION", "1.31.0"), ("NAME", "reviews-v1"))
PROXIES: tuple[tuple[ProxyType, Interception, str, dict[str, str]], ...] = (
    # type, interception, namespace, labels
    (ProxyType.SIDECAR, Interception.EXPLICIT, "default", {"app": "reviews"}),
    (ProxyType.SIDECAR, Interception.REDIRECT, "default", {"app": "reviews"}),
    (ProxyType.SIDECAR, Interception.REDIRECT, "default", {}),
    (ProxyType.SIDECAR, Interception.REDIRECT, "other", {"app": "reviews"}),
    (ProxyType.ROUTER, Interception.REDIRECT, "default", {"istio": "ingressgateway"} | GATEWAY),
)


def written(name: str) -> list[Json]:
    """The objects of a file beside this one. `kind: MeshConfig` stands for the ConfigMap that holds its `spec`."""
    return [one for one in yaml.safe_load_all((HERE / name).read_text()) if one]


def typed(body: Json) -> Object:
    if body["kind"] != "MeshConfig":
        return decode(body)
    metadata = {"name": "istio", "namespace": "istio-system"}
    data = {"mesh": yaml.safe_dump(body["spec"])}
    return decode({"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata, "data": data})


class Mesh:
    """A mesh and the views of PROXIES. `changes(obj)` says whether they would differ with `obj` as it then is."""

    def __init__(self, objects: list[Json]) -> None:
        self.snapshot = Snapshot(ir.Mesh(h2_upgrade=True))
        self.registry = ObjectRegistry()
        for body in objects:
            self._put(typed(body))
        self.compiler = Compiler(self.snapshot)
        self.scopes = self._scopes()
        for scope, (*_, labels) in zip(self.scopes, PROXIES, strict=True):
            self.compiler.shared(scope)
            for name in ("reviews-v1", "cache-v1", *(("edge",) if labels.keys() & GATEWAY.keys() else ())):
                self.compiler.own(
                    Proxy(
                        namespace=scope.namespace,
                        name=name,
                        scope=scope,
                        labels=tuple(sorted(labels.items())),
                        outbound_port=15001,
                        upstreams=(DeclaredUpstream("cache", 6379, 18001),),
                    )
                )

    def _put(self, obj: Object) -> set[Fact]:
        if obj.kind in REGISTRY:
            return self.snapshot.apply(self.registry.upsert(obj))
        return self.snapshot.put_config(obj)

    def refused(self) -> dict[Any, str]:
        return {**self.snapshot.rejected, **self.registry.rejected}

    def _scopes(self) -> tuple[Any, ...]:
        reader = Reader(self.snapshot)
        return tuple(
            scope_of(
                reader,
                type=type_,
                interception=interception,
                namespace=namespace,
                labels=tuple(sorted(labels.items())),
                metadata=METADATA,
                workload=PLACE,
            )
            for type_, interception, namespace, labels in PROXIES
        )

    def changes(self, now: Object, before: Object) -> bool:
        """Leaves the mesh as it was. An object that cannot be used changes nothing."""
        facts = self._put(now)
        if self.refused():
            self._put(before)
            return False
        changed = bool(self.compiler.apply(facts)) or self._scopes() != self.scopes
        self.compiler.apply(self._put(before))
        return changed


class Place(NamedTuple):
    path: tuple[str | int, ...]
    field: str  # `destination_rule.TCPSettings.maxConnections`


def name_of(struct: type[msgspec.Struct], field: str) -> str:
    return f"{struct.__module__.rpartition('.')[2]}.{struct.__name__}.{field}"


TOP = ("apiVersion", "kind", "metadata", "status")


def struct_of(kind: str) -> type[msgspec.Struct]:
    """By the name that no other kind has."""
    if kind == "MeshConfig":
        return MeshConfig
    return next(one.struct for one in KINDS if one.unique_name == kind)


def kind_name(body: Json) -> str:
    kind = kind_of_group(body.get("apiVersion", ""), body["kind"])
    return kind.unique_name if kind else str(body["kind"])


def of_traffic() -> list[str]:
    """The kinds each field of which is in force, told or refused."""
    apart = NOT_OF_TRAFFIC.keys() | TOLD_AS_A_WHOLE
    return [one.unique_name for one in KINDS if one.unique_name not in apart] + ["MeshConfig"]


def all_fields() -> set[str]:
    """Of every kind that is about traffic, every field of every struct in it."""
    found: set[str] = set()
    todo = [struct_of(kind) for kind in of_traffic()]
    seen: set[Any] = set()
    while todo:
        struct = todo.pop()
        if struct in seen:
            continue
        seen.add(struct)
        for one in msgspec.structs.fields(struct):
            if issubclass(struct, Object) and one.encode_name in TOP:
                continue
            found.add(name_of(struct, one.encode_name))
            if (within := struct_in(one.type)) is not None:
                todo.append(within)
    return found


def places(body: Json) -> Iterator[Place]:
    """Every field that is written in an object."""
    struct = struct_of(kind_name(body))
    if body["kind"] == "MeshConfig":
        yield from _places(body["spec"], struct, ("spec",))
    else:
        top = {key: value for key, value in body.items() if key not in TOP}
        yield from _places(top, struct, ())


def _places(value: Any, struct: type[msgspec.Struct], path: tuple[str | int, ...]) -> Iterator[Place]:
    fields = {one.encode_name: one.type for one in msgspec.structs.fields(struct)}
    for key, item in value.items():
        yield Place((*path, key), name_of(struct, key))
        within = struct_in(fields[key])
        if within is None:
            continue
        origin = getattr(fields[key], "__origin__", None) or next(
            (getattr(one, "__origin__", None) for one in getattr(fields[key], "__args__", ())), None
        )
        items: Any = ((None, item),)
        if isinstance(item, list):
            items = enumerate(item)
        elif origin is dict:
            items = item.items()
        for position, one in items:
            yield from _places(one, within, (*path, key) if position is None else (*path, key, position))


def mutations(body: Json, path: tuple[str | int, ...]) -> Iterator[Object]:
    """The object without a field, and with another value in it; those that can be read."""
    for change in (_removed, _altered):
        other = copy.deepcopy(body)
        parent: Any = other
        for part in path[:-1]:
            parent = parent[part]
        change(parent, path[-1])
        try:
            yield typed(other)
        except ValueError:
            continue


def _removed(parent: Any, key: Any) -> None:
    del parent[key]


def _altered(parent: Any, key: Any) -> None:
    parent[key] = _other(parent[key])


_OTHERS = {
    "HTTP": "TCP",
    "TCP": "HTTP",
    "CLUSTER": "LISTENER",
    "CONNECT": "POST",
    "MERGE": "REMOVE",
    "AUTHN": "STATS",
    "Exact": "Prefix",
}


def _other(value: Any) -> Any:
    match value:
        case bool():
            return not value
        case int() | float():
            return value + 1
        case str():
            return _OTHERS.get(value) or (f"1{value}" if value[:1].isdigit() else f"{value}x")
        case list():
            return [_other(one) for one in value]
        case dict():
            return {key: _other(one) for key, one in value.items()}
    return value
