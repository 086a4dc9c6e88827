"""Objects as tables: the columns that kubectl shows of a kind too. And one below the other, as they change."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from argosy.resources.builtin_columns import Cell
    from argosy.resources.kinds import Kind

Json = dict[str, Any]


def shorn(item: Json) -> Json:
    """Without who manages which field: that is for programs, and kubectl does not show it either."""
    metadata = {key: value for key, value in item["metadata"].items() if key != "managedFields"}
    return item | {"metadata": metadata}


def tables(found: Sequence[tuple[Kind, Sequence[Json]]], where: str | None, *, wide: bool) -> None:
    """One for each kind that has objects; `where` None: of all namespaces."""
    from argosy.cli.targets import prefix
    from argosy.cli.terminal import say, table

    told = [(kind, items) for kind, items in found if items]
    if not told:
        plurals = ", ".join(kind.plural for kind, _ in found)
        within = where is not None and any(kind.namespaced for kind, _ in found)
        say(f"no {plurals}" + (f" in namespace {where}" if within else ""))
    for number, (kind, items) in enumerate(told):
        titles, lines = rows(kind, items, wide=wide, namespaces=kind.namespaced and where is None)
        if len(found) > 1:
            at = titles.index("NAME")
            for line in lines:
                line[at] = prefix(kind) + line[at]
        if number:
            print()
        table(titles, lines)


def rows(
    kind: Kind, items: Sequence[Json], *, wide: bool, namespaces: bool
) -> tuple[list[str], list[list[str]]]:
    """(titles, rows)."""
    from argosy.resources.columns import layout

    shown, now = layout(kind), datetime.now(UTC)
    chosen = [at for at, column in enumerate(shown.columns) if wide or column.priority == 0]
    leading = ["NAMESPACE"] if namespaces else []
    told = []
    for item in items:
        cells = shown.cells(item, now)
        told.append(
            [item["metadata"].get("namespace", "") for _ in leading] + [as_text(cells[at]) for at in chosen]
        )
    return [*leading, *(shown.columns[at].name.upper() for at in chosen)], told


def as_text(cell: Cell) -> str:
    if isinstance(cell, bool):
        return str(cell).lower()
    return "" if cell is None else str(cell)


class Rows:
    """Objects one after another, as they come: the columns keep the widths that they began with."""

    def __init__(self, kind: Kind, form: str, *, namespaces: bool) -> None:
        self.kind, self.form, self.namespaces = kind, form, namespaces
        self.widths: list[int] = []

    def add(self, items: Sequence[Json]) -> None:
        from argosy.cli.documents import show
        from argosy.cli.targets import of_objects

        if self.form in ("table", "wide"):
            self._table(items)
        elif self.form == "name":
            for target in of_objects(self.kind, items):
                print(target.printed)
        else:
            for item in items:
                if self.form == "yaml":
                    print("---")
                show(self.form, shorn(item))
        sys.stdout.flush()

    def _table(self, items: Sequence[Json]) -> None:
        titles, told = rows(self.kind, items, wide=self.form == "wide", namespaces=self.namespaces)
        lines = told
        if not self.widths and told:
            lines = [titles, *told]
            self.widths = [max(len(line[at]) for line in lines) for at in range(len(titles))]
        for line in lines:
            cells = (f"{cell:<{width}}" for cell, width in zip(line, self.widths, strict=True))
            print("  ".join(cells).rstrip())
