"""`argosy edit`: a resource in an editor, and what was changed of it back to the server.

Rules:

* Sent is a merge patch of what was changed, for the revision that was shown: others' changes are never overwritten.
* What is refused comes back into the editor with the reason above it. Where it ends otherwise (a conflict, a server
  that is away, a signal), the text stays in its file, and its place is told: see `draft.py`.
"""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

from argosy.cli.options import OfContext, StateDir, What
from argosy.runtime.errors import Failure

if TYPE_CHECKING:
    from argosy.apiserver.client import ApiClient, Applied
    from argosy.cli.draft import Draft
    from argosy.cli.targets import Target

Json = dict[str, Any]
FIXED = (("apiVersion",), ("kind",), ("metadata", "name"), ("metadata", "namespace"))
"""Fields that say which object it is."""


class Unusable(Exception):
    """What was written cannot be sent; the reason, for who wrote it."""


def edit(what: What = None, namespace: OfContext = "", state_dir: StateDir = "") -> None:
    """Change a resource in an editor: $KUBE_EDITOR, $EDITOR, or vi.

    [bold]Examples[/bold]

    argosy edit vs reviews

    EDITOR="code --wait" argosy edit dr/reviews -n shop
    """
    from argosy.cli.connect import api
    from argosy.cli.diff import wanted
    from argosy.cli.documents import as_yaml
    from argosy.cli.draft import Draft
    from argosy.cli.targets import named
    from argosy.cli.targets import wanted as called
    from argosy.cli.terminal import say, warn

    kinds = called(what or ())
    with api(state_dir) as client:
        target, *more = named(kinds, namespace or client.connection.namespace)
        if more:
            raise Failure("several objects", "one at a time: argosy edit KIND NAME", code=2)
        live = target.read(client)
        with Draft(target, as_yaml(wanted(live))) as draft:
            done = sent(client, target, live, draft)
    if done is None:
        say(f"{target.label} was not changed")
        return
    for warning in done.warnings:
        warn(f"{target.label}: {warning}")
    print(f"{target.label} edited")


def sent(client: ApiClient, target: Target, live: Json, draft: Draft) -> Applied | None:
    """What came of it; None: nothing was changed. Raises Failure."""
    from argosy.cli.diff import wanted

    complaint, shown = "", draft.text
    while True:
        text = draft.edited(header(target, complaint))
        if not text.strip() or (text == shown and not complaint):
            return draft.settled(None)
        if text == shown:
            raise refused(target, complaint)
        shown = text
        try:
            patch = patch_of(wanted(live), read(text))
            if not patch:
                return draft.settled(None)
            return draft.settled(_patched(client, target, live, patch))
        except Unusable as error:
            complaint = str(error)
            if not sys.stdin.isatty():  # nobody is there to mend it
                raise refused(target, complaint) from error


def refused(target: Target, complaint: str) -> Failure:
    return Failure(
        f"{target.label} was not changed: what you wrote is refused\n{complaint}", "mend it: argosy edit"
    )


def _patched(client: ApiClient, target: Target, live: Json, patch: Json) -> Applied:
    from argosy.apiserver.client import ApiError

    pinned = {"resourceVersion": live["metadata"]["resourceVersion"]}
    whole = patch | {"metadata": patch.get("metadata", {}) | pinned}
    try:
        return client.patch(target.kind, target.name, target.namespace, whole)
    except ApiError as error:
        if error.http_code in (400, 422):
            raise Unusable(error.what) from error
        if error.http_code == 409:
            raise Failure(
                f"{target.label}: somebody else has changed it meanwhile: nothing of yours was written",
                "argosy diff -f FILE shows how your text differs from what is there now",
            ) from error
        raise


def read(text: str) -> Json:
    """The object that was written. Raises Unusable."""
    from argosy.cli.apply import called
    from argosy.resources.loading import LoadError, load_documents
    from argosy.resources.validation import validate

    try:
        found = load_documents(text, "line")
    except LoadError as error:
        raise Unusable(f"line {error.line}: {error.message}") from error
    if len(found) != 1 or not isinstance(found[0].object, dict):
        raise Unusable("it must be one object")
    obj = found[0].object
    verdict = validate(obj)
    if verdict.errors:
        raise Unusable("\n".join(f"{called(obj)}: {problem}" for problem in verdict.errors))
    return obj


def patch_of(before: Json, after: Json) -> Json:
    """The merge patch; what the server alone writes is not in it. Raises Unusable."""
    from argosy.apiserver.access.differences import difference
    from argosy.cli.diff import wanted

    for path in FIXED:
        if _at(before, path) != _at(after, path):
            raise Unusable(
                f"{'.'.join(path)}: {_at(before, path)} cannot be changed: it says which object it is"
            )
    return difference(before, wanted(after))


def _at(obj: Any, path: tuple[str, ...]) -> Any:
    for field in path:
        obj = obj.get(field) if isinstance(obj, dict) else None
    return obj


def header(target: Target, complaint: str) -> str:
    """Comments above the text; they are not part of it."""
    told = [f"{target.label}: save and leave to change it; an empty file, or one as it was, changes nothing."]
    told += ["Its status, and what the server notes in its metadata, are left out."]
    if complaint:
        told += ["", "What you wrote is refused:", *(f"  {line}" for line in complaint.splitlines())]
    return "".join(f"# {line}".rstrip() + "\n" for line in told)
