"""What happens to workloads whose connection is lost: grace first, and never more than half of a service."""

from __future__ import annotations

import pytest

from argosy.server.losses import Losses
from argosy.store.base import Key


def entry(name: str) -> Key:
    return Key("networking.istio.io/workloadentries", "shop", name)


ABCD = frozenset(map(entry, "abcd"))


def names(keys: tuple[Key, ...]) -> str:
    return "".join(key.name for key in keys)


def test_nobody_goes_before_the_grace_is_over() -> None:
    losses = Losses(grace=30)
    losses.lose(entry("a"), 100)
    assert losses.due(129.9) == ()
    assert names(losses.due(130)) == "a"


def test_who_comes_back_in_time_stays() -> None:
    losses = Losses(grace=30)
    losses.lose(entry("a"), 100)
    losses.find(entry("a"))
    assert losses.due(1000) == ()
    losses.lose(entry("a"), 2000)  # and the next loss has a grace of its own
    assert losses.due(2029) == ()


@pytest.mark.parametrize(
    ("endpoints", "lost", "removed", "kept"),
    [
        ("abcd", "a", "a", ""),
        ("abcd", "ab", "ab", ""),
        ("abcd", "abc", "ab", "c"),
        ("abcd", "abcd", "ab", "cd"),
        ("abc", "abc", "a", "bc"),
        ("ab", "ab", "a", "b"),
        ("a", "a", "", "a"),
    ],
)
def test_never_more_than_half_of_a_service_goes(endpoints: str, lost: str, removed: str, kept: str) -> None:
    losses = Losses(grace=30)
    for at, name in enumerate(lost):
        losses.lose(entry(name), 100 + at)
    decision = losses.decide(1000, {"reviews": frozenset(map(entry, endpoints))})
    assert names(decision.remove) == removed
    assert names(tuple(key for key, _ in decision.keep)) == kept
    assert {service for _, service in decision.keep} <= {"reviews"}


def test_half_is_of_what_there_was_and_not_of_what_is_left() -> None:
    losses = Losses(grace=30)
    here = set(ABCD)
    gone = ""
    for at, name in enumerate("abcd"):  # one a minute
        losses.lose(entry(name), at * 60)
        decision = losses.decide(at * 60 + 30, {"reviews": frozenset(here)})
        here -= set(decision.remove)
        gone += names(decision.remove)
    assert gone == "ab"


def test_an_episode_ends_when_all_that_are_left_are_connected() -> None:
    losses = Losses(grace=30)
    losses.lose(entry("a"), 0)
    assert names(losses.decide(30, {"reviews": ABCD}).remove) == "a"
    left = ABCD - {entry("a")}
    losses.decide(40, {"reviews": left})  # b, c and d are connected: the loss of a is over
    losses.lose(entry("b"), 1000)
    assert names(losses.decide(1030, {"reviews": left}).remove) == "b"


def test_who_is_kept_goes_when_others_have_come() -> None:
    losses = Losses(grace=30)
    losses.lose(entry("a"), 0)
    assert names(losses.decide(30, {"reviews": frozenset({entry("a")})}).remove) == ""
    assert names(losses.decide(60, {"reviews": frozenset({entry("a"), entry("b")})}).remove) == "a"


def test_an_endpoint_of_two_services_goes_only_where_both_can_do_without() -> None:
    losses = Losses(grace=30)
    losses.lose(entry("a"), 0)
    decision = losses.decide(30, {"reviews": ABCD, "reviews-v1": frozenset({entry("a")})})
    assert decision.keep == ((entry("a"), "reviews-v1"),)


def test_a_client_that_is_nobodys_endpoint_goes() -> None:
    losses = Losses(grace=30)
    losses.lose(entry("client"), 0)
    assert names(losses.decide(30, {"reviews": ABCD}).remove) == "client"
