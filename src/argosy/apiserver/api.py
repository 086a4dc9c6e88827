"""What every verb needs: the store, what is beside it, and how a client wants its answer. One for each server."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from datetime import UTC, datetime
from typing import Any

from starlette.requests import Request

from argosy.apiserver import definitions, representation, status, writing
from argosy.apiserver.definitions import Definitions, Readable
from argosy.apiserver.namespaces import OpenNamespaces
from argosy.apiserver.paths import Target
from argosy.apiserver.representation import Form
from argosy.store.base import Store, Stored

Json = dict[str, Any]

Authorize = Callable[[Request, str, Target], Awaitable[None]]
"""Raises Refusal (403) where the user of the request may not do this verb (`create`, `deletecollection`…) there."""
Answer = Callable[[Request, Json], Awaitable[Json]]
"""Answers a POST of a virtual kind: from the object that was sent to the object that goes back."""


async def everyone_may(_request: Request, _verb: str, _target: Target) -> None:
    return


class Api:
    def __init__(
        self,
        store: Store,
        *,
        admission: writing.Admission,
        now: Callable[[], datetime],
        bookmark_seconds: float,
        authorize: Authorize = everyone_may,
        virtual: Mapping[str, Answer] | None = None,
    ) -> None:
        """`virtual`: who answers for each virtual kind, by its resource (`authorization.k8s.io/…reviews`)."""
        self.store = store
        self.definitions = Definitions(store, now())
        self.namespaces = OpenNamespaces(store)
        self.admission = admission
        self.now = now
        self.bookmark_seconds = bookmark_seconds
        self.authorize = authorize
        self.virtual = dict(virtual or {})

    def source(self, target: Target) -> Readable:
        return self.definitions if target.kind.resource == definitions.RESOURCE else self.store

    async def stored(self, target: Target) -> Stored:
        """Raises Refusal (404)."""
        found = await self.source(target).get(writing.key_of(target))
        if found is None:
            raise status.not_found(target.kind, target.name)
        return found

    def form(self, request: Request, target: Target) -> Form:
        """How the client wants what it gets. Raises Refusal (400, 406)."""
        return representation.choose(
            request.headers.get("accept", ""),
            request.query_params.get("includeObject") or "",
            target.kind,
            target.api_version,
            self.now,
        )

    def timestamp(self) -> str:
        return rfc3339(self.now())


def rfc3339(moment: datetime) -> str:
    return moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
