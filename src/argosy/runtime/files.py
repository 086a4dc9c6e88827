"""How many files and connections this process may have open."""

from __future__ import annotations

import contextlib
import resource

UNLIMITED = 1 << 20


def raise_open_files() -> int:
    """As many as may be; returns how many. The soft limit is low for compatibility with select(2), which we do not use;
    children inherit it."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = UNLIMITED if hard == resource.RLIM_INFINITY else hard
    with contextlib.suppress(OSError, ValueError):
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
        return wanted
    return soft


def open_files() -> int:
    """The limit as it is."""
    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    return UNLIMITED if soft == resource.RLIM_INFINITY else soft
