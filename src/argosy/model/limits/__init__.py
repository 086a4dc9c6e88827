"""Fields that are accepted and not in force, or not wholly: one visible table (`table.TABLE`), and what it says of an
object.

Rule: nothing here makes an object invalid: people bring configuration that means more than this version does, and are
told which part of it has no effect.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import cache
from typing import Any

import msgspec
from msgspec import Struct

from argosy.model.limits import start
from argosy.model.limits.table import TABLE, Limit
from argosy.model.lower_mesh import FIELD as MESH_FIELD
from argosy.model.lower_mesh import NAME as MESH_NAME
from argosy.model.lower_mesh import NAMESPACE as MESH_NAMESPACE
from argosy.resources import loading, meshconfig, proxy_start
from argosy.resources.core import ConfigMap
from argosy.resources.kinds import kind_of_group
from argosy.resources.meta import Object, ObjectMeta
from argosy.resources.networking import WorkloadEntry, WorkloadGroup
from argosy.resources.schema import join

__all__ = [
    "TABLE",
    "Finding",
    "Limit",
    "annotation_not_in_force",
    "limit_of",
    "not_in_force",
    "settings_not_in_force",
    "struct_in",
]

Finding = tuple[str, str]
"""(field, message)."""

_UNKNOWN = "is no setting that this version knows: it has no effect"
_ELSEWHERE = f"is not in force: the mesh's settings are those of {MESH_NAMESPACE}/{MESH_NAME}"
_WRITTEN_BY_MACHINES = frozenset(("apiVersion", "kind", "metadata", "status"))


def not_in_force(obj: Object) -> tuple[Finding, ...]:
    """What an object says and the mesh does not do, in the order of its fields; () where everything counts.

    A value that is the field's default says nothing, and is not found.
    """
    if isinstance(obj, ConfigMap):
        return tuple(_config_map(obj))
    return (*_of_fields(obj), *_of_annotation(obj))


def _of_fields(obj: Object) -> tuple[Finding, ...]:
    kind = kind_of_group(obj.api_version, obj.kind)
    name = kind.unique_name if kind else obj.kind
    if not _patterns(name):
        return ()
    whole = limit_of(name, "")
    if whole is not None:
        return (("", whole.message),)
    written = {k: v for k, v in msgspec.to_builtins(obj).items() if k not in _WRITTEN_BY_MACHINES}
    return tuple(_found(name, obj, [], written))


def _config_map(obj: ConfigMap) -> Iterator[Finding]:
    if obj.metadata.name != MESH_NAME:
        return
    if obj.metadata.namespace not in ("", MESH_NAMESPACE):  # "": not said yet
        yield "data", _ELSEWHERE
        return
    written = {k: v for k, v in msgspec.to_builtins(obj).items() if k not in _WRITTEN_BY_MACHINES}
    yield from _found("ConfigMap", obj, [], written)
    text = obj.data.get(meshconfig.KEY, "")
    try:
        settings = msgspec.to_builtins(meshconfig.load(text))
        documents = loading.load_documents(text, meshconfig.KEY)
    except (ValueError, loading.LoadError):
        return  # it is refused, or rejected as a whole
    for field, message in _found("MeshConfig", obj, [], settings):
        yield f"{MESH_FIELD}.{field}", message
    for document in documents:
        for path in _unknown(document.object, meshconfig.MeshConfig, []):
            yield f"{MESH_FIELD}.{join(path)}", _UNKNOWN


def settings_not_in_force(settings: dict[str, Any]) -> tuple[Finding, ...]:
    """The same of mesh settings in a file of their own; each field is relative to them."""
    obj = ConfigMap(
        api_version="v1",
        kind="ConfigMap",
        metadata=ObjectMeta(name=MESH_NAME, namespace=MESH_NAMESPACE),
        data={meshconfig.KEY: msgspec.json.encode(settings).decode()},
    )
    return tuple((field.removeprefix(f"{MESH_FIELD}."), message) for field, message in _config_map(obj))


def _of_annotation(obj: Object) -> Iterator[Finding]:
    """Of the ProxyConfig that a workload has of its own, where its entry or its group says it."""
    if isinstance(obj, WorkloadEntry):
        place, metadata = "metadata.annotations", obj.metadata.annotations
    elif isinstance(obj, WorkloadGroup) and obj.spec.metadata is not None:
        place, metadata = "spec.metadata.annotations", obj.spec.metadata.annotations
    else:
        return
    for field, message in annotation_not_in_force(metadata.get(proxy_start.ANNOTATION, "")):
        yield f"{place}[{proxy_start.ANNOTATION!r}].{field}", message


def annotation_not_in_force(text: str) -> tuple[Finding, ...]:
    """The same of the annotation proxy.istio.io/config of one workload; each field is relative to it. () where it is
    no ProxyConfig, which is told by whoever reads it."""
    try:
        said = proxy_start.read(text)
        told = settings_not_in_force({"defaultConfig": said}) if said else ()
    except ValueError:
        return ()
    found = dict(start.of_the_mesh_alone(said))
    for field, message in told:
        own = field.removeprefix("defaultConfig.")
        if own in found or not any(own.startswith((f"{one}.", f"{one}[")) for one in found):
            found[own] = message  # what a value never does says more than where it would belong
    return tuple(found.items())


def _found(kind: str, obj: Object, path: list[str | int], value: Any) -> Iterator[Finding]:
    """Below a field that is found nothing more is: one word of it is enough."""
    if path:
        field = join(path)
        limit = limit_of(kind, field)
        if limit is not None and limit.when.holds(value, obj):
            yield field, _said(value, limit.message)
            return
    items: Any = ()
    if isinstance(value, dict):
        items = value.items()
    elif isinstance(value, (list, tuple)):
        items = enumerate(value)
    for key, item in items:
        yield from _found(kind, obj, [*path, key], item)


def _said(value: Any, message: str) -> str:
    """The value, where it is short enough to help and no part of a Secret can be."""
    if isinstance(value, str) and len(value) <= 80:
        return f"{value}: {message}"
    return message


def _unknown(value: Any, type_: Any, path: list[str | int]) -> Iterator[list[str | int]]:
    """Keys of settings as written that no struct has. Of the types within a struct only structs are looked into."""
    fields = {one.encode_name: one.type for one in msgspec.structs.fields(type_)}
    for key, item in value.items() if isinstance(value, dict) else ():
        if key not in fields:
            yield [*path, str(key)]
            continue
        within = struct_in(fields[key])
        if within is None:
            continue
        for position, one in enumerate(item) if isinstance(item, list) else ((None, item),):
            place = [] if position is None else [position]
            yield from _unknown(one, within, [*path, str(key), *place])


def struct_in(type_: Any) -> type[Struct] | None:
    """The struct that a field holds: itself, optional, or as items of a list or values of a map."""
    if isinstance(type_, type) and issubclass(type_, Struct):
        return type_
    for argument in reversed(getattr(type_, "__args__", ())):
        if (found := struct_in(argument)) is not None:
            return found
    return None


def limit_of(kind: str, field: str) -> Limit | None:
    """The line of the table for a field of a kind, as a concrete path."""
    return next((limit for pattern, limit in _patterns(kind) if pattern.fullmatch(field)), None)


@cache
def _patterns(kind: str) -> tuple[tuple[re.Pattern[str], Limit], ...]:
    return tuple((re.compile(_expression(limit.field)), limit) for limit in TABLE if limit.kind == kind)


def _expression(field: str) -> str:
    text = re.sub(r"\\~\\\{(.*?)\\\}", _but, re.escape(field))
    for written, meant in (
        (r"\[\*\]", r"(?:\[[^\]]*\]|\.[^.\[]+)"),
        (r"\*\*\.", r"(?:.+\.)?"),
        (r"\*", r"[^.\[]+"),
        (r"\{", "(?:"),
        (r"\}", ")"),
        (",", "|"),
    ):
        text = text.replace(written, meant)
    return text


def _but(found: re.Match[str]) -> str:
    return rf"(?!(?:{found[1].replace(',', '|')})(?:[.\[]|$))[^.\[]+"
