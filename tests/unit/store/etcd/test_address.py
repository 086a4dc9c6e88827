"""URLs of etcds: what they may say, and that a secret is never a part of one."""

from __future__ import annotations

from pathlib import Path

import pytest

from argosy.runtime.errors import Failure
from argosy.store.etcd.address import PASSWORD_VARIABLE, EtcdAddress, parse


@pytest.mark.parametrize(
    ("url", "found"),
    [
        ("etcd://a", EtcdAddress(("a:2379",))),
        ("etcd://a:1,[::1]:2,c/", EtcdAddress(("a:1", "[::1]:2", "c:2379"))),
        ("etcd://a/mesh/one/", EtcdAddress(("a:2379",), "/mesh/one")),
        ("etcd://a?tls=on", EtcdAddress(("a:2379",), tls=True)),
        ("etcd://a?ca=/c", EtcdAddress(("a:2379",), tls=True, ca=Path("/c"))),
        (
            "etcd://a?cert=/d&key=/e&user=u&password-file=/p&timeout=2.5s&compact=off",
            EtcdAddress(
                ("a:2379",),
                tls=True,
                cert=Path("/d"),
                key=Path("/e"),
                user="u",
                password_file=Path("/p"),
                timeout=2.5,
                compact=False,
            ),
        ),
    ],
)
def test_an_address_is_what_its_url_says(url: str, found: EtcdAddress) -> None:
    assert parse(url) == found


@pytest.mark.parametrize(
    ("url", "words"),
    [
        ("http://a", "is not the URL of an etcd"),
        ("etcd://", "is not the URL of an etcd"),
        ("etcd:///prefix", "is not the URL of an etcd"),
        ("etcd://a#b", "is not the URL of an etcd"),
        ("etcd://a:0", "'a:0' is not HOST:PORT"),
        ("etcd://a:99999", "'a:99999' is not HOST:PORT"),
        ("etcd://a,,b", "'' is not HOST:PORT"),
        ("etcd://a/%00", "the prefix"),
        ("etcd://user:pw@a", "no user or password"),
        ("etcd://a?password=x", "has no option 'password'"),
        ("etcd://a?cert=/x", "belong together"),
        ("etcd://a?timeout=5", "timeout='5' is not between"),
        ("etcd://a?timeout=0s", "is not between"),
        ("etcd://a?compact=maybe", "neither on nor off"),
    ],
)
def test_what_is_wrong_with_a_url_is_said(url: str, words: str) -> None:
    with pytest.raises(Failure) as error:
        parse(url)
    assert words in error.value.what
    assert error.value.remedy


def test_a_password_comes_from_a_file_or_the_environment(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "pw").write_text("from file\n")
    monkeypatch.setenv(PASSWORD_VARIABLE, "from environment")
    assert parse(f"etcd://a?user=u&password-file={tmp_path}/pw").password() == "from file"
    assert parse("etcd://a?user=u").password() == "from environment"
    monkeypatch.delenv(PASSWORD_VARIABLE)
    with pytest.raises(Failure, match="no password for etcd's user u"):
        parse("etcd://a?user=u").password()
    with pytest.raises(Failure, match="cannot read /nowhere"):
        parse("etcd://a?user=u&password-file=/nowhere").password()


def test_what_is_printed_of_an_address_is_where_it_is() -> None:
    assert str(parse("etcd://a,b:1/p?user=u&password-file=/x")) == "etcd://a:2379,b:1/p"
