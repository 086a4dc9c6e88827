"""The columns of a table of objects, and the cells of one object: by the columns of its kind, or of Kubernetes' table.

# Kubernetes: meta/v1 Table; apiextensions tableconvertor: what becomes of a value in a column of each type
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from functools import cache
from typing import Any

import msgspec
from msgspec import Struct

from argosy.resources import age, json_path
from argosy.resources.builtin_columns import COMPUTED, NAME, Cell, Compute
from argosy.resources.kinds import Column, ColumnType, Kind

Json = dict[str, Any]


class Layout(Struct, frozen=True):
    """How objects of a kind stand in a table."""

    columns: tuple[Column, ...]
    computes: tuple[Compute, ...]
    fields: frozenset[str] | None
    """The fields of an object, beside metadata, that any cell is made of; None: all."""

    def cells(self, obj: Json, now: datetime) -> list[Cell]:
        return [compute(obj, now) for compute in self.computes]


@cache
def layout(kind: Kind) -> Layout:
    computed = COMPUTED.get(kind.resource)
    if computed is not None:
        return Layout(
            tuple(column for column, _ in computed), tuple(compute for _, compute in computed), None
        )
    paths = [json_path.compiled(column.json_path) for column in kind.columns]
    computes = [_by_path(column, path) for column, path in zip(kind.columns, paths, strict=True)]
    fields = frozenset(path.first_field for path in paths) - {"metadata"}
    return Layout((NAME[0], *kind.columns), (NAME[1], *computes), fields)


def _by_path(column: Column, path: json_path.Path) -> Compute:
    shown = _SHOWN[column.type]
    return lambda obj, now: shown(path.first(obj), now)


def _text(value: Any, _: datetime) -> Cell:
    if value is None or isinstance(value, str):
        return value
    return msgspec.json.encode(value).decode()


def _number(value: Any, _: datetime) -> Cell:
    return value if isinstance(value, (int, float)) and not isinstance(value, bool) else None


def _integer(value: Any, _: datetime) -> Cell:
    number = _number(value, _)
    return int(number) if isinstance(number, (int, float)) else None


def _truth(value: Any, _: datetime) -> Cell:
    return value if isinstance(value, bool) else None


_SHOWN: dict[ColumnType, Callable[[Any, datetime], Cell]] = {
    ColumnType.STRING: _text,
    ColumnType.INTEGER: _integer,
    ColumnType.NUMBER: _number,
    ColumnType.BOOLEAN: _truth,
    ColumnType.DATE: age.since,
}
