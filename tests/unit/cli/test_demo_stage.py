"""The demo's directory and processes: what is claimed, what is left alone, what is cleaned up."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from argosy.agent.ports import RANGE, ephemeral
from argosy.cli import demo_stage, processes
from argosy.cli.demo_stage import MARK, claim, default_state, sweep
from argosy.runtime.errors import Failure
from argosy.runtime.paths import runtime_dir


@pytest.fixture
def state(tmp_path: Path) -> Path:
    return tmp_path / "state"


def sleeper(*arguments: str) -> subprocess.Popen[bytes]:
    return subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)", *arguments])


@pytest.fixture
def started() -> Iterator[list[subprocess.Popen[bytes]]]:
    found: list[subprocess.Popen[bytes]] = []
    yield found
    for process in found:
        process.kill()
        process.wait()


def test_a_directory_that_is_not_a_demos_is_left_alone(state: Path) -> None:
    state.mkdir()
    (state / "precious").write_text("x")
    with pytest.raises(Failure, match="not a demo's"):
        claim(state)
    assert (state / "precious").exists()


def test_a_demos_directory_is_emptied(state: Path) -> None:
    claim(state).release()
    (state / "argosy.db").write_text("old")
    (state / "agent").mkdir()
    (state / "agent" / "x").write_text("old")
    claim(state).release()
    assert [entry.name for entry in state.iterdir()] == [MARK]


def test_two_demos_do_not_share_a_directory(state: Path) -> None:
    lock = claim(state)
    with pytest.raises(Failure, match=rf"another demo uses .*\(pid {os.getpid()}\)"):
        claim(state)
    lock.release()


def test_what_a_killed_demo_left_is_ended_and_nothing_else(
    state: Path, tmp_path: Path, started: list[subprocess.Popen[bytes]]
) -> None:
    ours = [
        sleeper(f"--state-dir={state}"),
        sleeper("-c", str(state / "agent" / "envoy.yaml")),
        sleeper(str(state)),
    ]
    others = [sleeper(f"{state}-other/x"), sleeper(f"--note=x{state}"), sleeper()]
    started += ours + others
    runtime = runtime_dir(state)
    runtime.mkdir(parents=True)
    (runtime / "agent.sock").write_text("")
    assert processes.belonging([state]) == sorted(p.pid for p in ours)
    sweep(state)
    assert [p.wait(5) for p in ours] == [-signal.SIGTERM] * 3
    assert [p.poll() for p in others] == [None] * 3
    assert not runtime.exists()


def test_a_process_that_ignores_the_request_is_killed(started: list[subprocess.Popen[bytes]]) -> None:
    text = "import signal, time; signal.signal(15, signal.SIG_IGN); print(1, flush=True); time.sleep(60)"
    process = subprocess.Popen([sys.executable, "-c", text], stdout=subprocess.PIPE)
    started.append(process)
    assert process.stdout is not None
    process.stdout.readline()
    assert processes.end([process.pid], 0.1) == [process.pid]
    assert process.wait(5) == -signal.SIGKILL
    process.stdout.close()


def test_a_child_dies_with_its_parent(tmp_path: Path) -> None:
    text = (
        "import os, sys, time; from pathlib import Path; from argosy.cli import processes\n"
        "sleep = [sys.executable, '-c', 'import time; time.sleep(60)']\n"
        f"child = processes.start(sleep, Path({str(tmp_path / 'log')!r}))\n"
        "print(child.pid, flush=True); time.sleep(60)"
    )
    parent = subprocess.Popen([sys.executable, "-c", text], stdout=subprocess.PIPE, text=True)
    assert parent.stdout is not None
    child = int(parent.stdout.readline())
    assert processes.alive(child)
    parent.kill()
    parent.wait()
    parent.stdout.close()
    assert processes.gone_within([child], 10) == []


def test_the_demo_does_not_meet_the_users_own_mesh(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.delenv("ARGOSY_STATE_DIR", raising=False)
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    assert default_state("") == tmp_path / "argosy-demo"
    assert default_state(str(tmp_path / "x")) == tmp_path / "x"


def test_a_demo_beside_another_mesh_takes_ports_that_stay_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    """While the control plane is away neither an outgoing connection nor a workload may be given its port."""
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        monkeypatch.setitem(demo_stage.SERVER_PORTS, "api", other.getsockname()[1])
        flags = demo_stage.addresses()
    ports = {int(flag.rpartition(":")[2]) for flag in flags}
    assert [flag.partition("=")[0] for flag in flags] == [
        f"--{role}-address" for role in ("api", "xds", "ca", "status")
    ]
    assert len(ports) == 4
    assert not ports & (set(ephemeral()) | set(RANGE))


def test_where_no_port_is_left_the_demo_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        monkeypatch.setitem(demo_stage.SERVER_PORTS, "api", other.getsockname()[1])
        monkeypatch.setattr(demo_stage, "OTHER_PORTS", range(ephemeral().start, ephemeral().start + 10))
        with pytest.raises(Failure, match="outside the ephemeral range"):
            demo_stage.addresses()
