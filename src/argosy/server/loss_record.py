"""What the leaders took out of the mesh for lost connections, in the store, so that the next leader counts it too.

    /internal/losses/SHA-256 OF THE SERVICE    {"service": "Service shop/reviews", "taken": [[namespace, name], …]}

Rules: what is to be removed is written first: whoever dies between the two has counted too much, never too little. A
write names the revision that this leader has read or written last: where another one leads by now, and wrote, it is
refused, and nothing is removed. An object goes when its service's episode of loss ends (`losses`).
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping

import msgspec
from msgspec import Struct

from argosy.runtime.log import logger
from argosy.server.entries import WORKLOAD_ENTRIES
from argosy.store.base import INTERNAL, AlreadyExists, Conflict, Key, NotFound, Store

RESOURCE = f"{INTERNAL}losses"

Taken = dict[str, set[Key]]
"""Service -> its entries that were taken."""

log = logger("registration")


class Overtaken(Exception):
    """Another leader has written: what is counted here is not the whole."""


class _Record(Struct):
    service: str
    taken: tuple[tuple[str, str], ...]


class LossRecord:
    def __init__(self, store: Store) -> None:
        self.store = store
        self._known: dict[str, tuple[int, frozenset[Key]]] = {}  # service -> revision, what stands there

    async def load(self) -> Taken:
        """As it stands now. Raises StoreError."""
        self._known = {}
        for stored in (await self.store.list(RESOURCE)).items:
            try:
                record = msgspec.json.decode(stored.body, type=_Record)
            except (msgspec.MsgspecError, UnicodeDecodeError) as error:
                log.warning("record of losses not readable", name=stored.key.name, error=str(error))
                continue
            if stored.key == _key(record.service):
                keys = frozenset(Key(WORKLOAD_ENTRIES, *place) for place in record.taken)
                self._known[record.service] = (stored.revision, keys)
        return {service: set(keys) for service, (_, keys) in self._known.items()}

    async def save(self, taken: Mapping[str, set[Key]]) -> None:
        """Makes it stand so. Raises Overtaken, StoreError."""
        try:
            for service, keys in taken.items():
                await self._write(service, frozenset(keys))
            for service in self._known.keys() - taken.keys():
                await self.store.delete(_key(service), self._known[service][0])
                del self._known[service]
        except (AlreadyExists, Conflict, NotFound) as error:
            raise Overtaken(str(error)) from error

    async def _write(self, service: str, keys: frozenset[Key]) -> None:
        revision, before = self._known.get(service, (0, frozenset()))
        if keys == before:
            return
        record = _Record(service, tuple(sorted((key.namespace, key.name) for key in keys)))
        key, body = _key(service), msgspec.json.encode(record)
        if revision:
            stored = await self.store.update(key, body, revision)
        else:
            stored = await self.store.create(key, body)
        self._known[service] = (stored.revision, keys)


def _key(service: str) -> Key:
    """A name that every store takes, whatever the service is called."""
    return Key(RESOURCE, "", hashlib.sha256(service.encode(errors="replace")).hexdigest()[:40])
