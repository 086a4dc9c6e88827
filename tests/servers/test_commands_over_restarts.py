"""`argosy get -w` and `argosy wait` while the server goes and comes back: they tell what has changed."""

from __future__ import annotations

import signal
import subprocess
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest

from tests.ports import free_port
from tests.servers.server_process import Server, running_server
from tests.servers.test_commands import WITHIN, line, route, started

TEMPLATE = "--output=jsonpath={.metadata.name} {.spec.http[0].timeout}"


class Restarting:
    """A server that can be killed and started again, at the same address."""

    def __init__(self, folder: Path) -> None:
        self._folder, self._address = folder, f"127.0.0.1:{free_port()}"
        self._stack = ExitStack()
        self.server = self.start()

    def start(self) -> Server:
        self.server = self._stack.enter_context(running_server(self._folder, "--api-address", self._address))
        return self.server

    def kill(self) -> None:
        self.server.process.send_signal(signal.SIGKILL)
        self.server.process.wait(WITHIN)

    def stop(self) -> None:
        self._stack.close()


@pytest.fixture
def restarting(tmp_path: Path) -> Iterator[Restarting]:
    running = Restarting(tmp_path)
    yield running
    running.stop()


@contextmanager
def ended(process: subprocess.Popen[str]) -> Iterator[None]:
    try:
        yield
    finally:
        process.kill()
        process.communicate()


class Watching:
    """What `get -w` tells; an object is told again when its status changes, which here looks the same."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self.process = process
        self._told: set[str] = set()

    def tells(self, wanted: str) -> None:
        while (told := line(self.process)) != wanted:
            assert told in self._told, f"{told!r} in place of {wanted!r}"
        self._told.add(wanted)


def said_away(process: subprocess.Popen[str]) -> None:
    """It has noticed that the server is gone."""
    assert process.stderr is not None
    said = process.stderr.readline()
    assert "trying again" in said, said


def test_a_watch_goes_on_after_the_server_was_killed(restarting: Restarting) -> None:
    restarting.server.ok("apply", "-f", "-", stdin=f"{route('a', '1s')}---{route('b', '1s')}")
    watching = started(restarting.server, "get", "vs", "-w", TEMPLATE)
    with ended(watching):
        seen = Watching(watching)
        seen.tells("a 1s")
        seen.tells("b 1s")
        restarting.kill()
        said_away(watching)
        server = restarting.start()
        server.ok("apply", "-f", "-", stdin=route("a", "2s"))
        seen.tells("a 2s")
        server.ok("delete", "vs", "b")
        assert watching.stderr is not None
        assert "VirtualService default/b was deleted" in watching.stderr.readline()
        server.ok("apply", "-f", "-", stdin=route("c", "3s"))
        seen.tells("c 3s")


def test_a_watch_goes_on_after_the_server_was_stopped_in_order(restarting: Restarting) -> None:
    restarting.server.ok("apply", "-f", "-", stdin=route("a", "1s"))
    watching = started(restarting.server, "get", "vs", "-w", TEMPLATE)
    with ended(watching):
        seen = Watching(watching)
        seen.tells("a 1s")
        restarting.stop()
        said_away(watching)
        restarting.start().ok("apply", "-f", "-", stdin=route("a", "2s"))
        seen.tells("a 2s")


@pytest.mark.parametrize("goal", ["create", "delete", "jsonpath={.spec.http[0].timeout}=9s"])
def test_a_wait_goes_on_after_the_server_was_killed(restarting: Restarting, goal: str) -> None:
    if goal != "create":
        restarting.server.ok("apply", "-f", "-", stdin=route("a", "1s"))
    waiting = started(restarting.server, "wait", "vs/a", f"--for={goal}", "--timeout=120s")
    with ended(waiting):
        restarting_after_watching(restarting, waiting)
        if goal == "delete":
            restarting.server.ok("delete", "vs", "a")
        else:
            restarting.server.ok("apply", "-f", "-", stdin=route("a", "9s"))
        out, err = waiting.communicate(timeout=WITHIN)
        assert (waiting.returncode, out.startswith("VirtualService default/a: ")) == (0, True), err


def restarting_after_watching(restarting: Restarting, waiting: subprocess.Popen[str]) -> None:
    """Kills the server once the command watches, which its audit log tells, and starts it again."""
    log = restarting.server.state / "audit.log"
    while b'"verb":"watch"' not in log.read_bytes():
        assert waiting.poll() is None, waiting.communicate()
    restarting.kill()
    said_away(waiting)
    restarting.start()
