"""PUT and PATCH: what becomes of an object that is there, whole or in its status alone; and server-side apply.

Rules: a write that changes nothing is not written. One without a revision is repeated on what somebody else has just
written; one with a revision is refused. The update that takes the last finalizer off an object that is to go
deletes it.
"""

from __future__ import annotations

import contextlib
import uuid
from collections.abc import Callable, Sequence
from typing import Any

from msgspec import Struct
from starlette.requests import Request
from starlette.responses import Response

from argosy.apiserver import (
    creating,
    defaulting,
    documents,
    encoding,
    managing,
    removal,
    responses,
    status,
    writing,
)
from argosy.apiserver.api import Api
from argosy.apiserver.managed.shape import shape_of
from argosy.apiserver.patches import json_patch, merge, strategic
from argosy.apiserver.paths import Target
from argosy.apiserver.queries import WriteOptions, write_options
from argosy.apiserver.status import Refusal
from argosy.resources.meta import identified
from argosy.resources.problem import Problem
from argosy.store.base import AlreadyExists, Conflict, NotFound, Stored

Json = dict[str, Any]
Change = Callable[[Json], Json]
"""From the object that is there to the one that the client wants, as its path names it."""

CONFIDENTIAL = frozenset(("/secrets",))
"""Resources whose values no message repeats."""
HAS_CHANGED = "the object has been modified: read it again and repeat the change on that"

JSON_PATCH, MERGE_PATCH = "application/json-patch+json", "application/merge-patch+json"
STRATEGIC_PATCH, APPLY_PATCH = "application/strategic-merge-patch+json", "application/apply-patch+yaml"


class Wish(Struct, frozen=True):
    """What a client asks for, read from its request."""

    options: WriteOptions
    change: Change
    size: int
    warnings: tuple[Problem, ...] = ()
    applies: bool = False  # `change` merges and notes managers by itself


async def update(api: Api, request: Request, target: Target) -> Response:
    options = write_options(request.query_params, "UpdateOptions")
    api.form(request, target)
    duplicates = options.duplicates()
    body, size = await documents.read_object(request, target.kind, duplicates)
    new = writing.fitted(target, writing.titled(target, body))
    return await _write(api, request, target, Wish(options, lambda _: new, size, _told(options, duplicates)))


async def patch(api: Api, request: Request, target: Target) -> Response:
    kind = documents.media_type(request)
    accepted = (JSON_PATCH, MERGE_PATCH, *((STRATEGIC_PATCH,) if target.kind.builtin else ()), APPLY_PATCH)
    if kind not in accepted:
        raise documents.unsupported(kind or "none given", accepted)
    options = write_options(request.query_params, "PatchOptions", applies=kind == APPLY_PATCH)
    api.form(request, target)
    if kind == APPLY_PATCH:
        return await _apply(api, request, target, options)
    data = await documents.read(request)
    duplicates = options.duplicates()
    sent = await documents.aside(len(data), documents.parse_json, data, duplicates)
    patched = _patcher(kind, target, sent)

    def change(old: Json) -> Json:
        found = documents.checked(patched(old))
        if not isinstance(found, dict):
            raise Refusal(422, "the patch makes something of the object that is no object")
        return writing.fitted(target, found)

    wish = Wish(options, change, len(data), _told(options, duplicates))
    try:
        return await _write(api, request, target, wish)
    except Refusal as refusal:
        moves = kind == JSON_PATCH and target.kind.resource in CONFIDENTIAL
        raise (_withheld(target, refusal) if moves else refusal) from None


def _withheld(target: Target, refusal: Refusal) -> Refusal:
    """A JSON patch may put a value of a Secret where messages repeat it: of those the fields alone are told."""
    causes = refusal.status.get("details", {}).get("causes", ())
    if refusal.code not in (400, 409) and not causes:
        return refusal  # the patch itself could not be applied: that names paths
    fields = ", ".join(cause["field"] for cause in causes) or "what names it"
    said = f"the patch makes a {target.kind.kind} that is refused ({fields}); values are not repeated"
    return Refusal(
        refusal.code, said, reason=refusal.status["reason"], details=status.named(target.kind, target.name)
    )


def _patcher(kind: str, target: Target, sent: Any) -> Callable[[Json], Any]:
    if kind == JSON_PATCH:
        operations = json_patch.parse(sent)
        return lambda old: json_patch.apply(old, operations)
    if not isinstance(sent, dict):
        raise status.bad_request("the patch is not an object")
    if kind == STRATEGIC_PATCH:
        return lambda old: strategic.apply(shape_of(target.kind), old, sent)
    return lambda old: merge.merge(old, sent)


async def _apply(api: Api, request: Request, target: Target, options: WriteOptions) -> Response:
    """Server-side apply: what is not there is created."""
    data = await documents.read(request)
    duplicates = options.duplicates()
    sent = await documents.aside(len(data), documents.parse_yaml, data, duplicates)
    if not isinstance(sent, dict):
        raise status.bad_request("the applied configuration is not an object")
    applied, unknown = await writing.known(target, writing.fitted(target, sent), options, len(data))
    if applied["metadata"].get("managedFields"):
        raise status.bad_request("metadata.managedFields: must not be given in what is applied: remove it")
    applied = defaulting.filled(target.kind, applied)
    by = managing.applier(target, options, api.timestamp())
    told = (*_told(options, duplicates), *unknown)

    def change(old: Json) -> Json:
        return managing.apply(target, _pinned(old, applied), applied, by, force=options.force)

    wish = Wish(options, change, len(data), told, applies=True)
    if target.subresource:
        return await _write(api, request, target, wish)
    for _ in range(status.ATTEMPTS):
        try:
            return await _write(api, request, target, wish)
        except _Missing:
            await api.authorize(request, "create", target)
        async with creating.opened(api, target, options):
            if applied["metadata"].get("uid") or applied["metadata"].get("resourceVersion"):
                raise status.conflict(
                    target.kind, target.name, "the applied object names one that is not there any more"
                )
            new = managing.apply(target, None, applied, by, force=options.force)
            with contextlib.suppress(AlreadyExists):
                return await creating.store(api, request, target, new, options, len(data), told)
    raise status.overtaken(target.kind, target.name)


class _Missing(Refusal):
    """There is no object to change."""

    def __init__(self, target: Target) -> None:
        refusal = status.not_found(target.kind, target.name)
        super().__init__(404, str(refusal), details=refusal.status["details"])


async def _write(api: Api, request: Request, target: Target, wish: Wish) -> Response:
    """Reads, changes, checks and stores, until nobody else has written in between."""
    for _ in range(status.ATTEMPTS):
        found = await api.store.get(writing.key_of(target))
        if found is None:
            raise _Missing(target)
        old = encoding.decode(found)
        size = max(wish.size, len(found.body))
        shown = encoding.shown(found, target.kind, target.api_version)
        new = await documents.aside(size, wish.change, shown)
        expected = writing.expected_revision(new)
        if expected is not None and expected != found.revision:
            raise status.conflict(target.kind, target.name, HAS_CHANGED)
        writing.same_object(target, old, new)
        body, warnings = await _settled(api, request, target, wish, old, new)
        form, data = api.form(request, target), encoding.body_of(body)
        told = (*wish.warnings, *warnings)
        try:
            stored = await _stored(api, found, old, body, data, dry_run=wish.options.dry_run)
        except NotFound:
            raise _Missing(target) from None
        except Conflict:
            continue  # where the client gave a revision, that is told apart now
        return responses.of_object(stored, form, 200, told)
    raise status.overtaken(target.kind, target.name)


async def _settled(
    api: Api, request: Request, target: Target, wish: Wish, old: Json, new: Json
) -> tuple[Json, tuple[Problem, ...]]:
    """(the body to store, warnings). Raises Refusal (422)."""
    unknown: Sequence[Problem] = ()
    if not wish.applies:
        new, unknown = await writing.known(target, new, wish.options, wish.size)
    if target.subresource == "status":
        body = writing.with_status(target.kind, old, new)
    else:
        body = writing.replaced(target.kind, old, defaulting.filled(target.kind, new))
    body = identified(body, uid=str(uuid.uuid4()), now=api.timestamp())
    if wish.applies:
        body = managing.with_managers(body, managing.requested(new, None))
    else:
        by = managing.writer(request, target, wish.options, api.timestamp())
        given = managing.requested(new, old)
        body = await documents.aside(wish.size, managing.note_changed, target, old, body, given, by)
    removal.check_finalizers(target, old, body)
    try:
        warnings = await _checked(api, target, wish, old, body)
    except Refusal:
        bare = body if target.subresource else writing.without_status(target.kind, body)
        if "status" not in body or "status" in bare:
            raise
        # What is wrong may be the status, which was written past the API, and is not for this client to mend.
        warnings, body = await _checked(api, target, wish, old, bare), bare
    return body, (*unknown, *warnings)


async def _checked(api: Api, target: Target, wish: Wish, old: Json, body: Json) -> tuple[Problem, ...]:
    """The warnings about a body. Raises Refusal (422)."""
    body = body | {"apiVersion": target.api_version}
    return await writing.check(target, body, size=wish.size, admission=api.admission, old=old)


async def _stored(api: Api, found: Stored, old: Json, body: Json, data: bytes, *, dry_run: bool) -> Stored:
    """What stands in the store afterwards; or stood, where that was its end."""
    # Who wrote it first may have ordered its keys in another way: that is no difference.
    if data in (found.body, encoding.body_of(old)):
        return found
    if dry_run:
        return Stored(found.key, found.revision, data)
    if removal.complete(found.key, body):
        gone = await api.store.delete(found.key, found.revision)
        return Stored(found.key, gone.revision, data)
    return await api.store.update(found.key, data, found.revision)


def _pinned(old: Json, applied: Json) -> Json:
    """The live object, with the revision and uid that the client says it has read."""
    said = {k: applied["metadata"][k] for k in ("uid", "resourceVersion") if applied["metadata"].get(k)}
    return old | {"metadata": (old.get("metadata") or {}) | said}


def _told(options: WriteOptions, duplicates: list[Problem] | None) -> tuple[Problem, ...]:
    return tuple(duplicates or ()) if options.validation == "Warn" else ()
