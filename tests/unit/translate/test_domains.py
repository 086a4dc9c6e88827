"""Domains: the names of a service, and who has one that several claim."""

from __future__ import annotations

import random

from argosy.model.ir import Protocol
from argosy.translate.domains import Claims, Rank, hosts_of, ranks, with_port
from tests.unit.translate.mesh import service


def test_a_service_answers_to_its_short_names_where_they_hold() -> None:
    reviews = service("reviews", (80, Protocol.HTTP), addresses=("10.0.0.1", "fd00::1", "10.1.0.0/16"))
    full = "reviews.default.svc.cluster.local"
    common = (full, "reviews.default.svc", "reviews.default")
    addresses = ("10.0.0.1", "[fd00::1]")
    assert hosts_of(reviews, "default", "cluster.local") == (*common, "reviews", *addresses)
    assert hosts_of(reviews, "other", "cluster.local") == (*common, *addresses)
    assert with_port(("a", "b"), 80) == ("a:80", "b:80")


def test_the_host_of_a_service_entry_has_no_short_names() -> None:
    entry = service("x", (80, Protocol.HTTP), hostname="api.example.com", kubernetes=False)
    assert hosts_of(entry, "default", "cluster.local") == ("api.example.com",)


def test_a_full_name_wins_over_a_short_form_and_age_over_names() -> None:
    claims: Claims[str] = Claims()
    reviews = service("reviews", (80, Protocol.HTTP), created="2020-01-01T00:00:00Z")
    entry = service("e", (80, Protocol.HTTP), hostname="reviews.default", kubernetes=False, created="2024")
    claims.update("service", ranks(reviews, ("reviews", "reviews.default")))
    assert claims.update("entry", ranks(entry, ("reviews.default",))) == {
        "reviews.default": {"service", "entry"}
    }
    assert claims.held("service") == ("reviews",)
    younger = service("younger", (80, Protocol.HTTP), created="2025-01-01T00:00:00Z")
    assert claims.update("younger", ranks(younger, ("reviews",))) == {}
    assert claims.update("service", {}) == {"reviews": {"service", "younger"}}
    assert claims.held("younger") == ("reviews",)


def test_claims_agree_with_looking_at_all_of_them() -> None:
    chance = random.Random(7)
    claims: Claims[int] = Claims()
    wanted: dict[int, dict[str, Rank]] = {}
    for _ in range(3000):
        owner = chance.randrange(6)
        wants: dict[str, Rank] = {
            thing: (chance.randrange(2), chance.choice(("", "2020")), str(chance.randrange(3)))
            for thing in "abc"
            if chance.random() < 0.5
        }
        before = {thing: claims.holder(thing) for thing in "abc"}
        wanted[owner] = wants
        moved = claims.update(owner, wants)
        for thing in "abc":
            claimants = [(w[thing], str(one), one) for one, w in wanted.items() if thing in w]
            expected = min(claimants)[2] if claimants else None
            assert claims.holder(thing) == expected
            assert (thing in moved) == (before[thing] != expected)
