"""Stories of one stream: subscriptions, acknowledgements, refusals, holds, moves; and what it costs."""

from __future__ import annotations

import tracemalloc

from argosy.xds import wire
from argosy.xds.stream import HOLD, Standing, Stream
from argosy.xds.types import CLUSTER, ENDPOINT, LISTENER, ROUTE
from argosy.xds.view import View
from tests.unit.xds.fake_envoy import make


def ask(stream: Stream, type_url: str, *names: str, now: float = 0.0, **more: object) -> None:
    stream.on_request(wire.request(type_url, subscribe=names, **more), now)  # type: ignore[arg-type]


def answer(stream: Stream, response: wire.Response, error: str | None = None, now: float = 0.0) -> None:
    stream.on_request(wire.request(response.type_url, nonce=response.nonce, error=error), now)


def take(stream: Stream, now: float = 0.0) -> wire.Response:
    response = stream.next_response(now)
    assert response is not None
    return response


def names(response: wire.Response) -> set[str]:
    return {one.name for one in response.resources}


def test_one_response_is_out_at_a_time_and_changes_meanwhile_come_as_one() -> None:
    view = View()
    view.update(CLUSTER, [make(CLUSTER, "a", n=0)])
    stream = Stream([view])
    ask(stream, CLUSTER)
    first = take(stream)
    for n in range(1, 100):
        view.update(CLUSTER, [make(CLUSTER, "a", n=n), make(CLUSTER, f"c{n}")])
        assert stream.next_response(0) is None
    answer(stream, first)
    second = take(stream)
    assert names(second) == {"a", *(f"c{n}" for n in range(1, 100))}
    assert (
        next(one.version for one in second.resources if one.name == "a") == make(CLUSTER, "a", n=99).version
    )


def test_an_acknowledgement_after_which_nothing_is_owed_says_so() -> None:
    """So that a change which thousands acknowledge is not asked for again by each."""
    view = View()
    view.update(CLUSTER, [make(CLUSTER, "a", n=0)])
    stream = Stream([view])
    ask(stream, CLUSTER)
    assert stream.may_owe
    first = take(stream)
    view.update(CLUSTER, [make(CLUSTER, "a", n=1)])
    answer(stream, first)
    assert stream.may_owe, "it changed meanwhile"
    second = take(stream)
    assert stream.next_response(0) is None
    answer(stream, second)
    assert not stream.may_owe
    ask(stream, CLUSTER, "b")
    assert stream.may_owe, "it must be told that there is none"


def test_a_stale_nonce_acknowledges_nothing_but_its_subscriptions_count() -> None:
    view = View()
    view.update(ENDPOINT, [make(ENDPOINT, "a"), make(ENDPOINT, "b")])
    stream = Stream([view])
    ask(stream, ENDPOINT, "a")
    first = take(stream)
    stream.on_request(wire.request(ENDPOINT, subscribe=["b"], nonce="of another stream"), 0)
    assert stream.next_response(0) is None
    answer(stream, first)
    assert names(take(stream)) == {"b"}


def test_a_name_nobody_has_is_answered_and_delivered_when_it_appears() -> None:
    view = View()
    stream = Stream([view])
    ask(stream, ENDPOINT, "a")
    response = take(stream)
    assert (response.resources, response.removed) == ((), ("a",))
    answer(stream, response)
    view.update(ENDPOINT, [make(ENDPOINT, "a"), make(ENDPOINT, "not asked for")])
    assert names(take(stream)) == {"a"}


def test_asking_again_sends_again() -> None:
    view = View()
    view.update(ENDPOINT, [make(ENDPOINT, "a")])
    stream = Stream([view])
    ask(stream, ENDPOINT, "a")
    answer(stream, take(stream))
    assert stream.next_response(0) is None
    ask(stream, ENDPOINT, "a")
    assert names(take(stream)) == {"a"}


def test_an_earlier_layer_hides_a_name_and_uncovers_it_when_it_goes() -> None:
    own, common = View(), View()
    common.update(CLUSTER, [make(CLUSTER, "a", of="all")])
    own.update(CLUSTER, [make(CLUSTER, "a", of="one")])
    stream = Stream([own, common])
    ask(stream, CLUSTER)
    first = take(stream)
    assert [one.version for one in first.resources] == [make(CLUSTER, "a", of="one").version]
    answer(stream, first)
    common.update(CLUSTER, [make(CLUSTER, "a", of="nobody")])
    assert stream.next_response(0) is None
    own.update(CLUSTER, (), ["a"])
    second = take(stream)
    assert [one.version for one in second.resources] == [make(CLUSTER, "a", of="nobody").version]
    assert second.removed == ()


def test_the_refused_is_named_kept_back_and_sent_when_it_changes() -> None:
    view = View()
    view.update(LISTENER, [make(LISTENER, "good", n=1), make(LISTENER, "bad", n=1)])
    stream = Stream([view])
    ask(stream, LISTENER)
    answer(stream, take(stream), "Error adding/updating listener(s) bad: port taken\n", now=7.0)
    assert names(take(stream)) == {"good"}  # what was refused with it comes again, alone
    assert stream.standing(LISTENER, "bad") is Standing.REJECTED
    (status,) = stream.status()
    assert status.nack is not None
    assert (status.nack.names, status.nack.at, status.synced) == (("bad",), 7.0, False)
    assert status.nack.message == "Error adding/updating listener(s) bad: port taken"
    answer(stream, wire.Response(type_url=LISTENER, nonce="2", version=""))
    ask(stream, LISTENER, "bad")
    assert stream.next_response(0) is None
    view.update(LISTENER, [make(LISTENER, "bad", n=2)])
    assert names(take(stream)) == {"bad"}


def test_a_refusal_that_names_nobody_costs_a_search_by_halves() -> None:
    view = View()
    view.update(LISTENER, [make(LISTENER, f"l{n}") for n in range(64)])
    stream = Stream([view])
    ask(stream, LISTENER)
    responses = 0
    while (response := stream.next_response(0)) is not None:
        responses += 1
        answer(stream, response, "constraint failed" if "l37" in names(response) else None)
    assert stream.standing(LISTENER, "l37") is Standing.REJECTED
    assert all(stream.standing(LISTENER, f"l{n}") is Standing.ACKNOWLEDGED for n in range(64) if n != 37)
    assert responses <= 1 + 2 * 6


def test_a_client_that_never_warms_holds_listeners_for_a_bounded_time() -> None:
    view = View()
    view.update(CLUSTER, [make(CLUSTER, "a", eds=True)])
    view.update(LISTENER, [make(LISTENER, "l")])
    stream = Stream([view])
    ask(stream, CLUSTER, now=1.0)
    ask(stream, LISTENER, now=1.0)
    assert take(stream, 1.0).type_url == CLUSTER
    assert stream.next_response(1.0) is None
    assert stream.deadline == 1.0 + HOLD
    assert stream.next_response(0.9 + HOLD) is None
    assert take(stream, 1.0 + HOLD).type_url == LISTENER


def test_an_eager_ack_of_a_cluster_still_waits_for_its_endpoints() -> None:
    view = View()
    view.update(CLUSTER, [make(CLUSTER, "a", eds=True)])
    view.update(ENDPOINT, [make(ENDPOINT, "a")])
    view.update(LISTENER, [make(LISTENER, "l")])
    stream = Stream([view])
    ask(stream, LISTENER)
    ask(stream, CLUSTER)
    answer(stream, take(stream))
    assert stream.next_response(0) is None
    ask(stream, ENDPOINT, "a")
    endpoints = take(stream)
    assert endpoints.type_url == ENDPOINT
    assert stream.next_response(0) is None
    answer(stream, endpoints)
    assert take(stream).type_url == LISTENER


def test_standing_by_position_is_reached_by_newer_versions_too() -> None:
    view = View()
    view.update(ENDPOINT, [make(ENDPOINT, "a", n=0)])
    stream = Stream([view])
    ask(stream, ENDPOINT, "a")
    answer(stream, take(stream))
    wanted = view.update(ENDPOINT, [make(ENDPOINT, "a", n=1)])
    assert stream.standing(ENDPOINT, "a", wanted) is Standing.PENDING
    view.update(ENDPOINT, [make(ENDPOINT, "a", n=2)])
    response = take(stream)
    assert stream.standing(ENDPOINT, "a", wanted) is Standing.PENDING
    newer = view.update(ENDPOINT, [make(ENDPOINT, "a", n=3)])
    answer(stream, response)
    assert stream.standing(ENDPOINT, "a", wanted) is Standing.ACKNOWLEDGED
    assert stream.standing(ENDPOINT, "a", newer) is Standing.PENDING
    assert stream.acknowledged(ENDPOINT, "a") is None
    assert stream.standing(ENDPOINT, "b") is Standing.UNSUBSCRIBED


def test_a_move_to_another_scope_sends_only_what_differs() -> None:
    old, new, own = View(), View(), View()
    same = [make(ROUTE, f"r{n}") for n in range(50)]
    old.update(ROUTE, [*same, make(ROUTE, "x", of="old"), make(ROUTE, "gone")])
    new.update(ROUTE, [*same, make(ROUTE, "x", of="new"), make(ROUTE, "come")])
    stream = Stream([own, old])
    ask(stream, ROUTE)
    answer(stream, take(stream))
    sent = stream.sent_resources
    stream.set_layers([own, new])
    assert names(take(stream)) == {"x", "come"}
    assert stream.sent_resources - sent == 2
    answer(stream, wire.Response(type_url=ROUTE, nonce="2", version=""))
    assert take(stream, now=5.0).removed == ("gone",)
    old.update(ROUTE, [make(ROUTE, "of another scope")])
    assert stream.next_response(5.0) is None


def test_a_change_wakes_only_those_who_asked_for_it() -> None:
    view = View()
    view.update(ENDPOINT, [make(ENDPOINT, f"e{n}") for n in range(100)])
    woken = [0] * 100
    streams = []
    for n in range(100):
        stream = Stream([view])
        ask(stream, ENDPOINT, f"e{n}")

        def wake(n: int = n) -> None:
            woken[n] += 1

        stream.on_wake(wake)
        streams.append(stream)
    view.update(ENDPOINT, [make(ENDPOINT, "e42", n=2)])
    assert woken == [int(n == 42) for n in range(100)]


def test_a_thousand_streams_over_a_thousand_names_share_what_they_remember() -> None:
    """What a quiet stream costs does not grow with the number of names: the set of names is shared."""
    view = View()
    wanted = [f"outbound|80||service-{n}.shop.svc.cluster.local" for n in range(1000)]
    view.update(ENDPOINT, [make(ENDPOINT, name) for name in wanted])
    data = wire.request(ENDPOINT, subscribe=wanted).SerializeToString()
    streams = []

    def connect() -> None:
        stream = Stream([view])
        stream.on_request(wire.decode_request(data), 0)
        answer(stream, take(stream))
        assert stream.next_response(0) is None
        streams.append(stream)

    connect()
    tracemalloc.start()
    before = tracemalloc.get_traced_memory()[0]
    for _ in range(50):
        connect()
    each = (tracemalloc.get_traced_memory()[0] - before) / 50
    tracemalloc.stop()
    assert each < 8_000  # 1,000 names in a set of its own would be 122,000
    (one, *others) = (stream.subscribed(ENDPOINT)[0] for stream in streams)
    assert all(other is one for other in others)
