"""DELETE: of one object, and of all that are selected in a collection."""

from __future__ import annotations

from typing import Any

from starlette.requests import Request
from starlette.responses import Response

from argosy.apiserver import encoding, namespaces, paging, removal, responses, status, writing
from argosy.apiserver.api import Api
from argosy.apiserver.changing import HAS_CHANGED
from argosy.apiserver.deletion import DeleteOptions, read_delete_options
from argosy.apiserver.encoding import ListMeta
from argosy.apiserver.paths import NAMESPACES, Target
from argosy.apiserver.queries import read_options
from argosy.apiserver.removal import Removed
from argosy.apiserver.status import Refusal
from argosy.store.base import Conflict, NotFound, Stored

Json = dict[str, Any]


async def delete(api: Api, request: Request, target: Target) -> Response:
    options = await read_delete_options(request)
    form = api.form(request, target)
    removed = await _remove(api, target, await api.stored(target), options)
    if not removed.gone:
        return responses.of_object(removed.stored, form)
    uid = removal.uid_of(encoding.decode(removed.stored))
    revision = 0 if options.dry_run else removed.stored.revision
    return responses.of_json(encoding.encode(status.success(target.kind, target.name, uid, revision)))


async def delete_collection(api: Api, request: Request, target: Target) -> Response:
    """Answers with the list of what it deleted, page by page where the client gives a limit."""
    selected = read_options(request.query_params, target.kind.resource)
    options = await read_delete_options(request)
    form = api.form(request, target)
    page = await paging.page(api.source(target), target, selected)
    removed = []
    for stored in page.items:
        one = Target(
            kind=target.kind, version=target.version, namespace=stored.key.namespace, name=stored.key.name
        )
        try:
            removed.append((await _remove(api, one, stored, options)).stored)
        except Refusal as refusal:
            if refusal.code not in (404, 409) or options.conditional:
                raise
    return responses.of_json(form.many(removed, ListMeta(page.revision, page.continues, page.remaining)))


async def _remove(api: Api, target: Target, found: Stored, options: DeleteOptions) -> Removed:
    """Raises Refusal (403, 404, 409)."""
    if target.kind.resource == NAMESPACES and target.name in namespaces.PROTECTED:
        raise status.forbidden(target.kind, target.name, "this namespace may not be deleted")
    uid = removal.uid_of(encoding.decode(found))
    if options.uid not in ("", uid):
        raise status.conflict(target.kind, target.name, f"its uid is {uid}: it was made anew")
    if options.revision not in (None, found.revision):
        raise status.conflict(target.kind, target.name, HAS_CHANGED)
    now = api.timestamp()
    if options.dry_run:
        body = removal.marked(found.key, encoding.decode(found), options.policy, now)
        return Removed(
            Stored(found.key, found.revision, encoding.body_of(body)), removal.complete(found.key, body)
        )
    try:
        removed = await removal.remove(
            api.store, found, policy=options.policy, now=now, pinned=options.revision is not None
        )
    except NotFound:
        raise status.not_found(target.kind, target.name) from None
    except Conflict:
        raise status.conflict(target.kind, target.name, HAS_CHANGED) from None
    if target.kind.resource == NAMESPACES:
        # What is more than a page is left to the collector, so that the request does not wait for all of it.
        await namespaces.empty(api.store, writing.key_of(target).name, now=now, pages=1)
    return removed
