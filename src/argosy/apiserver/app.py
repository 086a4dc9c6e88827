"""The API server as one Starlette application: who is asking, what for, and how every error becomes a Status.

Order, from outside: audit -> errors -> authentication -> impersonation -> limits -> authorization -> routes. Only
`/healthz`, `/livez` and `/readyz` need no authentication.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime

import structlog
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.requests import ClientDisconnect, Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import BaseRoute, Route
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from argosy.apiserver.access.audit import Audit, Observed, at_once
from argosy.apiserver.access.audit_log import AuditLog
from argosy.apiserver.access.gate import (
    Authentication,
    Authorization,
    Authorizer,
    Recognise,
    authorize_beyond,
)
from argosy.apiserver.access.impersonation import Impersonation
from argosy.apiserver.access.limits import Limits
from argosy.apiserver.api import Answer, Api, everyone_may
from argosy.apiserver.auth import Authenticate
from argosy.apiserver.collector import Collector
from argosy.apiserver.handlers import handle
from argosy.apiserver.paths import NAMESPACES
from argosy.apiserver.status import Refusal, refusal_of
from argosy.apiserver.writing import Admission, admit_all
from argosy.runtime.log import logger
from argosy.store.base import Key, Store

Log = structlog.typing.FilteringBoundLogger

BOOKMARK_SECONDS = 60.0
LONGEST_URL = 16 << 10


def utc_now() -> datetime:
    return datetime.now(UTC)


def create_app(
    store: Store,
    *,
    authenticate: Authenticate,
    admission: Admission = admit_all,
    now: Callable[[], datetime] = utc_now,
    extra_routes: Sequence[BaseRoute] = (),
    log: Log | None = None,
    bookmark_seconds: float = BOOKMARK_SECONDS,
    authorizer: Authorizer | None = None,
    recognise: Recognise | None = None,
    virtual: Mapping[str, Answer] | None = None,
    audit_log: AuditLog | None = None,
) -> Starlette:
    """The API over a store. Without an `authorizer` whoever is known may do everything.

    `extra_routes` come first and stand behind the same door; in them, too, raise `status.Refusal`, and find the user
    in `request.user`. `virtual`: who answers for kinds that are not stored. Its `state.collector` is to be run beside
    it, by one server of a store at least.
    """
    store = Observed(store, authorizer.settled if authorizer else at_once)
    api = Api(
        store,
        admission=admission,
        now=now,
        bookmark_seconds=bookmark_seconds,
        authorize=authorize_beyond(authorizer) if authorizer else everyone_may,
        virtual=virtual,
    )

    async def alive(_: Request) -> Response:
        return PlainTextResponse("ok")

    async def ready(_: Request) -> Response:
        await store.get(Key(NAMESPACES, "", "default"))
        return PlainTextResponse("ok")

    app = Starlette(
        routes=[
            Route("/healthz", alive),
            Route("/livez", alive),
            Route("/readyz", ready),
            *extra_routes,
        ],
        middleware=[
            *((Middleware(Audit, audit_log=audit_log),) if audit_log else ()),
            Middleware(Errors, log=log or logger("apiserver")),
            Middleware(Authentication, authenticate=authenticate),
            Middleware(Impersonation, judge=authorizer),
            Middleware(Limits),
            *_authorization(authorizer, recognise),
        ],
        exception_handlers={HTTPException: _refuse},
    )
    app.state.collector = Collector(store, now, log=log or logger("apiserver"))
    app.router.redirect_slashes = False
    # Not a route: a path that one of the routes has, with another method, is a 405 of that route.
    app.router.default = _Everything(api)
    return app


def _authorization(authorizer: Authorizer | None, recognise: Recognise | None) -> Sequence[Middleware]:
    if authorizer is None:
        return ()
    return (Middleware(Authorization, authorizer=authorizer, recognise=recognise),)


class Errors:
    """Turns every exception into a Status; a defect of ours is logged with its traceback, and said to be one."""

    def __init__(self, app: ASGIApp, log: Log) -> None:
        self.app = app
        self.log = log

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        started = False

        async def watched(message: Message) -> None:
            nonlocal started
            started = started or message["type"] == "http.response.start"
            await send(message)

        try:
            if len(scope.get("raw_path") or b"") + len(scope["query_string"]) > LONGEST_URL:
                raise Refusal(
                    414, f"the path and query are longer than {LONGEST_URL} bytes", reason="RequestURITooLong"
                )
            await self.app(scope, receive, watched)
        except ClientDisconnect:
            return
        except Exception as error:
            refusal = refusal_of(error)
            if refusal.code >= 500:
                say = self.log.error if refusal.code == 500 else self.log.warning
                shown = {"exc_info": error} if refusal.code == 500 else {"error": str(error)}
                say("request failed", method=scope["method"], path=scope["path"], **shown)
            if started:
                raise  # nothing can be answered any more: the connection is cut, so that the client notices
            await refusal.response()(scope, receive, send)


class _Everything:
    """All paths that no route has, with all methods."""

    def __init__(self, api: Api) -> None:
        self.api = api

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        response = await handle(self.api, Request(scope, receive))
        await response(scope, receive, send)


async def _refuse(_: Request, error: Exception) -> Response:
    return refusal_of(error).response()
