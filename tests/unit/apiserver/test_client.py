"""The client against a real server: what it returns, and what it says when something is wrong."""

from __future__ import annotations

import asyncio
import subprocess
import sys
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any, TypeVar

import pytest
from starlette.applications import Starlette
from starlette.responses import JSONResponse, PlainTextResponse
from starlette.routing import Route

from argosy.apiserver import kubeconfig
from argosy.apiserver.app import create_app
from argosy.apiserver.auth import User
from argosy.apiserver.client import ApiClient, ApiError, identify, path_of
from argosy.apiserver.kubeconfig import Connection
from argosy.apiserver.serving import Serving, serve
from argosy.resources.kinds import KINDS
from argosy.resources.problem import Problem
from argosy.runtime.errors import Failure
from argosy.store.base import Store
from tests.unit.apiserver.conftest import TOKEN, Authority, make_authority, virtual_service

T = TypeVar("T")
KIND = next(kind for kind in KINDS if kind.kind == "VirtualService")
NAMESPACE = next(kind for kind in KINDS if kind.kind == "Namespace")


def named(serving: Serving, **changes: str) -> Connection:
    return Connection(server=f"http://127.0.0.1:{serving.port}", token=changes.get("token", TOKEN))


@pytest.fixture
async def client(served: Serving) -> AsyncIterator[ApiClient]:
    opened = ApiClient(named(served))
    yield opened
    opened.close()


async def call(function: Callable[..., T], *arguments: Any, **named: Any) -> T:
    """The client blocks, and the server lives in this loop."""
    return await asyncio.to_thread(function, *arguments, **named)


async def test_apply_creates_then_changes_then_leaves_alone(client: ApiClient) -> None:
    created = await call(client.apply, virtual_service())
    assert (created.outcome, created.warnings) == ("created", ())
    unchanged = await call(client.apply, virtual_service())
    assert (unchanged.outcome, unchanged.object) == ("unchanged", created.object)
    obj = virtual_service()
    obj["spec"]["hosts"] = ["other"]
    configured = await call(client.apply, obj)
    assert configured.outcome == "configured"
    assert configured.object["metadata"]["uid"] == created.object["metadata"]["uid"]
    assert await call(client.get, KIND, "reviews", "shop") == configured.object


async def test_apply_without_writing_says_what_it_would_do(client: ApiClient, store: Store) -> None:
    assert (await call(client.apply, virtual_service(), dry_run="All")).outcome == "created"
    await call(client.apply, virtual_service())
    revision = (await store.list()).revision
    assert (await call(client.apply, virtual_service(), dry_run="All")).outcome == "unchanged"
    changed = virtual_service(labels={"a": "b"})
    assert (await call(client.apply, changed, dry_run="All")).outcome == "configured"
    await call(client.delete, KIND, "reviews", "shop", dry_run="All")
    assert (await store.list()).revision == revision


async def test_applies_at_the_same_time_all_succeed(client: ApiClient) -> None:
    objects = [virtual_service(labels={"turn": str(i)}) for i in range(8)]
    done = await asyncio.gather(*(call(client.apply, obj) for obj in objects))
    assert [each.outcome for each in done].count("created") == 1


async def test_apply_with_a_revision_of_its_own_does_not_overwrite(client: ApiClient) -> None:
    first = (await call(client.apply, virtual_service())).object
    await call(client.apply, virtual_service(labels={"a": "b"}))
    with pytest.raises(ApiError, match="has been modified") as refused:
        await call(client.apply, first | {"spec": {"hosts": ["x"], "http": first["spec"]["http"]}})
    assert (refused.value.http_code, refused.value.reason) == (409, "Conflict")
    assert "read the object again" in refused.value.remedy


async def test_the_verbs(client: ApiClient) -> None:
    made = (await call(client.create, virtual_service("a"))).object
    await call(client.create, virtual_service("b", labels={"tier": "x"}))
    listed = await call(client.list, KIND)
    assert [item["metadata"]["name"] for item in listed["items"]] == ["a", "b"]
    assert (await call(client.list, KIND, "default"))["items"] == []
    assert len((await call(client.list, KIND, "shop", label_selector="tier=x"))["items"]) == 1
    made["spec"]["hosts"] = ["other"]
    assert (await call(client.update, made)).object["spec"]["hosts"] == ["other"]
    status = {"conditions": [{"type": "Live", "status": "True"}]}
    assert (await call(client.patch_status, KIND, "a", "shop", status))["status"] == status
    assert (await call(client.delete, KIND, "a", "shop"))["status"] == "Success"
    with pytest.raises(ApiError) as refused:
        await call(client.get, KIND, "a", "shop")
    assert refused.value.http_code == 404
    assert str(refused.value).startswith(
        'VirtualService shop/a: virtualservices.networking.istio.io "a" not found'
    )


async def test_watch_yields_changes_until_its_time(client: ApiClient) -> None:
    await call(client.create, virtual_service("a"))
    revision = (await call(client.list, KIND))["metadata"]["resourceVersion"]
    seen: list[tuple[str, str]] = []

    def watch() -> None:
        for event in client.watch(KIND, "shop", resource_version=revision, timeout=1):
            if event.type != "BOOKMARK":
                seen.append((event.type, event.object["metadata"]["name"]))

    watching = asyncio.create_task(call(watch))
    await call(client.create, virtual_service("b"))
    await call(client.delete, KIND, "a", "shop")
    await watching
    assert seen == [("ADDED", "b"), ("DELETED", "a")]
    with pytest.raises(ApiError) as refused:
        await call(list, client.watch(KIND, resource_version="999999"))
    assert refused.value.http_code == 410


async def test_an_invalid_object_is_explained_field_by_field(client: ApiClient) -> None:
    obj = virtual_service()
    obj["spec"]["http"][0]["route"][0]["wieght"] = 1
    obj["spec"]["colour"] = "blue"
    with pytest.raises(ApiError) as refused:
        await call(client.apply, obj)
    lines = refused.value.what.splitlines()
    assert any(
        line.startswith("VirtualService shop/reviews: spec.http[0].route[0].wieght: ") for line in lines
    )
    assert any(line.startswith("VirtualService shop/reviews: spec.colour: ") for line in lines)
    assert {cause["field"] for cause in refused.value.causes} == {
        "spec.http[0].route[0].wieght",
        "spec.colour",
    }


async def test_a_namespace_that_is_not_there_comes_with_its_remedy(client: ApiClient) -> None:
    with pytest.raises(ApiError, match='namespaces "nowhere" not found') as refused:
        await call(client.apply, virtual_service(namespace="nowhere"))
    assert "Namespace named nowhere" in refused.value.remedy


async def test_warnings_arrive_as_text(store: Store) -> None:
    async def admission(*_: Any) -> list[Problem]:
        return [Problem("spec", 'no "v9" \\ ünï'), Problem("", "two")]

    serving = await serve(create_app(store, authenticate=lambda _: User("ada"), admission=admission))
    with ApiClient(named(serving)) as client:
        done = await call(client.apply, virtual_service())
    assert done.warnings == ('spec: no "v9" \\ ünï', "two")
    await serving.stop()


async def test_a_wrong_token_says_which_configuration_to_use(served: Serving) -> None:
    with (
        ApiClient(named(served, token="wrong")) as client,
        pytest.raises(ApiError, match="Unauthorized") as refused,
    ):
        await call(client.list, KIND)
    assert "kubeconfig" in refused.value.remedy


async def test_a_server_that_is_not_there_is_named(served: Serving) -> None:
    with ApiClient(named(served)) as client:
        await served.stop()
        for attempt in (lambda: client.list(KIND), lambda: list(client.watch(KIND))):
            with pytest.raises(Failure, match=f"http://127.0.0.1:{served.port} cannot be reached") as refused:
                await call(attempt)
            assert "argosy server" in refused.value.remedy


async def test_it_trusts_the_authority_of_its_configuration_alone(
    app: Starlette, authority: Authority, tmp_path: Path
) -> None:
    serving = await serve(app, cert=authority.cert, key=authority.key)
    server = f"https://127.0.0.1:{serving.port}"
    path = tmp_path / "kubeconfig"
    kubeconfig.write(path, kubeconfig.build(Connection(server=server, ca=authority.pem, token=TOKEN)))
    with ApiClient.from_kubeconfig(path) as client:
        assert (await call(client.list, KIND))["items"] == []
    foreign = make_authority(tmp_path, "foreign")
    with (
        ApiClient(Connection(server=server, ca=foreign.pem, token=TOKEN)) as client,
        pytest.raises(Failure, match="is not the one of this configuration"),
    ):
        await call(client.list, KIND)
    await serving.stop()


async def test_it_expects_the_name_that_its_configuration_says(app: Starlette, tmp_path: Path) -> None:
    authority = make_authority(tmp_path, "named", dns="argosy-server.istio-system.svc")
    serving = await serve(app, cert=authority.cert, key=authority.key)
    server = f"https://127.0.0.1:{serving.port}"
    name = "argosy-server.istio-system.svc"
    with ApiClient(Connection(server=server, ca=authority.pem, token=TOKEN, tls_server_name=name)) as client:
        assert (await call(client.list, KIND))["items"] == []
    with (
        ApiClient(Connection(server=server, ca=authority.pem, token=TOKEN)) as client,
        pytest.raises(Failure, match="is not the one"),
    ):
        await call(client.list, KIND)
    await serving.stop()


@pytest.mark.parametrize(
    "server",
    [
        "http://192.0.2.7:16443",
        "http://mesh.example:16443",
        "http://127.0.0.1@mesh.example",
        "http://localhost.mesh.example",
        "HTTP://[2001:db8::7]:16443",
    ],
)
def test_no_token_goes_over_the_network_in_the_clear(server: str) -> None:
    with pytest.raises(Failure, match="would be sent in the clear") as refused:
        ApiClient(Connection(server=server, token=TOKEN))
    assert "https://" in refused.value.remedy
    ApiClient(Connection(server=server)).close()


@pytest.mark.parametrize(
    "server",
    [
        "http://127.0.0.1:1",
        "http://127.8.8.8:1",
        "http://localhost:1",
        "http://[::1]:1",
        "unix:///run/api",
        "https://mesh.example",
    ],
)
def test_on_this_host_or_encrypted_it_does(server: str) -> None:
    with ApiClient(Connection(server=server, token=TOKEN)) as client:
        assert client._http.headers["authorization"] == f"Bearer {TOKEN}"


async def test_proxy_variables_are_not_for_it(client: ApiClient, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY", "HTTPS_PROXY"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
    with ApiClient(client.connection) as inside:
        assert (await call(inside.list, KIND))["items"] == []


async def test_anything_else_can_be_asked(client: ApiClient) -> None:
    assert (await call(client.request, "GET", "/version"))["major"] == "1"
    with pytest.raises(ApiError) as refused:
        await call(client.request, "POST", "/argosy/nothing", body={"a": 1}, params={"b": "c"})
    assert refused.value.http_code == 404


async def test_what_is_no_api_server_is_said_to_be_none() -> None:
    app = Starlette(
        routes=[
            Route("/apis/{rest:path}", lambda _: PlainTextResponse("a web page")),
            Route("/broken", lambda _: PlainTextResponse("bad gateway", 502)),
            Route("/list", lambda _: JSONResponse([])),
        ]
    )
    serving = await serve(app)
    with ApiClient(named(serving)) as client:
        with pytest.raises(Failure, match="is no API server: it answered 200 'a web page'"):
            await call(client.list, KIND)
        with pytest.raises(ApiError, match="answered 502: bad gateway"):
            await call(client.request, "GET", "/broken")
        assert await call(client.request, "GET", "/list") == []
    await serving.stop()


@pytest.mark.parametrize(
    ("obj", "says"),
    [
        ({"apiVersion": "v9", "kind": "Nothing"}, "kind 'Nothing' of apiVersion 'v9' is not served"),
        ({}, "kind None of apiVersion None is not served"),
        (virtual_service(name=""), "metadata.name: is missing"),
        (virtual_service() | {"metadata": "x"}, "metadata.name: is missing"),
    ],
)
def test_what_cannot_be_addressed_is_refused_before_it_is_sent(obj: dict[str, Any], says: str) -> None:
    with pytest.raises(Failure, match=says):
        identify(obj)


def test_paths_and_names() -> None:
    assert identify(virtual_service()) == (KIND, "shop", "reviews")
    assert identify({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "a"}}) == (
        NAMESPACE,
        "",
        "a",
    )
    assert (
        path_of(KIND, "shop", "a/b") == "/apis/networking.istio.io/v1/namespaces/shop/virtualservices/a%2Fb"
    )
    assert path_of(KIND) == "/apis/networking.istio.io/v1/virtualservices"
    assert path_of(NAMESPACE, "default", "shop") == "/api/v1/namespaces/shop"


def test_importing_the_client_does_not_import_httpx() -> None:
    code = "import sys, argosy.apiserver.client; print(sorted({'httpx', 'starlette', 'uvicorn'} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
