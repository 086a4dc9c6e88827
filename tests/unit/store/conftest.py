"""All stores under the same tests: what holds for one must hold for the others, and with a seal around them."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path

import pytest

from argosy.store.base import Store
from argosy.store.keyring import Keyring, create
from argosy.store.memory import MemoryStore
from argosy.store.sealed import SealedStore
from argosy.store.sqlite import SqliteStore


def keys_at(path: Path) -> Keyring:
    create(path)
    return Keyring(path)


Maker = Callable[..., Awaitable[Store]]


@pytest.fixture(params=["memory", "sqlite", "sealed memory", "sealed sqlite"])
async def make_store(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Maker]:
    """Opens stores of one kind; closes them afterwards."""
    opened: list[Store] = []

    async def make() -> Store:
        if "memory" in request.param:
            store: Store = MemoryStore()
        else:
            store = await SqliteStore.open(tmp_path / f"{len(opened)}.db")
        if "sealed" in request.param:
            store = SealedStore(store, keys_at(tmp_path / "keys"))
        opened.append(store)
        return store

    yield make
    for store in opened:
        await store.close()


@pytest.fixture
async def store(make_store: Maker) -> Store:
    return await make_store()
