"""How much of the server one user, and all of them together, may have at once: nobody takes the API from the others.

Rules: what is too much is refused with 429 before it is done, never queued; a body comes within BODY_WITHIN seconds
(408). Who impersonates somebody is counted as who they are.
"""

from __future__ import annotations

import asyncio
from collections import Counter

from starlette.requests import Request
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from argosy.apiserver.access.attributes import watches
from argosy.apiserver.access.impersonation import proven
from argosy.apiserver.auth import User
from argosy.apiserver.documents import MAX_BYTES
from argosy.apiserver.status import Refusal

MOST_REQUESTS, MOST_WATCHES = 256, 1024
"""Of one user at once."""
MOST_BODIES = 64 * MAX_BYTES
"""Bytes of bodies that are held at once, of all requests together."""
BODY_WITHIN = 60.0
"""Seconds from the head of a request to the end of its body."""


class Limits:
    def __init__(
        self,
        app: ASGIApp,
        requests: int = MOST_REQUESTS,
        watches: int = MOST_WATCHES,
        bodies: int = MOST_BODIES,
        body_within: float = BODY_WITHIN,
    ) -> None:
        self.app = app
        self._most = {False: requests, True: watches}
        self._most_bodies, self._body_within = bodies, body_within
        self._running: Counter[tuple[str, bool]] = Counter()
        self._bodies = 0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope.get("user") is None:
            await self.app(scope, receive, send)
            return
        user: User = proven(scope)
        watch = scope["method"] in ("GET", "HEAD") and watches(Request(scope).query_params)
        at = (user.name, watch)
        if self._running[at] >= self._most[watch]:
            what = "watches" if watch else "requests"
            raise _too_many(f"too many {what} at once: {self._most[watch]} are running for this user")
        self._running[at] += 1
        body = _Body(self, receive)
        try:
            await self.app(scope, body, send)
        finally:
            self._bodies -= body.held
            self._running[at] -= 1
            if not self._running[at]:
                del self._running[at]

    def hold(self, size: int) -> None:
        """Raises Refusal (429)."""
        if self._bodies + size > self._most_bodies:
            raise _too_many("the bodies of all requests at once are too large")
        self._bodies += size

    @property
    def body_within(self) -> float:
        return self._body_within


class _Body:
    """What a request receives: its body within bounds, and then only that its client has left."""

    def __init__(self, limits: Limits, receive: Receive) -> None:
        self.held = 0
        self._limits, self._receive = limits, receive
        self._ends = asyncio.get_running_loop().time() + limits.body_within
        self._whole = False

    async def __call__(self) -> Message:
        if self._whole:
            return await self._receive()
        try:
            async with asyncio.timeout_at(self._ends):
                message = await self._receive()
        except TimeoutError:
            said = f"the body has not come within {self._limits.body_within:g} seconds"
            raise Refusal(408, said, reason="Timeout", headers=(("Connection", "close"),)) from None
        self._whole = message["type"] != "http.request" or not message.get("more_body", False)
        if size := len(message.get("body") or b""):
            self._limits.hold(size)
            self.held += size
        return message


def _too_many(said: str) -> Refusal:
    return Refusal(429, f"{said}; try again", reason="TooManyRequests", headers=(("Retry-After", "1"),))
