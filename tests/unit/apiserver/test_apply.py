"""Server-side apply and managed fields over HTTP, as kubectl and client libraries use them."""

from __future__ import annotations

from typing import Any

import httpx
import msgspec
import pytest

from argosy.store.base import Key, Store
from tests.unit.apiserver.conftest import NOW, REVIEWS, ROUTES, virtual_service
from tests.unit.apiserver.test_objects import MERGE, create, refused

Json = dict[str, Any]
TIME = NOW.strftime("%Y-%m-%dT%H:%M:%SZ")
APPLY = {"Content-Type": "application/apply-patch+yaml"}
JSON_PATCH = {"Content-Type": "application/json-patch+json"}


async def apply(
    api: httpx.AsyncClient, obj: Json, manager: str = "ann", path: str = REVIEWS, **params: str
) -> httpx.Response:
    content = msgspec.json.encode(obj)
    return await api.patch(path, content=content, headers=APPLY, params={"fieldManager": manager, **params})


def partial(spec: Json | None = None, **metadata: Any) -> Json:
    obj = virtual_service(**metadata)
    return obj | {"spec": obj["spec"] if spec is None else spec}


def managers(obj: Json) -> dict[str, Json]:
    """`ann Apply` -> its fields."""
    return {
        f"{e['manager']} {e['operation']}" + (f" {e['subresource']}" if "subresource" in e else ""): e[
            "fieldsV1"
        ]
        for e in obj["metadata"].get("managedFields", [])
    }


async def test_what_is_not_there_is_created_and_then_merged(api: httpx.AsyncClient) -> None:
    made = await apply(api, partial(labels={"a": "1"}))
    assert made.status_code == 201
    assert managers(made.json()) == {
        "ann Apply": {"f:metadata": {"f:labels": {"f:a": {}}}, "f:spec": {"f:hosts": {}, "f:http": {}}}
    }
    assert made.json()["metadata"]["managedFields"][0]["time"] == TIME
    other = await apply(api, partial({"gateways": ["mesh"]}, labels={"b": "2"}), "bob")
    assert other.status_code == 200
    merged = other.json()
    assert merged["metadata"]["labels"] == {"a": "1", "b": "2"}
    assert merged["spec"] == virtual_service()["spec"] | {"gateways": ["mesh"]}
    assert merged["metadata"]["generation"] == 2
    assert merged["metadata"]["uid"] == made.json()["metadata"]["uid"]
    back = (await apply(api, partial({}), "bob")).json()
    assert (back["metadata"]["labels"], back["spec"]) == ({"a": "1"}, virtual_service()["spec"])
    assert managers(back) == managers(made.json()) | {"bob Apply": {"f:spec": {}}}


async def test_an_apply_that_changes_nothing_is_not_written(api: httpx.AsyncClient, store: Store) -> None:
    made = (await apply(api, partial(labels={"a": "1"}))).json()
    revision = await store.revision()
    again = await apply(api, partial(labels={"a": "1"}))
    assert (again.status_code, again.json()) == (200, made)
    assert await store.revision() == revision


async def test_what_is_applied_empty_stays_and_is_the_same_the_next_time(
    api: httpx.AsyncClient, store: Store
) -> None:
    routes = {"http": virtual_service()["spec"]["http"]}
    await apply(api, partial(labels={"a": "1"}, finalizers=["a.test/one"]))
    empty = partial(
        {"hosts": ["reviews"], "gateways": []} | routes, labels={}, finalizers=[], annotations=None
    )
    shown = (await apply(api, empty)).json()
    assert (shown["metadata"]["labels"], shown["metadata"]["finalizers"]) == ({}, [])
    assert shown["spec"] == empty["spec"]
    assert managers(shown)["ann Apply"] == {
        "f:metadata": {"f:labels": {}},
        "f:spec": {"f:gateways": {}, "f:hosts": {}, "f:http": {}},
    }
    revision = await store.revision()
    assert (await apply(api, empty)).json() == shown == (await api.get(REVIEWS)).json()
    assert await store.revision() == revision
    gone = (await apply(api, partial())).json()
    assert "labels" not in gone["metadata"]
    assert gone["spec"] == virtual_service()["spec"]


async def test_a_conflict_names_who_and_what_in_the_words_of_kubernetes(api: httpx.AsyncClient) -> None:
    await create(api, virtual_service())
    response = await apply(api, partial({"hosts": ["other"]}))
    status = refused(response, 409, "Conflict")
    who = f'"python-httpx" using networking.istio.io/v1 at {TIME}'
    assert status["message"] == f"Apply failed with 1 conflict: conflict with {who}: .spec.hosts"
    assert status["details"]["causes"] == [
        {"reason": "FieldManagerConflict", "message": f"conflict with {who}", "field": ".spec.hosts"}
    ]
    assert (await api.get(REVIEWS)).json()["spec"]["hosts"] == ["reviews"]
    forced = (await apply(api, partial({"hosts": ["other"]}), force="true")).json()
    assert forced["spec"]["hosts"] == ["other"]
    assert "f:hosts" not in managers(forced)["python-httpx Update"]["f:spec"]


async def test_a_dry_run_of_an_apply_shows_what_would_be(api: httpx.AsyncClient, store: Store) -> None:
    made = await apply(api, partial(), dryRun="All")
    assert (made.status_code, made.json()["metadata"]["name"]) == (201, "reviews")
    assert (await api.get(REVIEWS)).status_code == 404
    await create(api, virtual_service())
    revision = await store.revision()
    shown = (await apply(api, partial({"gateways": ["mesh"]}), dryRun="All")).json()
    assert shown["spec"]["gateways"] == ["mesh"]
    refused(await apply(api, partial({"hosts": ["x"]}), dryRun="All"), 409, "Conflict")
    assert await store.revision() == revision


REFUSED: list[tuple[str, Json, Json, int, str]] = [
    ("no manager", partial(), {"fieldManager": ""}, 422, "fieldManager: is required for apply patch"),
    ("a manager that is too long", partial(), {"fieldManager": "x" * 129}, 422, "fieldManager: is longer"),
    ("a manager that cannot be printed", partial(), {"fieldManager": "a\tb"}, 422, "cannot be printed"),
    ("managed fields of its own", partial(managedFields=[{"manager": "x"}]), {}, 400, "metadata.managedFields"),
    ("an unknown field", partial({"hosts": ["a"], "hostz": []}), {"force": "1"}, 422, "spec.hostz"),
    ("an invalid object", partial({"hosts": "a"}), {"force": "1"}, 422, "spec.hosts"),
    ("another kind", partial() | {"kind": "Gateway"}, {}, 400, "kind"),
    ("an old revision", partial(resourceVersion="1"), {}, 409, "has been modified"),
    ("another object's uid", partial(uid="other"), {}, 409, "made anew"),
    ("entries that are there twice", partial(finalizers=["a/b", "a/b"]), {}, 400, "is there 2 times"),
    ("no validation of that name", partial(), {"fieldValidation": "Maybe"}, 422, "fieldValidation"),
]  # fmt: skip


@pytest.mark.parametrize("exists", [True, False])
@pytest.mark.parametrize(
    ("obj", "params", "code", "says"), [row[1:] for row in REFUSED], ids=[row[0] for row in REFUSED]
)
async def test_an_apply_that_does_not_fit_is_refused(
    api: httpx.AsyncClient,
    store: Store,
    obj: Json,
    params: dict[str, str],
    code: int,
    says: str,
    exists: bool,
) -> None:
    if exists:
        await create(api, virtual_service())
    revision = await store.revision()
    response = await api.patch(
        REVIEWS, content=msgspec.json.encode(obj), headers=APPLY, params={"fieldManager": "ann"} | params
    )
    status = response.json()
    assert response.status_code == code, status
    if exists or code != 409:
        assert says in status["message"]
    assert await store.revision() == revision


async def test_only_an_apply_may_be_forced(api: httpx.AsyncClient) -> None:
    await create(api, virtual_service())
    response = await api.patch(REVIEWS, json={}, headers=MERGE, params={"force": "true"})
    assert "force: may not be specified" in refused(response, 422, "Invalid")["message"]


async def test_writes_note_their_manager_by_parameter_or_user_agent(api: httpx.AsyncClient) -> None:
    agent = {"User-Agent": "kubectl/v1.33.1 (linux/amd64) kubernetes/1234"}
    made = (await api.post(ROUTES, json=virtual_service(), headers=agent)).json()
    assert managers(made) == {"kubectl Update": {"f:spec": {".": {}, "f:hosts": {}, "f:http": {}}}}
    patch = {"metadata": {"labels": {"a": "b"}}}
    changed = (
        await api.patch(REVIEWS, json=patch, headers=MERGE, params={"fieldManager": "kubectl-label"})
    ).json()
    assert managers(changed)["kubectl-label Update"] == {"f:metadata": {"f:labels": {".": {}, "f:a": {}}}}
    nameless = await api.put(
        REVIEWS,
        json=changed | {"metadata": changed["metadata"] | {"labels": {"a": "c"}}},
        headers={"User-Agent": ""},
    )
    assert managers(nameless.json())["unknown Update"] == {"f:metadata": {"f:labels": {"f:a": {}}}}
    assert (await api.put(REVIEWS, json=nameless.json())).json() == nameless.json()


async def test_a_client_that_does_not_know_managers_does_not_lose_them(api: httpx.AsyncClient) -> None:
    made = (await apply(api, partial())).json()
    plain = virtual_service(labels={"a": "b"})
    changed = (await api.put(REVIEWS, json=plain)).json()
    assert managers(changed)["ann Apply"] == managers(made)["ann Apply"]
    broken = plain | {
        "metadata": plain["metadata"] | {"managedFields": [{"manager": "x", "operation": "Sing"}]}
    }
    assert managers((await api.put(REVIEWS, json=broken)).json()) == managers(changed)


async def test_managers_can_be_cleared_and_rewritten_as_kubectl_does(api: httpx.AsyncClient) -> None:
    """kubectl moves from client-side to server-side apply by a JSON patch of managedFields and resourceVersion."""
    made = await create(api, virtual_service())
    entries = [made["metadata"]["managedFields"][0] | {"manager": "kubectl", "operation": "Apply"}]
    operations = [
        {"op": "replace", "path": "/metadata/managedFields", "value": entries},
        {"op": "replace", "path": "/metadata/resourceVersion", "value": made["metadata"]["resourceVersion"]},
    ]
    moved = await api.patch(REVIEWS, json=operations, headers=JSON_PATCH)
    assert list(managers(moved.json())) == ["kubectl Apply"]
    assert refused(await api.patch(REVIEWS, json=operations, headers=JSON_PATCH), 409, "Conflict")
    cleared = await api.patch(REVIEWS, json={"metadata": {"managedFields": [{}]}}, headers=MERGE)
    assert "managedFields" not in cleared.json()["metadata"]
    await api.patch(REVIEWS, json={"metadata": {"labels": {"a": "b"}}}, headers=MERGE)
    assert "managedFields" not in (await api.get(REVIEWS)).json()["metadata"], (
        "nobody noted them from here on"
    )
    status = refused(await apply(api, partial({"hosts": ["x"]})), 409, "Conflict")
    assert 'conflict with "before-first-apply" using networking.istio.io/v1: .spec.hosts' in status["message"]


async def test_what_was_written_past_the_api_can_be_applied_to(api: httpx.AsyncClient, store: Store) -> None:
    await store.create(
        Key("networking.istio.io/virtualservices", "shop", "reviews"), msgspec.json.encode(virtual_service())
    )
    same = await apply(api, partial())
    assert same.status_code == 200
    assert managers(same.json()).keys() == {"ann Apply", "before-first-apply Update"}


async def test_status_is_applied_apart(api: httpx.AsyncClient) -> None:
    made = await create(api, virtual_service())
    status = {"conditions": [{"type": "Live", "status": "True"}]}
    config = virtual_service(labels={"a": "b"}) | {"status": status}
    done = (await apply(api, config, "controller", f"{REVIEWS}/status")).json()
    assert done["status"] == status
    assert (done["spec"], done["metadata"].get("labels")) == (made["spec"], None)
    assert managers(done)["controller Apply status"] == {"f:status": {"f:conditions": {}}}
    both = (await apply(api, config, "controller")).json()
    assert both["metadata"]["labels"] == {"a": "b"}
    assert "f:status" not in managers(both)["controller Apply"]
    gone = (await apply(api, virtual_service() | {"status": {}}, "controller", f"{REVIEWS}/status")).json()
    assert "conditions" not in gone.get("status", {})
    await api.delete(REVIEWS)
    refused(await apply(api, config, "controller", f"{REVIEWS}/status"), 404, "NotFound")


async def test_the_note_of_a_client_side_apply_is_kept_up_to_date(api: httpx.AsyncClient) -> None:
    note = "kubectl.kubernetes.io/last-applied-configuration"
    obj = virtual_service(annotations={note: msgspec.json.encode(virtual_service()).decode()})
    await create(api, obj)
    changed = (await apply(api, partial({"hosts": ["other"]}), "kubectl")).json()
    assert changed["spec"]["hosts"] == ["other"]
    assert msgspec.json.decode(changed["metadata"]["annotations"][note])["spec"] == {"hosts": ["other"]}


async def test_services_merge_their_ports_by_number_and_protocol(api: httpx.AsyncClient) -> None:
    path = "/api/v1/namespaces/shop/services/web"

    def service(*ports: Json) -> Json:
        return {
            "apiVersion": "v1", "kind": "Service", "metadata": {"name": "web"}, "spec": {"ports": list(ports)},
        }  # fmt: skip

    await apply(api, service({"port": 80, "name": "http"}), path=path)
    both = await apply(api, service({"port": 443, "name": "https"}), "bob", path)
    assert [port["port"] for port in both.json()["spec"]["ports"]] == [80, 443]
    status = refused(await apply(api, service({"port": 80, "name": "x"}), "bob", path), 409, "Conflict")
    assert status["details"]["causes"][0]["field"] == '.spec.ports[port=80,protocol="TCP"].name'


async def test_unknown_fields_go_with_or_without_a_word(api: httpx.AsyncClient) -> None:
    spec = virtual_service()["spec"] | {"colour": "blue"}
    for validation, warned in (("Warn", True), ("Ignore", False)):
        response = await apply(api, partial(spec), fieldValidation=validation, force="1")
        assert response.status_code < 300
        assert "colour" not in response.json()["spec"]
        assert any("spec.colour" in text for text in response.headers.get_list("warning")) == warned
