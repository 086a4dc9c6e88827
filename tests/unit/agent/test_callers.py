"""Whose process has connected: by the tree of processes alone, the nearest workload, and nobody where that is not
sure."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from msgspec import Struct

from argosy.agent.callers import Nobody, ancestry, nearest, owner
from argosy.agent.client import start_time
from argosy.agent.processes import ProcessId
from argosy.agent.protocol import AppStarted, Start
from argosy.agent.workload import Record


class Held(Struct):
    record: Record


NONE = ProcessId(0, 0)


def held(name: str, client: ProcessId = NONE, app: ProcessId | None = None) -> Held:
    started = AppStarted(pid=app.pid, pgid=app.pid, start_time=app.start_time) if app else None
    return Held(Record(name=name, token="", spec=Start(name=name), client=client, app=started))


RUN, APP, CHILD, OTHER = (ProcessId(pid, pid * 10) for pid in (100, 101, 102, 200))
LINE = [CHILD, APP, RUN, ProcessId(1, 1)]


def test_the_application_and_what_it_started_are_the_workload() -> None:
    web, other = held("web", RUN, APP), held("other", OTHER)
    assert nearest(LINE, [other, web]) is web
    assert nearest(LINE[1:], [other, web]) is web


def test_before_the_agent_has_heard_of_the_application_its_argosy_run_stands_for_it() -> None:
    web = held("web", RUN)
    assert nearest(LINE, [web]) is web


def test_a_workload_within_another_is_itself() -> None:
    outer, inner = held("outer", RUN, APP), held("inner", CHILD)
    assert nearest([ProcessId(103, 1), *LINE], [outer, inner]) is inner


@pytest.mark.parametrize(
    "workloads",
    [
        [],
        [held("web", OTHER, OTHER)],
        [held("web", ProcessId(RUN.pid, 7), ProcessId(APP.pid, 7))],  # the pids of processes that have ended
        [held("a", RUN), held("b", RUN)],  # one process that holds both
        [held("gateway")],
    ],
    ids=["none", "others", "pids given anew", "ambiguous", "without a process"],
)
def test_nobody_where_it_is_not_sure(workloads: list[Held]) -> None:
    with pytest.raises(Nobody):
        nearest(LINE, workloads)


def test_the_ancestors_of_a_process_are_read_with_the_times_of_their_start() -> None:
    line = ancestry(os.getpid())
    assert line[0] == ProcessId(os.getpid(), start_time(os.getpid()))
    assert line[1].pid == os.getppid()
    assert ancestry(0) == []


@pytest.fixture
def listener(tmp_path: Path) -> Iterator[socket.socket]:
    with socket.socket(socket.AF_UNIX) as found:
        found.bind(str(tmp_path / "s"))
        found.listen()
        yield found


CONNECTS = "import socket,sys; s=socket.socket(socket.AF_UNIX); s.connect(sys.argv[1]); print('up',flush=True); {then}"


def connects(listener: socket.socket, then: str) -> tuple[subprocess.Popen[bytes], socket.socket]:
    code = CONNECTS.format(then=then)
    process = subprocess.Popen(
        [sys.executable, "-c", code, listener.getsockname()], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    connection, _ = listener.accept()
    assert process.stdout is not None
    process.stdout.readline()
    return process, connection


def test_a_real_process_is_found_in_its_tree(listener: socket.socket) -> None:
    process, connection = connects(listener, "sys.stdin.read()")
    with process, connection:
        mine = held("mine", ProcessId(os.getpid(), start_time(os.getpid())))
        its = held("its", app=ProcessId(process.pid, start_time(process.pid)))
        assert owner(connection, [mine]) is mine
        assert owner(connection, [mine, its]) is its
        with pytest.raises(Nobody, match="tree"):
            owner(connection, [held("other", ProcessId(process.pid, 1))])
        process.kill()


def test_a_process_that_has_ended_is_nobody_whoever_has_its_pid(listener: socket.socket) -> None:
    process, connection = connects(listener, "")
    with connection:
        process.wait()
        with pytest.raises(Nobody):
            owner(connection, [held("mine", ProcessId(os.getpid(), start_time(os.getpid())))])
    process.communicate()


def test_a_process_that_has_ended_and_was_not_collected_is_nobody_too(listener: socket.socket) -> None:
    process, connection = connects(listener, "")
    with connection:
        os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOWAIT)  # a zombie: its line still leads to us
        with pytest.raises(Nobody, match="ended"):
            owner(connection, [held("mine", ProcessId(os.getpid(), start_time(os.getpid())))])
    process.communicate()
