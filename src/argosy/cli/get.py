"""`argosy get`: what the mesh is configured with; with -w, and what becomes of it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated, Any

import typer

from argosy.cli.options import (
    Everywhere,
    FieldSelector,
    LabelSelector,
    OfContext,
    StateDir,
    What,
    chosen_output,
    output,
)
from argosy.runtime.errors import Failure

if TYPE_CHECKING:
    from argosy.apiserver.client import ApiClient
    from argosy.cli.follow import Query
    from argosy.cli.targets import Wanted

Json = dict[str, Any]
FORMS = ("table", "wide", "json", "yaml", "name", "jsonpath=…")


def get(
    what: What = None,
    namespace: OfContext = "",
    everywhere: Everywhere = False,
    selector: LabelSelector = "",
    field_selector: FieldSelector = "",
    watch: Annotated[bool, typer.Option("--watch", "-w", help="And every change, until Ctrl-C.")] = False,
    ignore_not_found: Annotated[
        bool, typer.Option("--ignore-not-found", help="What is not there is no error.")
    ] = False,
    form: Annotated[str, output(*FORMS)] = "table",
    state_dir: StateDir = "",
) -> None:
    """Show resources.

    [bold]Examples[/bold]

    argosy get vs

    argosy get vs,dr -A -l app=reviews

    argosy get destinationrule reviews -o yaml

    argosy get vs reviews -w
    """
    from argosy.cli import documents, targets
    from argosy.cli.connect import api

    documents.checked(chosen_output(form, FORMS))
    wanted = targets.wanted(what or ())
    if any(one.names for one in wanted):
        if everywhere:
            raise Failure("names, of all namespaces?", "name one namespace with -n", code=2)
        if selector or field_selector:
            raise Failure("names beside a selector", "give either of them", code=2)
    if watch and (len(wanted) > 1 or len(wanted[0].names) > 1):
        raise Failure("--watch: of several", "name one kind, or one object", code=2)
    with api(state_dir) as client:
        where = None if everywhere else namespace or client.connection.namespace
        if watch:
            watched(client, query_of(wanted[0], where, selector, field_selector), wanted[0].names, form)
            return
        found, missing = read(client, wanted, where, selector, field_selector)
        if found:
            printed(found, form, where, single=sum(len(one.names) for one in wanted) == 1)
    if missing and not ignore_not_found:
        raise Failure("\n".join(missing), "see argosy get; or --ignore-not-found")


Found = list[tuple["Wanted", Json]]
"""What was asked for, and the list of what there is of it."""


def read(
    client: ApiClient, wanted: Sequence[Wanted], where: str | None, selector: str, field_selector: str
) -> tuple[Found, list[str]]:
    """And what is not there, of what was named."""
    from argosy.apiserver.client import ApiError
    from argosy.cli import documents
    from argosy.cli.targets import target

    found: Found = []
    missing: list[str] = []
    for one in wanted:
        if not one.names:
            found.append((one, query_of(one, where, selector, field_selector).list(client)))
            continue
        items = []
        for name in one.names:
            try:
                items.append(target(one.kind, where or "", name).read(client))
            except ApiError as error:
                if error.http_code != 404:
                    raise
                missing.append(error.what)
        if items:
            found.append((one, documents.listed(items)))
    return found, missing


def query_of(one: Wanted, where: str | None, selector: str, field_selector: str) -> Query:
    from argosy.cli.follow import Query

    named = f"metadata.name={one.names[0]}" if one.names else field_selector
    return Query(
        kind=one.kind,
        namespace=where if one.kind.namespaced else None,
        label_selector=selector,
        field_selector=named,
    )


def printed(found: Found, form: str, where: str | None, *, single: bool) -> None:
    """`single`: one object was asked for, so that is what programs get, and no list."""
    from argosy.cli import documents
    from argosy.cli.printing import shorn, tables
    from argosy.cli.targets import of_objects

    for _, listed in found:
        listed["items"] = [shorn(item) for item in listed.get("items") or ()]
    if form in ("table", "wide"):
        tables([(one.kind, listed["items"]) for one, listed in found], where, wide=form == "wide")
    elif form == "name":
        for one, listed in found:
            for target in of_objects(one.kind, listed["items"]):
                print(target.printed)
    elif single:
        documents.show(form, found[0][1]["items"][0])
    elif len(found) == 1:
        documents.show(form, found[0][1])
    else:
        items = [item for _, listed in found for item in listed["items"]]
        documents.show(form, documents.listed(items))


def watched(client: ApiClient, query: Query, names: Sequence[str], form: str) -> None:
    """What there is, and then each change on a line (or as a document) of its own."""
    from argosy.cli.follow import follow as changes
    from argosy.cli.printing import Rows
    from argosy.cli.targets import of_objects
    from argosy.cli.terminal import say

    listed = query.list(client)
    items = listed.get("items") or []
    if names and not items:
        raise Failure(f"{query.kind.kind} {names[0]}: is not there", "see argosy get")
    rows = Rows(query.kind, form, namespaces=query.kind.namespaced and query.namespace is None)
    rows.add(items)
    for event in changes(client, query, listed):
        rows.add([event.object])
        if event.type == "DELETED":
            (target,) = of_objects(query.kind, [event.object])
            say(f"{target.label} was deleted", "dim")
