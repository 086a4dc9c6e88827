"""The OpenAPI documents: what clients look for in them, that they hold together, and how they are kept."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from typing import Any

import httpx
import pytest

from argosy.apiserver import openapi
from argosy.resources.kinds import SERVED

Json = dict[str, Any]
ROUTE = "io.istio.networking.v1.VirtualService"
OBJECT = "/apis/networking.istio.io/v1/namespaces/{namespace}/virtualservices/{name}"


async def document(api: httpx.AsyncClient, name: str) -> Json:
    answer = await api.get(f"/openapi/v3/{name}")
    assert answer.status_code == 200
    found: Json = answer.json()
    return found


def references(value: Any) -> Iterator[str]:
    if isinstance(value, dict):
        for key, inner in value.items():
            if key == "$ref" and isinstance(inner, str):
                yield inner
            else:
                yield from references(inner)
    elif isinstance(value, list):
        for inner in value:
            yield from references(inner)


def operations(found: Json) -> Iterator[tuple[str, str, Json]]:
    for path, item in found["paths"].items():
        for method, operation in item.items():
            if method != "parameters":
                yield path, method, operation


async def test_the_index_names_each_group_and_version_with_its_hash(api: httpx.AsyncClient) -> None:
    index = (await api.get("/openapi/v3")).json()["paths"]
    wanted = {f"apis/{v}" if "/" in v else f"api/{v}" for kind in SERVED for v in kind.api_versions}
    assert set(index) == wanted
    for name, entry in index.items():
        answer = await api.get(entry["serverRelativeURL"])
        assert answer.status_code == 200
        assert "immutable" in answer.headers["cache-control"]
        assert f"hash={answer.headers['etag'].strip(chr(34))}" in entry["serverRelativeURL"]
        assert entry["serverRelativeURL"].startswith(f"/openapi/v3/{name}?")


async def test_a_client_that_has_a_document_is_not_given_it_again(api: httpx.AsyncClient) -> None:
    for path in ("/openapi/v3", "/openapi/v3/api/v1", "/openapi/v2", "/apis", "/api/v1"):
        first = await api.get(path)
        assert "no-cache" in first.headers["cache-control"], path
        again = await api.get(path, headers={"If-None-Match": f'"other", {first.headers["etag"]}'})
        assert (again.status_code, again.content) == (304, b""), path
        changed = await api.get(path, headers={"If-None-Match": '"other"'})
        assert changed.content == first.content


async def test_an_old_hash_leads_to_the_new_one(api: httpx.AsyncClient) -> None:
    answer = await api.get("/openapi/v3/api/v1?hash=OLD")
    assert answer.status_code == 301
    assert answer.headers["location"] == openapi.url_of("api/v1")


@pytest.mark.parametrize("name", list(openapi.names()))
async def test_a_document_holds_together(api: httpx.AsyncClient, name: str) -> None:
    found = await document(api, name)
    schemas = found["components"]["schemas"]
    for reference in set(references(found)):
        assert reference.removeprefix("#/components/schemas/") in schemas
    names = Counter(operation["operationId"] for _, _, operation in operations(found))
    assert [name for name, count in names.items() if count > 1] == []
    for path, _, operation in operations(found):
        named = {
            p["name"] for p in (*operation.get("parameters", ()), *found["paths"][path].get("parameters", ()))
        }
        assert {part[1:-1] for part in path.split("/") if part.startswith("{")} <= named


@pytest.mark.parametrize("name", list(openapi.names()))
async def test_every_path_with_a_get_is_served(api: httpx.AsyncClient, name: str) -> None:
    found = await document(api, name)
    for path, method, operation in operations(found):
        if method == "get" and "{name}" not in path:
            answer = await api.get(path.replace("{namespace}", "shop"))
            assert answer.status_code == 200, path
            (schema,) = {
                content["schema"]["$ref"] for content in operation["responses"]["200"]["content"].values()
            }
            assert schema.rpartition(".")[2] == answer.json()["kind"]


async def test_every_kind_has_its_schema_by_group_version_and_kind(api: httpx.AsyncClient) -> None:
    for name, (group, version) in openapi.names().items():
        schemas = (await document(api, name))["components"]["schemas"]
        said = {
            (each["group"], each["version"], each["kind"]): schema
            for schema in schemas.values()
            for each in schema.get("x-kubernetes-group-version-kind", ())
        }
        for kind in SERVED:
            if kind.group == group and version in kind.versions:
                schema = said[group, version, kind.kind]
                assert {"apiVersion", "kind", "metadata"} <= set(schema["properties"])
                assert said[group, version, f"{kind.kind}List"]["properties"]["items"]["type"] == "array"


async def test_writes_declare_what_kubectl_looks_for(api: httpx.AsyncClient) -> None:
    found = await document(api, "apis/networking.istio.io/v1")
    patch = found["paths"][OBJECT]["patch"]
    assert patch["x-kubernetes-group-version-kind"] == {
        "group": "networking.istio.io",
        "version": "v1",
        "kind": "VirtualService",
    }
    assert patch["x-kubernetes-action"] == "patch"
    assert {"dryRun", "fieldManager", "fieldValidation", "force"} <= {p["name"] for p in patch["parameters"]}
    assert {
        "application/apply-patch+yaml",
        "application/merge-patch+json",
        "application/json-patch+json",
    } == set(patch["requestBody"]["content"])
    assert f"{OBJECT}/status" in found["paths"]
    core = await document(api, "api/v1")
    core_patch = core["paths"]["/api/v1/namespaces/{namespace}/configmaps/{name}"]["patch"]
    assert "application/strategic-merge-patch+json" in core_patch["requestBody"]["content"]
    collection = found["paths"][OBJECT.removesuffix("/{name}")]
    assert set(collection) == {"parameters", "get", "post", "delete"}
    assert collection["delete"]["x-kubernetes-action"] == "deletecollection"


async def test_what_is_read_only_has_no_writes(api: httpx.AsyncClient) -> None:
    found = await document(api, "apis/apiextensions.k8s.io/v1")
    assert {method for _, method, _ in operations(found)} == {"get"}


async def test_lists_of_builtin_kinds_say_how_a_strategic_merge_treats_them(api: httpx.AsyncClient) -> None:
    schemas = (await document(api, "apis/apiextensions.k8s.io/v1"))["components"]["schemas"]
    spec = next(s for name, s in schemas.items() if name.endswith("CustomResourceDefinitionSpec"))
    versions = spec["properties"]["versions"]
    assert (versions["x-kubernetes-patch-merge-key"], versions["x-kubernetes-patch-strategy"]) == (
        "name",
        "merge",
    )
    assert versions["x-kubernetes-list-map-keys"] == ["name"]


async def test_v2_is_one_document_that_holds_together(api: httpx.AsyncClient) -> None:
    found = (await api.get("/openapi/v2")).json()
    assert found["swagger"] == "2.0"
    for reference in set(references(found)):
        assert reference.removeprefix("#/definitions/") in found["definitions"]
    patch = found["paths"][OBJECT]["patch"]
    (body,) = [parameter for parameter in patch["parameters"] if parameter["in"] == "body"]
    assert body["schema"]["$ref"].endswith(".Patch")
    assert "application/merge-patch+json" in patch["consumes"]
    assert {"name": "dryRun", "in": "query"}.items() <= patch["parameters"][0].items()
    metadata = found["definitions"][ROUTE]["properties"]["metadata"]
    assert metadata["$ref"] == "#/definitions/io.k8s.apimachinery.pkg.apis.meta.v1.ObjectMeta"
    assert metadata["description"]
    either = found["definitions"]["io.k8s.api.core.v1.ServicePort"]["properties"]["targetPort"]
    assert (either["type"], either["format"]) == ("string", "int-or-string")
    groups = found["definitions"]["io.k8s.apimachinery.pkg.apis.meta.v1.DeleteOptions"]
    said = {each["group"] for each in groups["x-kubernetes-group-version-kind"]}
    assert said == {kind.group for kind in SERVED}
    assert "anyOf" not in str(found)


async def test_forms_and_methods_that_are_not_served_are_refused(api: httpx.AsyncClient) -> None:
    protobuf = "application/com.github.proto-openapi.spec.v3@v1.0+protobuf"
    for path in ("/openapi/v3", "/openapi/v3/api/v1"):
        assert (await api.get(path, headers={"Accept": protobuf})).status_code == 406
        assert (await api.get(path, headers={"Accept": f"{protobuf}, application/json"})).status_code == 200
        assert (await api.post(path)).status_code == 405
    for path in ("/openapi", "/openapi/v4", "/openapi/v3/api/v9", "/openapi/v3/apis"):
        assert (await api.get(path)).status_code == 404, path
