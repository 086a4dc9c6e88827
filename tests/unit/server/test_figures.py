"""Conditions from figures: what each state of delivery says on the object."""

from __future__ import annotations

from typing import Any

import pytest

from argosy.server.figures import Figure, conditions, figure_of, merged, with_conditions
from argosy.server.verdict import Rejection, State, Verdict

NACK = Rejection(proxy="b.shop", type="Listener", resource="inbound_9080", message="duplicate listener")


def said(
    figure: Figure, before: list[dict[str, Any]] | None = None, now: str = "T1"
) -> dict[str, dict[str, Any]]:
    return {one["type"]: one for one in conditions(figure, before or [], now)}


@pytest.mark.parametrize(
    ("verdict", "status", "reason", "message"),
    [
        (
            Verdict(state=State.LIVE, proxies=("a", "b")),
            "True",
            "Programmed",
            "2 of 2 affected proxies run it",
        ),
        (Verdict(state=State.UNAFFECTED), "True", "NoSubscribers", "no connected proxy uses it"),
        (
            Verdict(state=State.TIMEOUT, proxies=("a",), pending=("b",)),
            "False",
            "Pending",
            "1 of 2 affected proxies run it; waiting for b",
        ),
        (
            Verdict(state=State.REJECTED, proxies=("a",), rejected=(NACK,)),
            "False",
            "Rejected",
            "1 of 2 affected proxies run it; b.shop refused Listener inbound_9080: duplicate listener",
        ),
        (
            # A proxy that refused one resource and has not answered for another counts once.
            Verdict(
                state=State.REJECTED, proxies=("b.shop", "a"), pending=("b.shop",), rejected=(NACK, NACK)
            ),
            "False",
            "Rejected",
            "1 of 2 affected proxies run it; b.shop refused Listener inbound_9080: duplicate listener; "
            "b.shop refused Listener inbound_9080: duplicate listener",
        ),
        (Verdict(state=State.REJECTED, reason="spec.hosts: empty"), "False", "NotAccepted", None),
    ],
)
def test_programmed_says_how_many_run_it(
    verdict: Verdict, status: str, reason: str, message: str | None
) -> None:
    found = said(figure_of(7, verdict))["Programmed"]
    assert (found["status"], found["reason"], found["observedGeneration"]) == (status, reason, 7)
    assert message is None or found["message"] == message


def test_accepted_says_why_not_and_what_has_no_effect() -> None:
    refused = figure_of(1, Verdict(state=State.REJECTED, reason="spec.hosts: empty"))
    found = said(refused)["Accepted"]
    assert (found["status"], found["reason"], found["message"]) == ("False", "Invalid", "spec.hosts: empty")
    limited = figure_of(1, Verdict(state=State.UNAFFECTED), ["spec.tunnel: is not in force"])
    found = said(limited)["Accepted"]
    assert (found["status"], found["reason"]) == ("True", "Accepted")
    assert found["message"] == "without effect: spec.tunnel: is not in force"


def test_many_that_wait_are_named_in_part() -> None:
    waiting = tuple(f"p{number}" for number in range(8))
    message = said(Figure(generation=1, programmed=2, waiting=waiting))["Programmed"]["message"]
    assert message == "2 of 10 affected proxies run it; waiting for p0, p1, p2, p3, p4 and 3 more"


def test_the_time_of_a_condition_is_that_of_its_last_turn() -> None:
    first = conditions(Figure(generation=1, programmed=1), [], "T1")
    more = conditions(Figure(generation=2, programmed=2), first, "T2")
    turned = {one["type"]: one for one in conditions(Figure(generation=3, waiting=("a",)), more, "T3")}
    assert {one["lastTransitionTime"] for one in more} == {"T1"}
    assert turned["Programmed"]["lastTransitionTime"] == "T3"
    assert turned["Accepted"]["lastTransitionTime"] == "T1"


def test_conditions_and_status_of_others_stay() -> None:
    theirs = {"type": "Healthy", "status": "True"}
    body = {"spec": {}, "status": {"conditions": [theirs], "validationMessages": []}}
    after = with_conditions(body, Figure(generation=4), "T1")
    assert after["status"]["conditions"][0] == theirs
    assert after["status"]["validationMessages"] == []
    assert after["status"]["observedGeneration"] == 4
    assert with_conditions(after, Figure(generation=4), "T2") == after, "what is the same is the same object"


@pytest.mark.parametrize("status", [None, 5, {"conditions": 3}, {"conditions": [None, "x"]}])
def test_a_broken_status_is_replaced_not_suffered(status: Any) -> None:
    after = with_conditions({"status": status}, Figure(generation=1), "T1")
    assert [one["type"] for one in after["status"]["conditions"] if isinstance(one, dict)] == [
        "Accepted",
        "Programmed",
    ]


def test_several_servers_add_up() -> None:
    one = Figure(generation=2, programmed=3)
    other = Figure(generation=2, programmed=1, refusals=("x refused y",), refused_by=1)
    both = merged([one, other])
    assert (both.programmed, both.affected, both.refusals) == (4, 5, ("x refused y",))


def test_a_server_that_is_behind_is_waited_for() -> None:
    both = merged([Figure(generation=2, programmed=3), Figure(generation=1, programmed=9)])
    assert (both.generation, both.programmed, both.waiting) == (2, 3, ("another server",))
    assert said(both)["Programmed"]["reason"] == "Pending"
