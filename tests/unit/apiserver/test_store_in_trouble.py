"""The API while its store is in trouble: a full disk, broken pages. Said with a remedy; what was acknowledged stays."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx

from argosy.apiserver.app import create_app
from argosy.apiserver.auth import User
from argosy.apiserver.serving import serve
from argosy.store.base import Key, Store
from argosy.store.sqlite import SqliteStore
from tests.unit.apiserver.test_watch import short, take, watching
from tests.unit.store.test_sqlite_failures import small_disk, spoil

__all__ = ["small_disk"]

MAPS = "/api/v1/namespaces/shop/configmaps"
Json = dict[str, Any]


@contextlib.asynccontextmanager
async def api_over(store: Store) -> AsyncIterator[httpx.AsyncClient]:
    serving = await serve(create_app(store, authenticate=lambda _: User("ada")))
    url = f"http://127.0.0.1:{serving.port}"
    async with httpx.AsyncClient(base_url=url, trust_env=False, timeout=30) as client:
        yield client
    await serving.stop()


async def opened(path: Path) -> SqliteStore:
    store = await SqliteStore.open(path)
    await store.create(Key("/namespaces", "", "shop"), b'{"metadata":{"name":"shop"}}')
    return store


def config_map(name: str) -> Json:
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name}, "data": {"a": "x" * 20_000}}


async def test_a_full_disk_refuses_writes_with_a_remedy_and_is_read_and_watched(small_disk: Path) -> None:
    (small_disk / "ballast").write_bytes(b"x" * 600_000)
    store = await opened(small_disk / "a.db")
    async with api_over(store) as api:
        before = (await api.get(MAPS)).json()["metadata"]["resourceVersion"]
        made: list[Json] = []
        while (answer := await api.post(MAPS, json=config_map(f"m{len(made):03}"))).status_code == 201:
            made.append(answer.json())
        assert made
        assert (answer.status_code, answer.json()["reason"]) == (503, "ServiceUnavailable")
        assert "free some disk space on the file system" in answer.json()["message"]
        assert answer.headers["retry-after"] == "1"
        changed = await api.patch(
            f"{MAPS}/m000",
            json={"data": {"b": "y" * 20_000}},
            headers={"Content-Type": "application/merge-patch+json"},
        )
        assert changed.status_code == 503
        assert (await api.get(MAPS)).json()["items"] == made
        async with watching(api, MAPS, resourceVersion=before) as frames:
            seen = await take(frames, len(made))
            assert [frame["object"] for frame in seen] == made
            (small_disk / "ballast").unlink()
            after = await api.post(MAPS, json=config_map("after"))
            assert after.status_code == 201
            assert short(await take(frames, 1)) == [("ADDED", "after")]
        assert (await api.get(MAPS)).json()["items"] == sorted(
            [*made, after.json()], key=lambda obj: str(obj["metadata"]["name"])
        )
    await store.close()


async def test_broken_pages_are_a_503_that_names_the_file_and_the_remedy(tmp_path: Path) -> None:
    store = await opened(tmp_path / "a.db")
    async with api_over(store) as api:
        for number in range(40):
            assert (await api.post(MAPS, json=config_map(f"m{number}"))).status_code == 201
    await store.close()
    store = await SqliteStore.open(tmp_path / "a.db")
    spoil(tmp_path / "a.db")
    async with api_over(store) as api:
        for answer in (
            await api.get(MAPS),
            await api.get(f"{MAPS}/m7"),
            await api.post(MAPS, json=config_map("new")),
            await api.delete(f"{MAPS}/m7"),
        ):
            status = answer.json()
            assert (answer.status_code, status["reason"]) == (503, "ServiceUnavailable")
            assert "a.db is broken" in status["message"]
            assert "argosy store restore" in status["message"]
        async with watching(api, MAPS, resourceVersion="1") as frames:
            (frame,) = await take(frames, 1)
            assert (frame["type"], frame["object"]["code"]) == ("ERROR", 503)
    await store.close()
