"""A kubeconfig comes back as it was built; a damaged one is refused by name."""

from __future__ import annotations

import base64
import stat
from pathlib import Path
from typing import Any

import pytest

from argosy.apiserver import kubeconfig
from argosy.apiserver.client import ApiClient
from argosy.apiserver.kubeconfig import Connection
from argosy.runtime.errors import Failure

FULL = Connection(
    server="https://127.0.0.1:6443",
    ca="-----BEGIN X-----\n",
    tls_server_name="a.svc",
    token="secret",
    namespace="shop",
)


@pytest.mark.parametrize("connection", [FULL, Connection(server="http://127.0.0.1:1")])
def test_what_was_written_is_read(tmp_path: Path, connection: Connection) -> None:
    path = tmp_path / "kubeconfig"
    kubeconfig.write(path, kubeconfig.build(connection))
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert kubeconfig.load(path) == connection
    assert kubeconfig.load(path, "argosy") == connection


def test_it_has_the_form_that_kubectl_reads() -> None:
    config = kubeconfig.build(FULL, "mesh")
    assert (config["apiVersion"], config["kind"], config["current-context"]) == ("v1", "Config", "mesh")
    cluster = config["clusters"][0]["cluster"]
    assert base64.b64decode(cluster["certificate-authority-data"]).decode() == FULL.ca
    assert config["users"] == [{"name": "mesh", "user": {"token": "secret"}}]
    assert config["contexts"][0]["context"] == {"cluster": "mesh", "user": "mesh", "namespace": "shop"}


def test_a_context_is_chosen_by_name_and_the_authority_may_be_a_file(tmp_path: Path) -> None:
    authority = tmp_path / "ca.pem"
    authority.write_text("PEM")
    config = kubeconfig.build(FULL, "one")
    other = kubeconfig.build(Connection(server="https://other:1/"), "two")
    other["clusters"][0]["cluster"]["certificate-authority"] = str(authority)
    for plural in ("clusters", "users", "contexts"):
        config[plural] += other[plural]
    assert kubeconfig.parse(config) == FULL
    assert kubeconfig.parse(config, "two") == Connection(server="https://other:1", ca="PEM")
    with pytest.raises(Failure, match="there is no context 'three'") as refused:
        kubeconfig.parse(config, "three")
    assert "one, two" in refused.value.remedy


@pytest.mark.parametrize(
    ("path", "value", "says"),
    [
        ((), [], "is not a kubeconfig"),
        (("contexts",), None, "no context 'argosy'"),
        (("contexts", 0), "x", "no context 'argosy'"),
        (("clusters",), [], "no cluster 'argosy'"),
        (("users",), {}, "no user 'argosy'"),
        (("clusters", 0, "cluster", "server"), "ftp://x", "is not an https address"),
        (("clusters", 0, "cluster", "server"), 5, "is not an https address"),
        (
            ("clusters", 0, "cluster", "certificate-authority-data"),
            "§",
            "certificate authority cannot be read",
        ),
        (("users", 0, "user", "token"), "two\nlines", "token: is not one"),
    ],
)
def test_what_is_damaged_is_named(path: tuple[Any, ...], value: Any, says: str) -> None:
    config: Any = kubeconfig.build(FULL)
    if not path:
        config = value
    else:
        at = config
        for step in path[:-1]:
            at = at[step]
        at[path[-1]] = value
    with pytest.raises(Failure, match=says) as refused:
        kubeconfig.parse(config, None, "D/kubeconfig")
    assert "D/kubeconfig" in refused.value.what
    assert "secret" not in str(refused.value)


@pytest.mark.parametrize(
    ("text", "says"), [(None, "there is no client configuration"), ("a: [", "is not YAML")]
)
def test_a_file_that_cannot_be_read_is_named(tmp_path: Path, text: str | None, says: str) -> None:
    path = tmp_path / "kubeconfig"
    if text is not None:
        path.write_text(text)
    with pytest.raises(Failure, match=says) as refused:
        kubeconfig.load(path)
    assert str(path) in refused.value.what


def test_whom_a_user_acts_as_is_sent_and_never_forgotten() -> None:
    config = kubeconfig.build(Connection(server="https://127.0.0.1:1", token="t"))
    config["users"][0]["user"] |= {"as": "zo\u00eb", "as-groups": ["a", "b"], "as-uid": "7"}
    assert kubeconfig.parse(config).acts_as == (
        ("Impersonate-User", "zo\u00eb"),
        ("Impersonate-Uid", "7"),
        ("Impersonate-Group", "a"),
        ("Impersonate-Group", "b"),
    )
    with ApiClient(kubeconfig.parse(config)) as client:
        sent = client._http.headers
        assert sent.get_list("impersonate-group") == ["a", "b"]
        assert ("zo\u00eb".encode()) in dict(sent.raw).values()
    config["users"][0]["user"]["as-user-extra"] = {"scopes": ["x"]}
    with pytest.raises(Failure, match="as-user-extra: is not supported"):
        kubeconfig.parse(config)
