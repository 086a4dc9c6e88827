"""`argosy validate`: what the server would say to these files, without a server: errors, and as warnings also what is
accepted and not in force.

The form of the JSON is that of the conformance suites: one entry an object; see `resources.report`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import typer

from argosy.cli.options import Files, Output, chosen_output

if TYPE_CHECKING:
    from argosy.resources.loading import LoadError


def validate(filename: Files, output: Output = "table") -> None:
    """Check files without a server: fields, values, and what belongs together. Exit code 1 where any object is invalid.

    Mesh settings (MeshConfig, MeshNetworks) may be in a file of their own.

    [bold]Examples[/bold]

    argosy validate -f reviews.yaml -f folder/

    kubectl get vs -o yaml | argosy validate -f - -o json
    """

    from argosy.cli.documents import show
    from argosy.cli.files import documents
    from argosy.resources.report import report

    form = chosen_output(output)
    found, unreadable = documents(filename)
    judged = [
        with_limits(entry, document.object) for entry, document in zip(report(found), found, strict=True)
    ]
    entries = judged + [of_unreadable(error) for error in unreadable]
    if not show(form, entries):
        print_entries(entries)
    if not all(entry["valid"] for entry in entries):
        raise typer.Exit(1)


def with_limits(entry: dict[str, Any], obj: Any) -> dict[str, Any]:
    """The entry with what of its object is accepted and not in force."""
    from argosy.model.limits import not_in_force, settings_not_in_force
    from argosy.resources.kinds import decode

    if not entry["valid"] or entry.get("skipped") or entry["kind"] == "MeshNetworks":
        return entry
    limits = settings_not_in_force(obj) if entry["kind"] == "MeshConfig" else not_in_force(decode(obj))
    found = [{"field": field, "message": message} for field, message in limits]
    return entry | {"warnings": entry["warnings"] + found}


def of_unreadable(error: LoadError) -> dict[str, Any]:
    """The entry of a file that holds no objects because it is no YAML."""
    return {
        "file": error.source,
        "index": 0,
        "apiVersion": None,
        "kind": None,
        "namespace": None,
        "name": None,
        "valid": False,
        "errors": [{"field": "", "message": f"line {error.line}: {error.message}"}],
        "warnings": [],
    }


def label(entry: dict[str, Any]) -> str:
    """`VirtualService shop/reviews`, as messages name an object."""
    named = "/".join(str(part) for part in (entry["namespace"], entry["name"]) if part)
    return " ".join(str(part) for part in (entry["kind"], named) if part) or f"object {entry['index']}"


def print_entries(entries: list[dict[str, Any]]) -> None:
    from argosy.cli.terminal import coloured

    red, yellow, off = ("\x1b[31m", "\x1b[33m", "\x1b[0m") if coloured() else ("", "", "")
    for entry in entries:
        where = f"{entry['file']}: {label(entry)}"
        for colour, name, problems in (
            (red, "error", entry["errors"]),
            (yellow, "warning", entry["warnings"]),
        ):
            for problem in problems:
                field = f"{problem['field']}: " if problem["field"] else ""
                print(f"{where}: {colour}{name}{off}: {field}{problem['message']}")
    invalid = sum(not entry["valid"] for entry in entries)
    skipped = sum(bool(entry.get("skipped")) for entry in entries)
    said = [f"{len(entries) - invalid - skipped} valid"]
    said += [f"{invalid} invalid"] if invalid else []
    said += [f"{skipped} of other kinds, skipped"] if skipped else []
    print(", ".join(said))
