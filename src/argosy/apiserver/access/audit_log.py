"""The file of the audit log: lines in order, written beside the event loop, bounded on disk and in memory.

    D/audit.log, audit.log.1 … audit.log.N      0600; the newest first, each of at most `most_bytes`

What happens when the disk is full (or the file cannot be written for another reason): requests go on. The lines wait in
memory and are tried again each second; the server's log says so at once, once a minute, and when it is over. Once so
much waits that memory would suffer, new lines are lost: they are counted (`lost`), and the log itself says how many
were lost and since when, in the place where they would stand. A process that is killed loses what had not been
handed to the kernel, some milliseconds of it.
"""

from __future__ import annotations

import contextlib
import os
import threading
import time
from collections import deque
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import msgspec
import structlog

from argosy.runtime.errors import Failure

MOST_BYTES = 64 << 20
KEEP = 8
MOST_WAITING = 20_000
MOST_WAITING_BYTES = 64 << 20
RETRY_AFTER = 1.0
TELL_AGAIN_AFTER = 60.0
CLOSE_WITHIN = 5.0
BATCH = 256
GATHER_SECONDS = 0.01

Line = Callable[[], bytes]
"""Makes a line, without its end; called beside the event loop."""


class AuditLog:
    """Takes lines from the event loop; a thread of its own writes them. Raises Failure where the file cannot be."""

    def __init__(
        self,
        path: Path,
        log: structlog.typing.FilteringBoundLogger,
        *,
        most_bytes: int = MOST_BYTES,
        keep: int = KEEP,
        most_waiting: int = MOST_WAITING,
        most_waiting_bytes: int = MOST_WAITING_BYTES,
        retry_after: float = RETRY_AFTER,
    ) -> None:
        self.written = 0
        self.lost = 0
        self._path, self._log = path, log
        self._most_bytes, self._keep = most_bytes, keep
        self._most_waiting, self._most_waiting_bytes = most_waiting, most_waiting_bytes
        self._retry_after = retry_after
        self._waiting: deque[tuple[Line, int]] = deque()
        self._bytes = 0
        self._changed = threading.Condition()
        self._closing = False
        self._losing_since = ""
        self._to_tell = 0  # lost and not yet told in the log itself
        self._told_at: float | None = None
        try:
            self._file = _open(path)
        except OSError as error:
            raise Failure(
                f"cannot write the audit log {path}: {error.strerror}",
                "mend its permissions, or move it away",
            ) from error
        self._thread = threading.Thread(target=self._run, name="audit", daemon=True)
        self._thread.start()

    @property
    def waiting(self) -> int:
        return len(self._waiting)

    def write(self, line: Line, size: int = 0) -> None:
        """Never waits. `size`: of what the line holds in memory until it is made."""
        with self._changed:
            if len(self._waiting) >= self._most_waiting or self._bytes + size > self._most_waiting_bytes:
                self.lost += 1
                self._to_tell += 1
                self._losing_since = self._losing_since or _now()
                return
            if self._to_tell:
                self._waiting.append((_told_lost(self._to_tell, self._losing_since), 0))
                self._to_tell, self._losing_since = 0, ""
            self._waiting.append((line, size))
            self._bytes += size
            self._changed.notify()

    def close(self) -> None:
        """Writes what waits (bounded)."""
        with self._changed:
            self._closing = True
            self._changed.notify()
        self._thread.join(CLOSE_WITHIN)
        if left := self.waiting:
            self._log.error("audit log closed with lines unwritten", path=str(self._path), lines=left)

    # --- the thread ---

    def _run(self) -> None:
        made: list[bytes] = []
        while True:
            if not made:
                self._gather()
            with self._changed:
                if not self._waiting and not made and self._to_tell:
                    self._waiting.append((_told_lost(self._to_tell, self._losing_since), 0))
                    self._to_tell, self._losing_since = 0, ""
                if not self._waiting and not made:
                    break
                closing = self._closing
                batch = (
                    [self._waiting[at] for at in range(min(BATCH, len(self._waiting)))] if not made else []
                )
            if batch:
                made = [_made(line, self._log) for line, _ in batch]
            if self._append(made):
                with self._changed:
                    for _ in made:
                        _, size = self._waiting.popleft()
                        self._bytes -= size
                self.written += len(made)
                made = []
            elif closing:
                break
            else:
                self._rest()
        with contextlib.suppress(OSError):
            os.close(self._file)

    def _gather(self) -> None:
        """Waits for a line, and then a little for others: waking for each takes more than writing it."""
        with self._changed:
            if self._busy():
                return
            self._changed.wait_for(self._busy)
            if self._closing:
                return
        time.sleep(GATHER_SECONDS)

    def _busy(self) -> bool:
        return bool(self._waiting or self._to_tell or self._closing)

    def _rest(self) -> None:
        """Before the next attempt, of which there is one more when it is to close."""
        with self._changed:
            self._changed.wait_for(lambda: self._closing, self._retry_after)

    def _append(self, lines: list[bytes]) -> bool:
        """Whole lines, or nothing."""
        data = b"".join(line + b"\n" for line in lines)
        try:
            self._reopen_if_moved()
            size = os.fstat(self._file).st_size
            if size and size + len(data) > self._most_bytes:
                self._rotate()
                size = 0
            if os.write(self._file, data) != len(data):
                os.ftruncate(self._file, size)
                raise OSError(28, "no space left on device")
        except OSError as error:
            self._failed(error)
            return False
        if self._told_at is not None:
            self._told_at = None
            self._log.warning("audit log is written again", path=str(self._path), lost=self.lost)
        return True

    def _failed(self, error: OSError) -> None:
        now = time.monotonic()
        if self._told_at is None or now - self._told_at >= TELL_AGAIN_AFTER:
            self._told_at = now
            self._log.error(
                "audit log cannot be written: requests go on, their lines wait in memory",
                path=str(self._path),
                error=error.strerror or str(error),
                waiting=self.waiting,
                lost=self.lost,
            )

    def _rotate(self) -> None:
        for number in range(self._keep - 1, 0, -1):
            with contextlib.suppress(FileNotFoundError):
                self._numbered(number).replace(self._numbered(number + 1))
        if self._keep:
            self._path.replace(self._numbered(1))
        else:
            self._path.unlink()
        os.close(self._file)
        self._file = _open(self._path)

    def _numbered(self, number: int) -> Path:
        return self._path.with_name(f"{self._path.name}.{number}")

    def _reopen_if_moved(self) -> None:
        """Somebody else may rotate it, too."""
        try:
            there = self._path.stat()
        except FileNotFoundError:
            there = None
        ours = os.fstat(self._file)
        if there is None or (there.st_dev, there.st_ino) != (ours.st_dev, ours.st_ino):
            fresh = _open(self._path)
            os.close(self._file)
            self._file = fresh


def _open(path: Path) -> int:
    """To append to; a line that a crash left unfinished is ended. Others may not read it."""
    file = os.open(path, os.O_RDWR | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600)
    os.fchmod(file, 0o600)
    size = os.fstat(file).st_size
    if size and os.pread(file, 1, size - 1) != b"\n":
        with contextlib.suppress(OSError):
            os.write(file, b"\n")
    return file


def _made(line: Line, log: structlog.typing.FilteringBoundLogger) -> bytes:
    try:
        return line()
    except Exception as error:  # a defect of ours must not end the log
        log.error("a line of the audit log could not be made", error=type(error).__name__)
        return msgspec.json.encode({"time": _now(), "error": "this line could not be made"})


def _told_lost(count: int, since: str) -> Line:
    line = msgspec.json.encode({"time": _now(), "lost": count, "since": since})
    return lambda: line


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
