"""What the words of a command name."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from argosy.cli.connect import kind_called
from argosy.cli.targets import choice, target, wanted
from argosy.resources.kinds import Kind
from argosy.runtime.errors import Failure

Json = dict[str, Any]


def told(*words: str) -> list[tuple[str, tuple[str, ...]]]:
    return [(one.kind.kind, one.names) for one in wanted(words)]


@pytest.mark.parametrize(
    ("words", "found"),
    [
        ("vs", [("VirtualService", ())]),
        ("vs,dr", [("VirtualService", ()), ("DestinationRule", ())]),
        ("vs,VirtualService", [("VirtualService", ())]),
        ("vs a b", [("VirtualService", ("a", "b"))]),
        ("vs/a dr/b", [("VirtualService", ("a",)), ("DestinationRule", ("b",))]),
        ("virtualservice.networking.istio.io/a", [("VirtualService", ("a",))]),
        ("gateways.gateway.networking.k8s.io a", [("Gateway", ("a",))]),
        ("security-istio-io", [(kind, ()) for kind in ("PeerAuthentication", "AuthorizationPolicy")]),
    ],
)
def test_the_forms(words: str, found: list[tuple[str, tuple[str, ...]]]) -> None:
    assert told(*words.split())[: len(found)] == found


@pytest.mark.parametrize(
    ("words", "complaint"),
    [
        ("", "which objects"),
        ("nosuch", "not a kind"),
        ("vs,nosuch", "not a kind"),
        ("vs,dr a", "several kinds, and names"),
        ("vs/a b", "'b' beside KIND/NAME"),
        ("vs/", "beside KIND/NAME"),
        ("/a", "beside KIND/NAME"),
        ("vs/a/b", "beside KIND/NAME"),
        ("nosuch/a", "not a kind"),
    ],
)
def test_what_is_not_understood_is_wrong_usage(words: str, complaint: str) -> None:
    with pytest.raises(Failure, match=complaint) as failed:
        wanted(words.split())
    assert failed.value.code == 2


def test_what_o_name_prints_names_the_same_object() -> None:
    for kind in ("vs", "gateways.gateway.networking.k8s.io", "svc"):
        one = target(kind_called(kind), "shop", "a")
        assert [(each.kind, each.names) for each in wanted([one.printed])] == [(one.kind, ("a",))]


@pytest.mark.parametrize(
    ("words", "options", "complaint"),
    [
        (["vs"], {}, "which virtualservices"),
        (["vs", "a"], {"label_selector": "x=y"}, "names beside a selector"),
        (["vs", "a"], {"every": True}, "names beside a selector"),
        (["vs", "a"], {"everywhere": True}, "of all namespaces"),
        (["vs"], {"objects": []}, "files beside names"),
        ([], {"objects": [], "label_selector": "x=y"}, "files beside names"),
    ],
)
def test_a_choice_that_is_not_clear_is_wrong_usage(words: list[str], options: Json, complaint: str) -> None:
    objects = options.pop("objects", None)
    with pytest.raises(Failure, match=complaint) as failed:
        choice(words, objects, **options)
    assert failed.value.code == 2


class Lists:
    """Answers each list with one object, and notes what was asked."""

    def __init__(self) -> None:
        self.connection = SimpleNamespace(namespace="default")
        self.asked: list[tuple[str, str | None, str]] = []

    def list(self, kind: Kind, namespace: str | None, *, label_selector: str) -> Json:
        self.asked.append((kind.kind, namespace, label_selector))
        return {"items": [{"metadata": {"name": "one", "namespace": "there"}}]}


def test_what_is_not_named_is_asked_for_where_it_may_be() -> None:
    lists: Any = Lists()
    found = choice(["vs,ns"], None, "x=y").targets(lists, "shop")
    assert lists.asked == [("VirtualService", "shop", "x=y"), ("Namespace", None, "x=y")]
    assert [one.label for one in found] == ["VirtualService there/one", "Namespace there/one"]
    choice(["vs"], None, every=True, everywhere=True).targets(lists, "shop")
    assert lists.asked[-1] == ("VirtualService", None, "")


def test_objects_of_files_are_in_their_own_namespace_or_the_given_one() -> None:
    service = {"apiVersion": "v1", "kind": "Service", "metadata": {"name": "a"}}
    other = {"apiVersion": "v1", "kind": "Service", "metadata": {"name": "a", "namespace": "own"}}
    lists: Any = Lists()
    found = choice([], [service, other]).targets(lists, "shop")
    assert [one.label for one in found] == ["Service shop/a", "Service own/a"]
    assert found[0].subject == "Service/shop/a"
