"""The verbs: what each request does to the store and what it answers.

Rules: every verb is one function of (request, target), found in one table by (method, what the path names). A write
that changes nothing is not written. A write without a revision is repeated on what somebody else has just written; one
with a revision is refused.
"""

from __future__ import annotations

import contextlib
import uuid
from collections.abc import Awaitable, Callable, Sequence
from datetime import UTC, datetime
from typing import Any

from starlette.requests import Request
from starlette.responses import Response

from argosy.apiserver import (
    definitions,
    discovery,
    documented,
    documents,
    encoding,
    patches,
    paths,
    representation,
    status,
    writing,
)
from argosy.apiserver.definitions import Definitions, Readable
from argosy.apiserver.deletion import read_delete_options
from argosy.apiserver.encoding import ListMeta
from argosy.apiserver.paths import NAMESPACES, Discovery, Target
from argosy.apiserver.queries import ReadOptions, read_options, write_options
from argosy.apiserver.representation import Form
from argosy.apiserver.status import Refusal, bad_request
from argosy.apiserver.watching import Wanted, WatchResponse
from argosy.resources.kinds import Kind, by_resource
from argosy.resources.meta import prepare_create
from argosy.resources.problem import Problem
from argosy.store.base import AlreadyExists, Conflict, Key, Listing, NotFound, Store, Stored

Json = dict[str, Any]
Change = Callable[[Json], Json]
"""From the object that is there to the one that the client wants, as its path names it."""

ATTEMPTS = 10
PROTECTED = frozenset(("default", "istio-system"))
WARNING_BYTES = 8 << 10
"""Warnings travel in headers, and clients bound those."""


class Api:
    """The store and what is needed beside it; one for each server."""

    def __init__(
        self,
        store: Store,
        *,
        admission: writing.Admission,
        now: Callable[[], datetime],
        bookmark_seconds: float,
    ) -> None:
        self.store = store
        self.definitions = Definitions(store, now())
        self.admission = admission
        self.now = now
        self.bookmark_seconds = bookmark_seconds

    async def handle(self, request: Request) -> Response:
        """Raises Refusal, StoreError."""
        what = paths.parse(request.scope["path"])
        method = "GET" if request.method == "HEAD" else request.method
        if isinstance(what, Discovery):
            return await documented.answer(request, what)
        level = what.subresource or ("object" if what.name else "collection")
        served = discovery.methods(what.kind, level)
        verb = VERBS.get((method, level)) if method in served else None
        if verb is None:
            allowed = [each for each, of in VERBS if of == level and each in served]
            said = f"a {level} of {status.qualified(what.kind)}"
            if what.kind.read_only:
                said += ", which are read-only"
            raise status.method_not_allowed(method, said, allowed)
        return await verb(self, request, what)

    # --- reading ---

    async def get(self, request: Request, target: Target) -> Response:
        form = self._form(request, target)
        return _object(await self._stored(target), form)

    async def list_or_watch(self, request: Request, target: Target) -> Response:
        options, form = read_options(request.query_params), self._form(request, target)
        if options.watch:
            return await self._watch(options, target, form)
        listing = await self._listing(target)
        if options.revision is not None and options.revision > listing.revision:
            raise status.expired(
                f"resourceVersion: {options.revision} is newer than the store ({listing.revision})"
            )
        if options.exact and options.revision != listing.revision:
            raise status.expired(
                f"resourceVersion: {options.revision} is no longer there: list again without it"
            )
        selector = options.selector
        items: Sequence[Stored] = listing.items
        if selector.fields:
            items = [stored for stored in items if selector.selects_key(stored.key)]
        if selector.labels:
            items = [stored for stored in items if selector.selects_labels(encoding.labels(stored.body))]
        size = sum(len(stored.body) for stored in items)
        return _json(await documents.aside(size, form.many, items, ListMeta(listing.revision)))

    async def _watch(self, options: ReadOptions, target: Target, form: Form) -> Response:
        initial = options.revision is None or options.initial_events
        wanted = Wanted(
            target=target,
            selector=options.selector,
            after=None if initial else options.revision,
            timeout=options.timeout,
            bookmark_every=self.bookmark_seconds if options.bookmarks else None,
            mark_initial=options.initial_events and options.bookmarks,
        )
        needed = initial or options.selector.labels
        return WatchResponse(
            self._source(target), wanted, form, await self._listing(target) if needed else None
        )

    # --- writing ---

    async def create(self, request: Request, target: Target) -> Response:
        if target.kind.namespaced and not target.namespace:
            raise bad_request(
                f"a {target.kind.kind} is created in a namespace: …/namespaces/NAME/{target.kind.plural}"
            )
        options, form = write_options(request.query_params), self._form(request, target)
        body, size = await documents.read_object(request)
        await self._require_namespace(target)
        obj = writing.named(writing.fitted(target, body))
        warnings = await writing.check(
            target, obj, strict=options.strict, size=size, admission=self.admission
        )
        obj = writing.without_status(target.kind, obj) | {"apiVersion": target.kind.api_version}
        obj = prepare_create(obj, uid=str(uuid.uuid4()), now=_rfc3339(self.now()))
        key, data = writing.key_of(target, obj["metadata"]["name"]), encoding.body_of(obj)
        if options.dry_run:
            if await self.store.get(key) is not None:
                raise status.already_exists(target.kind, key.name)
            return _object(Stored(key, 0, data), form, 201, warnings)
        try:
            stored = await self.store.create(key, data)
        except AlreadyExists:
            raise status.already_exists(target.kind, key.name) from None
        await self._confirm_namespace(target, stored)
        return _object(stored, form, 201, warnings)

    async def update(self, request: Request, target: Target) -> Response:
        body, size = await documents.read_object(request)
        new = writing.fitted(target, body)
        return await self._change(request, target, lambda _: new, size)

    async def patch(self, request: Request, target: Target) -> Response:
        if (kind := documents.media_type(request)) != documents.MERGE_PATCH:
            raise documents.unsupported(kind or "none given", (documents.MERGE_PATCH,))
        data = await documents.read(request)
        patch = await documents.aside(len(data), documents.parse_json, data)

        def change(old: Json) -> Json:
            return writing.fitted(target, patches.merge(old, patch))

        return await self._change(request, target, change, len(data))

    async def delete(self, request: Request, target: Target) -> Response:
        options = await read_delete_options(request)
        if target.kind.resource == NAMESPACES and target.name in PROTECTED:
            raise Refusal(403, f'namespaces "{target.name}" is forbidden: this namespace may not be deleted')
        found = await self._stored(target)
        uid = encoding.decode(found).get("metadata", {}).get("uid", "")
        if options.uid not in ("", uid):
            raise status.conflict(target.kind, target.name, f"its uid is {uid}: it was made anew")
        if options.revision not in (None, found.revision):
            raise status.conflict(target.kind, target.name, _HAS_CHANGED)
        if options.dry_run:
            return _json(encoding.encode(status.success(target.kind, target.name, uid, 0)))
        if target.kind.resource == NAMESPACES:
            await self._empty(target.name)
        expected = found.revision if options.conditional else None
        try:
            gone = await self.store.delete(found.key, expected)
        except NotFound:
            raise status.not_found(target.kind, target.name) from None
        except Conflict:
            raise status.conflict(target.kind, target.name, _HAS_CHANGED) from None
        if target.kind.resource == NAMESPACES:
            await self._empty(target.name)
        return _json(encoding.encode(status.success(target.kind, target.name, uid, gone.revision)))

    # --- what the verbs share ---

    async def _change(self, request: Request, target: Target, change: Change, size: int) -> Response:
        """Reads, changes, checks and stores, until nobody else has written in between."""
        options, form = write_options(request.query_params), self._form(request, target)
        for _ in range(ATTEMPTS):
            found = await self._stored(target)
            old = encoding.decode(found)
            new = change(old | {"apiVersion": target.api_version, "kind": target.kind.kind})
            expected = writing.expected_revision(new)
            if expected is not None and expected != found.revision:
                raise status.conflict(target.kind, target.name, _HAS_CHANGED)
            writing.same_object(target, old, new)
            if target.subresource == "status":
                body = writing.with_status(target.kind, old, new)
            else:
                body = writing.replaced(target.kind, old, new)
            checked = body | {"apiVersion": target.api_version}
            warnings = await writing.check(
                target, checked, strict=options.strict, size=size, admission=self.admission, old=old
            )
            data = encoding.body_of(body)
            # Who wrote it first may have ordered its keys in another way: that is no difference.
            if data in (found.body, encoding.body_of(old)):
                return _object(found, form, 200, warnings)
            if options.dry_run:
                return _object(Stored(found.key, found.revision, data), form, 200, warnings)
            try:
                stored = await self.store.update(found.key, data, found.revision)
            except NotFound:
                raise status.not_found(target.kind, target.name) from None
            except Conflict:
                if expected is not None:
                    raise status.conflict(target.kind, target.name, _HAS_CHANGED) from None
                continue
            return _object(stored, form, 200, warnings)
        raise status.conflict(
            target.kind, target.name, f"others changed it {ATTEMPTS} times meanwhile: try again"
        )

    async def _stored(self, target: Target) -> Stored:
        found = await self._source(target).get(writing.key_of(target))
        if found is None:
            raise status.not_found(target.kind, target.name)
        return found

    async def _listing(self, target: Target) -> Listing:
        return await self._source(target).list(target.kind.resource, target.namespace or None)

    def _source(self, target: Target) -> Readable:
        return self.definitions if target.kind.resource == definitions.RESOURCE else self.store

    async def _require_namespace(self, target: Target) -> None:
        if target.namespace and await self.store.get(Key(NAMESPACES, "", target.namespace)) is None:
            raise status.not_found(_NAMESPACE, target.namespace)

    async def _confirm_namespace(self, target: Target, stored: Stored) -> None:
        """A namespace deleted between our check and our write took its objects with it, ours not being there yet.

        Whichever of the two writes came second sees the other: the deletion looks again after it, and so do we.
        """
        try:
            await self._require_namespace(target)
        except Refusal:
            with contextlib.suppress(NotFound, Conflict):  # the deletion has seen it
                await self.store.delete(stored.key, stored.revision)
            raise

    async def _empty(self, namespace: str) -> None:
        """Deletes every object of a namespace."""
        for stored in (await self.store.list(None, namespace)).items:
            try:
                await self.store.delete(stored.key)
            except NotFound:
                continue

    def _form(self, request: Request, target: Target) -> Form:
        """How the client wants what it gets. Raises Refusal (400, 406)."""
        return representation.choose(
            request.headers.get("accept", ""),
            request.query_params.get("includeObject") or "",
            target.kind,
            target.api_version,
            self.now,
        )


_HAS_CHANGED = "the object has been modified: read it again and repeat the change on that"
_found = by_resource(NAMESPACES)
if _found is None:
    raise LookupError("the kind Namespace is not served")
_NAMESPACE: Kind = _found

Verb = Callable[[Api, Request, Target], Awaitable[Response]]

VERBS: dict[tuple[str, str], Verb] = {
    ("GET", "collection"): Api.list_or_watch,
    ("POST", "collection"): Api.create,
    ("GET", "object"): Api.get,
    ("PUT", "object"): Api.update,
    ("PATCH", "object"): Api.patch,
    ("DELETE", "object"): Api.delete,
    ("GET", "status"): Api.get,
    ("PUT", "status"): Api.update,
    ("PATCH", "status"): Api.patch,
}


def _object(stored: Stored, form: Form, code: int = 200, warnings: Sequence[Problem] = ()) -> Response:
    return _json(form.one(stored), code, warnings)


def _json(body: bytes, code: int = 200, warnings: Sequence[Problem] = ()) -> Response:
    response = Response(body, code, media_type="application/json")
    left = WARNING_BYTES
    for problem in warnings:
        text = "".join(c if c.isprintable() else " " for c in str(problem))
        value = '299 - "{}"'.format(text.replace("\\", "\\\\").replace('"', '\\"')).encode()
        if len(value) > left:
            response.raw_headers.append((b"warning", b'299 - "there are more warnings"'))
            break
        left -= len(value)
        response.raw_headers.append((b"warning", value))
    return response


def _rfc3339(moment: datetime) -> str:
    return moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
