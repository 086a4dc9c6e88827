"""The console script's first step: nothing is imported yet, so that Ctrl-C ends it without a word from Python."""

from __future__ import annotations

import signal


def main() -> None:
    """Loads the command line and runs it."""
    ours = signal.getsignal(signal.SIGINT)
    if ours is signal.default_int_handler:  # not where the caller had it ignored
        signal.signal(signal.SIGINT, signal.SIG_DFL)
    from argosy.cli.main import main as run

    signal.signal(signal.SIGINT, ours)
    run()
