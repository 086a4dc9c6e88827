"""EnvoyFilters for the bootstrap: which workloads are told of them, and what stands on the object that one refused."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import pytest
from envoy.config.bootstrap.v3.bootstrap_pb2 import Bootstrap

from argosy.model.scope import ProxyType
from argosy.server.bootstraps import ROUTES, Bootstraps
from argosy.server.entries import entry_key
from argosy.store.base import Key
from argosy.translate import parts
from argosy.xds.start import ProxyStart, RefusedPatch
from tests.unit.server.test_envoy_filters import EF, envoy_filter
from tests.unit.server.test_scale import istio
from tests.unit.server.world import VS, World, node, peer

Json = dict[str, Any]
ENTRY = entry_key("default", "reviews-v1")
LABELS = {"app": "reviews"}


def patch(operation: str = "MERGE", proxy: Json | None = None, **value: Any) -> Json:
    match = {"match": {"proxy": proxy}} if proxy else {}
    return {"applyTo": "BOOTSTRAP", **match, "patch": {"operation": operation, "value": value}}


class Looking:
    def __init__(self) -> None:
        self.world = World()
        self.looked: list[Key] = []
        self.bootstraps = Bootstraps(self.world.reconciler, self._look)

    def _look(self, keys: Iterable[Key]) -> None:
        self.looked += keys

    def clusters(self, labels: Json = LABELS, environment: Json | None = None) -> list[str]:
        found = self.bootstraps.added(ProxyStart(), ENTRY, labels, environment or {}).patches
        return [Bootstrap.FromString(one.value).node.cluster for one in found]

    def unusable(self) -> str:
        return self.world.reconciler.unusable(EF)


@pytest.fixture
def here() -> Looking:
    return Looking()


def named(cluster: str, **more: Any) -> Json:
    return patch(node={"cluster": cluster}, **more)


def test_patches_come_in_order_with_their_place(here: Looking) -> None:
    here.world.put(
        envoy_filter(named("a"), {"applyTo": "CLUSTER"} | {"patch": patch()["patch"]}, named("b")), EF
    )
    found = here.bootstraps.added(ProxyStart(), ENTRY, LABELS, {}).patches
    assert [(one.namespace, one.name, one.index) for one in found] == [
        ("default", "e", 0),
        ("default", "e", 2),
    ]
    assert here.clusters() == ["a", "b"]


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        (envoy_filter(named("a"), workloadSelector={"labels": {"app": "reviews"}}), ["a"]),
        (envoy_filter(named("a"), workloadSelector={"labels": {"app": "ratings"}}), []),
        (envoy_filter(named("a", proxy={"proxyVersion": r"^1\.3"})), ["a"]),
        (envoy_filter(named("a", proxy={"proxyVersion": r"^1\.9\."})), []),
        (envoy_filter(named("a", proxy={"metadata": {"OWNER": "me"}})), ["a"]),
        (envoy_filter(named("a", proxy={"metadata": {"OWNER": "you"}})), []),
        (envoy_filter(named("a", proxy={"metadata": {"NAME": "reviews-v1"}})), ["a"]),
        (envoy_filter(patch("ADD", node={"cluster": "a"})), []),
        (envoy_filter(patch(node={"cluster": ["no"]})), []),
    ],
)
def test_who_is_told(here: Looking, body: Json, expected: list[str]) -> None:
    here.world.put(body, EF)
    assert here.clusters(environment={"ISTIO_META_OWNER": "me"}) == expected


def refusal(message: str, index: int = 0) -> RefusedPatch:
    return RefusedPatch(namespace="default", name="e", index=index, message=message)


def test_what_an_envoy_refuses_stands_on_the_object_until_it_is_mended(here: Looking) -> None:
    here.world.put(envoy_filter(named("a"), named("b")), EF)
    here.bootstraps.refused(ENTRY, (refusal("no"), refusal("nor this", 1)))
    assert here.looked == [EF]
    said = here.unusable()
    assert "spec.configPatches[0].patch.value: no (this patch is left out by default/reviews-v1)" in said
    assert "spec.configPatches[1].patch.value: nor this" in said
    here.bootstraps.refused(ENTRY, (refusal("no"), refusal("nor this", 1)))
    assert here.looked == [EF], "nothing new"
    here.world.put(envoy_filter(named("c")), EF)
    assert here.unusable() == "", "it is another object now"


def test_a_workload_that_leaves_says_nothing_any_more(here: Looking) -> None:
    here.world.put(envoy_filter(named("a")), EF)
    other = entry_key("default", "reviews-v2")
    here.bootstraps.refused(ENTRY, (refusal("no"),))
    here.bootstraps.refused(other, (refusal("no"),))
    here.bootstraps.refused(ENTRY, ())
    assert "reviews-v2" in here.unusable()
    assert "reviews-v1" not in here.unusable()
    here.bootstraps.refused(other, ())
    assert here.unusable() == ""


def gateway_with_many_hosts(here: Looking) -> None:
    plain = {"port": {"number": 80, "name": "http", "protocol": "HTTP"}, "hosts": ["*"]}
    gateway = {"selector": {"app": "reviews"}, "servers": [plain]}
    key = Key("networking.istio.io/gateways", "default", "edge")
    here.world.put(istio("Gateway", "edge", gateway), key)
    hosts = [f"h{number}.example" for number in range(parts.MANY + 1)]
    spec = {"hosts": hosts, "gateways": ["edge"], "http": [{"redirect": {"uri": "/"}}]}
    here.world.put(istio("VirtualService", "reviews", spec), VS)


@pytest.mark.parametrize(
    ("kind", "asked", "parted"),
    [
        (ProxyType.ROUTER, "", ("http.80",)),
        (ProxyType.ROUTER, "whole", ()),
        (ProxyType.ROUTER, "parted", ("http.80",)),
        (ProxyType.SIDECAR, "", ()),
        (ProxyType.SIDECAR, "parted", ("http_proxy",)),
    ],
)
def test_how_the_routes_are_laid_out_is_decided_by_what_the_proxy_is(
    here: Looking, kind: ProxyType, asked: str, parted: tuple[str, ...]
) -> None:
    gateway_with_many_hosts(here)
    start = here.bootstraps.added(ProxyStart(), ENTRY, LABELS, {ROUTES: asked}, kind)
    assert start.parted == parted


def test_a_gateway_with_few_hosts_has_its_routes_whole_unless_it_asks(here: Looking) -> None:
    gateway_with_many_hosts(here)
    here.world.put(istio("VirtualService", "reviews", {"hosts": ["a"], "gateways": ["edge"]}), VS)
    for asked, parted in (("", ()), ("parted", ("http.80",))):
        found = here.bootstraps.added(ProxyStart(), ENTRY, LABELS, {ROUTES: asked}, ProxyType.ROUTER)
        assert found.parted == parted
    other = here.bootstraps.added(ProxyStart(), ENTRY, {"app": "x"}, {ROUTES: "parted"}, ProxyType.ROUTER)
    assert other.parted == (), "the Gateway is of others"


@pytest.mark.parametrize(
    ("said", "parted"),
    [
        ({"type": "router"}, ("http.80",)),
        ({"type": "sidecar"}, ("http_proxy",)),
        ({"type": "sidecar", "interception": "redirect"}, ("9080",)),
    ],
)
def test_of_what_a_proxy_says_of_its_layout_counts_what_there_can_be(
    here: Looking, said: Json, parted: tuple[str, ...]
) -> None:
    every = ("http.80", "http_proxy", "9080", "http.x", "https.443.web.edge.default", "http.80.10.0.0.1")
    session = here.world.reconciler.proxies.session(node(parted=every, **said), peer("edge-1"))
    assert session.held.proxy.scope.parted == parted
