"""The file of the SQLite store: its format, how it is opened, checked and upgraded, and what its errors mean.

Rule: a file is either understood whole or left alone: no newer format, no other program's file and no broken file is
ever written to. The format's number is `user_version`; `application_id` says whose file it is.
"""

from __future__ import annotations

import contextlib
import os
import sqlite3
import time
from pathlib import Path

from argosy.runtime.errors import Failure
from argosy.store.base import Unavailable

APPLICATION_ID = 0x4172676F  # "Argo"

UPGRADES = (
    # Format 1. AUTOINCREMENT: a revision is never used twice, even after the newest events were deleted.
    (
        "CREATE TABLE objects (resource TEXT NOT NULL, namespace TEXT NOT NULL, name TEXT NOT NULL,"
        " revision INTEGER NOT NULL, body BLOB NOT NULL, UNIQUE (resource, namespace, name))",
        "CREATE TABLE events (revision INTEGER PRIMARY KEY AUTOINCREMENT, type TEXT NOT NULL,"
        " resource TEXT NOT NULL, namespace TEXT NOT NULL, name TEXT NOT NULL, body BLOB NOT NULL)",
    ),
    # Format 2. An event knows what was there before: `previous_revision` 0 is nothing, NULL is not known (the log of
    # format 1 had begun after it); `previous` is the body, but for DELETED, whose `body` is it already. Small columns
    # stand before the bodies, which may fill pages of their own. A lease belongs to an object that goes when it ends.
    (
        "CREATE TABLE events_2 (revision INTEGER PRIMARY KEY AUTOINCREMENT, type TEXT NOT NULL,"
        " resource TEXT NOT NULL, namespace TEXT NOT NULL, name TEXT NOT NULL,"
        " previous_revision INTEGER, body BLOB NOT NULL, previous BLOB)",
        "INSERT INTO events_2 (revision, type, resource, namespace, name, previous_revision, body, previous)"
        " SELECT revision, type, resource, namespace, name,"
        " CASE type WHEN 'ADDED' THEN 0 ELSE lag(revision) OVER of_object END,"
        " body, CASE type WHEN 'MODIFIED' THEN lag(body) OVER of_object END"
        " FROM events WINDOW of_object AS (PARTITION BY resource, namespace, name ORDER BY revision)",
        # The counter goes on where it was, also where the log is empty.
        "DELETE FROM sqlite_sequence WHERE name = 'events_2'",
        "INSERT INTO sqlite_sequence (name, seq) SELECT 'events_2', seq FROM sqlite_sequence WHERE name = 'events'",
        "DROP TABLE events",
        "ALTER TABLE events_2 RENAME TO events",
        "CREATE INDEX events_unknown ON events (revision) WHERE previous_revision IS NULL",
        "CREATE TABLE leases (resource TEXT NOT NULL, namespace TEXT NOT NULL, name TEXT NOT NULL,"
        " token TEXT NOT NULL, boot TEXT NOT NULL, until REAL NOT NULL, UNIQUE (resource, namespace, name))",
    ),
)
"""Entry i takes a file from format i to i + 1; an empty file has format 0."""

FORMAT = len(UPGRADES)
BUSY_SECONDS = 5.0
WAL_BYTES = 64 << 20


def connect(path: Path) -> sqlite3.Connection:
    """A connection to a file that `prepare` has seen; used by one thread at a time."""
    connection = sqlite3.connect(path, timeout=BUSY_SECONDS, isolation_level=None, check_same_thread=False)
    # FULL: a commit is on the disk when it returns, also over a power cut.
    connection.execute("PRAGMA synchronous = FULL")
    # What is deleted is overwritten: before there were keys to seal with, it may have been a secret.
    connection.execute("PRAGMA secure_delete = ON")
    connection.execute(f"PRAGMA journal_size_limit = {WAL_BYTES}")
    return connection


def prepare(path: Path) -> None:
    """Creates, checks and upgrades the file. Raises Failure that names it and the remedy."""
    try:
        # Before SQLite does it: secrets live here, and SQLite gives its side files the mode of the file.
        os.close(os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600))
        if path.stat().st_mode & 0o077:
            path.chmod(0o600)
    except OSError as error:
        raise Failure(
            f"cannot open the store {path}: {error.strerror}",
            "choose another --state-dir, or mend the permissions",
        ) from error
    until = time.monotonic() + BUSY_SECONDS
    while True:
        try:
            _examine(path)
        except sqlite3.Error as error:
            # SQLite does not wait by itself where two processes make the same file a WAL at once.
            if _primary(error) != sqlite3.SQLITE_BUSY or time.monotonic() > until:
                raise opening(path, error) from error
            time.sleep(0.02)
        else:
            return


def create(connection: sqlite3.Connection) -> None:
    """Makes the tables in an empty file of ours that stands beside the store: a backup."""
    _upgrade(connection, Path())


def _examine(path: Path) -> None:
    with contextlib.closing(connect(path)) as connection:
        # In one transaction: another process may be making the file at this moment.
        connection.execute("BEGIN")
        _check_owner(connection, path)
        connection.execute("COMMIT")
        check_whole(connection)
        if (mode := connection.execute("PRAGMA journal_mode = WAL").fetchone()[0]) != "wal":
            raise Failure(
                f"the store {path} cannot be shared between readers and the writer (journal mode {mode})",
                "choose a --state-dir on a local file system",
            )
        _upgrade(connection, path)


def opening(path: Path, error: sqlite3.Error) -> Failure:
    """What an error while opening means to a person."""
    what, remedy = explain(path, error)
    return Failure(what, remedy)


def unavailable(path: Path, error: sqlite3.Error) -> Unavailable:
    """What an error in service means to a caller: nothing of what was asked has been acknowledged."""
    what, remedy = explain(path, error)
    return Unavailable(f"{what}: {remedy}")


def explain(path: Path, error: sqlite3.Error) -> tuple[str, str]:
    """(what is wrong, what to do) for an error of SQLite."""
    code = _primary(error)
    if is_broken(error):
        return (
            f"the store {path} is broken ({error})",
            f"move it away (mv {path} {path}.broken), then bring a backup back (argosy store restore "
            "FILE), or apply the configuration again",
        )
    if code == sqlite3.SQLITE_FULL:
        return (
            f"no space left for the store {path}",
            f"free some disk space on the file system of {path.parent}",
        )
    if code in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED):
        return (
            f"another process has locked the store {path} for {BUSY_SECONDS:.0f} s",
            "end that process, or try again",
        )
    if code in (sqlite3.SQLITE_READONLY, sqlite3.SQLITE_PERM, sqlite3.SQLITE_CANTOPEN, sqlite3.SQLITE_AUTH):
        return (
            f"the store {path} cannot be opened or written ({error})",
            "mend the permissions of it and its folder",
        )
    return (
        f"the store {path} cannot be read or written ({error})",
        "look at the disk (its space, its errors in dmesg)",
    )


def is_broken(error: sqlite3.Error) -> bool:
    return _primary(error) in (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB)


def _primary(error: sqlite3.Error) -> int:
    """The low byte of a result code is its kind: https://sqlite.org/rescode.html"""
    return int(getattr(error, "sqlite_errorcode", 0)) & 0xFF


def _check_owner(connection: sqlite3.Connection, path: Path) -> None:
    owner = _number(connection, "application_id")
    number = _number(connection, "user_version")
    tables = connection.execute("SELECT count(*) FROM sqlite_master").fetchone()[0]
    if owner != APPLICATION_ID and (owner or number or tables):
        raise Failure(
            f"{path} is a database of another program", "choose another --state-dir, or move the file away"
        )
    if number > FORMAT:
        raise Failure(
            f"the store {path} was written by a newer Argosy (format {number}; this one knows up to {FORMAT})",
            "a downgrade is not possible: run the newer version, or start from an empty --state-dir",
        )


def check_whole(connection: sqlite3.Connection) -> None:
    """Raises sqlite3.DatabaseError that says what is broken."""
    problems = [row[0] for row in connection.execute("PRAGMA quick_check(3)")]
    if problems != ["ok"]:
        found = "; ".join(str(problem).strip().replace("\n", " ") for problem in problems)
        broken = sqlite3.DatabaseError(found)
        broken.sqlite_errorcode = sqlite3.SQLITE_CORRUPT
        raise broken


def _upgrade(connection: sqlite3.Connection, path: Path) -> None:
    if _number(connection, "user_version") == FORMAT:
        return  # nothing is written, so that a full disk keeps nobody from reading
    connection.execute("BEGIN IMMEDIATE")
    try:
        # Read again under the lock: another process may have upgraded it meanwhile.
        _check_owner(connection, path)
        for step in UPGRADES[_number(connection, "user_version") :]:
            for statement in step:
                connection.execute(statement)
        connection.execute(f"PRAGMA application_id = {APPLICATION_ID}")
        connection.execute(f"PRAGMA user_version = {FORMAT}")
        connection.execute("COMMIT")
    except BaseException:
        if connection.in_transaction:
            connection.execute("ROLLBACK")
        raise


def _number(connection: sqlite3.Connection, pragma: str) -> int:
    return int(connection.execute(f"PRAGMA {pragma}").fetchone()[0])
