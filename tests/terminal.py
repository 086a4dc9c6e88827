"""A program on a terminal of its own (a pty): what it shows there, and that it thinks somebody sits in front of it."""

from __future__ import annotations

import contextlib
import os
import pty
import re
import select
import subprocess
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

WITHIN = 60.0
_CODES = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]")


class OnTerminal:
    """A process whose standard streams are a terminal; but for standard output where `stdout` is a file."""

    def __init__(
        self, command: Sequence[str], *, env: Mapping[str, str], cwd: Path, stdout: int | None = None
    ) -> None:
        self._ours, theirs = pty.openpty()
        self._seen = b""
        self.process = subprocess.Popen(
            command, stdin=theirs, stdout=theirs if stdout is None else stdout, stderr=theirs,
            env={"TERM": "xterm-256color", "COLUMNS": "100", **env}, cwd=cwd, start_new_session=True,
        )  # fmt: skip
        os.close(theirs)

    @property
    def shown(self) -> str:
        """Everything so far, without the codes of colours and cursors."""
        return _CODES.sub("", self._seen.decode(errors="replace")).replace("\r", "")

    @property
    def raw(self) -> str:
        return self._seen.decode(errors="replace")

    def until(self, text: str) -> None:
        deadline = time.monotonic() + WITHIN
        while text not in self.shown:
            assert self._more(deadline), f"{text!r} was not shown: {self.shown!r}"

    def type(self, text: str) -> None:
        os.write(self._ours, text.encode())

    def end(self) -> int:
        """Its exit code, once it has ended and all it showed is read."""
        deadline = time.monotonic() + WITHIN
        while self._more(deadline):
            pass
        return self.process.wait(max(0.1, deadline - time.monotonic()))

    def close(self) -> None:
        self.process.kill()
        self.process.wait()
        os.close(self._ours)

    def _more(self, deadline: float) -> bool:
        """Whether there was more to read; False at the end, or when the time is over."""
        ready, _, _ = select.select([self._ours], [], [], max(0.0, deadline - time.monotonic()))
        read = b""
        with contextlib.suppress(OSError):  # EIO: nobody holds the other side any more
            read = os.read(self._ours, 1 << 16) if ready else b""
        self._seen += read
        return bool(read)
