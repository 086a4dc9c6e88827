"""Answers as a Table, as metadata alone, and how a client asks for one form or another."""

from __future__ import annotations

import json
from typing import Any

import httpx
import pytest

from argosy.apiserver.representation import Media, alternatives
from tests.unit.apiserver.conftest import ALL_ROUTES, REVIEWS, ROUTES, virtual_service

TABLE = "application/json;as=Table;v=v1;g=meta.k8s.io"
KUBECTL = f"{TABLE},application/json;as=Table;v=v1beta1;g=meta.k8s.io,application/json"
METADATA = "application/json;as=PartialObjectMetadata;g=meta.k8s.io;v=v1"
Json = dict[str, Any]


async def table(api: httpx.AsyncClient, path: str, **params: str) -> Json:
    answer = await api.get(path, headers={"Accept": KUBECTL}, params=params)
    assert answer.status_code == 200, answer.text
    found: Json = answer.json()
    assert (found["kind"], found["apiVersion"]) == ("Table", "meta.k8s.io/v1")
    return found


async def create(api: httpx.AsyncClient, path: str, obj: Json) -> Json:
    answer = await api.post(path, json=obj)
    assert answer.status_code == 201, answer.text
    created: Json = answer.json()
    return created


async def test_a_list_as_a_table_has_a_row_for_each_object_with_its_metadata(api: httpx.AsyncClient) -> None:
    created = [await create(api, ROUTES, virtual_service(name, labels={"a": name})) for name in ("a", "b")]
    found = await table(api, ALL_ROUTES)
    names = [column["name"] for column in found["columnDefinitions"]]
    assert names[0] == "Name"
    assert "Age" in names
    assert found["columnDefinitions"][0]["format"] == "name"
    assert [row["cells"][0] for row in found["rows"]] == ["a", "b"]
    assert [row["cells"][names.index("Age")] for row in found["rows"]] == ["0s", "0s"]
    for row, obj in zip(found["rows"], created, strict=True):
        assert row["object"] == {
            "kind": "PartialObjectMetadata",
            "apiVersion": "meta.k8s.io/v1",
            "metadata": obj["metadata"],
        }
    whole = (await api.get(ALL_ROUTES)).json()
    assert found["metadata"]["resourceVersion"] == whole["metadata"]["resourceVersion"]


async def test_one_object_and_a_selection_as_a_table(api: httpx.AsyncClient) -> None:
    created = await create(api, ROUTES, virtual_service(labels={"team": "blue"}))
    await create(api, ROUTES, virtual_service("other"))
    one = await table(api, REVIEWS)
    assert [row["cells"][0] for row in one["rows"]] == ["reviews"]
    assert one["metadata"]["resourceVersion"] == created["metadata"]["resourceVersion"]
    assert len((await table(api, ROUTES, labelSelector="team=blue"))["rows"]) == 1
    assert (await table(api, ROUTES, labelSelector="team=red"))["rows"] == []


async def test_rows_hold_the_object_its_metadata_or_nothing(api: httpx.AsyncClient) -> None:
    created = await create(api, ROUTES, virtual_service())
    (row,) = (await table(api, ROUTES, includeObject="Object"))["rows"]
    assert row["object"] == created
    (row,) = (await table(api, ROUTES, includeObject="None"))["rows"]
    assert row["object"] is None
    (row,) = (await table(api, ROUTES, includeObject="Metadata"))["rows"]
    assert row["object"]["kind"] == "PartialObjectMetadata"
    refused = await api.get(ROUTES, headers={"Accept": TABLE}, params={"includeObject": "Some"})
    assert refused.status_code == 400
    assert "includeObject" in refused.json()["message"]


async def test_kinds_of_kubernetes_have_its_columns(api: httpx.AsyncClient) -> None:
    base = "/api/v1/namespaces/shop"
    await create(
        api,
        f"{base}/secrets",
        {
            "apiVersion": "v1",
            "kind": "Secret",
            "metadata": {"name": "s"},
            "type": "Opaque",
            "data": {"a": "QQ==", "b": "Qg=="},
        },
    )
    secrets = await table(api, f"{base}/secrets")
    assert [column["name"] for column in secrets["columnDefinitions"]] == ["Name", "Type", "Data", "Age"]
    assert secrets["rows"][0]["cells"] == ["s", "Opaque", 2, "0s"]
    assert "QQ==" not in json.dumps(secrets)
    await create(
        api,
        f"{base}/services",
        {
            "apiVersion": "v1",
            "kind": "Service",
            "metadata": {"name": "web"},
            "spec": {"ports": [{"port": 80, "name": "http"}], "selector": {"app": "web"}},
        },
    )
    services = await table(api, f"{base}/services")
    names = [column["name"] for column in services["columnDefinitions"] if column["priority"] == 0]
    assert names == ["Name", "Type", "Cluster-IP", "External-IP", "Port(s)", "Age"]
    assert services["rows"][0]["cells"][1:] == ["ClusterIP", "<none>", "<none>", "80/TCP", "0s", "app=web"]


async def test_metadata_alone(api: httpx.AsyncClient) -> None:
    created = await create(api, ROUTES, virtual_service())
    one = (await api.get(REVIEWS, headers={"Accept": METADATA})).json()
    expected = {"kind": "PartialObjectMetadata", "apiVersion": "meta.k8s.io/v1"}
    assert one == expected | {"metadata": created["metadata"]}
    accept = METADATA.replace("Metadata;", "MetadataList;")
    listed = (await api.get(ROUTES, headers={"Accept": accept})).json()
    assert (listed["kind"], listed["items"]) == ("PartialObjectMetadataList", [one])


@pytest.mark.parametrize(
    ("accept", "kind"),
    [
        ("", "VirtualServiceList"),
        ("*/*", "VirtualServiceList"),
        ("application/json", "VirtualServiceList"),
        (f"application/json,{TABLE}", "VirtualServiceList"),
        (f"application/json;q=0.5,{TABLE}", "Table"),
        ("application/vnd.kubernetes.protobuf,application/json", "VirtualServiceList"),
        ("application/json;as=Table;v=v2;g=meta.k8s.io,application/json", "VirtualServiceList"),
        ("application/json;as=Table;g=meta.k8s.io;v=v1beta1", "Table"),
        ("application/json;stream=watch", "VirtualServiceList"),
    ],
)
async def test_the_first_form_that_is_served_is_taken(api: httpx.AsyncClient, accept: str, kind: str) -> None:
    answer = await api.get(ROUTES, headers={"Accept": accept})
    assert answer.json()["kind"] == kind


@pytest.mark.parametrize(
    "accept",
    ["application/vnd.kubernetes.protobuf", "text/html", "application/json;as=Chair;v=v1;g=x", "a/b;q=0"],
)
async def test_a_form_that_is_not_served_is_refused_before_anything_is_written(
    api: httpx.AsyncClient, accept: str
) -> None:
    refused = await api.post(ROUTES, json=virtual_service(), headers={"Accept": accept})
    assert (refused.status_code, refused.json()["reason"]) == (406, "NotAcceptable")
    assert (await api.get(REVIEWS)).status_code == 404


def test_alternatives_are_read_in_the_order_of_their_weight() -> None:
    assert [media.kind for media in alternatives("a/b;q=0.1, c/d, e/f;q=0.5, g/h;q=0")] == [
        "c/d",
        "e/f",
        "a/b",
    ]
    assert alternatives("A/B; g = x ;as=Table") == (Media("a/b", {"g": "x", "as": "Table"}),)
    assert alternatives(" ") == (Media("*/*", {}),)


async def test_a_watch_has_tables_as_frames_and_says_the_columns_once(over_http: httpx.AsyncClient) -> None:
    await create(over_http, ROUTES, virtual_service("a"))
    params = {"watch": "true", "sendInitialEvents": "true", "allowWatchBookmarks": "true"}
    params |= {"resourceVersionMatch": "NotOlderThan", "resourceVersion": "0"}
    frames: list[Json] = []
    async with over_http.stream("GET", ROUTES, params=params, headers={"Accept": KUBECTL}) as stream:
        async for line in stream.aiter_lines():
            frames.append(json.loads(line))
            if len(frames) == 2:
                await create(over_http, ROUTES, virtual_service("b"))
            if any(f["type"] == "ADDED" and f["object"]["rows"][0]["cells"][0] == "b" for f in frames):
                break
    tables = [frame["object"] for frame in frames]
    assert all(each["kind"] == "Table" and len(each["rows"]) == 1 for each in tables)
    assert tables[0]["columnDefinitions"][0]["name"] == "Name"
    assert all(each["columnDefinitions"] == [] for each in tables[1:])
    assert (frames[0]["type"], tables[0]["rows"][0]["cells"][0]) == ("ADDED", "a")
    assert frames[1]["type"] == "BOOKMARK"
    metadata = tables[1]["rows"][0]["object"]["metadata"]
    assert metadata["annotations"] == {"k8s.io/initial-events-end": "true"}
    assert metadata["resourceVersion"] == tables[1]["metadata"]["resourceVersion"]


async def test_what_others_wrote_into_the_store_is_shown_as_far_as_it_goes(
    api: httpx.AsyncClient, store: Any
) -> None:
    from argosy.store.base import Key

    odd = b'{"spec":{"ports":7,"selector":[],"externalIPs":{}},"status":3,"metadata":{"name":"odd"}}'
    await store.create(Key("/services", "shop", "odd"), odd)
    (row,) = (await table(api, "/api/v1/namespaces/shop/services"))["rows"]
    assert row["cells"] == ["odd", "ClusterIP", "<none>", "<none>", "<none>", "<unknown>", "<none>"]
    assert row["object"]["metadata"]["name"] == "odd"


async def test_kinds_of_the_mesh_show_what_istio_shows_of_them_and_whether_they_run(
    api: httpx.AsyncClient, store: Any
) -> None:
    await create(api, ROUTES, virtual_service())
    found = await table(api, ROUTES)
    assert [column["name"] for column in found["columnDefinitions"]] == [
        "Name",
        "Gateways",
        "Hosts",
        "Programmed",
        "Age",
    ]
    assert found["rows"][0]["cells"] == ["reviews", None, '["reviews"]', None, "0s"]
    conditions = [{"type": "Accepted", "status": "True"}, {"type": "Programmed", "status": "False"}]
    current = (await api.get(REVIEWS)).json()
    status = await api.put(f"{REVIEWS}/status", json=current | {"status": {"conditions": conditions}})
    assert status.status_code == 200, status.text
    assert (await table(api, ROUTES))["rows"][0]["cells"][3] == "False"
