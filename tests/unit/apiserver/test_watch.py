"""Watches over a real connection: frames, selectors, bookmarks, and every way one ends."""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator, Callable
from typing import Any

import httpx
import pytest

from argosy.apiserver.app import create_app
from argosy.apiserver.auth import User
from argosy.apiserver.serving import Serving, serve
from argosy.store.base import Key, Store
from argosy.store.memory import MemoryStore
from tests.unit.apiserver.conftest import ALL_ROUTES, REVIEWS, ROUTES, virtual_service

Json = dict[str, Any]
Frames = AsyncIterator[Json]


@contextlib.asynccontextmanager
async def watching(api: httpx.AsyncClient, path: str = ALL_ROUTES, **params: str) -> AsyncIterator[Frames]:
    async with api.stream("GET", path, params={"watch": "true", **params}) as response:
        assert response.status_code == 200, await response.aread()
        assert response.headers["content-type"] == "application/json"
        yield _frames(response)


async def _frames(response: httpx.Response) -> Frames:
    async for line in response.aiter_lines():
        yield json.loads(line)


async def take(frames: Frames, count: int) -> list[Json]:
    async with asyncio.timeout(20):
        return [await anext(frames) for _ in range(count)]


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(20):
        while not condition():
            await asyncio.sleep(0.01)


def short(frames: list[Json]) -> list[tuple[str, str]]:
    return [(frame["type"], frame["object"]["metadata"]["name"]) for frame in frames]


async def create(api: httpx.AsyncClient, name: str, **metadata: Any) -> Json:
    response = await api.post(ROUTES, json=virtual_service(name, **metadata))
    assert response.status_code == 201
    made: Json = response.json()
    return made


async def label(api: httpx.AsyncClient, name: str, tier: str | None) -> None:
    patch = {"metadata": {"labels": {"tier": tier}}}
    headers = {"Content-Type": "application/merge-patch+json"}
    assert (await api.patch(f"{ROUTES}/{name}", json=patch, headers=headers)).status_code == 200


async def test_a_watch_from_a_list_gives_every_later_change_once(over_http: httpx.AsyncClient) -> None:
    before = await create(over_http, "before")
    listed = (await over_http.get(ALL_ROUTES)).json()
    made = await create(over_http, "a")
    async with watching(over_http, resourceVersion=listed["metadata"]["resourceVersion"]) as frames:
        await over_http.post(
            "/api/v1/namespaces/shop/configmaps",
            json={"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "other"}},
        )
        changed = (
            await over_http.put(f"{ROUTES}/before", json=before | {"spec": made["spec"] | {"hosts": ["x"]}})
        ).json()
        gone = (await over_http.delete(f"{ROUTES}/a")).json()
        found = await take(frames, 3)
    assert found[0] == {"type": "ADDED", "object": made}
    assert found[1] == {"type": "MODIFIED", "object": changed}
    assert found[2]["type"] == "DELETED"
    assert found[2]["object"]["metadata"]["resourceVersion"] == gone["metadata"]["resourceVersion"]


@pytest.mark.parametrize("version", ["", "0"])
async def test_a_watch_from_nothing_begins_with_what_is_there(
    over_http: httpx.AsyncClient, version: str
) -> None:
    await create(over_http, "a")
    await create(over_http, "b", labels={"tier": "x"})
    async with watching(over_http, resourceVersion=version) as frames:
        await create(over_http, "c")
        assert short(await take(frames, 3)) == [("ADDED", "a"), ("ADDED", "b"), ("ADDED", "c")]
    async with watching(over_http, resourceVersion=version, labelSelector="tier") as frames:
        assert short(await take(frames, 1)) == [("ADDED", "b")]


async def test_a_watch_of_a_namespace_or_a_name_sees_that_alone(over_http: httpx.AsyncClient) -> None:
    async with (
        watching(over_http, ROUTES.replace("shop", "default")) as elsewhere,
        watching(over_http, fieldSelector="metadata.name=b") as named,
    ):
        await create(over_http, "a")
        await create(over_http, "b")
        await over_http.post(ROUTES.replace("shop", "default"), json=virtual_service("c", "default"))
        assert short(await take(named, 1)) == [("ADDED", "b")]
        assert short(await take(elsewhere, 1)) == [("ADDED", "c")]


async def test_a_watcher_never_keeps_what_left_its_selection(over_http: httpx.AsyncClient) -> None:
    await create(over_http, "a", labels={"tier": "front"})
    await create(over_http, "b")
    revision = (await over_http.get(ALL_ROUTES)).json()["metadata"]["resourceVersion"]
    async with watching(over_http, resourceVersion=revision, labelSelector="tier=front") as frames:
        await label(over_http, "b", "front")
        await label(over_http, "a", "back")
        await over_http.delete(f"{ROUTES}/a")
        await label(over_http, "b", "back")
        await create(over_http, "c", labels={"tier": "back"})
        await over_http.delete(f"{ROUTES}/c")
        await create(over_http, "d", labels={"tier": "front"})
        await over_http.delete(f"{ROUTES}/d")
        expected = [("ADDED", "b"), ("DELETED", "a"), ("DELETED", "b"), ("ADDED", "d"), ("DELETED", "d")]
        assert short(await take(frames, 5)) == expected


async def test_what_changed_before_the_watch_came_is_told_rather_once_too_often(
    over_http: httpx.AsyncClient,
) -> None:
    """The client read at `revision`; by the time it watches, what it then had can only be guessed."""
    await create(over_http, "a", labels={"tier": "front"})
    revision = (await over_http.get(ALL_ROUTES)).json()["metadata"]["resourceVersion"]
    await label(over_http, "a", "back")
    async with watching(over_http, resourceVersion=revision, labelSelector="tier=front") as frames:
        assert short(await take(frames, 1)) == [("DELETED", "a")]


async def test_a_bookmark_says_how_far_a_quiet_watch_has_come(
    over_http: httpx.AsyncClient, store: Store
) -> None:
    async with watching(over_http, resourceVersion="1", allowWatchBookmarks="true") as frames:
        await store.create(Key("/configmaps", "shop", "other"), b'{"metadata":{}}')
        newest = str((await store.list()).revision)
        async with asyncio.timeout(20):
            async for frame in frames:
                assert frame["type"] == "BOOKMARK"
                assert frame["object"]["kind"] == "VirtualService"
                if frame["object"]["metadata"]["resourceVersion"] == newest:
                    break


async def test_initial_events_end_with_a_bookmark_that_says_so(over_http: httpx.AsyncClient) -> None:
    await create(over_http, "a")
    wanted = {
        "sendInitialEvents": "true",
        "allowWatchBookmarks": "true",
        "resourceVersionMatch": "NotOlderThan",
    }
    async with watching(over_http, **wanted) as frames:
        first, second = await take(frames, 2)
    assert short([first]) == [("ADDED", "a")]
    assert second["type"] == "BOOKMARK"
    assert second["object"]["metadata"]["annotations"] == {"k8s.io/initial-events-end": "true"}


async def test_a_watch_from_before_the_log_is_told_to_list_again() -> None:
    store = MemoryStore(keep_events=10)
    for i in range(200):
        await store.create(Key("/configmaps", "shop", f"c{i}"), b"{}")
    serving = await serve(create_app(store, authenticate=lambda _: User("ada")))
    async with (
        httpx.AsyncClient(base_url=f"http://127.0.0.1:{serving.port}", trust_env=False) as api,
        watching(api, resourceVersion="3") as frames,
    ):
        found = [frame async for frame in frames]
    assert [frame["type"] for frame in found] == ["ERROR"]
    status = found[0]["object"]
    assert (status["kind"], status["code"], status["reason"]) == ("Status", 410, "Expired")
    await serving.stop()


async def test_a_watch_ends_after_its_time(over_http: httpx.AsyncClient) -> None:
    async with asyncio.timeout(20):
        async with watching(over_http, timeoutSeconds="1") as frames:
            assert [frame async for frame in frames] == []


async def test_stopping_the_server_ends_its_watches_in_order(
    served: Serving, over_http: httpx.AsyncClient
) -> None:
    async with watching(over_http) as frames:
        stopping = asyncio.create_task(served.stop())
        async with asyncio.timeout(20):
            assert [frame async for frame in frames] == []
            await stopping


async def test_a_store_that_closes_ends_a_watch_with_a_status(
    over_http: httpx.AsyncClient, store: Store
) -> None:
    async with watching(over_http) as frames:
        await create(over_http, "a")
        await take(frames, 1)
        await store.close()
        frame = (await take(frames, 1))[0]
        assert (frame["type"], frame["object"]["reason"]) == ("ERROR", "ServiceUnavailable")


async def test_a_client_that_leaves_leaves_nothing(over_http: httpx.AsyncClient, store: Store) -> None:
    assert isinstance(store, MemoryStore)
    async with watching(over_http) as frames:
        await create(over_http, "a")
        await take(frames, 1)
        assert store._tail.watchers == 1
    await until(lambda: store._tail.watchers == 0)
    assert not store._tail._waiting


async def test_many_watchers_under_writers_all_see_the_same_in_order(over_http: httpx.AsyncClient) -> None:
    async def watch() -> list[str]:
        async with watching(over_http) as frames:
            return [frame["object"]["metadata"]["resourceVersion"] for frame in await take(frames, 60)]

    watchers = [asyncio.create_task(watch()) for _ in range(5)]
    await asyncio.gather(*(create(over_http, f"v{i}") for i in range(60)))
    seen = await asyncio.gather(*watchers)
    expected = sorted({int(revision) for revision in seen[0]})
    assert len(expected) == 60
    for revisions in seen:
        assert sorted(map(int, revisions)) == expected


async def test_a_get_of_one_object_does_not_watch(over_http: httpx.AsyncClient) -> None:
    made = await create(over_http, "reviews")
    assert (await over_http.get(REVIEWS, params={"watch": "true"})).json() == made
