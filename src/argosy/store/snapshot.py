"""Backups: all objects of one moment in one file, in the format of the SQLite store, whichever store they come from.

Rule: the file appears under its name only when it is whole and on the disk; nothing that is there is overwritten. What
is sealed in the store is sealed in the backup.
"""

from __future__ import annotations

import contextlib
import os
import sqlite3
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

from argosy.runtime.errors import Failure
from argosy.store import file, leases, rows
from argosy.store.base import Copied, Stored

INSERT = "INSERT INTO objects (resource, namespace, name, revision, body) VALUES (?, ?, ?, ?, ?)"


class Draft:
    """A backup that is being written, beside the place where it will be."""

    def __init__(self, connection: sqlite3.Connection, target: Path) -> None:
        self.connection = connection
        self._target = target

    def add(self, items: Sequence[Stored]) -> None:
        """Objects under their own revisions. Raises Failure."""
        with _failures(self._target):
            self.connection.executemany(
                INSERT, [(o.key.resource, o.key.namespace, o.key.name, o.revision, o.body) for o in items]
            )

    def set_counter(self, revision: int) -> None:
        """The next write gets a revision above this one."""
        with _failures(self._target):
            rows.advance(self.connection, revision)

    def copied(self) -> Copied:
        count = self.connection.execute("SELECT count(*) FROM objects").fetchone()[0]
        return Copied(int(count), rows.latest(self.connection))


@contextlib.contextmanager
def draft(target: Path) -> Iterator[Draft]:
    """A new file, which stands under its name when the block has ended without an error. Raises Failure."""
    _refuse(target)
    partial = target.with_name(f".{target.name}.{os.getpid()}.partial")
    try:
        with _failures(target):
            os.close(os.open(partial, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600))
            connection = file.connect(partial)
        with contextlib.closing(connection):
            with _failures(target):
                file.create(connection)
                connection.execute("BEGIN")
            yield Draft(connection, target)
            with _failures(target):
                if connection.in_transaction:
                    connection.execute("COMMIT")
                # One file without side files: it may be moved as it is.
                connection.execute("PRAGMA journal_mode = DELETE")
        with _failures(target):
            _refuse(target)
            partial.replace(target)
            _sync(target.parent)
    finally:
        partial.unlink(missing_ok=True)


def copy(source: Path, target: Path) -> Copied:
    """A copy of a store's file while it is in use, with its event log, without INTERNAL objects. Raises Failure."""
    with draft(target) as made:
        with _failures(target, source):
            made.connection.execute("COMMIT")
            # In one step: that is one read transaction of the source, and no writer makes it begin again.
            with contextlib.closing(file.connect(source)) as connection:
                connection.backup(made.connection)
            file.check_whole(made.connection)  # the copy is made page by page, unread
            made.connection.execute("BEGIN")
            leases.drop(made.connection)
        return made.copied()


def write(target: Path, batches: Iterable[Sequence[Stored]], revision: int) -> Copied:
    """A file of these objects; its event log is empty. Raises Failure."""
    with draft(target) as made:
        for batch in batches:
            made.add(batch)
        made.set_counter(revision)
        return made.copied()


def _refuse(target: Path) -> None:
    if target.exists():
        raise Failure(f"{target} exists already", "choose another name, or move it away")


@contextlib.contextmanager
def _failures(target: Path, source: Path | None = None) -> Iterator[None]:
    """What SQLite and the file system say, as a Failure. What is broken is the source: the target is new."""
    try:
        yield
    except sqlite3.Error as error:
        about = source if source and file.is_broken(error) else target
        what, remedy = file.explain(about, error)
        raise Failure(what, remedy) from error
    except OSError as error:
        raise Failure(
            f"cannot write {target}: {error.strerror}", "choose another file, or mend the permissions"
        ) from error


def _sync(folder: Path) -> None:
    number = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(number)
    finally:
        os.close(number)
