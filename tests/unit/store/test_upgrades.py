"""Files of earlier formats: their objects, revisions and events go on in the format of today."""

from __future__ import annotations

import asyncio
import contextlib
import sqlite3
from pathlib import Path

import pytest

from argosy.runtime.errors import Failure
from argosy.store import file
from argosy.store.base import Compacted, Event, EventType, Key, Stored
from argosy.store.sqlite import SqliteStore

A, B, C = (Key("/services", "shop", name) for name in "abc")

# What Argosy of format 1 wrote: b was made and changed before its log begins (revision 4); a was made at 2, changed
# at 5 and deleted at 7; c was made at 6.
FORMAT_1 = """
PRAGMA journal_mode = WAL;
CREATE TABLE objects (resource TEXT NOT NULL, namespace TEXT NOT NULL, name TEXT NOT NULL,
    revision INTEGER NOT NULL, body BLOB NOT NULL, UNIQUE (resource, namespace, name));
CREATE TABLE events (revision INTEGER PRIMARY KEY AUTOINCREMENT, type TEXT NOT NULL,
    resource TEXT NOT NULL, namespace TEXT NOT NULL, name TEXT NOT NULL, body BLOB NOT NULL);
INSERT INTO objects VALUES ('/services', 'shop', 'b', 8, CAST('b8' AS BLOB));
INSERT INTO objects VALUES ('/services', 'shop', 'c', 6, CAST('c6' AS BLOB));
INSERT INTO events VALUES (4, 'MODIFIED', '/services', 'shop', 'b', CAST('b4' AS BLOB));
INSERT INTO events VALUES (5, 'MODIFIED', '/services', 'shop', 'a', CAST('a5' AS BLOB));
INSERT INTO events VALUES (6, 'ADDED', '/services', 'shop', 'c', CAST('c6' AS BLOB));
INSERT INTO events VALUES (7, 'DELETED', '/services', 'shop', 'a', CAST('a5' AS BLOB));
INSERT INTO events VALUES (8, 'MODIFIED', '/services', 'shop', 'b', CAST('b8' AS BLOB));
PRAGMA application_id = 1098016623;
PRAGMA user_version = 1;
"""


@pytest.fixture
def old(tmp_path: Path) -> Path:
    path = tmp_path / "argosy.db"
    with contextlib.closing(sqlite3.connect(path)) as connection:
        connection.executescript(FORMAT_1)
    return path


def number(path: Path) -> int:
    with contextlib.closing(sqlite3.connect(path)) as connection:
        return int(connection.execute("PRAGMA user_version").fetchone()[0])


async def test_a_file_of_format_1_goes_on_where_it_was(old: Path) -> None:
    store = await SqliteStore.open(old)
    assert number(old) == file.FORMAT
    listing = await store.list()
    assert listing.items == (Stored(B, 8, b"b8"), Stored(C, 6, b"c6"))
    assert listing.revision == 8
    events = store.watch(3)
    found = [await anext(events) for _ in range(5)]
    assert found == [
        Event(EventType.MODIFIED, Stored(B, 4, b"b4")),  # what was before it, nobody wrote down
        Event(EventType.MODIFIED, Stored(A, 5, b"a5")),
        Event(EventType.ADDED, Stored(C, 6, b"c6")),
        Event(EventType.DELETED, Stored(A, 7, b"a5"), b"a5", 5),
        Event(EventType.MODIFIED, Stored(B, 8, b"b8"), b"b4", 4),
    ]
    assert (await store.create(A, b"a9")).revision == 9
    await store.close()


async def test_what_was_there_is_known_as_far_back_as_format_1_wrote_it_down(old: Path) -> None:
    store = await SqliteStore.open(old)
    assert (await store.list(revision=7)).items == (Stored(B, 4, b"b4"), Stored(C, 6, b"c6"))
    assert (await store.list(revision=5)).items == (Stored(A, 5, b"a5"), Stored(B, 4, b"b4"))
    for revision in (3, 4):
        with pytest.raises(Compacted, match="begins after revision 5"):
            await store.list(revision=revision)
    await store.close()


async def test_an_empty_log_of_format_1_takes_no_revision_back(old: Path) -> None:
    with contextlib.closing(sqlite3.connect(old)) as connection, connection:
        connection.execute("DELETE FROM events")
    store = await SqliteStore.open(old)
    assert await store.revision() == 8
    assert (await store.create(A, b"a9")).revision == 9
    await store.close()


async def test_many_may_upgrade_a_file_at_once(old: Path) -> None:
    stores = await asyncio.gather(*(SqliteStore.open(old) for _ in range(4)))
    assert {len((await store.list()).items) for store in stores} == {2}
    for store in stores:
        await store.close()


async def test_an_upgrade_that_fails_leaves_the_file_as_it_was(
    old: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(file, "UPGRADES", (*file.UPGRADES[:1], (*file.UPGRADES[1][:4], "nonsense")))
    with pytest.raises(Failure, match=r"argosy\.db"):
        await SqliteStore.open(old)
    assert number(old) == 1
    with contextlib.closing(sqlite3.connect(old)) as connection:
        tables = connection.execute("SELECT name FROM sqlite_master WHERE type = 'table' ORDER BY name")
        assert [row[0] for row in tables] == ["events", "objects", "sqlite_sequence"]
