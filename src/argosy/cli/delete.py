"""`argosy delete`: resources out of the mesh, by name or by the files they came from."""

from __future__ import annotations

from typing import Annotated

import typer

from argosy.cli.options import OfContext, StateDir


def delete(
    kind: Annotated[str, typer.Argument(metavar="[KIND", help="The kind (virtualservice, vs, …).")] = "",
    names: Annotated[list[str] | None, typer.Argument(metavar="NAME…]", help="The objects.")] = None,
    filename: Annotated[
        list[str] | None,
        typer.Option(
            "--filename", "-f", metavar="F", help="A file, a folder or -: what is in it is deleted; repeats."
        ),
    ] = None,
    namespace: OfContext = "",
    wait: Annotated[bool, typer.Option("--wait", help="Until no connected proxy runs it any more.")] = False,
    timeout: Annotated[str, typer.Option(metavar="DURATION", help="How long --wait waits.")] = "30s",
    ignore_not_found: Annotated[
        bool, typer.Option("--ignore-not-found", help="It may be gone already.")
    ] = False,
    state_dir: StateDir = "",
) -> None:
    """Delete resources, by kind and name or by file.

    [bold]Examples[/bold]

    argosy delete vs reviews

    argosy delete -f reviews.yaml --wait
    """
    from argosy.apiserver.client import ApiError, identify
    from argosy.cli.apply import Change, checked, quiet, waited
    from argosy.cli.connect import api, kind_called, seconds
    from argosy.cli.terminal import say
    from argosy.runtime.errors import Failure

    limit = seconds(timeout, "--timeout")
    if bool(filename) == bool(kind) or bool(kind) != bool(names):
        raise Failure("what is to be deleted?", "argosy delete KIND NAME, or argosy delete -f FILE", code=2)
    objects = checked(filename, quiet) if filename else []
    one = None if filename else kind_called(kind)
    missing = []
    with api(state_dir) as client:
        namespace = namespace or client.connection.namespace
        if one is None:
            targets = [identify(obj, namespace) for obj in objects]
        else:
            targets = [(one, namespace if one.namespaced else "", name) for name in names or ()]
        changes = []
        for which, where, name in reversed(targets):
            label = f"{which.kind} {where}/{name}" if where else f"{which.kind} {name}"
            try:
                status = client.delete(which, name, where)
            except ApiError as error:
                if error.http_code != 404:
                    raise
                missing.append(f"{label} is not there")
                continue
            print(f"{label} deleted")
            subject = f"{which.kind}/{where}/{name}" if where else f"{which.kind}/{name}"
            revision = str((status.get("metadata") or {}).get("resourceVersion") or "0")
            changes.append(Change(label, subject, revision))
        if missing and not ignore_not_found:
            raise Failure("\n".join(missing), "see argosy get; or --ignore-not-found")
        for text in missing:
            say(text, "dim")
        if wait and (code := waited(client, changes, limit)):
            raise typer.Exit(code)
