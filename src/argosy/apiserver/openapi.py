"""The OpenAPI documents: v3, one for each group and version, with an index; and v2, one for all.

Made from the list of kinds when they are asked for, once. The index names each with its hash, so that a client that has
it never asks again.
# Kubernetes: /openapi/v3, /openapi/v2; KEP-2896
"""

from __future__ import annotations

import hashlib
from functools import cache
from typing import Any, NamedTuple

from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

import argosy
from argosy.apiserver import discovery, encoding, openapi_protobuf, openapi_v2
from argosy.apiserver.openapi_paths import paths
from argosy.apiserver.openapi_schemas import Schemas
from argosy.apiserver.representation import alternatives, not_acceptable
from argosy.apiserver.status import no_such_path

Json = dict[str, Any]

JSON = "application/json"
FOREVER = "public, immutable, max-age=31536000"
ASK_AGAIN = "no-cache, private"


class Document(NamedTuple):
    body: bytes
    digest: str


def answer(request: Request, parts: tuple[str, ...]) -> Response:
    """To a request below `/openapi`. Raises Refusal (404, 406)."""
    match parts:
        case ("openapi", "v2"):
            protobuf = (openapi_protobuf.ASKED_AS, openapi_protobuf.MEDIA_TYPE)
            if _chosen(request, *protobuf) in protobuf:
                return conditional(request, whole_in_protobuf(), ASK_AGAIN, openapi_protobuf.MEDIA_TYPE)
            return conditional(request, whole(), ASK_AGAIN)
        case ("openapi", "v3"):
            _chosen(request)
            return conditional(request, index(), ASK_AGAIN)
        case ("openapi", "v3", *rest) if "/".join(rest) in names():
            _chosen(request)
            name = "/".join(rest)
            found, asked = document(name), request.query_params.get("hash", "")
            if asked and asked != found.digest:
                return RedirectResponse(url_of(name), 301)
            return conditional(request, found, FOREVER if asked else ASK_AGAIN)
    raise no_such_path()


def conditional(request: Request, found: Document, keep: str, media: str = JSON) -> Response:
    """The document; or that the client has it already."""
    tag = f'"{found.digest}"'
    headers = {"ETag": tag, "Cache-Control": keep, "Vary": "Accept"}
    known = {each.strip().removeprefix("W/") for each in request.headers.get("if-none-match", "").split(",")}
    if known & {tag, "*"}:
        return Response(status_code=304, headers=headers)
    return Response(found.body, headers=headers, media_type=media)


@cache
def names() -> dict[str, tuple[str, str]]:
    """`api/v1`, `apis/networking.istio.io/v1`… -> group and version."""
    return {
        (f"apis/{group}/{version}" if group else f"api/{version}"): (group, version)
        for group in discovery.groups()
        for version in discovery.versions(group)
    }


@cache
def index() -> Document:
    return _document({"paths": {name: {"serverRelativeURL": url_of(name)} for name in names()}})


@cache
def document(name: str) -> Document:
    return _document(_v3(name))


@cache
def whole() -> Document:
    return _document(_v2())


@cache
def whole_in_protobuf() -> Document:
    return of_bytes(openapi_protobuf.encode(_v2()))


def url_of(name: str) -> str:
    return f"/openapi/v3/{name}?hash={document(name).digest}"


def _v2() -> Json:
    return openapi_v2.merged(_v3(name) for name in names())


def _v3(name: str) -> Json:
    group, version = names()[name]
    kinds = [kind for kind in discovery.groups()[group] if version in kind.versions]
    schemas = Schemas(group, version, kinds)
    return {
        "openapi": "3.0.0",
        "info": {"title": "Argosy", "version": argosy.__version__},
        "paths": paths(group, version, kinds, schemas),
        "components": {
            "schemas": dict(sorted(schemas.found.items())),
            "securitySchemes": {
                "BearerToken": {
                    "type": "apiKey",
                    "in": "header",
                    "name": "authorization",
                    "description": "Bearer token",
                }
            },
        },
        "security": [{"BearerToken": []}],
    }


def _document(value: Json) -> Document:
    return of_bytes(encoding.encode(value))


def of_bytes(body: bytes) -> Document:
    return Document(body, hashlib.sha256(body).hexdigest()[:32].upper())


def _chosen(request: Request, *own: str) -> str:
    """The media type that the client prefers: one of our own, or JSON. Raises Refusal (406)."""
    for media in alternatives(request.headers.get("accept", "")):
        if media.kind in own:
            return media.kind
        if media.kind in (JSON, "application/*", "*/*"):
            return JSON
    raise not_acceptable((JSON, *own))
