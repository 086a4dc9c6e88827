"""etcd under the tests that every store passes: one server for all, a prefix for each store."""

from __future__ import annotations

import itertools
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from pathlib import Path

import msgspec
import pytest

from argosy.store.base import Store
from argosy.store.etcd.address import EtcdAddress, parse
from argosy.store.etcd.store import EtcdStore
from argosy.store.keyring import Keyring, create
from argosy.store.sealed import SealedStore
from tests.servers.etcd import Etcd, etcd

Maker = Callable[..., Awaitable[Store]]
PREFIXES = itertools.count()


@pytest.fixture(scope="session")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Etcd]:
    # What is tested is no disk: each write of the tests would wait for one.
    with etcd(tmp_path_factory.mktemp("etcd"), options=["--unsafe-no-fsync"]) as cluster:
        yield cluster


@pytest.fixture
def address(server: Etcd) -> EtcdAddress:
    """Of a prefix where nothing is."""
    found = parse(server.url(f"/test{next(PREFIXES)}"))
    return msgspec.structs.replace(found, compact=False)


@pytest.fixture(params=["etcd", "sealed etcd"])
async def make_store(request: pytest.FixtureRequest, server: Etcd, tmp_path: Path) -> AsyncIterator[Maker]:
    opened: list[Store] = []

    async def make() -> Store:
        found = parse(server.url(f"/test{next(PREFIXES)}", "?compact=off"))
        store: Store = await EtcdStore.open(found)
        if "sealed" in request.param:
            create(tmp_path / "keys")
            store = SealedStore(store, Keyring(tmp_path / "keys"))
        opened.append(store)
        return opened[-1]

    yield make
    for store in opened:
        await store.close()


@pytest.fixture
async def store(make_store: Maker) -> Store:
    return await make_store()
