"""Structured events on standard error: one line a thing that happened; text on a terminal, JSON elsewhere.

No secrets; no line per request.
"""

from __future__ import annotations

import logging
import sys
from typing import TextIO

import structlog


def configure(level: str = "info", form: str = "auto", stream: TextIO | None = None) -> None:
    """`form`: `text`, `json` or `auto` (text on a terminal). `level`: debug, info, warning or error."""
    out = stream or sys.stderr
    text = form == "text" or (form == "auto" and out.isatty())
    renderer: structlog.typing.Processor = (
        structlog.dev.ConsoleRenderer(colors=out.isatty()) if text else structlog.processors.JSONRenderer()
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
        logger_factory=structlog.PrintLoggerFactory(out),
        cache_logger_on_first_use=False,
    )


def logger(room: str) -> structlog.typing.FilteringBoundLogger:
    """The logger of a room; events carry its name."""
    bound: structlog.typing.FilteringBoundLogger = structlog.get_logger().bind(room=room)
    return bound
