"""The server is killed at random moments of writing: what it acknowledged is there, whole, and is told once, in order.

Each writer owns a few objects and gives them numbers that rise by one; the number stands in three places of an object
that is large enough to be written in pieces. A watcher resumes from the last revision it saw.
"""

from __future__ import annotations

import os
import random
import threading
import time
from collections import defaultdict
from pathlib import Path
from typing import Any

import pytest

from argosy.apiserver.client import ApiClient, ApiError
from argosy.resources.kinds import kind_of
from argosy.runtime.errors import Failure
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


class Watcher(threading.Thread):
    def __init__(self, mesh: Mesh, revision: str) -> None:
        super().__init__(daemon=True)
        self.mesh = mesh
        self.revision = revision
        self.stopping = False
        self.seen: list[tuple[int, str, str, int]] = []  # revision, type, name, number
        self.resumed = 0
        self.wrong: list[str] = []

    def run(self) -> None:
        assert CONFIG_MAP is not None
        while not self.stopping:
            with ApiClient.from_kubeconfig(self.mesh.state / "kubeconfig") as api:
                try:
                    for event in api.watch(
                        CONFIG_MAP,
                        "default",
                        resource_version=self.revision,
                        timeout=2 if self.stopping else 0,
                    ):
                        self.take(event.type, event.object)
                except (ApiError, AssertionError) as error:
                    self.wrong.append(repr(error))
                    return
                except Failure:
                    self.resumed += 1
                    time.sleep(0.02)

    def take(self, kind: str, obj: dict[str, Any]) -> None:
        self.revision = obj["metadata"]["resourceVersion"]
        if kind != "BOOKMARK":
            self.seen.append((int(self.revision), kind, obj["metadata"]["name"], number_of(obj)))


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
    last = max((revision for revision, *_ in watcher.seen), default=0)
    newest = max((int(one["metadata"]["resourceVersion"]) for one in listing["items"]), default=last)
    until(lambda: watcher.seen[-1][0] >= newest, "the watcher sees the last change", 120)
    revisions = [revision for revision, *_ in watcher.seen]
    assert revisions == sorted(set(revisions)), "each change once, in order"
    assert watcher.resumed >= KILLS
    by_object: dict[str, list[tuple[str, int]]] = defaultdict(list)
    for _, kind, name, number in watcher.seen:
        by_object[name].append((kind, number))
    for writer in writers:
        history = by_object[writer.object]
        numbers = [number for kind, number in history if kind != "DELETED"]
        assert numbers == list(range(1, writer.acknowledged + 1)), "each write was told, none twice"
        there = False
        for kind, number in history:
            assert kind == ("MODIFIED" if there else "ADDED") or (there and kind == "DELETED"), (kind, number)
            there = kind != "DELETED"
        assert there == writer.there
    assert sum(writer.acknowledged for writer in writers) >= KILLS * WRITES // 2
