"""The server is killed at random moments of writing: what it acknowledged is there, whole, and is told once, in order.

Each writer owns a few objects and gives them numbers that rise by one; the number stands in three places of an object
that is large enough to be written in pieces. A watcher resumes from the last revision it saw; after every third kill
that revision is gone, and it must get a 410 and then a complete list.
"""

from __future__ import annotations

import asyncio
import os
import random
import threading
import time
from pathlib import Path
from typing import Any, NamedTuple

import msgspec
import pytest

from argosy.apiserver.client import ApiClient, ApiError
from argosy.resources.kinds import kind_of
from argosy.runtime.errors import Failure
from argosy.store.base import Key
from argosy.store.open import FILE
from argosy.store.sqlite import SqliteStore
from tests.e2e.mesh import Mesh, until
from tests.long.conftest import count

pytestmark = [pytest.mark.long, pytest.mark.timeout(5400)]

KILLS = count(full=50, short=4)
WRITES = count(full=200, short=20)  # between two kills, at least: 10,000 in all
WRITERS = 4
FILLER = "x" * 30_000
CONFIG_MAP = kind_of("v1", "ConfigMap")


def body(name: str, number: int) -> dict[str, Any]:
    text = str(number)
    return {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": {"name": name, "namespace": "default", "labels": {"number": text}},
        "data": {"head": text, "filler": FILLER, "tail": text},
    }


def number_of(obj: dict[str, Any]) -> int:
    """The number of an object. Fails where it is not whole."""
    data, metadata = obj["data"], obj["metadata"]
    assert data["filler"] == FILLER
    assert metadata["labels"]["number"] == data["head"] == data["tail"], "half of a write is there"
    return int(data["head"])


class Writer(threading.Thread):
    """Writes until `stopping`; what the server acknowledged is in `acknowledged`, 0 for a deletion."""

    def __init__(self, mesh: Mesh, name: str, chance: random.Random) -> None:
        super().__init__()
        self.mesh = mesh
        self.object = name
        self.chance = chance
        self.stopping = False
        self.acknowledged = 0
        self.there = False
        self.writes = 0
        self.wrong: list[str] = []

    def run(self) -> None:
        assert CONFIG_MAP is not None
        while not self.stopping:
            with ApiClient.from_kubeconfig(self.mesh.state / "kubeconfig", timeout=10) as api:
                try:
                    self.look(api)
                    while not self.stopping:
                        self.write(api)
                except ApiError as error:
                    self.wrong.append(f"refused: {error}")
                    return
                except AssertionError as error:
                    self.wrong.append(str(error))
                    return
                except Failure:
                    time.sleep(0.02)  # no server: it was killed

    def look(self, api: ApiClient) -> None:
        """What is there after a kill: the last acknowledged write, or the one that was on its way."""
        assert CONFIG_MAP is not None
        try:
            found = number_of(api.get(CONFIG_MAP, self.object))
        except ApiError as error:
            if error.http_code != 404:
                raise
            assert not self.there or self.deleting, f"{self.object} {self.acknowledged} was lost"
            self.there = self.deleting = False
            return
        allowed = {self.acknowledged, self.acknowledged + 1} if self.there else {self.acknowledged + 1}
        assert found in allowed, (
            f"{self.object}: {found}, acknowledged was {self.acknowledged} ({self.there})"
        )
        self.acknowledged, self.there, self.deleting = found, True, False

    deleting = False

    def write(self, api: ApiClient) -> None:
        assert CONFIG_MAP is not None
        if self.there and self.chance.random() < 0.1:
            self.deleting = True
            api.delete(CONFIG_MAP, self.object)
            self.there = self.deleting = False
        else:
            wanted = body(self.object, self.acknowledged + 1)
            _ = api.update(wanted) if self.there else api.create(wanted)
            self.acknowledged += 1
            self.there = True
        self.writes += 1


class Told(NamedTuple):
    revision: int
    kind: str
    """Of a change, or LIST."""
    numbers: dict[str, int]
    """By name: one for a change, those of all the objects for a list."""


class Watcher(threading.Thread):
    """Resumes where it was; where that is too old (410) it lists, and goes on from there."""

    def __init__(self, mesh: Mesh, revision: str) -> None:
        super().__init__(daemon=True)
        self.mesh = mesh
        self.revision = revision
        self.stopping = False
        self.told: list[Told] = []
        self.resumed = 0
        self.wrong: list[str] = []

    @property
    def lists(self) -> int:
        return sum(one.kind == "LIST" for one in self.told)

    def run(self) -> None:
        while not self.stopping:
            with ApiClient.from_kubeconfig(self.mesh.state / "kubeconfig") as api:
                try:
                    self.follow(api)
                except (ApiError, AssertionError) as error:
                    self.wrong.append(repr(error))
                    return
                except Failure:
                    self.resumed += 1
                    time.sleep(0.02)

    def follow(self, api: ApiClient) -> None:
        assert CONFIG_MAP is not None
        wait = 2 if self.stopping else 0
        try:
            for event in api.watch(CONFIG_MAP, "default", resource_version=self.revision, timeout=wait):
                self.revision = event.object["metadata"]["resourceVersion"]
                if event.type != "BOOKMARK":
                    numbers = {event.object["metadata"]["name"]: number_of(event.object)}
                    self.told.append(Told(int(self.revision), event.type, numbers))
        except ApiError as error:
            if error.http_code != 410:
                raise
            listing = api.list(CONFIG_MAP, "default")
            self.revision = listing["metadata"]["resourceVersion"]
            numbers = {one["metadata"]["name"]: number_of(one) for one in listing["items"]}
            self.told.append(Told(int(self.revision), "LIST", numbers))


def forget(mesh: Mesh) -> None:
    """Compacts all changes away while no server runs: whoever resumes below the last one gets a 410."""

    async def compact() -> None:
        store = await SqliteStore.open(mesh.state / FILE)
        try:
            name = f"since-{await store.revision()}"  # so that nobody has seen the newest revision
            body = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}}
            await store.create(Key("/namespaces", "", name), msgspec.json.encode(body))
            await store.compact(await store.revision())
        finally:
            await store.close()

    asyncio.run(compact())


def test_what_was_acknowledged_survives_kills_at_random_moments(tmp_path: Path) -> None:
    seed = int(os.environ.get("ARGOSY_SEED") or time.time_ns() % 2**32)
    print(f"ARGOSY_SEED={seed}")
    chance = random.Random(seed)
    mesh = Mesh(tmp_path / "state", ready_within=120)  # machines that run long tests are busy
    mesh.start_server()
    writers: list[Writer] = []
    watcher = None
    try:
        assert CONFIG_MAP is not None
        with ApiClient.from_kubeconfig(mesh.state / "kubeconfig") as api:
            watcher = Watcher(mesh, api.list(CONFIG_MAP)["metadata"]["resourceVersion"])
        watcher.start()
        writers = [Writer(mesh, f"object-{n}", random.Random(chance.random())) for n in range(WRITERS)]
        for writer in writers:
            writer.start()
        for number in range(KILLS):
            before = sum(writer.writes for writer in writers)
            until(lambda: sum(w.writes for w in writers) >= before + WRITES, "they write", 300)  # noqa: B023
            time.sleep(chance.random() * 0.2)  # the moment of the kill is what is random here
            mesh.kill_server()
            if number % 3 == 1:
                forget(mesh)
            mesh.start_server()
            wrong = watcher.wrong + [one for writer in writers for one in writer.wrong]
            assert wrong == [], f"kill {number}"
            print(f"kill {number}: {sum(writer.writes for writer in writers)} writes", flush=True)
        for writer in writers:
            writer.stopping = True
            writer.join()
        check(mesh, writers, watcher)
    finally:
        for writer in writers:
            writer.stopping = True
        if watcher is not None:
            watcher.stopping = True
        mesh.stop_server()


def check(mesh: Mesh, writers: list[Writer], watcher: Watcher) -> None:
    assert CONFIG_MAP is not None
    with ApiClient.from_kubeconfig(mesh.state / "kubeconfig") as api:
        for writer in writers:
            writer.look(api)
        listing = api.list(CONFIG_MAP, "default")
    found = {one["metadata"]["name"]: number_of(one) for one in listing["items"]}
    assert found == {writer.object: writer.acknowledged for writer in writers if writer.there}
    newest = int(listing["metadata"]["resourceVersion"])
    until(lambda: int(watcher.revision) >= newest, "the watcher sees the last change", 120)
    assert watcher.resumed >= KILLS
    assert watcher.lists >= 1, "it was told that what it asks for is gone"
    assert replayed(watcher.told) == found
    assert sum(writer.acknowledged for writer in writers) >= KILLS * WRITES // 2


def replayed(told: list[Told]) -> dict[str, int]:
    """What is there after all that a watcher was told. Fails where a change is missing, told twice or out of order."""
    there: dict[str, int] = {}
    last: dict[str, int] = {}  # the number of each object, as far as it was seen
    before = 0
    gaps: set[str] = (
        set()
    )  # names of which writes may have passed unseen, before a list that does not have them
    for one in told:
        assert one.revision > before or (one.kind == "LIST" and one.revision == before), "each once, in order"
        before = one.revision
        for name, number in one.numbers.items():
            if one.kind == "LIST":
                assert number >= last.get(name, 0), f"{name}: an older state than before"
            elif one.kind == "DELETED":
                assert there.pop(name) == number == last[name]
            else:
                assert one.kind == ("MODIFIED" if name in there else "ADDED"), (name, one)
                missed = number - last.get(name, 0) - 1
                assert missed == 0 or (missed > 0 and name in gaps), f"{name}: {missed} writes were not told"
                there[name] = number
            last[name] = number
            gaps.discard(name)
        if one.kind == "LIST":
            gaps = {f"object-{n}" for n in range(WRITERS)} - one.numbers.keys()
            there = dict(one.numbers)
    return there
