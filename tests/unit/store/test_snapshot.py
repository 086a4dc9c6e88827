"""Backups of every store: one file, whole or not there, that any store can be made from."""

from __future__ import annotations

import asyncio
import stat
from pathlib import Path

import pytest

from argosy.runtime.errors import Failure
from argosy.store.base import Copied, Key, Store
from argosy.store.holding import holding
from argosy.store.sqlite import SqliteStore

ROUTES = "networking.istio.io/virtualservices"


def files(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


async def test_a_backup_holds_every_object_under_its_revision(store: Store, tmp_path: Path) -> None:
    for number in range(40):
        await store.create(Key(ROUTES, "shop", f"o{number}"), str(number).encode() * 900)
    await store.update(Key(ROUTES, "shop", "o7"), b"changed")
    await store.delete(Key(ROUTES, "shop", "o8"))
    listing = await store.list()
    path = tmp_path / "backup"
    assert await store.backup(path) == Copied(39, listing.revision)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    await store.create(Key(ROUTES, "shop", "later"), b"")
    copy = await SqliteStore.open(path)
    assert await copy.list() == listing
    assert (await copy.create(Key(ROUTES, "shop", "later"), b"")).revision == listing.revision + 1
    await copy.close()


async def test_an_empty_store_and_one_that_holds_presence(store: Store, tmp_path: Path) -> None:
    assert (await store.backup(tmp_path / "empty")).count == 0
    await store.create(Key(ROUTES, "shop", "a"), b"")
    async with holding(store, Key("/internal/servers", "", "one"), b"", 5):
        assert (await store.backup(tmp_path / "one")).count == 1
    copy = await SqliteStore.open(tmp_path / "one")
    assert [item.key.name for item in (await copy.list()).items] == ["a"]
    await copy.close()


async def test_a_backup_is_of_one_moment_while_others_write(store: Store, tmp_path: Path) -> None:
    """Two objects always change one after the other; no copy shows the second ahead of the first."""
    first, second = Key(ROUTES, "a", "first"), Key(ROUTES, "b", "second")
    await store.create(first, b"0")
    await store.create(second, b"0")
    for number in range(300):
        await store.create(Key(ROUTES, "ab", f"o{number}"), b"x" * 2000)

    async def write() -> None:
        turn = 0
        while True:
            turn += 1
            await store.update(first, str(turn).encode())
            await store.update(second, str(turn).encode())
            await asyncio.sleep(0)

    writing = asyncio.create_task(write())
    try:
        for number in range(3):
            await store.backup(tmp_path / f"{number}")
    finally:
        writing.cancel()
        await asyncio.gather(writing, return_exceptions=True)
    for number in range(3):
        copy = await SqliteStore.open(tmp_path / f"{number}")
        ahead, behind = [int((await copy.get(key)).body) for key in (first, second)]  # type: ignore[union-attr]
        assert ahead - behind in (0, 1)
        await copy.close()


async def test_a_backup_overwrites_nothing_and_leaves_nothing_half(store: Store, tmp_path: Path) -> None:
    await store.create(Key(ROUTES, "shop", "a"), b"")
    there = tmp_path / "there"
    there.write_bytes(b"precious")
    before = files(tmp_path)
    with pytest.raises(Failure, match="there exists already"):
        await store.backup(there)
    assert there.read_bytes() == b"precious"
    with pytest.raises(Failure, match=r"cannot write .*nowhere/backup: No such file"):
        await store.backup(tmp_path / "nowhere" / "backup")
    assert files(tmp_path) == before
