"""What commands print: tables with rich on a terminal, aligned plain columns when piped.

Rule: rich is imported only where a terminal is there to see it.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from typing import TextIO


def coloured(stream: TextIO | None = None) -> bool:
    out = stream or sys.stdout
    return out.isatty() and "NO_COLOR" not in os.environ and os.environ.get("TERM") != "dumb"


def table(columns: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    """Prints a table to standard output."""
    if coloured():
        from rich.console import Console
        from rich.table import Table
        from rich.text import Text

        shown = Table(box=None, pad_edge=False, header_style="bold")
        for column in columns:
            shown.add_column(column, overflow="fold")
        for row in rows:
            shown.add_row(*(Text(cell, style=mood(cell)) for cell in row))
        Console().print(shown)
        return
    print(plain(columns, rows), end="")


def plain(columns: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """The table in aligned columns, two spaces apart."""
    lines = [list(columns), *(list(row) for row in rows)]
    widths = [max(len(line[i]) for line in lines) for i in range(len(columns))]
    return "".join(
        "  ".join(f"{c:<{w}}" for c, w in zip(line, widths, strict=True)).rstrip() + "\n" for line in lines
    )


GOOD = ("ready", "synced", "connected", "yes", "live", "running")
BAD = ("rejected", "lost", "failed", "no", "disconnected", "expired", "stale", "error")
DOUBTFUL = ("warning",)


def mood(cell: str) -> str:
    """The colour of a word that says how something is."""
    word = cell.lower().split(" ", 1)[0].rstrip(":,")
    return "green" if word in GOOD else "red" if word in BAD else "yellow" if word in DOUBTFUL else ""


def say(text: str, style: str = "") -> None:
    """A line to people, on standard error, so that standard output stays the command's or the application's."""
    codes = {"bold": "1", "dim": "2", "red": "31", "green": "32", "yellow": "33", "cyan": "36"}
    if style and coloured(sys.stderr):
        text = f"\x1b[{codes[style]}m{text}\x1b[0m"
    print(text, file=sys.stderr, flush=True)


def warn(text: str) -> None:
    say(f"argosy: warning: {text}", "yellow")
