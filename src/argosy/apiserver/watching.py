"""Watches: one frame a line, for as long as the client stays.

Rules: frames come in the order of revisions, each change once. A client never keeps an object that left its selection:
it gets DELETED for it, and ADDED for one that enters, as what was there before the change says. A watch reads the
whole store's events, not only its kind's, so that it knows how far it has come: that is what a BOOKMARK says, and it
spares a quiet client the 410 later. What a batch of events is to a client is worked out once for all the clients that
watch the same in the same form. Nothing is kept for a client that does not read: it is told to list again where the
store does not reach back to it any more.
Facts: https://kubernetes.io/docs/reference/using-api/api-concepts/#efficient-detection-of-changes
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence

import msgspec
from msgspec import Struct
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from argosy.apiserver import encoding
from argosy.apiserver.definitions import Readable
from argosy.apiserver.paths import Target
from argosy.apiserver.representation import Form
from argosy.apiserver.selectors import Selector
from argosy.apiserver.status import refusal_of
from argosy.store.base import Batch, Event, EventType, Key, Listing, Stored, StoreError

CLOSING = "argosy.closing"
"""Key of the ASGI scope: an asyncio.Event, set when the server is about to stop, so that watches end by themselves."""
PAGE = 500
PART = 64 << 10
"""Bytes of frames that are written at once."""
INITIAL_EVENTS_END = "k8s.io/initial-events-end"
Write = Callable[[bytes], Awaitable[None]]


class Wanted(Struct, frozen=True, kw_only=True):
    """What a client watches."""

    target: Target
    selector: Selector
    after: int | None  # None: begin with what is there, as ADDED
    timeout: float | None = None
    bookmark_every: float | None = None  # seconds; None: no bookmarks
    mark_initial: bool = False  # a bookmark after what is there already

    def from_revision(self, revision: int) -> Wanted:
        return msgspec.structs.replace(self, after=revision)


class Change(Struct, frozen=True):
    """What an event of the store is to one client."""

    type: EventType
    stored: Stored


def change_of(wanted: Wanted, event: Event) -> Change | None:
    """None: nothing. What left the selection is told as it was while it belonged to it."""
    stored, selector = event.stored, wanted.selector
    if not concerns(wanted, stored.key):
        return None
    if not selector.reads_bodies:
        return Change(event.type, stored)
    has = event.type is not EventType.DELETED and selector.selects_body(stored.body)
    before = stored.body if event.type is EventType.DELETED else event.previous
    if before is None:
        # Not known: the client may have it. Rather tell it too much than too little.
        had = event.type is not EventType.ADDED
        if has or had:
            return Change(event.type if has else EventType.DELETED, stored)
        return None
    had = selector.selects_body(before)
    if has:
        return Change(event.type if had else EventType.ADDED, stored)
    return Change(EventType.DELETED, Stored(stored.key, stored.revision, before)) if had else None


def concerns(wanted: Wanted, key: Key) -> bool:
    """Whether it is of the wanted kind, namespace and name."""
    target = wanted.target
    return (
        key.resource == target.kind.resource
        and target.namespace in ("", key.namespace)
        and wanted.selector.selects_key(key)
    )


class WatchResponse(Response):
    """Streams until the client leaves, the time is up, the server stops or the store cannot go on."""

    media_type = "application/json"

    def __init__(self, store: Readable, wanted: Wanted, form: Form, first: Listing | None) -> None:
        """`first`: a page of what is there at the beginning; needed where `after` is None."""
        self.status_code = 200
        self.background = None
        self.init_headers({"cache-control": "no-cache, private"})
        self._store = store
        self._wanted = wanted
        self._form = form
        self._first = first
        self._position = wanted.after or 0

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
        # Frames and bookmarks take turns: a bookmark must never overtake a change, nor tell of an earlier revision.
        turn = asyncio.Lock()

        async def write(frame: bytes) -> None:
            await send({"type": "http.response.body", "body": frame, "more_body": True})

        bookmarks = asyncio.create_task(self._bookmarks(write, turn))
        try:
            await self._write_frames(write, turn)
        except StoreError as error:
            status = encoding.encode(refusal_of(error).status)
            await write(encoding.render_frame("ERROR", status))
        except OSError:
            return  # the client left while we wrote
        finally:
            bookmarks.cancel()
            await asyncio.gather(bookmarks, return_exceptions=True)

    async def _write_frames(self, write: Write, turn: asyncio.Lock) -> None:
        wanted = self._wanted
        if wanted.after is None and self._first is not None:
            async with turn:
                position = self._first.revision
                async for frames in self._initial(self._first):
                    await write(frames)
                if wanted.mark_initial:
                    await write(self._bookmark(position, {INITIAL_EVENTS_END: "true"}))
                self._position = position
        async with _closing(self._store.batches(self._position)) as batches:
            async for batch in batches:
                parts = self._parts(batch)
                async with turn:
                    for part in parts:
                        await write(part)
                    self._position = batch.revision

    def _parts(self, batch: Batch) -> Sequence[bytes]:
        """The frames of a batch, to be written one after the other."""
        wanted, form = self._wanted, self._form.view
        if form is None:
            return self._rendered(batch.events)
        target = wanted.target
        view = (form, target.kind.resource, target.namespace, wanted.selector)
        return batch.made_for(view, self._rendered)

    def _rendered(self, events: Sequence[Event]) -> list[bytes]:
        """Frames together up to PART bytes; what goes into them is all in the view of `_parts`."""
        parts: list[list[bytes]] = []
        size = PART
        for event in events:
            change = change_of(self._wanted, event)
            if change is None:
                continue
            frame = self._frame(change)
            if size + len(frame) > PART:
                parts.append([])
                size = 0
            parts[-1].append(frame)
            size += len(frame)
        return [b"".join(part) for part in parts]

    async def _bookmarks(self, write: Write, turn: asyncio.Lock) -> None:
        """Says every so often how far the client has come, where it wants to know."""
        while self._wanted.bookmark_every:
            await asyncio.sleep(self._wanted.bookmark_every)
            async with turn:
                await write(self._bookmark(self._position))

    async def _initial(self, page: Listing) -> AsyncIterator[bytes]:
        """What is there, page by page, all of one revision."""
        self._first = None
        target, selector, revision = self._wanted.target, self._wanted.selector, page.revision
        while True:
            selected = [stored for stored in page.items if selector.selects(stored)]
            if selected:
                yield b"".join(self._frame(Change(EventType.ADDED, stored)) for stored in selected)
            if not page.remaining:
                return
            page = await self._store.list(
                target.kind.resource,
                target.namespace or None,
                limit=PAGE,
                after=page.items[-1].key,
                revision=revision,
            )

    def _frame(self, change: Change) -> bytes:
        return encoding.render_frame(change.type, self._form.one(change.stored))

    def _bookmark(self, revision: int, annotations: dict[str, str] | None = None) -> bytes:
        return encoding.render_frame("BOOKMARK", self._form.bookmark(revision, annotations or {}))


@contextlib.asynccontextmanager
async def _closing(batches: AsyncIterator[Batch]) -> AsyncIterator[AsyncIterator[Batch]]:
    """So that a watch that ends while it writes leaves the store at once."""
    try:
        yield batches
    finally:
        close: Callable[[], Awaitable[None]] | None = getattr(batches, "aclose", None)
        if close is not None:
            await close()


async def _disconnected(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass
