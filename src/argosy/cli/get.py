"""`argosy get`: what the mesh is configured with."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Annotated, Any

import typer

from argosy.cli.options import OfContext, StateDir, chosen_output

if TYPE_CHECKING:
    from argosy.resources.builtin_columns import Cell
    from argosy.resources.kinds import Kind

Json = dict[str, Any]


def get(
    kind: Annotated[str, typer.Argument(metavar="KIND", help="virtualservices, vs, services, …")],
    name: Annotated[str, typer.Argument(metavar="[NAME]", help="One object alone.")] = "",
    namespace: OfContext = "",
    everywhere: Annotated[bool, typer.Option("--all-namespaces", "-A", help="Of all namespaces.")] = False,
    selector: Annotated[
        str, typer.Option("--selector", "-l", metavar="KEY=VALUE", help="With these labels.")
    ] = "",
    output: Annotated[
        str, typer.Option("--output", "-o", metavar="FORMAT", help="table, wide, json or yaml.")
    ] = "table",
    state_dir: StateDir = "",
) -> None:
    """Show resources.

    [bold]Examples[/bold]

    argosy get vs

    argosy get workloadentries -A

    argosy get destinationrule reviews -o yaml
    """
    import json

    from argosy.cli.connect import api, kind_called
    from argosy.cli.terminal import say, table
    from argosy.runtime.errors import Failure

    form = chosen_output(output, ("table", "wide", "json", "yaml"))
    which = kind_called(kind)
    if name and everywhere:
        raise Failure(f"{name} of all namespaces?", "name one namespace with -n", code=2)
    with api(state_dir) as client:
        namespace = namespace or client.connection.namespace
        if name:
            found = client.get(which, name, namespace)
            items = [found]
        else:
            where = namespace if which.namespaced and not everywhere else None
            found = client.list(which, where, label_selector=selector)
            items = found.get("items") or []
    for item in items:  # who manages which field is for programs; kubectl does not show it either
        item.get("metadata", {}).pop("managedFields", None)
    if form == "json":
        print(json.dumps(found, indent=2))
    elif form == "yaml":
        print(as_yaml(found), end="")
    elif not items:
        say(
            f"no {which.plural}"
            + (f" in namespace {namespace}" if which.namespaced and not everywhere else "")
        )
    else:
        table(*rows(which, items, wide=form == "wide", namespaces=everywhere and which.namespaced))


def rows(
    kind: Kind, items: Sequence[Json], *, wide: bool, namespaces: bool
) -> tuple[list[str], list[list[str]]]:
    """(titles, rows): the columns that kubectl shows of the kind too."""
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


def as_yaml(found: Json) -> str:
    """Text of several lines as it was written, line by line: what is shown can be edited."""
    import yaml

    class Dumper(yaml.SafeDumper):
        pass

    def text(dumper: yaml.SafeDumper, value: str) -> yaml.ScalarNode:
        style = "|" if "\n" in value else None
        return dumper.represent_scalar("tag:yaml.org,2002:str", value, style=style)

    Dumper.add_representer(str, text)
    return str(yaml.dump(found, Dumper=Dumper, sort_keys=False, allow_unicode=True))
