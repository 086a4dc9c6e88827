"""Whatever a client sends, the answer is JSON with a code below 500, and a refusal is a Status."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any
from urllib.parse import quote

import httpx
import msgspec
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from argosy.apiserver.app import create_app
from argosy.apiserver.auth import User
from argosy.resources.kinds import SERVED
from argosy.store.base import Key
from argosy.store.memory import MemoryStore
from tests.unit.apiserver.conftest import virtual_service

ANY = settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.too_slow])
METHODS = st.sampled_from(["GET", "POST", "PUT", "PATCH", "DELETE", "HEAD", "OPTIONS", "TRACE", "BREW"])
TYPES = st.sampled_from(
    [
        "",
        "application/json",
        "application/yaml",
        "application/merge-patch+json",
        "application/json-patch+json",
        "application/strategic-merge-patch+json",
        "application/apply-patch+yaml",
        "application/vnd.kubernetes.protobuf",
        "text/plain",
        ";",
        "application/json; charset=x",
    ]
)
WORDS = st.one_of(
    st.sampled_from(
        ["api", "apis", "v1", "v1beta1", "namespaces", "shop", "default", "status", "reviews", "networking.istio.io",
         "virtualservices", "services", "workloadentries", "version", "%2e%2e", "%00", "..", ""]
    ),
    st.text(max_size=8),
)  # fmt: skip
PATHS = st.one_of(
    st.lists(WORDS, max_size=7),
    st.sampled_from(SERVED).map(lambda kind: [*_base(kind.group, kind.versions[-1]), kind.plural]),
    st.sampled_from(SERVED).map(
        lambda kind: [*_base(kind.group, kind.versions[0]), "namespaces", "shop", kind.plural, "reviews"]
    ),
)
PARAMETERS = st.dictionaries(
    st.sampled_from(
        ["labelSelector", "fieldSelector", "resourceVersion", "resourceVersionMatch", "limit", "continue", "dryRun",
         "fieldValidation", "timeoutSeconds", "allowWatchBookmarks", "sendInitialEvents", "pretty", "fieldManager",
         "force", "propagationPolicy", "gracePeriodSeconds", "orphanDependents", "includeObject"]
    ),
    st.one_of(
        st.text(max_size=20),
        st.sampled_from(
            ["1", "0", "true", "a=b", "metadata.name=a", "All", "Strict", "Warn", "Ignore", "Exact", "NotOlderThan",
             "WzEsIiIsIiJd", "Orphan", "Foreground", "Background", "type=a", "ann"]
        ),
    ),
    max_size=3,
)  # fmt: skip
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=12),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4),
    max_leaves=12,
)
BODIES = st.one_of(st.binary(max_size=200), JSON.map(lambda value: json.dumps(value).encode()))


def _base(group: str, version: str) -> list[str]:
    return ["apis", group, version] if group else ["api", version]


async def filled() -> MemoryStore:
    store = MemoryStore()
    for name in ("default", "shop"):
        body = msgspec.json.encode({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}})
        await store.create(Key("/namespaces", "", name), body)
    await store.create(
        Key("networking.istio.io/virtualservices", "shop", "reviews"), msgspec.json.encode(virtual_service())
    )
    service = {
        "metadata": {"name": "reviews"},
        "spec": {"ports": [{"port": 80}]},
        "kind": "Service",
        "apiVersion": "v1",
    }
    await store.create(Key("/services", "shop", "reviews"), msgspec.json.encode(service))
    return store


async def call(method: str, path: str, **request: Any) -> httpx.Response:
    app = create_app(await filled(), authenticate=lambda _: User("ada"))
    transport = httpx.ASGITransport(app)
    async with httpx.AsyncClient(transport=transport, base_url="http://api") as client:
        return await client.request(method, path, **request)


def check(response: httpx.Response) -> None:
    assert response.status_code < 500, response.text
    if response.content and response.request.method != "HEAD":
        answer = msgspec.json.decode(response.content)
        if response.status_code >= 400:
            assert (answer["kind"], answer["status"]) == ("Status", "Failure")
            assert answer["code"] == response.status_code
            assert answer["message"]
            assert answer["reason"]


@ANY
@given(METHODS, PATHS, PARAMETERS, TYPES, BODIES)
async def test_any_request_gets_an_answer(
    method: str, path: list[str], parameters: dict[str, str], kind: str, body: bytes
) -> None:
    await any_request(method, path, parameters, kind, body)


async def any_request(
    method: str, path: list[str], parameters: dict[str, str], kind: str, body: bytes
) -> None:
    headers = {"Content-Type": kind} if kind else {}
    quoted = "/" + "/".join(quote(part, safe="%") for part in path)
    if quoted in ("/healthz", "/livez", "/readyz"):
        return  # they answer in plain text
    check(await call(method, f"http://api{quoted}", params=parameters, content=body, headers=headers))


@st.composite
def damaged(draw: Callable[[st.SearchStrategy[Any]], Any]) -> Any:
    """A valid object with one value replaced by another of any type, or one key added."""
    obj: Any = virtual_service()
    at = obj
    while True:
        keys = list(at) if isinstance(at, dict) else list(range(len(at)))
        key = draw(st.sampled_from(keys)) if keys else None
        if key is None or not isinstance(at[key], (dict, list)) or not at[key] or draw(st.booleans()):
            break
        at = at[key]
    value = draw(JSON.filter(_finite))
    if key is None or (isinstance(at, dict) and draw(st.booleans())):
        key = draw(st.text(max_size=8))
    if isinstance(at, list):
        at.append(value)
    else:
        at[key] = value
    return obj


FIELDS: st.SearchStrategy[Any] = st.recursive(
    st.just({}) | JSON,
    lambda inner: st.dictionaries(
        st.sampled_from(
            [".", "f:spec", "f:metadata", "f:hosts", "f:http", "f:labels", "f:finalizers", 'v:"a/b"', 'k:{"uid":"x"}',
             "i:0", "v:", "k:{", "x"]
        ),
        inner,
        max_size=3,
    ),
    max_leaves=8,
)  # fmt: skip
ENTRIES = st.one_of(
    JSON,
    st.lists(
        st.fixed_dictionaries(
            {
                "manager": st.sampled_from(["ann", "kubectl", ""]),
                "operation": st.sampled_from(["Apply", "Update", "Sing"]),
                "apiVersion": st.sampled_from(["networking.istio.io/v1", ""]),
                "fieldsType": st.sampled_from(["FieldsV1", "", "x"]),
                "fieldsV1": FIELDS,
            },
            optional={"time": st.text(max_size=5), "subresource": st.sampled_from(["", "status"])},
        ),
        max_size=3,
    ),
)
METADATA = st.fixed_dictionaries(
    {"name": st.just("reviews"), "namespace": st.just("shop")},
    optional={
        "managedFields": ENTRIES,
        "labels": st.dictionaries(st.sampled_from("ab"), st.sampled_from("xy")) | JSON,
        "annotations": st.dictionaries(
            st.sampled_from(["a", "kubectl.kubernetes.io/last-applied-configuration"]),
            st.sampled_from(["x", "{}", '{"spec":{"hosts":["reviews"]}}', '{"metadata":5}', "[" * 2000]),
        )
        | JSON,
        "finalizers": st.lists(st.sampled_from(["a/b", "orphan", "foregroundDeletion"])) | JSON,
        "ownerReferences": st.lists(
            st.fixed_dictionaries({"uid": st.sampled_from(["x", 5]), "name": st.just("a")}), max_size=2
        )
        | JSON,
        "resourceVersion": st.sampled_from(["", "0", "3", "x"]) | JSON,
        "uid": JSON,
        "generation": JSON,
        "deletionTimestamp": JSON,
    },
)
WRITES = st.sampled_from(["POST", "PUT", "APPLY", "FORCE", "MERGE", "STATUS", "DELETE"])


@settings(parent=ANY, max_examples=60)
@given(st.lists(st.tuples(WRITES, METADATA), min_size=1, max_size=4))
async def test_any_metadata_in_any_order_of_writes_gets_an_answer(writes: list[tuple[str, Any]]) -> None:
    """What one write leaves behind, the next has to live with: managers, finalizers, owners, marks."""
    collection = "/apis/networking.istio.io/v1/namespaces/shop/virtualservices"
    app = create_app(await filled(), authenticate=lambda _: User("ada"))
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://api") as client:
        for how, metadata in writes:
            obj = virtual_service() | {"metadata": metadata}
            path = (
                collection
                if how == "POST"
                else f"{collection}/reviews" + ("/status" if how == "STATUS" else "")
            )
            kind = {
                "APPLY": "application/apply-patch+yaml",
                "FORCE": "application/apply-patch+yaml",
                "MERGE": "application/merge-patch+json",
            }.get(how, "application/json")
            method = {"APPLY": "PATCH", "FORCE": "PATCH", "MERGE": "PATCH", "STATUS": "PUT"}.get(how, how)
            params = {"fieldManager": "kubectl"} | ({"force": "1"} if how == "FORCE" else {})
            body = b"" if how == "DELETE" else json.dumps(obj).encode("utf-8", "surrogatepass")
            check(
                await client.request(
                    method, path, content=body, params=params, headers={"Content-Type": kind}
                )
            )
            check(await client.get(f"{collection}/reviews"))
            check(await client.get(collection, params={"labelSelector": "a=x", "limit": "1"}))


def _finite(value: Any) -> bool:
    try:
        json.dumps(value, allow_nan=False)
    except ValueError:
        return False
    return True


@ANY
@given(st.sampled_from(["POST", "PUT", "PATCH", "STATUS", "APPLY"]), damaged())
async def test_any_object_is_taken_and_comes_back_or_is_refused(method: str, obj: Any) -> None:
    await any_object(method, obj)


async def any_object(method: str, obj: Any) -> None:
    collection = "/apis/networking.istio.io/v1/namespaces/shop/virtualservices"
    kinds = {"PATCH": "application/merge-patch+json", "APPLY": "application/apply-patch+yaml"}
    kind = kinds.get(method, "application/json")
    path = {"POST": collection, "STATUS": f"{collection}/reviews/status"}.get(method, f"{collection}/reviews")
    response = await call(
        {"STATUS": "PUT", "APPLY": "PATCH"}.get(method, method),
        path,
        params={"fieldManager": "ann"},
        content=json.dumps(obj).encode("utf-8", "surrogatepass"),
        headers={"Content-Type": kind},
    )
    check(response)
    if method == "PUT" and response.status_code == 200:
        assert response.json().get("spec") == obj.get("spec")


JSON_PATCHES = st.lists(
    st.fixed_dictionaries(
        {
            "op": st.sampled_from(["add", "remove", "replace", "move", "copy", "test"]),
            "path": st.sampled_from(
                ["", "/spec", "/spec/hosts/-", "/spec/http/0", "/metadata", "/metadata/name", "/metadata/managedFields",
                 "/metadata/labels", "/kind", "/status", "/metadata/resourceVersion", "/a~1b"]
            ),
        },
        optional={"value": JSON, "from": st.sampled_from(["", "/spec", "/metadata", "/spec/hosts/0"])},
    ),
    max_size=4,
)  # fmt: skip


@ANY
@given(
    st.sampled_from(["application/json-patch+json", "application/strategic-merge-patch+json"]),
    st.sampled_from(["virtualservices", "services"]),
    st.one_of(JSON_PATCHES, JSON),
)
async def test_any_patch_gets_an_answer(kind: str, plural: str, patch: Any) -> None:
    api = "/api/v1" if plural == "services" else "/apis/networking.istio.io/v1"
    body = json.dumps(patch).encode("utf-8", "surrogatepass")
    headers = {"Content-Type": kind}
    check(await call("PATCH", f"{api}/namespaces/shop/{plural}/reviews", content=body, headers=headers))
