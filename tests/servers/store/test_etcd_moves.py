"""Between files and etcd, by the commands that people use; and a server that lives on etcd."""

from __future__ import annotations

import json
import os
import subprocess
import time
from pathlib import Path
from typing import Any

import pytest

from argosy.apiserver.client import ApiClient
from argosy.resources.kinds import kind_of
from argosy.store.etcd.address import EtcdAddress
from tests.e2e.mesh import ARGOSY, Mesh

SERVICE = kind_of("v1", "Service")
SECRET = kind_of("v1", "Secret")


def argosy(*arguments: str, code: int = 0) -> Any:
    done = subprocess.run([ARGOSY, *arguments], capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == code, done.stdout + done.stderr
    return json.loads(done.stdout) if done.stdout.startswith("{") else done.stdout + done.stderr


def service(name: str) -> dict[str, Any]:
    return {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {"name": name, "namespace": "default"},
        "spec": {"ports": [{"port": 80}]},
    }


def secret(name: str) -> dict[str, Any]:
    return {
        "apiVersion": "v1",
        "kind": "Secret",
        "metadata": {"name": name, "namespace": "default"},
        "data": {"password": "c2VjcmV0IQ=="},
    }


def start(mesh: Mesh, url: str) -> ApiClient:
    os.environ["ARGOSY_STORE"] = url
    try:
        mesh.start_server()
    finally:
        del os.environ["ARGOSY_STORE"]
    return ApiClient.from_kubeconfig(mesh.state / "kubeconfig")


def names(api: ApiClient) -> set[str]:
    assert SERVICE is not None
    return {one["metadata"]["name"] for one in api.list(SERVICE, "default")["items"]}


def test_a_mesh_moves_from_a_file_to_etcd_and_back(tmp_path: Path, address: EtcdAddress) -> None:
    assert SECRET is not None
    mesh, url = Mesh(tmp_path / "state"), f"{address}?compact=off"
    file = f"sqlite://{mesh.state}/argosy.db"
    try:
        with start(mesh, "") as api:
            for number in range(20):
                api.create(service(f"web{number}"))
            api.create(secret("tls"))
        mesh.stop_server()
        moved = argosy("store", "migrate", "--from", file, "--to", url, "-o", "json")
        assert moved["objects"] == moved["written"] >= 21
        assert "already" in argosy("store", "migrate", "--from", file, "--to", url, code=1)
        with start(mesh, url) as api:
            assert {f"web{number}" for number in range(20)} <= names(api)
            assert api.get(SECRET, "tls")["data"] == secret("tls")["data"]
            api.create(service("later"))
        checked = argosy("store", "check", "--store", url, "--state-dir", str(mesh.state), "-o", "json")
        assert (checked["problems"], checked["sealed"], checked["unsealed"]) == ([], 1, 0)
        backup = argosy("store", "backup", str(tmp_path / "backup"), "--store", url, "-o", "json")
        assert b"c2VjcmV0" not in (tmp_path / "backup").read_bytes()
        mesh.stop_server()
        back = argosy(
            "store", "restore", str(tmp_path / "backup"), "--replace", "-o", "json", "--store", file
        )
        assert back["objects"] == backup["objects"] == moved["objects"] + 1
        with start(mesh, "") as api:
            assert "later" in names(api)
            assert api.get(SECRET, "tls")["data"] == secret("tls")["data"]
    finally:
        mesh.stop_server()


def test_a_server_on_etcd_waits_for_nothing_when_others_use_the_same_etcd(
    tmp_path: Path, address: EtcdAddress
) -> None:
    """Their writes raise etcd's revision, and no change of ours ever comes to it."""
    mesh = Mesh(tmp_path / "state")
    other = Mesh(tmp_path / "other")
    try:
        with (
            start(mesh, f"{address}?compact=off") as api,
            start(other, f"{address}-other?compact=off") as beside,
        ):
            api.create(service("first"))
            for number in range(5):
                beside.create(service(f"other{number}"))
            began = time.monotonic()
            for number in range(10):
                api.create(service(f"web{number}"))
                beside.create(service(f"more{number}"))
            # Waiting for a revision that never comes takes two seconds each time.
            assert time.monotonic() - began < 20
            assert len(names(api)) == 11
    finally:
        mesh.stop_server()
        other.stop_server()


def test_a_server_whose_etcd_is_away_says_so_and_does_not_start(tmp_path: Path) -> None:
    told = argosy("server", "--state-dir", str(tmp_path), "--store", "etcd://127.0.0.1:1/?timeout=1s", code=1)
    assert "the store cannot be used: etcd://127.0.0.1:1/argosy does not answer" in told
    assert "etcdctl endpoint status" in told


@pytest.mark.parametrize("url", ["etcd://u:p@h/", "postgres://h/", "sqlite:relative.db"])
def test_a_url_that_is_none_is_refused(tmp_path: Path, url: str) -> None:
    assert "argosy: " in argosy("server", "--state-dir", str(tmp_path), "--store", url, code=1)
