"""A SQLite store in trouble: broken pages found in service, a disk that is full, clocks that jump, a slow watcher."""

from __future__ import annotations

import asyncio
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from argosy.runtime.errors import Failure
from argosy.store.base import EventType, Key, Unavailable
from argosy.store.holding import holding
from argosy.store.sqlite import SqliteStore

ROUTES = "networking.istio.io/virtualservices"
SERVER = Key("/internal/servers", "", "one")


async def filled(path: Path, count: int = 400) -> SqliteStore:
    store = await SqliteStore.open(path)
    await asyncio.gather(
        *(store.create(Key(ROUTES, "shop", f"o{i:04}"), str(i).encode() * 200) for i in range(count))
    )
    return store


def spoil(path: Path) -> None:
    """All pages but the first are noise: as after a fault of the disk."""
    size = path.stat().st_size
    with path.open("r+b") as file:
        for page in range(1, size // 4096):
            file.seek(page * 4096)
            file.write(b"\xff" * 300)
        file.flush()
        os.fsync(file.fileno())


async def test_a_page_that_breaks_in_service_is_said_with_a_remedy_and_nothing_hangs(tmp_path: Path) -> None:
    """Whoever reads or writes hears of it; the process lives on."""
    first = await filled(tmp_path / "a.db")
    await first.close()
    store = await SqliteStore.open(tmp_path / "a.db")
    spoil(tmp_path / "a.db")
    said = r"(?s)the store .*a\.db is broken .*move it away .*argosy store restore"
    for attempt in (
        store.list(),
        store.get(Key(ROUTES, "shop", "o0007")),
        store.create(Key(ROUTES, "shop", "new"), b""),
        store.update(Key(ROUTES, "shop", "o0007"), b""),
        anext(store.watch(0)),
        store.health(),
    ):
        with pytest.raises(Unavailable, match=said):
            async with asyncio.timeout(20):
                await attempt
    with pytest.raises(Failure, match=said):
        await store.backup(tmp_path / "backup")
    assert not (tmp_path / "backup").exists()
    await store.close()
    with pytest.raises(Failure, match="is broken"):
        await SqliteStore.open(tmp_path / "a.db")


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of two megabytes."""
    folder = tmp_path / "disk"
    folder.mkdir()
    mounted = shutil.which("mount") and subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=2m", "tmpfs", str(folder)], check=False, capture_output=True
    )
    if not mounted or mounted.returncode != 0:
        pytest.skip(
            "=== SKIPPED: a small file system needs the right to mount one (RLIMIT_FSIZE stands for it) ==="
        )
    yield folder
    subprocess.run(["umount", str(folder)], check=True)


async def fill_up(store: SqliteStore) -> int:
    """How many writes succeeded before the disk was full."""
    for number in range(10_000):
        try:
            await store.create(Key(ROUTES, "big", f"o{number}"), b"x" * 20_000)
        except Unavailable as refused:
            assert "free some disk space on the file system" in str(refused)  # noqa: PT017
            return number
    raise AssertionError("it was never full")


async def test_a_full_file_system_refuses_writes_is_read_and_passes(small_disk: Path) -> None:
    (small_disk / "ballast").write_bytes(b"x" * 600_000)
    store = await SqliteStore.open(small_disk / "a.db")
    first = await store.create(Key(ROUTES, "shop", "first"), b"1")
    events = store.watch(first.revision)
    written = await fill_up(store)
    assert len((await store.list(ROUTES, "big")).items) == written
    seen = [(await anext(events)).stored.key.name for _ in range(written)]
    assert seen == [f"o{number}" for number in range(written)]
    with pytest.raises(Failure, match=r"no space left|cannot write"):
        await store.backup(small_disk / "backup")
    assert sorted(os.listdir(small_disk)) == ["a.db", "a.db-shm", "a.db-wal", "ballast"]  # noqa: PTH208
    again = await SqliteStore.open(small_disk / "a.db")  # a server that starts meanwhile can read
    assert await again.get(first.key) == first
    await again.close()
    (small_disk / "ballast").unlink()
    after = await store.create(Key(ROUTES, "shop", "after"), b"1")
    assert after.revision == first.revision + written + 1
    await store.close()


async def test_nobody_who_sets_the_clock_ends_a_hold_or_keeps_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = await SqliteStore.open(tmp_path / "a.db")
    real = time.time
    ttl = 6.0  # a machine that stands still for two thirds of it loses a hold rightly
    async with holding(store, SERVER, b"", ttl) as held:
        for jump in (-86_400.0, 86_400.0):
            monkeypatch.setattr(time, "time", lambda jump=jump: real() + jump)
            until = asyncio.get_running_loop().time() + ttl / 2
            while asyncio.get_running_loop().time() < until:
                assert await store.get(SERVER) is not None
                await asyncio.sleep(0.05)
        assert not held.lost.is_set()
    gone = await store.hold(SERVER, b"", 1.0)
    await gone.stop()  # type: ignore[attr-defined]
    monkeypatch.setattr(time, "time", lambda: real() - 86_400)
    async with asyncio.timeout(20):
        while await store.get(SERVER) is not None:
            await asyncio.sleep(0.05)
    await store.close()


async def test_a_hold_of_an_earlier_boot_is_over(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from argosy.store import leases

    store = await SqliteStore.open(tmp_path / "a.db")
    held = await store.hold(SERVER, b"before", 10_000)
    monkeypatch.setattr(leases, "boot", lambda: "another")
    assert await store.get(SERVER) is None
    async with holding(store, SERVER, b"after", 5):
        assert await store.get(SERVER) is not None
    events = store.watch(0)
    kinds = [(await anext(events)).type for _ in range(4)]
    assert kinds == [EventType.ADDED, EventType.DELETED] * 2
    await held.stop()  # type: ignore[attr-defined]
    await store.close()


HOLD_FOR_EVER = """
import asyncio, sys
from argosy.store.base import Key
from argosy.store.sqlite import SqliteStore

async def main():
    store = await SqliteStore.open(sys.argv[1])
    await store.hold(Key("/internal/servers", "", "one"), b"child", 1.0)
    print("held", flush=True)
    await asyncio.Event().wait()

asyncio.run(main())
"""


async def test_what_a_killed_process_held_goes(tmp_path: Path) -> None:
    store = await SqliteStore.open(tmp_path / "a.db")
    events = store.watch(0)
    child = await asyncio.create_subprocess_exec(
        sys.executable, "-c", HOLD_FOR_EVER, str(store.path), stdout=asyncio.subprocess.PIPE
    )
    assert child.stdout is not None
    async with asyncio.timeout(30):
        assert await child.stdout.readline() == b"held\n"
        assert (await anext(events)).type is EventType.ADDED
        child.kill()
        await child.wait()
        assert (await anext(events)).type is EventType.DELETED
    await store.close()


async def test_a_watcher_that_never_reads_holds_nobody_up_and_little_memory(tmp_path: Path) -> None:
    store = await SqliteStore.open(tmp_path / "a.db")
    idle = [store.watch(0) for _ in range(50)]
    first = await store.create(Key(ROUTES, "shop", "first"), b"")
    for events in idle:
        assert (await anext(events)).stored == first
    for batch in range(30):
        await asyncio.gather(*(store.create(Key(ROUTES, f"b{batch}", f"o{i}"), b"x") for i in range(100)))
    quick = store.watch(await store.revision() - 1)
    await anext(quick)
    assert store._tail is not None
    assert len(store._tail._events) < 1_200
    for events in (*idle, quick):
        await events.aclose()  # type: ignore[attr-defined]
    await store.close()
