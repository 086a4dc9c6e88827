"""Several clients of one API at once, in one process: each call to the store lets the others go on before it.

So what a request has read may have been changed, or deleted, by the time that it writes: far more often than over a
network, and the same way each time with the same dice, but for what is decided by a clock.
"""

from __future__ import annotations

import asyncio
import random
import time
from collections import Counter, deque
from typing import Any

import httpx

from argosy.resources.kinds import Kind
from argosy.store.around import Around
from argosy.store.base import Key, Listing, Store, Stored, Unchanged
from tests.long import known_good, openapi_cases
from tests.long.api_oracle import items_of, marked, whole
from tests.long.api_state import NAMESPACES, State
from tests.long.openapi_cases import ANSWER_WITHIN, Maker, Operation, Request, collection, creation
from tests.long.taken import Codes
from tests.unit.apiserver.test_any_request import check

Json = dict[str, Any]

SHOWN = 40
"""Requests before a failure that are printed."""
TOGETHER = 50
"""Requests of all clients about one kind, before they go on to another."""


class Crowded(Around):
    """A store whose calls let others go first; how often these have changed something meanwhile is in `crossed`."""

    def __init__(self, inner: Store, dice: random.Random) -> None:
        super().__init__(inner)
        self._dice = dice
        self.crossed = 0

    async def _others_first(self) -> None:
        before = await self.inner.revision()
        for _ in range(self._dice.choice((0, 1, 3, 10))):
            await asyncio.sleep(0)
        self.crossed += await self.inner.revision() != before

    async def get(self, key: Key) -> Stored | None:
        await self._others_first()
        return await super().get(key)

    async def list(
        self,
        resource: str | None = None,
        namespace: str | None = None,
        *,
        limit: int = 0,
        after: Key | None = None,
        revision: int | None = None,
    ) -> Listing:
        await self._others_first()
        return await super().list(resource, namespace, limit=limit, after=after, revision=revision)

    async def create(self, key: Key, body: bytes, given: Unchanged | None = None) -> Stored:
        await self._others_first()
        return await super().create(key, body, given)

    async def update(self, key: Key, body: bytes, expected: int | None = None) -> Stored:
        await self._others_first()
        return await super().update(key, body, expected)

    async def delete(self, key: Key, expected: int | None = None) -> Stored:
        await self._others_first()
        return await super().delete(key, expected)


class Crowd:
    """Clients of one API that know together what is there."""

    def __init__(self, web: httpx.AsyncClient, dice: random.Random) -> None:
        self.web, self.state = web, State()
        self._odd = openapi_cases.odd_values(dice)
        self._by_kind: list[list[Operation]] = []
        self._about: list[Operation] = []
        self._left = 0
        self.codes: Codes = Counter()
        """Of what was fuzzed: what is asked beside it does not count."""
        self.history: deque[str] = deque(maxlen=SHOWN)

    async def open(self) -> None:
        """Makes the namespaces, and learns which operations there are."""
        self._odd()  # the first takes longest, and is not to count as work
        index = await self.get("/openapi/v3")
        documents = {
            path: await self.get(path) for path in (f"/openapi/v3/{name}" for name in index["paths"])
        }
        by_kind: dict[str, list[Operation]] = {}
        for each in openapi_cases.operations(
            {"/openapi/v3": index, **documents}.__getitem__, by_schema=False
        ):
            by_kind.setdefault(each.kind.unique_name if each.kind else "", []).append(each)
        self._by_kind = list(by_kind.values())
        for namespace in NAMESPACES:
            await self.make(known_good.NAMESPACE, "", namespace)
        await self.refresh(known_good.NAMESPACE)

    async def work(self, dice: random.Random, seconds: float) -> None:
        """What one of the clients sends, one after the other. Raises AssertionError."""
        maker, deadline = Maker(dice, self.state, self._odd), time.monotonic() + seconds
        while time.monotonic() < deadline:
            operation = self._operation(dice)
            if operation.kind is not None:
                await self._prepare(operation, operation.kind, dice)
            request = maker.request(operation)
            response = await self._sent(request)
            self.codes[request.method, response.status_code] += 1
            await self._learn(request, response)

    def _operation(self, dice: random.Random) -> Operation:
        """For a while all are about the same kind: so they meet."""
        if not self._left:
            self._about, self._left = dice.choice(self._by_kind), TOGETHER
        self._left -= 1
        return dice.choice(self._about)

    async def make(self, kind: Kind, namespace: str, name: str) -> None:
        body = known_good.plain(kind, kind.api_version, namespace, name)
        request = creation(kind, body, namespace)
        await self._learn(request, await self._sent(request))

    async def refresh(self, kind: Kind, namespace: str = "") -> None:
        """What is there; nothing that is stored may keep it from being told."""
        listing = await self.get(collection(kind, namespace))
        self.state.listed(kind, namespace, items_of(listing))

    async def get(self, path: str) -> Json:
        response = await self._sent(Request(method="GET", path=path))
        assert response.status_code == 200, response.text
        found: Json = response.json()
        return found

    async def _sent(self, request: Request) -> httpx.Response:
        """Its answer, which is one that the API may give. Raises AssertionError."""
        try:
            async with asyncio.timeout(ANSWER_WITHIN):
                response = await self.web.request(
                    request.method,
                    request.path,
                    params=request.query or None,
                    headers=request.headers,
                    content=request.body or None,
                )
        except TimeoutError:
            raise AssertionError(f"no answer: {request}") from None
        self.history.append(f"{request}\n    -> {response.status_code} {response.content[:300]!r}")
        assert response.status_code < 500, f"{request}\n{response.status_code} {response.text}"
        if response.status_code >= 400:
            check(response)
        return response

    async def _prepare(self, operation: Operation, kind: Kind, dice: random.Random) -> None:
        """So that there is what it is about."""
        users = known_good.USER, ("", known_good.SOMEBODY)
        if kind.unique_name == "ClientCertificate" and self.state.get(*users) is None:
            await self.make(known_good.USER, "", known_good.SOMEBODY)
        if kind in known_good.KEPT and operation.of_object and not self.state.names(kind):
            namespace = dice.choice(NAMESPACES) if kind.namespaced else ""
            if namespace and namespace not in self.state.open():
                await self.make(known_good.NAMESPACE, "", namespace)
            await self.make(kind, namespace, self.state.free(dice, kind, namespace))

    async def _learn(self, request: Request, response: httpx.Response) -> None:
        kind, code = request.kind, response.status_code
        if kind is None or kind.virtual:
            return
        name = (request.namespace, request.name)
        if request.name and (code == 404 or (code < 300 and request.method == "DELETE" and not request.dry)):
            self.state.gone(kind, name)  # unless it is marked alone: then its answer tells
        if code >= 300 or request.dry or request.query.get("watch") is not None:
            return
        if request.method == "GET" and not request.name:
            self.state.tokens[request.path] = response.json().get("metadata", {}).get("continue", "")
        elif request.method == "DELETE" and not request.name:
            await self.refresh(kind, request.namespace)
        elif (obj := whole(response.json())) is not None and (request.method != "DELETE" or marked(obj)):
            self.state.saw(kind, obj)
