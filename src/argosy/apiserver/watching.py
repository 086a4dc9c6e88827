"""Watches: one frame a line, for as long as the client stays.

Rules: frames come in the order of revisions, each change once. A client never keeps an object that left its selection:
it gets DELETED for it, and ADDED for one that enters. A watch reads the whole store's events, not only its kind's, so
that it knows how far it has come: that is what a BOOKMARK says, and it spares a quiet client the 410 later.
Facts: https://kubernetes.io/docs/reference/using-api/api-concepts/#efficient-detection-of-changes
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from typing import Any

from msgspec import Struct
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from argosy.apiserver import encoding
from argosy.apiserver.definitions import Readable
from argosy.apiserver.paths import Target
from argosy.apiserver.representation import Form
from argosy.apiserver.selectors import Selector
from argosy.apiserver.status import refusal_of
from argosy.store.base import Event, EventType, Key, Listing, Stored, StoreError

CLOSING = "argosy.closing"
"""Key of the ASGI scope: an asyncio.Event, set when the server is about to stop, so that watches end by themselves."""
INITIAL_EVENTS_END = "k8s.io/initial-events-end"


class Wanted(Struct, frozen=True, kw_only=True):
    """What a client watches."""

    target: Target
    selector: Selector
    after: int | None  # None: begin with what is there, as ADDED
    timeout: float | None = None
    bookmark_every: float | None = None  # seconds; None: no bookmarks
    mark_initial: bool = False  # a bookmark after what is there already


class Selection:
    """Which objects of the wanted kind a client has, as far as labels decide that."""

    def __init__(self, wanted: Wanted) -> None:
        self._wanted = wanted
        self._has: dict[Key, bool] = {}

    def concerns(self, key: Key) -> bool:
        target = self._wanted.target
        return (
            key.resource == target.kind.resource
            and target.namespace in ("", key.namespace)
            and self._wanted.selector.selects_key(key)
        )

    def includes(self, stored: Stored) -> bool:
        labels = self._wanted.selector.labels
        return self.concerns(stored.key) and (not labels or self._selects(stored.body))

    def start(self, listing: Listing, after: int) -> None:
        """Remembers what the client had at revision `after`, for the objects that have not changed since."""
        for stored in listing.items:
            if stored.revision <= after and self.concerns(stored.key):
                self._has[stored.key] = self._selects(stored.body)

    def type_of(self, event: Event) -> EventType | None:
        """What the event is to this client; None: nothing."""
        key = event.stored.key
        if not self.concerns(key):
            return None
        if not self._wanted.selector.labels:
            return event.type
        # Not known: the client may have it from before this watch. Rather tell it too much than too little.
        had = self._has.get(key, event.type is not EventType.ADDED)
        if event.type is EventType.DELETED:
            self._has.pop(key, None)
            return EventType.DELETED if had else None
        known = key in self._has
        has = self._has[key] = self._selects(event.stored.body)
        if has:
            return event.type if had or not known else EventType.ADDED
        return EventType.DELETED if had else None

    def _selects(self, body: bytes) -> bool:
        return self._wanted.selector.selects_labels(encoding.labels(body))


class WatchResponse(Response):
    """Streams until the client leaves, the time is up, the server stops or the store cannot go on."""

    media_type = "application/json"

    def __init__(self, store: Readable, wanted: Wanted, form: Form, listing: Listing | None) -> None:
        """`listing`: the objects of the kind at the beginning; needed where `after` is None or labels are selected."""
        self.status_code = 200
        self.background = None
        self.init_headers({"cache-control": "no-cache, private"})
        self._store = store
        self._wanted = wanted
        self._form = form
        self._listing = listing

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        await send({"type": "http.response.start", "status": self.status_code, "headers": self.raw_headers})
        closing: asyncio.Event = scope.get(CLOSING) or asyncio.Event()
        streaming = asyncio.create_task(self._stream(send))
        gone = asyncio.create_task(_disconnected(receive))
        stopping = asyncio.create_task(closing.wait())
        tasks = (streaming, gone, stopping)
        try:
            await asyncio.wait(tasks, timeout=self._wanted.timeout, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
        if streaming.done() and not streaming.cancelled() and (defect := streaming.exception()):
            raise defect
        if gone.cancelled():
            await send({"type": "http.response.body", "body": b"", "more_body": False})

    async def _stream(self, send: Send) -> None:
        try:
            async for frame in self._frames():
                await send({"type": "http.response.body", "body": frame, "more_body": True})
        except StoreError as error:
            status = encoding.encode(refusal_of(error).status)
            frame = encoding.render_frame("ERROR", status)
            await send({"type": "http.response.body", "body": frame, "more_body": True})
        except OSError:
            return  # the client left while we wrote

    async def _frames(self) -> AsyncIterator[bytes]:
        wanted, listing = self._wanted, self._listing
        selection = Selection(wanted)
        after = wanted.after
        if listing is not None:
            after = listing.revision if after is None else after
            selection.start(listing, after)
        if wanted.after is None and listing is not None:
            initial = [
                Event(EventType.ADDED, stored) for stored in listing.items if selection.includes(stored)
            ]
            yield b"".join(self._frame(event.type, event) for event in initial)
            if wanted.mark_initial:
                yield self._bookmark(listing.revision, {INITIAL_EVENTS_END: "true"})
        position = after or 0
        async for event in _or_nothing(self._store.watch(position), wanted.bookmark_every):
            if event is None:
                yield self._bookmark(position)
                continue
            position = event.stored.revision
            kind = selection.type_of(event)
            if kind is not None:
                yield self._frame(kind, event)

    def _frame(self, kind: EventType, event: Event) -> bytes:
        return encoding.render_frame(kind, self._form.one(event.stored))

    def _bookmark(self, revision: int, annotations: dict[str, str] | None = None) -> bytes:
        return encoding.render_frame("BOOKMARK", self._form.bookmark(revision, annotations or {}))


async def _or_nothing(events: AsyncIterator[Event], every: float | None) -> AsyncIterator[Event | None]:
    """The events, and None each `every` seconds."""
    loop = asyncio.get_running_loop()
    due = loop.time() + every if every else None
    pending: asyncio.Future[Event] | None = None
    try:
        while True:
            pending = pending or asyncio.ensure_future(anext(events))
            await asyncio.wait((pending,), timeout=None if due is None else max(0.0, due - loop.time()))
            if pending.done():
                done, pending = pending, None
                yield done.result()
            if due is not None and every and loop.time() >= due:
                due = loop.time() + every
                yield None
    finally:
        if pending is not None:
            pending.cancel()
            await asyncio.gather(pending, return_exceptions=True)
        close: Callable[[], Any] | None = getattr(events, "aclose", None)
        if close is not None:
            await close()


async def _disconnected(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass
