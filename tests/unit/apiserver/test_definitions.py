"""CustomResourceDefinitions as the API serves them."""

from __future__ import annotations

import json

import httpx

from argosy.resources.kinds import KINDS
from argosy.resources.validation import validate

PATH = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions"
OWN = sorted(f"{kind.plural}.{kind.group}" for kind in KINDS if not kind.builtin and not kind.virtual)


async def test_each_kind_of_the_mesh_has_an_established_definition(api: httpx.AsyncClient) -> None:
    listed = (await api.get(PATH)).json()
    assert listed["kind"] == "CustomResourceDefinitionList"
    assert [item["metadata"]["name"] for item in listed["items"]] == OWN
    for item in listed["items"]:
        conditions = {c["type"]: c["status"] for c in item["status"]["conditions"]}
        assert conditions == {"Established": "True", "NamesAccepted": "True"}
        assert item["status"]["storedVersions"] == [
            version["name"] for version in item["spec"]["versions"] if version["storage"]
        ]
        assert item["metadata"]["uid"]
        one = (await api.get(f"{PATH}/{item['metadata']['name']}")).json()
        assert one == item
        del one["metadata"]["resourceVersion"]
        verdict = validate(one)
        assert (verdict.errors, verdict.warnings) == ((), ())


async def test_a_definition_that_is_not_there_is_not_found(api: httpx.AsyncClient) -> None:
    assert (await api.get(f"{PATH}/secrets")).status_code == 404


async def test_they_are_selected_and_shown_like_other_objects(api: httpx.AsyncClient) -> None:
    name = "gateways.networking.istio.io"
    listed = (await api.get(PATH, params={"fieldSelector": f"metadata.name={name}"})).json()
    assert [item["metadata"]["name"] for item in listed["items"]] == [name]
    none = (await api.get(PATH, params={"labelSelector": "app.kubernetes.io/part-of=other"})).json()
    assert none["items"] == []
    accept = "application/json;as=Table;v=v1;g=meta.k8s.io"
    table = (await api.get(PATH, headers={"Accept": accept})).json()
    assert [column["name"] for column in table["columnDefinitions"]] == ["Name", "Created At"]
    assert [row["cells"] for row in table["rows"]] == [[name, "2026-03-04T05:06:07Z"] for name in OWN]


async def test_a_watch_begins_with_all_of_them_and_goes_on(over_http: httpx.AsyncClient) -> None:
    listed = (await over_http.get(PATH)).json()
    seen = []
    async with over_http.stream(
        "GET", PATH, params={"watch": "true", "allowWatchBookmarks": "true"}
    ) as stream:
        async for line in stream.aiter_lines():
            frame = json.loads(line)
            if frame["type"] == "BOOKMARK":
                break
            assert frame["type"] == "ADDED"
            seen.append(frame["object"])
    assert seen == listed["items"]
