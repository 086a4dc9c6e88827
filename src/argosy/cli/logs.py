"""`argosy logs`: the sidecar's log, with its access log where that was asked for. The application's output is where
`argosy run` was started: it is passed on untouched and kept nowhere."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, BinaryIO

import typer

from argosy.cli.options import StateDir

POLL_SECONDS = 0.2


def logs(
    name: Annotated[
        str, typer.Argument(metavar="NAME", help="The workload, as `argosy ps` names it; or agent.")
    ],
    follow: Annotated[bool, typer.Option("--follow", "-f", help="Go on as more is written.")] = False,
    tail: Annotated[int, typer.Option("--tail", metavar="N", min=0, help="The last N lines alone.")] = 200,
    state_dir: StateDir = "",
) -> None:
    """Show the log of a sidecar: what Envoy says, and each request where --access-log was given to argosy run.

    [bold]Examples[/bold]

    argosy logs reviews-v1 -f

    argosy logs agent
    """
    from argosy.agent import client
    from argosy.runtime.errors import Failure
    from argosy.runtime.paths import state_dir as chosen

    state = chosen(state_dir)
    if name == "agent":
        path = client.agent_log(state)
    else:
        listed = client.listed(state)
        workloads = listed.workloads if listed else ()
        found = next((w for w in workloads if name in (w.name, f"{w.namespace}/{w.name}")), None)
        if found is None:
            names = ", ".join(sorted(w.name for w in workloads)) or "none"
            raise Failure(f"no workload {name} runs here", f"those that run: {names}")
        path = Path(found.envoy_log)
    try:
        with path.open("rb") as log:
            sys.stdout.buffer.writelines(last(log, tail))
            sys.stdout.buffer.flush()
            if follow:
                for chunk in appended(log, path):
                    sys.stdout.buffer.write(chunk)
                    sys.stdout.buffer.flush()
    except FileNotFoundError:
        raise Failure(f"{path} is not written yet", "wait until the sidecar has started") from None


def last(log: BinaryIO, lines: int) -> list[bytes]:
    """The last lines of a file, read from its end in growing steps; the file stands at its end afterwards."""
    size = log.seek(0, os.SEEK_END)
    step = 1 << 16
    while True:
        start = max(0, size - step)
        log.seek(start)
        found = log.read().splitlines(keepends=True)
        if start == 0 or len(found) > lines:
            return found[len(found) - lines :] if lines < len(found) else found
        step *= 4


def appended(log: BinaryIO, path: Path) -> Iterator[bytes]:
    """What is written from now on, for ever; starts again at the front of a file that was replaced or cut."""
    while True:
        if chunk := log.read(1 << 16):
            yield chunk
            continue
        time.sleep(POLL_SECONDS)
        try:
            size = path.stat().st_size
        except FileNotFoundError:
            return
        if size < log.tell():
            log.seek(0)
