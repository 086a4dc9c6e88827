"""What runs on a state directory, written by the processes that share its roles."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import msgspec

from argosy.runtime.paths import ServerInfo, server_info
from argosy.server.info import publish, withdraw


def info(*roles: str, pid: int = 0, **addresses: str) -> ServerInfo:
    own = ServerInfo(
        pid=pid or os.getpid(),
        version="1",
        trust_domain="cluster.local",
        roles=roles,
        pids=dict.fromkeys(roles, pid or os.getpid()),
    )
    return msgspec.convert(msgspec.to_builtins(own) | addresses, ServerInfo)


def gone() -> int:
    """The pid of a process that has ended."""
    ended = subprocess.Popen([sys.executable, "-c", ""])
    ended.wait()
    return ended.pid


def test_one_process_with_all_roles(tmp_path: Path) -> None:
    publish(tmp_path, info("api", "xds", "ca", api="https://a", xds="x", ca="c"))
    found = server_info(tmp_path)
    assert found is not None
    assert (found.roles, found.api, found.xds, found.pid) == (
        ("api", "xds", "ca"),
        "https://a",
        "x",
        os.getpid(),
    )
    withdraw(tmp_path, ("api", "xds", "ca"))
    assert server_info(tmp_path) is None


def test_processes_that_share_the_roles_write_one_file(tmp_path: Path) -> None:
    publish(tmp_path, info("xds", "ca", xds="x", ca="c", attest_socket="s"))
    publish(tmp_path, info("api", pid=os.getppid(), api="https://a"))
    found = server_info(tmp_path)
    assert found is not None
    assert (found.roles, found.api, found.xds, found.attest_socket) == (
        ("api", "xds", "ca"),
        "https://a",
        "x",
        "s",
    )
    assert found.pid == os.getpid(), "that of what serves proxies"
    withdraw(tmp_path, ("api",))
    found = server_info(tmp_path)
    assert found is not None
    assert (found.roles, found.api, found.xds) == (("xds", "ca"), "", "x")


def test_what_a_killed_process_left_is_taken_out_by_the_next(tmp_path: Path) -> None:
    publish(tmp_path, info("api", pid=gone(), api="https://old"))
    publish(tmp_path, info("xds", xds="x"))
    found = server_info(tmp_path)
    assert found is not None
    assert (found.roles, found.api) == (("xds",), "")


def test_a_broken_or_older_file_is_replaced(tmp_path: Path) -> None:
    for text in (
        b"{",
        msgspec.json.encode({"pid": 1, "version": "0", "trust_domain": "t", "roles": ["api"]}),
    ):
        (tmp_path / "server.json").write_bytes(text)
        publish(tmp_path, info("xds", xds="x"))
        found = server_info(tmp_path)
        assert found is not None
        assert found.roles == ("xds",)
