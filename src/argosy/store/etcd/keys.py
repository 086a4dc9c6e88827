"""How objects lie in etcd, and how what etcd says of them becomes the protocol's.

    PREFIX/format                                  the number of this layout
    PREFIX/compactor                               held by the replica that compacts
    PREFIX/objects/RESOURCE<TAB>NAMESPACE<TAB>NAME  the body

Rule: the order of etcd's keys is that of `Key`. That is why a TAB parts the three and not a slash: it sorts before all
that a name may hold (control characters are refused), and `a-b` stands before `a/` in no list.
"""

from __future__ import annotations

import re
from typing import Any

from argosy.store.base import Event, EventType, Key, Stored

FORMAT = 1
_CONTROL = re.compile("[\x00-\x1f]")


class Layout:
    def __init__(self, prefix: str) -> None:
        self.format = f"{prefix}/format".encode()
        self.compactor = f"{prefix}/compactor".encode()
        self._objects = f"{prefix}/objects/".encode()

    def encode(self, key: Key) -> bytes:
        """Raises ValueError for a key that no store takes."""
        parts = (key.resource, key.namespace, key.name)
        if any(_CONTROL.search(part) for part in parts):
            raise ValueError(f"{key} has control characters")
        return self._objects + "\t".join(parts).encode()

    def decode(self, raw: bytes) -> Key | None:
        """None for what is no object of ours, whoever wrote it."""
        try:
            parts = raw.removeprefix(self._objects).decode().split("\t")
        except UnicodeDecodeError:
            return None
        return Key(*parts) if len(parts) == 3 else None

    def range(self, resource: str | None, namespace: str | None = None) -> tuple[bytes, bytes]:
        """The first key and the end (exclusive) of all objects, of a resource, or of its namespace."""
        start = self._objects
        if resource is not None:
            start += resource.encode() + b"\t"
            if namespace is not None:
                start += namespace.encode() + b"\t"
        return start, start[:-1] + bytes([start[-1] + 1])

    def stored(self, pair: Any) -> Stored | None:
        key = self.decode(pair.key)
        return None if key is None else Stored(key, pair.mod_revision, pair.value)

    def event(self, event: Any) -> Event | None:
        """None for what is no object; raises LookupError where etcd has forgotten what was there before."""
        key = self.decode(event.kv.key)
        if key is None:
            return None
        before, revision = event.prev_kv, event.kv.mod_revision
        if event.type == 0 and event.kv.create_revision == revision:
            return Event(EventType.ADDED, Stored(key, revision, event.kv.value))
        if not before.mod_revision:
            raise LookupError(revision)
        if event.type == 0:
            stored = Stored(key, revision, event.kv.value)
            return Event(EventType.MODIFIED, stored, before.value, before.mod_revision)
        return Event(
            EventType.DELETED, Stored(key, revision, before.value), before.value, before.mod_revision
        )


def after(raw: bytes) -> bytes:
    """The first key behind this one."""
    return raw + b"\x00"
