"""The authority's view of IdentityRegistrations follows the store, and survives what is wrong with it."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from typing import Any

import msgspec

from argosy.identity.proofs import Registration
from argosy.server.registrations import RESOURCE, Registrations
from argosy.store.base import Compacted, Event, Key
from argosy.store.memory import MemoryStore

ANN = Key(RESOURCE, "istio-system", "ann")


def body(**match: Any) -> bytes:
    return msgspec.json.encode(
        {
            "apiVersion": "identity.argosy.dev/v1",
            "kind": "IdentityRegistration",
            "metadata": {"name": "ann", "namespace": "istio-system"},
            "spec": {"match": match, "serviceAccounts": ["shop/*"]},
        }
    )


def registration(**match: Any) -> Registration:
    return Registration(name="istio-system/ann", service_accounts=("shop/*",), **match)


@contextlib.asynccontextmanager
async def following(store: MemoryStore) -> AsyncIterator[Registrations]:
    followed = Registrations(store)
    task = asyncio.create_task(followed.follow(await followed.load()))
    yield followed
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)


async def becomes(followed: Registrations, *expected: Registration) -> None:
    async with asyncio.timeout(5):
        while followed.current() != expected:
            await asyncio.sleep(0.001)


async def test_it_follows_the_store() -> None:
    store = MemoryStore()
    await store.create(ANN, body(unixUser="ann"))
    async with following(store) as followed:
        assert followed.current() == (registration(unix_user="ann"),)
        await store.update(ANN, body(unixUid=0))
        await becomes(followed, registration(unix_uid=0))
        await store.delete(ANN)
        await becomes(followed)


async def test_what_cannot_be_read_gives_nobody_anything() -> None:
    store = MemoryStore()
    await store.create(ANN, body(unixUser="ann"))
    async with following(store) as followed:
        await store.update(ANN, b"garbage")
        await becomes(followed)
        await store.update(ANN, body(unixUser="ann"))
        await becomes(followed, registration(unix_user="ann"))


class Forgetful(MemoryStore):
    cut = False

    async def watch(self, after: int, resource: str | None = None) -> AsyncIterator[Event]:
        async for event in super().watch(after, resource):
            if not self.cut:
                self.cut = True
                raise Compacted("the log does not reach back")
            yield event


async def test_where_the_log_was_cut_all_are_read_again() -> None:
    store = Forgetful()
    await store.create(ANN, body(unixUser="ann"))
    async with following(store) as followed:
        await store.delete(ANN)
        await becomes(followed)
        assert store.cut
