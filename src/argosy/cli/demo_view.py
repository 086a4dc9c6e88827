"""What the demo shows: a live picture on a terminal, plain lines elsewhere. Rule: nothing here asks or decides."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Protocol

from msgspec import Struct

from argosy.cli.demo_table import COLUMNS, Row, cells
from argosy.cli.terminal import coloured, plain
from argosy.demo.shop import Try

if TYPE_CHECKING:
    from rich.console import Console, RenderableType
    from rich.live import Live


class Picture(Struct, frozen=True, kw_only=True):
    """The demo at one moment."""

    rows: Sequence[Row]
    server_pid: int  # 0: the control plane is down
    page: str
    sent: dict[int, int]  # answers of the demo's own requests, by status; 0: none
    stale: str = ""  # why the numbers are not new


class View(Protocol):
    refresh: float  # seconds between pictures

    def step(self, what: str, how: str) -> None:
        """Progress of the start: `control plane`, `starting | ready | …`."""

    def up(self, page: str, tries: Sequence[Try]) -> None:
        """The shop is open."""

    def show(self, picture: Picture) -> None: ...

    def say(self, text: str) -> None: ...


def control_plane(picture: Picture) -> str:
    if picture.server_pid:
        return f"control plane: up (pid {picture.server_pid})"
    return "control plane: down; the proxies go on with what they have"


def load(picture: Picture) -> str:
    if not picture.sent:
        return "load: none from here"
    good = picture.sent.get(200, 0)
    other = ", ".join(
        f"{code or 'no answer'}: {n}" for code, n in sorted(picture.sent.items()) if code != 200
    )
    return f"load: {good} answered" + (f", {other}" if other else ", none failed")


def instructions(page: str, tries: Sequence[Try]) -> str:
    """Commands stand alone on their lines, whole, so that they can be copied."""
    lines = [f"The shop is open at {page}", "", "Try in a second terminal:", ""]
    for number, one in enumerate(tries, 1):
        lines += [
            f"{number}. {one.title}: {one.see}",
            f"     {one.command}",
            "   undo:",
            f"     {one.undo}",
            "",
        ]
    return "\n".join(lines)


class Lines:
    """For pipes and files."""

    refresh = 10.0

    def __init__(self) -> None:
        self.began = time.monotonic()
        self.steps: dict[str, str] = {}

    def step(self, what: str, how: str) -> None:
        if self.steps.get(what) != how:
            self.steps[what] = how
            self.say(f"{time.monotonic() - self.began:5.1f} s  {what}: {how}")

    def up(self, page: str, tries: Sequence[Try]) -> None:
        self.say(f"up after {time.monotonic() - self.began:.1f} s")
        self.say(instructions(page, tries))

    def show(self, picture: Picture) -> None:
        print(plain(COLUMNS, [cells(row) for row in picture.rows]), end="")
        self.say(
            f"{control_plane(picture)}; {load(picture)}" + (f"; {picture.stale}" if picture.stale else "")
        )

    def say(self, text: str) -> None:
        print(text, flush=True)


class Screen:
    """For terminals: a list of what starts, then the table, redrawn in place."""

    refresh = 2.0

    def __init__(self, console: Console, live: Live) -> None:
        self.console = console
        self.live = live
        self.began = time.monotonic()
        self.steps: dict[str, tuple[str, float]] = {}

    def step(self, what: str, how: str) -> None:
        if self.steps.get(what, ("", 0.0))[0] != how:
            self.steps[what] = (how, time.monotonic() - self.began)
        self.live.update(self._starting(), refresh=True)

    def _starting(self) -> RenderableType:
        from rich.table import Table

        shown = Table.grid(padding=(0, 2))
        for what, (how, at) in self.steps.items():
            done = how == "ready"
            mark, style = ("✓", "green") if done else ("…", "yellow")
            shown.add_row(
                f"[{style}]{mark}[/]", what, f"[{style}]{how}[/]", f"[dim]{at:.1f} s[/]" if done else ""
            )
        return shown

    def up(self, page: str, tries: Sequence[Try]) -> None:
        self.live.update("", refresh=True)
        took = time.monotonic() - self.began
        self.console.print(f"[bold green]⛵ open after {took:.1f} s:[/] [bold]{page}[/]\n")
        self.console.print("[bold]Try in a second terminal[/]\n")
        for number, one in enumerate(tries, 1):
            self.console.print(f"[bold cyan]{number}. {one.title}[/]  [dim]{one.see}[/]", highlight=False)
            # Without wrapping of ours: the terminal's own breaks do not get into what is copied.
            self.console.print(one.command, highlight=False, markup=False, soft_wrap=True)
            self.console.print(f"[dim]undo:[/] {_escaped(one.undo)}\n", highlight=False, soft_wrap=True)

    def show(self, picture: Picture) -> None:
        from rich import box
        from rich.console import Group
        from rich.table import Table
        from rich.text import Text

        table = Table(
            box=box.SIMPLE_HEAD,
            pad_edge=False,
            title=f"{picture.page}  ·  Ctrl-C ends it",
            title_justify="left",
        )
        for i, column in enumerate(COLUMNS):
            table.add_column(column, justify="left" if i < 2 else "right")
        for row in picture.rows:
            table.add_row(
                *(Text(cell, style=style) for cell, style in zip(cells(row), styles(row), strict=True))
            )
        control = Text(control_plane(picture), style="green" if picture.server_pid else "bold red")
        below = [control, Text(load(picture), style="dim")]
        if picture.stale:
            below.append(Text(picture.stale, style="yellow"))
        self.live.update(Group(table, *below), refresh=True)

    def say(self, text: str) -> None:
        self.live.update(f"[dim]{_escaped(text)} …[/]", refresh=True)


def styles(row: Row) -> list[str]:
    """Colours of the cells: what is wrong is red, what is quiet is dim."""
    quiet = "" if row.rate else "dim"
    success = quiet if row.success is None else "green" if row.success == 100 else "bold red"
    slow = "yellow" if row.p99 is not None and row.p99 >= 500 else quiet
    mtls = quiet if row.mtls is None else "green" if row.mtls == 100 else "bold red"
    return ["bold" if row.rate else "dim", quiet, quiet, success, quiet, slow, mtls]


def _escaped(text: str) -> str:
    from rich.markup import escape

    return escape(text)


@contextmanager
def view() -> Iterator[View]:
    """The view that suits standard output."""
    if not coloured() or not sys.stdout.isatty():
        yield Lines()
        return
    from rich.console import Console
    from rich.live import Live

    console = Console()
    with Live("", console=console, auto_refresh=False, transient=True) as live:
        yield Screen(console, live)
