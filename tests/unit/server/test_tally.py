"""What several servers see of one object, added up."""

from __future__ import annotations

from argosy.server.figures import LONGEST_MESSAGE, NAMES_SHOWN, Figure, brief, merged, with_conditions
from argosy.server.tally import Tally
from argosy.store.base import Key

VS = Key("networking.istio.io/virtualservices", "default", "reviews")
OTHER = Key("networking.istio.io/virtualservices", "default", "ratings")


def figure(programmed: int = 0, generation: int = 1, **changes: object) -> Figure:
    return Figure(generation=generation, programmed=programmed, **changes)  # type: ignore[arg-type]


def message(found: Figure) -> str:
    conditions = with_conditions({}, found, "now")["status"]["conditions"]
    return next(str(one["message"]) for one in conditions if one["type"] == "Programmed")


class Peers(dict[str, str]):
    def __call__(self) -> dict[str, str]:
        return self


def test_alone_it_is_what_it_sees() -> None:
    tally = Tally(dict)
    assert tally.complete()
    assert tally.of_all(VS, figure(3)) == figure(3)


def test_the_proxies_of_all_servers_count() -> None:
    tally = Tally(Peers(b="1:2", c="3:4"))
    tally.take("b", [(VS, figure(2))], whole=True)
    assert not tally.complete()
    assert message(tally.of_all(VS, figure(3))) == "5 of 5 affected proxies run it", (
        "c has not told everything"
    )
    tally.take("c", [(VS, figure(1, waiting=("x.default",)))], whole=True)
    assert tally.complete()
    assert message(tally.of_all(VS, figure(3))) == "6 of 7 affected proxies run it; waiting for x.default"


def test_what_is_told_later_counts_instead() -> None:
    tally = Tally(Peers(b="1:2"))
    tally.take("b", [(VS, figure(2))], whole=True)
    tally.take("b", [(VS, figure(7))], whole=False)
    assert tally.of_all(VS, figure(0)).programmed == 7


def test_a_server_that_has_not_said_how_it_stands_is_waited_for_by_name() -> None:
    tally = Tally(Peers(b="10.0.0.2:15012"))
    tally.take("b", [(OTHER, figure(2))], whole=True)
    assert "waiting for the server at 10.0.0.2:15012" in message(tally.of_all(VS, figure(1)))


def test_a_server_that_is_behind_is_waited_for() -> None:
    tally = Tally(Peers(b="1:2"))
    tally.take("b", [(VS, figure(2, generation=1))], whole=True)
    assert "waiting for another server" in message(tally.of_all(VS, figure(1, generation=2)))


def test_a_server_that_is_gone_counts_no_more() -> None:
    peers = Peers(b="1:2")
    tally = Tally(peers)
    tally.take("b", [(VS, figure(2))], whole=True)
    assert not tally.drop_gone()
    peers.clear()
    assert tally.drop_gone()
    assert tally.of_all(VS, figure(1)) == figure(1)
    peers["b"] = "1:2"
    assert not tally.complete(), "when it comes back it tells everything anew"


def test_another_term_knows_nothing_of_the_one_before() -> None:
    tally = Tally(Peers(b="1:2"))
    tally.take("b", [(VS, figure(2))], whole=True)
    tally.clear()
    assert not tally.complete()
    assert tally.of_all(VS, figure(1)) == figure(1)


def test_an_object_that_is_gone_is_forgotten() -> None:
    tally = Tally(Peers(b="1:2"))
    tally.take("b", [(VS, figure(2))], whole=True)
    tally.forget(VS)
    assert "waiting for the server" in message(tally.of_all(VS, figure(1)))


def test_in_brief_the_figures_are_the_same_and_the_message_too() -> None:
    names = tuple(f"proxy-{i:04}" for i in range(1000))
    whole = figure(3, waiting=names, refusals=("x" * 10_000,) * 9, refused_by=9)
    short = brief(whole)
    assert short.affected == whole.affected == 3 + 1000 + 9
    assert short.size < (2 * NAMES_SHOWN + 1) * LONGEST_MESSAGE
    assert brief(short) == short
    for one in (figure(3, waiting=names), figure(3, waiting=names[:5]), figure(3, waiting=names[:6])):
        assert message(brief(one)) == message(one)
    both = merged([short, brief(figure(1, waiting=names))])
    assert both.affected == whole.affected + 1001
