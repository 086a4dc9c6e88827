"""Many who watch the same: what an event is to them is worked out once. Counted, not timed."""

from __future__ import annotations

import asyncio
import contextlib
from collections import Counter
from collections.abc import AsyncIterator
from pathlib import Path

import httpx
import pytest

from argosy.apiserver import encoding
from argosy.apiserver.serving import Serving
from argosy.resources.kinds import Kind
from argosy.store.base import Key, Store, Stored
from argosy.store.keyring import Keyring
from argosy.store.memory import MemoryStore
from argosy.store.sealed import SECRETS, SealedStore
from tests.unit.apiserver.conftest import ALL_ROUTES, ROUTES, client_of
from tests.unit.apiserver.test_watch import create, label, short, take, watching
from tests.unit.store.conftest import keys_at

METADATA = {"Accept": "application/json;as=PartialObjectMetadata;g=meta.k8s.io;v=v1"}


@pytest.fixture
def rendered(monkeypatch: pytest.MonkeyPatch) -> Counter[tuple[str, int]]:
    """How often which revision of an object was encoded, in which form."""
    seen: Counter[tuple[str, int]] = Counter()
    whole, alone = encoding.render, encoding.render_metadata

    def render(stored: Stored, kind: Kind, api_version: str) -> bytes:
        seen[api_version, stored.revision] += 1
        return whole(stored, kind, api_version)

    def render_metadata(stored: Stored, api_version: str) -> bytes:
        seen[api_version, stored.revision] += 1
        return alone(stored, api_version)

    monkeypatch.setattr(encoding, "render", render)
    monkeypatch.setattr(encoding, "render_metadata", render_metadata)
    return seen


@pytest.fixture
async def crowd(served: Serving) -> AsyncIterator[httpx.AsyncClient]:
    """With as many connections as it takes."""
    async with client_of(served, limits=httpx.Limits(max_connections=None)) as client:
        yield client


async def revision(api: httpx.AsyncClient) -> str:
    found: str = (await api.get(ALL_ROUTES)).json()["metadata"]["resourceVersion"]
    return found


async def test_an_event_is_encoded_once_for_a_hundred_watchers(
    crowd: httpx.AsyncClient, rendered: Counter[tuple[str, int]]
) -> None:
    await create(crowd, "a")
    before = await revision(crowd)
    async with contextlib.AsyncExitStack() as stack:
        watchers = [
            await stack.enter_async_context(watching(crowd, resourceVersion=before)) for _ in range(100)
        ]
        rendered.clear()
        for tier in ("x", "y", "z"):
            await label(crowd, "a", tier)
        told = await asyncio.gather(*(take(frames, 3) for frames in watchers))
    assert all(each == told[0] for each in told)
    # Of each revision: the answer to its writer, and one frame.
    assert all(count <= 2 for count in rendered.values()), rendered
    assert len(rendered) == 3


async def test_who_watches_otherwise_is_told_otherwise(over_http: httpx.AsyncClient) -> None:
    """Version, form, namespace, selection: each of them makes another view of the same events."""
    before = await revision(over_http)
    beta = ROUTES.replace("/v1/", "/v1beta1/")
    async with (
        watching(over_http, resourceVersion=before) as plain,
        watching(over_http, beta, resourceVersion=before) as older,
        watching(over_http, ROUTES.replace("shop", "default"), resourceVersion=before) as elsewhere,
        watching(over_http, resourceVersion=before, labelSelector="tier=x") as labelled,
        watching(over_http, resourceVersion=before, labelSelector="tier=y") as other,
        watching(over_http, resourceVersion=before, fieldSelector="metadata.name=b") as named,
        over_http.stream(
            "GET", ALL_ROUTES, params={"watch": "1", "resourceVersion": before}, headers=METADATA
        ) as metadata,
    ):
        made = [
            await create(over_http, name, labels={"tier": tier}) for name, tier in (("a", "x"), ("b", "y"))
        ]
        moved = (
            await over_http.post(
                ROUTES.replace("shop", "default"), json=made[0] | {"metadata": {"name": "c"}}
            )
        ).json()
        assert [frame["object"] for frame in await take(plain, 3)] == [*made, moved]
        found = await take(older, 2)
        assert [frame["object"]["apiVersion"] for frame in found] == ["networking.istio.io/v1beta1"] * 2
        assert short(await take(elsewhere, 1)) == [("ADDED", "c")]
        assert short(await take(labelled, 1)) == [("ADDED", "a")]
        assert short(await take(other, 1)) == [("ADDED", "b")]
        assert short(await take(named, 1)) == [("ADDED", "b")]
        first = await anext(metadata.aiter_lines())
        assert '"kind":"PartialObjectMetadata"' in first
        assert '"spec"' not in first


async def test_a_secret_is_opened_once_for_all_who_watch(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store: Store = SealedStore(MemoryStore(), keys_at(tmp_path / "keys"))
    opened: list[bytes] = []
    keep = Keyring.open

    def count(keys: Keyring, sealed: bytes, place: bytes) -> bytes:
        opened.append(sealed)
        return keep(keys, sealed, place)

    monkeypatch.setattr(Keyring, "open", count)

    async def first() -> bytes:
        async for batch in store.batches(0):
            return batch.events[0].stored.body
        raise AssertionError("a watch does not end")

    watchers = [asyncio.create_task(first()) for _ in range(20)]
    await asyncio.sleep(0)
    await store.create(Key(SECRETS, "shop", "key"), b'{"data":{}}')
    assert await asyncio.gather(*watchers) == [b'{"data":{}}'] * 20
    assert len(opened) == 1
    await store.close()
