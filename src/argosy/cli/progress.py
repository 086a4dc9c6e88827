"""How far a command has come that takes long: a line at the bottom of the terminal, which goes when it is done.

Rules: it is for people alone: nothing is shown where standard error is no terminal or the output is for programs, and
standard output never has a byte of it. It appears after a second, so that what is quick stays quiet; until then rich is
not even imported.
"""

from __future__ import annotations

import os
import sys
import threading
from collections.abc import Iterator, Sequence
from types import TracebackType
from typing import TYPE_CHECKING, Self, TypeVar

if TYPE_CHECKING:
    from rich.progress import Progress as Bar

T = TypeVar("T")
AFTER_SECONDS = 1.0


def stepped(each: Sequence[T], doing: str, progress: Progress | None) -> Iterator[T]:
    """All of them, each a step of the stage."""
    if progress is not None:
        progress.stage(doing, len(each))
    for one in each:
        yield one
        if progress is not None:
            progress.step()


class Progress:
    """`form`: that of the command's output. To be entered; `stage`, then `step` for each that is done."""

    def __init__(self, form: str = "text", after: float = AFTER_SECONDS) -> None:
        wanted = form == "text" and sys.stderr.isatty() and os.environ.get("TERM") != "dumb"
        self._timer = threading.Timer(after, self._show) if wanted else None
        self._lock = threading.Lock()
        self._bar: Bar | None = None
        self._over = False
        self._doing, self._done, self._total = "", 0, 0

    def __enter__(self) -> Self:
        if self._timer is not None:
            self._timer.daemon = True
            self._timer.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._timer is None:
            return
        self._timer.cancel()
        with self._lock:
            self._over = True
            if self._bar is not None:
                self._bar.stop()

    def stage(self, doing: str, total: int) -> None:
        """`doing`, as in `writing`, is done with `total` objects from now on."""
        with self._lock:
            self._doing, self._done, self._total = doing, 0, total
            self._update()

    def step(self) -> None:
        """One more is done."""
        with self._lock:
            self._done += 1
            self._update()

    def _show(self) -> None:
        from rich.console import Console
        from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeElapsedColumn
        from rich.progress import Progress as Bar

        with self._lock:
            if self._over:
                return
            self._bar = Bar(
                TextColumn("{task.description}"),
                BarColumn(bar_width=30),
                MofNCompleteColumn(),
                TimeElapsedColumn(),
                console=Console(stderr=True, highlight=False, markup=False),
                transient=True,
                redirect_stdout=sys.stdout.isatty(),  # lines above it; a file gets them as they are
            )
            self._bar.add_task(self._doing, total=self._total)
            self._update()
            self._bar.start()

    def _update(self) -> None:
        if self._bar is not None:
            (task,) = self._bar.task_ids
            self._bar.update(task, description=self._doing, completed=self._done, total=self._total)
