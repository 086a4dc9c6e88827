"""The shared tail: who stands at the same place gets the same batch; many are woken together, a few at once."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Sequence

import pytest

from argosy.store import tail as tails
from argosy.store.base import Batch, Event, EventType, Key, Stored
from argosy.store.tail import MANY, Tail


def event(revision: int, size: int = 1) -> Event:
    return Event(EventType.ADDED, Stored(Key("r", "n", f"o{revision}"), revision, b"x" * size))


def revisions(batch: Batch | None) -> list[int]:
    assert batch is not None
    return [each.stored.revision for each in batch.events]


async def test_those_at_the_same_place_share_a_batch_until_there_is_more() -> None:
    tail = Tail(0, 100)
    tail.extend([event(1), event(2)])
    first = tail.since(0)
    assert first is tail.since(0)
    assert revisions(first) == [1, 2]
    assert revisions(tail.since(1)) == [2]
    tail.extend([event(3)])
    assert revisions(tail.since(0)) == [1, 2, 3]
    tail.forget(1)
    assert tail.since(0) is None


async def test_what_is_made_of_a_batch_is_made_once_for_a_view() -> None:
    batch = Batch([event(1)])
    made: list[str] = []

    def make(events: Sequence[Event]) -> int:
        made.append(f"{len(events)}")
        return len(made)

    assert [batch.made_for(view, make) for view in ("a", "b", "a")] == [1, 2, 1]
    assert made == ["1", "1"]


async def test_a_batch_is_bounded_in_events_and_in_bytes_and_parts_no_revision() -> None:
    tail = Tail(0, 10_000)
    tail.extend([event(n + 1) for n in range(tails.CHUNK + 5)])
    assert len(revisions(tail.since(0))) == tails.CHUNK
    large = Tail(0, 10_000)
    large.extend([event(n + 1, tails.CHUNK_BYTES * 2 // 3) for n in range(3)])
    assert revisions(large.since(0)) == [1]
    assert revisions(large.since(2)) == [3]
    huge = Tail(0, 10_000)
    huge.extend([event(1, tails.CHUNK_BYTES * 3), event(1), event(2)])
    assert revisions(huge.since(0)) == [1, 1]


async def test_a_tail_of_large_events_is_bounded_in_bytes() -> None:
    """What does not fit is in the log of the store: who is behind reads it there."""
    tail = Tail(0, 1_000, keep_bytes=10_000)
    for number in range(100):
        tail.extend([event(number + 1, 1_000)])
        assert sum(len(each.stored.body) for each in tail.all_since(tail.floor)) <= 10_000
    assert tail.floor in range(90, 95), "most of what fits is there"
    assert tail.since(tail.floor - 1) is None
    assert revisions(tail.since(tail.floor))[-1] == 100
    tail.extend([event(101), event(101, 20_000), event(102)])
    assert revisions(tail.since(101)) == [102], (
        "one that alone is too large goes, and what was written with it"
    )
    assert tail.since(100) is None
    tail.reset(200)
    tail.extend([event(number, 1_000) for number in range(201, 210)])
    tail.forget(205)
    tail.extend([event(number, 1_000) for number in range(210, 215)])
    assert tail.floor == 205, "what was forgotten does not count"


async def test_few_batches_are_kept() -> None:
    tail = Tail(0, 100)
    tail.extend([event(n + 1) for n in range(20)])
    kept = [tail.since(n) for n in range(20)]
    assert len(tail._batches) == tails.KEPT
    assert tail.since(19) is kept[19]


async def told(tail: Tail, watchers: int, writes: int, whenever: int = 0) -> list[list[list[int]]]:
    """The batches of each of the watchers, of events that are written one after the other: at once, or, `whenever` so
    many batches more have arrived."""
    batches = 0

    async def watch() -> list[list[int]]:
        nonlocal batches
        position, found = 0, []
        while position < writes:
            batch = tail.since(position)
            assert batch is not None
            if batch.events:
                position = batch.revision
                found.append(revisions(batch))
                batches += 1
            else:
                await tail.changed(position)
        return found

    tasks = [asyncio.create_task(watch()) for _ in range(watchers)]
    async with asyncio.timeout(60):
        for number in range(writes):
            for _ in range(5):
                await asyncio.sleep(0)
            while batches < number * whenever:
                await asyncio.sleep(0.001)
            tail.extend([event(number + 1)])
        return await asyncio.gather(*tasks)


async def test_many_are_told_the_first_event_at_once_and_those_behind_it_together(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    # Woken at 0, and all are back at 1, where the clock stands: there is a second of pause.
    clock = itertools.chain([0.0, 0.0], itertools.repeat(1.0))
    monkeypatch.setattr(tails, "_now", lambda: next(clock))
    monkeypatch.setattr(tails, "LONGEST", 600.0)
    assert await told(Tail(0, 100), MANY, 10) == [[[1], list(range(2, 11))]] * MANY


async def test_a_few_are_told_each_event_at_once() -> None:
    assert await told(Tail(0, 100), MANY - 1, 10) == [[[n + 1] for n in range(10)]] * (MANY - 1)


async def test_many_are_not_kept_waiting_longer_than_it_takes_to_tell_them(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(tails, "LONGEST", 600.0)  # after each, it would be ten times ten minutes
    assert await told(Tail(0, 100), MANY, 10, whenever=MANY) == [[[n + 1] for n in range(10)]] * MANY
