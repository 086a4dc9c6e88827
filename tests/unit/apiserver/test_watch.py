"""Watches over a real connection: frames, selectors, bookmarks, and every way one ends."""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator, Callable
from typing import Any

import httpx
import msgspec
import pytest

from argosy.apiserver import paging, selectors
from argosy.apiserver import watching as watching_module
from argosy.apiserver.app import create_app
from argosy.apiserver.auth import User
from argosy.apiserver.paths import Target
from argosy.apiserver.serving import Serving, serve
from argosy.apiserver.watching import Wanted, change_of
from argosy.resources.kinds import by_resource
from argosy.store.base import Event, EventType, Key, Store, Stored
from argosy.store.memory import MemoryStore
from argosy.store.tail import Tail
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


async def test_what_changed_before_the_watch_came_is_told_exactly(over_http: httpx.AsyncClient) -> None:
    """The client read at `revision`: of what has changed since, it is told what it does not know and no more."""
    await create(over_http, "a", labels={"tier": "front"})
    await create(over_http, "b")
    revision = (await over_http.get(ALL_ROUTES)).json()["metadata"]["resourceVersion"]
    await label(over_http, "a", "back")
    await label(over_http, "b", "back")
    await over_http.delete(f"{ROUTES}/b")
    await create(over_http, "c", labels={"tier": "front"})
    async with watching(over_http, resourceVersion=revision, labelSelector="tier=front") as frames:
        found = await take(frames, 2)
    assert short(found) == [("DELETED", "a"), ("ADDED", "c")]
    gone = found[0]["object"]
    assert gone["metadata"]["labels"] == {"tier": "front"}, "as it was while it belonged to the selection"
    assert int(gone["metadata"]["resourceVersion"]) > int(revision)


@pytest.mark.parametrize(
    ("kind", "now", "previous", "expected"),
    [
        (EventType.ADDED, "front", None, "ADDED"),
        (EventType.ADDED, "back", None, None),
        (EventType.MODIFIED, "front", "front", "MODIFIED"),
        (EventType.MODIFIED, "front", "back", "ADDED"),
        (EventType.MODIFIED, "back", "front", "DELETED"),
        (EventType.MODIFIED, "back", "back", None),
        (EventType.MODIFIED, "front", None, "MODIFIED"),  # not known: rather too much than too little
        (EventType.MODIFIED, "back", None, "DELETED"),
        (EventType.DELETED, "front", None, "DELETED"),
        (EventType.DELETED, "back", None, None),
    ],
)
def test_what_an_event_is_to_a_client_follows_from_what_was_there(
    kind: EventType, now: str, previous: str | None, expected: str | None
) -> None:
    def body(tier: str) -> bytes:
        return json.dumps({"metadata": {"name": "a", "labels": {"tier": tier}}}).encode()

    route = by_resource("networking.istio.io/virtualservices")
    assert route is not None
    wanted = Wanted(
        target=Target(kind=route, version="v1"), selector=selectors.parse("tier=front", ""), after=1
    )
    stored = Stored(Key(route.resource, "shop", "a"), 5, body(now))
    change = change_of(wanted, Event(kind, stored, body(previous) if previous else None))
    assert (change.type if change else None) == expected
    elsewhere = msgspec.structs.replace(wanted, target=Target(kind=route, version="v1", namespace="default"))
    assert change_of(elsewhere, Event(kind, stored)) is None


async def test_a_watch_by_fields_sees_what_they_select(over_http: httpx.AsyncClient) -> None:
    path = "/api/v1/namespaces/shop/events"
    event = {
        "apiVersion": "v1",
        "kind": "Event",
        "involvedObject": {"kind": "Pod", "name": "x", "namespace": "shop"},
    }
    async with watching(over_http, path, fieldSelector="involvedObject.name=x,type=Warning") as frames:
        for name, kind in (("a", "Normal"), ("b", "Warning")):
            made = await over_http.post(path, json=event | {"metadata": {"name": name}, "type": kind})
            assert made.status_code == 201, made.text
        assert short(await take(frames, 1)) == [("ADDED", "b")]


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


async def test_initial_events_end_with_a_bookmark_that_says_so(
    over_http: httpx.AsyncClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(paging, "CHUNK", 2)
    monkeypatch.setattr(watching_module, "PAGE", 2)
    for name in "abcde":
        await create(over_http, name)
    revision = (await over_http.get(ALL_ROUTES)).json()["metadata"]["resourceVersion"]
    wanted = {
        "sendInitialEvents": "true",
        "allowWatchBookmarks": "true",
        "resourceVersionMatch": "NotOlderThan",
    }
    for given in ("", "0", "1", revision):
        async with watching(over_http, resourceVersion=given, **wanted) as frames:
            found = await take(frames, 6)
            await create(over_http, f"later{given}")
            later = (await take(frames, 1))[0]
            while later["type"] == "BOOKMARK":
                later = (await take(frames, 1))[0]
            assert short([later]) == [("ADDED", f"later{given}")]
            await over_http.delete(f"{ROUTES}/later{given}")
        assert short(found[:5]) == [("ADDED", name) for name in "abcde"]
        assert found[5]["type"] == "BOOKMARK"
        assert found[5]["object"]["metadata"]["annotations"] == {"k8s.io/initial-events-end": "true"}
        assert int(found[5]["object"]["metadata"]["resourceVersion"]) >= int(revision)


async def test_a_watch_may_leave_out_what_is_there(over_http: httpx.AsyncClient) -> None:
    await create(over_http, "a")
    wanted = {"sendInitialEvents": "false", "resourceVersionMatch": "NotOlderThan"}
    async with watching(over_http, **wanted) as frames:
        await create(over_http, "b")
        assert short(await take(frames, 1)) == [("ADDED", "b")]


async def test_a_watch_from_the_future_is_told_to_list_again(over_http: httpx.AsyncClient) -> None:
    wanted = {"sendInitialEvents": "true", "resourceVersionMatch": "NotOlderThan", "resourceVersion": "99999"}
    response = await over_http.get(ALL_ROUTES, params={"watch": "1", **wanted})
    assert (response.status_code, response.json()["reason"]) == (410, "Expired")
    async with watching(over_http, resourceVersion="99999") as frames:
        (frame,) = await take(frames, 1)
    assert (frame["type"], frame["object"]["code"]) == ("ERROR", 410)


async def test_a_client_that_does_not_read_holds_nothing_up_and_is_told_to_list_again() -> None:
    """Events are read from the store as the client takes them: one that lags is cut off by the log, not by memory."""
    store = MemoryStore(keep_events=10)
    await store.create(Key("/namespaces", "", "shop"), b'{"kind":"Namespace","metadata":{"name":"shop"}}')
    serving = await serve(create_app(store, authenticate=lambda _: User("ada")))
    key, body = (
        Key("networking.istio.io/virtualservices", "shop", "big"),
        json.dumps({"spec": "x" * 60_000}).encode(),
    )
    await store.create(key, body)
    reader, writer = await asyncio.open_connection("127.0.0.1", serving.port, limit=1 << 20)
    writer.write(f"GET {ALL_ROUTES}?watch=1 HTTP/1.1\r\nHost: x\r\n\r\n".encode())
    await reader.readuntil(b'"ADDED"')
    for _ in range(2000):  # 120 MB: far more than sockets hold
        await store.update(key, body)
        await asyncio.sleep(0)
    tail, error = b"", b'{"type":"ERROR","object":'
    async with asyncio.timeout(60):
        while error not in tail:
            chunk = await reader.read(1 << 16)
            assert chunk, "it ended without a word"
            tail = tail[-100:] + chunk
    writer.close()
    await serving.stop()


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


async def test_a_watch_outlives_its_namespace(over_http: httpx.AsyncClient) -> None:
    """It is told of the end of all that was in it, and of what there is in a new one of that name."""
    for name in ("a", "b"):
        await create(over_http, name)
    revision = (await over_http.get(ROUTES)).json()["metadata"]["resourceVersion"]
    async with watching(over_http, ROUTES, resourceVersion=revision) as frames:
        assert (await over_http.delete("/api/v1/namespaces/shop")).status_code == 200
        assert short(await take(frames, 2)) == [("DELETED", "a"), ("DELETED", "b")]
        again = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "shop"}}
        assert (await over_http.post("/api/v1/namespaces", json=again)).status_code == 201
        await create(over_http, "c")
        assert short(await take(frames, 1)) == [("ADDED", "c")]


async def test_a_client_that_leaves_leaves_nothing(over_http: httpx.AsyncClient, store: Store) -> None:
    def watchers() -> int:
        tail: Tail | None = getattr(store, "_tail", None)  # a store that nobody watches may have none
        return tail.watchers if tail is not None else 0

    async with watching(over_http) as frames:
        await create(over_http, "a")
        await take(frames, 1)
        assert watchers() == 1
    await until(lambda: watchers() == 0)


async def test_many_watchers_under_writers_all_see_the_same_in_order(over_http: httpx.AsyncClient) -> None:
    before = (await over_http.get(ALL_ROUTES)).json()["metadata"]["resourceVersion"]

    async def watch() -> list[str]:
        async with watching(over_http, resourceVersion=before) as frames:
            return [frame["object"]["metadata"]["resourceVersion"] for frame in await take(frames, 60)]

    watchers = [asyncio.create_task(watch()) for _ in range(5)]
    made = await asyncio.gather(*(create(over_http, f"v{i}") for i in range(60)))
    expected = sorted((obj["metadata"]["resourceVersion"] for obj in made), key=int)
    assert await asyncio.gather(*watchers) == [expected] * 5


async def test_a_get_of_one_object_does_not_watch(over_http: httpx.AsyncClient) -> None:
    made = await create(over_http, "reviews")
    assert (await over_http.get(REVIEWS, params={"watch": "true"})).json() == made
