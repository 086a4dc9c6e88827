"""A text in a file, for a person's editor.

Rules: what a person wrote is not lost, what was not changed leaves nothing behind. So at any end but a settled one (an
error, Ctrl-C, a signal) a changed text stays in its file, and its place is told.
The file is 0600 in a directory 0700, where editors put their own copies too; that of a secret is in memory, where the
host has such a place.
"""

from __future__ import annotations

import os
import shlex
import shutil
import signal
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self, TypeVar

from argosy.runtime.errors import Failure

if TYPE_CHECKING:
    from argosy.cli.targets import Target

T = TypeVar("T")
MEMORY = Path("/dev/shm")  # noqa: S108  # the directory in it is made by mkdtemp: new, and ours alone
ENDING = (signal.SIGTERM, signal.SIGHUP)
INTERRUPTED = 130


class Draft:
    def __init__(self, target: Target, text: str) -> None:
        self.target = target
        self.begun = self.text = text
        self._settled = False
        self._handlers: dict[int, Any] = {}

    def __enter__(self) -> Self:
        for number in ENDING:
            self._handlers[number] = signal.signal(number, _end)
        self.folder = Path(tempfile.mkdtemp(prefix="argosy-edit-", dir=_place(self.target)))
        name = "-".join(
            part for part in (self.target.kind.kind, self.target.namespace, self.target.name) if part
        )
        self.path = self.folder / f"{name}.yaml"
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        from argosy.cli.terminal import say

        if self._settled or not self._changed():
            shutil.rmtree(self.folder, ignore_errors=True)
        else:
            say(f"your text is in {self.path}", "yellow")
        for number, handler in self._handlers.items():
            signal.signal(number, handler)

    def settled(self, result: T) -> T:
        """The text is of no more use: it has been sent, or there is nothing to send."""
        self._settled = True
        return result

    def edited(self, header: str) -> str:
        """The text after the person has left the editor; the header, of comments, is above it there. Raises Failure."""
        _write(self.path, header + self.text)
        try:
            self._run()
        finally:
            self.text = self._read()
        return self.text

    def _run(self) -> None:
        editor = os.environ.get("KUBE_EDITOR") or os.environ.get("EDITOR") or "vi"
        remedy = "name another: EDITOR=nano argosy edit …"
        try:
            with _ctrl_c_is_the_editors():
                code = subprocess.run([*shlex.split(editor), str(self.path)], check=False).returncode
        except (OSError, ValueError) as error:
            raise Failure(f"the editor {editor!r} cannot be started: {error}", remedy) from error
        if code in (-signal.SIGINT, INTERRUPTED):
            raise KeyboardInterrupt
        if code:
            raise Failure(f"the editor {editor!r} ended with code {code}: nothing was changed", remedy)

    def _changed(self) -> bool:
        try:
            return self._read() not in (self.begun, "")
        except Failure:
            return True

    def _read(self) -> str:
        """Without the comments at its top. Raises Failure."""
        try:
            lines = self.path.read_bytes().decode().splitlines(keepends=True)
        except FileNotFoundError:
            return ""
        except (OSError, UnicodeDecodeError) as error:
            raise Failure(f"{self.path} cannot be read: {error}", "save it as UTF-8") from error
        at = next((at for at, line in enumerate(lines) if not line.startswith("#")), len(lines))
        return "".join(lines[at:])


def _place(target: Target) -> Path | None:
    from argosy.apiserver.access.differences import WITHHELD

    secret = target.kind.resource in WITHHELD
    return MEMORY if secret and os.access(MEMORY, os.W_OK | os.X_OK) else None


def _write(path: Path, text: str) -> None:
    path.touch(0o600)
    path.write_text(text, "utf-8")


def _end(number: int, _: object) -> None:
    raise SystemExit(128 + number)


@contextmanager
def _ctrl_c_is_the_editors() -> Iterator[None]:
    """It reaches the whole group of processes; what it means, the editor says. (Not ignored: the editor would inherit
    that.)"""
    before = signal.signal(signal.SIGINT, lambda *_: None)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)
