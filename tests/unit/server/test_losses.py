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


def test_a_new_leader_counts_what_was_taken_before_it() -> None:
    losses = Losses(grace=30)
    losses.begin(0, {"reviews": {entry("a"), entry("b")}})
    for name in "cd":
        losses.lose(entry(name), 0)
    decision = losses.decide(30, {"reviews": frozenset(map(entry, "cd"))})
    assert (names(decision.remove), [key.name for key, _ in decision.keep]) == ("", ["c", "d"])


def test_no_episode_ends_before_a_new_leader_can_know_who_is_lost() -> None:
    losses = Losses(grace=30)
    losses.begin(0, {"reviews": {entry("a"), entry("b")}})
    left = {"reviews": frozenset(map(entry, "cd"))}
    losses.decide(29, left)
    assert losses.taken == {"reviews": {entry("a"), entry("b")}}
    losses.decide(30, left)
    assert losses.taken == {}


def test_what_is_taken_and_still_there_is_counted_once() -> None:
    """The store did not delete it, or another leader is just about to."""
    losses = Losses(grace=30)
    for name in "abc":
        losses.lose(entry(name), 0)
    assert names(losses.decide(30, {"reviews": ABCD}).remove) == "ab"
    losses.since |= {entry("a"): 0.0, entry("b"): 0.0}
    decision = losses.decide(31, {"reviews": ABCD})
    assert names(decision.remove) == "ab"
    assert [key.name for key, _ in decision.keep] == ["c"]


def test_who_was_taken_and_came_back_is_not_counted() -> None:
    losses = Losses(grace=30)
    for name in "abc":
        losses.lose(entry(name), 0)
    losses.decide(30, {"reviews": ABCD})
    losses.decide(31, {"reviews": ABCD})  # a and b are there and not lost
    assert losses.taken == {"reviews": {entry("c")}}
