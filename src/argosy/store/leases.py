"""The leases of the SQLite store: objects that are deleted when their time is over and nobody renewed it.

Rule: time is the kernel's monotonic clock, which all processes of a host share and nobody sets; a lease of an earlier
boot is over. Whoever reads or watches deletes what is over first, so that nobody needs to run for it all the time.
"""

from __future__ import annotations

import sqlite3
import time
from functools import cache
from pathlib import Path

from argosy.store import rows
from argosy.store.base import INTERNAL, Event, Key

OVER = "(until <= ? OR boot != ?)"
OURS = "resource = ? AND namespace = ? AND name = ? AND token = ?"


def create(connection: sqlite3.Connection, key: Key, body: bytes, token: str, ttl: float) -> Event:
    """The object with its lease. Raises AlreadyExists."""
    sweep(connection)
    made = rows.create(connection, key, body)
    connection.execute(
        "INSERT INTO leases (resource, namespace, name, token, boot, until) VALUES (?, ?, ?, ?, ?, ?)",
        (key.resource, key.namespace, key.name, token, boot(), time.monotonic() + ttl),
    )
    return made


def renew(connection: sqlite3.Connection, key: Key, token: str, ttl: float) -> bool:
    """Whether the lease was there and is so for `ttl` seconds more."""
    now = time.monotonic()
    renewed = connection.execute(
        f"UPDATE leases SET until = ? WHERE {OURS} AND NOT {OVER}",  # noqa: S608
        (now + ttl, key.resource, key.namespace, key.name, token, now, boot()),
    )
    return renewed.rowcount == 1


def release(connection: sqlite3.Connection, key: Key, token: str) -> Event | None:
    """Deletes the object, if the lease is still this one's."""
    ours = connection.execute(
        f"SELECT 1 FROM leases WHERE {OURS}",  # noqa: S608
        (key.resource, key.namespace, key.name, token),
    ).fetchone()
    return rows.delete(connection, key, None) if ours else None


def any_over(connection: sqlite3.Connection) -> bool:
    return bool(_over(connection, 1))


def sweep(connection: sqlite3.Connection) -> Event | None:
    """Deletes the objects whose time is over; the last of them, if there were any."""
    last = None
    for key in _over(connection, -1):
        last = rows.delete(connection, key, None)
    return last


def drop(connection: sqlite3.Connection) -> None:
    """Takes what the servers keep for themselves out of a copy."""
    connection.execute("DELETE FROM leases")
    connection.execute("DELETE FROM objects WHERE substr(resource, 1, ?) = ?", (len(INTERNAL), INTERNAL))


@cache
def boot() -> str:
    """Which boot of the machine this is: monotonic clocks of two boots have nothing in common."""
    return Path("/proc/sys/kernel/random/boot_id").read_text().strip()


def _over(connection: sqlite3.Connection, count: int) -> list[Key]:
    found = connection.execute(
        f"SELECT resource, namespace, name FROM leases WHERE {OVER} LIMIT ?",  # noqa: S608
        (time.monotonic(), boot(), count),
    )
    return [Key(*row) for row in found]
