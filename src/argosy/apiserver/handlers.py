"""The dispatch: which verb a request is, by its method and what its path names, and the function that does it.

Order: the path is understood, the user may do it, then the verb. The verbs are in a module for each family: reading,
creating, changing, deleting.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from msgspec import Struct
from starlette.requests import Request
from starlette.responses import Response

from argosy.apiserver import changing, creating, deleting, discovery, documented, paths, reading, status
from argosy.apiserver.api import Api
from argosy.apiserver.paths import Discovery, Target
from argosy.apiserver.queries import truth

__all__ = ["VERBS", "Verb", "handle"]


class Verb(Struct, frozen=True):
    name: str  # as roles have it
    run: Callable[[Api, Request, Target], Awaitable[Response]]


VERBS: dict[tuple[str, str], Verb] = {
    ("GET", "collection"): Verb("list", reading.list_or_watch),
    ("POST", "collection"): Verb("create", creating.create),
    ("DELETE", "collection"): Verb("deletecollection", deleting.delete_collection),
    ("GET", "object"): Verb("get", reading.get),
    ("PUT", "object"): Verb("update", changing.update),
    ("PATCH", "object"): Verb("patch", changing.patch),
    ("DELETE", "object"): Verb("delete", deleting.delete),
    ("GET", "status"): Verb("get", reading.get),
    ("PUT", "status"): Verb("update", changing.update),
    ("PATCH", "status"): Verb("patch", changing.patch),
}


async def handle(api: Api, request: Request) -> Response:
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
        raise status.method_not_allowed(method, said, allowed, what.kind.why_read_only)
    await api.authorize(request, _name(verb, request), what)
    return await verb.run(api, request, what)


def _name(verb: Verb, request: Request) -> str:
    return "watch" if verb.name == "list" and truth(request.query_params, "watch") else verb.name
