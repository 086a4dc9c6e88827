"""Watches of the API while etcd is away, and after a backup of it was put back: nothing is lost or told twice, and who
has to list again is told so."""

from __future__ import annotations

import asyncio
import contextlib
import shutil
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from argosy.apiserver.app import create_app
from argosy.apiserver.auth import User
from argosy.apiserver.serving import serve
from argosy.store.base import Key
from argosy.store.etcd.address import parse
from argosy.store.etcd.store import EtcdStore
from tests.servers.etcd import Etcd, etcd
from tests.unit.apiserver.conftest import ALL_ROUTES, REVIEWS, ROUTES, virtual_service
from tests.unit.apiserver.test_watch import Frames, create, short, take, watching

Json = dict[str, Any]


@pytest.fixture
def alone(tmp_path: Path) -> Iterator[Etcd]:
    with etcd(tmp_path / "etcd", options=["--unsafe-no-fsync"]) as cluster:
        yield cluster


@contextlib.asynccontextmanager
async def api_over(cluster: Etcd) -> AsyncIterator[tuple[httpx.AsyncClient, EtcdStore]]:
    store = await EtcdStore.open(parse(cluster.url(options="?compact=off&timeout=2s")))
    with contextlib.suppress(Exception):
        await store.create(Key("/namespaces", "", "shop"), b'{"metadata":{"name":"shop"}}')
    serving = await serve(create_app(store, authenticate=lambda _: User("ada"), bookmark_seconds=0.1))
    url = f"http://127.0.0.1:{serving.port}"
    async with httpx.AsyncClient(base_url=url, trust_env=False, timeout=30) as client:
        yield client, store
    await serving.stop()
    await store.close()


async def revision_of(api: httpx.AsyncClient) -> str:
    listed = await api.get(ALL_ROUTES)
    assert listed.status_code == 200, listed.text
    return str(listed.json()["metadata"]["resourceVersion"])


async def created_once_it_is_back(api: httpx.AsyncClient, name: str) -> Json:
    """Tries until it is taken. What was refused as unavailable may yet have been carried out: then it is there."""
    async with asyncio.timeout(40):
        while True:
            answer = await api.post(ROUTES, json=virtual_service(name))
            if answer.status_code in (201, 409):
                found = await api.get(f"{ROUTES}/{name}")
                assert found.status_code == 200
                return dict(found.json())
            assert answer.status_code == 503, answer.text
            assert answer.json()["reason"] == "ServiceUnavailable"
            await asyncio.sleep(0.1)


async def until_named(frames: Frames, name: str) -> list[Json]:
    """The events up to that of an object, without the bookmarks between them."""
    found: list[Json] = []
    while not found or found[-1]["object"]["metadata"]["name"] != name:
        found += [each for each in await take(frames, 1) if each["type"] != "BOOKMARK"]
    return found


async def test_watches_go_on_where_they_were_when_etcd_comes_back(alone: Etcd) -> None:
    async with api_over(alone) as (api, _):
        before = await revision_of(api)
        async with watching(api, resourceVersion=before, allowWatchBookmarks="true") as frames:
            first = await create(api, "first")
            assert [each["object"] for each in await until_named(frames, "first")] == [first]
            alone.kill()
            refused = await api.post(ROUTES, json=virtual_service("refused"))
            assert (refused.status_code, refused.json()["reason"]) == (503, "ServiceUnavailable")
            assert (await api.get(ALL_ROUTES)).status_code == 503
            marks = await take(frames, 3)
            seen = first["metadata"]["resourceVersion"]
            assert {each["object"]["metadata"]["resourceVersion"] for each in marks} == {seen}
            assert {each["type"] for each in marks} == {"BOOKMARK"}
            alone.start()
            last = await created_once_it_is_back(api, "last")
            after = await until_named(frames, "last")
            there = {each["metadata"]["name"] for each in (await api.get(ALL_ROUTES)).json()["items"]}
            assert [name for _, name in short(after)] == [*sorted(there - {"first", "last"}), "last"]
            assert after[-1]["object"] == last
        async with watching(api, resourceVersion=seen) as resumed:
            assert await take(resumed, len(after)) == after


async def test_after_a_backup_was_put_back_watches_are_told_to_list_again(
    alone: Etcd, tmp_path: Path
) -> None:
    (member,) = alone.members
    async with api_over(alone) as (api, store):
        await create(api, "kept")
        alone.kill()
        shutil.copytree(member.folder / "data", tmp_path / "backup")
        alone.start()
        await created_once_it_is_back(api, "second")
        for number in range(20):
            await create(api, f"lost-{number}")
        before = await revision_of(api)
        async with watching(api, resourceVersion=before) as frames:
            await create(api, "lost-too")
            newest = (await take(frames, 1))[0]["object"]["metadata"]["resourceVersion"]
            alone.kill()
            shutil.rmtree(member.folder / "data")
            shutil.copytree(tmp_path / "backup", member.folder / "data")
            alone.start()
            status = (await take(frames, 1))[0]
            assert status["type"] == "ERROR"
            assert (status["object"]["code"], status["object"]["reason"]) == (410, "Expired")
        async with watching(api, resourceVersion=newest) as frames:
            status = (await take(frames, 1))[0]["object"]
            assert (status["code"], status["reason"]) == (410, "Expired")
        assert await store.last_change() < int(newest)
        old = await api.get(ALL_ROUTES, params={"resourceVersion": newest, "resourceVersionMatch": "Exact"})
        assert old.status_code == 410
        listed = (await api.get(ALL_ROUTES)).json()
        assert [each["metadata"]["name"] for each in listed["items"]] == ["kept"]
        async with watching(api, resourceVersion=listed["metadata"]["resourceVersion"]) as frames:
            made = await create(api, "anew")
            assert await take(frames, 1) == [{"type": "ADDED", "object": made}]
        assert (await api.get(REVIEWS)).status_code == 404
