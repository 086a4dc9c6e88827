"""What does the store cost, in a file and in etcd: a durable create, a list of 5,000, a change to 100 watchers, memory?

The Store protocol alone, secrets' seal included, without API and mesh. A create is acknowledged when it is on the disk,
so the disk is a part of it: what a sync of it costs stands first. Objects are VirtualServices of about one kilobyte.
Memory is that of a process which has the store open and holds 20,000 objects as it has read them.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import msgspec

from argosy.store.base import Key, Store
from argosy.store.open import open_store
from bench.processes import percentile, pss
from tests.servers.etcd import etcd

Row = tuple[str, str, str]
ROUTES = "networking.istio.io/virtualservices"
CREATES, CHANGES, WATCHERS, LISTED, HELD = 1_000, 1_000, 100, 5_000, 20_000

HOLD = """
import asyncio, pathlib, sys
from argosy.store.open import open_store

async def main():
    store = await open_store(sys.argv[1], pathlib.Path(sys.argv[2]))
    listing = await store.list()
    print(len(listing.items), flush=True)
    await asyncio.get_running_loop().run_in_executor(None, sys.stdin.read)
    await store.close()

asyncio.run(main())
"""


def body(name: str, weight: int = 100) -> bytes:
    return msgspec.json.encode(
        {
            "apiVersion": "networking.istio.io/v1",
            "kind": "VirtualService",
            "metadata": {
                "name": name,
                "namespace": "shop",
                "uid": "8f14e45f-ceea-4e7a-9b0c-3f2d1a5b6c7d",
                "creationTimestamp": "2026-01-01T00:00:00Z",
                "generation": 1,
                "annotations": {"note": "x" * 400},
            },
            "spec": {
                "hosts": [name],
                "http": [
                    {
                        "match": [{"uri": {"prefix": f"/{version}"}}],
                        "route": [{"destination": {"host": name, "subset": version}, "weight": weight}],
                        "retries": {"attempts": 3, "perTryTimeout": "2s"},
                    }
                    for version in ("v1", "v2")
                ],
            },
        }
    )


def key(name: str) -> Key:
    return Key(ROUTES, "shop", name)


def sync_cost(folder: Path) -> float:
    """Milliseconds that a write of a page and its sync take, the median."""
    taken = []
    with (folder / "sync").open("wb", buffering=0) as file:
        for _ in range(100):
            began = time.perf_counter()
            file.write(b"x" * 4096)
            os.fdatasync(file.fileno())
            taken.append((time.perf_counter() - began) * 1000)
    return statistics.median(taken)


async def creates(store: Store) -> list[float]:
    """Milliseconds of each, one after the other."""
    taken = []
    for number in range(CREATES):
        name = f"one-{number:05}"
        began = time.perf_counter()
        await store.create(key(name), body(name))
        taken.append((time.perf_counter() - began) * 1000)
    return taken


async def many(store: Store, prefix: str, count: int, writers: int = 16) -> float:
    """Seconds until all are created, by writers who each wait for their own."""

    async def write(writer: int) -> None:
        for number in range(writer, count, writers):
            name = f"{prefix}-{number:05}"
            await store.create(key(name), body(name))

    began = time.perf_counter()
    await asyncio.gather(*(write(writer) for writer in range(writers)))
    return time.perf_counter() - began


async def timed_list(store: Store, count: int) -> float:
    """Milliseconds, the median of several."""
    taken = []
    for _ in range(5):
        began = time.perf_counter()
        assert len((await store.list(ROUTES, limit=count)).items) == count
        taken.append((time.perf_counter() - began) * 1000)
    return statistics.median(taken)


async def watched(store: Store) -> tuple[float, float]:
    """Milliseconds to the last of the watchers: of a change alone (median), and of many after the first of them."""
    seen = [0] * WATCHERS
    wanted = 0
    everybody = asyncio.Event()
    behind = WATCHERS

    async def watch(number: int, after: int) -> None:
        nonlocal behind
        async for _ in store.watch(after, ROUTES):
            seen[number] += 1
            if seen[number] == wanted:
                behind -= 1
                if not behind:
                    everybody.set()

    after = await store.revision()
    watching = [asyncio.create_task(watch(number, after)) for number in range(WATCHERS)]

    async def change(count: int, writers: int) -> float:
        nonlocal wanted, behind
        wanted, behind = wanted + count, WATCHERS
        everybody.clear()

        async def write(writer: int) -> None:
            for number in range(writer, count, writers):
                name = f"one-{number:05}"
                await store.update(key(name), body(name, 50))

        began = time.perf_counter()
        await asyncio.gather(*(write(writer) for writer in range(writers)))
        async with asyncio.timeout(60):
            await everybody.wait()
        return (time.perf_counter() - began) * 1000

    await change(1, 1)
    alone = statistics.median([await change(1, 1) for _ in range(30)])
    together = await change(CHANGES, 8)
    for task in watching:
        task.cancel()
    await asyncio.gather(*watching, return_exceptions=True)
    return alone, together


def memory(url: str, state: Path) -> float:
    """MB of a process that has listed everything."""
    with subprocess.Popen(
        [sys.executable, "-c", HOLD, url, str(state)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stdout is not None
        assert int(process.stdout.readline()) >= HELD
        return pss(process.pid)


async def figures(name: str, url: str, state: Path) -> list[Row]:
    file = name == "SQLite"
    store = await open_store(url, state)
    one = await creates(store)
    together = await many(store, "many", LISTED - CREATES)
    listed = await timed_list(store, LISTED)
    alone, changes = await watched(store)
    await many(store, "more", HELD - LISTED)
    await store.close()
    held = await asyncio.to_thread(memory, url, state)
    return [
        (f"{name}: create, p50", f"{percentile(one, 0.5):.1f} ms", "3 ms" if file else "-"),
        (f"{name}: create, p99", f"{percentile(one, 0.99):.1f} ms", "-"),
        (f"{name}: creates of 16 writers", f"{(LISTED - CREATES) / together:.0f}/s", "-"),
        (f"{name}: list of {LISTED}", f"{listed:.0f} ms", "300 ms"),
        (f"{name}: a change to the last of {WATCHERS} watchers", f"{alone:.1f} ms", "100 ms"),
        (f"{name}: {CHANGES} changes to the last of {WATCHERS} watchers", f"{changes:.0f} ms", "-"),
        (f"{name}: memory with {HELD} objects", f"{held:.0f} MB", "300 MB"),
    ]


@contextlib.contextmanager
def folder() -> Iterator[Path]:
    with tempfile.TemporaryDirectory(prefix="argosy-bench-") as name:
        yield Path(name)


def run() -> list[Row]:
    with folder() as state:
        rows = [("a page written and synced", f"{sync_cost(state):.1f} ms", "-")]
        rows += asyncio.run(figures("SQLite", "", state))
    if shutil.which("etcd") is None:
        return [*rows, ("etcd", "not installed here", "-")]
    with folder() as state, etcd(state / "etcd") as cluster:
        rows += asyncio.run(figures("etcd", cluster.url(), state))
        server = cluster.members[0].process
        assert server is not None
        rows.append(("etcd itself with that", f"{pss(server.pid):.0f} MB", "-"))
    return rows
