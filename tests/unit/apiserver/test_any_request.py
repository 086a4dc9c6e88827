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
from argosy.resources.kinds import KINDS
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
    st.sampled_from(KINDS).map(lambda kind: [*_base(kind.group, kind.versions[-1]), kind.plural]),
    st.sampled_from(KINDS).map(
        lambda kind: [*_base(kind.group, kind.versions[0]), "namespaces", "shop", kind.plural, "reviews"]
    ),
)
PARAMETERS = st.dictionaries(
    st.sampled_from(
        ["labelSelector", "fieldSelector", "resourceVersion", "resourceVersionMatch", "limit", "continue", "dryRun",
         "fieldValidation", "timeoutSeconds", "allowWatchBookmarks", "sendInitialEvents", "pretty"]
    ),
    st.one_of(st.text(max_size=20), st.sampled_from(["1", "0", "true", "a=b", "metadata.name=a", "All", "Strict"])),
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


async def call(method: str, path: str, **request: Any) -> httpx.Response:
    store = MemoryStore()
    for name in ("default", "shop"):
        body = msgspec.json.encode({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}})
        await store.create(Key("/namespaces", "", name), body)
    await store.create(
        Key("networking.istio.io/virtualservices", "shop", "reviews"), msgspec.json.encode(virtual_service())
    )
    app = create_app(store, authenticate=lambda _: User("ada"))
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


def _finite(value: Any) -> bool:
    try:
        json.dumps(value, allow_nan=False)
    except ValueError:
        return False
    return True


@ANY
@given(st.sampled_from(["POST", "PUT", "PATCH", "STATUS"]), damaged())
async def test_any_object_is_taken_and_comes_back_or_is_refused(method: str, obj: Any) -> None:
    await any_object(method, obj)


async def any_object(method: str, obj: Any) -> None:
    collection = "/apis/networking.istio.io/v1/namespaces/shop/virtualservices"
    kind = "application/merge-patch+json" if method == "PATCH" else "application/json"
    path = {"POST": collection, "STATUS": f"{collection}/reviews/status"}.get(method, f"{collection}/reviews")
    response = await call(
        "PUT" if method == "STATUS" else method,
        path,
        content=json.dumps(obj).encode("utf-8", "surrogatepass"),
        headers={"Content-Type": kind},
    )
    check(response)
    if method == "PUT" and response.status_code == 200:
        assert response.json().get("spec") == obj.get("spec")
