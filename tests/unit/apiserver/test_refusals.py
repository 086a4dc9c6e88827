"""What is refused at the door of the API: with which Status, every field named, and nothing changed."""

from __future__ import annotations

from typing import Any

import httpx
import pytest

from argosy.store.base import Store
from tests.unit.apiserver.conftest import ALL_ROUTES, REVIEWS, ROUTES, virtual_service
from tests.unit.apiserver.test_objects import create, refused

Json = dict[str, Any]


async def test_an_invalid_object_is_refused_with_every_field_and_changes_nothing(
    api: httpx.AsyncClient, store: Store
) -> None:
    obj = virtual_service()
    obj["spec"]["http"][0]["route"] = [
        {"destination": {"host": "reviews"}, "weight": 130},
        {"destination": {"host": "reviews"}, "wieght": 1},
    ]
    status = refused(await api.post(ROUTES, json=obj), 422, "Invalid")
    assert status["details"]["kind"] == "VirtualService"
    assert status["details"]["name"] == "reviews"
    fields = {cause["field"]: cause["message"] for cause in status["details"]["causes"]}
    assert "spec.http[0].route[1].wieght" in fields
    assert all(cause["message"] for cause in status["details"]["causes"])
    assert (await store.list("networking.istio.io/virtualservices")).items == ()


async def test_a_field_nobody_knows_is_a_warning_where_the_client_asks_for_that(
    api: httpx.AsyncClient,
) -> None:
    obj = virtual_service()
    obj["spec"]["colour"] = "blue"
    refused(await api.post(ROUTES, json=obj), 422, "Invalid")
    response = await api.post(ROUTES, json=obj, params={"fieldValidation": "Warn"})
    assert response.status_code == 201
    assert any('299 - "spec.colour' in text for text in response.headers.get_list("warning"))


REFUSED: list[tuple[str, str, str, Any, int, str, str]] = [
    ("a namespace that is not there", "POST", ROUTES.replace("shop", "nowhere"),
     virtual_service(namespace="nowhere"), 404, "NotFound", 'namespaces "nowhere" not found'),
    ("another namespace", "POST", ROUTES, virtual_service(namespace="default"), 400, "BadRequest",
     "metadata.namespace: the body says 'default', the path 'shop'"),
    ("another version", "POST", ROUTES, virtual_service() | {"apiVersion": "networking.istio.io/v1beta1"}, 400,
     "BadRequest", "apiVersion"),
    ("another kind", "POST", ROUTES, virtual_service() | {"kind": "Gateway"}, 400, "BadRequest", "kind: the body"),
    ("no kind", "POST", ROUTES, {"metadata": {"name": "a"}}, 400, "BadRequest", "apiVersion: the body says None"),
    ("no name", "POST", ROUTES, virtual_service(name=""), 422, "Invalid", "metadata.name"),
    ("a bad name", "POST", ROUTES, virtual_service(name="Not A Name"), 422, "Invalid", "metadata.name"),
    ("a revision on creation", "POST", ROUTES, virtual_service(resourceVersion="1"), 400, "BadRequest",
     "metadata.resourceVersion"),
    ("creation in all namespaces", "POST", ALL_ROUTES, virtual_service(), 400, "BadRequest", "created in a namespace"),
    ("a list as body", "POST", ROUTES, [virtual_service()], 400, "BadRequest", "the body is a list"),
    ("an unknown group", "GET", "/apis/nothing.example/v1/things", None, 404, "NotFound", "could not find"),
    ("an unknown version", "GET", "/apis/networking.istio.io/v9/virtualservices", None, 404, "NotFound", "could not"),
    ("an object that is not there", "GET", f"{ROUTES}/nothing", None, 404, "NotFound",
     'virtualservices.networking.istio.io "nothing" not found'),
    ("an update of nothing", "PUT", REVIEWS, virtual_service(), 404, "NotFound", "not found"),
    ("an update of another", "PUT", f"{ROUTES}/other", virtual_service(), 400, "BadRequest", "metadata.name"),
    ("a deletion of nothing", "DELETE", REVIEWS, None, 404, "NotFound", "not found"),
    ("a post to an object", "POST", REVIEWS, virtual_service(), 405, "MethodNotAllowed", "POST is not supported"),
    ("a status that the kind has not", "GET", "/api/v1/namespaces/shop/configmaps/a/status", None, 404, "NotFound", ""),
    ("a protected namespace", "DELETE", "/api/v1/namespaces/istio-system", None, 403, "Forbidden", "istio-system"),
    ("discovery by post", "POST", "/apis", {}, 405, "MethodNotAllowed", "discovery"),
]  # fmt: skip


@pytest.mark.parametrize(
    ("method", "path", "body", "code", "reason", "says"),
    [row[1:] for row in REFUSED],
    ids=[row[0] for row in REFUSED],
)
async def test_what_does_not_fit_is_refused_with_a_reason(
    api: httpx.AsyncClient, method: str, path: str, body: Any, code: int, reason: str, says: str
) -> None:
    status = refused(await api.request(method, path, json=body), code, reason)
    assert says in status["message"]


@pytest.mark.parametrize(
    ("query", "code", "says"),
    [
        ({"labelSelector": "a=b=c"}, 400, "labelSelector: 'a=b=c'"),
        ({"fieldSelector": "spec.host=x"}, 400, "field label not supported: spec.host"),
        ({"resourceVersion": "yesterday"}, 400, "resourceVersion: 'yesterday'"),
        ({"resourceVersion": "-1"}, 400, "resourceVersion"),
        ({"resourceVersion": "999999"}, 410, "newer than the store"),
        ({"resourceVersion": "1", "resourceVersionMatch": "Sometimes"}, 422, "resourceVersionMatch"),
        ({"resourceVersionMatch": "Exact"}, 422, "unless resourceVersion is provided"),
        ({"resourceVersionMatch": "Exact", "resourceVersion": "0"}, 422, "Exact is forbidden"),
        ({"resourceVersionMatch": "NotOlderThan", "continue": "a"}, 422, "forbidden when continue"),
        ({"sendInitialEvents": "true"}, 422, "forbidden for list"),
        ({"watch": "1", "sendInitialEvents": "true"}, 422, "requires setting resourceVersionMatch"),
        ({"watch": "1", "resourceVersionMatch": "NotOlderThan"}, 422, "unless sendInitialEvents"),
        ({"continue": "abc"}, 400, "continue: the token"),
        ({"limit": "many"}, 400, "limit"),
        ({"watch": "perhaps"}, 400, "watch"),
        ({"watch": "true", "timeoutSeconds": "soon"}, 400, "timeoutSeconds"),
        ({"watch": "true", "resourceVersion": "x"}, 400, "resourceVersion"),
    ],
)
async def test_a_query_that_makes_no_sense_is_refused(
    api: httpx.AsyncClient, query: Json, code: int, says: str
) -> None:
    reason = {400: "BadRequest", 410: "Expired", 422: "Invalid"}[code]
    status = refused(await api.get(ROUTES, params=query), code, reason)
    assert says in status["message"]


@pytest.mark.parametrize(
    ("body", "kind", "code", "says"),
    [
        (b"{", "application/json", 400, "not JSON"),
        (b'{"a": 1, "a": 2}', "application/json", 400, 'duplicate field "a"'),
        (b'{"a": NaN}', "application/json", 400, "NaN"),
        (b'{"a": 1e999}', "application/json", 400, "too large"),
        (b'{"a": 123456789012345678901234567890}', "application/json", 400, "64 bits"),
        (b'{"a": "\\ud800"}', "application/json", 400, "surrogate"),
        (b'{"a": "\xff"}', "application/json", 400, "not UTF-8"),
        (b"[" * 5000 + b"]" * 5000, "application/json", 400, "nested more than"),
        (b'{"a":' * 5000 + b"1" + b"}" * 5000, "application/json", 400, "nested more than"),
        (b'{"a":' * 70 + b"1" + b"}" * 70, "application/json", 400, "nested more than"),
        (b"", "application/json", 400, "not JSON"),
        (b"a: [", "application/yaml", 400, "not YAML: line"),
        (b"a: 1\na: 2", "application/yaml", 400, "twice"),
        (b"a: 1\n---\nb: 1", "application/yaml", 400, "holds 2 objects"),
        (b"- a", "text/yaml", 400, "is a list"),
        (b"x", "application/vnd.kubernetes.protobuf", 415, "application/json"),
        (b" " * (3 * 1024 * 1024 + 1), "application/json", 413, "larger than"),
    ],
)
async def test_a_body_that_cannot_be_stored_as_meant_is_refused(
    api: httpx.AsyncClient, body: bytes, kind: str, code: int, says: str
) -> None:
    reasons = {400: "BadRequest", 413: "RequestEntityTooLarge", 415: "UnsupportedMediaType"}
    response = await api.post(ROUTES, content=body, headers={"Content-Type": kind})
    assert says in refused(response, code, reasons[code])["message"]


async def test_a_large_body_is_taken(api: httpx.AsyncClient) -> None:
    obj = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "big"}, "data": {"a": "x" * 900_000}}
    made = await create(api, obj, "/api/v1/namespaces/shop/configmaps")
    assert made["data"] == obj["data"]
