"""Objects as rows of a Table: what `kubectl get` prints.

A row needs little of its object, so that little is decoded; its metadata goes as it is stored.
# Kubernetes: meta/v1 Table, TableRow, TableOptions.includeObject
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import datetime
from functools import cache
from typing import Any, Literal

import msgspec

from argosy.apiserver import encoding
from argosy.apiserver.encoding import ListMeta
from argosy.resources.columns import layout
from argosy.resources.kinds import Column, Kind
from argosy.store.base import Key, Stored

Json = dict[str, Any]
Include = Literal["None", "Metadata", "Object"]


class Table:
    """A form of answers. Of several tables in one answer (a watch), the first alone says the columns."""

    view = None
    """Ages go by the clock, and the columns by what was told before."""

    def __init__(
        self, kind: Kind, api_version: str, version: str, include: Include, now: Callable[[], datetime]
    ) -> None:
        self._kind, self._api_version = kind, api_version
        self._version = f"meta.k8s.io/{version}"
        self._include = include
        self._now = now
        self._said_columns = False

    def one(self, stored: Stored) -> bytes:
        return self._table(ListMeta(stored.revision), self._rows([stored]))

    def many(self, items: Sequence[Stored], meta: ListMeta) -> bytes:
        return self._table(meta, self._rows(items))

    def bookmark(self, revision: int, annotations: dict[str, str]) -> bytes:
        """A row like any other: what it says stands in the metadata of its object."""
        body = encoding.body_of({"metadata": {"annotations": annotations} if annotations else {}})
        return self.one(Stored(Key(self._kind.resource, "", ""), revision, body))

    def _rows(self, items: Sequence[Stored]) -> bytes:
        shown, read, now = layout(self._kind), _reader(self._kind), self._now()
        rows = [
            b'{"cells":%b,"object":%b}'
            % (encoding.encode(shown.cells(read(stored), now)), self._object(stored))
            for stored in items
        ]
        return b",".join(rows)

    def _object(self, stored: Stored) -> bytes:
        match self._include:
            case "None":
                return b"null"
            case "Object":
                return encoding.render(stored, self._kind, self._api_version)
        return encoding.render_metadata(stored, self._version)

    def _table(self, meta: ListMeta, rows: bytes) -> bytes:
        columns = [] if self._said_columns else [_definition(c) for c in layout(self._kind).columns]
        self._said_columns = True
        return b'{"kind":"Table","apiVersion":%b,"metadata":%b,"columnDefinitions":%b,"rows":[%b]}' % (
            encoding.encode(self._version),
            encoding.encode(meta.as_json()),
            encoding.encode(columns),
            rows,
        )


def _definition(column: Column) -> Json:
    return {
        "name": column.name,
        "type": column.type.value,
        "format": column.format,
        "description": column.description,
        "priority": column.priority,
    }


@cache
def _reader(kind: Kind) -> Callable[[Stored], Json]:
    """What reads as much of a stored object as the cells of its kind are made of."""
    fields = layout(kind).fields
    if fields is None:
        return lambda stored: _named(stored, encoding.decode(stored))
    names = ("metadata", *sorted(fields))
    partial = msgspec.defstruct("Row", [(field, Any, None) for field in names])
    decoder = msgspec.json.Decoder(partial)

    def read(stored: Stored) -> Json:
        try:
            row = decoder.decode(stored.body)
        except encoding.UNREADABLE:
            return _named(stored, {})
        return _named(stored, {name: getattr(row, name) for name in names})

    return read


def _named(stored: Stored, row: Json) -> Json:
    """With the name that its key has, whatever it says itself."""
    metadata = row.get("metadata")
    if isinstance(metadata, dict) and metadata.get("name") == stored.key.name:
        return row
    return row | {"metadata": encoding.shown_metadata(stored, row)}
