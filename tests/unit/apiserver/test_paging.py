"""Lists in pages, of one revision; and what a list may be of."""

from __future__ import annotations

import base64
from typing import Any

import httpx
import msgspec
import pytest

from argosy.apiserver import paging
from argosy.apiserver.app import create_app
from argosy.apiserver.auth import User
from argosy.store.base import Key, Store
from argosy.store.memory import MemoryStore
from tests.unit.apiserver.conftest import ALL_ROUTES, ROUTES, virtual_service
from tests.unit.apiserver.test_objects import create, refused

Json = dict[str, Any]
ROUTE = "networking.istio.io/virtualservices"


def names(listed: Json) -> list[str]:
    return [item["metadata"]["name"] for item in listed["items"]]


async def test_pages_are_of_one_revision_whatever_happens_meanwhile(api: httpx.AsyncClient) -> None:
    for name in "abcde":
        await create(api, virtual_service(name))
    first = (await api.get(ROUTES, params={"limit": "2"})).json()
    assert (names(first), first["metadata"]["remainingItemCount"]) == (["a", "b"], 3)
    await api.delete(f"{ROUTES}/c")
    await create(api, virtual_service("bb"))
    second = (await api.get(ROUTES, params={"limit": "2", "continue": first["metadata"]["continue"]})).json()
    assert (names(second), second["metadata"]["remainingItemCount"]) == (["c", "d"], 1)
    assert second["metadata"]["resourceVersion"] == first["metadata"]["resourceVersion"]
    last = (await api.get(ROUTES, params={"limit": "2", "continue": second["metadata"]["continue"]})).json()
    assert names(last) == ["e"]
    assert last["metadata"].keys() == {"resourceVersion"}
    now = (await api.get(ROUTES)).json()
    assert names(now) == ["a", "b", "bb", "d", "e"]


@pytest.mark.parametrize("chunk", [1, 2, 3, 500])
async def test_a_selected_page_is_full_wherever_the_selected_lie(
    api: httpx.AsyncClient, monkeypatch: pytest.MonkeyPatch, chunk: int
) -> None:
    monkeypatch.setattr(paging, "CHUNK", chunk)
    for i in range(12):
        labels = {"tier": "front"} if i % 4 == 3 else {}
        await create(api, virtual_service(f"v{i:02}", labels=labels))
    params = {"labelSelector": "tier=front", "limit": "2"}
    first = (await api.get(ALL_ROUTES, params=params)).json()
    assert names(first) == ["v03", "v07"]
    assert "remainingItemCount" not in first["metadata"], "what follows was not looked at"
    params["continue"] = first["metadata"]["continue"]
    rest = (await api.get(ALL_ROUTES, params=params)).json()
    assert names(rest) == ["v11"]
    assert "continue" not in rest["metadata"]


async def test_a_list_can_be_of_an_older_revision(api: httpx.AsyncClient) -> None:
    made = await create(api, virtual_service("a"))
    await create(api, virtual_service("b"))
    revision = made["metadata"]["resourceVersion"]
    old = (
        await api.get(ROUTES, params={"resourceVersion": revision, "resourceVersionMatch": "Exact"})
    ).json()
    assert (names(old), old["metadata"]["resourceVersion"]) == (["a"], revision)
    newer = await api.get(
        ROUTES, params={"resourceVersion": revision, "resourceVersionMatch": "NotOlderThan"}
    )
    assert names(newer.json()) == ["a", "b"]
    assert names((await api.get(ROUTES, params={"resourceVersion": revision})).json()) == ["a", "b"]
    paged = (await api.get(ROUTES, params={"resourceVersion": revision, "limit": "5"})).json()
    assert names(paged) == ["a"]
    assert names((await api.get(ROUTES, params={"resourceVersion": "0"})).json()) == ["a", "b"]


async def test_a_list_that_is_too_old_can_be_ended_as_things_are_now() -> None:
    store = MemoryStore(keep_events=10)
    for name in ("a", "b", "c"):
        await store.create(Key(ROUTE, "shop", name), msgspec.json.encode(virtual_service(name)))
    app = create_app(store, authenticate=lambda _: User("ada"))
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://api") as api:
        first = (await api.get(ALL_ROUTES, params={"limit": "1"})).json()
        await store.delete(Key(ROUTE, "shop", "b"))
        for i in range(200):
            await store.create(Key("/configmaps", "shop", f"c{i}"), b"{}")
        token = first["metadata"]["continue"]
        status = refused(await api.get(ALL_ROUTES, params={"limit": "1", "continue": token}), 410, "Expired")
        rest = await api.get(ALL_ROUTES, params={"continue": status["metadata"]["continue"]})
        assert (rest.status_code, names(rest.json())) == (200, ["c"])
        assert rest.json()["metadata"]["resourceVersion"] == str(await store.revision())
        exact = {"resourceVersion": "1", "resourceVersionMatch": "Exact"}
        refused(await api.get(ALL_ROUTES, params=exact), 410, "Expired")


@pytest.mark.parametrize(
    "token",
    ["abc", "é", "x" * 5000, "[]", "!!", base64.urlsafe_b64encode(b'[-1,"",""]').decode(),
     base64.urlsafe_b64encode(b'[1,"shop","a",2]').decode(), base64.urlsafe_b64encode(b'{"revision":1}').decode(),
     base64.urlsafe_b64encode(b"[99999999999999999999,\"\",\"\"]").decode()],
)  # fmt: skip
async def test_a_token_that_is_none_is_refused(api: httpx.AsyncClient, token: str) -> None:
    status = refused(await api.get(ROUTES, params={"continue": token}), 400, "BadRequest")
    assert "continue: the token" in status["message"]


async def test_a_token_knows_its_revision(api: httpx.AsyncClient) -> None:
    for name in "ab":
        await create(api, virtual_service(name))
    token = (await api.get(ROUTES, params={"limit": "1"})).json()["metadata"]["continue"]
    both = await api.get(ROUTES, params={"continue": token, "resourceVersion": "3"})
    assert "may not be given with continue" in refused(both, 400, "BadRequest")["message"]
    assert names((await api.get(ROUTES, params={"continue": token, "resourceVersion": "0"})).json()) == ["b"]


@pytest.mark.parametrize(
    ("path", "objects", "selector", "expected"),
    [
        ("/api/v1/namespaces/shop/secrets",
         [{"kind": "Secret", "metadata": {"name": "a"}},
          {"kind": "Secret", "metadata": {"name": "b"}, "type": "kubernetes.io/tls",
           "data": {"tls.crt": "", "tls.key": ""}}],
         "type=kubernetes.io/tls", ["b"]),
        ("/api/v1/namespaces/shop/events",
         [{"kind": "Event", "metadata": {"name": "a"}, "reason": "Started", "type": "Normal",
           "involvedObject": {"kind": "Pod", "name": "x", "namespace": "shop"}, "source": {"component": "kubelet"}},
          {"kind": "Event", "metadata": {"name": "b"}, "reason": "Failed", "type": "Warning",
           "involvedObject": {"kind": "Service", "name": "x", "namespace": "shop"}}],
         "involvedObject.kind=Service,involvedObject.name=x,type!=Normal", ["b"]),
        ("/api/v1/namespaces/shop/events",
         [{"kind": "Event", "metadata": {"name": "a"}, "source": {"component": "kubelet"},
           "involvedObject": {"kind": "Pod", "name": "x", "namespace": "shop"}}],
         "source=kubelet,involvedObject.uid=", ["a"]),
        ("/api/v1/namespaces", [{"kind": "Namespace", "metadata": {"name": "team"}}], "status.phase=Active", ["team"]),
    ],
)  # fmt: skip
async def test_kubernetes_own_kinds_are_selected_by_their_own_fields(
    api: httpx.AsyncClient, path: str, objects: list[Json], selector: str, expected: list[str]
) -> None:
    for obj in objects:
        await create(api, {"apiVersion": "v1"} | obj, path)
    assert names((await api.get(path, params={"fieldSelector": selector})).json()) == expected
    refused(await api.get(ROUTES, params={"fieldSelector": selector}), 400, "BadRequest")


async def test_a_list_of_a_store_that_was_written_past_us_is_selected_all_the_same(
    api: httpx.AsyncClient, store: Store
) -> None:
    await store.create(
        Key("/secrets", "shop", "odd"), b'{"kind":"Secret","metadata":{"labels":null},"type":5}'
    )
    listed = await api.get("/api/v1/namespaces/shop/secrets", params={"fieldSelector": "type=5"})
    assert listed.status_code == 200
    assert len(listed.json()["items"]) == 1
