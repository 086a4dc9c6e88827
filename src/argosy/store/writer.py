"""The one thread that writes: group commit.

Rule: writes that wait together go into one transaction, so that many writers share one sync of the disk; each is
answered only after the commit, also those that were refused (what refused them may have come from the same
transaction). If the transaction fails, all of it is undone and every one of its writers is told so.
"""

from __future__ import annotations

import asyncio
import queue
import sqlite3
import threading
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

from argosy.store import rows
from argosy.store.base import Event, StoreError, Unavailable
from argosy.store.file import unavailable

BATCH = 256
"""Writes in one transaction at most: what one crash or one full disk can take back at once."""

T = TypeVar("T")
Operation = Callable[[sqlite3.Connection], Any]


class Waiting(NamedTuple):
    operation: Operation
    answer: asyncio.Future[Any]


class Refused(NamedTuple):
    """Not a result: the writer alone is told."""

    error: Exception


class Outcome(NamedTuple):
    answer: asyncio.Future[Any]
    result: Any


class Writer:
    """Owns its connection and its thread.

    `committed` is called in the event loop after each commit, with the events that its operations gave back.
    """

    def __init__(
        self,
        connection: sqlite3.Connection,
        path: Path,
        keep_events: int,
        committed: Callable[[Sequence[Event]], None],
    ) -> None:
        self._connection = connection
        self._path = path
        self._keep_events = keep_events
        self._committed = committed
        self._loop = asyncio.get_running_loop()
        self._queue: queue.SimpleQueue[Waiting | None] = queue.SimpleQueue()
        self._closed = False
        self._ended = self._loop.create_future()
        # A daemon: a process that forgets to close must still be able to end; nothing acknowledged can be lost.
        threading.Thread(target=self._run, name="store-writer", daemon=True).start()

    async def write(self, operation: Callable[[sqlite3.Connection], T]) -> T:
        """Runs one operation in the next transaction. Raises what it raises, and Unavailable."""
        if self._closed:
            raise Unavailable(f"the store {self._path} is closed")
        answer: asyncio.Future[T] = self._loop.create_future()
        self._queue.put(Waiting(operation, answer))
        return await answer

    async def close(self) -> None:
        """Finishes what waits, then ends the thread and closes the connection."""
        if not self._closed:
            self._closed = True
            self._queue.put(None)
        await asyncio.shield(self._ended)

    def _run(self) -> None:
        try:
            while batch := self._take():
                outcomes = self._transact(batch)
                self._tell(self._deliver, outcomes)
        finally:
            self._connection.close()
            self._tell(self._finish)

    def _take(self) -> list[Waiting]:
        """The writes that wait now, at least one; empty at the end."""
        first = self._queue.get()
        if first is None:
            return []
        batch = [first]
        while len(batch) < BATCH:
            try:
                more = self._queue.get_nowait()
            except queue.Empty:
                break
            if more is None:
                self._queue.put(None)
                break
            batch.append(more)
        return batch

    def _transact(self, batch: list[Waiting]) -> list[Outcome]:
        outcomes = []
        try:
            self._connection.execute("BEGIN IMMEDIATE")
            for waiting in batch:
                outcomes.append(Outcome(waiting.answer, self._apply(waiting.operation)))
            if any(isinstance(outcome.result, Event) for outcome in outcomes):
                rows.compact(self._connection, self._keep_events)
            self._connection.execute("COMMIT")
        except sqlite3.Error as error:
            self._undo()
            failure = Refused(unavailable(self._path, error))
            return [Outcome(waiting.answer, failure) for waiting in batch]
        except Exception as error:
            # A defect: those who wait hear of it, and the thread lives on for the others.
            self._undo()
            return [Outcome(waiting.answer, Refused(error)) for waiting in batch]
        return outcomes

    def _apply(self, operation: Operation) -> Any:
        """One write; a refusal, or a key that SQLite cannot take, concerns it alone: nothing was written yet."""
        try:
            return operation(self._connection)
        except sqlite3.Error:
            raise
        except (StoreError, ValueError, OverflowError) as refusal:
            return Refused(refusal)

    def _undo(self) -> None:
        if self._connection.in_transaction:
            try:
                self._connection.execute("ROLLBACK")
            except sqlite3.Error:
                # After an error of the disk SQLite may have rolled back by itself; if not, the next BEGIN says so.
                return

    def _tell(self, callback: Callable[..., None], *arguments: object) -> None:
        try:
            self._loop.call_soon_threadsafe(callback, *arguments)
        except RuntimeError:
            return  # the loop has ended: nobody waits for an answer

    def _deliver(self, outcomes: list[Outcome]) -> None:
        for answer, result in outcomes:
            if answer.done():
                continue
            if isinstance(result, Refused):
                answer.set_exception(result.error)
            else:
                answer.set_result(result)
        self._committed([result for _, result in outcomes if isinstance(result, Event)])

    def _finish(self) -> None:
        if not self._ended.done():
            self._ended.set_result(None)
