"""`argosy store check`: is the store whole, is what it holds well-formed, and do its secrets open?"""

from __future__ import annotations

import asyncio
import contextlib
import sqlite3
from collections import Counter
from pathlib import Path

import msgspec
from msgspec import Struct

from argosy.store import file, keyring, refusals
from argosy.store.base import Store, Stored
from argosy.store.keyring import Keyring
from argosy.store.sealed import SECRETS, SealedStore, Unopened
from argosy.store.sqlite import SqliteStore
from argosy.store.transfer import pages

MOST = 100  # problems that are told


class Metadata(Struct):
    name: str
    namespace: str = ""


class Body(Struct):
    """What every object has."""

    apiVersion: str
    kind: str
    metadata: Metadata


class Findings(Struct):
    revision: int
    objects: int
    resources: dict[str, int]
    sealed: int
    unsealed: int
    problems: list[str]


async def examine(store: Store, keys: Path) -> Findings:
    """A store that was opened plain, with the file of keys if there is one. Raises StoreError, Failure."""
    problems = await asyncio.to_thread(_of_file, store.path) if isinstance(store, SqliteStore) else []
    opener = SealedStore(store, Keyring(keys)) if await asyncio.to_thread(keys.exists) else None
    counted: Counter[str] = Counter()
    sealed = unsealed = 0
    async for page in pages(store):
        for one in page:
            counted[one.key.resource] += 1
            if one.key.resource == SECRETS:
                is_sealed = keyring.is_sealed(one.body)
                sealed, unsealed = sealed + is_sealed, unsealed + (not is_sealed)
            if len(problems) < MOST and (problem := _of_object(one, opener, keys)):
                problems.append(problem)
    return Findings(
        await store.revision(), counted.total(), dict(sorted(counted.items())), sealed, unsealed, problems
    )


def _of_file(path: Path) -> list[str]:
    """Every page and every index, where opening has looked at the pages alone."""
    with contextlib.closing(file.connect(path)) as connection:
        try:
            found = [str(row[0]) for row in connection.execute(f"PRAGMA integrity_check({MOST})")]
        except sqlite3.Error as error:
            return [file.explain(path, error)[0]]
    return [] if found == ["ok"] else [f"the file: {problem}" for problem in found]


def _of_object(one: Stored, opener: SealedStore | None, keys: Path) -> str:
    named = refusals.describe(one.key)
    if keyring.is_sealed(one.body):
        if opener is None:
            return f"{named} is sealed, and there is no {keys}"
        try:
            one = opener.opened(one)
        except Unopened as error:
            return str(error)
    try:
        body = msgspec.json.decode(one.body, type=Body)
    except (msgspec.DecodeError, msgspec.ValidationError) as error:
        return f"{named} is no object: {error}"
    if (body.metadata.name, body.metadata.namespace) != (one.key.name, one.key.namespace):
        return f"{named} says that it is {body.metadata.namespace}/{body.metadata.name}"
    return ""
