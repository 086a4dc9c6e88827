"""`argosy diff`: what `argosy apply` would change. The server says so: it does all but the writing.

Rule: no value of a secret is shown, only that it differs. Exit codes are diff's: 0 nothing, 1 something, 2 trouble.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Annotated, Any

import typer
from msgspec import Struct

from argosy.cli.options import Files, OfContext, Recursive, StateDir, chosen_output, output
from argosy.runtime.errors import Failure

if TYPE_CHECKING:
    from argosy.apiserver.client import ApiClient
    from argosy.cli.targets import Target

Json = dict[str, Any]
FORMS = ("text", "json", "yaml")
SAME, DIFFERENT, TROUBLE = 0, 1, 2
OF_THE_SERVER = ("managedFields", "resourceVersion", "generation", "uid", "creationTimestamp")
"""In metadata; they say nothing of what a person wants."""


class Difference(Struct, frozen=True):
    target: Target
    before: Json | None  # None: it is not there
    after: Json

    @property
    def differs(self) -> bool:
        return self.before != self.after


def diff(
    filename: Files,
    namespace: OfContext = "",
    recursive: Recursive = False,
    form: Annotated[str, output(*FORMS)] = "text",
    state_dir: StateDir = "",
) -> None:
    """Show what `argosy apply` would change. Exit code 0: nothing, 1: something, 2: it could not be told.

    [bold]Examples[/bold]

    argosy diff -f reviews.yaml

    argosy diff -f folder/ -o json
    """
    from argosy.cli import documents
    from argosy.cli.apply import checked, placed
    from argosy.cli.connect import api

    try:
        chosen_output(form, FORMS)
        objects = checked(filename)
        with api(state_dir) as client:
            found = differences(client, placed(objects, namespace, client.connection.namespace))
    except Failure as failure:
        failure.code = TROUBLE
        raise
    changed = [one for one in found if one.differs]
    if not documents.show(form, [as_data(one) for one in found]):
        for one in changed:
            printed(one)
    raise typer.Exit(DIFFERENT if changed else SAME)


def differences(client: ApiClient, objects: Sequence[Json]) -> list[Difference]:
    """Of each object, in the order of the files. Raises one Failure with all that is refused."""
    from argosy.cli.apply import told, trial, unrefused

    found = []
    for one in unrefused(trial(client, objects)):
        for warning in one.warnings:
            told(f"{one.target.label}: {warning}")
        before = None if one.before is None else wanted(one.before)
        found.append(Difference(one.target, *masked(one.target, before, wanted(one.object))))
    return found


def masked(target: Target, before: Json | None, after: Json) -> tuple[Json | None, Json]:
    from argosy.cli.masking import both

    shown, other = both(target.kind.resource, before or {}, after)
    return None if before is None else shown, other


def wanted(obj: Json) -> Json:
    """What somebody wants of an object: no status, and not what the server notes in its metadata."""
    metadata = {key: value for key, value in obj["metadata"].items() if key not in OF_THE_SERVER}
    return {key: value for key, value in obj.items() if key != "status"} | {"metadata": metadata}


def as_data(one: Difference) -> Json:
    """`patch`: the merge patch that the change comes to."""
    from argosy.apiserver.access.differences import difference

    target = one.target
    outcome = "created" if one.before is None else "configured" if one.differs else "unchanged"
    said = {"kind": target.kind.kind, "apiVersion": one.after.get("apiVersion", ""), "name": target.name}
    said |= {"namespace": target.namespace} if target.namespace else {}
    return said | {"outcome": outcome, "patch": difference(one.before or {}, one.after)}


def printed(one: Difference) -> None:
    from argosy.cli.terminal import coloured

    colours = {"---": "1", "+++": "1", "@@": "36", "-": "31", "+": "32"} if coloured() else {}
    for line in unified(one):
        code = next((code for mark, code in colours.items() if line.startswith(mark)), "")
        print(f"\x1b[{code}m{line}\x1b[0m" if code else line)


def unified(one: Difference) -> Iterator[str]:
    """As `diff -u`, of YAML with sorted fields: their order is no difference."""
    import difflib

    from argosy.cli.documents import as_yaml

    before = [] if one.before is None else as_yaml(one.before, sort=True).splitlines()
    after = as_yaml(one.after, sort=True).splitlines()
    label = one.target.label
    old = "/dev/null" if one.before is None else f"live/{label}"
    yield from difflib.unified_diff(before, after, old, f"applied/{label}", lineterm="")
