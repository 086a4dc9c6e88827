"""Discovery agrees with the list of kinds, and every path it names answers."""

from __future__ import annotations

import httpx

from argosy.resources.kinds import KINDS


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
            listed = (await api.get(f"{base}/{entry['name']}")).json()
            assert listed["kind"] == f"{entry['kind']}List"
            assert listed["apiVersion"] == document["groupVersion"]
    assert found == {(k.group, v, k.kind, k.plural) for k in KINDS for v in k.versions}


async def test_a_resource_says_its_names_scope_verbs_and_status(api: httpx.AsyncClient) -> None:
    entries = {e["name"]: e for e in (await api.get("/apis/networking.istio.io/v1")).json()["resources"]}
    routes = entries["virtualservices"]
    assert (routes["singularName"], routes["shortNames"], routes["namespaced"]) == (
        "virtualservice",
        ["vs"],
        True,
    )
    assert set(routes["verbs"]) == {"create", "delete", "get", "list", "patch", "update", "watch"}
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
