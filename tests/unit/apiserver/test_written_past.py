"""What somebody wrote past the API straight into the store: it is listed, shown, watched, replaced and deleted.

Nothing that stands there is a reason for a 5xx, and one bad object hides no other.
"""

from __future__ import annotations

import json
from typing import Any

import httpx
import msgspec
import pytest

from argosy.store.base import Key, Store
from tests.unit.apiserver.conftest import ALL_ROUTES, REVIEWS, ROUTES, virtual_service
from tests.unit.apiserver.test_apply import APPLY
from tests.unit.apiserver.test_objects import MERGE
from tests.unit.apiserver.test_table import TABLE

Json = dict[str, Any]
KEY = Key("networking.istio.io/virtualservices", "shop", "reviews")
METADATA = "application/json;as=PartialObjectMetadata;v=v1;g=meta.k8s.io"
METADATA_LIST = "application/json;as=PartialObjectMetadataList;v=v1;g=meta.k8s.io"
HEAD = b'{"apiVersion":"networking.istio.io/v1","kind":"VirtualService","metadata":{'


def told(**metadata: Any) -> bytes:
    return msgspec.json.encode(virtual_service(**metadata))


BODIES: dict[str, bytes] = {
    "nothing": b"",
    "no JSON": b"not json",
    "an object cut short": HEAD + b'"name":"reviews","namespace":"shop"},"spec":{"hosts":["a"',
    "metadata cut short": HEAD + b'"name":"revi',
    "no UTF-8": HEAD + b'"name":"reviews","labels":{"a":"\xff\xfe"}}}',
    "a lone surrogate": HEAD + rb'"name":"reviews","annotations":{"a":"\ud800"}}}',
    "NaN": HEAD + b'"name":"reviews"},"spec":{"hosts":NaN}}',
    "a huge number": HEAD + b'"name":"reviews"},"spec":{"hosts":%b}}' % (b"9" * 400),
    "nested without end": HEAD + b'"name":"reviews"},"spec":' + b'{"a":' * 5000 + b"1" + b"}" * 5001,
    "a list": b"[]",
    "null": b"null",
    "a text": b'"reviews"',
    "an empty object": b"{}",
    "null metadata": b'{"metadata":null}',
    "metadata that are a list": b'{"metadata":[]}',
    "metadata that are a number": HEAD[:-1] + b"7}",
    "no name": HEAD + b'"uid":"u"},"spec":{"hosts":["a"]}}',
    "another name": HEAD + b'"name":"other","namespace":"elsewhere"},"spec":{}}',
    "another kind": b'{"apiVersion":"v1","kind":"Secret","metadata":{"name":"reviews"},"data":{}}',
    "a kind that is no text": b'{"apiVersion":7,"kind":[],"metadata":{"name":"reviews"}}',
    "a revision of its own": told(resourceVersion="99999"),
    "no identity": told(),
    "labels that are a list": told(labels=["a"]),
    "labels that are a text": told(labels="a"),
    "labels that are no texts": told(labels={"app": {"a": 1}, "b": 7, "c": None}),
    "annotations that are a list": told(annotations=[1]),
    "a generation that is a text": told(generation="one", uid="u"),
    "a huge generation": told(generation=2**63 - 1, uid="u"),
    "a uid that is a list": told(uid=["u"]),
    "finalizers that are a text": told(finalizers="a"),
    "finalizers that are no texts": told(finalizers=[1, {"a": 2}, None]),
    "owners that are a text": told(ownerReferences="a"),
    "owners that are no references": told(uid="u", ownerReferences=[1, {}, {"uid": 7, "kind": [], "apiVersion": 0}]),
    "managed fields that are a text": told(managedFields="a"),
    "managed fields that are none": told(managedFields=[1, {"manager": 2}]),
    "a deletion that is a number": told(deletionTimestamp=7, uid="u"),
    "a creation that is no time": told(creationTimestamp="yesterday"),
    "a spec that is a number": HEAD + b'"name":"reviews"},"spec":3,"status":4}',
    "a status that is a list": HEAD + b'"name":"reviews"},"spec":{"hosts":["a"]},"status":["x"]}',
    "a spec that the schema refuses": HEAD + b'"name":"reviews"},"spec":{"hosts":7,"unknown":[1]}}',
}  # fmt: skip


async def put_past(store: Store, body: bytes) -> None:
    await store.create(KEY, body)
    other = msgspec.json.encode(virtual_service("whole"))
    await store.create(Key(KEY.resource, "shop", "whole"), other)


def unbroken(response: httpx.Response) -> Any:
    """The answer as clients in other languages read it: strictly JSON, each field once."""

    def unique(pairs: list[tuple[str, Any]]) -> Json:
        assert len(dict(pairs)) == len(pairs), "a field is there twice"
        return dict(pairs)

    assert response.status_code < 500, response.text
    return json.loads(response.content.decode("utf-8"), object_pairs_hook=unique)


by_body = pytest.mark.parametrize("body", BODIES.values(), ids=BODIES.keys())


@by_body
async def test_it_is_shown_by_its_name_in_every_form(
    api: httpx.AsyncClient, store: Store, body: bytes
) -> None:
    await put_past(store, body)
    revision = str((await store.list(KEY.resource)).items[0].revision)
    for accept in ("application/json", METADATA):
        obj = unbroken(await api.get(REVIEWS, headers={"Accept": accept}))
        metadata = obj["metadata"]
        assert (metadata["name"], metadata["namespace"]) == ("reviews", "shop")
        assert metadata["resourceVersion"] == revision
        if accept == "application/json":
            assert (obj["apiVersion"], obj["kind"]) == ("networking.istio.io/v1", "VirtualService")
    for url in (ROUTES, ALL_ROUTES):
        for accept in ("application/json", METADATA_LIST):
            listed = unbroken(await api.get(url, headers={"Accept": accept}))
            assert [each["metadata"]["name"] for each in listed["items"]] == ["reviews", "whole"]
        for include in ("None", "Metadata", "Object"):
            headers = {"Accept": TABLE}
            table = unbroken(await api.get(url, headers=headers, params={"includeObject": include}))
            assert [row["cells"][0] for row in table["rows"]] == ["reviews", "whole"]


@by_body
async def test_selectors_pass_over_it(api: httpx.AsyncClient, store: Store, body: bytes) -> None:
    await put_past(store, body)
    for selector in ("app=a", "!nothing", "app in (a,b)", "b=7", "app!=a"):
        listed = unbroken(await api.get(ROUTES, params={"labelSelector": selector}))
        assert {each["metadata"]["name"] for each in listed["items"]} <= {"reviews", "whole"}
    named = unbroken(await api.get(ROUTES, params={"fieldSelector": "metadata.name=reviews"}))
    assert [each["metadata"]["name"] for each in named["items"]] == ["reviews"]


@pytest.mark.parametrize("accept", ["application/json", METADATA, TABLE])
@pytest.mark.parametrize("selector", ["", "app=a", "!nothing"])
async def test_it_is_watched(api: httpx.AsyncClient, store: Store, selector: str, accept: str) -> None:
    before = await store.revision()
    for number, body in enumerate(BODIES.values()):
        key = Key(KEY.resource, "shop", f"past-{number}")
        await store.create(key, body)
        await store.update(key, b"[]" if body != b"[]" else b"{}")
        await store.update(key, body)
        await store.delete(key)
    last = await store.create(KEY, told(labels={"app": "a"}))
    params = {"watch": "1", "resourceVersion": str(before), "timeoutSeconds": "1", "labelSelector": selector}
    answer = await api.get(ROUTES, params=params, headers={"Accept": accept})
    frames = [json.loads(line) for line in answer.content.decode().splitlines()]
    types = [frame["type"] for frame in frames]
    assert types[-1] == "ADDED", "it comes to the end"
    assert f'"resourceVersion":"{last.revision}"' in answer.text.splitlines()[-1]
    if not selector:
        assert types == ["ADDED", "MODIFIED", "MODIFIED", "DELETED"] * len(BODIES) + ["ADDED"]


@by_body
async def test_it_is_replaced_and_has_an_identity_then(
    api: httpx.AsyncClient, store: Store, body: bytes
) -> None:
    await put_past(store, body)
    shown = unbroken(await api.get(REVIEWS))
    revision = shown["metadata"]["resourceVersion"]
    answer = await api.put(REVIEWS, json=virtual_service(resourceVersion=revision))
    replaced = unbroken(answer)
    assert answer.status_code == 200, replaced
    assert replaced["spec"] == virtual_service()["spec"]
    assert isinstance(replaced["metadata"]["uid"], str)
    assert replaced["metadata"]["uid"]
    assert replaced["metadata"]["creationTimestamp"]
    assert isinstance(replaced["metadata"]["generation"], int)
    assert unbroken(await api.get(REVIEWS)) == replaced


NAMED = [{"op": "test", "path": "/metadata/name", "value": "reviews"}]
LABELLED = {"metadata": {"labels": {"a": "b"}, "finalizers": ["a.b/c"]}}
PATCHES: list[tuple[str, Any, Json]] = [
    ("merge", LABELLED, MERGE),
    ("JSON", NAMED, {"Content-Type": "application/json-patch+json"}),
    ("strategic", LABELLED, {"Content-Type": "application/strategic-merge-patch+json"}),
    ("apply", virtual_service() | LABELLED, APPLY),
]


@by_body
@pytest.mark.parametrize(("patch", "headers"), [p[1:] for p in PATCHES], ids=[p[0] for p in PATCHES])
async def test_it_is_patched_or_the_patch_is_refused(
    api: httpx.AsyncClient, store: Store, body: bytes, patch: Any, headers: Json
) -> None:
    await put_past(store, body)
    for params in ({"dryRun": "All"}, {}):
        for path in (f"{REVIEWS}/status", REVIEWS):
            content = msgspec.json.encode(patch)
            manager = {"fieldManager": "ann", "force": "true"} if headers is APPLY else {}
            answer = await api.patch(path, content=content, headers=headers, params=params | manager)
            unbroken(answer)
            assert answer.status_code in (200, 400, 409, 415, 422), answer.text
    unbroken(await api.get(REVIEWS))


@by_body
@pytest.mark.parametrize("policy", ["Background", "Foreground", "Orphan"])
async def test_it_is_deleted(api: httpx.AsyncClient, store: Store, body: bytes, policy: str) -> None:
    await put_past(store, body)
    dry = {"propagationPolicy": policy, "dryRun": ["All"]}
    unbroken(await api.request("DELETE", REVIEWS, json=dry))
    unbroken(await api.request("DELETE", REVIEWS, json={"propagationPolicy": policy}))
    if policy == "Background" and await store.get(KEY) is not None:
        merge = {"metadata": {"finalizers": None}}
        taken = await api.patch(REVIEWS, json=merge, headers=MERGE)
        if taken.status_code == 422:  # its own contents are refused: replace it
            taken = await api.put(REVIEWS, json=virtual_service())
        assert taken.status_code == 200, taken.text
    assert policy != "Background" or await store.get(KEY) is None


@by_body
async def test_a_namespace_of_that_form_is_one_like_any_other(
    api: httpx.AsyncClient, store: Store, body: bytes
) -> None:
    key = Key("/namespaces", "", "broken")
    await store.create(key, body)
    path = "/api/v1/namespaces/broken"
    assert unbroken(await api.get(path))["metadata"]["name"] == "broken"
    inside = virtual_service(namespace="broken", finalizers=["a.test/one"])
    unbroken(await api.post(ROUTES.replace("shop", "broken"), json=inside))
    for _ in range(2):
        unbroken(await api.delete(path))
        unbroken(await api.get(path))
    unbroken(
        await api.put(path, json={"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "broken"}})
    )


@pytest.mark.parametrize("value", [7, "a", ["a"], [{"type": 7}], {"a": 1}, None])
async def test_a_namespace_ends_whatever_stands_in_its_spec_and_status(
    api: httpx.AsyncClient, store: Store, value: Any
) -> None:
    for field in ("finalizers", "conditions"):
        body = {"metadata": {"name": "odd"}, "spec": {field: value}, "status": {field: value}}
        inside = await store.create(Key(KEY.resource, "odd", "a"), told(finalizers=["a.test/one"]))
        await store.create(Key("/namespaces", "", "odd"), msgspec.json.encode(body))
        unbroken(await api.delete("/api/v1/namespaces/odd"))
        unbroken(await api.get("/api/v1/namespaces/odd"))
        await store.delete(inside.key)
        unbroken(await api.delete("/api/v1/namespaces/odd"))
        if (left := await store.get(Key("/namespaces", "", "odd"))) is not None:
            assert isinstance(value, list), "who has a finalizer of its own is waited for"
            await store.delete(left.key)


@by_body
async def test_its_namespace_goes_with_it(api: httpx.AsyncClient, store: Store, body: bytes) -> None:
    await put_past(store, body)
    answer = await api.delete("/api/v1/namespaces/shop")
    assert answer.status_code == 200
    shown = unbroken(await api.get("/api/v1/namespaces/shop"))
    if await store.get(KEY) is not None:
        assert shown["status"]["phase"] == "Terminating"
    answer = await api.delete(ROUTES)
    unbroken(answer)
