"""What operators ask of a running mesh, as routes of the API server (group operations.argosy.dev/v1, behind the same
authentication): how proxies stand, and whether a change has arrived. And the warnings that need the whole mesh.

    GET …/proxies                                                  [ProxyState, …]
    GET …/namespaces/NAMESPACE/proxies                              those of a namespace
    GET …/delivery?object=KIND/NAMESPACE/NAME&revision=N&timeout=S  Verdict
"""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable, Iterable, Sequence
from typing import Any, Protocol

import msgspec
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Route

from argosy.apiserver import queries
from argosy.apiserver.status import bad_request
from argosy.apiserver.writing import Admission
from argosy.explain.analysis.applied import Warned
from argosy.model.limits import not_in_force
from argosy.resources.kinds import KINDS, Kind, decode_as
from argosy.resources.problem import Problem
from argosy.server.advice import Advice
from argosy.server.analysis import Analysis, is_analysed
from argosy.server.fleet import Operations
from argosy.store.base import Key, Store

PREFIX = "/apis/operations.argosy.dev/v1"
LONGEST_WAIT = 600.0
DEFAULT_WAIT = 30.0


def routes(operations: Operations) -> Sequence[BaseRoute]:
    async def list_proxies(request: Request) -> Response:
        return rows_of_all(request, *await operations.proxies())

    async def delivery(request: Request) -> Response:
        query = request.query_params
        key = object_key(query.get("object", ""))
        revision = queries.revision(query.get("revision", ""), "revision") or 0
        timeout = _number(query.get("timeout", str(DEFAULT_WAIT)), "timeout", LONGEST_WAIT)
        return as_json(await operations.deliver(key, revision, timeout))

    return (
        Route(f"{PREFIX}/proxies", list_proxies, methods=["GET"]),
        Route(f"{PREFIX}/namespaces/{{namespace}}/proxies", list_proxies, methods=["GET"]),
        Route(f"{PREFIX}/delivery", delivery, methods=["GET"]),
    )


def object_key(text: str) -> Key:
    """`VirtualService/shop/reviews`, `Namespace//shop` or `Namespace/shop`; where two groups have a kind of that name,
    `Gateway.gateway.networking.k8s.io/shop/edge`. Raises Refusal (400)."""
    parts = text.split("/")
    text = text[:80]
    name, _, group = parts[0].lower().partition(".")
    kind = next((kind for kind in KINDS if name in _names(kind) and group in ("", kind.group)), None)
    if kind is None:
        raise bad_request(f"object: {text!r} does not begin with a kind that is served: KIND/NAMESPACE/NAME")
    match parts[1:]:
        case [namespace, name] if name and (bool(namespace) is kind.namespaced):
            return Key(kind.resource, namespace, name)
        case [name] if name and not kind.namespaced:
            return Key(kind.resource, "", name)
    wanted = "KIND/NAMESPACE/NAME" if kind.namespaced else "KIND/NAME"
    raise bad_request(f"object: {text!r} is not of the form {wanted}")


Find = Callable[[Kind, dict[str, Any]], Awaitable[Sequence[Warned]]]
"""What the analysis finds about an object that is being applied."""
NOT_ANALYSED = (
    "whether this fits the rest of the mesh was not looked at, as no server that serves proxies answers; once one "
    "does, the object's conditions ResolvedRefs and Warned say what it finds"
)


def admission(find: Find) -> Admission:
    """Warnings: what the analysis finds about an object, as what it refers to and the mesh does not have, and what of
    it is not in force. It refuses nothing."""

    async def warn(kind: Kind, obj: dict[str, Any]) -> Sequence[Problem]:
        told = await find(kind, obj)
        limits = not_in_force(decode_as(kind, obj))
        return tuple(Problem(field, message) for field, message in (*told, *limits))

    return warn


def found_here(
    analysis: Analysis, caught_up: Callable[[], Awaitable[None]], clock: Callable[[], float] = time.time
) -> Find:
    """`caught_up` returns when the analysis holds what is stored by now: what an object refers to was often written a
    moment before, by the same hand."""

    async def find(kind: Kind, obj: dict[str, Any]) -> Sequence[Warned]:
        if is_analysed(kind):
            await caught_up()
        return analysis.warnings(obj, clock())

    return find


def found_elsewhere(
    advice: Advice, store: Store, alone: Analysis, clock: Callable[[], float] = time.time
) -> Find:
    """`alone`: an analysis that knows no object, for kinds that need none; so no Secret is sent."""

    async def find(kind: Kind, obj: dict[str, Any]) -> Sequence[Warned]:
        if not is_analysed(kind):
            return alone.warnings(obj, clock())
        told = await advice.warnings(obj, await store.last_change())
        return told if told is not None else (("", NOT_ANALYSED),)

    return find


def _names(kind: Kind) -> tuple[str, ...]:
    return (kind.kind.lower(), kind.plural, kind.singular, *kind.short_names)


def _number(text: str, name: str, most: float) -> float:
    try:
        value = float(text.removesuffix("s") if name == "timeout" else text)
    except ValueError:
        value = -1.0
    if not 0 <= value <= most:
        raise bad_request(f"{name}: {text[:40]!r} is not a number from 0 to {most:g}")
    return value


def as_json(value: object) -> Response:
    return Response(msgspec.json.encode(value), media_type="application/json")


class _Row(Protocol):
    @property
    def namespace(self) -> str: ...


def rows_of_all(request: Request, rows: Iterable[_Row], silent: Iterable[str]) -> Response:
    """Rows of all servers, of the namespace in the path if there is one; a warning names each server that is silent."""
    namespace = request.path_params.get("namespace")
    response = as_json([row for row in rows if namespace in (None, row.namespace)])
    for address in silent:
        response.raw_headers.append(
            (b"warning", f'299 - "no answer from the control plane at {address}"'.encode())
        )
    return response
