"""How often a request asks the store: counted, not timed. And what other servers do meanwhile is still seen."""

from __future__ import annotations

from collections import Counter
from typing import Any

import httpx
import msgspec
import pytest

from argosy.apiserver.paths import NAMESPACES
from argosy.store.around import Around
from argosy.store.base import Key, Listing, Store, Stored, Unchanged
from argosy.store.memory import MemoryStore
from tests.unit.apiserver.conftest import REVIEWS, ROUTES, virtual_service

SHOP = Key(NAMESPACES, "", "shop")
APPLY = {"Content-Type": "application/apply-patch+yaml"}


class Counted(Around):
    """A store that counts how it is asked."""

    def __init__(self, inner: Store) -> None:
        super().__init__(inner)
        self.asked: Counter[str] = Counter()

    async def get(self, key: Key) -> Stored | None:
        self.asked["get"] += 1
        return await super().get(key)

    async def list(self, *arguments: Any, **named: Any) -> Listing:
        self.asked["list"] += 1
        return await super().list(*arguments, **named)

    async def create(self, key: Key, body: bytes, given: Unchanged | None = None) -> Stored:
        self.asked["create"] += 1
        return await super().create(key, body, given)

    async def update(self, key: Key, body: bytes, expected: int | None = None) -> Stored:
        self.asked["update"] += 1
        return await super().update(key, body, expected)

    async def delete(self, key: Key, expected: int | None = None) -> Stored:
        self.asked["delete"] += 1
        return await super().delete(key, expected)

    def since(self) -> dict[str, int]:
        asked, self.asked = self.asked, Counter()
        return dict(asked)


@pytest.fixture
async def store() -> Counted:
    store = Counted(MemoryStore())
    await store.create(SHOP, namespace())
    return store


@pytest.fixture
async def warm(api: httpx.AsyncClient, store: Counted) -> None:
    """The namespace has been seen."""
    assert (await api.post(ROUTES, json=virtual_service("first"))).status_code == 201
    assert store.since() == {"get": 1, "create": 2}


def namespace(**metadata: Any) -> bytes:
    return msgspec.json.encode(
        {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "shop", **metadata}}
    )


@pytest.mark.usefixtures("warm")
async def test_a_create_asks_the_store_once(api: httpx.AsyncClient, store: Counted) -> None:
    assert (await api.post(ROUTES, json=virtual_service())).status_code == 201
    assert store.since() == {"create": 1}


@pytest.mark.usefixtures("warm")
async def test_an_apply_to_what_is_not_there_looks_and_creates(
    api: httpx.AsyncClient, store: Counted
) -> None:
    url = f"{REVIEWS}?fieldManager=ci"
    assert (await api.patch(url, json=virtual_service(), headers=APPLY)).status_code == 201
    assert store.since() == {"get": 1, "create": 1}


@pytest.mark.usefixtures("warm")
async def test_a_change_reads_and_writes(api: httpx.AsyncClient, store: Counted) -> None:
    merge = {"Content-Type": "application/merge-patch+json"}
    answer = await api.patch(f"{ROUTES}/first", json={"metadata": {"labels": {"a": "b"}}}, headers=merge)
    assert answer.status_code == 200
    assert store.since() == {"get": 1, "update": 1}


@pytest.mark.usefixtures("warm")
async def test_a_namespace_that_another_server_has_changed_is_read_again(
    api: httpx.AsyncClient, store: Counted
) -> None:
    await store.inner.update(SHOP, namespace(labels={"team": "a"}))
    assert (await api.post(ROUTES, json=virtual_service())).status_code == 201
    assert store.since() == {"create": 2, "get": 1}
    assert (await api.post(ROUTES, json=virtual_service("other"))).status_code == 201
    assert store.since() == {"create": 1}


@pytest.mark.parametrize("query", ["", "?dryRun=All"])
@pytest.mark.parametrize(
    "body",
    [virtual_service("first"), virtual_service(), virtual_service() | {"spec": {"hosts": 1}}],
    ids=["there", "new", "wrong"],
)
@pytest.mark.usefixtures("warm")
async def test_nothing_is_created_where_another_server_ends_the_namespace(
    api: httpx.AsyncClient, store: Counted, body: dict[str, Any], query: str
) -> None:
    """And that is said before what else is wrong."""
    before = await store.list("networking.istio.io/virtualservices")
    await store.inner.update(SHOP, namespace(deletionTimestamp="2026-03-04T05:06:07Z"))
    answer = await api.post(ROUTES + query, json=body)
    assert (answer.status_code, answer.json()["details"]["causes"][0]["reason"]) == (
        403,
        "NamespaceTerminating",
    )
    await store.inner.delete(SHOP)
    answer = await api.post(ROUTES + query, json=body)
    assert (answer.status_code, answer.json()["message"]) == (404, 'namespaces "shop" not found')
    assert (await store.list("networking.istio.io/virtualservices")).items == before.items


@pytest.mark.usefixtures("warm")
async def test_an_apply_creates_nothing_where_another_server_has_ended_the_namespace(
    api: httpx.AsyncClient, store: Counted
) -> None:
    await store.inner.delete(SHOP)
    answer = await api.patch(f"{REVIEWS}?fieldManager=ci", json=virtual_service(), headers=APPLY)
    assert (answer.status_code, answer.json()["message"]) == (404, 'namespaces "shop" not found')
