"""Structured events on standard error: one line a thing that happened; text on a terminal, JSON elsewhere.

No secrets; no line per request. An exception is told with its lines and without the values of its variables: those may
hold a key. A log that cannot be written (a full disk, a reader that has gone) loses lines and stops nobody.
"""

from __future__ import annotations

import contextlib
import logging
import sys
from typing import TextIO, cast

import structlog


def configure(level: str = "info", form: str = "auto", stream: TextIO | None = None) -> None:
    """`form`: `text`, `json` or `auto` (text on a terminal). `level`: debug, info, warning or error."""
    out = stream or sys.stderr
    lossy = cast(TextIO, _Lossy(out))
    text = form == "text" or (form == "auto" and out.isatty())
    renderer: structlog.typing.Processor = (
        structlog.dev.ConsoleRenderer(colors=out.isatty(), exception_formatter=structlog.dev.plain_traceback)
        if text
        else structlog.processors.JSONRenderer()
    )
    structlog.configure(
        processors=[
            structlog.contextvars.merge_contextvars,
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            structlog.processors.format_exc_info,
            renderer,
        ],
        wrapper_class=structlog.make_filtering_bound_logger(getattr(logging, level.upper())),
        logger_factory=lambda *_: structlog.PrintLogger(lossy),
        cache_logger_on_first_use=False,
    )


def logger(room: str) -> structlog.typing.FilteringBoundLogger:
    """The logger of a room; events carry its name. It is configured when it is used, not when a module asks for it."""
    lazy: structlog.typing.FilteringBoundLogger = structlog.get_logger(room=room)
    return lazy


class _Lossy:
    """A text stream to which writing never fails: the disk may be full, the stream closed (then it is a ValueError)."""

    def __init__(self, out: TextIO) -> None:
        self._out = out

    def write(self, text: str) -> None:
        with contextlib.suppress(OSError, ValueError):
            self._out.write(text)

    def flush(self) -> None:
        with contextlib.suppress(OSError, ValueError):
            self._out.flush()
