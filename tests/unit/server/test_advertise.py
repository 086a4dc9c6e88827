"""Where others are told that a server is: what is chosen, what is listened on, what a wildcard stands for."""

from __future__ import annotations

import ipaddress
from typing import Any

import pytest

from argosy.server.advertise import Advertised, own_address
from argosy.server.settings import Address

TEN = "10.0.0.2"


@pytest.mark.parametrize(
    ("chosen", "listens", "told"),
    [
        ("", "127.0.0.1", "127.0.0.1"),
        ("", "192.0.2.7", "192.0.2.7"),
        ("", "mesh.example", "mesh.example"),
        ("", "0.0.0.0", TEN),
        ("", "::", TEN),
        ("", "0:0::0", TEN),
        ("mesh.example", "0.0.0.0", "mesh.example"),
        ("2001:db8::7", "10.0.0.3", "2001:db8::7"),
        ("mesh.example", "127.0.0.1", "mesh.example"),
    ],
)
def test_what_is_told(chosen: str, listens: str, told: str) -> None:
    advertised = Advertised(chosen, lambda _: TEN)
    assert advertised.address(Address(listens, 15012)) == Address(told, 15012)


def test_a_host_without_a_network_is_known_to_itself_alone() -> None:
    assert Advertised("", lambda _: "").host("0.0.0.0") == "127.0.0.1"


def test_a_wildcard_stands_for_one_address_while_the_server_runs() -> None:
    found = iter([TEN, "10.0.0.3"])
    advertised = Advertised("", lambda _: next(found))
    assert [advertised.host("0.0.0.0"), advertised.host("0.0.0.0")] == [TEN, TEN]


def test_the_certificate_names_what_is_told_and_where_it_listens() -> None:
    listening = [Address("0.0.0.0", 1), Address("127.0.0.1", 2), Address("10.0.0.3", 3)]
    assert Advertised("", lambda _: TEN).hosts(listening) == [TEN, "10.0.0.3", "127.0.0.1"]
    assert Advertised("mesh.example").hosts(listening) == ["10.0.0.3", "127.0.0.1", "mesh.example"]


@pytest.mark.parametrize(
    ("chosen", "own", "listens", "says"),
    [
        ("", "", "0.0.0.0", "no address but its loopback"),
        ("", "", "::", "no address but its loopback"),
        (TEN, TEN, "127.0.0.1", "listens on 127.0.0.1 alone"),
        ("", TEN, "0.0.0.0", ""),
        ("", "", "127.0.0.1", ""),
        (TEN, "", "0.0.0.0", ""),
        ("127.0.0.1", "", "0.0.0.0", ""),
        ("localhost", "", "127.0.0.1", ""),
    ],
)
def test_what_may_mislead_others_is_said(chosen: str, own: str, listens: str, says: str) -> None:
    told: list[dict[str, Any]] = []
    advertised = Advertised(chosen, lambda _: own)
    advertised.warn({"xds": Address(listens, 15012)}, lambda event, **fields: told.append(fields))
    assert [says in one["reason"] and "--" in one["remedy"] for one in told] == ([True] if says else [])


@pytest.mark.parametrize("wildcard", ["0.0.0.0", "::"])
def test_the_address_of_this_host_is_one_that_others_can_use(wildcard: str) -> None:
    found = own_address(wildcard)
    if found:
        address = ipaddress.ip_address(found)
        assert (address.is_loopback, address.is_link_local, address.is_unspecified) == (False, False, False)
        assert wildcard == "::" or address.version == 4
