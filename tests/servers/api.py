"""The API server over a store, in a thread of its own, with TLS and a kubeconfig: what a client from outside sees."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import uvloop

from argosy.apiserver import kubeconfig
from argosy.apiserver.app import create_app
from argosy.apiserver.auth import User, bearer_tokens
from argosy.apiserver.serving import serve
from argosy.store.base import Key, Store
from argosy.store.memory import MemoryStore
from tests.unit.apiserver.conftest import TOKEN, make_authority


async def _in_memory() -> Store:
    return MemoryStore()


@contextmanager
def running_api(folder: Path, opening: Callable[[], Awaitable[Store]] = _in_memory) -> Iterator[Path]:
    """Serves a store with the namespaces `default`, `istio-system` and `shop`; yields the path of the kubeconfig."""
    ready, finish = threading.Event(), threading.Event()
    failed: list[BaseException] = []
    path = folder / "kubeconfig"
    authority = make_authority(folder, "server")

    async def run() -> None:
        opened = await opening()
        await _with_namespaces(opened)
        app = create_app(opened, authenticate=bearer_tokens({TOKEN: User("ada", ("system:masters",))}))
        serving = await serve(app, cert=authority.cert, key=authority.key)
        collecting = asyncio.create_task(app.state.collector.run())
        url = f"https://127.0.0.1:{serving.port}"
        connection = kubeconfig.Connection(server=url, ca=authority.pem, token=TOKEN)
        kubeconfig.write(path, kubeconfig.build(connection))
        ready.set()
        await asyncio.to_thread(finish.wait)
        collecting.cancel()
        await serving.stop()
        await opened.close()

    def main() -> None:
        try:
            uvloop.run(run())
        except BaseException as error:
            failed.append(error)
        finally:
            ready.set()

    thread = threading.Thread(target=main, name="api")
    thread.start()
    try:
        assert ready.wait(30), "the API server did not start"
        if failed:
            raise failed[0]
        yield path
    finally:
        finish.set()
        thread.join(30)
    if failed:
        raise failed[0]


async def _with_namespaces(store: Store) -> None:
    for name in ("default", "istio-system", "shop"):
        body = b'{"apiVersion":"v1","kind":"Namespace","metadata":{"name":"%b"}}' % name.encode()
        await store.create(Key("/namespaces", "", name), body)
