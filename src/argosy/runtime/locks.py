"""One holder at a time: a lock on a file that the kernel releases when its holder dies.

The file holds the pid of the holder, for messages only: what counts is the kernel's lock (flock), so a stale file never
locks anybody out.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
from collections.abc import Iterator
from pathlib import Path

from argosy.runtime.errors import Failure


class Held(Failure):
    """Another process holds the lock; `pid` is 0 where it has not said so yet."""

    def __init__(self, what: str, remedy: str, pid: int) -> None:
        super().__init__(what, remedy)
        self.pid = pid


class FileLock:
    """A lock held from `acquire` until `release` or the death of this process."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.handle = -1

    def acquire(self, what: str, remedy: str = "") -> None:
        """Takes the lock or raises Held at once: `<what> (pid N)`."""
        try:
            handle = os.open(self.path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        except OSError as error:
            raise Failure(
                f"cannot open {self.path}: {error.strerror}", "choose another --state-dir"
            ) from error
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            pid = _pid(handle)
            os.close(handle)
            if error.errno not in (errno.EWOULDBLOCK, errno.EACCES):
                raise Failure(
                    f"cannot lock {self.path}: {error.strerror}", "use a local file system"
                ) from error
            raise Held(f"{what} (pid {pid or 'unknown'})", remedy, pid) from None
        try:
            os.ftruncate(handle, 0)
            os.pwrite(handle, f"{os.getpid()}\n".encode(), 0)
        except OSError as error:
            os.close(handle)
            raise Failure(f"cannot write {self.path}: {error.strerror}", "free some disk space") from error
        self.handle = handle

    def release(self) -> None:
        """Lets the next one in. The file stays: removing it would let two holders lock two files."""
        if self.handle >= 0:
            os.close(self.handle)
            self.handle = -1


@contextlib.contextmanager
def alone(path: Path) -> Iterator[None]:
    """One at a time, the others wait: for what takes a moment. Raises Failure where the file cannot be opened."""
    try:
        handle = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    except OSError as error:
        raise Failure(f"cannot open {path}: {error.strerror}", "choose another --state-dir") from error
    try:
        fcntl.flock(handle, fcntl.LOCK_EX)
        yield
    finally:
        os.close(handle)


def _pid(handle: int) -> int:
    text = os.pread(handle, 32, 0).strip()
    return int(text) if text.isdigit() else 0
