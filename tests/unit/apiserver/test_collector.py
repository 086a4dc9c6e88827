"""What goes when its owner goes; and the contents of namespaces, past what a request waits for."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from typing import Any

import httpx
import msgspec
import pytest
from starlette.applications import Starlette
from structlog.testing import capture_logs

from argosy.apiserver import collector, namespaces
from argosy.apiserver.collector import Collector, Index
from argosy.store.base import Key, Store, Stored, Unavailable
from argosy.store.memory import MemoryStore
from tests.unit.apiserver.conftest import NOW, REVIEWS, ROUTES, virtual_service
from tests.unit.apiserver.test_objects import MERGE, create
from tests.unit.apiserver.test_watch import until

Json = dict[str, Any]
ROUTE = "networking.istio.io/virtualservices"


@contextlib.asynccontextmanager
async def running(app: Starlette) -> AsyncIterator[Collector]:
    found: Collector = app.state.collector
    task = asyncio.create_task(found.run())
    try:
        yield found
    finally:
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task


async def done(found: Collector, store: Store) -> None:
    """Until it has done all that follows from what is stored by now, and from what it did itself."""
    async with asyncio.timeout(20):
        while found.revision < await store.revision():
            await asyncio.sleep(0.005)


def owned_by(*owners: Json, blocks: bool = False) -> list[Json]:
    return [
        {
            "apiVersion": owner["apiVersion"],
            "kind": owner["kind"],
            "name": owner["metadata"]["name"],
            "uid": owner["metadata"]["uid"],
            **({"blockOwnerDeletion": True} if blocks else {}),
        }
        for owner in owners
    ]


async def there(store: Store) -> set[str]:
    return {stored.key.name for stored in (await store.list(ROUTE)).items}


async def test_what_it_owned_follows_an_owner_and_so_on(
    app: Starlette, api: httpx.AsyncClient, store: Store
) -> None:
    owner = await create(api, virtual_service("owner"))
    child = await create(api, virtual_service("child", ownerReferences=owned_by(owner)))
    await create(api, virtual_service("grandchild", ownerReferences=owned_by(child)))
    await create(api, virtual_service("other"))
    async with running(app) as found:
        await done(found, store)
        assert await there(store) == {"owner", "child", "grandchild", "other"}
        await api.delete(f"{ROUTES}/owner")
        await done(found, store)
        assert await there(store) == {"other"}


async def test_what_lost_its_owner_before_is_found_at_the_start(
    app: Starlette, api: httpx.AsyncClient, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(collector, "PAGE", 2)
    owner = await create(api, virtual_service("owner"))
    for i in range(5):
        await create(api, virtual_service(f"child{i}", ownerReferences=owned_by(owner)))
    await api.delete(f"{ROUTES}/owner")
    await create(api, virtual_service("owner"))  # of that name, but not the one
    async with running(app) as found:
        await done(found, store)
        assert await there(store) == {"owner"}


async def test_an_object_stays_while_one_of_its_owners_does(
    app: Starlette, api: httpx.AsyncClient, store: Store
) -> None:
    first, second = await create(api, virtual_service("a")), await create(api, virtual_service("b"))
    await create(api, virtual_service("child", ownerReferences=owned_by(first, second)))
    async with running(app) as found:
        await api.delete(f"{ROUTES}/a")
        await done(found, store)
        child = (await api.get(f"{ROUTES}/child")).json()
        assert child["metadata"]["ownerReferences"] == owned_by(second)


async def test_owners_that_cannot_be_looked_up_are_taken_to_be_there(
    app: Starlette, api: httpx.AsyncClient, store: Store
) -> None:
    pod = {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "p", "uid": "1"}}
    crd = {"apiVersion": "apiextensions.k8s.io/v1", "kind": "CustomResourceDefinition",
           "metadata": {"name": "virtualservices.networking.istio.io", "uid": "1"}}  # fmt: skip
    await create(api, virtual_service("a", ownerReferences=owned_by(pod)))
    await create(api, virtual_service("b", ownerReferences=owned_by(crd)))
    async with running(app) as found:
        await done(found, store)
        assert await there(store) == {"a", "b"}


async def test_in_the_foreground_the_owner_goes_last(
    app: Starlette, api: httpx.AsyncClient, store: Store
) -> None:
    owner = await create(api, virtual_service("owner"))
    await create(
        api, virtual_service("child", ownerReferences=owned_by(owner, blocks=True), finalizers=["a.dev/x"])
    )
    await create(api, virtual_service("free", ownerReferences=owned_by(owner)))
    async with running(app) as found:
        await api.delete(f"{ROUTES}/owner", params={"propagationPolicy": "Foreground"})
        await done(found, store)
        assert await there(store) == {"owner", "child"}, "the child's finalizer keeps both"
        child = (await api.get(f"{ROUTES}/child")).json()
        assert child["metadata"]["deletionTimestamp"]
        await api.patch(f"{ROUTES}/child", json={"metadata": {"finalizers": None}}, headers=MERGE)
        await done(found, store)
        assert await there(store) == set()


async def test_orphans_lose_the_reference_and_stay(
    app: Starlette, api: httpx.AsyncClient, store: Store
) -> None:
    owner, other = await create(api, virtual_service("owner")), await create(api, virtual_service("other"))
    await create(api, virtual_service("child", ownerReferences=owned_by(owner)))
    await create(api, virtual_service("both", ownerReferences=owned_by(owner, other)))
    async with running(app) as found:
        await api.delete(f"{ROUTES}/owner", params={"propagationPolicy": "Orphan"})
        await done(found, store)
        assert await there(store) == {"other", "child", "both"}
        assert "ownerReferences" not in (await api.get(f"{ROUTES}/child")).json()["metadata"]
        both = (await api.get(f"{ROUTES}/both")).json()
        assert both["metadata"]["ownerReferences"] == owned_by(other)


async def test_a_full_namespace_is_emptied_past_the_request(
    app: Starlette, api: httpx.AsyncClient, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(namespaces, "PAGE", 3)
    for i in range(10):
        await create(api, virtual_service(f"v{i}"))
    await create(api, virtual_service(finalizers=["a.dev/x"]))
    marked = (await api.delete("/api/v1/namespaces/shop")).json()
    assert marked["status"]["phase"] == "Terminating"
    assert len(await there(store)) == 9, "a page of three, one of which has a finalizer"
    async with running(app) as found:
        await done(found, store)
        assert await there(store) == {"reviews"}
        await api.patch(REVIEWS, json={"metadata": {"finalizers": []}}, headers=MERGE)
        await done(found, store)
        assert (await api.get("/api/v1/namespaces/shop")).status_code == 404
        assert (await store.list(None, "shop")).items == ()


async def test_what_is_written_past_the_api_into_a_namespace_that_ends_goes_with_it(
    app: Starlette, api: httpx.AsyncClient, store: Store
) -> None:
    await create(api, virtual_service(finalizers=["a.dev/x"]))
    async with running(app) as found:
        await api.delete("/api/v1/namespaces/shop")
        await store.create(Key(ROUTE, "shop", "late"), msgspec.json.encode(virtual_service("late")))
        await done(found, store)
        assert await there(store) == {"reviews"}


async def test_it_waits_for_a_store_that_is_away_and_begins_anew(monkeypatch: pytest.MonkeyPatch) -> None:
    class Flaky(MemoryStore):
        away = True

        async def get(self, key: Key) -> Stored | None:
            if self.away:
                raise Unavailable("away")
            return await super().get(key)

    monkeypatch.setattr(collector, "AGAIN_AFTER", 0.01)
    store = Flaky()
    orphan = virtual_service(ownerReferences=owned_by(virtual_service("x", uid="gone")))
    await store.create(Key(ROUTE, "shop", "reviews"), msgspec.json.encode(orphan))
    with capture_logs() as logged:
        import structlog

        found = Collector(store, lambda: NOW, structlog.get_logger())
        task = asyncio.create_task(found.run())
        await until(lambda: len(logged) > 1)
        store.away = False
        await done(found, store)
        assert await there(store) == set()
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
    assert {"collector waits for the store", "collected"} == {entry["event"] for entry in logged}


async def test_it_starts_anew_where_the_log_is_cut() -> None:
    import structlog

    store = MemoryStore(keep_events=10)
    found = Collector(store, lambda: NOW, structlog.get_logger())
    task = asyncio.create_task(found.run())
    for i in range(300):
        await store.create(Key("/configmaps", "shop", f"c{i}"), b"{}")
    orphan = virtual_service(ownerReferences=owned_by(virtual_service("x", uid="gone")))
    await store.create(Key(ROUTE, "shop", "reviews"), msgspec.json.encode(orphan))
    await done(found, store)
    assert await there(store) == set()
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)


def test_the_index_holds_nothing_of_objects_without_owners() -> None:
    index = Index()
    key = Key(ROUTE, "shop", "a")
    assert index.note(Stored(key, 1, msgspec.json.encode(virtual_service("a")))) is None
    owned = virtual_service("a", ownerReferences=owned_by(virtual_service("x", uid="u")))
    index.note(Stored(key, 2, msgspec.json.encode(owned)))
    assert index.dependents("u") == [key]
    index.note(Stored(key, 3, msgspec.json.encode(virtual_service("a"))))
    assert index.dependents("u") == []
    assert index.note(Stored(key, 4, b'"ownerReferences"')) == {}, "what is no object says nothing"
    assert (index._owners, index._dependents) == ({}, {})
