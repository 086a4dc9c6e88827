"""Requests as people write them."""

from __future__ import annotations

import pytest

from argosy.explain.request import BadRequest, Spoken, by_name, host_of, port_of, to


@pytest.mark.parametrize(
    ("written", "authority", "path", "port", "spoken", "said"),
    [
        ("http://a:9080/b?c", "a:9080", "/b?c", 9080, Spoken.HTTP, True),
        ("http://a", "a", "/", 80, Spoken.HTTP, True),
        ("http://a?b", "a", "/?b", 80, Spoken.HTTP, True),
        ("http://a/b#c", "a", "/b", 80, Spoken.HTTP, True),
        ("https://a/b", "a", "/b", 443, Spoken.TLS, True),
        ("tcp://a:1", "a:1", "/", 1, Spoken.TCP, True),
        ("a:1", "a:1", "/", 1, Spoken.HTTP, False),
        ("a", "a", "/", 80, Spoken.HTTP, False),
        ("http://[::1]:81/", "[::1]:81", "/", 81, Spoken.HTTP, True),
        ("http://[::1]/", "[::1]", "/", 80, Spoken.HTTP, True),
    ],
)
def test_a_destination_is_a_request(
    written: str, authority: str, path: str, port: int, spoken: Spoken, said: bool
) -> None:
    request, known = to(written)
    assert (request.authority, request.path, request.port, request.spoken, known) == (
        authority,
        path,
        port,
        spoken,
        said,
    )


@pytest.mark.parametrize("written", ["", "http://", "ftp://a", "http://a:b/", "u@a", "/a"])
def test_what_names_no_host_is_no_request(written: str) -> None:
    with pytest.raises(BadRequest):
        to(written)


def test_a_host_header_is_the_authority() -> None:
    request, _ = to("http://10.0.0.1/", headers=(("Host", "a"), ("x", "1")))
    assert (request.authority, request.headers) == ("a", (("x", "1"),))


@pytest.mark.parametrize(
    ("authority", "host", "port"),
    [
        ("a:1", "a", 1),
        ("a", "a", None),
        ("[::1]:1", "[::1]", 1),
        ("[::1]", "[::1]", None),
        ("a:b", "a", None),
    ],
)
def test_ports_of_authorities(authority: str, host: str, port: int | None) -> None:
    assert (host_of(authority), port_of(authority)) == (host, port)


def test_values_of_a_header_of_one_value_are_joined_but_for_empty_ones() -> None:
    headers = (("Accept", "1"), ("accept", ""), ("accept", "2"), ("x-a", "1"), ("X-A", ""))
    assert by_name(headers) == {"accept": ("1,2",), "x-a": ("1", "")}
