"""`argosy delete`: resources out of the mesh, by name, by labels, or by the files they came from."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated

import typer

from argosy.cli.options import (
    DryRun,
    LabelSelector,
    MaybeFiles,
    OfContext,
    Recursive,
    StateDir,
    What,
    chosen_output,
    output,
)
from argosy.runtime.errors import Failure

if TYPE_CHECKING:
    from argosy.apiserver.client import ApiClient
    from argosy.cli.apply import Change
    from argosy.cli.targets import Target

FORMS = ("text", "name")


def delete(
    what: What = None,
    filename: MaybeFiles = None,
    recursive: Recursive = False,
    namespace: OfContext = "",
    selector: LabelSelector = "",
    every: Annotated[bool, typer.Option("--all", help="All of the kind, in the namespace.")] = False,
    wait: Annotated[bool, typer.Option("--wait", help="Until no connected proxy runs it any more.")] = False,
    timeout: Annotated[str, typer.Option(metavar="DURATION", help="How long --wait waits.")] = "30s",
    ignore_not_found: Annotated[
        bool, typer.Option("--ignore-not-found", help="It may be gone already.")
    ] = False,
    dry_run: DryRun = "none",
    form: Annotated[str, output(*FORMS)] = "text",
    state_dir: StateDir = "",
) -> None:
    """Delete resources: by kind and name, by labels, or by file.

    [bold]Examples[/bold]

    argosy delete vs reviews

    argosy delete vs,dr -l app=reviews

    argosy delete -f reviews.yaml --wait
    """
    from argosy.cli.apply import checked, quiet, waited
    from argosy.cli.connect import api, dry, seconds
    from argosy.cli.targets import choice
    from argosy.cli.terminal import say

    chosen_output(form, FORMS)
    limit, trial = seconds(timeout, "--timeout"), dry(dry_run)
    if not what and not filename:
        raise Failure("what is to be deleted?", "argosy delete KIND NAME, or argosy delete -f FILE", code=2)
    objects = checked(filename, quiet) if filename else None
    chosen = choice(what or (), objects, selector, every=every)
    with api(state_dir) as client:
        targets = chosen.targets(client, namespace or client.connection.namespace)
        changes, missing = removed(client, list(reversed(targets)), form, trial)
        if missing and not ignore_not_found:
            raise Failure("\n".join(missing), "see argosy get; or --ignore-not-found")
        for text in missing:
            say(text, "dim")
        if wait and not trial and (code := waited(client, changes, limit)):
            raise typer.Exit(code)


def removed(
    client: ApiClient, targets: Sequence[Target], form: str, dry_run: str
) -> tuple[list[Change], list[str]]:
    """What was deleted, and what is not there."""
    from argosy.apiserver.client import ApiError
    from argosy.cli.apply import Change

    changes, missing = [], []
    for target in targets:
        try:
            status = client.delete(target.kind, target.name, target.namespace, dry_run=dry_run)
        except ApiError as error:
            if error.http_code != 404:
                raise
            missing.append(f"{target.label} is not there")
            continue
        print(
            target.printed
            if form == "name"
            else f"{target.label} deleted{' (server dry run)' if dry_run else ''}"
        )
        revision = str((status.get("metadata") or {}).get("resourceVersion") or "0")
        changes.append(Change(target.label, target.subject, revision))
    return changes, missing
