"""POST: a new object, and the answers of kinds that are not stored. An apply to what is not there ends here, too.

Rule: what is there is never overwritten; a name that the server completes is tried again where it is taken.
"""

from __future__ import annotations

import contextlib
import uuid
from collections.abc import AsyncIterator
from typing import Any

from starlette.requests import Request
from starlette.responses import Response

from argosy.apiserver import (
    defaulting,
    documents,
    encoding,
    managing,
    responses,
    status,
    writing,
)
from argosy.apiserver.api import Api
from argosy.apiserver.namespaces import NAMESPACE
from argosy.apiserver.paths import Target
from argosy.apiserver.queries import WriteOptions, write_options
from argosy.apiserver.status import Refusal, bad_request
from argosy.resources.meta import prepare_create
from argosy.resources.problem import Problem
from argosy.store.base import AlreadyExists, Conflict, Key, Stored

Json = dict[str, Any]

NAMES_TRIED = 8


async def create(api: Api, request: Request, target: Target) -> Response:
    options = write_options(request.query_params, "CreateOptions")
    if target.kind.virtual:
        return await _answered(api, request, target, options)
    _require_path(target)
    api.form(request, target)
    duplicates = options.duplicates()
    body, size = await documents.read_object(request, target.kind, duplicates)
    fitted = writing.unborn(writing.fitted(target, writing.titled(target, body)))
    async with opened(api, target, options, str(fitted["metadata"].get("name") or "")):
        obj, unknown = await writing.known(target, fitted, options, size)
        by = managing.writer(request, target, options, api.timestamp())
        told = (*(duplicates or ()), *unknown) if options.validation == "Warn" else ()
        for left in reversed(range(NAMES_TRIED)):
            named = writing.named(obj)
            try:
                return await store(
                    api,
                    request,
                    target,
                    managing.note_created(target, defaulting.filled(target.kind, named), by),
                    options,
                    size,
                    told,
                )
            except AlreadyExists:
                if not left or not writing.asks_for_name(obj):
                    raise status.already_exists(target.kind, named["metadata"]["name"]) from None
    raise AssertionError("unreachable")


@contextlib.asynccontextmanager
async def opened(api: Api, target: Target, options: WriteOptions, name: str = "") -> AsyncIterator[None]:
    """For what is created in a namespace: raises Refusal (403, 404) where it is not open.

    That comes before any other refusal; so where there is one, what is known of the namespace is read anew.
    """
    await api.namespaces.condition(target, name, fresh=options.dry_run)
    try:
        yield
    except Refusal:
        await api.namespaces.condition(target, name, fresh=True)
        raise


async def store(
    api: Api,
    request: Request,
    target: Target,
    obj: Json,
    options: WriteOptions,
    size: int,
    told: tuple[Problem, ...],
) -> Response:
    """Checks a new object that has its name and managers, and stores it. `told`: warnings so far.

    Raises AlreadyExists, Refusal.
    """
    form = api.form(request, target)
    warnings = (*told, *await writing.check(target, obj, size=size, admission=api.admission))
    obj = writing.without_status(target.kind, obj) | {"apiVersion": target.kind.api_version}
    obj = defaulting.born(target.kind, prepare_create(obj, uid=str(uuid.uuid4()), now=api.timestamp()))
    key, data = writing.key_of(target, obj["metadata"]["name"]), encoding.body_of(obj)
    if options.dry_run:
        if await api.store.get(key) is not None:
            raise status.already_exists(target.kind, key.name)
        return responses.of_object(Stored(key, 0, data), form, 201, warnings)
    return responses.of_object(await _created(api, target, key, data), form, 201, warnings)


async def _created(api: Api, target: Target, key: Key, data: bytes) -> Stored:
    """In one transaction with a look at its namespace. Raises AlreadyExists, Refusal (403, 404, 409)."""
    for _ in range(status.ATTEMPTS):
        try:
            return await api.store.create(key, data, await api.namespaces.condition(target, key.name))
        except Conflict:  # the namespace has changed since it was read
            await api.namespaces.condition(target, key.name, fresh=True)
    raise status.overtaken(NAMESPACE, target.namespace)


def _require_path(target: Target) -> None:
    if target.kind.namespaced and not target.namespace:
        raise bad_request(
            f"a {target.kind.kind} is created in a namespace: …/namespaces/NAME/{target.kind.plural}"
        )


async def _answered(api: Api, request: Request, target: Target, options: WriteOptions) -> Response:
    """What a virtual kind says; nothing is stored, whether it is a dry run or not."""
    answer = api.virtual.get(target.kind.resource)
    if answer is None:
        raise status.no_such_path()
    duplicates = options.duplicates()
    body, size = await documents.read_object(request, target.kind, duplicates)
    sent = writing.fitted(target, writing.titled(target, body))
    obj, unknown = await writing.known(target, sent, options, size)
    name = obj["metadata"].get("name")
    named = obj | {"metadata": obj["metadata"] | {"name": "review" if name in (None, "") else name}}
    warnings = await writing.check(target, named, size=size, admission=writing.admit_all)
    told = (*(duplicates or ()), *unknown) if options.validation == "Warn" else ()
    return responses.of_json(encoding.encode(await answer(request, obj)), 201, (*told, *warnings))
