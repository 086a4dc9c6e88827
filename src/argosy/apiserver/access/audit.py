"""Who did what, when, from where, and what came of it: one line a request, also of one that was refused.

Rule: a line holds no token, no header but the user agent, no query, no value of a Secret, and no message of a refusal
(it may quote what was sent). What a write changed is seen where it is stored (`Observed`): no verb is forgotten.
"""

from __future__ import annotations

import time
import uuid
from collections.abc import Awaitable, Callable
from contextvars import ContextVar
from datetime import UTC, datetime
from typing import Any

import msgspec
from msgspec import Struct
from starlette.datastructures import Headers
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from argosy.apiserver.access import differences
from argosy.apiserver.access.attributes import Attributes
from argosy.apiserver.access.audit_log import AuditLog
from argosy.apiserver.access.gate import OPEN, WANTED
from argosy.apiserver.access.impersonation import IMPERSONATOR
from argosy.apiserver.auth import User
from argosy.apiserver.peer import PEER, Peer
from argosy.store.around import Around
from argosy.store.base import Key, Listing, Store, Stored, Unchanged

LONGEST_AGENT = 256
LONGEST_PATH = 512
MOST_CHANGES = 100
FAILURES_A_SECOND, FAILURES_AT_ONCE = 10.0, 200.0
"""Of requests without a user, which anybody can make: more of them are only counted, so that they push nothing out."""


class Change(Struct, frozen=True):
    key: Key
    old: bytes | None
    new: bytes | None  # None: deleted
    known: bool = True  # whether `old` is what was there


class Record:
    """One request, while it runs."""

    def __init__(self, *, writes: bool) -> None:
        self.writes = writes
        self.read: dict[Key, Stored] = {}
        self.changes: list[Change] = []
        self.more = 0

    def changed(self, change: Change) -> None:
        if len(self.changes) < MOST_CHANGES:
            self.changes.append(change)
        else:
            self.more += 1


_RECORD: ContextVar[Record | None] = ContextVar("record", default=None)


class Audit:
    """Outermost: also what is answered to nobody, and every error."""

    def __init__(
        self, app: ASGIApp, audit_log: AuditLog, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self.app = app
        self._log = audit_log
        self._clock = clock
        self._failures = FAILURES_AT_ONCE
        self._refilled = clock()
        self._unlisted = 0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or scope["path"] in OPEN:
            await self.app(scope, receive, send)
            return
        record, began, code = Record(writes=scope["method"] not in ("GET", "HEAD")), self._clock(), 0
        identifier = uuid.uuid4().hex

        async def watched(message: Message) -> None:
            nonlocal code
            if message["type"] == "http.response.start":
                code = message["status"]
                if code < 400 and _verb(scope) == "watch":
                    self._write(scope, record, {"id": identifier, "stage": "started", "code": code})
            await send(message)

        token = _RECORD.set(record)
        try:
            await self.app(scope, receive, watched)
        finally:
            _RECORD.reset(token)
            said: dict[str, Any] = {"id": identifier, "code": code}
            if _verb(scope) == "watch" and 0 < code < 400:
                said["stage"] = "ended"
            said["ms"] = round((self._clock() - began) * 1000, 3)
            self._write(scope, record, said)

    def _write(self, scope: Scope, record: Record, said: dict[str, Any]) -> None:
        user: User | None = scope.get(IMPERSONATOR) or scope.get("user")
        wanted: Attributes | None = scope.get(WANTED)
        failed = said["code"] == 0 or said["code"] >= 400
        if wanted is not None and not wanted.resource and not failed:
            return  # discovery: every command of every client begins with it
        if user is None and not self._may_list():
            self._unlisted += 1
            return
        if self._unlisted:
            said = said | {"unlisted": self._unlisted}
            self._unlisted = 0
        now = datetime.now(UTC)
        size = sum(len(change.old or b"") + len(change.new or b"") for change in record.changes)
        self._log.write(lambda: _line(now, scope, user, wanted, record, said), size + 2048)

    def _may_list(self) -> bool:
        now = self._clock()
        self._failures = min(FAILURES_AT_ONCE, self._failures + (now - self._refilled) * FAILURES_A_SECOND)
        self._refilled = now
        if self._failures < 1:
            return False
        self._failures -= 1
        return True


def _verb(scope: Scope) -> str:
    wanted: Attributes | None = scope.get(WANTED)
    return wanted.verb if wanted else ""


def _line(
    now: datetime,
    scope: Scope,
    user: User | None,
    wanted: Attributes | None,
    record: Record,
    said: dict[str, Any],
) -> bytes:
    found: dict[str, Any] = {"time": now.isoformat(timespec="milliseconds").replace("+00:00", "Z")}
    if user is not None:
        found |= {"user": user.name, "groups": user.groups}
    if IMPERSONATOR in scope:
        found["impersonatedUser"] = {"user": scope["user"].name, "groups": scope["user"].groups}
    found |= {"source": _source(scope), "agent": _agent(scope)}
    if wanted is None:
        found |= {"method": scope["method"], "path": _bounded(scope["path"], LONGEST_PATH)}
    else:
        found |= {name: value for name, value in msgspec.structs.asdict(wanted).items() if value}
    found |= said
    changes = record.changes
    named = wanted.name if wanted else ""
    if len(changes) == 1 and not record.more:
        (change,) = changes
        if change.key.name != named:  # the server has made the name, or a part of it
            found["name"] = change.key.name
        found |= _told(change)
    elif changes:
        found["changes"] = [
            {"resource": one.key.resource, "namespace": one.key.namespace, "name": one.key.name} | _told(one)
            for one in changes
        ]
        if record.more:
            found["more_changes"] = record.more
    return msgspec.json.encode(found)


def _told(change: Change) -> dict[str, Any]:
    said = differences.told(change.key.resource, change.old, change.new)
    return said if change.known else said | {"old": "unknown"}


def _source(scope: Scope) -> str:
    peer: Peer | None = scope.get(PEER)
    if peer is not None and peer.uid is not None:
        return f"unix:{peer.uid}"
    client = scope.get("client")
    return f"{client[0]}:{client[1]}" if client else ""


def _agent(scope: Scope) -> str:
    return _bounded(Headers(scope=scope).get("user-agent", ""), LONGEST_AGENT)


def _bounded(text: str, most: int) -> str:
    text = text.encode("utf-8", "replace").decode()
    return text if len(text) <= most else f"{text[:most]}…"


Settled = Callable[[Stored], Awaitable[None]]
"""Returns when what was written is in force."""


async def at_once(_: Stored) -> None:
    return


class Observed(Around):
    """A store that tells the record of the running request what it reads and writes; the same store otherwise.

    A write is done when it is `settled`, so that rights are in force when they are acknowledged.
    """

    def __init__(self, store: Store, settled: Settled = at_once) -> None:
        super().__init__(store)
        self._settled = settled

    async def get(self, key: Key) -> Stored | None:
        found = await super().get(key)
        if found is not None:
            self._remember(found)
        return found

    async def list(
        self,
        resource: str | None = None,
        namespace: str | None = None,
        *,
        limit: int = 0,
        after: Key | None = None,
        revision: int | None = None,
    ) -> Listing:
        listing = await super().list(resource, namespace, limit=limit, after=after, revision=revision)
        self._remember(*listing.items)
        return listing

    async def create(self, key: Key, body: bytes, given: Unchanged | None = None) -> Stored:
        stored = await super().create(key, body, given)
        self._note(key, None, body)
        await self._settled(stored)
        return stored

    async def update(self, key: Key, body: bytes, expected: int | None = None) -> Stored:
        record = _RECORD.get()
        read = record.read.get(key) if record else None
        stored = await super().update(key, body, expected)
        # What was read is what was replaced, where that was the condition.
        if read is not None and read.revision == expected:
            self._note(key, read.body, body)
        else:
            self._note(key, None, body, known=False)
        self._remember(stored)
        await self._settled(stored)
        return stored

    async def delete(self, key: Key, expected: int | None = None) -> Stored:
        stored = await super().delete(key, expected)
        self._note(key, stored.body, None)
        await self._settled(stored)
        return stored

    @staticmethod
    def _remember(*found: Stored) -> None:
        record = _RECORD.get()
        if record is not None and record.writes:
            record.read.update((one.key, one) for one in found)

    @staticmethod
    def _note(key: Key, old: bytes | None, new: bytes | None, *, known: bool = True) -> None:
        record = _RECORD.get()
        if record is not None:
            record.changed(Change(key, old, new, known))
