"""Scopes: selection decides, never raw labels."""

from __future__ import annotations

from argosy.model.facts import Fact, FactKind
from argosy.model.reader import Reader
from argosy.model.scope import Interception, ProxyType, Scope, scope_of
from argosy.model.snapshot import Snapshot
from tests.unit.model.written import obj, scope, snapshot

SELECTORS = Fact(FactKind.SELECTORS)


def source(name: str, **labels: str) -> object:
    match = {"sourceLabels": labels}
    return obj(
        "VirtualService",
        name,
        {"hosts": ["a"], "http": [{"match": [match], "route": [{"destination": {"host": "b"}}]}]},
    )


def test_labels_that_no_configuration_asks_for_make_no_difference() -> None:
    made = Snapshot()
    assert scope(made, app="a") == scope(made, app="b", version="v1") == Scope(namespace="default")


def test_proxies_that_match_the_same_selectors_share_a_scope() -> None:
    made = snapshot(source("v1", app="web"), source("v2", app="web", version="v1"))  # type: ignore[arg-type]
    assert scope(made, app="web", pod="1") == scope(made, app="web", pod="2")
    assert scope(made, app="web").matched == ("source::app=web",)
    assert scope(made, app="web", version="v1").matched == ("source::app=web", "source::app=web,version=v1")
    assert scope(made, app="other").matched == ()


def test_a_gateways_selector_is_nothing_to_a_sidecar() -> None:
    made = snapshot(obj("Gateway", "g", {"selector": {"istio": "ingress"}, "servers": []}))
    assert scope(made, istio="ingress").matched == ()
    assert scope(made, "default", ProxyType.ROUTER, istio="ingress").matched == ("gateway::istio=ingress",)


def test_a_workload_selector_is_nothing_to_another_namespace() -> None:
    rule = obj(
        "DestinationRule", "shop/d", {"host": "a", "workloadSelector": {"matchLabels": {"app": "web"}}}
    )
    made = snapshot(rule)
    assert scope(made, "shop", app="web").matched == ("destination:shop:app=web",)
    assert scope(made, "other", app="web").matched == ()


def test_type_and_interception_are_part_of_it_and_may_be_given_as_text() -> None:
    reader = Reader(Snapshot())
    made = scope_of(reader, type="router", interception="redirect", namespace="x", labels=())
    assert made == Scope(type=ProxyType.ROUTER, interception=Interception.REDIRECT, namespace="x")
    assert reader.facts == {SELECTORS, Fact(FactKind.MESH)}


def test_the_set_of_selectors_changes_with_the_first_and_the_last_that_uses_one() -> None:
    made = Snapshot()
    first, second = source("v1", app="web"), source("v2", app="web")
    assert SELECTORS in made.put_config(first)  # type: ignore[arg-type]
    assert SELECTORS not in made.put_config(second)  # type: ignore[arg-type]
    assert SELECTORS not in made.remove_config("VirtualService", "default", "v1")
    assert SELECTORS in made.remove_config("VirtualService", "default", "v2")
    assert scope(made, app="web").matched == ()
