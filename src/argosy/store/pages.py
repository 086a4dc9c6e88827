"""Pages of the SQLite store: which objects there are, now or at an older revision, a bounded number at a time.

What was there at a revision is what is there now and has not changed since, and for what has, the previous body of its
first event after the revision. Objects and revision belong together only within one read transaction.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence

from msgspec import Struct

from argosy.store import refusals, rows
from argosy.store.base import Key, Listing, Stored

Value = str | int
COLUMNS = "resource, namespace, name"
# SQLite gives the other columns of a group from the row that min() chose: sqlite.org/lang_select.html#bareagg
BEFORE = (
    "SELECT resource, namespace, name, previous_revision AS revision, coalesce(previous, body) AS body,"
    " min(revision) AS first FROM events WHERE {where} GROUP BY resource, namespace, name"
)


class Selection(Struct, frozen=True):
    """The arguments of `Store.list`."""

    resource: str | None
    namespace: str | None
    limit: int
    after: Key | None
    revision: int | None


def page(connection: sqlite3.Connection, wanted: Selection) -> Listing:
    """Raises Compacted."""
    newest = rows.latest(connection)
    clauses, values = _restrictions(wanted)
    if wanted.revision is None or wanted.revision == newest:
        revision, source = newest, _objects(clauses)
    else:
        revision = wanted.revision
        reach(connection, revision)
        source, values = _at(revision, clauses, values)
    order = f" ORDER BY {COLUMNS}"
    if not wanted.limit:
        return Listing(_items(connection.execute(source + order, values)), revision)
    items = _items(connection.execute(f"{source}{order} LIMIT ?", (*values, wanted.limit)))
    if len(items) < wanted.limit:
        return Listing(items, revision)
    total = connection.execute(f"SELECT count(*) FROM ({source})", values).fetchone()[0]  # noqa: S608
    return Listing(items, revision, int(total) - len(items))


def reach(connection: sqlite3.Connection, revision: int) -> None:
    """Raises Compacted where it is not known any more what was there at a revision."""
    rows.reach(connection, revision)
    unknown = connection.execute(
        "SELECT max(revision) FROM events WHERE previous_revision IS NULL"
    ).fetchone()[0]
    if unknown is not None and revision < unknown:
        raise refusals.cut(int(unknown), revision)


def _at(revision: int, clauses: Sequence[str], values: Sequence[Value]) -> tuple[str, tuple[Value, ...]]:
    changed = BEFORE.format(where=" AND ".join([*clauses, "revision > ?"]))
    before = f"SELECT {COLUMNS}, revision, body FROM ({changed}) WHERE revision > 0"  # noqa: S608
    source = f"{_objects([*clauses, 'revision <= ?'])} UNION ALL {before}"
    return source, (*values, revision, *values, revision)


def _objects(clauses: Sequence[str]) -> str:
    where = f" WHERE {' AND '.join(clauses)}" if clauses else ""
    return f"SELECT {COLUMNS}, revision, body FROM objects{where}"  # noqa: S608


def _restrictions(wanted: Selection) -> tuple[list[str], tuple[Value, ...]]:
    clauses: list[str] = []
    values: list[Value] = []
    for column, value in (("resource", wanted.resource), ("namespace", wanted.namespace)):
        if value is not None:
            clauses.append(f"{column} = ?")
            values.append(value)
    if wanted.after is not None:
        clauses.append(f"({COLUMNS}) > (?, ?, ?)")
        values += [wanted.after.resource, wanted.after.namespace, wanted.after.name]
    return clauses, tuple(values)


def _items(found: sqlite3.Cursor) -> tuple[Stored, ...]:
    return tuple(Stored(Key(row[0], row[1], row[2]), row[3], row[4]) for row in found)
