from __future__ import annotations

import os
import signal
import subprocess
from pathlib import Path

import pytest

from argosy.agent.client import start_time
from argosy.agent.processes import Process, ProcessId, ending, kill_group


def sleeper() -> subprocess.Popen[bytes]:
    return subprocess.Popen(["sleep", "60"], start_new_session=True)


async def test_a_process_of_its_own_session_is_started_logged_and_stopped(tmp_path: Path) -> None:
    log = tmp_path / "log"
    one = Process.spawn(["sh", "-c", "echo hello; exec sleep 60"], log, tmp_path)
    assert os.getsid(one.id.pid) == one.id.pid
    assert one.id.start_time == start_time(one.id.pid)
    assert one.alive
    await one.stop(5)
    assert not one.alive
    assert one.code in (-signal.SIGTERM, -signal.SIGKILL)
    assert start_time(one.id.pid) == 0


async def test_one_that_ignores_sigterm_is_killed(tmp_path: Path) -> None:
    log = tmp_path / "log"
    one = Process.spawn(["sh", "-c", "trap '' TERM; echo up; while :; do sleep 0.05; done"], log, tmp_path)
    while not log.read_text():
        pass
    await one.stop(0.1)
    assert one.code == -signal.SIGKILL


async def test_adopting_needs_the_same_start_time() -> None:
    child = sleeper()
    began = start_time(child.pid)
    assert Process.adopt(ProcessId(child.pid, began + 1)) is None
    assert Process.adopt(ProcessId(0, 0)) is None
    one = Process.adopt(ProcessId(child.pid, began))
    assert one is not None
    child.kill()
    await one.ended()
    child.wait()
    assert Process.adopt(ProcessId(child.pid, began)) is None


async def test_who_stops_waiting_does_not_end_the_wait_of_others() -> None:
    import asyncio

    child = sleeper()
    one = Process.adopt(ProcessId(child.pid, start_time(child.pid)))
    assert one is not None
    first, second = asyncio.create_task(one.ended()), asyncio.create_task(one.ended())
    await asyncio.sleep(0)
    first.cancel()
    await asyncio.wait((first,))
    assert one.alive
    child.kill()
    await asyncio.wait_for(second, 10)
    child.wait()


def test_a_group_is_killed_only_if_it_is_who_it_was() -> None:
    child = sleeper()
    began = start_time(child.pid)
    assert not kill_group(child.pid, child.pid, began + 1)
    assert not kill_group(os.getpgrp(), child.pid, began)
    assert not kill_group(0, child.pid, began)
    assert not kill_group(1, child.pid, began)
    assert child.poll() is None
    assert kill_group(child.pid, child.pid, began)
    assert child.wait() == -signal.SIGKILL
    assert not kill_group(child.pid, child.pid, began)


@pytest.mark.parametrize(
    ("code", "words"),
    [(None, "ended"), (0, "stopped with code 0"), (-11, "killed by SIGSEGV"), (-40, "killed by signal 40")],
)
def test_endings_for_people(code: int | None, words: str) -> None:
    assert ending(code) == words
