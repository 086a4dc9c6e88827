"""Commands where somebody sits in front of them.

`edit`: what is refused opens again, and nothing written is lost. `apply`, `wait`: they show how far they have come.
"""

from __future__ import annotations

import contextlib
import os
import shlex
import signal
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.servers.server_process import ARGOSY, Server, running_server
from tests.servers.test_commands import route
from tests.terminal import OnTerminal

EDITOR = """
import pathlib, sys
path, log = pathlib.Path(sys.argv[2]), pathlib.Path(sys.argv[1])
turns = log.read_text().splitlines()
script = turns.pop(0)
log.write_text("".join(turn + "\\n" for turn in turns))
text = path.read_text()
with log.with_suffix(".seen").open("a") as seen:
    seen.write(text + "=" * 20 + "\\n")
assert sys.stdin.isatty() and sys.stdout.isatty(), "an editor needs the terminal"
exec(script)
path.write_text(text)
"""
BAD = "text = text.replace('1s', 'soon')"
AS_IT_IS = "pass"


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with running_server(tmp_path_factory.mktemp("server")) as running:
        yield running


def on_terminal(server: Server, *arguments: str, **environment: str) -> OnTerminal:
    own = {
        "ARGOSY_STATE_DIR": str(server.state),
        "HOME": str(server.folder),
        "PATH": os.environ["PATH"],
    }
    return OnTerminal([*ARGOSY, *arguments], env=own | environment, cwd=server.folder)


class Editing:
    """`argosy edit vs/mine`, whose editor does one turn of `turns` each time it is opened."""

    def __init__(self, server: Server, folder: Path, *turns: str) -> None:
        self.drafts = folder / "drafts"
        self.drafts.mkdir()
        self._turns = folder / "turns"
        self._turns.write_text("".join(turn + "\n" for turn in turns))
        script = folder / "editor.py"
        script.write_text(EDITOR)
        editor = shlex.join([sys.executable, str(script), str(self._turns)])
        self.terminal = on_terminal(server, "edit", "vs/mine", EDITOR=editor, TMPDIR=str(self.drafts))

    @property
    def seen(self) -> list[str]:
        """What the editor was given, each time."""
        return self._turns.with_suffix(".seen").read_text().split("=" * 20 + "\n")[:-1]

    @property
    def kept(self) -> list[Path]:
        return list(self.drafts.glob("*/*.yaml"))


@pytest.fixture
def edit(server: Server, tmp_path: Path) -> Iterator[Callable[..., Editing]]:
    server.ok("apply", "-f", "-", stdin=route("mine", "1s"))
    begun: list[Editing] = []

    def begin(*turns: str) -> Editing:
        begun.append(Editing(server, tmp_path, *turns))
        return begun[-1]

    yield begin
    for one in begun:
        one.terminal.close()


def timeout_of(server: Server) -> str:
    return server.ok("get", "vs/mine", "-o", "jsonpath={.spec.http[0].timeout}").strip()


def test_what_is_refused_opens_again_with_the_reason_and_is_mended(
    server: Server, edit: Callable[..., Editing]
) -> None:
    editing = edit(BAD, "text = text.replace('soon', '4s')")
    assert editing.terminal.end() == 0, editing.terminal.shown
    assert "VirtualService default/mine edited" in editing.terminal.shown
    first, second = editing.seen
    assert "refused" not in first
    assert "# What you wrote is refused:\n#   VirtualService default/mine: spec.http[0].timeout: " in second
    assert "timeout: soon" in second, "what was written is still there"
    assert timeout_of(server) == "4s"
    assert list(editing.drafts.iterdir()) == []


def test_saved_as_it_is_it_is_given_up_and_the_text_stays_where_it_says(
    server: Server, edit: Callable[..., Editing]
) -> None:
    editing = edit(BAD, AS_IT_IS)
    assert editing.terminal.end() == 1
    shown = editing.terminal.shown
    assert "VirtualService default/mine was not changed: what you wrote is refused" in shown
    assert "spec.http[0].timeout" in shown
    (kept,) = editing.kept
    assert f"your text is in {kept}" in shown.replace("\n", ""), "it may be broken at the end of a line"
    assert kept.stat().st_mode & 0o77 == 0
    assert "timeout: soon" in kept.read_text()
    assert len(editing.seen) == 2
    assert timeout_of(server) == "1s"


def test_each_refusal_tells_its_own_reason(server: Server, edit: Callable[..., Editing]) -> None:
    editing = edit(BAD, "text = text.replace('soon', '4s').replace('name: mine', 'name: yours')", AS_IT_IS)
    assert editing.terminal.end() == 1
    _, second, third = editing.seen
    assert "spec.http[0].timeout" in second
    assert "metadata.name: mine cannot be changed" in third
    assert "spec.http[0].timeout" not in third.split("apiVersion")[0], "that was mended"
    assert len(editing.kept) == 1


def test_what_was_thrown_away_leaves_nothing(server: Server, edit: Callable[..., Editing]) -> None:
    editing = edit(BAD, "text = ''")
    assert editing.terminal.end() == 0
    assert "VirtualService default/mine was not changed" in editing.terminal.shown
    assert list(editing.drafts.iterdir()) == []
    assert timeout_of(server) == "1s"


def test_wait_shows_how_far_it_has_come(server: Server) -> None:
    with contextlib.closing(
        on_terminal(server, "wait", "vs/x", "vs/y", "--for=create", "--timeout=120s")
    ) as seen:
        seen.until("waiting for created")
        seen.until("0/2")
        server.ok("apply", "-f", "-", stdin=route("x"))
        seen.until("1/2")
        server.ok("apply", "-f", "-", stdin=route("y"))
        assert seen.end() == 0
        assert "VirtualService default/x: created\n" in seen.shown
        assert "VirtualService default/y: created\n" in seen.shown


def test_apply_shows_how_far_it_has_come(server: Server) -> None:
    (server.folder / "two.yaml").write_text(f"{route('one')}---{route('two')}")
    server.process.send_signal(signal.SIGSTOP)
    try:
        with contextlib.closing(on_terminal(server, "apply", "-f", "two.yaml")) as seen:
            seen.until("checking")
            seen.until("0/2")
            server.process.send_signal(signal.SIGCONT)
            assert seen.end() == 0, seen.shown
            assert "VirtualService default/two created\n" in seen.shown
    finally:
        server.process.send_signal(signal.SIGCONT)
