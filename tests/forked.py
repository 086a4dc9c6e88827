"""`argosy`, called hundreds of times: a process that has loaded the command line once forks for each of them.

What a call does is what it does for a person, in a process of its own; what it saves is to load the same modules again,
which is most of what a short command costs. How a command starts, its signals and its terminal are for the tests that
start it themselves.
"""

from __future__ import annotations

import multiprocessing
import os
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path

FORKING = multiprocessing.get_context("forkserver")
FORKING.set_forkserver_preload(
    [
        "argosy.cli.main",
        *(
            f"argosy.cli.{name}"
            for name in ("apply", "auth", "delete", "describe", "diff", "get", "user", "wait")
        ),
        "httpx",
        "yaml",
        "rich.table",
        "cryptography.x509",
    ]
)


def argosy(
    arguments: Sequence[str], *, env: Mapping[str, str], cwd: Path, stdin: str, timeout: float
) -> subprocess.CompletedProcess[str]:
    """Raises subprocess.TimeoutExpired, after which nothing of the call is left."""
    with tempfile.TemporaryDirectory() as folder:
        streams = [Path(folder) / name for name in ("in", "out", "err")]
        streams[0].write_text(stdin)
        call = FORKING.Process(target=_call, args=(list(arguments), dict(env), cwd, streams))
        call.start()
        try:
            call.join(timeout)
            if call.exitcode is None:
                raise subprocess.TimeoutExpired(["argosy", *arguments], timeout)
            out, err = (path.read_text() for path in streams[1:])
            return subprocess.CompletedProcess(["argosy", *arguments], call.exitcode, out, err)
        finally:
            call.kill()
            call.join()
            call.close()


def _call(arguments: list[str], env: dict[str, str], cwd: Path, streams: list[Path]) -> None:
    for number, (path, flags) in enumerate(
        zip(streams, (os.O_RDONLY, *[os.O_WRONLY | os.O_CREAT] * 2), strict=True)
    ):
        opened = os.open(path, flags, 0o600)
        os.dup2(opened, number)
        os.close(opened)
    sys.stdin = os.fdopen(0, closefd=False)  # a forked process has none of its own
    os.environ.clear()
    os.environ.update(env)
    os.chdir(cwd)
    sys.argv = ["argosy", *arguments]
    from argosy.cli.main import main

    main()
