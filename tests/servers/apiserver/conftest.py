"""The API over the stores that people run: SQLite on a disk, and a real etcd with a prefix for each test.

`make test` runs SQLite; etcd is among the long tests, as the store has a suite of its own over it.
"""

from __future__ import annotations

import itertools
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from argosy.store.base import Key, Store
from argosy.store.etcd.address import parse
from argosy.store.etcd.store import EtcdStore
from argosy.store.sqlite import SqliteStore
from tests.servers.etcd import Etcd, etcd
from tests.unit.apiserver.conftest import api, app, over_http, served

__all__ = ["api", "app", "over_http", "served"]

PREFIXES = itertools.count()


@pytest.fixture(scope="session")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Etcd]:
    with etcd(tmp_path_factory.mktemp("etcd"), options=["--unsafe-no-fsync"]) as cluster:
        yield cluster


@pytest.fixture(params=["sqlite", pytest.param("etcd", marks=pytest.mark.long)])
async def store(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Store]:
    opened: Store
    if request.param == "etcd":
        server: Etcd = request.getfixturevalue("server")
        opened = await EtcdStore.open(parse(server.url(f"/api{next(PREFIXES)}", "?compact=off")))
    else:
        opened = await SqliteStore.open(tmp_path / "store.db")
    for name in ("default", "istio-system", "shop"):
        body = b'{"apiVersion":"v1","kind":"Namespace","metadata":{"name":"%b"}}' % name.encode()
        await opened.create(Key("/namespaces", "", name), body)
    yield opened
    await opened.close()
