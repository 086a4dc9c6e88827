"""What the API says of itself: discovery and OpenAPI, kept by clients for as long as it is the same."""

from __future__ import annotations

import asyncio

from starlette.requests import Request
from starlette.responses import Response

from argosy.apiserver import discovery, openapi
from argosy.apiserver.paths import Discovery
from argosy.apiserver.status import method_not_allowed


async def answer(request: Request, what: Discovery) -> Response:
    """Raises Refusal (404, 405, 406)."""
    if request.method not in ("GET", "HEAD"):
        raise method_not_allowed(request.method, "discovery", ("GET",))
    if what.parts[0] == "openapi":
        # The first time a document is made, which takes a while: not in the way of others.
        return await asyncio.to_thread(openapi.answer, request, what.parts)
    body, media = discovery.document(what, request.headers.get("accept", ""))
    return openapi.conditional(request, openapi.of_bytes(body), openapi.ASK_AGAIN, media)
