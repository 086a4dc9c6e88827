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
from msgspec.structs import replace

from argosy.cli.options import DryRun, Files, OfContext, Recursive, StateDir, chosen_output, output
from argosy.cli.progress import Progress, stepped
from argosy.cli.targets import Target
from argosy.runtime.errors import Failure

if TYPE_CHECKING:
    from argosy.apiserver.client import ApiClient
    from argosy.cli.together import Between

Json = dict[str, Any]
FORMS = ("text", "json", "yaml", "name")
LIVE, REFUSED, TIMED_OUT = 0, 1, 2


class Change(Struct, frozen=True):
    """One object that was written or deleted."""

    label: str  # `VirtualService default/reviews`
    subject: str  # `VirtualService/default/reviews`
    revision: str


def apply(
    filename: Files,
    namespace: OfContext = "",
    recursive: Recursive = False,
    dry_run: DryRun = "none",
    form: Annotated[str, output(*FORMS)] = "text",
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

    argosy apply -f folder/ -f extra.yaml --dry-run server
    """
    from argosy.cli.connect import dry, seconds

    chosen_output(form, FORMS)
    limit = seconds(timeout, "--timeout")
    without_writing = dry(dry_run)
    report = Report(form, " (server dry run)" if without_writing else "")
    with _client(state_dir) as client:
        objects = placed(checked(filename), namespace, client.connection.namespace)
        with Progress(form) as progress:
            if without_writing:
                for one in unrefused(trial(client, objects, progress)):
                    report.tell(one.target, one.object, one.outcome, one.warnings)
            else:
                changes = write(client, objects, report, progress)
        report.end()
        if without_writing or not wait:
            return
        with Progress(form) as progress:
            code = waited(client, changes, limit, progress)
        if code != LIVE:
            raise typer.Exit(code)


def apply_files(state: Path, names: Sequence[str]) -> None:
    """For other commands: as `argosy apply -f …`, without a word."""
    with _client(state) as client:
        write(client, checked(names, quiet), Silent())


def _client(state: str | Path) -> ApiClient:
    from argosy.cli.connect import api

    return api(state)


def quiet(text: str) -> None:
    pass


def told(text: str) -> None:
    from argosy.cli.terminal import warn

    warn(text)


def placed(objects: Sequence[Json], chosen: str, usual: str) -> list[Json]:
    """Each in its own namespace, which must be the chosen one; else in that, or in the usual one. Raises Failure."""
    from argosy.apiserver.client import identify

    found = []
    for obj in objects:
        kind, own, _ = identify(obj, chosen or usual)
        if kind.namespaced and chosen and own != chosen:
            raise Failure(
                f"{called(obj)} is not in namespace {chosen}", "leave -n out, or change the file", code=2
            )
        found.append(obj | {"metadata": obj["metadata"] | {"namespace": own}} if kind.namespaced else obj)
    return found


def checked(names: Sequence[str], warned: Any = told) -> list[Json]:
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


FIRST = {"Namespace": 0, "Service": 1, "ServiceEntry": 1, "DestinationRule": 2, "Gateway": 2}
"""Kind -> when it is written: before whatever names objects of it."""


class Tried(Struct, frozen=True):
    """What would become of one object."""

    target: Target
    object: Json  # as it would be
    before: Json | None  # None: it is not there
    refusal: Failure | None = None
    warnings: tuple[str, ...] = ()
    outcome: str = "created"


def trial(client: ApiClient, objects: Sequence[Json], progress: Progress | None = None) -> list[Tried]:
    """Asks the server what would become of each, namespaces first; nothing is written."""
    from argosy.apiserver.client import ApiError, identify

    found = []
    coming: set[str] = set()
    for obj in stepped(in_order(objects), "checking", progress):
        target = Target(*identify(obj, client.connection.namespace))
        if target.namespace in coming:  # its namespace is not there yet: the check of the files must do
            found.append(Tried(target, obj, None))
            continue
        try:
            done = client.apply(obj, dry_run="All")
        except ApiError as error:
            if error.http_code == 401:
                raise  # it would be the same for all of them
            found.append(Tried(target, obj, None, refusal=error))
            continue
        if target.kind.kind == "Namespace" and done.outcome == "created":
            coming.add(target.name)
        found.append(Tried(target, done.object, done.before, None, done.warnings, done.outcome))
    if any(one.refusal for one in found):
        return found
    return [
        replace(one, warnings=each.of(one.warnings)) for one, each in zip(found, _between(found), strict=True)
    ]


def _between(tried: Sequence[Tried]) -> list[Between]:
    from argosy.cli.together import between

    return between([one.object for one in tried])


def unrefused(tried: Sequence[Tried]) -> Sequence[Tried]:
    """Raises one Failure that names all that is refused."""
    refused = [one.refusal for one in tried if one.refusal is not None]
    if refused:
        remedies = dict.fromkeys(each.remedy for each in refused if each.remedy)
        what = "\n".join(each.what for each in refused)
        raise Failure(what, "\n".join([*remedies, "nothing was changed"]))
    return tried


def in_order(objects: Sequence[Json]) -> list[Json]:
    """Namespaces first, then what others name, so that nobody names what is not there yet."""
    return sorted(objects, key=lambda obj: FIRST.get(obj.get("kind", ""), len(FIRST)))


def steps(objects: Sequence[tuple[Target, Json]], tried: Sequence[Tried]) -> list[tuple[Target, Json, bool]]:
    """What is written one after the other; `False` where an object will be written once more.

    Make before break: a DestinationRule that loses subsets keeps them until the others are written, as the routes that
    lead to them may be among these.
    """
    kept: dict[str, list[Json]] = {}
    for one in tried:
        if one.target.kind.unique_name == "DestinationRule" and one.before is not None and len(tried) > 1:
            names = {subset.get("name") for subset in _subsets(one.object)}
            kept[one.target.label] = [
                subset for subset in _subsets(one.before) if subset.get("name") not in names
            ]
    first: list[tuple[Target, Json, bool]] = []
    last: list[tuple[Target, Json, bool]] = []
    for target, obj in objects:
        lost = kept.get(target.label)
        (last if lost else first).append((target, obj, True))
        if lost:
            spec = obj.get("spec") or {}
            first.append((target, obj | {"spec": spec | {"subsets": [*_subsets(obj), *lost]}}, False))
    return first + last


def _subsets(rule: Json) -> list[Json]:
    return (rule.get("spec") or {}).get("subsets") or []


def write(
    client: ApiClient, objects: Sequence[Json], report: Report, progress: Progress | None = None
) -> list[Change]:
    """Writes the objects. Where one is refused: Failure, and nothing is written, unless somebody else changes the mesh
    at that moment: then the Failure says what was."""
    from argosy.apiserver.client import identify

    tried = unrefused(trial(client, objects, progress))
    said = {one.target.label: each for one, each in zip(tried, _between(tried), strict=True)}
    changes: list[Change] = []
    named = [(Target(*identify(obj, client.connection.namespace)), obj) for obj in in_order(objects)]
    for target, obj, last in stepped(steps(named, tried), "writing", progress):
        try:
            done = client.apply(obj)
        except Failure as failure:
            raise _halfway(failure, changes, len(objects)) from failure
        if not last:
            continue
        report.tell(target, done.object, done.outcome, said[target.label].of(done.warnings))
        changes.append(Change(target.label, target.subject, str(done.object["metadata"]["resourceVersion"])))
    return changes


def _halfway(failure: Failure, changes: Sequence[Change], count: int) -> Failure:
    if not changes:
        return failure
    written = ", ".join(change.label for change in changes)
    what = f"{failure.what}\nonly {len(changes)} of {count} objects were written: {written}"
    return Failure(
        what, "\n".join(part for part in (failure.remedy, "apply them again") if part), failure.code
    )


class Report:
    """Says what became of each object: a line as it happens, or all of them at the end, for programs."""

    def __init__(self, form: str, note: str = "") -> None:
        self.form, self.note = form, note
        self.objects: list[Json] = []

    def tell(self, target: Target, obj: Json, outcome: str, warnings: Sequence[str]) -> None:
        for warning in warnings:
            told(f"{target.label}: {warning}")
        if self.form == "text":
            print(f"{target.label} {outcome}{self.note}")
        elif self.form == "name":
            print(target.printed)
        self.objects.append(obj)

    def end(self) -> None:
        from argosy.cli.documents import listed, show
        from argosy.cli.printing import shorn

        items = [shorn(obj) for obj in self.objects]
        show(self.form, items[0] if len(items) == 1 else listed(items))


class Silent(Report):
    def __init__(self) -> None:
        super().__init__("none")

    def tell(self, target: Target, obj: Json, outcome: str, warnings: Sequence[str]) -> None:
        pass


def waited(
    client: ApiClient, changes: Sequence[Change], limit: float, progress: Progress | None = None
) -> int:
    """Waits for all changes within one limit, says how each stands, and gives the exit code of the worst."""
    from argosy.cli.connect import delivery

    deadline = time.monotonic() + limit
    began = time.monotonic()
    code = LIVE
    for change in stepped(changes, "waiting for the proxies", progress):
        verdict = delivery(client, change.subject, change.revision, max(0.0, deadline - time.monotonic()))
        took = (time.monotonic() - began) * 1000
        code = max(code, _said(change, verdict, took, limit), key=(LIVE, TIMED_OUT, REFUSED).index)
    return code


def _said(change: Change, verdict: Json, took: float, limit: float) -> int:
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
