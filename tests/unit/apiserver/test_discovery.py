"""Discovery agrees with the list of kinds, and every path it names answers."""

from __future__ import annotations

import httpx
import pytest

from argosy.apiserver.discovery import _rank, methods, versions
from argosy.resources import elsewhere
from argosy.resources.definitions import defined
from argosy.resources.kinds import KINDS, SERVED, Kind, kind_of


async def test_every_kind_is_discovered_in_every_version_and_answers(api: httpx.AsyncClient) -> None:
    groups = (await api.get("/apis")).json()["groups"]
    bases = [("", "v1", "/api/v1")]
    for group in groups:
        assert group == {
            key: value
            for key, value in (await api.get(f"/apis/{group['name']}")).json().items()
            if key not in ("kind", "apiVersion")
        }
        bases += [(group["name"], v["version"], f"/apis/{v['groupVersion']}") for v in group["versions"]]
        assert group["preferredVersion"] == group["versions"][0]
    found = set()
    for group, version, base in bases:
        document = (await api.get(base)).json()
        assert document["kind"] == "APIResourceList"
        assert document["groupVersion"] == (f"{group}/{version}" if group else version)
        for entry in document["resources"]:
            if "/" in entry["name"]:
                continue
            found.add((group, version, entry["kind"], entry["name"]))
            if "list" not in entry["verbs"]:
                continue
            listed = (await api.get(f"{base}/{entry['name']}")).json()
            assert listed["kind"] == f"{entry['kind']}List"
            assert listed["apiVersion"] == document["groupVersion"]
    assert found == {(k.group, v, k.kind, k.plural) for k in SERVED for v in k.versions}


async def test_a_resource_says_its_names_scope_verbs_and_status(api: httpx.AsyncClient) -> None:
    entries = {e["name"]: e for e in (await api.get("/apis/networking.istio.io/v1")).json()["resources"]}
    routes = entries["virtualservices"]
    assert (routes["singularName"], routes["shortNames"], routes["namespaced"]) == (
        "virtualservice",
        ["vs"],
        True,
    )
    writes = {"create", "delete", "deletecollection", "patch", "update"}
    assert set(routes["verbs"]) == {"get", "list", "watch"} | writes
    assert entries["virtualservices/status"]["kind"] == "VirtualService"
    core = {e["name"]: e for e in (await api.get("/api/v1")).json()["resources"]}
    assert core["namespaces"]["namespaced"] is False
    assert "configmaps/status" not in core


async def test_versions(api: httpx.AsyncClient) -> None:
    assert (await api.get("/api")).json()["versions"] == ["v1"]
    version = (await api.get("/version")).json()
    assert (version["major"], version["minor"]) == ("1", "33")
    assert "argosy" in version["gitVersion"]


async def test_what_is_not_served_is_not_found(api: httpx.AsyncClient) -> None:
    for path in ("/api/v2", "/apis/nothing", "/apis/networking.istio.io/v9", "/apis//v1", "/", "/openapi"):
        assert (await api.get(path)).status_code == 404, path


@pytest.mark.parametrize("version", ["v2", "v2beta1"])
async def test_the_aggregated_documents_say_the_same_as_the_old_ones(
    api: httpx.AsyncClient, version: str
) -> None:
    media = f"application/json;g=apidiscovery.k8s.io;v={version};as=APIGroupDiscoveryList"
    found, old = {}, {}
    for root in ("/api", "/apis"):
        answer = await api.get(root, headers={"Accept": f"{media},application/json"})
        assert answer.headers["content-type"] == media
        document = answer.json()
        assert (document["kind"], document["apiVersion"]) == (
            "APIGroupDiscoveryList",
            f"apidiscovery.k8s.io/{version}",
        )
        for group in document["items"]:
            for served in group["versions"]:
                assert served["freshness"] == "Current"
                for entry in served["resources"]:
                    kind = entry["responseKind"]
                    assert (kind["group"], kind["version"]) == (group["metadata"]["name"], served["version"])
                    found[kind["group"], kind["version"], entry["resource"]] = entry
    for group, version_, _ in found:
        base = f"/apis/{group}/{version_}" if group else f"/api/{version_}"
        for entry in (await api.get(base)).json()["resources"]:
            old[group, version_, entry["name"]] = entry
    assert {key for key in old if "/" not in key[2]} == set(found)
    for key, entry in found.items():
        told = old[key]
        assert entry["scope"] == ("Namespaced" if told["namespaced"] else "Cluster")
        assert entry["verbs"] == told["verbs"]
        assert entry["singularResource"] == told["singularName"]
        assert entry.get("shortNames") == told.get("shortNames")
        assert entry.get("categories") == told.get("categories")
        parts = [part["subresource"] for part in entry.get("subresources", ())]
        assert [f"{key[2]}/{part}" for part in parts] == [
            name
            for group, version_, name in old
            if (group, version_) == key[:2] and name.startswith(f"{key[2]}/")
        ]


async def test_old_clients_get_old_documents_and_unknown_forms_are_refused(api: httpx.AsyncClient) -> None:
    for accept in ("application/json", "*/*", ""):
        assert (await api.get("/apis", headers={"Accept": accept})).json()["kind"] == "APIGroupList"
    unknown = "application/json;g=apidiscovery.k8s.io;v=v9;as=APIGroupDiscoveryList"
    assert (await api.get("/apis", headers={"Accept": unknown})).status_code == 406
    assert (await api.get("/apis", headers={"Accept": f"{unknown},application/json"})).status_code == 200


def test_versions_stand_in_the_order_of_their_stability() -> None:
    assert versions("networking.istio.io") == ["v1", "v1beta1", "v1alpha3"]
    mixed = ["v1alpha1", "v2", "v1beta2", "v1", "v10", "v1beta1", "other"]
    assert sorted(mixed, key=_rank) == ["v10", "v2", "v1", "v1beta2", "v1beta1", "v1alpha1", "other"]


async def test_what_is_read_only_is_only_read(api: httpx.AsyncClient) -> None:
    base = "/apis/apiextensions.k8s.io/v1"
    (entry,) = (await api.get(base)).json()["resources"]
    assert entry["verbs"] == ["get", "list", "watch"]
    name = f"{base}/customresourcedefinitions/virtualservices.networking.istio.io"
    for method, path in (("POST", base + "/customresourcedefinitions"), ("PUT", name), ("DELETE", name)):
        refused = await api.request(method, path, json={})
        assert (refused.status_code, refused.headers["allow"]) == (405, "GET"), method
        assert "read-only" in refused.json()["message"]


@pytest.mark.parametrize("kind", elsewhere.KINDS, ids=lambda kind: kind.kind)
async def test_what_only_a_cluster_has_is_an_empty_list_and_a_write_says_why(
    api: httpx.AsyncClient, kind: Kind
) -> None:
    base = f"/apis/{kind.api_version}" if kind.group else "/api/v1"
    collection = f"{base}/namespaces/shop/{kind.plural}" if kind.namespaced else f"{base}/{kind.plural}"
    listed = (await api.get(collection)).json()
    assert (listed["kind"], listed["items"]) == (f"{kind.kind}List", [])
    assert listed["metadata"]["resourceVersion"]
    missing = await api.get(f"{collection}/a")
    assert (missing.status_code, missing.json()["kind"]) == (404, "Status")
    obj = {"apiVersion": kind.api_version, "kind": kind.kind, "metadata": {"name": "a"}}
    for method, path in (("POST", ""), ("DELETE", ""), ("PUT", "/a"), ("PATCH", "/a"), ("DELETE", "/a")):
        refused = await api.request(method, collection + path, json=obj)
        assert (refused.status_code, refused.headers["allow"]) == (405, "GET"), method
        assert elsewhere.REASON in refused.json()["message"]
    watched = await api.get(collection, params={"watch": "true", "timeoutSeconds": "1"})
    assert (watched.status_code, watched.text) == (200, "")


def test_what_only_a_cluster_has_is_no_kind_of_the_mesh() -> None:
    for kind in elsewhere.KINDS:
        assert kind not in KINDS
        assert kind.categories == ()
        assert kind_of(kind.api_version, kind.kind) is None  # so the collector takes no owner for gone
        assert kind not in defined()


@pytest.mark.parametrize("kind", SERVED, ids=lambda kind: kind.kind)
def test_methods_are_those_of_the_verbs(kind: Kind) -> None:
    collection, one = set(methods(kind, "collection")), set(methods(kind, "object"))
    if kind.read_only:
        assert (collection, one) == ({"GET"}, {"GET"})
    elif kind.virtual:
        assert (collection, one) == ({"POST"}, set())
    else:
        assert collection == {"GET", "POST", "DELETE"}
        assert one == {"GET", "PUT", "PATCH", "DELETE"}
    assert methods(kind, "status") == ("GET", "PUT", "PATCH")
