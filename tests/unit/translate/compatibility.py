"""The tables of docs/compatibility.md, from what is tried here and from `argosy.model.limits`.

python -m tests.unit.translate.compatibility      writes them into the page
"""

from __future__ import annotations

from pathlib import Path

import msgspec

from argosy.model.limits import TABLE, struct_in
from argosy.resources.kinds import KINDS
from argosy.resources.meta import Object
from tests.unit.translate.fields import NOT_OF_TRAFFIC, TOP, name_of, of_traffic, struct_of
from tests.unit.translate.test_fields import BY_OTHERS, NAMES_ONLY, REFUSED, in_force

PAGE = Path(__file__).parents[3] / "docs" / "compatibility.md"
BEGIN, END = "<!-- tables: begin -->\n", "<!-- tables: end -->\n"


def kinds() -> list[str]:
    names = [one.unique_name for one in KINDS]
    return [name for name in names if name not in NOT_OF_TRAFFIC or _limits(name)] + ["MeshConfig"]


def tables() -> str:
    shown: set[object] = set()
    return "\n".join(_section(kind, shown) for kind in kinds())


def _section(kind: str, shown: set[object]) -> str:
    lines = [f"## {kind}", ""]
    if kind in of_traffic():
        rows = _structs(struct_of(kind), shown)
        lines += ["| part | in force |", "| --- | --- |", *rows, ""] if rows else []
    if limits := _limits(kind):
        lines += ["| warned | where it is | what happens |", "| --- | --- | --- |"]
        for field, values, message in limits:
            place = f"`{field}`" if field else "the whole object"
            lines.append(f"| {place} | {values} | {message} |")
        lines.append("")
    return "\n".join(lines)


def _limits(kind: str) -> list[tuple[str, str, str]]:
    return [
        (limit.field.replace(",", ", "), limit.when.values, limit.message)
        for limit in TABLE
        if limit.kind == kind
    ]


def _structs(top: type[msgspec.Struct], shown: set[object]) -> list[str]:
    """A row for each struct, where it is met first, with its fields that are in force and those that are refused."""
    rows: list[str] = []
    todo = [top]
    while todo:
        struct = todo.pop(0)
        if struct in shown:
            continue
        shown.add(struct)
        found, refused = [], []
        for one in msgspec.structs.fields(struct):
            if issubclass(struct, Object) and one.encode_name in TOP:
                continue
            name = name_of(struct, one.encode_name)
            if name in in_force() or name in NAMES_ONLY or name in BY_OTHERS:
                found.append(one.encode_name)
            elif name in REFUSED:
                refused.append(one.encode_name)
            if (within := struct_in(one.type)) is not None:
                todo.append(within)
        if found and found != ["spec"]:
            rest = f"; refused: {', '.join(refused)}" if refused else ""
            rows.append(f"| {struct.__name__} | {', '.join(found)}{rest} |")
    return rows


def page() -> str:
    """The page with its tables as they should be."""
    text = PAGE.read_text()
    before, _, rest = text.partition(BEGIN)
    _, _, after = rest.partition(END)
    return f"{before}{BEGIN}\n{tables()}\n{END}{after}"


if __name__ == "__main__":
    PAGE.write_text(page())
