"""`argosy wait`: until objects are as they should be. It watches them; nothing is asked again and again.

    --for=create                           it is there
    --for=delete                           it is gone
    --for=condition=TYPE[=STATUS]          such a condition, told of the newest generation; STATUS: True
    --for=jsonpath='{.path}'[=VALUE]       the path leads to that value; to any, where none is given

Exit codes are those of `argosy apply --wait`: 0 met, 1 an error, 2 timed out. The time is for all of them together.
"""

from __future__ import annotations

import re
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Annotated, Any

import typer
from msgspec import Struct

from argosy.cli import completing
from argosy.cli.options import (
    Everywhere,
    LabelSelector,
    MaybeFiles,
    OfContext,
    Recursive,
    StateDir,
    What,
    chosen_output,
    output,
)
from argosy.resources.kind import MESH_GROUPS
from argosy.runtime.errors import Failure

if TYPE_CHECKING:
    from argosy.apiserver.client import ApiClient
    from argosy.cli.targets import Target

Json = dict[str, Any]
FORMS = ("text", "name", "json", "yaml")
USUAL = "condition=Programmed"
MET, TIMED_OUT = 0, 2
_BRACED = re.compile(r"(\{.*\})(?:=(.*))?", re.DOTALL)
REMEDY = "condition=Programmed, condition=Accepted=False, jsonpath='{.spec.x}'=1, create or delete"


class Goal(Struct, frozen=True):
    """`met` judges an object (None: it is not there); `lacks` says of one that does not meet it how it stands."""

    said: str
    met: Callable[[Json | None], bool]
    lacks: Callable[[Json | None], str] = lambda obj: "" if obj else "it is not there"
    may_be_absent: bool = False  # at first; else that is an error
    of_none: bool = False  # met where there is nothing to wait for


def wait(
    what: What = None,
    goal: Annotated[
        str | None,
        typer.Option(
            "--for",
            metavar="GOAL",
            help="condition=TYPE[=STATUS], jsonpath='{.path}'[=VALUE], create or delete. "
            "Without it: condition=Programmed; kinds that have no such condition need only be there.",
            autocompletion=completing.among(
                "condition=Programmed", "condition=Accepted", "create", "delete", "jsonpath=…"
            ),
        ),
    ] = None,
    filename: MaybeFiles = None,
    recursive: Recursive = False,
    namespace: OfContext = "",
    everywhere: Everywhere = False,
    selector: LabelSelector = "",
    every: Annotated[bool, typer.Option("--all", help="All of the kind, in the namespace.")] = False,
    timeout: Annotated[
        str, typer.Option(metavar="DURATION", help="For all of them together; 0: look once.")
    ] = "30s",
    form: Annotated[str, output(*FORMS)] = "text",
    state_dir: StateDir = "",
) -> None:
    """Wait until objects are as they should be. Exit code 0: they are, 1: an error, 2: the time is over.

    [bold]Examples[/bold]

    argosy wait vs/reviews --for=condition=Programmed --timeout=10s

    argosy wait vs --all --for=delete

    argosy wait gateway/edge --for=jsonpath='{.spec.selector.istio}'=ingressgateway
    """
    from argosy.cli import documents
    from argosy.cli.apply import checked, quiet
    from argosy.cli.connect import api, seconds
    from argosy.cli.printing import shorn
    from argosy.cli.progress import Progress, stepped
    from argosy.cli.targets import choice
    from argosy.cli.terminal import say

    chosen_output(form, FORMS)
    wanted, limit = goal_of(goal or USUAL), seconds(timeout, "--timeout")
    there = Goal("there", lambda obj: obj is not None)
    objects = checked(filename, quiet) if filename else None
    chosen = choice(what or (), objects, selector, every=every, everywhere=everywhere)
    deadline = time.monotonic() + limit
    code, found = MET, []
    with api(state_dir) as client:
        targets = chosen.targets(client, namespace or client.connection.namespace)
        if not targets and not wanted.of_none:
            raise Failure("there is no such object", "see argosy get; or name it, and --for=create")
        with Progress(form) as progress:
            for target in stepped(targets, f"waiting for {wanted.said}", progress):
                mine = wanted if goal or target.kind.group in MESH_GROUPS else there
                obj, met = reached(client, target, mine, deadline)
                if not met:
                    because = mine.lacks(obj)
                    say(
                        f"{target.label}: not {mine.said} after {limit:g} s{because and f': {because}'}",
                        "red",
                    )
                    code = TIMED_OUT
                    continue
                if form in ("text", "name"):
                    print(target.printed if form == "name" else f"{target.label}: {mine.said}", flush=True)
                found += [shorn(obj)] if obj else []
    if form in ("json", "yaml"):
        one = len(targets) == 1 and len(found) == 1
        documents.show(form, found[0] if one else documents.listed(found))
    if code:
        raise typer.Exit(code)


def reached(client: ApiClient, target: Target, goal: Goal, deadline: float) -> tuple[Json | None, bool]:
    """The object as it is at last, and whether it meets the goal. Raises Failure."""
    from argosy.cli.follow import Query, follow

    query = Query(
        kind=target.kind, namespace=target.namespace or None, field_selector=f"metadata.name={target.name}"
    )
    listed = query.list(client)
    obj: Json | None = next(iter(listed.get("items") or ()), None)
    if obj is None and not goal.may_be_absent:
        raise Failure(f"{target.label}: is not there", "see argosy get; or wait --for=create first")
    if goal.met(obj):
        return obj, True
    for event in follow(client, query, listed, deadline):
        obj = None if event.type == "DELETED" else event.object
        if goal.met(obj):
            return obj, True
    return obj, False


def goal_of(text: str) -> Goal:
    """Raises Failure (wrong usage)."""
    name, _, rest = text.partition("=")
    if text == "create":
        return Goal("created", lambda obj: obj is not None, may_be_absent=True)
    if text == "delete":
        return Goal(
            "deleted",
            lambda obj: obj is None,
            lambda _: "it is still there",
            may_be_absent=True,
            of_none=True,
        )
    if name == "condition" and rest:
        kind, _, status = rest.partition("=")
        return _condition(kind, status or "True")
    if name == "jsonpath" and rest:
        return _path(rest)
    raise Failure(f"--for={text}: not a goal", REMEDY, code=2)


def _condition(kind: str, status: str) -> Goal:
    def told(obj: Json | None) -> Json | None:
        conditions = ((obj or {}).get("status") or {}).get("conditions") or []
        named = (one for one in conditions if str(one.get("type", "")).lower() == kind.lower())
        return next(named, None)

    def of_an_older_generation(obj: Json, condition: Json) -> bool:
        observed = condition.get("observedGeneration", (obj.get("status") or {}).get("observedGeneration"))
        return observed is not None and observed < obj["metadata"].get("generation", 0)

    def met(obj: Json | None) -> bool:
        found = told(obj)
        if obj is None or found is None or of_an_older_generation(obj, found):
            return False
        return str(found.get("status", "")).lower() == status.lower()

    def lacks(obj: Json | None) -> str:
        found = told(obj)
        if obj is None or found is None:
            return f"it has no condition {kind}" if obj else "it is not there"
        if of_an_older_generation(obj, found):
            return "its last change is not looked at yet"
        return ": ".join(str(part) for part in (found.get("reason"), found.get("message")) if part)

    return Goal(f"{kind}={status}", met, lacks)


def _path(text: str) -> Goal:
    from argosy.cli.template import shown
    from argosy.resources import json_path

    braced = _BRACED.fullmatch(text)
    template, value = (braced[1], braced[2] or "") if braced else text.partition("=")[::2]
    try:
        path = json_path.compiled(template)
    except ValueError as error:
        raise Failure(f"--for=jsonpath={text}: {error}", REMEDY, code=2) from error

    def met(obj: Json | None) -> bool:
        found = path.find(obj) if obj is not None else []
        return any(shown(each) == value for each in found) if value else bool(found)

    def lacks(obj: Json | None) -> str:
        found = path.find(obj) if obj is not None else []
        return f"it is {' '.join(map(shown, found))}" if found else f"{template} leads nowhere"

    return Goal(f"{template}={value}" if value else template, met, lacks)
