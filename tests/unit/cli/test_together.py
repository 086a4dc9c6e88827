"""What several objects that are applied together say of each other, which a server without them cannot know."""

from __future__ import annotations

from argosy.cli.together import between
from tests.unit.explain.analysis.written import obj

HOST = "spec.http[0].route[0].destination.host: reviews (reviews.shop.svc.cluster.local): no service has this host"
ROUTE = "{hosts: [a.com], http: [{route: [{destination: {host: reviews}}]}]}"


def test_what_another_of_them_brings_is_not_missed() -> None:
    route, service = obj("VirtualService shop/v", ROUTE), obj("Service shop/reviews", "{ports: [{port: 80}]}")
    (alone,) = between([route])
    assert (alone.settled, alone.brought) == ((), ())
    first, _ = between([route, service])
    (told,) = first.settled
    assert told.startswith(HOST)
    assert first.of([told, "spec: something else"]) == ("spec: something else",)


def test_what_two_of_them_do_to_each_other_is_told_of_both_and_once() -> None:
    first, second = between([obj("VirtualService shop/one", ROUTE), obj("VirtualService shop/two", ROUTE)])
    for each in (first, second):
        (told,) = each.brought
        assert "VirtualService shop/one" in told
        assert "VirtualService shop/two" in told
        assert each.of([told]) == (told,), "the server may have said it already"
