"""A process that writes to a store until it is killed: `store_writer.py URL WRITERS`.

Each writer owns one object and gives it numbers that rise by one, now and then deleting it; a line `name number
revision` (number 0: deleted) says what the store has acknowledged.
"""

from __future__ import annotations

import asyncio
import random
import sys

from argosy.store.base import Key, Store
from argosy.store.open import open_plain

RESOURCE = "/configmaps"
FILLER = b"x" * 6_000  # more than a page of SQLite: it is written in pieces


def body(number: int) -> bytes:
    text = str(number).encode()
    return text + b" " + FILLER + b" " + text


def number_of(data: bytes) -> int:
    """Fails where half of a write is there."""
    head, filler, tail = data.split(b" ")
    assert filler == FILLER
    assert head == tail
    return int(head)


async def write(store: Store, name: str) -> None:
    key, chance = Key(RESOURCE, "shop", name), random.Random()
    found = await store.get(key)
    number = number_of(found.body) if found else 0
    while True:
        if found and chance.random() < 0.1:
            gone = await store.delete(key, found.revision)
            print(name, 0, gone.revision, flush=True)
            found = None
            continue
        # Numbers go on over deletions, and over processes: who watches knows what comes next.
        number = max(number, last.get(name, 0)) + 1
        last[name] = number
        found = (
            await store.update(key, body(number), found.revision)
            if found
            else await store.create(key, body(number))
        )
        print(name, number, found.revision, flush=True)


last: dict[str, int] = {}


async def main(url: str, writers: int, numbers: list[str]) -> None:
    last.update({f"object-{i}": int(number) for i, number in enumerate(numbers)})
    store = await open_plain(url)
    await asyncio.gather(*(write(store, f"object-{i}") for i in range(writers)))


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1], int(sys.argv[2]), sys.argv[3:]))
