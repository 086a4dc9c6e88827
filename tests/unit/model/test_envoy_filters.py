"""EnvoyFilters in the model: whom they are for, in which order, and which facts they make."""

from __future__ import annotations

from typing import Any

import pytest

from argosy.model.envoy_patches import ChainMatch, ListenerMatch, Operation, Part
from argosy.model.facts import Fact, FactKind
from argosy.model.reader import Reader
from argosy.model.scope import ProxyType, Scope, scope_of
from argosy.model.snapshot import Snapshot
from argosy.resources.meta import Object
from tests.unit.model.written import mesh_config, obj, scope, snapshot

Json = dict[str, Any]


def patch(
    match: Json | None = None, /, part: str = "CLUSTER", operation: str = "MERGE", **value: Any
) -> Json:
    one: Json = {"applyTo": part, "patch": {"operation": operation, "value": value}}
    return one | ({"match": match} if match else {})


def envoy_filter(name: str, *patches: Json, created: str = "", **spec: Any) -> Object:
    return obj("EnvoyFilter", name, {"configPatches": list(patches or (patch(),))} | spec, created=created)


def held(made: Snapshot, of: Scope) -> list[str]:
    return [f"{one.namespace}/{one.name}[{one.index}]" for one in Reader(made).envoy_filters(of)]


def by(**labels: str) -> Json:
    return {"workloadSelector": {"labels": labels}}


def test_one_of_a_namespace_is_for_it_and_one_of_the_root_namespace_for_all() -> None:
    made = snapshot(envoy_filter("shop/own"), envoy_filter("istio-system/all"))
    assert held(made, scope(made, "shop")) == ["istio-system/all[0]", "shop/own[0]"]
    assert held(made, scope(made, "other")) == ["istio-system/all[0]"]
    assert held(made, scope(made, "istio-system")) == ["istio-system/all[0]"]


def test_a_selector_holds_in_its_namespace_and_that_of_the_root_everywhere() -> None:
    made = snapshot(
        envoy_filter("shop/own", **by(app="web")), envoy_filter("istio-system/all", **by(app="web"))
    )
    assert held(made, scope(made, "shop", app="web", version="v1")) == ["istio-system/all[0]", "shop/own[0]"]
    assert held(made, scope(made, "other", app="web")) == ["istio-system/all[0]"]
    assert held(made, scope(made, "shop", app="api")) == []
    assert scope(made, "shop", app="api", pod="1") == scope(made, "shop", app="api", pod="2")


def test_another_root_namespace_is_another_for_selectors_too() -> None:
    made = snapshot(envoy_filter("root/all", **by(app="web")), mesh_config("rootNamespace: root"))
    assert held(made, scope(made, "shop", app="web")) == ["root/all[0]"]
    made.put_config(mesh_config(""))
    assert held(made, scope(made, "shop", app="web")) == []


def test_gateways_are_attached_to_by_name_and_what_means_waypoints_is_for_nobody() -> None:
    refs = {
        "edge": {"group": "gateway.networking.k8s.io", "kind": "Gateway", "name": "edge"},
        "class": {"group": "gateway.networking.k8s.io", "kind": "GatewayClass", "name": "edge"},
        "service": {"group": "", "kind": "Service", "name": "edge"},
    }
    made = snapshot(*(envoy_filter(f"shop/{name}", targetRefs=[ref]) for name, ref in refs.items()))
    labels = {"gateway.networking.k8s.io/gateway-name": "edge"}
    assert held(made, scope(made, "shop", ProxyType.ROUTER, **labels)) == ["shop/edge[0]"]
    assert held(made, scope(made, "shop", ProxyType.ROUTER)) == []


def test_the_order_is_by_priority_root_namespace_age_and_name() -> None:
    made = snapshot(
        envoy_filter("shop/late", created="2026-01-02T00:00:00Z"),
        envoy_filter("shop/b", created="2026-01-01T00:00:00Z"),
        envoy_filter("shop/a", created="2026-01-01T00:00:00Z"),
        envoy_filter("shop/first", created="2026-02-01T00:00:00Z", priority=-1),
        envoy_filter("istio-system/root", created="2026-03-01T00:00:00Z"),
        envoy_filter("istio-system/last", created="2026-03-01T00:00:00Z", priority=1),
    )
    assert held(made, scope(made, "shop")) == [
        f"{name}[0]"
        for name in ("shop/first", "istio-system/root", "shop/a", "shop/b", "shop/late", "istio-system/last")
    ]


@pytest.mark.parametrize(
    ("proxy", "holds"),
    [
        ({"proxyVersion": "^1\\.31.*"}, True),
        ({"proxyVersion": "31"}, True),
        ({"proxyVersion": "^1\\.9"}, False),
        ({"metadata": {"NAME": "web-1"}}, True),
        ({"metadata": {"NAME": "web-2"}}, False),
        ({"metadata": {"NAME": "web-1", "OTHER": "x"}}, False),
        ({"proxyVersion": "^1", "metadata": {"NAME": "web-1"}}, True),
        ({}, True),
    ],
)
def test_a_patch_is_for_proxies_that_say_what_it_asks_for(proxy: Json, holds: bool) -> None:
    made = snapshot(envoy_filter("shop/e", patch({"proxy": proxy}), patch()))
    metadata = (("ISTIO_VERSION", "1.31.0"), ("NAME", "web-1"))
    of = scope_of(Reader(made), namespace="shop", metadata=metadata)
    assert held(made, of) == (["shop/e[0]"] if holds else []) + ["shop/e[1]"]
    says_nothing = scope_of(Reader(made), namespace="shop")
    assert held(made, says_nothing) == ([] if proxy else ["shop/e[0]"]) + ["shop/e[1]"]


def test_patches_for_waypoints_are_for_nobody() -> None:
    made = snapshot(envoy_filter("shop/e", patch({"context": "WAYPOINT", "waypoint": {"portNumber": 80}})))
    assert held(made, scope(made, "shop")) == []


def test_equal_values_are_one_text_in_whatever_order_they_are_written() -> None:
    made = snapshot(envoy_filter("shop/e", patch(a=1, b={"c": 2, "d": 3})))
    assert made.put_config(envoy_filter("shop/e", patch(b={"d": 3, "c": 2}, a=1))) == set()
    assert made.put_config(envoy_filter("shop/e", patch(a=2))) != set()


def test_what_has_no_order_is_added_and_old_names_are_new_ones() -> None:
    filter_match = {"name": "envoy.http_connection_manager", "subFilter": {"name": "envoy.router"}}
    made = snapshot(
        envoy_filter(
            "shop/e",
            patch(operation="INSERT_FIRST"),
            patch(
                {"listener": {"filterChain": {"filter": filter_match}}},
                part="HTTP_FILTER",
                operation="INSERT_FIRST",
            ),
        )
    )
    one, two = (placed.patch for placed in Reader(made).envoy_filters(scope(made, "shop")))
    assert one.operation is Operation.ADD
    assert (two.part, two.operation) == (Part.HTTP_FILTER, Operation.INSERT_FIRST)
    chain = ChainMatch(
        filter="envoy.filters.network.http_connection_manager", sub_filter="envoy.filters.http.router"
    )
    assert two.listener == ListenerMatch(chain=chain)


@pytest.mark.parametrize(
    ("broken", "words"),
    [
        ({"applyTo": "CLUSTER"}, "spec.configPatches[0].patch: is missing"),
        (
            {"patch": {"operation": "MERGE"}},
            "spec.configPatches[0]: applyTo or patch.operation is missing; give both",
        ),
        (patch({"proxy": {"proxyVersion": "("}}), "spec.configPatches[0].match.proxy.proxyVersion: '('"),
    ],
)
def test_what_was_written_past_validation_is_rejected_with_its_field(broken: Json, words: str) -> None:
    made = snapshot(envoy_filter("shop/e"))
    made.put_config(envoy_filter("shop/e", broken))
    assert words in made.rejected["EnvoyFilter", "shop", "e"]
    assert held(made, scope(made, "shop")) == ["shop/e[0]"], "what it said before stays in force"


def test_a_change_is_a_change_of_its_group_and_of_itself() -> None:
    made = snapshot(envoy_filter("shop/e"))
    own = Fact(FactKind.ENVOY_FILTER, "shop/e")
    of_all, of_web = (Fact(FactKind.ENVOY_FILTERS, name) for name in ("shop", "envoy-filter:shop:app=web"))
    assert made.facts_of("EnvoyFilter", "shop", "e") == {own, of_all}
    assert made.contributors(own) == made.contributors(of_all) == {("EnvoyFilter", "shop", "e")}
    changed = made.put_config(envoy_filter("shop/e", **by(app="web")))
    assert changed == {own, of_all, of_web, Fact(FactKind.SELECTORS)}
    assert made.contributors(of_all) == set()
    assert made.remove_config("EnvoyFilter", "shop", "e") == {own, of_web, Fact(FactKind.SELECTORS)}
