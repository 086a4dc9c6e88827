"""Virtual hosts stay in order whatever comes and goes, and one that changes is joined with its neighbours alone."""

from __future__ import annotations

import random

from argosy.translate.generator import Encoded, Fragment, calls, resource
from argosy.translate.joined import CHUNK, Owner, VirtualHosts

TYPE_NAME = "envoy.config.route.v3.RouteConfiguration"


def fragment(text: str) -> Fragment:
    return Fragment(f"<{text}>".encode())


def owner(number: int) -> Owner:
    return f"h{number:05}", 80


def data(hosts: VirtualHosts) -> bytes:
    return b"".join(one.data for one in hosts.ordered())


def version(hosts: VirtualHosts) -> str:
    return resource("r", Encoded(TYPE_NAME, b"head", hosts.ordered())).version


def test_whatever_comes_and_goes_it_is_as_if_sorted_anew() -> None:
    order = random.Random(7)
    hosts, held = VirtualHosts(), {owner(number): fragment(f"{number}") for number in range(CHUNK)}
    for one, made in held.items():
        hosts.put(one, made)
    sizes = []
    for turn in range(3_000):
        one = owner(order.randrange(1_500))
        if order.random() < (0.3 if turn < 2_000 else 0.9):
            hosts.put(one, None)
            held.pop(one, None)
        else:
            held[one] = fragment(f"{one} {turn}")
            hosts.put(one, held[one])
        sizes.append(len(held))
        if turn % 50 == 0:
            assert data(hosts) == b"".join(held[each].data for each in sorted(held))
    assert max(sizes) > 5 * CHUNK, "chunks were parted"
    for one in sorted(held):
        hosts.put(one, None)
        del held[one]
        assert data(hosts) == b"".join(held[each].data for each in sorted(held))
    hosts.put(owner(1), fragment("again"))
    assert data(hosts) == b"<again>"


def test_the_version_is_that_of_the_hosts_and_not_of_how_they_came() -> None:
    made = {owner(number): fragment(f"{number}") for number in range(5 * CHUNK)}
    at_once, one_by_one = VirtualHosts(), VirtualHosts()
    for one, each in made.items():
        at_once.put(one, each)
    for one, each in reversed(made.items()):
        one_by_one.put(one, each)
        one_by_one.ordered()
    assert len(at_once.ordered()) != len(one_by_one.ordered()), "they are parted elsewhere"
    assert data(at_once) == data(one_by_one)
    assert version(at_once) == version(one_by_one)
    at_once.put(owner(3), fragment("other"))
    assert version(at_once) != version(one_by_one)


def test_one_that_changes_is_joined_with_its_neighbours_alone() -> None:
    hosts = VirtualHosts()
    for number in range(20 * CHUNK):
        hosts.put(owner(number), fragment(f"{number}"))
    before, called = hosts.ordered(), calls()
    hosts.put(owner(CHUNK + 3), fragment("other"))
    after = hosts.ordered()
    assert sum(one is not other for one, other in zip(before, after, strict=True)) == 1
    assert calls() - called == {"virtual_hosts": 1}


def test_the_same_hosts_in_two_views_are_joined_once() -> None:
    first, second = VirtualHosts(), VirtualHosts()
    for number in range(3 * CHUNK):
        made = fragment(f"{number}")
        first.put(owner(number), made)
        second.put(owner(number), made)
    assert all(one is other for one, other in zip(first.ordered(), second.ordered(), strict=True))
