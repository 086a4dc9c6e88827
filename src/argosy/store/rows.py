"""The SQL of the SQLite store: what each read and each write is, on a connection that somebody else looks after.

Rule: these functions neither begin nor commit. Writes check before they change, so that a refusal leaves nothing
behind in the transaction it shares with others. The revision of an event is the row's AUTOINCREMENT key: it only ever
grows, also over restarts and after the log was cut, and has no gaps (a rollback takes it back). A write gives back its
event just as `events` would read it.
"""

from __future__ import annotations

import sqlite3

from argosy.store import refusals
from argosy.store.base import Event, EventType, Key, Stored, Unchanged

SELECT_OBJECT = "SELECT revision, body FROM objects WHERE resource = ? AND namespace = ? AND name = ?"
INSERT_EVENT = (
    "INSERT INTO events (type, resource, namespace, name, previous_revision, body, previous)"
    " VALUES (?, ?, ?, ?, ?, ?, ?) RETURNING revision"
)


def create(connection: sqlite3.Connection, key: Key, body: bytes, given: Unchanged | None = None) -> Event:
    """Raises Conflict, AlreadyExists."""
    refusals.check_given(given, get(connection, given.key) if given else None)
    if get(connection, key) is not None:
        raise refusals.exists(key)
    revision = _record(connection, EventType.ADDED, key, body, None)
    connection.execute(
        "INSERT INTO objects (resource, namespace, name, revision, body) VALUES (?, ?, ?, ?, ?)",
        (key.resource, key.namespace, key.name, revision, body),
    )
    return Event(EventType.ADDED, Stored(key, revision, body))


def update(connection: sqlite3.Connection, key: Key, body: bytes, expected: int | None) -> Event:
    found = current(connection, key, expected)
    revision = _record(connection, EventType.MODIFIED, key, body, found)
    connection.execute(
        "UPDATE objects SET revision = ?, body = ? WHERE resource = ? AND namespace = ? AND name = ?",
        (revision, body, key.resource, key.namespace, key.name),
    )
    return Event(EventType.MODIFIED, Stored(key, revision, body), found.body, found.revision)


def delete(connection: sqlite3.Connection, key: Key, expected: int | None) -> Event:
    found = current(connection, key, expected)
    revision = _record(connection, EventType.DELETED, key, found.body, found)
    for table in ("objects", "leases"):
        connection.execute(
            f"DELETE FROM {table} WHERE resource = ? AND namespace = ? AND name = ?",  # noqa: S608
            (key.resource, key.namespace, key.name),
        )
    return Event(EventType.DELETED, Stored(key, revision, found.body), found.body, found.revision)


def compact(connection: sqlite3.Connection, keep: int) -> None:
    """Cuts the event log to its last `keep` events, once it is a tenth longer."""
    newest, oldest = latest(connection), floor(connection)
    if newest - oldest > keep + keep // 10:
        connection.execute("DELETE FROM events WHERE revision <= ?", (newest - keep,))


def forget(connection: sqlite3.Connection, revision: int) -> None:
    """Cuts the event log behind a revision."""
    connection.execute("DELETE FROM events WHERE revision <= ?", (revision,))


def advance(connection: sqlite3.Connection, revision: int) -> None:
    """The counter stands at a revision ahead, and the log begins there."""
    if revision > latest(connection):
        connection.execute("DELETE FROM events")
        connection.execute("DELETE FROM sqlite_sequence WHERE name = 'events'")
        connection.execute("INSERT INTO sqlite_sequence (name, seq) VALUES ('events', ?)", (revision,))


def get(connection: sqlite3.Connection, key: Key) -> Stored | None:
    row = connection.execute(SELECT_OBJECT, (key.resource, key.namespace, key.name)).fetchone()
    return None if row is None else Stored(key, row[0], row[1])


def latest(connection: sqlite3.Connection) -> int:
    """The revision of the last write; 0 for an empty store."""
    row = connection.execute("SELECT seq FROM sqlite_sequence WHERE name = 'events'").fetchone()
    return int(row[0]) if row else 0


def floor(connection: sqlite3.Connection) -> int:
    """The oldest revision a watch can begin at."""
    row = connection.execute("SELECT min(revision) FROM events").fetchone()
    return latest(connection) if row[0] is None else int(row[0]) - 1


def reach(connection: sqlite3.Connection, after: int) -> int:
    """The latest revision, where a watch can begin at `after`. Raises Compacted."""
    oldest, newest = floor(connection), latest(connection)
    if after < oldest:
        raise refusals.cut(oldest, after)
    if after > newest:
        raise refusals.ahead(newest, after)
    return newest


def events(connection: sqlite3.Connection, after: int, count: int, most: int = 0) -> list[Event]:
    """The next `count` events after a revision; fewer where that is `most` bytes already (0: whatever they have).

    Raises Compacted.
    """
    reach(connection, after)
    rows = connection.execute(
        "SELECT revision, type, resource, namespace, name, body, previous, previous_revision FROM events"
        " WHERE revision > ? ORDER BY revision LIMIT ?",
        (after, count),
    )
    found: list[Event] = []
    size = 0
    for row in rows:
        found.append(_event(*row))
        size += len(row[5])
        if most and size >= most:
            break
    return found


def current(connection: sqlite3.Connection, key: Key, expected: int | None) -> Stored:
    """The object that is to be changed. Raises NotFound, Conflict."""
    found = get(connection, key)
    if found is None:
        raise refusals.missing(key)
    if expected is not None and expected != found.revision:
        raise refusals.changed(key, found.revision, expected)
    return found


def _event(
    revision: int,
    kind: str,
    resource: str,
    namespace: str,
    name: str,
    body: bytes,
    previous: bytes | None,
    previous_revision: int | None,
) -> Event:
    stored = Stored(Key(resource, namespace, name), revision, body)
    if not previous_revision:
        return Event(EventType(kind), stored)
    return Event(EventType(kind), stored, body if previous is None else previous, previous_revision)


def _record(
    connection: sqlite3.Connection, kind: EventType, key: Key, body: bytes, before: Stored | None
) -> int:
    previous = before.body if before is not None and kind is EventType.MODIFIED else None
    revision = 0 if before is None else before.revision
    values = (kind.value, key.resource, key.namespace, key.name, revision, body, previous)
    return int(connection.execute(INSERT_EVENT, values).fetchone()[0])
