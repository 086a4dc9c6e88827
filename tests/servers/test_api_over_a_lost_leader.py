"""The HTTP API of a server on three etcds while the one that leads is lost, under writers and a watcher.

What was acknowledged is there once, and the watcher is told it once and in order; who is refused is told so as
Kubernetes tells it, and may try again.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.servers.etcd import Etcd, Member, etcd
from tests.servers.server_process import Server, running_server

Json = dict[str, Any]
ROUTES = "/apis/networking.istio.io/v1/namespaces/default/virtualservices"
MAPS = "/api/v1/namespaces/default/configmaps"
JSON_PATCH = {"Content-Type": "application/json-patch+json"}
MORE = 10
"""Writes of each writer, before and after each loss."""
WITHIN = 90

pytestmark = [pytest.mark.long, pytest.mark.timeout(240)]


def virtual_service(name: str, *hosts: str) -> Json:
    """A kind that the server itself writes to as well: its conditions, right after each write of somebody else."""
    return {
        "apiVersion": "networking.istio.io/v1",
        "kind": "VirtualService",
        "metadata": {"name": name},
        "spec": {"hosts": [name, *hosts], "http": [{"directResponse": {"status": 200}}]},
    }


def config_map(name: str, **data: str) -> Json:
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name}, "data": data}


class Writer:
    """Writes one thing after the other, and notes what it was told of each."""

    def __init__(self, api: httpx.AsyncClient, name: str) -> None:
        self.api = api
        self.name = name
        self.acknowledged: dict[str, Json] = {}
        """What was written -> the object in the answer."""
        self.unknown: list[str] = []
        """What was refused with a 503 or 504: it may have been carried out all the same."""
        self.refused: list[str] = []
        """Of what others were faster with (409): it was not carried out."""

    async def once(self) -> None:
        what = f"{self.name}-{len(self.acknowledged) + len(self.unknown) + len(self.refused)}"
        answer = await self.write(what)
        if answer.is_success:
            self.acknowledged[what] = answer.json()
        else:
            require_clear(answer)
            (self.refused if answer.status_code == 409 else self.unknown).append(what)

    async def write(self, what: str) -> httpx.Response:
        raise NotImplementedError


class Creator(Writer):
    """Creates objects, no two of one name: none of them is there already."""

    async def write(self, what: str) -> httpx.Response:
        answer = await self.api.post(ROUTES, json=virtual_service(what))
        assert answer.status_code != 409, answer.text
        return answer


class Namer(Writer):
    """Creates objects whose names the server completes."""

    async def write(self, what: str) -> httpx.Response:
        new = virtual_service("x") | {"metadata": {"generateName": f"{what}-"}}
        return await self.api.post(ROUTES, json=new)


class Appender(Writer):
    """Appends to the list of an object that others append to: a change that shows how often it was carried out."""

    async def write(self, what: str) -> httpx.Response:
        patch = [{"op": "add", "path": "/spec/hosts/-", "value": what}]
        return await self.api.patch(f"{ROUTES}/appended", json=patch, headers=JSON_PATCH)


class Counting(Writer):
    """Reads a number and writes one more, for the revision that it has read, as controllers do."""

    async def write(self, what: str) -> httpx.Response:
        found = await self.api.get(f"{MAPS}/counted")
        if not found.is_success:
            return found
        seen = found.json()
        data = {"count": str(int(seen["data"]["count"]) + 1), "by": what}
        return await self.api.put(f"{MAPS}/counted", json=seen | {"data": data})


def require_clear(answer: httpx.Response) -> None:
    """A refusal that a program and a person can act on."""
    said = answer.json()
    assert (said["kind"], said["status"], said["code"]) == ("Status", "Failure", answer.status_code), said
    wanted = {409: ("Conflict",), 503: ("ServiceUnavailable",), 504: ("Timeout", "ServerTimeout")}
    assert said["reason"] in wanted.get(answer.status_code, ()), said
    assert said["message"]
    assert "Traceback" not in said["message"]
    if answer.status_code == 503:
        assert "etcd://" in said["message"]
        assert answer.headers["retry-after"]


class Watcher:
    """Watches a collection from the beginning to the end, whatever happens to etcd meanwhile."""

    def __init__(self, api: httpx.AsyncClient, path: str) -> None:
        self.api = api
        self.path = path
        self.seen: list[Json] = []
        self.began = asyncio.Event()
        self.task = asyncio.create_task(self.run())

    async def run(self) -> None:
        listed = (await self.api.get(self.path)).json()
        self.began_with = {each["metadata"]["name"]: each for each in listed["items"]}
        params = {"watch": "1", "resourceVersion": listed["metadata"]["resourceVersion"]}
        async with self.api.stream("GET", self.path, params=params, timeout=None) as response:
            self.began.set()
            async for line in response.aiter_lines():
                frame = json.loads(line)
                assert frame["type"] in ("ADDED", "MODIFIED", "DELETED"), frame
                self.seen.append(frame)
        raise AssertionError("the watch has ended")

    def revisions(self) -> list[int]:
        return [revision_of(frame["object"]) for frame in self.seen]

    async def objects_at(self, revision: int) -> dict[str, Json]:
        """What is there, as the watcher knows; waits until it has seen a change of that revision, or a later one."""
        async with asyncio.timeout(WITHIN):
            while not self.seen or self.revisions()[-1] < revision:
                assert not self.task.done(), self.task.exception()
                await asyncio.sleep(0.02)
        seen = [frame["object"] for frame in self.seen if revision_of(frame["object"]) <= revision]
        return self.began_with | {each["metadata"]["name"]: each for each in seen}


class Traffic:
    """Writers and watchers of one server."""

    def __init__(self, api: httpx.AsyncClient) -> None:
        self.api = api
        self.done = asyncio.Event()
        self.tasks: list[asyncio.Task[None]] = []
        self.creators = [Creator(api, "created-0"), Creator(api, "created-1")]
        self.namers = [Namer(api, "named")]
        self.appenders = [Appender(api, "appended-0"), Appender(api, "appended-1")]
        self.counting = [Counting(api, "counted-0"), Counting(api, "counted-1")]
        self.writers: list[Writer] = [*self.creators, *self.namers, *self.appenders, *self.counting]

    async def begin(self) -> None:
        assert (await self.api.post(ROUTES, json=virtual_service("appended"))).status_code == 201
        assert (await self.api.post(MAPS, json=config_map("counted", count="0"))).status_code == 201
        self.routes, self.maps = Watcher(self.api, ROUTES), Watcher(self.api, MAPS)
        self.tasks += [self.routes.task, self.maps.task]
        for watcher in (self.routes, self.maps):
            await watcher.began.wait()
        self.writing = asyncio.create_task(self.run())
        self.tasks.append(self.writing)

    async def run(self) -> None:
        """All of them at once, again and again."""
        while not self.done.is_set():
            await asyncio.gather(*(writer.once() for writer in self.writers))

    async def goes_on(self) -> None:
        await self.each(
            "writes are answered", lambda writer: len(writer.acknowledged) + len(writer.refused), MORE
        )

    async def is_refused(self) -> None:
        await self.each("writes are refused", lambda writer: len(writer.unknown), 2)

    async def each(self, what: str, count: Callable[[Writer], int], more: int) -> None:
        """Until `count` of each of the writers has grown by `more`."""
        goals = [(writer, count(writer) + more) for writer in self.writers]
        try:
            async with asyncio.timeout(WITHIN):
                while any(count(writer) < goal for writer, goal in goals):
                    if self.writing.done():
                        await self.writing
                    await asyncio.sleep(0.02)
        except TimeoutError:
            counts = {writer.name: count(writer) for writer in self.writers}
            raise AssertionError(f"{what}: {counts}") from None

    async def ends(self) -> None:
        self.done.set()
        await self.writing

    async def stop(self) -> None:
        for task in self.tasks:
            task.cancel()
        await asyncio.gather(*self.tasks, return_exceptions=True)

    async def nothing_is_lost_or_done_twice(self) -> None:
        routes = {each["metadata"]["name"]: each for each in await items(self.api, ROUTES)}
        for creator in self.creators:
            for name, made in creator.acknowledged.items():
                assert routes[name]["metadata"]["uid"] == made["metadata"]["uid"], name
        for namer in self.namers:
            of_each = Counter(name[: -len("-abcde")] for name in routes if name.startswith("named-"))
            for what, made in namer.acknowledged.items():
                assert made["metadata"]["name"] in routes, what
                assert of_each[what] == 1, (what, of_each[what])
            assert all(of_each[what] <= 1 for what in namer.unknown), of_each
        appended = Counter(routes["appended"]["spec"]["hosts"])
        for appender in self.appenders:
            assert {what: appended[what] for what in appender.acknowledged if appended[what] != 1} == {}
            assert {what: appended[what] for what in appender.unknown if appended[what] > 1} == {}
            assert {what: appended[what] for what in appender.refused if appended[what]} == {}
        (counted,) = (each for each in await items(self.api, MAPS) if each["metadata"]["name"] == "counted")
        count = int(counted["data"]["count"])
        acknowledged = sum(len(writer.acknowledged) for writer in self.counting)
        unknown = sum(len(writer.unknown) for writer in self.counting)
        assert acknowledged <= count <= acknowledged + unknown

    async def the_watchers_saw_it_once_and_in_order(self) -> None:
        for path, watcher, writers in (
            (ROUTES, self.routes, [*self.creators, *self.namers, *self.appenders]),
            (MAPS, self.maps, self.counting),
        ):
            there = {each["metadata"]["name"]: each for each in await items(self.api, path)}
            # The server may still write conditions: of what is there now, this is the newest.
            newest = max(map(revision_of, there.values()))
            assert await watcher.objects_at(newest) == there
            assert watcher.revisions() == sorted(set(watcher.revisions()))
            seen = {revision_of(frame["object"]): frame["object"] for frame in watcher.seen}
            for writer in writers:
                for what, answered in writer.acknowledged.items():
                    assert seen[revision_of(answered)] == answered, what


def revision_of(obj: Json) -> int:
    return int(obj["metadata"]["resourceVersion"])


async def items(api: httpx.AsyncClient, path: str) -> list[Json]:
    answer = await api.get(path)
    assert answer.status_code == 200, answer.text
    kind, version = answer.json()["kind"].removesuffix("List"), answer.json()["apiVersion"]
    return [{"kind": kind, "apiVersion": version} | each for each in answer.json()["items"]]


@pytest.fixture
def three(tmp_path: Path) -> Iterator[Etcd]:
    with etcd(tmp_path / "etcd", 3, options=["--unsafe-no-fsync"]) as cluster:
        yield cluster


def url_of(cluster: Etcd) -> str:
    """The leader first: it is whom the server talks to, until it has to look for another."""
    leader = cluster.leader()
    others = [member for member in cluster.members if member is not leader]
    return f"etcd://{','.join(member.endpoint for member in (leader, *others))}/argosy?timeout=2s"


@contextlib.asynccontextmanager
async def traffic_on(server: Server) -> AsyncIterator[Traffic]:
    async with server.api() as api:
        traffic = Traffic(api)
        try:
            await traffic.begin()
            await traffic.goes_on()
            yield traffic
        finally:
            await traffic.stop()


async def told_truly(server: Server, traffic: Traffic) -> None:
    await traffic.ends()
    await traffic.nothing_is_lost_or_done_twice()
    await traffic.the_watchers_saw_it_once_and_in_order()
    assert "Traceback" not in server.log.read_text()


async def test_a_leader_that_is_killed_loses_no_acknowledged_write(three: Etcd, tmp_path: Path) -> None:
    with running_server(tmp_path, "--store", url_of(three)) as server:
        async with traffic_on(server) as traffic:
            for _ in range(2):  # the one that the server talks to, and then whichever leads
                leader = await asyncio.to_thread(three.leader)
                leader.kill()
                await traffic.goes_on()
                leader.start()
                await asyncio.to_thread(three.wait)
            await told_truly(server, traffic)


async def test_a_leader_that_hangs_loses_no_acknowledged_write(three: Etcd, tmp_path: Path) -> None:
    """Its connections stay open: nothing but time tells that nobody answers. Then it wakes, and is told that another
    leads."""
    with running_server(tmp_path, "--store", url_of(three)) as server:
        async with traffic_on(server) as traffic:
            leader: Member = await asyncio.to_thread(three.leader)
            leader.pause()
            try:
                await traffic.goes_on()
            finally:
                leader.resume()
            await asyncio.to_thread(three.wait)
            await traffic.goes_on()
            await told_truly(server, traffic)


async def test_without_a_majority_writes_are_refused_and_with_one_they_go_on(
    three: Etcd, tmp_path: Path
) -> None:
    with running_server(tmp_path, "--store", url_of(three)) as server:
        async with traffic_on(server) as traffic:
            leader = await asyncio.to_thread(three.leader)
            lost = [leader, next(member for member in three.members if member is not leader)]
            for member in lost:
                member.kill()
            await traffic.is_refused()
            for member in lost:
                member.start()
            await asyncio.to_thread(three.wait)
            await traffic.goes_on()
            await told_truly(server, traffic)
