"""Deletion: finalizers, policies, collections, and the end of namespaces."""

from __future__ import annotations

from typing import Any

import httpx
import msgspec
import pytest

from argosy.store.base import Key, Store
from tests.unit.apiserver.conftest import ALL_ROUTES, NOW, REVIEWS, ROUTES, virtual_service
from tests.unit.apiserver.test_objects import MERGE, create, refused

Json = dict[str, Any]
TIME = NOW.strftime("%Y-%m-%dT%H:%M:%SZ")
SHOP = "/api/v1/namespaces/shop"
ROUTE = "networking.istio.io/virtualservices"


async def finalizers(api: httpx.AsyncClient, value: list[str] | None) -> httpx.Response:
    return await api.patch(REVIEWS, json={"metadata": {"finalizers": value}}, headers=MERGE)


async def test_an_object_with_finalizers_stays_until_the_last_is_taken_off(
    api: httpx.AsyncClient, store: Store
) -> None:
    await create(api, virtual_service(finalizers=["a.dev/x", "a.dev/y"]))
    marked = (await api.delete(REVIEWS)).json()
    assert marked["kind"] == "VirtualService"
    assert marked["metadata"]["deletionTimestamp"] == TIME
    assert marked["metadata"]["deletionGracePeriodSeconds"] == 0
    assert marked["metadata"]["generation"] == 2
    revision = await store.revision()
    assert (await api.delete(REVIEWS)).json() == marked, "asked twice, it is marked once"
    assert await store.revision() == revision
    refused(await api.post(ROUTES, json=virtual_service()), 409, "AlreadyExists")
    more = refused(await finalizers(api, ["a.dev/x", "a.dev/z"]), 422, "Invalid")
    assert "metadata.finalizers: a.dev/z: no new finalizers" in more["message"]
    one = (await finalizers(api, ["a.dev/y"])).json()
    assert one["metadata"]["deletionTimestamp"] == TIME
    changed = (await api.patch(REVIEWS, json={"spec": {"hosts": ["x"]}}, headers=MERGE)).json()
    assert changed["spec"]["hosts"] == ["x"], "it may still be changed"
    gone = await finalizers(api, None)
    assert (gone.status_code, "finalizers" in gone.json()["metadata"]) == (200, False)
    refused(await api.get(REVIEWS), 404, "NotFound")


async def test_a_client_cannot_mark_or_unmark_an_object_itself(api: httpx.AsyncClient) -> None:
    made = await create(api, virtual_service(deletionTimestamp=TIME, finalizers=["a.dev/x"]))
    assert "deletionTimestamp" not in made["metadata"]
    await api.delete(REVIEWS)
    patch = {"metadata": {"deletionTimestamp": None, "deletionGracePeriodSeconds": None}}
    kept = (await api.patch(REVIEWS, json=patch, headers=MERGE)).json()
    assert kept["metadata"]["deletionTimestamp"] == TIME


@pytest.mark.parametrize(
    ("query", "finalizer"),
    [
        ({"propagationPolicy": "Foreground"}, "foregroundDeletion"),
        ({"propagationPolicy": "Orphan"}, "orphan"),
        ({"orphanDependents": "true"}, "orphan"),
    ],
)
async def test_a_policy_that_needs_the_collector_waits_for_it(
    api: httpx.AsyncClient, query: dict[str, str], finalizer: str
) -> None:
    await create(api, virtual_service())
    marked = (await api.delete(REVIEWS, params=query)).json()
    assert marked["metadata"]["finalizers"] == [finalizer]
    now = await api.delete(REVIEWS, params={"propagationPolicy": "Background"})
    assert now.json()["status"] == "Success", "another policy takes its place"
    refused(await api.get(REVIEWS), 404, "NotFound")


async def test_options_may_come_in_the_query(api: httpx.AsyncClient, store: Store) -> None:
    await create(api, virtual_service())
    revision = await store.revision()
    assert (await api.delete(REVIEWS, params={"dryRun": "All", "gracePeriodSeconds": "5"})).status_code == 200
    assert await store.revision() == revision
    refused(await api.delete(REVIEWS, params={"gracePeriodSeconds": "soon"}), 400, "BadRequest")
    refused(await api.delete(REVIEWS, params={"propagationPolicy": "Sideways"}), 422, "Invalid")
    refused(await api.delete(REVIEWS, params={"orphanDependents": "perhaps"}), 400, "BadRequest")


async def test_a_collection_is_deleted_as_far_as_it_is_selected(api: httpx.AsyncClient) -> None:
    for name, tier in (("a", "front"), ("b", "back"), ("c", "front"), ("d", "front")):
        await create(api, virtual_service(name, labels={"tier": tier}))
    await create(
        api, virtual_service("c", "default", labels={"tier": "front"}), ROUTES.replace("shop", "default")
    )
    params = {"labelSelector": "tier=front", "fieldSelector": "metadata.name!=d"}
    dry = await api.delete(ROUTES, params=params | {"dryRun": "All"})
    assert [item["metadata"]["name"] for item in dry.json()["items"]] == ["a", "c"]
    done = (await api.delete(ROUTES, params=params)).json()
    assert done["kind"] == "VirtualServiceList"
    assert [item["metadata"]["name"] for item in done["items"]] == ["a", "c"]
    left = (await api.get(ALL_ROUTES)).json()["items"]
    assert [(i["metadata"]["namespace"], i["metadata"]["name"]) for i in left] == [
        ("default", "c"), ("shop", "b"), ("shop", "d"),
    ]  # fmt: skip


async def test_what_cannot_be_read_can_be_deleted(api: httpx.AsyncClient, store: Store) -> None:
    for body in (b"[]", b"nonsense", b'{"metadata":5}', b'{"metadata":{"finalizers":5,"uid":7}}'):
        await store.create(Key(ROUTE, "shop", "reviews"), body)
        assert (await api.delete(REVIEWS)).status_code == 200, body
        assert await store.get(Key(ROUTE, "shop", "reviews")) is None


# --- namespaces ---


async def test_a_new_namespace_is_active_and_says_its_name(api: httpx.AsyncClient) -> None:
    obj = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "team", "labels": {"a": "b"}}}
    made = await create(api, obj, "/api/v1/namespaces")
    assert made["metadata"]["labels"] == {"a": "b", "kubernetes.io/metadata.name": "team"}
    assert made["spec"] == {"finalizers": ["kubernetes"]}
    assert made["status"] == {"phase": "Active"}
    plain = obj | {"metadata": {"name": "team"}}
    changed = (await api.put("/api/v1/namespaces/team", json=plain)).json()
    assert changed["metadata"]["labels"] == {"kubernetes.io/metadata.name": "team"}
    assert (changed["spec"], changed["status"]) == (made["spec"], made["status"])


async def test_a_namespace_stays_until_what_is_in_it_may_go(api: httpx.AsyncClient, store: Store) -> None:
    await create(api, virtual_service("a"))
    await create(api, virtual_service(finalizers=["a.dev/x"]))
    marked = (await api.delete(SHOP)).json()
    assert (marked["kind"], marked["status"]["phase"]) == ("Namespace", "Terminating")
    now = (await api.get(SHOP)).json()
    assert now["metadata"]["deletionTimestamp"] == TIME
    told = {each["type"]: each["message"] for each in now["status"]["conditions"]}
    assert told == {
        "NamespaceContentRemaining": "Some resources are remaining: "
        "virtualservices.networking.istio.io has 1 resource instances",
        "NamespaceFinalizersRemaining": "Some content in the namespace has finalizers remaining: "
        "a.dev/x in 1 resource instances",
    }
    status = refused(await api.post(ROUTES, json=virtual_service("b")), 403, "Forbidden")
    assert status["message"] == (
        'virtualservices.networking.istio.io "b" is forbidden: unable to create new content in namespace shop'
        " because it is being terminated"
    )
    assert status["details"]["causes"] == [
        {"reason": "NamespaceTerminating", "message": "namespace shop is being terminated",
         "field": "metadata.namespace"}
    ]  # fmt: skip
    applied = await api.patch(
        f"{ROUTES}/c", content=msgspec.json.encode(virtual_service("c")), params={"fieldManager": "ann"},
        headers={"Content-Type": "application/apply-patch+yaml"},
    )  # fmt: skip
    refused(applied, 403, "Forbidden")
    assert (await finalizers(api, None)).status_code == 200
    revision = await store.revision()
    assert (await api.delete(SHOP)).status_code == 200
    refused(await api.get(SHOP), 404, "NotFound")
    assert await store.revision() > revision


async def test_a_namespace_written_before_there_were_finalizers_ends_too(
    api: httpx.AsyncClient, store: Store
) -> None:
    await store.create(
        Key("/namespaces", "", "old"), b'{"apiVersion":"v1","kind":"Namespace","metadata":{"name":"old"}}'
    )
    assert (await api.delete("/api/v1/namespaces/old", params={"dryRun": "All"})).status_code == 200
    assert (await api.get("/api/v1/namespaces/old")).status_code == 200
    assert (await api.delete("/api/v1/namespaces/old")).status_code == 200
    refused(await api.get("/api/v1/namespaces/old"), 404, "NotFound")


async def test_protected_namespaces_stay_when_all_are_deleted(api: httpx.AsyncClient) -> None:
    refused(await api.delete("/api/v1/namespaces"), 403, "Forbidden")
    assert (await api.get("/api/v1/namespaces/default")).status_code == 200
