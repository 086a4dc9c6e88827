"""`argosy join-token` and `argosy server --join` as people call them, on one etcd."""

from __future__ import annotations

import json
import os
import stat
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.servers.etcd import Etcd, etcd
from tests.servers.server_process import ANY, ARGOSY, STARTED_WITHIN, Server, running_server


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Etcd]:
    with etcd(tmp_path_factory.mktemp("etcd"), options=["--unsafe-no-fsync"]) as running:
        yield running


@pytest.fixture(scope="module")
def first(cluster: Etcd, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with running_server(tmp_path_factory.mktemp("first"), "--store", cluster.url()) as running:
        yield running


def token(server: Server, name: str) -> Path:
    said = server.ok("join-token", "--file", name)
    path = server.folder / name
    text = path.read_text()
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert f"--join {server.info.ca} --join-token-file {name}" in said
    for written in (said, server.log.read_text(), (server.state / "audit.log").read_text()):
        assert text.split(".")[2] not in written
    return path


@contextmanager
def joining(
    folder: Path, cluster: Etcd, join: str, *more: str, stdin: bytes = b"", **environ: str
) -> Iterator[subprocess.Popen[bytes]]:
    """A server that is to join, until the block ends; what it says is in `folder/log`."""
    folder.mkdir()
    addresses = [part for name in ("api", "xds", "ca", "status") for part in (f"--{name}-address", ANY)]
    where = ("--state-dir", str(folder / "state"), "--store", cluster.url(), "--join", join)
    clean = {name: value for name, value in os.environ.items() if not name.startswith("ARGOSY_")}
    with (folder / "log").open("wb") as out:
        process = subprocess.Popen(
            [*ARGOSY, "server", *where, *addresses, *more],
            stdin=subprocess.PIPE,
            stdout=out,
            stderr=out,
            env=clean | environ,
        )
    assert process.stdin is not None
    try:
        process.stdin.write(stdin)
        process.stdin.close()
        yield process
    finally:
        process.terminate()
        process.wait(30)


def ready(folder: Path, process: subprocess.Popen[bytes]) -> None:
    deadline = time.monotonic() + STARTED_WITHIN
    while b'"ready"' not in (folder / "log").read_bytes():
        assert process.poll() is None, (folder / "log").read_text()
        assert time.monotonic() < deadline, (folder / "log").read_text()
        time.sleep(0.05)


@pytest.mark.parametrize("way", ["file", "standard input", "environment"])
def test_a_token_is_given_where_nobody_else_reads_it(
    first: Server, cluster: Etcd, tmp_path: Path, way: str
) -> None:
    path = token(first, f"{way.partition(' ')[0]}.token")
    text, folder = path.read_text(), tmp_path / "second"
    arguments = {"file": ("--join-token-file", str(path)), "standard input": ("--join-token-file", "-")}
    with joining(
        folder,
        cluster,
        first.info.ca,
        *arguments.get(way, ()),
        stdin=text.encode() if way == "standard input" else b"",
        **({"ARGOSY_JOIN_TOKEN": text} if way == "environment" else {}),
    ) as process:
        ready(folder, process)
        command = Path(f"/proc/{process.pid}/cmdline").read_bytes()
        assert text.split(".")[2].encode() not in command + (folder / "log").read_bytes()
        # The kubeconfig of the first is good at the second, which has the same root and the same admin.
        other = Server(folder, process, folder / "log")
        third = first.folder / "elsewhere.kubeconfig"
        third.write_text(first.kubeconfig.read_text().replace(first.info.api, other.info.api))
        found = first.ok("get", "namespaces", "-o", "json", "--kubeconfig", str(third))
        names = {item["metadata"]["name"] for item in json.loads(found)["items"]}
        assert names >= {"default", "istio-system"}
        assert other.info.ca
        assert "server let in" in first.log.read_text()


def test_why_a_server_is_not_let_in_is_told(first: Server, cluster: Etcd, tmp_path: Path) -> None:
    path = token(first, "once.token")
    with joining(tmp_path / "a", cluster, first.info.ca, "--join-token-file", str(path)) as process:
        ready(tmp_path / "a", process)
        joined_ca = Server(tmp_path / "a", process, tmp_path / "a" / "log").info.ca
        fresh = token(first, "fresh.token")
        cases = {
            "used": (first.info.ca, path, "the join token was used by"),
            "not the root's holder": (joined_ca, fresh, "does not hold the root of the mesh"),
            "nobody": ("127.0.0.1:1", fresh, "does not answer"),
        }
        for name, (address, file, says) in cases.items():
            folder = tmp_path / name
            with joining(folder, cluster, address, "--join-token-file", str(file)) as refused:
                assert refused.wait(STARTED_WITHIN) == 1, name
            said = (folder / "log").read_text()
            assert says in said, (name, said)
            assert "Traceback" not in said
            assert not (folder / "state" / "ca").exists()
