"""What `argosy agent join` is told: where, by which token; and what is no use of it."""

from __future__ import annotations

import io
from pathlib import Path

import pytest

from argosy.cli import agent
from argosy.identity.host_token import HostToken
from argosy.runtime.errors import Failure
from tests.unit.identity.attestor_lab import Pki

TOKEN = HostToken("0123456789ab", "vm-1", "secret", Pki("Root").pem, "10.0.0.1:15013")


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("10.0.0.1", "10.0.0.1:15013"),
        ("mesh.example:7", "mesh.example:7"),
        ("https://mesh.example", "mesh.example:15013"),
        ("https://mesh.example:7/", "mesh.example:7"),
        ("[2001:db8::1]", "[2001:db8::1]:15013"),
        ("https://[2001:db8::1]:7", "[2001:db8::1]:7"),
    ],
)
def test_where_the_server_is(url: str, expected: str) -> None:
    assert agent._ca(url) == expected


@pytest.mark.parametrize("url", ["", "http://a", "a:b", "a:99999", "https://a/path", "https://", "ftp://a"])
def test_what_is_no_address_of_a_server(url: str) -> None:
    with pytest.raises(Failure, match="not the address of a server"):
        agent._ca(url)


def test_where_the_token_comes_from(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "t").write_text(TOKEN.text + "\n")
    assert agent._token("", str(tmp_path / "t")) == TOKEN
    assert agent._token(TOKEN.text, "") == TOKEN
    monkeypatch.setattr("sys.stdin", io.StringIO(TOKEN.text))
    assert agent._token("-", "") == TOKEN
    monkeypatch.setenv(agent.TOKEN, TOKEN.text)
    assert agent._token("", "") == TOKEN
    monkeypatch.setenv(agent.TOKEN, "")
    for text, file, says in (
        ("", "", "there is no join token"),
        ("a", "b", "both"),
        ("a", "", "--token is no join token"),
        ("", str(tmp_path / "none"), "No such file"),
    ):
        with pytest.raises(Failure, match=says):
            agent._token(text, file)


def test_a_host_with_a_server_of_its_own_does_not_join(tmp_path: Path) -> None:
    (tmp_path / "kubeconfig").write_text("")
    with pytest.raises(Failure, match="has a control plane of its own"):
        agent._check_fresh(tmp_path)


@pytest.mark.parametrize(
    ("type", "root", "url", "given", "says"),
    [
        ("", "r", "u", [], "needs URL"),
        ("jwt", "", "u", [], "needs URL"),
        ("jwt", "r", "", [], "needs URL"),
        ("jwt", "r", "u", ["file"], "not KEY=VALUE"),
        ("jwt", "r", "u", [], "not said where the token is"),
        ("jwt", "r", "u", ["env=A", "x=y"], "no parameter x"),
        ("x509", "r", "u", ["cert=a"], "certificate and key"),
        ("tpm", "r", "u", [], "no attestor of type 'tpm'"),
        ("jwt", "/nonexistent", "u", ["env=A"], "--root-file"),
    ],
)
def test_what_an_attestor_needs(
    tmp_path: Path, type: str, root: str, url: str, given: list[str], says: str
) -> None:
    with pytest.raises(Failure, match=says):
        _ = agent._by_attestor(tmp_path, url, "name", type, given, root, "")
