"""The SQL of the SQLite store: what each read and each write is, on a connection that somebody else looks after.

Rule: these functions neither begin nor commit. Writes check before they change, so that a refusal leaves nothing
behind in the transaction it shares with others. The revision of an event is the row's AUTOINCREMENT key: it only ever
grows, also over restarts and after the log was cut, and has no gaps (a rollback takes it back).
"""

from __future__ import annotations

import sqlite3

from argosy.store import refusals
from argosy.store.base import Event, EventType, Key, Listing, Stored

SELECT_OBJECT = "SELECT revision, body FROM objects WHERE resource = ? AND namespace = ? AND name = ?"
INSERT_EVENT = (
    "INSERT INTO events (type, resource, namespace, name, body) VALUES (?, ?, ?, ?, ?) RETURNING revision"
)


def create(connection: sqlite3.Connection, key: Key, body: bytes) -> Stored:
    if get(connection, key) is not None:
        raise refusals.exists(key)
    revision = _record(connection, EventType.ADDED, key, body)
    connection.execute(
        "INSERT INTO objects (resource, namespace, name, revision, body) VALUES (?, ?, ?, ?, ?)",
        (key.resource, key.namespace, key.name, revision, body),
    )
    return Stored(key, revision, body)


def update(connection: sqlite3.Connection, key: Key, body: bytes, expected: int | None) -> Stored:
    _current(connection, key, expected)
    revision = _record(connection, EventType.MODIFIED, key, body)
    connection.execute(
        "UPDATE objects SET revision = ?, body = ? WHERE resource = ? AND namespace = ? AND name = ?",
        (revision, body, key.resource, key.namespace, key.name),
    )
    return Stored(key, revision, body)


def delete(connection: sqlite3.Connection, key: Key, expected: int | None) -> Stored:
    found = _current(connection, key, expected)
    revision = _record(connection, EventType.DELETED, key, found.body)
    connection.execute(
        "DELETE FROM objects WHERE resource = ? AND namespace = ? AND name = ?",
        (key.resource, key.namespace, key.name),
    )
    return Stored(key, revision, found.body)


def compact(connection: sqlite3.Connection, keep: int) -> None:
    """Cuts the event log to its last `keep` events, once it is a tenth longer."""
    newest, oldest = latest(connection), floor(connection)
    if newest - oldest > keep + keep // 10:
        connection.execute("DELETE FROM events WHERE revision <= ?", (newest - keep,))


def get(connection: sqlite3.Connection, key: Key) -> Stored | None:
    row = connection.execute(SELECT_OBJECT, (key.resource, key.namespace, key.name)).fetchone()
    return None if row is None else Stored(key, row[0], row[1])


def listing(connection: sqlite3.Connection, resource: str | None, namespace: str | None) -> Listing:
    """Objects and revision belong together only within one read transaction."""
    clauses, values = [], []
    for column, value in (("resource", resource), ("namespace", namespace)):
        if value is not None:
            clauses.append(f"{column} = ?")
            values.append(value)
    where = f" WHERE {' AND '.join(clauses)}" if clauses else ""
    rows = connection.execute(
        f"SELECT resource, namespace, name, revision, body FROM objects{where} ORDER BY resource, namespace, name",  # noqa: S608
        values,
    )
    items = tuple(Stored(Key(row[0], row[1], row[2]), row[3], row[4]) for row in rows)
    return Listing(items, latest(connection))


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


def events(connection: sqlite3.Connection, after: int, count: int) -> list[Event]:
    """The next `count` events after a revision. Raises Compacted."""
    reach(connection, after)
    rows = connection.execute(
        "SELECT revision, type, resource, namespace, name, body FROM events WHERE revision > ?"
        " ORDER BY revision LIMIT ?",
        (after, count),
    )
    return [Event(EventType(row[1]), Stored(Key(row[2], row[3], row[4]), row[0], row[5])) for row in rows]


def _current(connection: sqlite3.Connection, key: Key, expected: int | None) -> Stored:
    found = get(connection, key)
    if found is None:
        raise refusals.missing(key)
    if expected is not None and expected != found.revision:
        raise refusals.changed(key, found.revision, expected)
    return found


def _record(connection: sqlite3.Connection, kind: EventType, key: Key, body: bytes) -> int:
    row = connection.execute(
        INSERT_EVENT, (kind.value, key.resource, key.namespace, key.name, body)
    ).fetchone()
    return int(row[0])
