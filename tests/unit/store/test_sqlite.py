"""What the file promises: it survives kill -9, serves several processes, and says clearly why it cannot be used."""

from __future__ import annotations

import asyncio
import re
import signal
import sqlite3
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from argosy.runtime.errors import Failure
from argosy.store import file, rows, sqlite
from argosy.store.base import Compacted, Event, EventType, Key, Store, Unavailable
from argosy.store.memory import MemoryStore
from argosy.store.sqlite import SqliteStore
from argosy.store.tail import CHUNK_BYTES

ROUTES = "networking.istio.io/virtualservices"
REVIEWS = Key(ROUTES, "shop", "reviews")

WRITE_FOR_EVER = """
import asyncio, sys
from argosy.store.base import Key
from argosy.store.sqlite import SqliteStore

async def main():
    store = await SqliteStore.open(sys.argv[1])

    async def write(writer):
        turn = 0
        while True:
            name = f"{writer}-{turn}"
            made = await store.create(Key("r", "n", name), name.encode() * 100)
            print(name, made.revision, flush=True)
            turn += 1

    await asyncio.gather(*(write(i) for i in range(8)))

asyncio.run(main())
"""

WRITE_LINES = """
import asyncio, sys
from argosy.store.base import Key
from argosy.store.sqlite import SqliteStore

async def main():
    store = await SqliteStore.open(sys.argv[1])
    for i in range(int(sys.argv[2])):
        await store.create(Key("r", "other", f"o{i}"), b"")
    await store.close()

asyncio.run(main())
"""

FILL_THE_DISK = """
import asyncio, resource, sys
from argosy.store.base import Key, Unavailable
from argosy.store.sqlite import SqliteStore

async def main():
    store = await SqliteStore.open(sys.argv[1])
    await store.create(Key("r", "n", "before"), b"1")
    _, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (300_000, hard))
    try:
        for i in range(100):
            await store.create(Key("r", "n", f"big{i}"), b"x" * 50_000)
        print("never refused")
    except Unavailable as refused:
        print(refused)
    there = {item.key.name for item in (await store.list()).items}
    print("kept:", there == {"before", *(f"big{j}" for j in range(i))})
    resource.setrlimit(resource.RLIMIT_FSIZE, (hard, hard))
    made = await store.create(Key("r", "n", "after"), b"1")
    print("next:", made.revision == i + 2)
    await store.close()

asyncio.run(main())
"""


def test_every_acknowledged_write_survives_kill_9(tmp_path: Path) -> None:
    path = tmp_path / "a.db"
    acknowledged: dict[str, int] = {}
    for round_ in range(3):
        before = len(acknowledged)
        with subprocess.Popen(
            [sys.executable, "-c", WRITE_FOR_EVER.replace('f"{writer}', f'f"{round_}-{{writer}}'), str(path)],
            stdout=subprocess.PIPE,
            text=True,
        ) as writer:
            assert writer.stdout is not None
            for line in writer.stdout:
                if found := re.fullmatch(r"(\S+) (\d+)\n", line):
                    acknowledged[found[1]] = int(found[2])
                if len(acknowledged) == before + 150:
                    writer.send_signal(signal.SIGKILL)
        assert writer.returncode == -signal.SIGKILL

    async def read() -> dict[str, tuple[int, bytes]]:
        store = await SqliteStore.open(path)
        listing = await store.list()
        await store.close()
        assert listing.revision == max(item.revision for item in listing.items)
        return {item.key.name: (item.revision, item.body) for item in listing.items}

    stored = asyncio.run(read())
    assert len(acknowledged) >= 450
    for name, revision in acknowledged.items():
        assert stored[name] == (revision, name.encode() * 100)


async def test_revisions_and_events_go_on_where_they_were_after_a_restart(tmp_path: Path) -> None:
    path = tmp_path / "a.db"
    first = await SqliteStore.open(path)
    made = await first.create(REVIEWS, b"1")
    gone = await first.delete(REVIEWS)
    await first.close()
    second = await SqliteStore.open(path)
    again = await second.create(REVIEWS, b"2")
    assert again.revision == gone.revision + 1
    events = second.watch(made.revision)
    found = [await anext(events), await anext(events)]
    assert [event.type for event in found] == [EventType.DELETED, EventType.ADDED]
    await second.close()


async def test_a_watch_sees_what_another_process_writes(tmp_path: Path) -> None:
    store = await SqliteStore.open(tmp_path / "a.db")
    await store.create(REVIEWS, b"1")
    events = store.watch(1)
    first = asyncio.ensure_future(anext(events))
    writer = await asyncio.create_subprocess_exec(
        sys.executable, "-c", WRITE_LINES, str(store.path), "600", stdout=asyncio.subprocess.PIPE
    )
    mine = [asyncio.create_task(store.create(Key(ROUTES, "mine", f"o{i}"), b"")) for i in range(100)]
    async with asyncio.timeout(30):
        seen = [(await first).stored.revision]
        seen += [(await anext(events)).stored.revision for _ in range(699)]
        await asyncio.gather(*mine)
        assert await writer.wait() == 0
    assert seen == list(range(2, 702))
    await store.close()


async def test_nothing_polls_while_nobody_watches(tmp_path: Path) -> None:
    store = await SqliteStore.open(tmp_path / "a.db")
    assert store._follower is None
    events = store.watch(0)
    await store.create(REVIEWS, b"1")
    await anext(events)
    follower = store._follower
    assert follower is not None
    assert not follower.done()
    await events.aclose()
    await asyncio.gather(follower, return_exceptions=True)
    assert follower.cancelled()
    await store.close()


async def test_writes_that_wait_together_share_a_transaction(tmp_path: Path) -> None:
    store = await SqliteStore.open(tmp_path / "a.db")
    statements: list[str] = []
    store._writer._connection.set_trace_callback(statements.append)
    await asyncio.gather(*(store.create(Key(ROUTES, "shop", f"o{i}"), b"") for i in range(200)))
    await store.close()
    commits = statements.count("COMMIT")
    assert 1 <= commits <= 50
    assert sum(statement.startswith("INSERT INTO objects") for statement in statements) == 200


async def test_what_was_asked_before_close_is_done(tmp_path: Path) -> None:
    store = await SqliteStore.open(tmp_path / "a.db")
    writes = [asyncio.create_task(store.create(Key(ROUTES, "shop", f"o{i}"), b"")) for i in range(50)]
    await asyncio.sleep(0)
    await store.close()
    assert len(await asyncio.gather(*writes)) == 50
    again = await SqliteStore.open(store.path)
    assert len((await again.list()).items) == 50
    await again.close()


async def test_a_name_that_sqlite_cannot_hold_fails_alone(tmp_path: Path) -> None:
    store = await SqliteStore.open(tmp_path / "a.db")
    bad, good = await asyncio.gather(
        store.create(Key(ROUTES, "shop", "\ud800"), b""), store.create(REVIEWS, b""), return_exceptions=True
    )
    assert isinstance(bad, ValueError)
    assert await store.get(REVIEWS) == good
    await store.close()


async def test_the_file_and_its_side_files_are_for_this_user_alone(tmp_path: Path) -> None:
    path = tmp_path / "a.db"
    path.touch(0o644)
    path.chmod(0o644)
    store = await SqliteStore.open(path)
    await store.create(REVIEWS, b"secret")
    for name in ("a.db", "a.db-wal", "a.db-shm"):
        assert stat.S_IMODE((tmp_path / name).stat().st_mode) == 0o600
    await store.close()


async def test_a_newer_file_is_refused_and_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "a.db"
    store = await SqliteStore.open(path)
    await store.close()
    with sqlite3.connect(path) as connection:
        connection.execute(f"PRAGMA user_version = {file.FORMAT + 1}")
    connection.close()
    before = path.read_bytes()
    with pytest.raises(Failure, match=rf"written by a newer Argosy \(format {file.FORMAT + 1};") as refused:
        await SqliteStore.open(path)
    assert str(path) in refused.value.what
    assert "downgrade" in refused.value.remedy
    assert path.read_bytes() == before


async def test_another_programs_database_is_refused_and_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "a.db"
    with sqlite3.connect(path) as connection:
        connection.execute("CREATE TABLE bookmarks (url TEXT)")
    connection.close()
    before = path.read_bytes()
    with pytest.raises(Failure, match="database of another program"):
        await SqliteStore.open(path)
    assert path.read_bytes() == before


@pytest.mark.parametrize("damage", ["not a database", "pages", "cut"])
async def test_a_broken_file_is_refused_with_a_remedy(tmp_path: Path, damage: str) -> None:
    path = tmp_path / "a.db"
    store = await SqliteStore.open(path)
    for i in range(200):
        await store.create(Key(ROUTES, "shop", f"o{i}"), b"x" * 500)
    await store.close()
    data = bytearray(path.read_bytes())
    if damage == "not a database":
        data[:16] = b"something else!!"
    elif damage == "pages":
        for page in range(2, len(data) // 4096):
            data[page * 4096 : page * 4096 + 200] = b"\xff" * 200
    else:
        del data[len(data) // 2 :]
    path.write_bytes(data)
    with pytest.raises(Failure, match="is broken") as refused:
        await SqliteStore.open(path)
    assert str(path) in refused.value.what
    assert "backup" in refused.value.remedy
    assert path.read_bytes() == bytes(data)


async def test_a_folder_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(Failure, match=r"cannot open the store .*nowhere/a.db: No such file"):
        await SqliteStore.open(tmp_path / "nowhere" / "a.db")


def test_a_full_disk_refuses_the_write_keeps_the_rest_and_passes(tmp_path: Path) -> None:
    """The kernel's limit on file sizes stands for the full disk: it ends in the same errors of SQLite."""
    done = subprocess.run(
        [sys.executable, "-c", FILL_THE_DISK, str(tmp_path / "a.db")],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    first, kept, after = done.stdout.splitlines() or ["", "", done.stderr]
    assert re.search(r"the store .*a\.db.*: (free some disk space|look at the disk)", first), done.stderr
    assert (kept, after) == ("kept: True", "next: True")


async def test_a_store_locked_by_another_process_is_unavailable_not_broken(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(file, "BUSY_SECONDS", 0.05)
    store = await SqliteStore.open(tmp_path / "a.db")
    other = sqlite3.connect(store.path, isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    with pytest.raises(Unavailable, match="another process has locked the store"):
        await store.create(REVIEWS, b"1")
    assert await store.get(REVIEWS) is None  # readers are not kept waiting
    other.execute("COMMIT")
    other.close()
    assert (await store.create(REVIEWS, b"1")).revision == 1
    await store.close()


async def test_opening_a_file_of_this_format_writes_nothing(tmp_path: Path) -> None:
    """So that a full disk keeps nobody from starting and reading."""
    path = tmp_path / "a.db"
    first = await SqliteStore.open(path)
    await first.create(REVIEWS, b"1")
    await first.close()
    before = path.read_bytes()
    second = await SqliteStore.open(path)
    assert (await second.get(REVIEWS)) is not None
    assert (tmp_path / "a.db-wal").stat().st_size == 0
    await second.close()
    assert path.read_bytes() == before


async def test_two_processes_may_open_a_new_file_at_once(tmp_path: Path) -> None:
    stores = await asyncio.gather(*(SqliteStore.open(tmp_path / "a.db") for _ in range(4)))
    done = await asyncio.gather(
        *(store.create(Key(ROUTES, "shop", f"o{i}"), b"") for i, store in enumerate(stores))
    )
    assert sorted(stored.revision for stored in done) == [1, 2, 3, 4]
    for store in stores:
        await store.close()


async def test_a_commit_is_on_the_disk_when_it_returns(tmp_path: Path) -> None:
    """What a killed process cannot show: a power cut. FULL (2) syncs the log at each commit."""
    store = await SqliteStore.open(tmp_path / "a.db")
    writing = store._writer._connection
    assert writing.execute("PRAGMA synchronous").fetchone() == (2,)
    assert writing.execute("PRAGMA journal_mode").fetchone() == ("wal",)
    await store.close()


@pytest.mark.parametrize("kind", ["memory", "sqlite"])
async def test_the_log_keeps_at_least_its_last_events_and_not_all(tmp_path: Path, kind: str) -> None:
    sqlite = kind == "sqlite"
    store: Store = (
        await SqliteStore.open(tmp_path / "a.db", keep_events=100) if sqlite else MemoryStore(keep_events=100)
    )
    await store.create(REVIEWS, b"0")
    for turn in range(400):
        await store.update(REVIEWS, str(turn).encode())
    with pytest.raises(Compacted):
        await anext(store.watch(1))
    newest = await store.revision()
    events = store.watch(newest - 100)
    found = [(await anext(events)).stored.revision for _ in range(100)]
    assert found == list(range(newest - 99, newest + 1))
    await store.close()


async def test_who_is_far_behind_reads_the_log_a_little_at_a_time(tmp_path: Path) -> None:
    store = await SqliteStore.open(tmp_path / "a.db")
    await store.create(REVIEWS, b"")
    for _ in range(50):
        await store.update(REVIEWS, b"x" * 100_000)
    found = [batch async for batch in store._older(0)]
    assert [event.stored.revision for batch in found for event in batch] == list(range(1, 52))
    assert max(sum(len(event.stored.body) for event in batch) for batch in found) < CHUNK_BYTES + 100_000
    await store.close()


async def test_what_this_process_writes_reaches_its_watchers_without_being_read_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As the log has it: the same types, bodies and revisions."""
    monkeypatch.setattr(sqlite, "POLL_SECONDS", 3600.0)
    store = await SqliteStore.open(tmp_path / "a.db")
    heard: list[Event] = []

    async def watch() -> None:
        async for event in store.watch(0):
            heard.append(event)

    waits, pause = asyncio.Event(), store._pause

    async def pausing() -> None:
        waits.set()
        await pause()

    monkeypatch.setattr(store, "_pause", pausing)
    watching = asyncio.create_task(watch())
    async with asyncio.timeout(10):
        await waits.wait()  # the follower has looked into the file
    read: list[int] = []
    monkeypatch.setattr(rows, "events", lambda _, after, **bounds: read.append(after))
    first = await store.create(REVIEWS, b"1")
    await store.update(REVIEWS, b"2", first.revision)
    await store.update(REVIEWS, b"2")
    await store.delete(REVIEWS)
    await asyncio.gather(*(store.create(Key(ROUTES, "shop", f"r{i}"), b"") for i in range(20)))
    async with asyncio.timeout(10):
        while len(heard) < 24:
            await asyncio.sleep(0.01)
    assert read == []
    monkeypatch.undo()
    assert heard == rows.events(file.connect(tmp_path / "a.db"), 0, 100)
    watching.cancel()
    await store.close()
