"""The dispatch: who may, who answers, and names the server makes."""

from __future__ import annotations

from typing import Any

import httpx
import msgspec
import pytest
from starlette.requests import Request
from starlette.types import Message

from argosy.apiserver import creating, handlers, paths
from argosy.apiserver.api import Api, Authorize
from argosy.apiserver.app import create_app
from argosy.apiserver.auth import User
from argosy.apiserver.paths import Target
from argosy.apiserver.status import Refusal
from argosy.apiserver.writing import admit_all
from argosy.resources import semantics
from argosy.resources.kind import Kind
from argosy.store.base import Key, Store
from tests.unit.apiserver.conftest import ALL_ROUTES, NOW, REVIEWS, ROUTES, virtual_service
from tests.unit.apiserver.managed.shapes import Everything
from tests.unit.apiserver.test_objects import refused

Json = dict[str, Any]


@pytest.mark.parametrize(
    ("method", "path", "query", "verbs"),
    [
        ("GET", REVIEWS, "", ["get"]),
        ("HEAD", REVIEWS, "", ["get"]),
        ("GET", ALL_ROUTES, "", ["list"]),
        ("GET", ROUTES, "watch=0", ["list"]),
        ("GET", ROUTES, "watch=true", ["watch"]),
        ("POST", ROUTES, "", ["create"]),
        ("PUT", REVIEWS, "", ["update"]),
        ("PATCH", f"{REVIEWS}/status", "", ["patch"]),
        ("DELETE", REVIEWS, "", ["delete"]),
        ("DELETE", ROUTES, "", ["deletecollection"]),
        ("GET", "/apis", "", []),
        ("POST", REVIEWS, "", []),
    ],
)
async def test_every_request_is_a_verb_that_may_be_refused_before_anything_is_read(
    store: Store, method: str, path: str, query: str, verbs: list[str]
) -> None:
    asked: list[str] = []

    async def authorize(_request: Request, verb: str, target: Target) -> None:
        assert target.kind.kind == "VirtualService"
        asked.append(verb)
        raise Refusal(403, "not you")

    code = 200
    try:
        await handlers.handle(api_over(store, authorize), request(method, path, query, b"nonsense"))
    except Refusal as refusal:
        code = refusal.code
    assert asked == verbs
    assert (code == 403) == bool(verbs)


async def test_an_apply_that_creates_needs_both_rights(store: Store) -> None:
    async def authorize(_request: Request, verb: str, _target: Target) -> None:
        if verb == "create":
            raise Refusal(403, "no creation")

    api, body = api_over(store, authorize), msgspec.json.encode(virtual_service())

    def applied() -> Request:
        return request("PATCH", REVIEWS, "fieldManager=ann", body, "application/apply-patch+yaml")

    with pytest.raises(Refusal, match="no creation"):
        await handlers.handle(api, applied())
    await store.create(Key("networking.istio.io/virtualservices", "shop", "reviews"), body)
    assert (await handlers.handle(api, applied())).status_code == 200


def api_over(store: Store, authorize: Authorize) -> Api:
    return Api(store, admission=admit_all, now=lambda: NOW, bookmark_seconds=1, authorize=authorize)


def request(method: str, path: str, query: str, body: bytes, kind: str = "application/json") -> Request:
    async def receive() -> Message:
        return {"type": "http.request", "body": body, "more_body": False}

    headers = [(b"content-type", kind.encode())]
    scope = {
        "type": "http",
        "method": method,
        "path": path,
        "query_string": query.encode(),
        "headers": headers,
    }
    return Request(scope, receive)


REVIEW = Kind(
    group="test.dev", versions=("v1",), kind="Everything", plural="reviews", singular="review", namespaced=False,
    virtual=True, struct=Everything,
)  # fmt: skip


async def test_a_virtual_kind_is_answered_and_nothing_is_stored(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(paths._TABLE, ("test.dev", "v1", "reviews"), REVIEW)
    monkeypatch.setitem(semantics._MODULES, REVIEW.resource, "identity_registration")
    monkeypatch.setattr("argosy.resources.validation.check_of", lambda _: lambda *_: None)
    monkeypatch.setattr("argosy.resources.validation.kind_of", lambda *_: REVIEW)

    async def answer(request: Request, obj: Json) -> Json:
        return obj | {"status": {"x": len(request.user.name)}}

    app = create_app(store, authenticate=lambda _: User("ada"), virtual={REVIEW.resource: answer})
    other = create_app(store, authenticate=lambda _: User("ada"))
    body = {"apiVersion": "test.dev/v1", "kind": "Everything", "spec": {"name": "a"}}
    revision = await store.revision()
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://api") as api:
        said = await api.post("/apis/test.dev/v1/reviews", json=body)
        assert (said.status_code, said.json()["status"]) == (201, {"x": 3})
        assert said.json()["spec"] == {"name": "a"}
        wrong = body | {"spec": {"name": 5}}
        refused(await api.post("/apis/test.dev/v1/reviews", json=wrong), 422, "Invalid")
        refused(await api.get("/apis/test.dev/v1/reviews"), 405, "MethodNotAllowed")
    async with httpx.AsyncClient(transport=httpx.ASGITransport(other), base_url="http://api") as api:
        refused(await api.post("/apis/test.dev/v1/reviews", json=body), 404, "NotFound")
    assert await store.revision() == revision


async def test_a_generated_name_that_is_taken_is_made_again(
    api: httpx.AsyncClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    letters = iter("aaaaa" + "aaaaa" * 3 + "bbbbb" + "a" * 5 * creating.NAMES_TRIED)
    monkeypatch.setattr("argosy.apiserver.writing.secrets.choice", lambda _: next(letters))
    obj = virtual_service(generateName="canary-")
    del obj["metadata"]["name"]
    names = [(await api.post(ROUTES, json=obj)).json()["metadata"]["name"] for _ in range(2)]
    assert names == ["canary-aaaaa", "canary-bbbbb"]
    status = refused(await api.post(ROUTES, json=obj), 409, "AlreadyExists")
    assert '"canary-aaaaa" already exists' in status["message"]


async def test_a_long_beginning_of_a_name_is_cut(api: httpx.AsyncClient) -> None:
    obj = virtual_service(generateName="x" * 300)
    del obj["metadata"]["name"]
    assert len((await api.post(ROUTES, json=obj)).json()["metadata"]["name"]) == 63


@pytest.mark.parametrize("kind", ["application/json", "application/yaml"])
@pytest.mark.parametrize("method", ["POST", "PUT"])
async def test_fields_that_are_there_twice_are_refused_warned_of_or_ignored(
    api: httpx.AsyncClient, kind: str, method: str
) -> None:
    if method == "PUT":
        await api.post(ROUTES, json=virtual_service())
    text = msgspec.json.encode(virtual_service()).decode().replace('"spec":', '"spec":{},"spec":')
    if kind == "application/yaml":
        text = f"# yaml\n{text}"
    path = ROUTES if method == "POST" else REVIEWS
    for validation, code, warned in (("Strict", 400, False), ("Warn", 200, True), ("Ignore", 200, False)):
        response = await api.request(
            method, path, content=text, headers={"Content-Type": kind}, params={"fieldValidation": validation}
        )
        assert response.status_code in (code, code + 1)
        assert (
            any('duplicate field \\"spec\\"' in text for text in response.headers.get_list("warning"))
            == warned
        )
        if code == 200:
            assert response.json()["spec"] == virtual_service()["spec"]
        if method == "POST":
            await api.delete(REVIEWS)


async def test_unknown_fields_are_dropped_where_they_are_not_refused(api: httpx.AsyncClient) -> None:
    obj = virtual_service()
    obj["spec"]["http"][0]["colour"] = "blue"
    obj["spec"]["http"][0]["route"][0]["destination"]["planet"] = {"deep": 1}
    for validation, count in (("Warn", 2), ("Ignore", 0)):
        response = await api.post(ROUTES, json=obj, params={"fieldValidation": validation})
        assert response.json()["spec"] == virtual_service()["spec"]
        assert len(response.headers.get_list("warning")) == count
        patch = {"spec": {"flavour": "x"}}
        headers = {"Content-Type": "application/merge-patch+json"}
        patched = await api.patch(
            REVIEWS, json=patch, headers=headers, params={"fieldValidation": validation}
        )
        assert (patched.status_code, patched.json()["spec"]) == (200, virtual_service()["spec"])
        assert len(patched.headers.get_list("warning")) == min(count, 1)
        await api.delete(REVIEWS)


def test_every_verb_is_one_that_roles_have() -> None:
    assert {verb.name for verb in handlers.VERBS.values()} == {
        "get", "list", "create", "update", "patch", "delete", "deletecollection",
    }  # fmt: skip
