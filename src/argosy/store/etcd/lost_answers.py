"""What became of a write whose answer was lost: etcd's history tells, also where others have written since.

Rule: never a guess. Where history does not reach back to it (compacted), nobody is told that it happened or that it did
not. An attempt that was not carried out before we look never will be: its comparison does not hold any more.
"""

from __future__ import annotations

from typing import Any

from argosy.store import refusals
from argosy.store.base import Key, Unavailable
from argosy.store.etcd.client import Client, OutOfRange


async def created_by(client: Client, key: Key, found: Any, body: bytes, lease: int) -> int | None:
    """The revision at which an attempt created what is there, and others may have changed since; None: others did.

    `found` is the pair that is there. Raises Unavailable where that cannot be told.
    """
    first = found
    if found.mod_revision != found.create_revision:
        first = await _as_of(client, key, found, found.create_revision)
    ours = first is not None and first.value == body and first.lease == lease
    return int(found.create_revision) if ours else None


async def updated_by(client: Client, key: Key, found: Any, body: bytes, expected: int) -> int | None:
    """The revision at which an attempt changed what was at `expected`; None: it did not, others were faster.

    Looks at one change after the other, from `found` back. Raises Unavailable where that cannot be told.
    """
    at = found
    while at is not None and at.mod_revision > expected:
        if at.value == body:
            return int(at.mod_revision)
        at = await _as_of(client, key, found, at.mod_revision - 1)
    return None


async def _as_of(client: Client, key: Key, found: Any, revision: int) -> Any | None:
    try:
        pairs = (await client.range(key=found.key, revision=revision)).kvs
    except OutOfRange as error:
        raise Unavailable(
            f"{refusals.describe(key)} was changed by others meanwhile; whether this attempt was carried out before "
            f"that, {client.address} did not say, and has forgotten"
        ) from error
    return pairs[0] if pairs else None
