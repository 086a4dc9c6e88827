"""The store in one SQLite file: durable, no server to install, usable by several processes of one host.

Rules: one thread writes (group commit, `writer`), a few read, none waits for another (WAL). A write is answered when it
is on the disk. Watchers are cursors over one shared tail, which exists only while somebody watches. A commit of this
process fills it with its own events, where they are the next ones; what another process has written is read from the
event log of the file within POLL_SECONDS, by one task (`PRAGMA data_version` changes when any other connection commits:
https://sqlite.org/pragma.html#pragma_data_version).
"""

from __future__ import annotations

import asyncio
import queue
import secrets
import sqlite3
import threading
import time
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import TypeVar
from weakref import WeakSet

from argosy.store import file, leases, pages, refusals, rows, snapshot
from argosy.store.base import (
    Batch,
    Compacted,
    Copied,
    Event,
    Hold,
    Key,
    Listing,
    Stored,
    StoreError,
    Unavailable,
    Unchanged,
)
from argosy.store.holding import Renewal
from argosy.store.tail import CHUNK, CHUNK_BYTES, KEEP_BYTES, Tail, each, follow
from argosy.store.writer import Writer

KEEP_EVENTS = 10_000
TAIL_EVENTS = 1_000
POLL_SECONDS = 0.1
SWEEP_SECONDS = 0.5
READERS = 2

T = TypeVar("T")


class SqliteStore:
    """Made by `open`; belongs to the event loop it was opened in."""

    def __init__(self, path: Path, keep_events: int) -> None:
        self.path = path
        self._wake = asyncio.Event()
        self._pool = ThreadPoolExecutor(READERS, thread_name_prefix="store-reader")
        self._connections: queue.SimpleQueue[sqlite3.Connection] = queue.SimpleQueue()
        for _ in range(READERS):
            self._connections.put(file.connect(path))
        # data_version compares with the last time this same connection asked, so it has one of its own.
        self._poll = Poll(file.connect(path))
        self._writer = Writer(file.connect(path), path, keep_events, self._committed)
        self._tail: Tail | None = None
        self._follower: asyncio.Task[None] | None = None
        self._sweep_at = 0.0
        self._renewals: WeakSet[Renewal] = WeakSet()
        self._closed = False

    @classmethod
    async def open(cls, path: Path | str, *, keep_events: int = KEEP_EVENTS) -> SqliteStore:
        """Opens a file, creating it where there is none; its folder must exist.

        Raises runtime.errors.Failure for a broken file, another program's, or one of a newer format.
        """
        chosen = Path(path)
        await asyncio.to_thread(file.prepare, chosen)
        try:
            return cls(chosen, keep_events)
        except sqlite3.Error as error:
            raise file.opening(chosen, error) from error

    async def get(self, key: Key) -> Stored | None:
        return await self._swept(partial(rows.get, key=key))

    async def list(
        self,
        resource: str | None = None,
        namespace: str | None = None,
        *,
        limit: int = 0,
        after: Key | None = None,
        revision: int | None = None,
    ) -> Listing:
        wanted = pages.Selection(resource, namespace, limit, after, revision)
        return await self._swept(partial(pages.page, wanted=wanted))

    async def create(self, key: Key, body: bytes, given: Unchanged | None = None) -> Stored:
        return (await self._writer.write(partial(rows.create, key=key, body=body, given=given))).stored

    async def update(self, key: Key, body: bytes, expected: int | None = None) -> Stored:
        return (await self._writer.write(partial(rows.update, key=key, body=body, expected=expected))).stored

    async def delete(self, key: Key, expected: int | None = None) -> Stored:
        return (await self._writer.write(partial(rows.delete, key=key, expected=expected))).stored

    def watch(self, after: int, resource: str | None = None) -> AsyncIterator[Event]:
        return each(self.batches(after), resource)

    async def batches(self, after: int) -> AsyncIterator[Batch]:
        latest = await self._read(partial(rows.reach, after=after))
        tail = self._join(latest)
        try:
            async for batch in follow(tail, after, self._older):
                yield batch
        finally:
            self._leave(tail)

    async def hold(self, key: Key, body: bytes, ttl: float) -> Hold:
        refusals.check_internal(key)
        token = secrets.token_hex(16)
        await self._writer.write(partial(leases.create, key=key, body=body, token=token, ttl=ttl))

        async def renew() -> bool:
            return await self._writer.write(partial(leases.renew, key=key, token=token, ttl=ttl))

        async def release() -> None:
            await self._writer.write(partial(leases.release, key=key, token=token))

        renewal = Renewal(key, ttl, renew, release)
        self._renewals.add(renewal)
        return renewal

    async def compact(self, revision: int) -> None:
        await self._writer.write(partial(rows.forget, revision=revision))

    async def advance(self, revision: int) -> None:
        """The next write gets a revision above this one, and the log begins there: nothing older can be asked for."""
        await self._writer.write(partial(rows.advance, revision=revision))

    async def revision(self) -> int:
        return await self._read(rows.latest)

    async def last_change(self) -> int:
        return await self.revision()

    async def health(self) -> None:
        await self._read(rows.latest)

    async def backup(self, path: Path) -> Copied:
        return await self._in_thread(snapshot.copy, self.path, path)

    async def close(self) -> None:
        """Finishes the writes that wait, ends every watch with Unavailable, closes the file."""
        if self._closed:
            return
        self._closed = True
        if self._tail is not None:
            self._tail.fail(self._gone())
        if self._follower is not None:
            self._follower.cancel()
            await asyncio.gather(self._follower, return_exceptions=True)
        for renewal in tuple(self._renewals):
            await renewal.stop()
        await self._writer.close()
        await asyncio.to_thread(self._pool.shutdown)
        while not self._connections.empty():
            self._connections.get().close()
        self._poll.close()

    async def _read(self, work: Callable[[sqlite3.Connection], T]) -> T:
        """Runs `work` in a reader thread within one read transaction. Raises what it raises, and Unavailable."""
        return await self._in_thread(self._borrow, work)

    async def _swept(self, work: Callable[[sqlite3.Connection], T]) -> T:
        """As `_read`, of a store without held objects whose time is over."""
        found, over = await self._read(lambda connection: (work(connection), leases.any_over(connection)))
        if not over or not await self._try_sweep():
            return found
        return await self._read(work)

    async def _try_sweep(self) -> bool:
        """Nobody who only reads is refused because nothing can be written."""
        try:
            await self._writer.write(leases.sweep)
        except Unavailable:
            return False
        return True

    async def _in_thread(self, work: Callable[..., T], *arguments: object) -> T:
        if self._closed:
            raise self._gone()
        try:
            return await asyncio.get_running_loop().run_in_executor(self._pool, work, *arguments)
        except sqlite3.Error as error:
            raise file.unavailable(self.path, error) from error

    def _borrow(self, work: Callable[[sqlite3.Connection], T]) -> T:
        connection = self._connections.get()
        try:
            return _snapshot(connection, work)
        finally:
            self._connections.put(connection)

    async def _older(self, revision: int) -> AsyncGenerator[Sequence[Event], None]:
        while events := await self._read(partial(rows.events, after=revision, count=CHUNK, most=CHUNK_BYTES)):
            yield events
            revision = events[-1].stored.revision

    def _join(self, latest: int) -> Tail:
        if self._closed:
            raise self._gone()
        if self._tail is None:
            self._tail = Tail(latest, TAIL_EVENTS, KEEP_BYTES)
            self._follower = asyncio.create_task(self._fill(self._tail), name="store-follower")
        self._tail.watchers += 1
        return self._tail

    def _leave(self, tail: Tail) -> None:
        tail.watchers -= 1
        if tail.watchers == 0 and tail is self._tail:
            self._tail = None
            if self._follower is not None:
                self._follower.cancel()

    def _committed(self, events: Sequence[Event]) -> None:
        """Events of this process go into the tail as they are; the file is read where others have come before them."""
        tail = self._tail
        new = [event for event in events if tail is not None and event.stored.revision > tail.latest]
        if tail is None or not new:
            return
        if new[-1].stored.revision == tail.latest + len(new):
            tail.extend(new)
        else:
            self._wake.set()

    async def _fill(self, tail: Tail) -> None:
        """Copies new events from the file into the tail until it is cancelled, or the file fails."""
        version = -1
        try:
            while True:
                self._wake.clear()
                try:
                    version, events = await self._in_thread(self._poll.newer, tail.latest, version)
                except Compacted:
                    # More was written meanwhile than the log holds: each watcher finds out what it missed.
                    tail.reset(await self._read(rows.latest))
                    continue
                # A commit of ours may have brought some of them meanwhile.
                tail.extend([event for event in events if event.stored.revision > tail.latest])
                if len(events) < CHUNK:
                    await self._sweep()
                    await self._pause()
                else:
                    version = -1
        except StoreError as failure:
            # Each watcher is told, and the next one begins with a new tail.
            if tail is self._tail:
                self._tail = None
            tail.fail(failure)

    async def _sweep(self) -> None:
        """So that watchers hear of held objects whose time is over, soon after it is."""
        now = time.monotonic()
        if now < self._sweep_at:
            return
        self._sweep_at = now + SWEEP_SECONDS
        if await self._read(leases.any_over):
            await self._try_sweep()

    async def _pause(self) -> None:
        try:
            async with asyncio.timeout(POLL_SECONDS):
                await self._wake.wait()
        except TimeoutError:
            return

    def _gone(self) -> Unavailable:
        return Unavailable(f"the store {self.path} is closed")


class Poll:
    """Asks the file for new events, cheaply where there are none."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._connection = connection
        # A cancelled follower leaves its last question running in a thread while the next one may begin.
        self._lock = threading.Lock()

    def newer(self, after: int, version: int) -> tuple[int, list[Event]]:
        """(data_version, events after a revision); no events where the version is still `version`."""
        with self._lock:
            # The version first: what is committed in between is then read now and looked for once more.
            found = int(self._connection.execute("PRAGMA data_version").fetchone()[0])
            if found == version:
                return found, []
            return found, _snapshot(self._connection, partial(rows.events, after=after, count=CHUNK))

    def close(self) -> None:
        self._connection.close()


def _snapshot(connection: sqlite3.Connection, work: Callable[[sqlite3.Connection], T]) -> T:
    """`work` in one read transaction: everything it reads is of the same moment."""
    connection.execute("BEGIN")
    try:
        return work(connection)
    finally:
        if connection.in_transaction:
            connection.execute("COMMIT")
