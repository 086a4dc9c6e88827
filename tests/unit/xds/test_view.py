"""Views: what changed since when, at what cost; tombstones go once everyone has looked."""

from __future__ import annotations

import random
from collections.abc import Collection

import pytest

from argosy.xds.types import CLUSTER, ROUTE
from argosy.xds.view import PartialView, View
from tests.unit.xds.fake_envoy import make


class Looker:
    def __init__(self) -> None:
        self.told: list[set[str]] = []
        self.caught_up = 0

    def changed(self, type_url: str, names: Collection[str]) -> None:
        self.told.append(set(names))

    def catch_up(self, type_url: str) -> None:
        self.caught_up += 1


def test_the_same_version_is_no_change() -> None:
    view = View()
    first = view.update(CLUSTER, [make(CLUSTER, "a", n=1)])
    looker = Looker()
    view.attach(looker)
    assert view.update(CLUSTER, [make(CLUSTER, "a", n=1)], ["never there"]) == first
    assert looker.told == []
    assert view.update(CLUSTER, [make(CLUSTER, "a", n=2)]) > first
    assert looker.told == [{"a"}]


def test_changed_since_against_a_dumb_log() -> None:
    chance = random.Random(7)
    view = View()
    log: list[tuple[int, str]] = []
    for _ in range(500):
        names = chance.sample([f"n{i}" for i in range(12)], chance.randint(1, 3))
        before = {name: view.get(CLUSTER, name) for name in names}
        if chance.random() < 0.3:
            at = view.update(CLUSTER, (), names)
        else:
            at = view.update(CLUSTER, [make(CLUSTER, name, n=chance.randint(1, 3)) for name in names])
        log += [(at, name) for name in names if view.get(CLUSTER, name) is not before[name]]
        since = chance.choice(log)[0] if log else 0
        assert set(view.changed_since(CLUSTER, since)) == {name for moment, name in log if moment > since}


def test_what_changed_costs_what_changed() -> None:
    """A change among 10,000 gives one name, and visits one."""
    view = View()
    at = view.update(CLUSTER, [make(CLUSTER, f"c{i}", n=1) for i in range(10_000)])
    view.update(CLUSTER, [make(CLUSTER, "c77", n=2)])
    assert view.changed_since(CLUSTER, at) == ["c77"]
    assert view.changed_since(CLUSTER, view.position(CLUSTER)) == []


def test_positions_compare_across_views_and_types() -> None:
    one, other = View(), View()
    moments = [one.update(CLUSTER, [make(CLUSTER, "a")]), other.update(ROUTE, [make(ROUTE, "r")])]
    moments.append(one.update(ROUTE, [make(ROUTE, "r")]))
    assert moments == sorted(set(moments))


def test_tombstones_are_bounded_and_go_only_after_everyone_looked() -> None:
    view = View()
    looker = Looker()
    view.attach(looker)
    for i in range(1000):
        view.update(CLUSTER, [make(CLUSTER, f"c{i}")])
        view.update(CLUSTER, (), [f"c{i}"])
        assert view.tombstones(CLUSTER) <= 64
    assert looker.caught_up == 1000 // 65


@pytest.mark.parametrize("start", ["named", "wildcard"])
def test_a_partial_view_tells_unknown_from_absent(start: str) -> None:
    view = PartialView()
    assert not view.knows(CLUSTER)
    assert not view.denies(CLUSTER, "a")
    view.update(CLUSTER, (), ["a"])
    assert view.denies(CLUSTER, "a")
    view.update(CLUSTER, [make(CLUSTER, "a")])
    assert not view.denies(CLUSTER, "a")
    view.forget(CLUSTER, ["a"])
    assert view.get(CLUSTER, "a") is None
    assert not view.denies(CLUSTER, "a")
    if start == "wildcard":
        view.settle(CLUSTER)
        assert view.knows(CLUSTER)
