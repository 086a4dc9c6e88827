"""`argosy auth`: who one is to the API, and what one may do."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from argosy.cli.options import OfContext, Output, StateDir, chosen_output
from argosy.runtime.errors import Failure

AUTHORIZATION, AUTHENTICATION = "authorization.k8s.io/v1", "authentication.k8s.io/v1"
Json = dict[str, Any]

app = typer.Typer(
    no_args_is_help=True, rich_markup_mode="rich", help="See who you are to the API, and what you may do."
)


@app.command("can-i")
def can_i(
    verb: Annotated[
        str, typer.Argument(metavar="VERB", help="get, list, watch, create, update, …; * is all.")
    ] = "",
    resource: Annotated[
        str,
        typer.Argument(
            metavar="RESOURCE", help="vs, virtualservices/status, secrets, /version, …; * is all."
        ),
    ] = "",
    name: Annotated[str, typer.Argument(metavar="[NAME]", help="Of one object.")] = "",
    namespace: OfContext = "",
    everywhere: Annotated[bool, typer.Option("--all-namespaces", "-A", help="In all namespaces.")] = False,
    listed: Annotated[bool, typer.Option("--list", help="Everything that you may do there.")] = False,
    output: Output = "table",
    state_dir: StateDir = "",
) -> None:
    """Ask whether you may do something. Exit code 0: yes, 1: no.

    [bold]Examples[/bold]

    argosy auth can-i create vs -n shop

    argosy auth can-i --list -n shop
    """

    from argosy.cli import documents
    from argosy.cli.connect import api

    form = chosen_output(output)
    if listed == bool(verb) or bool(verb) != bool(resource):
        raise Failure("what do you want to know?", "argosy auth can-i VERB RESOURCE, or --list", code=2)
    with api(state_dir) as client:
        where = "" if everywhere else namespace or client.connection.namespace
        if listed:
            spec: Json = {"namespace": where or "default"}
        else:
            spec = asked(verb, resource, name, where)
        kind = "SelfSubjectRulesReview" if listed else "SelfSubjectAccessReview"
        found = client.request(
            "POST",
            f"/apis/{AUTHORIZATION}/{kind.lower()}s",
            body={"apiVersion": AUTHORIZATION, "kind": kind, "spec": spec},
        )
    status = found["status"]
    if not documents.show(form, status):
        printed(status)
    if not listed and not status["allowed"]:
        raise typer.Exit(1)


def printed(status: Json) -> None:
    """A verdict, or all the rules."""
    from argosy.cli.terminal import table

    if "allowed" in status:
        print("yes" if status["allowed"] else f"no{_because(status)}")
    else:
        table(["RESOURCES", "NON-RESOURCE URLS", "NAMES", "VERBS"], rules(status))


@app.command()
def whoami(output: Output = "table", state_dir: StateDir = "") -> None:
    """Show who you are to the API: your name, and the groups that you belong to."""

    from argosy.cli import documents
    from argosy.cli.connect import api
    from argosy.cli.terminal import table

    form = chosen_output(output)
    with api(state_dir) as client:
        found = client.request(
            "POST",
            f"/apis/{AUTHENTICATION}/selfsubjectreviews",
            body={"apiVersion": AUTHENTICATION, "kind": "SelfSubjectReview"},
        )
    user = found["status"]["userInfo"]
    if not documents.show(form, user):
        table(["USER", "GROUPS"], [[user["username"], ", ".join(user.get("groups") or ())]])


def asked(verb: str, resource: str, name: str, namespace: str) -> Json:
    """The spec of a SelfSubjectAccessReview."""
    from argosy.cli.connect import kind_called

    if resource.startswith("/"):
        return {"nonResourceAttributes": {"verb": verb, "path": resource}}
    called, _, subresource = resource.partition("/")
    attributes: Json = {"verb": verb, "namespace": namespace}
    try:
        kind = kind_called(called)
    except Failure:
        # One that is no kind, as proxies.operations.argosy.dev; or all of them.
        attributes["resource"], _, attributes["group"] = called.partition(".")
        if called == "*":
            attributes["group"] = "*"
    else:
        attributes |= {"resource": kind.plural, "group": kind.group}
        if not kind.namespaced and kind.kind != "Namespace":
            attributes["namespace"] = ""
    given = {"subresource": subresource, "name": name}
    return {"resourceAttributes": attributes | {field: value for field, value in given.items() if value}}


def rules(status: Json) -> list[list[str]]:
    """Rows: one for each resource, or for each path."""
    found = []
    for rule in status.get("resourceRules") or ():
        names = ", ".join(rule.get("resourceNames") or ())
        for group in rule.get("apiGroups") or ():
            for resource in rule.get("resources") or ():
                found.append(
                    [f"{resource}.{group}" if group else resource, "", names, " ".join(rule["verbs"])]
                )
    for rule in status.get("nonResourceRules") or ():
        for url in rule.get("nonResourceURLs") or ():
            found.append(["", url, "", " ".join(rule["verbs"])])
    return [list(row) for row in sorted({tuple(row) for row in found})]


def _because(status: Json) -> str:
    reason = status.get("reason") or status.get("evaluationError")
    return f" - {reason}" if reason else ""
