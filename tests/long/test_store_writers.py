"""A process that writes to a store is killed at random moments: what it was told is done is there, whole, and everybody
who watches sees each change once and in order, or hears that it has to list again and then has it all.

The store is open here too, as in a second server; one watcher follows all the time, one resumes after each kill from
where it was, and one sleeps for so long that the log has left it behind.
"""

from __future__ import annotations

import asyncio
import os
import random
import signal
import sys
import time
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path

import pytest

from argosy.store.base import Compacted, Event, EventType, Store
from argosy.store.open import open_plain
from tests.long.conftest import count
from tests.long.store_writer import RESOURCE, number_of
from tests.servers.etcd import etcd

pytestmark = [pytest.mark.long, pytest.mark.timeout(1800)]

KILLS = count(full=50, short=4)
WRITES = count(full=200, short=50)  # between two kills, at least
WRITERS = 8
CATCH_UP = 60.0  # seconds for a watcher to come to where the store is
SCRIPT = Path(__file__).parent / "store_writer.py"


@pytest.fixture(params=["sqlite", "etcd"])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    if request.param == "sqlite":
        yield f"sqlite://{tmp_path}/argosy.db"
    else:
        with etcd(tmp_path / "etcd") as cluster:
            yield cluster.url(options="?compact=off")


class Mirror:
    """What a watcher makes of the changes it is told, from wherever it begins."""

    def __init__(self) -> None:
        self.revision = 0
        self.objects: dict[str, int] = {}
        self.events: list[Event] = []
        self.relisted = 0

    async def follow(self, store: Store, until: int) -> None:
        """Takes changes until it is at a revision; lists where the log does not reach back. How long that may take is
        for the caller to say: who follows for ever follows for as long as the test takes."""
        if not self.relisted:
            await self.relist(store)
        while self.revision < until:
            events = store.watch(self.revision, RESOURCE)
            try:
                while self.revision < until:
                    self.take(await anext(events))
            except Compacted:
                await self.relist(store)
            finally:
                await events.aclose()  # type: ignore[attr-defined]

    async def relist(self, store: Store) -> None:
        listing = await store.list(RESOURCE)
        self.objects = {item.key.name: number_of(item.body) for item in listing.items}
        self.revision = listing.revision
        self.relisted += 1

    def take(self, event: Event) -> None:
        name, number = event.stored.key.name, number_of(event.stored.body)
        assert event.stored.revision > self.revision, "each change once, in order"
        assert (name in self.objects) == (event.type is not EventType.ADDED), (event.type, name, number)
        if event.type is not EventType.ADDED:
            assert event.previous is not None
            assert number_of(event.previous) == self.objects[name]
        if event.type is EventType.DELETED:
            assert number == self.objects.pop(name)
        else:
            self.objects[name] = number
        self.revision = event.stored.revision
        self.events.append(event)


class Log:
    """What killed processes were told: name -> (number, revision) of the last acknowledged write; 0: deleted."""

    def __init__(self) -> None:
        self.last: dict[str, tuple[int, int]] = {}
        self.highest: dict[str, int] = defaultdict(int)
        self.all: dict[int, tuple[str, int]] = {}

    async def read(self, stream: asyncio.StreamReader, until: asyncio.Event, wanted: int) -> None:
        begun = len(self.all)
        while line := await stream.readline():
            if not line.endswith(b"\n"):
                return  # torn by the kill: nobody was told
            name, number, revision = line.decode().split()
            self.last[name] = int(number), int(revision)
            self.highest[name] = max(self.highest[name], int(number))
            self.all[int(revision)] = name, int(number)
            if len(self.all) - begun >= wanted:
                until.set()


async def run_and_kill(url: str, log: Log, chance: random.Random) -> None:
    numbers = [str(log.highest[f"object-{i}"] + 1) for i in range(WRITERS)]
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        *(str(SCRIPT), url, str(WRITERS), *numbers),
        stdout=asyncio.subprocess.PIPE,
        env={**os.environ, "PYTHONPATH": str(SCRIPT.parents[2])},
    )
    assert process.stdout is not None
    enough = asyncio.Event()
    reading = asyncio.create_task(log.read(process.stdout, enough, WRITES))
    async with asyncio.timeout(120):
        await enough.wait()
    await asyncio.sleep(chance.random() * 0.05)  # the moment of the kill is what is random here
    process.send_signal(signal.SIGKILL)
    await reading
    assert await process.wait() == -signal.SIGKILL


async def test_what_was_acknowledged_survives_and_every_watcher_has_it(url: str) -> None:
    seed = int(os.environ.get("ARGOSY_SEED") or time.time_ns() % 2**32)
    print(f"ARGOSY_SEED={seed}")
    chance, log = random.Random(seed), Log()
    store = await open_plain(url)
    always, resuming, sleeper = Mirror(), Mirror(), Mirror()
    await always.relist(store)
    await sleeper.relist(store)
    following = asyncio.create_task(always.follow(store, sys.maxsize))
    for kill in range(KILLS):
        await run_and_kill(url, log, chance)
        listing = await store.list(RESOURCE)
        found = {item.key.name: (number_of(item.body), item.revision) for item in listing.items}
        check(found, log)
        for name, (number, _) in found.items():
            log.highest[name] = max(log.highest[name], number)
        # Nobody else writes: the last revision is that of a change, be it one that nobody was told of.
        await resuming.follow(store, listing.revision)
        assert not following.done() or following.exception() is None, following
        if kill == KILLS // 2:
            await reached(always, listing.revision, following)
            await store.compact(listing.revision)
    newest = await store.revision()
    async with asyncio.timeout(CATCH_UP):
        await sleeper.follow(store, newest)
    await reached(always, newest, following)
    following.cancel()
    await asyncio.gather(following, return_exceptions=True)
    now = {item.key.name: number_of(item.body) for item in (await store.list(RESOURCE)).items}
    assert always.objects == resuming.objects == sleeper.objects == now
    assert sleeper.relisted == 2, "the log had left it behind once"
    told = {event.stored.revision: event for event in always.events}
    for revision, (name, number) in log.all.items():
        event = told[revision]
        assert event.stored.key.name == name
        assert (event.type is EventType.DELETED) == (number == 0)
        assert number in (0, number_of(event.stored.body))
    assert always.relisted == 1
    assert len(log.all) >= KILLS * WRITES
    await store.close()


async def reached(mirror: Mirror, revision: int, following: asyncio.Task[None]) -> None:
    async with asyncio.timeout(CATCH_UP):
        while mirror.revision < revision:
            assert not following.done(), following.exception()
            await asyncio.sleep(0.02)


def check(found: dict[str, tuple[int, int]], log: Log) -> None:
    """Each acknowledged write is there, or something newer that was on its way when the process was killed."""
    for name, (number, revision) in log.last.items():
        if name not in found:
            assert number == 0 or log.highest[name] == number, f"{name}: {number} was lost"
            continue
        assert found[name][1] >= revision, f"{name}: {number} at {revision} was lost"
        if found[name][1] == revision:
            assert found[name][0] == number
