"""Selectors and registrations, what stands in a certificate, challenges, and the bounds of the CA's door."""

from __future__ import annotations

import pytest
from cryptography import x509

from argosy.identity import limits
from argosy.identity.authority import Authority
from argosy.identity.client import new_key_and_csr
from argosy.identity.limits import Limiter, address
from argosy.identity.names import Identity
from argosy.identity.proofs import (
    HOSTS,
    BadToken,
    Nonces,
    Proven,
    Registration,
    Tokens,
    given_for,
    knows_host,
    selects,
    used_for,
)
from tests.unit.identity.conftest import Clock

POD = Proven(selectors=("k8s:ns=shop", "k8s:sa=reviews", "k8s:node=n1"))


@pytest.mark.parametrize(
    ("pattern", "selector", "expected"),
    [
        ("k8s:ns=shop", "k8s:ns=shop", True),
        ("k8s:ns=shop", "k8s:ns=shop2", False),
        ("k8s:ns=shop*", "k8s:ns=shop2", True),
        ("k8s:ns=*", "k8s:ns=anything\n", True),
        ("k8s:ns=s*p", "k8s:ns=shop", True),
        ("k8s:ns=*", "k8s:sa=shop", False),
        ("k8s:ns=shop", "other:ns=shop", False),
        ("*:ns=shop", "k8s:ns=shop", False),
        ("k8s:*=shop", "k8s:ns=shop", False),
        ("jwt:sub=a.c", "jwt:sub=abc", False),
        ("jwt:sub=[ab]", "jwt:sub=a", False),
        ("jwt:sub=a?", "jwt:sub=ab", False),
        ("jwt:u=a=b", "jwt:u=a=b", True),
        ("k8s:ns", "k8s:ns", False),
        ("jwt:sub=" + "*" * 60 + "b", "jwt:sub=" + "a" * 900, False),
    ],
)
def test_only_a_value_may_be_left_open(pattern: str, selector: str, expected: bool) -> None:
    assert selects(pattern, selector) is expected


@pytest.mark.parametrize(
    ("selectors", "expected"),
    [
        (("k8s:ns=shop",), ("k8s:ns=shop",)),
        (("k8s:ns=shop", "k8s:sa=*"), ("k8s:ns=shop", "k8s:sa=reviews")),
        (("k8s:ns=shop", "k8s:sa=ratings"), ()),
        (("other:ns=shop",), ()),
        ((), ()),
    ],
)
def test_all_of_its_selectors_must_be_proven(selectors: tuple[str, ...], expected: tuple[str, ...]) -> None:
    given = Registration(name="r", selectors=selectors, service_accounts=("shop/*",))
    assert used_for(POD, "shop", "reviews", [given]) == expected


def test_a_registration_of_a_namespace_gives_nothing_beyond_it() -> None:
    given = Registration(name="r", selectors=("k8s:ns=shop",), service_accounts=("*/*",), only="shop")
    assert used_for(POD, "shop", "reviews", [given])
    assert not used_for(POD, "bank", "reviews", [given])


def test_no_registration_gives_the_identity_of_a_host() -> None:
    given = Registration(name="r", selectors=("k8s:ns=shop",), service_accounts=("*/*", f"{HOSTS}/vm-1"))
    assert not used_for(POD, HOSTS, "vm-1", [given])


def test_a_host_is_known_by_its_whole_name_alone() -> None:
    given = [
        Registration(name="r", selectors=("host:name=vm-1",)),
        Registration(name="s", selectors=("host:name=db-*",)),
    ]
    assert knows_host("vm-1", given)
    assert not knows_host("vm-2", given)
    assert not knows_host("db-1", given)  # otherwise nobody could be rid of one of them


@pytest.mark.parametrize("used", [("unix:uid=0",), tuple(f"a:b={'é' * 40}{i}" for i in range(20))])
def test_what_a_certificate_was_given_for_stands_in_it(authority: Authority, used: tuple[str, ...]) -> None:
    who = Identity(trust_domain="cluster.local", namespace="shop", service_account="a", workload="a")
    leaf = authority.sign(new_key_and_csr()[1], who, 0, used).chain[0].encode()
    assert given_for(leaf) == used
    assert given_for(authority.sign(new_key_and_csr()[1], who).chain[0].encode()) is None
    assert not x509.load_pem_x509_certificate(leaf).extensions[-1].critical


def test_a_challenge_counts_once_for_a_minute_and_at_its_server(clock: Clock) -> None:
    nonces = Nonces(clock)
    nonce = nonces.issue()
    assert nonce != nonces.issue()
    nonces.use(nonce)
    with pytest.raises(BadToken, match="replays"):
        nonces.use(nonce)
    late = nonces.issue()
    clock.now += 60
    with pytest.raises(BadToken, match="too old"):
        nonces.use(late)
    for garbage in ("", ".", "a.b.c", nonces.issue() + "x", Nonces(clock).issue(), "ä.1.ö"):
        with pytest.raises(BadToken, match="not made"):
            nonces.use(garbage)


def test_a_host_has_its_certificate_once_for_a_token(clock: Clock) -> None:
    tokens = Tokens(clock)
    token, _ = tokens.issue(Proven(selectors=("host:name=vm-1",), host="vm-1"))
    with pytest.raises(BadToken, match="not for the host vm-2"):
        tokens.enrol(token, "vm-2")
    tokens.enrol(token, "vm-1")
    with pytest.raises(BadToken, match="already"):
        tokens.enrol(token, "vm-1")
    plain, _ = tokens.issue(Proven(selectors=("host:name=vm-1",)))
    with pytest.raises(BadToken, match="not for the host"):
        tokens.enrol(plain, "vm-1")


# --- the door ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("peer", "expected"),
    [
        ("ipv4:192.0.2.1:4711", "192.0.2.1"),
        ("ipv6:[2001:db8::1]:4711", "2001:db8::/64"),
        ("ipv6:%5B2001:db8::2%5D:4712", "2001:db8::/64"),
        ("ipv6:[::ffff:192.0.2.1]:1", "192.0.2.1"),
        ("unix:", "unix:"),
        ("ipv4:garbage", "ipv4"),
    ],
)
def test_whose_budget_a_call_is_of(peer: str, expected: str) -> None:
    assert address(peer) == expected


def test_who_fails_often_is_turned_away_and_nobody_else(clock: Clock) -> None:
    limiter = Limiter(clock)
    for _ in range(int(limits.FAILURES)):
        assert limiter.admit("ipv4:192.0.2.1:1")
        limiter.failed("ipv4:192.0.2.1:1")
    assert not limiter.admit("ipv4:192.0.2.1:2")
    assert limiter.admit("ipv4:192.0.2.2:1")
    assert limiter.turned_away == 1
    clock.now += 2 / limits.FAILURES_A_SECOND
    assert limiter.admit("ipv4:192.0.2.1:3")


def test_a_host_that_comes_back_asks_for_a_thousand_certificates(clock: Clock) -> None:
    limiter = Limiter(clock)
    assert all(limiter.admit("ipv4:192.0.2.1:1") for _ in range(3 * 1000))
    assert not all(limiter.admit("ipv4:192.0.2.1:1") for _ in range(3 * 1000))


def test_addresses_are_remembered_to_a_bound(clock: Clock, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "MOST_ADDRESSES", 10)
    limiter = Limiter(clock)
    for number in range(50):
        limiter.admit(f"ipv4:192.0.2.{number}:1")
    assert len(limiter._budgets) == 10
