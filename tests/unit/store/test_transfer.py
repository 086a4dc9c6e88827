"""Everything from one store to another: complete, compared, and never over what was there unasked."""

from __future__ import annotations

from pathlib import Path

import pytest

from argosy.runtime.errors import Failure
from argosy.store.base import Compacted, Key, Store, Stored, Unchanged
from argosy.store.holding import holding
from argosy.store.memory import MemoryStore
from argosy.store.sqlite import SqliteStore
from argosy.store.transfer import GAP, digest, transfer

ROUTES = "networking.istio.io/virtualservices"


async def fill(store: Store, count: int) -> None:
    for number in range(count):
        await store.create(Key(ROUTES, f"n{number % 7}", f"o{number}"), str(number).encode())


async def contents(store: Store) -> dict[Key, bytes]:
    return {item.key: item.body for item in (await store.list()).items}


@pytest.mark.parametrize("count", [0, 1, 1203])
async def test_the_target_holds_what_the_source_did(store: Store, count: int) -> None:
    source, seen = MemoryStore(), []
    await fill(source, count)
    done = await transfer(source, store, progress=lambda *told: seen.append(told))
    assert await contents(store) == await contents(source)
    assert (done.count, done.written, done.deleted) == (count, count, 0)
    assert done.sha256 == (await digest(store)).sha256 == (await digest(source)).sha256
    assert seen[-1] == (count, count)


async def test_what_servers_keep_for_themselves_stays(store: Store) -> None:
    source = MemoryStore()
    await fill(source, 3)
    async with holding(source, Key("/internal/servers", "", "a"), b"", 5):
        assert (await transfer(source, store)).count == 3
    assert {key.resource for key in await contents(store)} == {ROUTES}


async def test_a_target_with_objects_is_refused_unless_they_may_go(store: Store) -> None:
    source = MemoryStore()
    await fill(source, 5)
    await store.create(Key(ROUTES, "n0", "o0"), b"other")
    await store.create(Key(ROUTES, "n1", "o1"), b"1")
    extra = await store.create(Key(ROUTES, "n0", "extra"), b"")
    before = await contents(store)
    with pytest.raises(Failure, match="holds 3 objects already") as refused:
        await transfer(source, store)
    assert "--replace" in refused.value.remedy
    assert await contents(store) == before
    done = await transfer(source, store, replace=True)
    assert await contents(store) == await contents(source)
    assert (done.count, done.written, done.deleted) == (5, 4, 1)
    assert await store.get(extra.key) is None


async def test_a_target_that_somebody_else_writes_to_is_told(store: Store) -> None:
    source = MemoryStore()
    await fill(source, 3)

    class Shared(MemoryStore):
        async def create(self, key: Key, body: bytes, given: Unchanged | None = None) -> Stored:
            if key.name == "o2":
                await super().create(Key(ROUTES, "n9", "intruder"), b"")
            return await super().create(key, body, given)

    with pytest.raises(Failure, match=r"does not hold what the source does: 4 objects .*, not 3") as failed:
        await transfer(source, Shared())
    assert "does somebody write to it" in failed.value.remedy


async def test_a_client_of_the_source_is_told_to_list_again_by_a_new_file(tmp_path: Path) -> None:
    """Its revisions would name other changes there."""
    source = MemoryStore()
    await fill(source, 20)
    target = await SqliteStore.open(tmp_path / "a.db")
    await transfer(source, target)
    assert await target.revision() == await source.revision() + GAP + 20
    with pytest.raises(Compacted):
        await anext(target.watch(await source.revision()))
    await target.close()
