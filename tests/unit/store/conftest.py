"""Both stores under the same tests: what holds for one must hold for the other."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path

import pytest

from argosy.store.base import Store
from argosy.store.memory import MemoryStore
from argosy.store.sqlite import SqliteStore

Maker = Callable[..., Awaitable[Store]]


@pytest.fixture(params=["memory", "sqlite"])
async def make_store(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Maker]:
    """Opens stores of one kind; closes them afterwards."""
    opened: list[Store] = []

    async def make() -> Store:
        if request.param == "memory":
            store: Store = MemoryStore()
        else:
            store = await SqliteStore.open(tmp_path / f"{len(opened)}.db")
        opened.append(store)
        return store

    yield make
    for store in opened:
        await store.close()


@pytest.fixture
async def store(make_store: Maker) -> Store:
    return await make_store()
