"""Random objects of any kind that proxies depend on, with any of its fields, that the door (`resources.validation`)
takes.

Half of them are made from the kinds' own structs, so that a new field is tried from its first day; half are the
examples of what is in force (tests/unit/translate/fields_in_force.yaml), changed here and there, so that most of them
mean something to somebody. Values come from pools by the name of the field (`pools`). What the door names as wrong is
cut out until the rest passes.
"""

from __future__ import annotations

import copy
import random
import re
from functools import cache
from typing import Any

import msgspec
import yaml
from msgspec import inspect

from argosy.resources import kinds
from argosy.resources.kind import Kind
from argosy.resources.meshconfig import MeshConfig
from argosy.resources.networking import HTTPRoute
from argosy.resources.networking.envoy_filter import EnvoyConfigObjectPatch
from argosy.resources.validation import validate
from tests.long import any_secret
from tests.long.pools import (
    ACTIONS,
    ALWAYS,
    DURATION,
    DURATIONS,
    HEADERS,
    INTEGERS,
    KEYS,
    PARTS,
    PATCHES,
    POOLS,
    WORDS,
)
from tests.unit.translate.fields import TOP, kind_name, of_traffic, written

Json = dict[str, Any]

MESH = "MeshConfig"
WEIGHTS = {
    "VirtualService": 6.0,
    "DestinationRule": 4.0,
    "Gateway": 3.0,
    "ServiceEntry": 4.0,
    "WorkloadEntry": 2.0,
    "Service": 2.0,
    "Sidecar": 1.5,
    "EnvoyFilter": 1.5,
    "Secret": 1.5,
    "MeshConfig": 3.0,
}
"""By `Kind.unique_name`: those that much of the rest depends on. Every other kind that is in force weighs 1."""
RARE = 0.1
"""Kinds of the mesh that are told to be not in force."""
EXAMPLES = 0.5
"""Chance that an object is a changed example."""
ROUNDS = 25
NAMES = {
    "Gateway": ("edge",),
    "Service": ("reviews", "cache", "inventory", "backed", "other"),
    "WorkloadEntry": ("reviews-v1", "cache-v1"),
    "Secret": ("cred", "a", "b", "ca", "ca-cacert", "cred-cacert"),
    "Sidecar": ("default",),
    "Telemetry": ("default",),
    "PeerAuthentication": ("default",),
    "Endpoints": ("backed",),
}
"""Names that others refer to."""


IN_FORCE = frozenset((*of_traffic(), "Secret")) - {"ConfigMap"}
"""`kind: MeshConfig` stands for the ConfigMap that holds its spec."""


def drawn() -> dict[str, float]:
    """Every kind that is drawn (`Kind.unique_name`), with its weight."""
    in_force = {name: WEIGHTS.get(name, 1.0) for name in sorted(IN_FORCE)}
    rare = {
        kind.unique_name: RARE
        for kind in kinds.KINDS
        if kind.group.endswith((".istio.io", "gateway.networking.k8s.io"))
    }
    return rare | in_force


@cache
def examples() -> dict[str, list[Json]]:
    found: dict[str, list[Json]] = {}
    for name in ("fields_in_force.yaml", "fields_mesh.yaml"):
        for body in written(name):
            found.setdefault(kind_name(body), []).append(body)
    return found


def objects(chance: random.Random, number: int) -> list[Json]:
    """`number` objects that are valid; those of one kind and name replace each other."""
    found: dict[tuple[str, str, str], Json] = {}
    of = drawn()
    while len(found) < number:
        unique_name = chance.choices(list(of), list(of.values()))[0]
        if (obj := valid(chance, unique_name)) is not None:
            metadata = obj["metadata"]
            found[unique_name, metadata.get("namespace", ""), metadata.get("name", "")] = obj
    return list(found.values())


def valid(chance: random.Random, unique_name: str) -> Json | None:
    """None where nothing valid comes of it."""
    return _passing(_any(chance, unique_name))


def like(chance: random.Random, example: Json) -> Json | None:
    """The example, changed here and there. None where nothing valid comes of it."""
    return _passing(changed(chance, example))


def of_kind(chance: random.Random, kind: Kind, name: str, namespace: str) -> Json | None:
    """One made from the kind's structs. None where nothing valid comes of it."""
    return _passing(uncut(chance, kind, name, namespace))


def _passing(obj: Json) -> Json | None:
    for _ in range(ROUNDS):
        verdict = validate(as_stored(obj))
        if verdict.valid:
            return obj
        fields = [problem.field for problem in verdict.errors]
        if obj["kind"] == MESH:
            fields = [re.sub(r"^data\.mesh\b", "spec", field) for field in fields]
        if not any([cut(obj, field) for field in fields]):
            return None
    return None


def as_stored(obj: Json) -> Json:
    if obj["kind"] != MESH:
        return obj
    metadata = {"name": "istio", "namespace": "istio-system"}
    data = {"mesh": yaml.safe_dump(obj["spec"])}
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata, "data": data}


def _any(chance: random.Random, unique_name: str) -> Json:
    namespace = chance.choice(("default", "default", "default", "default", "shop", "istio-system"))
    name = chance.choice((*NAMES.get(unique_name, ()), *(f"o{number}" for number in range(4))))
    if unique_name == "Secret":
        return any_secret.secret(chance, name, namespace)
    if unique_name in examples() and chance.random() < EXAMPLES:
        return changed(chance, chance.choice(examples()[unique_name]))
    if unique_name == MESH:
        return {"kind": MESH, "metadata": {}, "spec": structure(chance, _struct(MeshConfig), 0.15)}
    kind = next(one for one in kinds.KINDS if one.unique_name == unique_name)
    return uncut(chance, kind, name, namespace)


def uncut(chance: random.Random, kind: Kind, name: str, namespace: str) -> Json:
    """One made from the kind's structs, whatever the door says of it."""
    top = [field for field in _struct(kind.struct).fields if field.encode_name not in TOP]
    return {
        "apiVersion": kind.api_version,
        "kind": kind.kind,
        "metadata": {"name": name} | ({"namespace": namespace} if kind.namespaced else {}),
        **{field.encode_name: some(chance, field.type, field.encode_name) for field in top},
    }


def _struct(of: type[msgspec.Struct]) -> inspect.StructType:
    found = inspect.type_info(of)
    assert isinstance(found, inspect.StructType)
    return found


def cut(obj: Json, path: str) -> bool:
    """Takes out what a path like `spec.http[1].route[0].weight` names, or what holds it; the spec itself stays."""
    steps = [int(number) if number else word for word, number in re.findall(r"([^.\[\]]+)|\[(\d+)\]", path)]
    at: Any = obj
    trail: list[tuple[Any, Any]] = []
    for step in steps:
        inside = (isinstance(at, dict) and step in at) or (
            isinstance(at, list) and isinstance(step, int) and step < len(at)
        )
        if not inside:
            break
        trail.append((at, step))
        at = at[step]
    if len(trail) < 2:
        return False
    holder, step = trail[-1]
    del holder[step]
    return True


# --- from the structs -----------------------------------------------------------------------------------------------


def some(chance: random.Random, kind: inspect.Type, name: str) -> Any:
    """A value of that type for a field of that name."""
    if name in PARTS and (isinstance(kind, inspect.AnyType) or _holds_any(kind)):
        value = copy.deepcopy(chance.choice(PARTS[name]))
        return [value] if isinstance(kind, inspect.VarTupleType | inspect.ListType) else value
    match kind:
        case inspect.Metadata():
            return some(chance, kind.type, name)
        case inspect.LiteralType():
            return chance.choice(list(kind.values))
        case inspect.StructType():
            return structure(chance, kind, 0.5 if name == "spec" else 0.3)
        case inspect.UnionType():
            return some(chance, chance.choice(_not_none(kind)), name)
        case inspect.VarTupleType() | inspect.ListType():
            return [some(chance, kind.item_type, name) for _ in range(chance.choice((1, 1, 2, 3)))]
        case inspect.DictType():
            if all(isinstance(one, dict) for one in POOLS.get(name, ("",))):
                return dict(chance.choice(POOLS[name]))
            keys = chance.sample(KEYS.get(name, HEADERS), chance.choice((0, 1, 2)))
            return {key: some(chance, kind.value_type, "") for key in keys}
        case inspect.EnumType():
            return chance.choice(list(kind.cls)).value
        case inspect.BoolType():
            return chance.random() < 0.5
        case inspect.IntType():
            return chance.choice([one for one in POOLS.get(name, ()) if isinstance(one, int)] or INTEGERS)
        case inspect.FloatType():
            return chance.choice(
                [one for one in POOLS.get(name, ()) if isinstance(one, float)] or (0.0, 1.0, 50.0)
            )
        case inspect.StrType():
            if DURATION.fullmatch(name):
                return chance.choice(DURATIONS)
            return chance.choice([one for one in POOLS.get(name, WORDS) if isinstance(one, str)] or WORDS)
        case _:
            return {}


def _not_none(kind: inspect.UnionType) -> list[inspect.Type]:
    return [one for one in kind.types if not isinstance(one, inspect.NoneType)]


def _holds_any(kind: inspect.Type) -> bool:
    """Whether what it holds is not described further."""
    match kind:
        case inspect.Metadata():
            return _holds_any(kind.type)
        case inspect.UnionType():
            return any(_holds_any(one) for one in kind.types)
        case inspect.VarTupleType() | inspect.ListType():
            return _holds_any(kind.item_type)
        case inspect.DictType():
            return isinstance(kind.value_type, inspect.AnyType)
    return False


def structure(chance: random.Random, kind: inspect.StructType, share: float) -> Json:
    """An object of that struct, each field that may be left out with the chance `share`."""
    wanted = {field.encode_name for field in kind.fields if field.required or chance.random() < share}
    if kind.cls is HTTPRoute:
        wanted = wanted.difference(ACTIONS, ("delegate",)) | {chance.choice(ACTIONS)}
    made = {
        field.encode_name: some(chance, field.type, field.encode_name)
        for field in kind.fields
        if field.encode_name in wanted or field.encode_name in ALWAYS
    }
    return _patch(chance, made) if kind.cls is EnvoyConfigObjectPatch else made


def _patch(chance: random.Random, made: Json) -> Json:
    """An EnvoyFilter's patch with a value that leaves what it is applied to whole."""
    part = chance.choice(list(PATCHES))
    operations, value = chance.choice(PATCHES[part])
    match = made.get("match", {})
    for unfit in ("listener", "routeConfiguration", "cluster", "waypoint"):
        if unfit != _MATCHED.get(part):
            match.pop(unfit, None)
    patch = {"operation": chance.choice(operations)} | (
        {} if value is None else {"value": copy.deepcopy(value)}
    )
    return {"applyTo": part, "match": match, "patch": patch}


_MATCHED = {"CLUSTER": "cluster"} | {
    part: "routeConfiguration"
    if part in ("ROUTE_CONFIGURATION", "VIRTUAL_HOST", "HTTP_ROUTE")
    else "listener"
    for part in PATCHES
    if part not in ("CLUSTER", "EXTENSION_CONFIG", "BOOTSTRAP")
}


# --- from the examples ----------------------------------------------------------------------------------------------

GONE, OTHER, MORE = 0.06, 0.12, 0.05
"""Chances that a field of an example is left out, that it has another value, and that one is there that was not."""


def changed(chance: random.Random, example: Json) -> Json:
    obj = copy.deepcopy(example)
    if obj["kind"] == MESH:
        return {
            "kind": MESH,
            "metadata": {},
            "spec": _varied(chance, obj["spec"], _struct(MeshConfig), "spec"),
        }
    kind = kinds.kind_of_group(obj["apiVersion"], obj["kind"])
    assert kind is not None
    types = {field.encode_name: field.type for field in _struct(kind.struct).fields}
    for key in obj.keys() - set(TOP):
        obj[key] = _varied(chance, obj[key], types[key], key)
    return obj


def _varied(chance: random.Random, value: Any, kind: inspect.Type, name: str) -> Any:
    match kind:
        case inspect.Metadata():
            return _varied(chance, value, kind.type, name)
        case inspect.UnionType() if len(_not_none(kind)) == 1:
            return _varied(chance, value, _not_none(kind)[0], name)
        case inspect.StructType() if isinstance(value, dict):
            return _varied_struct(chance, value, kind)
        case inspect.VarTupleType() | inspect.ListType() if isinstance(value, list):
            found = [_varied(chance, one, kind.item_type, name) for one in value]
            return [*found, some(chance, kind.item_type, name)] if chance.random() < MORE else found
        case inspect.DictType() if isinstance(value, dict):
            return {key: _varied(chance, one, kind.value_type, key) for key, one in value.items()}
    return value


def _varied_struct(chance: random.Random, value: Json, kind: inspect.StructType) -> Json:
    if kind.cls is EnvoyConfigObjectPatch:  # value and part must fit each other
        return structure(chance, kind, 0.3) if chance.random() < OTHER else _varied_match(chance, value, kind)
    found: Json = {}
    for field in kind.fields:
        name, dice = field.encode_name, chance.random()
        if name not in value:
            if dice < MORE / 4:
                found[name] = some(chance, field.type, name)
        elif dice < OTHER:
            found[name] = some(chance, field.type, name)
        elif dice > GONE + OTHER or field.required:
            found[name] = _varied(chance, value[name], field.type, name)
    return found


def _varied_match(chance: random.Random, value: Json, kind: inspect.StructType) -> Json:
    match = next(field for field in kind.fields if field.encode_name == "match")
    varied = {"match": _varied(chance, value["match"], match.type, "match")} if "match" in value else {}
    return copy.deepcopy(value) | varied


def shown(found: list[Json]) -> str:
    """For people: one object a line."""
    return "\n".join(msgspec.json.encode(one).decode() for one in found)
