"""`argosy apply`: files into the mesh, all or nothing at the door; with --wait, until every proxy runs them.

Order: every object is checked here, then by the server without writing (dry run), and only then written, namespaces
first. So what is refused changes nothing, unless somebody else changes the mesh at the same moment.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from msgspec import Struct

from argosy.cli.options import Files, StateDir
from argosy.runtime.errors import Failure

if TYPE_CHECKING:
    from argosy.apiserver.client import ApiClient

LIVE, REFUSED, TIMED_OUT = 0, 1, 2


class Change(Struct, frozen=True):
    """One object that was written or deleted."""

    label: str  # `VirtualService default/reviews`
    subject: str  # `VirtualService/default/reviews`
    revision: str


def apply(
    filename: Files,
    wait: Annotated[
        bool,
        typer.Option("--wait", help="Until every connected proxy runs it: 0 live, 1 refused, 2 timed out."),
    ] = False,
    timeout: Annotated[str, typer.Option(metavar="DURATION", help="How long --wait waits.")] = "30s",
    state_dir: StateDir = "",
) -> None:
    """Create or change resources from files. Everything is checked first: what is refused changes nothing.

    [bold]Examples[/bold]

    argosy apply -f reviews.yaml --wait

    argosy apply -f folder/ -f extra.yaml
    """
    from argosy.cli.connect import seconds

    limit = seconds(timeout, "--timeout")
    with _client(state_dir) as client:
        changes = write(client, checked(filename))
        if wait and (code := waited(client, changes, limit)) != LIVE:
            raise typer.Exit(code)


def apply_files(state: Path, names: Sequence[str]) -> None:
    """For other commands: as `argosy apply -f …`, without a word."""
    with _client(state) as client:
        write(client, checked(names, quiet), quiet)


def _client(state: str | Path) -> ApiClient:
    from argosy.cli.connect import api

    return api(state)


def quiet(text: str) -> None:
    pass


def told(text: str) -> None:
    from argosy.cli.terminal import warn

    warn(text)


def checked(names: Sequence[str], warned: Any = told) -> list[dict[str, Any]]:
    """The objects of the files, each valid. Raises one Failure that names everything that is not."""
    from argosy.cli.files import documents
    from argosy.resources.validation import validate

    found, unreadable = documents(names)
    wrong = [str(error) for error in unreadable]
    for document in found:
        verdict = validate(document.object)
        where = f"{document.source}: {called(document.object)}"
        wrong += [f"{where}: {problem}" for problem in verdict.errors]
        for problem in verdict.warnings:
            warned(f"{where}: {problem}")
    if wrong:
        raise Failure("\n".join(wrong), "nothing was changed")
    if not found:
        raise Failure("the files hold no object", "nothing was changed")
    return [document.object for document in found]


def called(obj: Any) -> str:
    """`VirtualService shop/reviews`, of whatever was in the file."""
    if not isinstance(obj, dict):
        return "object"
    metadata = obj.get("metadata")
    metadata = metadata if isinstance(metadata, dict) else {}
    name = "/".join(str(metadata[part]) for part in ("namespace", "name") if metadata.get(part))
    return " ".join(part for part in (str(obj.get("kind") or "object"), name) if part)


def write(client: ApiClient, objects: Sequence[dict[str, Any]], warned: Any = told) -> list[Change]:
    """Writes the objects and says what became of each. Where one is refused: Failure, and nothing is written."""
    from argosy.apiserver.client import identify

    first = sorted(objects, key=lambda obj: obj.get("kind") != "Namespace")
    coming = {obj["metadata"]["name"] for obj in first if obj.get("kind") == "Namespace"}
    wrong = []
    for obj in first:
        kind, namespace, _ = identify(obj, client.connection.namespace)
        if kind.kind == "Namespace" or namespace in coming:
            continue  # its namespace is not there yet: the check here must do
        try:
            client.apply(obj, dry_run="All")
        except Failure as failure:
            wrong.append(failure)
    if wrong:
        remedies = [failure.remedy for failure in wrong if failure.remedy]
        raise Failure(
            "\n".join(failure.what for failure in wrong), "\n".join([*remedies, "nothing was changed"])
        )
    changes = []
    for obj in first:
        done = client.apply(obj)
        kind, namespace, name = identify(obj, client.connection.namespace)
        label = f"{kind.kind} {namespace}/{name}" if namespace else f"{kind.kind} {name}"
        for warning in done.warnings:
            warned(f"{label}: {warning}")
        if warned is told:
            print(f"{label} {done.outcome}")
        subject = "/".join(part for part in (kind.unique_name, namespace, name) if part)
        changes.append(Change(label, subject, str(done.object["metadata"]["resourceVersion"])))
    return changes


def waited(client: ApiClient, changes: Sequence[Change], limit: float) -> int:
    """Waits for all changes within one limit, says how each stands, and gives the exit code of the worst."""
    from argosy.cli.connect import delivery

    deadline = time.monotonic() + limit
    began = time.monotonic()
    code = LIVE
    for change in changes:
        verdict = delivery(client, change.subject, change.revision, max(0.0, deadline - time.monotonic()))
        took = (time.monotonic() - began) * 1000
        code = max(code, _said(change, verdict, took, limit), key=(LIVE, TIMED_OUT, REFUSED).index)
    return code


def _said(change: Change, verdict: dict[str, Any], took: float, limit: float) -> int:
    from argosy.cli.terminal import say, warn

    state = verdict.get("state")
    if away := verdict.get("disconnected"):
        warn(f"{change.label}: not connected, not waited for: {', '.join(away)}")
    match state:
        case "live":
            count = len(verdict.get("proxies") or ())
            say(
                f"{change.label}: live in {count} {'proxy' if count == 1 else 'proxies'} after {took:.0f} ms",
                "green",
            )
            return LIVE
        case "unaffected":
            say(
                f"{change.label}: no connected proxy uses it: {verdict.get('reason') or 'nothing refers to it'}"
            )
            return LIVE
        case "rejected":
            for one in verdict.get("rejected") or ():
                what = " ".join(part for part in (one.get("type"), one.get("resource")) if part)
                say(f"{change.label}: refused by {one.get('proxy')}: {what}: {one.get('message')}", "red")
            if reason := verdict.get("reason"):
                say(f"{change.label}: refused: {reason}", "red")
            return REFUSED
    pending = ", ".join(verdict.get("pending") or ()) or verdict.get("reason") or "the control plane"
    say(f"{change.label}: not live after {limit:g} s: waiting for {pending}", "red")
    return TIMED_OUT
