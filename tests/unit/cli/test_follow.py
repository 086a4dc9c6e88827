"""What is told of objects while the watch is interrupted: by its end, by a 410, by a server that is away."""

from __future__ import annotations

import asyncio
import contextlib
import threading
import time
from collections.abc import Iterator
from typing import Any

import pytest
from starlette.applications import Starlette

from argosy.apiserver.client import ApiClient, ApiError, Unreachable, WatchEvent
from argosy.apiserver.kubeconfig import Connection
from argosy.apiserver.serving import Serving, serve
from argosy.cli import follow as module
from argosy.cli.follow import Query, follow
from argosy.resources.kinds import kind_of
from argosy.store.base import Key, Store
from tests.unit.apiserver.conftest import TOKEN, app, store, virtual_service

Json = dict[str, Any]
__all__ = ["app", "store"]
KIND = kind_of("networking.istio.io/v1", "VirtualService")
assert KIND is not None
QUERY = Query(kind=KIND, namespace="shop")


def one(name: str, revision: int, uid: str = "") -> Json:
    return {"metadata": {"name": name, "resourceVersion": str(revision), "uid": uid or name}}


def listed(revision: int, *items: Json) -> Json:
    return {"metadata": {"resourceVersion": str(revision)}, "items": list(items)}


def error(code: int) -> ApiError:
    return ApiError({"code": code, "message": "no"})


class Scripted:
    """Answers each watch and each list with the next of what it is given."""

    def __init__(self, watches: list[Any], lists: list[Json]) -> None:
        self.watches, self.lists = watches, lists
        self.asked: list[str] = []

    def list(self, *_: object, **__: object) -> Json:
        found = self.lists.pop(0)
        if isinstance(found, Exception):
            raise found
        return found

    def watch(self, *_: object, resource_version: str, **__: object) -> Iterator[WatchEvent]:
        self.asked.append(resource_version)
        for each in self.watches.pop(0):
            if isinstance(each, BaseException):
                raise each
            yield each


class Done(Exception):
    """The script is over."""


def followed(monkeypatch: pytest.MonkeyPatch, client: Scripted, begun: Json) -> list[str]:
    monkeypatch.setattr(module, "AGAIN_SECONDS", 0)
    told = []
    with contextlib.suppress(Done):
        for event in follow(client, QUERY, begun):  # type: ignore[arg-type]
            metadata = event.object["metadata"]
            told.append(f"{event.type} {metadata['name']} {metadata['resourceVersion']}")
    assert client.watches == [], "the script is not over"
    return told


def test_a_watch_that_ends_is_taken_up_where_it_was(monkeypatch: pytest.MonkeyPatch) -> None:
    events = [WatchEvent("MODIFIED", one("a", 5)), WatchEvent("BOOKMARK", one("", 9))]
    client = Scripted([events, [WatchEvent("MODIFIED", one("a", 10))], [Done()]], [])
    assert followed(monkeypatch, client, listed(3, one("a", 2))) == ["MODIFIED a 5", "MODIFIED a 10"]
    assert client.asked == ["3", "9", "10"]


@pytest.mark.parametrize("interrupted", [error(410), error(503), Unreachable("the server cannot be reached")])
def test_what_was_missed_is_told_from_a_new_list(
    monkeypatch: pytest.MonkeyPatch, interrupted: Exception
) -> None:
    begun = listed(3, one("a", 1), one("b", 1), one("c", 1), one("d", 1))
    new = listed(20, one("a", 1), one("b", 15), one("d", 16, uid="other"), one("e", 17))
    client = Scripted([[WatchEvent("DELETED", one("a", 4)), interrupted], [Done()]], [new])
    assert followed(monkeypatch, client, begun) == [
        "DELETED a 4",
        "DELETED c 1",
        "ADDED a 1",
        "MODIFIED b 15",
        "DELETED d 1",
        "ADDED d 16",
        "ADDED e 17",
    ]
    assert client.asked == ["3", "20"]


def test_a_server_that_stays_away_is_mentioned_once(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    away = Unreachable("the control plane at X cannot be reached")
    client = Scripted([[away], [Done()]], [away, away, listed(4)])  # type: ignore[list-item]
    assert followed(monkeypatch, client, listed(3)) == []
    assert capsys.readouterr().err.count("trying again") == 1


@pytest.mark.parametrize("code", [400, 401, 403, 404])
def test_what_does_not_pass_ends_it(monkeypatch: pytest.MonkeyPatch, code: int) -> None:
    client = Scripted([[error(code)]], [])
    with pytest.raises(ApiError):
        list(follow(client, QUERY, listed(3)))  # type: ignore[arg-type]


class Recording(ApiClient):
    """Keeps the codes of the watches that were refused."""

    refused: list[int]

    def watch(self, *arguments: Any, **named: Any) -> Iterator[WatchEvent]:
        try:
            yield from super().watch(*arguments, **named)
        except ApiError as failure:
            self.refused.append(failure.http_code)
            raise


async def test_a_log_that_was_cut_while_the_server_restarted(
    app: Starlette, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The watch ends in order, and begins again at a revision that the server has forgotten: a real 410."""
    back = threading.Event()
    monkeypatch.setattr(time, "sleep", lambda _: back.wait(30))
    first = await serve(app)
    client = Recording(Connection(server=f"http://127.0.0.1:{first.port}", token=TOKEN))
    client.refused = []
    loop = asyncio.get_running_loop()
    told: asyncio.Queue[str] = asyncio.Queue()

    def watch() -> None:
        client.create(virtual_service("a"))
        for event in follow(client, QUERY, QUERY.list(client)):
            name = f"{event.type} {event.object['metadata']['name']}"
            loop.call_soon_threadsafe(told.put_nowait, name)
            if name == "ADDED last":
                return

    watching = asyncio.create_task(asyncio.to_thread(watch))
    await until_written(store, "a")
    await asyncio.to_thread(client.create, virtual_service("b"))
    assert await asyncio.wait_for(told.get(), 30) in ("ADDED b",)
    second = await restarted(first, app, store, back)
    await asyncio.to_thread(client.create, virtual_service("last"))
    await asyncio.wait_for(watching, 30)
    found = [told.get_nowait() for _ in range(told.qsize())]
    assert found == ["DELETED a", "ADDED c", "ADDED last"]
    assert client.refused == [410]
    client.close()
    await second.stop()


async def until_written(store: Store, name: str) -> None:
    while await store.get(Key("networking.istio.io/virtualservices", "shop", name)) is None:
        await asyncio.sleep(0.005)


async def restarted(first: Serving, app: Starlette, store: Store, back: threading.Event) -> Serving:
    """While it is away one object goes and one comes, and the log of it is cut."""
    port = first.port
    await first.stop()
    resource = "networking.istio.io/virtualservices"
    stored = await store.get(Key(resource, "shop", "b"))
    assert stored is not None
    await store.delete(Key(resource, "shop", "a"))
    body = stored.body.replace(b'"name":"b"', b'"name":"c"')
    await store.create(Key(resource, "shop", "c"), body)
    await store.compact(await store.revision())
    again = await serve(app, port=port)
    back.set()
    return again
