"""What is shown of a command's progress, and above all where nothing is."""

from __future__ import annotations

import os
import sys
import threading
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest

from argosy.cli.progress import Progress, stepped
from tests.terminal import OnTerminal

PROGRAM = """
import sys, threading
from argosy.cli.progress import Progress, stepped
form, after = sys.argv[1], float(sys.argv[2])
with Progress(form, after) as progress:
    for n in stepped(range(3), "counting", progress):
        print(f"line {n}", flush=True)
        if n == 1:
            sys.stdin.readline()
print("over")
"""


@pytest.fixture
def terminals() -> Iterator[list[OnTerminal]]:
    opened: list[OnTerminal] = []
    yield opened
    for one in opened:
        one.close()


def started(
    terminals: list[OnTerminal],
    form: str,
    after: float,
    environment: Mapping[str, str] | None = None,
    stdout: int | None = None,
) -> OnTerminal:
    env = {"PATH": os.environ["PATH"], **(environment or {})}
    command = [sys.executable, "-c", PROGRAM, form, str(after)]
    terminals.append(OnTerminal(command, env=env, cwd=Path.cwd(), stdout=stdout))
    return terminals[-1]


def test_on_a_terminal_it_is_shown_and_taken_away(terminals: list[OnTerminal]) -> None:
    running = started(terminals, "text", 0)
    running.until("counting")
    running.until("1/3")
    running.type("\n")
    assert running.end() == 0
    assert [line for line in running.shown.splitlines() if line.startswith("line")] == [
        "line 0",
        "line 1",
        "line 2",
    ]
    last = running.raw.rindex("counting")
    assert "\x1b[2K" in running.raw[last:], "its line is erased"
    assert "\x1b[?25h" in running.raw[last:], "the cursor is back"
    assert running.shown.rstrip().endswith("over")


def test_what_goes_to_a_file_has_none_of_it(terminals: list[OnTerminal], tmp_path: Path) -> None:
    path = tmp_path / "out"
    with path.open("wb") as out:
        running = started(terminals, "text", 0, stdout=out.fileno())
        running.until("1/3")
        running.type("\n")
        assert running.end() == 0
    assert path.read_text() == "line 0\nline 1\nline 2\nover\n"
    assert "line" not in running.shown


@pytest.mark.parametrize(
    ("form", "after", "environment"),
    [("json", 0, {}), ("name", 0, {}), ("text", 60, {}), ("text", 0, {"TERM": "dumb"})],
)
def test_what_is_quick_or_for_programs_is_quiet(
    terminals: list[OnTerminal], form: str, after: float, environment: dict[str, str]
) -> None:
    running = started(terminals, form, after, environment)
    running.until("line 1")
    running.type("\n")
    assert running.end() == 0
    assert "counting" not in running.shown
    assert "\x1b" not in running.raw


def test_without_a_terminal_there_is_not_even_a_thread(capsys: pytest.CaptureFixture[str]) -> None:
    before = threading.active_count()
    with Progress("text", 0) as progress:
        assert threading.active_count() == before
        assert list(stepped("ab", "counting", progress)) == ["a", "b"]
    assert capsys.readouterr().err == ""
    assert list(stepped("ab", "counting", None)) == ["a", "b"]
