"""Options of `argosy server`: what is understood, and how what is not is named."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from argosy.runtime.errors import Failure
from argosy.server import settings
from argosy.server.settings import Address, Role


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("127.0.0.1:0", Address("127.0.0.1", 0)),
        (":15012", Address("127.0.0.1", 15012)),
        ("host.example:65535", Address("host.example", 65535)),
        ("[::1]:80", Address("::1", 80)),
    ],
)
def test_addresses(text: str, expected: Address) -> None:
    assert settings.address("--api-address", text) == expected


@pytest.mark.parametrize(
    ("text", "host"),
    [
        ("192.0.2.7", "192.0.2.7"),
        ("[2001:db8::7]", "2001:db8::7"),
        ("2001:db8::7", "2001:db8::7"),
        ("mesh.example", "mesh.example"),
        ("a-host", "a-host"),
    ],
)
def test_hosts_that_others_are_told(text: str, host: str) -> None:
    assert settings.advertised(text) == host


@pytest.mark.parametrize("address", [Address("127.0.0.1", 1), Address("::1", 80)])
def test_an_address_is_shown_as_it_is_written(address: Address) -> None:
    assert settings.address("--api-address", str(address)) == address


@pytest.mark.parametrize(
    ("text", "seconds"), [("60s", 60), ("90m", 5400), ("48h", 172800), ("2d", 172800), (" 1h ", 3600)]
)
def test_lifetimes(text: str, seconds: int) -> None:
    assert settings.lifetime("--cert-ttl", text) == seconds


def test_roles() -> None:
    assert settings.roles("api, ca") == {Role.API, Role.CA}


@pytest.mark.parametrize(
    ("read", "text", "says"),
    [
        (lambda text: settings.address("--xds-address", text), "127.0.0.1", "--xds-address '127.0.0.1'"),
        (lambda text: settings.address("--xds-address", text), "::1:80", "HOST:PORT"),
        (lambda text: settings.address("--xds-address", text), "a:65536", "HOST:PORT"),
        (lambda text: settings.lifetime("--cert-ttl", text), "48", "--cert-ttl '48'"),
        (lambda text: settings.lifetime("--cert-ttl", text), "59s", "too short"),
        (lambda text: settings.lifetime("--cert-ttl", text), "-1h", "not a duration"),
        *(
            (settings.advertised, text, "is not a host that others can connect to")
            for text in (
                "0.0.0.0",
                "[::]",
                "mesh.example:15012",
                "https://mesh",
                "10.0.0.256",
                "a_b",
                "-a",
                "a b",
            )
        ),
        (settings.roles, "api,mixer", "'mixer' is no role"),
        (settings.roles, " , ", "names no role"),
        (settings.trust_domain, "Cluster.Local", "not a trust domain"),
        (settings.trust_domain, "", "not a trust domain"),
    ],
)
def test_what_is_not_understood_is_named_with_a_remedy(
    read: Callable[[str], object], text: str, says: str
) -> None:
    with pytest.raises(Failure, match=says) as failure:
        read(text)
    assert failure.value.remedy
