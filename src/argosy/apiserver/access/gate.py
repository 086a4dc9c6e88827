"""The door of the API, as middleware: who is it, and may it do that; between the two, whom it acts as and how much.

Rule: what passes here is known in the scope: `user` (auth.User), WANTED (Attributes); and ASKING, for what is judged
where an object is admitted. A watch ends when its user may no longer have it, or is no longer who it was.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from contextvars import ContextVar
from typing import Protocol

import msgspec
from starlette.datastructures import Headers
from starlette.requests import Request
from starlette.types import ASGIApp, Receive, Scope, Send

from argosy.apiserver.access.attributes import Attributes, Decision, attributes_of, forbidden
from argosy.apiserver.access.impersonation import IMPERSONATOR, above, asked_for, became, rights
from argosy.apiserver.auth import Authenticate, User
from argosy.apiserver.paths import Target
from argosy.apiserver.status import unauthorized
from argosy.apiserver.watching import CLOSING
from argosy.store.base import Stored

OPEN = frozenset(("/healthz", "/livez", "/readyz"))
WANTED = "argosy.wanted"
"""Key of the ASGI scope: the Attributes of the request."""
ASKING: ContextVar[User] = ContextVar("asking")
"""The user of the request that runs."""


class Authorizer(Protocol):
    on_changed: list[Callable[[], None]]
    """Called after what `decide` goes by has changed."""

    async def decide(self, user: User, wanted: Attributes) -> Decision: ...

    def permits(self, user: User, wanted: Attributes) -> bool:
        """As `decide`, by what is known now."""

    async def settled(self, stored: Stored) -> None:
        """Returns when what was written is what `decide` goes by (bounded)."""


Recognise = Callable[[Request], User | None]
"""The user of a request, by what is known now."""


class Authentication:
    """Lets nobody past without a user, but for the OPEN paths."""

    def __init__(self, app: ASGIApp, authenticate: Authenticate) -> None:
        self.app = app
        self.authenticate = authenticate

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "websocket":
            await send({"type": "websocket.close", "code": 1008})
            return
        if scope["type"] == "http" and scope["path"] not in OPEN:
            found = self.authenticate(Request(scope))
            user = await found if isinstance(found, Awaitable) else found
            if user is None:
                raise unauthorized()
            scope["user"] = user
        await self.app(scope, receive, send)


class Authorization:
    """Lets a request past that its user may make."""

    def __init__(self, app: ASGIApp, authorizer: Authorizer, recognise: Recognise | None = None) -> None:
        """`recognise`: whether somebody is still who it was, for watches."""
        self.app = app
        self._authorizer = authorizer
        self._recognise = recognise
        self._watches: dict[Ending, Request] = {}
        authorizer.on_changed.append(self._look_again)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        user: User | None = scope.get("user")
        if user is None:
            await self.app(scope, receive, send)
            return
        request = Request(scope)
        wanted = attributes_of(scope["method"], scope["path"], request.query_params)
        scope[WANTED] = wanted
        ASKING.set(user)
        decision = await self._authorizer.decide(user, wanted)
        if not decision.allowed:
            raise forbidden(user, wanted, decision.reason)
        if wanted.verb != "watch":
            await self.app(scope, receive, send)
            return
        ending = scope[CLOSING] = Ending(scope.get(CLOSING))
        self._watches[ending] = request
        ending.set_at(user.expires)
        try:
            self._look_at(ending, request)  # it may have changed while we waited
            await self.app(scope, receive, send)
        finally:
            del self._watches[ending]
            ending.set_at(0.0)

    def _look_again(self) -> None:
        for ending, request in self._watches.items():
            self._look_at(ending, request)

    def _look_at(self, ending: Ending, request: Request) -> None:
        """Ends a watch that would not be let in now; what proves its user may end sooner than it did."""
        user = self._now(request)
        if user is None or not self._authorizer.permits(user, request.scope[WANTED]):
            ending.set()
        else:
            ending.set_at(user.expires)

    def _now(self, request: Request) -> User | None:
        """Whose request it is, by what is known now; None: nobody's who may make it."""
        acting: User | None = request.scope.get(IMPERSONATOR)
        known: User = acting or request.scope["user"]
        same = known if self._recognise is None else self._recognise(request)
        if same is None or acting is None:
            return same
        wanted = asked_for(Headers(scope=request.scope))
        if wanted is None or above(same, wanted):
            return None
        if not all(self._authorizer.permits(same, right) for right in rights(wanted)):
            return None
        return became(same, wanted)


def authorize_beyond(authorizer: Authorizer) -> Callable[[Request, str, Target], Awaitable[None]]:
    """For what a verb does beyond the one that its request was let in for: an apply creates what is not there."""

    async def authorize(request: Request, verb: str, _target: Target) -> None:
        wanted: Attributes = request.scope[WANTED]
        if verb == wanted.verb:
            return
        beyond = msgspec.structs.replace(wanted, verb=verb)
        decision = await authorizer.decide(request.scope["user"], beyond)
        if not decision.allowed:
            raise forbidden(request.scope["user"], beyond, decision.reason)

    return authorize


class Ending(asyncio.Event):
    """Is set by itself, or with the server's own."""

    def __init__(self, server: asyncio.Event | None) -> None:
        super().__init__()
        self._server = server
        self._timer: asyncio.TimerHandle | None = None
        self._at = 0.0

    def set_at(self, moment: float) -> None:
        """By a clock, in Unix seconds; 0: not by one."""
        if moment == self._at:
            return
        if self._timer is not None:
            self._timer.cancel()
        self._at, loop = moment, asyncio.get_running_loop()
        self._timer = loop.call_later(max(0.0, moment - time.time()), self.set) if moment else None

    async def wait(self) -> bool:  # type: ignore[override]
        if self._server is None:
            await super().wait()
            return True
        both = [asyncio.ensure_future(super().wait()), asyncio.ensure_future(self._server.wait())]
        try:
            await asyncio.wait(both, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for one in both:
                one.cancel()
        return True


def asking() -> User | None:
    return ASKING.get(None)
