"""The verbs on objects: what is stored, what comes back, and what is refused with which Status."""

from __future__ import annotations

import asyncio
from typing import Any

import httpx
import msgspec
import pytest
from structlog.testing import capture_logs

from argosy.apiserver import status
from argosy.apiserver.app import create_app
from argosy.apiserver.auth import User
from argosy.resources.kinds import Kind
from argosy.resources.meta import prepare_create
from argosy.resources.problem import Problem
from argosy.store.base import Key, Store, Stored, Unavailable
from argosy.store.memory import MemoryStore
from tests.unit.apiserver.conftest import ALL_ROUTES, REVIEWS, ROUTES, virtual_service

Json = dict[str, Any]
MERGE = {"Content-Type": "application/merge-patch+json"}


def refused(response: httpx.Response, code: int, reason: str) -> Json:
    """The Status of a refusal, checked for its form."""
    status: Json = response.json()
    assert (response.status_code, status["kind"], status["apiVersion"]) == (code, "Status", "v1"), status
    assert (status["status"], status["code"], status["reason"]) == ("Failure", code, reason)
    assert status["message"]
    return status


async def create(api: httpx.AsyncClient, obj: Json, path: str = ROUTES) -> Json:
    response = await api.post(path, json=obj)
    assert response.status_code == 201, response.text
    made: Json = response.json()
    return made


# --- create, get, list ---


async def test_a_created_object_has_an_identity_and_comes_back_the_same(
    api: httpx.AsyncClient, store: Store
) -> None:
    made = await create(api, virtual_service(labels={"team": "a"}))
    assert made["spec"] == virtual_service()["spec"]
    metadata = made["metadata"]
    assert metadata["creationTimestamp"] == "2026-03-04T05:06:07Z"
    assert metadata["generation"] == 1
    assert len(metadata["uid"]) == 36
    assert metadata["labels"] == {"team": "a"}
    assert (await api.get(REVIEWS)).json() == made
    stored = await store.get(Key("networking.istio.io/virtualservices", "shop", "reviews"))
    assert stored is not None
    assert metadata["resourceVersion"] == str(stored.revision)
    assert b"resourceVersion" not in stored.body


async def test_the_namespace_of_the_path_is_the_objects(api: httpx.AsyncClient) -> None:
    obj = virtual_service()
    del obj["metadata"]["namespace"]
    assert (await create(api, obj))["metadata"]["namespace"] == "shop"


async def test_an_object_comes_back_in_the_version_asked_for_and_is_stored_once(
    api: httpx.AsyncClient,
) -> None:
    await create(
        api,
        virtual_service() | {"apiVersion": "networking.istio.io/v1beta1"},
        ROUTES.replace("/v1/", "/v1beta1/"),
    )
    for version in ("v1", "v1beta1", "v1alpha3"):
        path = REVIEWS.replace("/v1/", f"/{version}/")
        assert (await api.get(path)).json()["apiVersion"] == f"networking.istio.io/{version}"
        listed = (await api.get(path.removesuffix("/reviews"))).json()
        assert listed["apiVersion"] == f"networking.istio.io/{version}"
        assert [item["apiVersion"] for item in listed["items"]] == [f"networking.istio.io/{version}"]
    assert (await api.post(ROUTES, json=virtual_service())).status_code == 409


async def test_a_generated_name_begins_as_asked(api: httpx.AsyncClient) -> None:
    obj = virtual_service(generateName="canary-")
    del obj["metadata"]["name"]
    names = {(await create(api, obj))["metadata"]["name"] for _ in range(3)}
    assert len(names) == 3
    assert all(name.startswith("canary-") and len(name) == 12 for name in names)


async def test_a_list_holds_what_is_there_and_the_revision_to_watch_from(
    api: httpx.AsyncClient, store: Store
) -> None:
    await create(api, virtual_service("b"))
    await create(api, virtual_service("a", labels={"tier": "front"}))
    await create(api, virtual_service("c", namespace="default"), ROUTES.replace("shop", "default"))
    listed = (await api.get(ALL_ROUTES)).json()
    assert listed["kind"] == "VirtualServiceList"
    assert [i["metadata"]["name"] for i in listed["items"]] == ["c", "a", "b"]
    assert listed["metadata"]["resourceVersion"] == str((await store.list()).revision)
    assert [i["metadata"]["name"] for i in (await api.get(ROUTES)).json()["items"]] == ["a", "b"]
    one = (await api.get(f"{ROUTES}/a")).json()
    assert one in listed["items"]


@pytest.mark.parametrize(
    ("query", "names"),
    [
        ({"labelSelector": "tier=front"}, ["a"]),
        ({"labelSelector": "tier!=front"}, ["b", "c"]),
        ({"labelSelector": "tier in (front, back)"}, ["a", "b"]),
        ({"labelSelector": "!tier"}, ["c"]),
        ({"labelSelector": "tier,tier notin (back)"}, ["a"]),
        ({"fieldSelector": "metadata.name=b"}, ["b"]),
        ({"fieldSelector": "metadata.namespace!=shop"}, []),
        ({"fieldSelector": "metadata.name!=b", "labelSelector": "tier"}, ["a"]),
    ],
)
async def test_a_list_is_narrowed_by_selectors(api: httpx.AsyncClient, query: Json, names: list[str]) -> None:
    await create(api, virtual_service("a", labels={"tier": "front"}))
    await create(api, virtual_service("b", labels={"tier": "back"}))
    await create(api, virtual_service("c"))
    listed = (await api.get(ALL_ROUTES, params=query)).json()
    assert [item["metadata"]["name"] for item in listed["items"]] == names


async def test_cluster_scoped_kinds_have_no_namespace(api: httpx.AsyncClient) -> None:
    made = await create(
        api, {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "team"}}, "/api/v1/namespaces"
    )
    assert "namespace" not in made["metadata"]
    assert (await api.get("/api/v1/namespaces/team")).json() == made
    assert "team" in [i["metadata"]["name"] for i in (await api.get("/api/v1/namespaces")).json()["items"]]


async def test_a_body_may_be_yaml(api: httpx.AsyncClient) -> None:
    text = """
    apiVersion: networking.istio.io/v1
    kind: VirtualService
    metadata: {name: reviews}
    spec: {hosts: [reviews], http: [{route: [{destination: {host: reviews}}]}]}
    """
    response = await api.post(ROUTES, content=text, headers={"Content-Type": "application/yaml"})
    assert response.status_code == 201
    assert response.json()["spec"]["hosts"] == ["reviews"]


async def test_what_somebody_else_stored_in_another_order_comes_back_all_the_same(
    api: httpx.AsyncClient, store: Store
) -> None:
    obj = virtual_service()
    body = msgspec.json.encode({"spec": obj["spec"], "metadata": obj["metadata"], "kind": "VirtualService"})
    stored = await store.create(Key("networking.istio.io/virtualservices", "shop", "reviews"), body)
    got = (await api.get(REVIEWS)).json()
    assert got["apiVersion"] == "networking.istio.io/v1"
    assert got["spec"] == obj["spec"]
    assert got["metadata"] == obj["metadata"] | {"resourceVersion": str(stored.revision)}


# --- update, patch, status ---


async def test_an_update_with_the_revision_read_is_taken_and_with_an_older_one_conflicts(
    api: httpx.AsyncClient,
) -> None:
    made = await create(api, virtual_service())
    made["spec"]["hosts"] = ["other"]
    changed = (await api.put(REVIEWS, json=made)).json()
    assert changed["spec"]["hosts"] == ["other"]
    assert changed["metadata"]["generation"] == 2
    assert changed["metadata"]["uid"] == made["metadata"]["uid"]
    assert changed["metadata"]["creationTimestamp"] == made["metadata"]["creationTimestamp"]
    status = refused(await api.put(REVIEWS, json=made), 409, "Conflict")
    assert "has been modified" in status["message"]
    assert (await api.get(REVIEWS)).json() == changed


async def test_an_update_without_a_revision_is_taken(api: httpx.AsyncClient) -> None:
    await create(api, virtual_service())
    obj = virtual_service()
    obj["spec"]["hosts"] = ["other"]
    assert (await api.put(REVIEWS, json=obj)).json()["spec"]["hosts"] == ["other"]


async def test_an_update_that_changes_nothing_is_not_written(api: httpx.AsyncClient, store: Store) -> None:
    made = await create(api, virtual_service())
    revision = (await store.list()).revision
    assert (await api.put(REVIEWS, json=virtual_service())).json() == made
    reordered = {key: made[key] for key in reversed(made)}
    assert (await api.put(REVIEWS, json=reordered)).json() == made
    assert (await store.list()).revision == revision


async def test_the_order_of_keys_is_no_change(api: httpx.AsyncClient, store: Store) -> None:
    """The server writes objects of its own, without this room's encoding."""
    obj = prepare_create(virtual_service(), uid="u", now="2026-01-01T00:00:00Z")
    key = Key("networking.istio.io/virtualservices", "shop", "reviews")
    await store.create(key, msgspec.json.encode({name: obj[name] for name in reversed(obj)}))
    revision = (await store.list()).revision
    assert (await api.put(REVIEWS, json=virtual_service())).status_code == 200
    assert (await store.list()).revision == revision


async def test_an_update_of_an_object_made_anew_is_refused(api: httpx.AsyncClient) -> None:
    first = await create(api, virtual_service())
    await api.delete(REVIEWS)
    await create(api, virtual_service())
    del first["metadata"]["resourceVersion"]
    assert "made anew" in refused(await api.put(REVIEWS, json=first), 409, "Conflict")["message"]


async def test_status_and_the_rest_are_written_apart(api: httpx.AsyncClient) -> None:
    obj = virtual_service() | {"status": {"conditions": [{"type": "Live", "status": "True"}]}}
    made = await create(api, obj)
    assert "status" not in made
    done = (await api.put(f"{REVIEWS}/status", json=obj)).json()
    assert done["status"]["conditions"][0]["type"] == "Live"
    assert done["metadata"]["generation"] == 1
    changed = virtual_service(labels={"a": "b"})
    changed["spec"]["hosts"] = ["other"]
    assert (await api.put(f"{REVIEWS}/status", json=changed | {"status": done["status"]})).json() == done
    kept = (await api.put(REVIEWS, json=changed)).json()
    assert kept["status"] == done["status"]
    assert kept["spec"]["hosts"] == ["other"]
    cleared = (await api.patch(f"{REVIEWS}/status", json={"status": None}, headers=MERGE)).json()
    assert "status" not in cleared
    assert cleared["spec"] == kept["spec"]
    assert (await api.get(f"{REVIEWS}/status")).json() == cleared


async def test_a_merge_patch_changes_what_it_names(api: httpx.AsyncClient) -> None:
    await create(api, virtual_service(labels={"a": "1", "b": "2"}))
    patch = {"metadata": {"labels": {"a": None, "c": "3"}}, "spec": {"hosts": ["other"]}}
    changed = (await api.patch(REVIEWS, json=patch, headers=MERGE)).json()
    assert changed["metadata"]["labels"] == {"b": "2", "c": "3"}
    assert changed["spec"]["hosts"] == ["other"]
    assert changed["spec"]["http"] == virtual_service()["spec"]["http"]


async def test_a_patch_in_another_version_of_the_kind_is_taken(api: httpx.AsyncClient) -> None:
    await create(api, virtual_service())
    path = REVIEWS.replace("/v1/", "/v1alpha3/")
    changed = await api.patch(path, json={"spec": {"hosts": ["other"]}}, headers=MERGE)
    assert (changed.status_code, changed.json()["apiVersion"]) == (200, "networking.istio.io/v1alpha3")


@pytest.mark.parametrize(
    ("patch", "code", "reason"),
    [
        ({"metadata": {"resourceVersion": "1"}}, 409, "Conflict"),
        ({"metadata": {"name": "other"}}, 400, "BadRequest"),
        ({"kind": "Gateway"}, 400, "BadRequest"),
        ({"metadata": "text"}, 400, "BadRequest"),
        ({"spec": {"hosts": 5}}, 422, "Invalid"),
        ({"spec": None}, 422, "Invalid"),
        ([], 400, "BadRequest"),
    ],
)
async def test_a_patch_that_does_not_fit_is_refused(
    api: httpx.AsyncClient, patch: Any, code: int, reason: str
) -> None:
    made = await create(api, virtual_service())
    refused(await api.patch(REVIEWS, json=patch, headers=MERGE), code, reason)
    assert (await api.get(REVIEWS)).json() == made


async def test_a_patch_in_a_format_we_do_not_speak_says_which_we_do(api: httpx.AsyncClient) -> None:
    await create(api, virtual_service())
    for kind in ("application/json", "application/strategic-merge-patch+json", "text/plain"):
        response = await api.patch(REVIEWS, content=b"{}", headers={"Content-Type": kind})
        assert "merge-patch" in refused(response, 415, "UnsupportedMediaType")["message"]


async def test_patches_at_the_same_time_all_take_effect(api: httpx.AsyncClient) -> None:
    await create(api, virtual_service())
    patches = [
        api.patch(REVIEWS, json={"metadata": {"labels": {f"l{i}": "x"}}}, headers=MERGE) for i in range(8)
    ]
    assert {response.status_code for response in await asyncio.gather(*patches)} == {200}
    assert len((await api.get(REVIEWS)).json()["metadata"]["labels"]) == 8


class Contested(MemoryStore):
    """Somebody else writes between each read and the write that follows it."""

    async def update(self, key: Key, body: bytes, expected: int | None = None) -> Stored:
        now = await self.get(key)
        assert now is not None
        await super().update(key, now.body)
        return await super().update(key, body, expected)


async def test_a_write_that_others_always_overtake_gives_up_as_a_conflict() -> None:
    store = Contested()
    await store.create(Key("/namespaces", "", "shop"), b'{"kind":"Namespace","metadata":{"name":"shop"}}')
    app = create_app(store, authenticate=lambda _: User("ada"))
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://api") as api:
        await create(api, virtual_service())
        before = (await store.list()).revision
        response = await api.patch(REVIEWS, json={"spec": {"hosts": ["x"]}}, headers=MERGE)
        assert f"{status.ATTEMPTS} times" in refused(response, 409, "Conflict")["message"]
        assert (await store.list()).revision == before + status.ATTEMPTS


# --- delete ---


async def test_a_deletion_says_what_was_deleted_and_at_which_revision(
    api: httpx.AsyncClient, store: Store
) -> None:
    made = await create(api, virtual_service())
    status = (await api.delete(REVIEWS)).json()
    assert (status["kind"], status["status"]) == ("Status", "Success")
    assert status["details"]["uid"] == made["metadata"]["uid"]
    assert status["metadata"]["resourceVersion"] == str((await store.list()).revision)
    refused(await api.get(REVIEWS), 404, "NotFound")


@pytest.mark.parametrize(
    ("body", "code"),
    [
        ({"preconditions": {"uid": "another"}}, 409),
        ({"preconditions": {"resourceVersion": "1"}}, 409),
        ({"preconditions": "x"}, 400),
        ({"preconditions": {"uid": 5}}, 400),
        ({"dryRun": ["Some"]}, 422),
        ({"dryRun": [5]}, 400),
        ({"propagationPolicy": "Sideways"}, 422),
        ({"propagationPolicy": "Orphan", "orphanDependents": True}, 422),
        ({"propagationPolicy": 5}, 400),
        ({"gracePeriodSeconds": "soon"}, 400),
        ({"gracePeriodSeconds": 0}, 200),
        ({"kind": "DeleteOptions", "apiVersion": "v1", "propagationPolicy": "Background"}, 200),
        (None, 200),
    ],
)
async def test_a_deletion_keeps_its_preconditions(api: httpx.AsyncClient, body: Any, code: int) -> None:
    made = await create(api, virtual_service())
    content = b"" if body is None else msgspec.json.encode(body)
    response = await api.request("DELETE", REVIEWS, content=content)
    assert response.status_code == code
    assert (await api.get(REVIEWS)).status_code == (404 if code == 200 else 200)
    if code == 409:
        wanted = {"uid": made["metadata"]["uid"], "resourceVersion": made["metadata"]["resourceVersion"]}
        done = await api.request("DELETE", REVIEWS, json={"preconditions": wanted})
        assert done.status_code == 200


async def test_a_namespace_goes_with_everything_in_it(api: httpx.AsyncClient, store: Store) -> None:
    await create(api, virtual_service("a"))
    await create(api, virtual_service("b"))
    await create(api, virtual_service("c", namespace="default"), ROUTES.replace("shop", "default"))
    assert (await api.delete("/api/v1/namespaces/shop")).status_code == 200
    left = [item.key.name for item in (await store.list()).items]
    assert left == ["default", "istio-system", "c"]
    refused(await api.post(ROUTES, json=virtual_service()), 404, "NotFound")


async def test_nothing_is_left_in_a_namespace_deleted_while_others_create_in_it(
    api: httpx.AsyncClient, store: Store
) -> None:
    for turn in range(10):
        await api.post(
            "/api/v1/namespaces", json={"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "x"}}
        )
        path = ROUTES.replace("shop", "x")
        creations = [api.post(path, json=virtual_service(f"v{i}", "x")) for i in range(6)]
        creations.insert(turn % 6, api.delete("/api/v1/namespaces/x"))
        codes = {response.status_code for response in await asyncio.gather(*creations)}
        assert codes <= {200, 201, 403, 404}  # 403: it is being terminated
        assert (await store.list(None, "x")).items == ()


# --- what comes beside ---


@pytest.mark.parametrize("method", ["POST", "PUT", "PATCH", "DELETE"])
async def test_a_dry_run_answers_and_writes_nothing(
    api: httpx.AsyncClient, store: Store, method: str
) -> None:
    if method != "POST":
        await create(api, virtual_service())
    revision = (await store.list()).revision
    obj = virtual_service(labels={"new": "label"})
    path = ROUTES if method == "POST" else REVIEWS
    headers = MERGE if method == "PATCH" else {}
    body = None if method == "DELETE" else obj
    response = await api.request(method, path, json=body, headers=headers, params={"dryRun": "All"})
    assert response.status_code == (201 if method == "POST" else 200)
    if method != "DELETE":
        assert response.json()["metadata"]["labels"] == {"new": "label"}
    assert (await store.list()).revision == revision
    refused(
        await api.request(
            method, path, json=None if method == "DELETE" else obj, headers=headers, params={"dryRun": "Some"}
        ),
        422,
        "Invalid",
    )


async def test_warnings_of_the_server_come_in_headers_that_any_text_fits_into(store: Store) -> None:
    async def admission(kind: Kind, obj: Json) -> list[Problem]:
        assert kind.kind == obj["kind"] == "VirtualService"
        odd = 'no subset "v9"\r\nX-Evil: 1 \\ ünïcode'
        return [Problem("spec.http[0]", odd), *(Problem(f"spec.hosts[{i}]", "x" * 200) for i in range(100))]

    app = create_app(store, authenticate=lambda _: User("ada"), admission=admission)
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://api") as api:
        response = await api.post(ROUTES, json=virtual_service())
        assert response.status_code == 201
        warnings = response.headers.get_list("warning")
        assert warnings[0] == '299 - "spec.http[0]: no subset \\"v9\\"  X-Evil: 1 \\\\ ünïcode"'
        assert warnings[-1] == '299 - "there are more warnings"'
        assert sum(map(len, warnings)) < 10_000
        assert "x-evil" not in response.headers


class Broken(MemoryStore):
    def __init__(self, error: Exception) -> None:
        super().__init__()
        self.error = error

    async def get(self, key: Key) -> Stored | None:
        raise self.error


async def test_a_store_that_is_unavailable_is_503_and_a_defect_is_500_without_its_details() -> None:
    for error, code, reason in (
        (Unavailable("no space left for the store"), 503, "ServiceUnavailable"),
        (RuntimeError("secret detail"), 500, "InternalError"),
    ):
        app = create_app(Broken(error), authenticate=lambda _: User("ada"))
        async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://api") as api:
            with capture_logs() as logged:
                status = refused(await api.get(REVIEWS), code, reason)
            assert [(entry["event"], entry["path"]) for entry in logged] == [("request failed", REVIEWS)]
            assert logged[0].get("exc_info") is (error if code == 500 else None)
            assert ("no space left" in status["message"]) == (code == 503)
            assert "secret detail" not in status["message"]
            with capture_logs():
                assert (await api.get("/readyz")).status_code == code
                assert (await api.get("/healthz")).text == "ok"


async def test_kubernetes_own_kinds_may_leave_out_what_their_path_says(api: httpx.AsyncClient) -> None:
    path = "/api/v1/namespaces/shop/configmaps"
    created = await api.post(path, json={"metadata": {"name": "a"}, "data": {"n": "1"}})
    assert created.status_code == 201, created.text
    replaced = await api.put(f"{path}/a", json={"apiVersion": "", "metadata": {"name": "a"}})
    assert replaced.status_code == 200, replaced.text
    assert (replaced.json()["apiVersion"], replaced.json()["kind"]) == ("v1", "ConfigMap")
    other = await api.post(path, json={"kind": "Secret", "metadata": {"name": "b"}})
    assert other.status_code == 400
