"""One bad object among many good ones: it is refused or told, and what all the others lead to stays as it was, to the
byte. It is put into a random mesh that runs, as a store gives it to a server: past the door."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from envoy.config.route.v3 import route_pb2
from envoy.service.discovery.v3 import discovery_pb2

from argosy.resources.kinds import KINDS
from argosy.resources.meta import Object
from argosy.resources.validation import validate
from argosy.translate import cluster as clusters
from argosy.translate import endpoint, shared
from argosy.translate import listener_outbound as listeners
from argosy.translate.resource import CLUSTER, ENDPOINT, LISTENER, ROUTE
from tests.long import any_object, any_secret
from tests.long.conftest import count
from tests.long.fuzzed_mesh import Bytes, Mesh, drawn, typed

pytestmark = [pytest.mark.long, pytest.mark.timeout(3600)]

MESHES = count(full=150, short=6)
OBJECTS = 10
BAD = 6  # objects of each sort tried in each mesh
Json = dict[str, Any]


def meshes(seed: int) -> Iterator[tuple[random.Random, Mesh]]:
    for number in range(MESHES):
        chance = random.Random(seed + number)
        yield chance, Mesh(drawn(chance, OBJECTS))


def ref(obj: Object) -> tuple[str, str, str]:
    return (obj.kind, obj.metadata.namespace, obj.metadata.name)


# --- EnvoyFilters ---------------------------------------------------------------------------------------------------

ROUTER = "envoy.filters.http.router"
MANAGER = "envoy.filters.network.http_connection_manager"
HTTP_FILTERS = {"filter": {"name": MANAGER, "subFilter": {"name": ROUTER}}}
LUA = "type.googleapis.com/envoy.extensions.filters.http.lua.v3.Lua"
BREAKING: tuple[tuple[str, Json, str, Any], ...] = (
    # applyTo, match, operation, value: each changes nothing that is there but to break it
    ("CLUSTER", {}, "MERGE", {"name": "renamed"}),
    ("CLUSTER", {}, "MERGE", {"no_such_field": 1}),
    ("CLUSTER", {}, "MERGE", {"connect_timeout": "soon"}),
    ("CLUSTER", {}, "ADD", {"type": "STATIC"}),
    ("LISTENER", {}, "MERGE", {"name": "renamed"}),
    ("LISTENER", {}, "MERGE", {"address": {"socket_address": {"port_value": "x"}}}),
    ("HTTP_FILTER", {"listener": {"filterChain": HTTP_FILTERS}}, "REMOVE", None),
    ("HTTP_FILTER", {}, "ADD", {"name": "a", "typed_config": {"@type": LUA, "inline_code": ["x"]}}),
    ("HTTP_FILTER", {}, "INSERT_FIRST", {"name": 5}),
    ("NETWORK_FILTER", {"listener": {"filterChain": {"filter": {"name": MANAGER}}}}, "REMOVE", None),
    ("ROUTE_CONFIGURATION", {}, "MERGE", {"name": "renamed"}),
    ("VIRTUAL_HOST", {}, "MERGE", {"domains": 3}),
    ("HTTP_ROUTE", {"routeConfiguration": {"vhost": {"route": {"action": "REDIRECT"}}}}, "MERGE", {"route": {}}),
    ("HTTP_ROUTE", {}, "INSERT_FIRST", {"match": {"prefix": ["a"]}}),
)  # fmt: skip


def breaking_filter(chance: random.Random) -> Json:
    part, match, operation, value = chance.choice(BREAKING)
    patch: Json = {"operation": operation} | ({} if value is None else {"value": value})
    one: Json = {"applyTo": part, "patch": patch} | ({"match": match} if match else {})
    namespace = chance.choice(("default", "istio-system"))
    metadata = {"name": "bad", "namespace": namespace}
    spec = {"priority": chance.choice((-1, 0, 9)), "configPatches": [one]}
    group = "networking.istio.io/v1alpha3"
    return {"apiVersion": group, "kind": "EnvoyFilter", "metadata": metadata, "spec": spec}


def test_an_envoy_filter_that_breaks_what_it_patches_changes_nothing_and_is_told() -> None:
    told = 0
    for chance, mesh in meshes(1):
        before = mesh.bytes()
        for _ in range(BAD):
            obj = typed(body := breaking_filter(chance))
            mesh.apply(mesh.put(obj))
            assert differences(before, mesh.bytes()) == set(), body
            verdict = validate(body)
            told += bool(mesh.faults().get(ref(obj)) or mesh.refused().get(ref(obj)) or not verdict.valid)
            mesh.apply(mesh.remove(obj))
            assert ref(obj) not in mesh.faults()
    assert told > 0.7 * MESHES * BAD, "most concern something, and say so"


def differences(before: Bytes, after: Bytes) -> set[Any]:
    return {slot for slot in before.keys() | after.keys() if before.get(slot) != after.get(slot)}


# --- Secrets --------------------------------------------------------------------------------------------------------


def test_a_secret_that_breaks_leaves_the_last_good_one_in_force_and_is_told() -> None:
    told: Counter[str] = Counter()
    for chance, mesh in meshes(2):
        for name in ("cred", "a", "ca", "o1"):
            mesh.apply(mesh.put(typed(any_secret.secret(chance, name, "default"))))
        before = mesh.bytes()
        assert mesh.errors() == {}
        for name in ("cred", "a", "ca", "o1"):
            good = mesh.snapshot.secrets.rules["default", name]
            obj = typed(any_secret.bad_secret(chance, name, "default"))
            mesh.apply(mesh.put(obj))
            assert differences(before, mesh.bytes()) == set()
            for (_, of), said in mesh.errors().items():
                assert of.startswith(f"kubernetes://default/{name}")
                assert f"Secret default/{name}" in said
                assert "BEGIN" not in said
                told[name] += 1
            mesh.apply(mesh.snapshot.secrets.set(("default", name), good))
            assert mesh.errors() == {}
    assert set(told) == {"cred", "a", "ca", "o1"}, told


def test_an_expired_certificate_is_no_reason_to_serve_none() -> None:
    """That it is expired is the server's to say, which has a clock: a proxy gets it."""
    for chance, mesh in meshes(3):
        mesh.apply(mesh.put(typed(any_secret.secret(chance, "cred", "default"))))
        before = mesh.bytes()
        expired = any_secret.bad_secret(chance, "cred", "default") | {"data": any_secret.expired()}
        mesh.apply(mesh.put(typed(expired)))
        assert mesh.errors() == {}
        changed = {name for _, _, name in differences(before, mesh.bytes())}
        assert changed
        assert all(name.startswith("kubernetes://default/cred") for name in changed)
        break


# --- what no door has seen ------------------------------------------------------------------------------------------


def unseen(chance: random.Random) -> Object | None:
    """An object that validation refuses and that can still be read, as from a store that others write."""
    kind = chance.choice([one for one in KINDS if one.unique_name in any_object.IN_FORCE - {"Secret"}])
    for _ in range(20):
        body = any_object.uncut(chance, kind, "bad", chance.choice(("default", "istio-system")))
        if validate(body).valid:
            continue
        try:
            return typed(body)
        except ValueError:
            continue
    return None


def test_what_no_validation_has_seen_raises_nowhere_and_goes_without_a_trace() -> None:
    there = 0
    for chance, mesh in meshes(4):
        before, errors, faults = mesh.bytes(), mesh.errors(), mesh.faults()
        for _ in range(BAD):
            obj = unseen(chance)
            if obj is None:
                continue
            there += 1
            mesh.apply(mesh.put(obj))
            mesh.apply(mesh.remove(obj))
            assert differences(before, mesh.bytes()) == set(), obj
            assert (mesh.errors(), mesh.faults(), mesh.refused()) == (errors, faults, {})
    assert there > MESHES


# --- translations that raise ----------------------------------------------------------------------------------------

POISON = "poison.example"
POISONED: Json = {
    "apiVersion": "networking.istio.io/v1",
    "kind": "ServiceEntry",
    "metadata": {"name": "bad", "namespace": "default"},
    "spec": {
        "hosts": [POISON],
        "addresses": ["10.77.7.7"],
        "resolution": "STATIC",
        "location": "MESH_INTERNAL",
        "ports": [
            {"number": 9080, "name": "http", "protocol": "HTTP"},
            {"number": 7777, "name": "tcp", "protocol": "TCP"},
        ],
        "endpoints": [{"address": "10.77.0.1"}],
    },
}


class _Raises(Exception):
    pass


@contextmanager
def raising(where: Any, name: str, patch: pytest.MonkeyPatch) -> Iterator[list[str]]:
    """What makes resources of one sort fails for whatever has the poison in it; each failure is listed."""
    make = getattr(where, name)
    raised: list[str] = []

    def wrong(key: Any) -> Any:
        if POISON in str(key):
            raised.append(name)
            raise _Raises("this cannot be made")
        return make(key)

    with patch.context() as patched:
        patched.setattr(where, name, wrong)
        yield raised


@pytest.mark.parametrize(
    ("where", "name", "kind"),
    [
        (clusters, "cluster", CLUSTER),
        (endpoint, "load_assignment", ENDPOINT),
        (shared, "virtual_host", ROUTE),
        (listeners, "captured_listener", LISTENER),
    ],
    ids=["cluster", "endpoints", "virtual host", "captured listener"],
)
def test_a_translation_that_raises_concerns_its_object_alone_and_is_told(
    where: Any, name: str, kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    told = 0
    for _, mesh in meshes(5):
        before = parts(mesh)
        with raising(where, name, monkeypatch) as raised:
            mesh.apply(mesh.put(typed(POISONED)))
            failed = {slot for slot, said in mesh.errors().items() if "cannot be made" in said}
            assert bool(failed) == bool(raised), "where nobody sees the host, nothing of it is made"
            told += bool(failed)
            assert all(of == kind for of, _ in failed)
            after = parts(mesh)
            lost = {part for part in before if after.get(part) != before[part]}
            assert not {part for part in lost if (part[1], part[2]) not in failed}, (
                "the others are as they were"
            )
            mesh.apply(mesh.remove(typed(POISONED)))
        assert parts(mesh) == before
        assert not any("cannot be made" in said for said in mesh.errors().values())
    assert told > 0.8 * MESHES


def parts(mesh: Mesh) -> dict[tuple[str, str, str, str], Any]:
    """(proxy, type URL, name, virtual host) of everything: RouteConfigurations that many services share fall into
    virtual hosts, without the domains that a newcomer may take from them."""
    found: dict[tuple[str, str, str, str], Any] = {}
    for proxy, type_url, name, made in mesh.resources():
        if type_url != ROUTE:
            found[proxy, type_url, name, ""] = made.version
            continue
        data = discovery_pb2.Resource.FromString(made.frame).resource.value
        for host in route_pb2.RouteConfiguration.FromString(data).virtual_hosts:
            found[proxy, type_url, name, host.name] = host.SerializeToString(deterministic=True)
    return found
