"""Clients of the HTTP API that watch and do not read, while thousands of changes go by, over etcd.

They cost the server a bounded buffer, hold up nobody, and lose nothing: they hear what they missed, or to list again.
"""

from __future__ import annotations

import asyncio
import json
import socket
import ssl
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import httpx
import pytest

from argosy.apiserver import kubeconfig
from argosy.store.etcd.address import parse
from argosy.store.etcd.store import EtcdStore
from tests.long.processes import memory
from tests.servers.etcd import etcd
from tests.servers.server_process import Server, running_server

Json = dict[str, Any]
MAPS = "/api/v1/namespaces/default/configmaps"
NAMES = [f"m{number}" for number in range(8)]
SIZE = 32_000
"""Bytes of an object."""
ROUND = 1_500
"""Changes that go by at a time: more than the server keeps of the newest, and than sockets hold."""
SMALL = 16 << 10
"""Bytes that the kernel keeps for a client that does not read."""
WITHIN = 120

pytestmark = [pytest.mark.long, pytest.mark.timeout(600)]


class SlowWatcher:
    """A connection of its own, of which nothing is read until `frames`."""

    def __init__(self, server: Server, revision: int) -> None:
        found = kubeconfig.load(server.kubeconfig)
        address = urlsplit(found.server)
        context = ssl.create_default_context(cadata=found.ca)
        plain = socket.socket()
        plain.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, SMALL)
        plain.settimeout(WITHIN)
        plain.connect((address.hostname, address.port))
        self._socket = context.wrap_socket(plain, server_hostname=address.hostname)
        query = f"watch=1&resourceVersion={revision}"
        head = f"GET {MAPS}?{query} HTTP/1.0\r\nHost: {address.netloc}\r\nAuthorization: Bearer {found.token}\r\n\r\n"
        self._socket.sendall(head.encode())

    def frames(self) -> Iterator[Json]:
        """What it is told, until the connection is closed."""
        with self._socket.makefile("rb") as lines:
            status = lines.readline()
            assert status.split()[1] == b"200", status
            while lines.readline().strip():
                pass  # a header
            for line in lines:
                yield json.loads(line)

    def close(self) -> None:
        self._socket.close()


@contextmanager
def slow_watcher(server: Server, revision: int) -> Iterator[SlowWatcher]:
    watcher = SlowWatcher(server, revision)
    try:
        yield watcher
    finally:
        watcher.close()


class QuickWatcher:
    """Reads whatever comes at once."""

    def __init__(self, api: httpx.AsyncClient, revision: int) -> None:
        self.seen: list[int] = []
        self.task = asyncio.create_task(self.run(api, revision))

    async def run(self, api: httpx.AsyncClient, revision: int) -> None:
        params = {"watch": "1", "resourceVersion": str(revision)}
        async with api.stream("GET", MAPS, params=params, timeout=None) as response:
            async for line in response.aiter_lines():
                self.seen.append(revision_of(json.loads(line)["object"]))

    async def until(self, last: int) -> list[int]:
        """The revisions of the changes that it has seen, once that is one of them."""
        async with asyncio.timeout(WITHIN):
            while not self.seen or self.seen[-1] < last:
                assert not self.task.done(), self.task.exception()
                await asyncio.sleep(0.02)
        return self.seen


def revision_of(obj: Json) -> int:
    return int(obj["metadata"]["resourceVersion"])


def memory_of(server: Server) -> int:
    """Bytes of the process's own, now."""
    return memory(server.process.pid, "RssAnon") * 1024


async def change(api: httpx.AsyncClient, number: int) -> int:
    """Changes one of the objects; the revision of the change."""
    name = NAMES[number % len(NAMES)]
    new = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name}}
    new["data"] = {"number": str(number), "filling": "x" * SIZE}
    answer = await api.put(f"{MAPS}/{name}", json=new)
    assert answer.status_code == 200, answer.text
    return revision_of(answer.json())


async def changes(api: httpx.AsyncClient, begin: int) -> list[int]:
    """ROUND changes, one writer for each object; their revisions in order."""

    async def write(writer: int) -> list[int]:
        mine = range(begin + writer, begin + ROUND, len(NAMES))
        return [await change(api, number) for number in mine]

    made = await asyncio.gather(*(write(writer) for writer in range(len(NAMES))))
    return sorted(revision for each in made for revision in each)


def read(watcher: SlowWatcher, last: int) -> list[Json]:
    """What it is told, up to a revision, or to an error, which ends it."""
    found: list[Json] = []
    for frame in watcher.frames():
        found.append(frame)
        if frame["type"] != "ERROR" and revision_of(frame["object"]) == last:
            break
    return found


async def revision(api: httpx.AsyncClient) -> int:
    return revision_of((await api.get(MAPS)).json())


async def told_to_list_again(watcher: SlowWatcher, made: list[int]) -> None:
    *told, error = await asyncio.to_thread(read, watcher, made[-1])
    before = [revision_of(frame["object"]) for frame in told]
    assert before == made[: len(before)], (
        "what sockets and the server held is told in order, and nothing after a gap"
    )
    assert 0 < len(before) < ROUND / 2
    status = error["object"]
    assert (error["type"], status["kind"], status["code"]) == ("ERROR", "Status", 410)
    assert status["reason"] == "Expired"
    assert "list again" in status["message"]


async def complete(api: httpx.AsyncClient, numbers: int) -> int:
    """The revision of a list that has the newest of every object."""
    listed = (await api.get(MAPS)).json()
    found = {int(each["data"]["number"]) for each in listed["items"] if each["metadata"]["name"] in NAMES}
    assert found == set(range(numbers - len(NAMES), numbers))
    return revision_of(listed)


async def test_who_watches_and_does_not_read_costs_a_bounded_buffer_and_loses_nothing(tmp_path: Path) -> None:
    with (
        etcd(tmp_path / "etcd", options=["--unsafe-no-fsync"]) as cluster,
        running_server(tmp_path, "--store", cluster.url()) as server,
    ):
        async with server.api() as api:
            for name in NAMES:
                new = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name}}
                assert (await api.post(MAPS, json=new)).status_code == 201
            began = await revision(api)
            quick = QuickWatcher(api, began)
            with slow_watcher(server, began) as late, slow_watcher(server, began) as too_late:
                made = await changes(api, 0)
                assert await quick.until(made[-1]) == made, "nobody waits for those who do not read"
                before = memory_of(server)
                made += await changes(api, ROUND)
                assert await quick.until(made[-1]) == made
                assert memory_of(server) - before < ROUND * SIZE / 4, "as much again went by, and is not kept"

                told = await asyncio.to_thread(read, late, made[-1])
                assert [revision_of(frame["object"]) for frame in told] == made
                assert memory_of(server) - before < len(made) * SIZE / 2, (
                    "what it missed is read in small parts"
                )

                store = await EtcdStore.open(parse(cluster.url(options="?compact=off")))
                await store.compact(made[-1])
                await store.close()
                await told_to_list_again(too_late, made)
            listed = await complete(api, 2 * ROUND)
            with slow_watcher(server, listed) as again:
                last = await change(api, 2 * ROUND)
                told = await asyncio.to_thread(read, again, last)
                assert [(frame["type"], revision_of(frame["object"])) for frame in told] == [
                    ("MODIFIED", last)
                ]
            quick.task.cancel()
            await asyncio.gather(quick.task, return_exceptions=True)
