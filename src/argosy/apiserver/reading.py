"""GET: one object, a list, or a watch."""

from __future__ import annotations

from starlette.requests import Request
from starlette.responses import Response

from argosy.apiserver import documents, paging, responses, status
from argosy.apiserver.api import Api
from argosy.apiserver.encoding import ListMeta
from argosy.apiserver.paths import Target
from argosy.apiserver.queries import ReadOptions, read_options
from argosy.apiserver.representation import Form
from argosy.apiserver.watching import Wanted, WatchResponse


async def get(api: Api, request: Request, target: Target) -> Response:
    form = api.form(request, target)
    return responses.of_object(await api.stored(target), form)


async def list_or_watch(api: Api, request: Request, target: Target) -> Response:
    options = read_options(request.query_params, target.kind.resource)
    form = api.form(request, target)
    if options.watch:
        return await _watch(api, options, target, form)
    page = await paging.page(api.source(target), target, options)
    size = sum(len(stored.body) for stored in page.items)
    meta = ListMeta(page.revision, page.continues, page.remaining)
    return responses.of_json(await documents.aside(size, form.many, page.items, meta))


async def _watch(api: Api, options: ReadOptions, target: Target, form: Form) -> Response:
    """From a revision; without one, or where the client asks for that, it begins with what is there."""
    initial = options.initial_events
    if initial is None:
        initial = options.revision is None
    source = api.source(target)
    wanted = Wanted(
        target=target,
        selector=options.selector,
        after=None if initial else options.revision,
        timeout=options.timeout,
        bookmark_every=api.bookmark_seconds if options.bookmarks else None,
        mark_initial=options.initial_events is True and options.bookmarks,
    )
    if initial:
        first = await source.list(target.kind.resource, target.namespace or None, limit=paging.CHUNK)
        if (options.revision or 0) > first.revision:
            raise status.expired(
                f"resourceVersion: {options.revision} is newer than the store ({first.revision})"
            )
        return WatchResponse(source, wanted, form, first)
    if wanted.after is None:  # from now, without what is there
        now = await source.list(target.kind.resource, target.namespace or None, limit=1)
        wanted = wanted.from_revision(now.revision)
    return WatchResponse(source, wanted, form, None)
