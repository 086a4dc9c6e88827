"""EnvoyFilters at the server: whom they reach, and what their conditions say."""

from __future__ import annotations

from typing import Any

import pytest

from argosy.store.base import Key
from argosy.translate.resource import CLUSTER
from argosy.xds.node import ISTIO_VERSION
from argosy.xds.wire import Node
from tests.unit.server.test_reporting import Mesh, mesh
from tests.unit.server.world import REVIEWS, VS, FakeEnvoy, World, node, virtual_service

__all__ = ["mesh"]
EF = Key("networking.istio.io/envoyfilters", "default", "e")
Json = dict[str, Any]


def envoy_filter(*patches: Json, **spec: Any) -> Json:
    return {
        "apiVersion": "networking.istio.io/v1alpha3",
        "kind": "EnvoyFilter",
        "metadata": {"name": "e", "namespace": "default"},
        "spec": {"configPatches": list(patches)} | spec,
    }


def merge(name: str = REVIEWS, proxy: Json | None = None, **value: Any) -> Json:
    match: Json = {"cluster": {"name": name}} | ({"proxy": proxy} if proxy else {})
    return {"applyTo": "CLUSTER", "match": match, "patch": {"operation": "MERGE", "value": value}}


def saying(**texts: str) -> Node:
    found = node()
    found.metadata.update(texts)
    return found


@pytest.fixture
def world() -> World:
    made = World()
    made.workload("reviews-v1")
    return made


def test_a_patch_reaches_the_proxies_that_say_what_it_asks_for(world: World) -> None:
    new = FakeEnvoy(world.reconciler, "client-1", saying(ISTIO_VERSION=ISTIO_VERSION))
    old = FakeEnvoy(world.reconciler, "client-2", saying(ISTIO_VERSION="1.9.0"))
    silent = world.envoy("client-3")
    assert new.session.held.layers[1] is old.session.held.layers[1], "nobody asks yet"
    world.put(envoy_filter(merge(proxy={"proxyVersion": r"^1\.[23]\d"}, connect_timeout="3s")), EF)
    assert set(new.exchange()) == {REVIEWS}
    assert (old.exchange(), silent.exchange()) == ([], [])
    assert old.session.held.layers[1] is silent.session.held.layers[1]
    assert new.held[CLUSTER][REVIEWS] != old.held[CLUSTER][REVIEWS]
    world.delete(EF)
    assert set(new.exchange()) == {REVIEWS}


def test_a_workload_selector_reaches_what_it_selects(world: World) -> None:
    world.workload("client-1", "client", bind=0)
    chosen, other = world.envoy("client-1"), world.envoy("client-2")
    world.put(envoy_filter(merge(connect_timeout="3s"), workloadSelector={"labels": {"app": "client"}}), EF)
    assert set(chosen.exchange()) == {REVIEWS}
    assert other.exchange() == []


def test_another_root_namespace_is_followed(world: World) -> None:
    world.workload("client-1", "client", bind=0)
    envoy = world.envoy("client-1")
    body = envoy_filter(merge(connect_timeout="3s"), workloadSelector={"labels": {"app": "client"}})
    body["metadata"]["namespace"] = "roots"
    world.put(body, Key(EF.resource, "roots", "e"))
    assert envoy.exchange() == []
    settings = {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": {"name": "istio", "namespace": "istio-system"},
        "data": {"mesh": "rootNamespace: roots"},
    }
    world.put(settings, Key("/configmaps", "istio-system", "istio"))
    assert set(envoy.exchange()) == {REVIEWS}


async def test_what_cannot_be_made_is_a_condition_of_the_envoy_filter_alone(mesh: Mesh) -> None:
    await mesh.workload("reviews-v1")
    await mesh.put(virtual_service(), VS)
    await mesh.seen()
    envoy = FakeEnvoy(mesh.reconciler, "client-1", node())
    await mesh.put(
        envoy_filter(merge(connect_timeout="3s"), merge(name="PassthroughCluster", type="NONE")), EF
    )
    found = await mesh.becomes("Invalid", EF, "Accepted")
    assert found["message"].startswith(
        "spec.configPatches[1].patch.value.type: 'NONE' is no DiscoveryType that this"
    )
    assert (await mesh.condition(EF))["reason"] == "NotAccepted"
    assert set(envoy.exchange()) == {REVIEWS}, "the other patch is in force"
    assert (await mesh.becomes("Programmed"))["message"] == "1 of 1 affected proxies run it"
    await mesh.put(envoy_filter(merge(connect_timeout="4s")), EF)
    await mesh.becomes("Pending", EF)
    envoy.exchange()
    assert (await mesh.becomes("Programmed", EF))["message"] == "1 of 1 affected proxies run it"
    assert (await mesh.condition(EF, "Accepted"))["status"] == "True"


async def test_what_envoy_refuses_is_a_condition_of_the_envoy_filter(mesh: Mesh) -> None:
    await mesh.workload("reviews-v1")
    await mesh.seen()
    envoy = FakeEnvoy(mesh.reconciler, "client-1", node())
    envoy.refuse = {REVIEWS}
    await mesh.put(envoy_filter(merge(connect_timeout="0s")), EF)
    await mesh.seen()
    envoy.exchange()
    found = await mesh.becomes("Rejected", EF)
    assert f"client-1.default refused Cluster {REVIEWS}: {REVIEWS} is bad" in found["message"]


async def test_one_that_changes_nothing_of_anybody_says_so(mesh: Mesh) -> None:
    await mesh.workload("reviews-v1")
    await mesh.seen()
    FakeEnvoy(mesh.reconciler, "client-1", node())
    await mesh.put(envoy_filter(merge(name="nobody", connect_timeout="1s")), EF)
    assert (await mesh.becomes("NoSubscribers", EF))["message"] == "no connected proxy uses it"
