"""What somebody with a few rights tries, to see or do more: other paths, forms, selectors, labels; and what outlives a
right that was taken."""

from __future__ import annotations

import asyncio
import base64
import json
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import httpx
import pytest

from tests.unit.apiserver.conftest import virtual_service
from tests.unit.apiserver.guarded import (
    RBAC,
    ROOT,
    SECRETS,
    SHOP,
    USERS,
    Guarded,
    guarded,
    role,
    rule,
    secret,
    user,
)

BANK = "/api/v1/namespaces/bank/secrets"
VALUE = base64.b64encode(b"correct-horse").decode()
FORMS = (
    "application/json",
    "application/json;as=Table;v=v1;g=meta.k8s.io",
    "application/json;as=PartialObjectMetadata;v=v1;g=meta.k8s.io",
    "application/json;as=PartialObjectMetadataList;v=v1;g=meta.k8s.io",
)


@pytest.fixture
async def api(tmp_path: Path) -> AsyncIterator[Guarded]:
    async with guarded(tmp_path) as found:
        for path in (SECRETS, BANK):
            await found.made(path, secret("there", labels={"a": "b"}))
        yield found


ELSEWHERE = [
    "/api/v1/secrets",
    "/api/v1/secrets?watch=1",
    "/api/v1/secrets?fieldSelector=metadata.namespace=shop",
    "/api/v1/secrets?fieldSelector=metadata.namespace%3Dshop,metadata.name%3Dthere",
    "/api/v1/watch/secrets",
    "/api/v1/namespaces/bank/secrets",
    "/api/v1/namespaces/bank/secrets/",
    "/api/v1/namespaces/bank/secrets/there",
    "/api/v1/namespaces/bank/secrets/there/",
    "/api/v1/namespaces/bank/secrets/there/status",
    "/api/v1/namespaces/shop/../bank/secrets/there",
    "/api/v1/namespaces/shop/%2e%2e/bank/secrets/there",
    "/api/v1/namespaces/shop%2f..%2fbank/secrets/there",
    "/api/v1/namespaces/shop/secrets/..%2f..%2fbank%2fsecrets%2fthere",
    "/api/v1/namespaces/shop/secrets/there%2f..%2f..%2f..%2fbank",
    "/api/v1/namespaces/shop//secrets/../../bank/secrets/there",
    "//api/v1/namespaces/bank/secrets/there",
    "/./api/v1/namespaces/bank/secrets/there",
    "/api//v1/namespaces/bank/secrets/there",
    "/api/v1//namespaces/bank/secrets/there",
    "/api/v1/namespaces//secrets/there",
    "/api/v1/namespaces/%00/secrets/there",
    "/api/v1/namespaces/shop%00bank/secrets/there",
    "/api/v1/namespaces/shop%09there/secrets/there",
    "/api/v1/namespaces/BANK/secrets/there",
    "/api/v1/namespaces/bank/SECRETS/there",
    "/API/v1/namespaces/bank/secrets/there",
    "/api/v1/namespaces/bank/secrets/there?namespace=shop",
    "/api/v1/namespaces/bank/secrets;namespace=shop/there",
    "/apis//v1/namespaces/bank/secrets/there",
    "/apis/core/v1/namespaces/bank/secrets/there",
    "/healthz/../api/v1/namespaces/bank/secrets/there",
    "/openapi/v3/../../api/v1/namespaces/bank/secrets/there",
    "http://api/api/v1/namespaces/bank/secrets/there",
]
"""Ways to say a Secret of the namespace `bank`, or of all."""


def hides(answer: httpx.Response) -> bool:
    return not any(word in answer.text for word in (VALUE, "correct-horse", "password"))


# --- elsewhere ---


async def test_no_other_path_leads_to_another_namespace(api: Guarded) -> None:
    token = await api.user("dev", rule("*", "*", "*"), namespace="shop")
    assert (await _raw(api, token, f"{SECRETS}/there", ""))[0] == 200
    for path in ELSEWHERE:
        raw, _, query = path.partition("?")
        code, body = await _raw(api, token, raw, query)
        assert code in (403, 404), path
        assert VALUE.encode() not in body, path


async def _raw(
    api: Guarded, token: str, path: str, query: str, frames: list[bytes] | None = None
) -> tuple[int, bytes]:
    """A GET whose path is as it is written: a client would put it in order first. `frames`: as they come."""
    codes: list[int] = []
    bodies: list[bytes] = [] if frames is None else frames
    asked = asyncio.Event()

    async def send(message: Any) -> None:
        if message["type"] == "http.response.start":
            codes.append(message["status"])
        else:
            bodies.append(message.get("body", b""))

    async def receive() -> Any:
        if asked.is_set():
            await asyncio.Event().wait()  # the client stays
        asked.set()
        return {"type": "http.request", "body": b"", "more_body": False}

    scope = {
        "type": "http",
        "method": "GET",
        "path": unquote(path),
        "raw_path": path.encode(),
        "query_string": query.encode(),
        "headers": [(b"authorization", f"Bearer {token}".encode()), (b"host", b"api")],
        "client": ("127.0.0.1", 1),
        "server": ("api", 443),
        "scheme": "https",
        "http_version": "1.1",
        "root_path": "",
    }
    await asyncio.wait_for(api.app(scope, receive, send), 10)
    return codes[0], b"".join(bodies)


@pytest.mark.parametrize("form", FORMS)
async def test_every_form_of_an_answer_needs_the_same_right(api: Guarded, form: str) -> None:
    token = await api.user("dev", rule("core", "secrets", "create update patch delete"), namespace="shop")
    async with api.web(token, accept=form) as web:
        for path in (
            f"{SECRETS}/there",
            SECRETS,
            f"{SECRETS}?watch=true",
            f"{SECRETS}?limit=1&labelSelector=a=b",
        ):
            answer = await web.get(path)
            assert (answer.status_code, hides(answer)) == (403, True), path


async def test_there_or_not_is_the_same_to_who_may_not_look(api: Guarded) -> None:
    token = await api.user("eve", rule("core", "secrets", "create"), namespace="bank")
    bodies = {
        "application/json": json.dumps(secret("there")),
        "application/apply-patch+yaml": json.dumps(secret("there")),
        "application/merge-patch+json": "{}",
        "application/json-patch+json": '[{"op":"test","path":"/data/password","value":"x"}]',
    }
    async with api.web(token) as web:
        for method, kind, query in [
            ("GET", "", ""),
            ("DELETE", "", "?dryRun=All"),
            ("PUT", "application/json", "?dryRun=All"),
            *[
                ("PATCH", kind, query)
                for kind in bodies
                for query in ("?fieldManager=x&dryRun=All", "?fieldManager=x")
            ],
        ]:
            said = []
            for name in ("there", "absent"):
                body = bodies.get(kind, "").replace("there", name)
                answer = await web.request(
                    method, f"{SECRETS}/{name}{query}", content=body.encode(), headers={"content-type": kind}
                )
                said.append((answer.status_code, answer.text.replace(name, "NAME")))
            assert said[0] == said[1], (method, kind)
            assert said[0][0] == 403


async def test_a_namespace_that_is_not_there_is_forbidden_like_any_other(api: Guarded) -> None:
    token = await api.user("dev", rule("*", "*", "*"), namespace="shop")
    async with api.web(token) as web:
        said = [
            (answer.status_code, answer.text.replace(name, "NAME"))
            for name in ("bank", "absent")
            for answer in [await web.post(f"/api/v1/namespaces/{name}/secrets", json=secret("x"))]
        ]
    assert said[0] == said[1]
    assert said[0][0] == 403


# --- rules for names, subresources, verbs ---


NAMED = [
    ("GET", f"{SECRETS}/there", 200),
    ("GET", f"{SECRETS}/other", 403),
    ("GET", SECRETS, 403),
    ("GET", f"{SECRETS}?fieldSelector=metadata.name=there", 200),
    ("GET", f"{SECRETS}?fieldSelector=metadata.name==there", 200),
    ("GET", f"{SECRETS}?fieldSelector=metadata.name!=there", 403),
    ("GET", f"{SECRETS}?fieldSelector=metadata.name=other", 403),
    ("GET", f"{SECRETS}?fieldSelector=metadata.name=", 403),
    ("GET", f"{SECRETS}?fieldSelector=type=Opaque", 403),
    ("GET", f"{SECRETS}?fieldSelector=metadata.name=other&fieldSelector=metadata.name=there", 200),
    ("GET", f"{SECRETS}?fieldSelector=metadata.name=there&fieldSelector=metadata.name=other", 403),
    ("GET", f"{SECRETS}?fieldSelector=metadata.name=there,metadata.name=other", 200),
    ("GET", f"{SECRETS}?labelSelector=metadata.name=there", 403),
    ("GET", "/api/v1/secrets?fieldSelector=metadata.name=there", 403),
    ("GET", f"{BANK}?fieldSelector=metadata.name=there", 403),
    ("GET", f"{SECRETS}?watch=true&fieldSelector=metadata.name=other", 403),
    ("DELETE", f"{SECRETS}?dryRun=All", 403),
    ("DELETE", f"{SECRETS}?dryRun=All&fieldSelector=metadata.name=there", 200),
    ("DELETE", f"{SECRETS}/there?dryRun=All", 403),
]
"""What the rule for the Secret `there` answers."""


async def test_a_rule_for_one_name_is_for_no_other(api: Guarded) -> None:
    await api.made(SECRETS, secret("other"))
    named = rule("core", "secrets", "get list watch deletecollection", "there")
    token = await api.user("dev", named, namespace="shop")
    async with api.web(token) as web:
        for method, path, code in NAMED:
            answer = await web.request(method, path)
            assert answer.status_code == code, (method, path, answer.text)
            if code == 200 and "items" in answer.json():
                assert {item["metadata"]["name"] for item in answer.json()["items"]} <= {"there"}


async def test_a_watch_of_one_name_tells_of_no_other(api: Guarded) -> None:
    token = await api.user("dev", rule("core", "secrets", "watch", "there"), namespace="shop")
    async with api.web(token) as web, api.web() as root:
        query = {"watch": "true", "fieldSelector": "metadata.name=there", "timeoutSeconds": "1"}
        watching = asyncio.create_task(web.get(SECRETS, params=query))
        await api.watched()
        for name in ("other", "there2"):
            assert (await root.post(SECRETS, json=secret(name))).status_code == 201
        await root.delete(f"{SECRETS}/there")
        frames = [json.loads(line) for line in (await watching).text.splitlines()]
    assert [(frame["type"], frame["object"]["metadata"]["name"]) for frame in frames] == [
        ("ADDED", "there"),
        ("DELETED", "there"),
    ]


@pytest.mark.parametrize(
    ("resource", "method", "path", "code"),
    [
        ("virtualservices", "GET", f"{SHOP}/reviews/status", 403),
        ("virtualservices", "PATCH", f"{SHOP}/reviews/status", 403),
        ("virtualservices/status", "PATCH", f"{SHOP}/reviews/status", 200),
        ("virtualservices/status", "PATCH", f"{SHOP}/reviews", 403),
        ("*/status", "PATCH", f"{SHOP}/reviews/status", 200),
        ("*/status", "PATCH", f"{SHOP}/reviews", 403),
    ],
)
async def test_a_status_is_a_right_of_its_own(
    api: Guarded, resource: str, method: str, path: str, code: int
) -> None:
    await api.made(SHOP, virtual_service())
    token = await api.user("dev", rule("networking.istio.io", resource, "get patch"), namespace="shop")
    async with api.web(token) as web:
        headers = {"content-type": "application/merge-patch+json"}
        answer = await web.request(method, path, content=b"{}" if method == "PATCH" else b"", headers=headers)
    assert answer.status_code == code, answer.text


async def test_a_developer_writes_no_status(api: Guarded) -> None:
    token = await api.user("dev")
    await api.bind("argosy:service-developer", "dev", "shop")
    group = "/apis/security.istio.io/v1/namespaces/shop/authorizationpolicies"
    body = {"apiVersion": "security.istio.io/v1", "kind": "AuthorizationPolicy", "metadata": {"name": "p"}}
    async with api.web(token) as web:
        assert (await web.post(group, json=body)).status_code == 201
        answer = await web.patch(
            f"{group}/p/status", content=b"{}", headers={"content-type": "application/merge-patch+json"}
        )
        assert answer.status_code == 403


# --- what an answer says ---


@pytest.mark.parametrize(
    ("method", "kind", "body", "code"),
    [
        (
            "PATCH",
            "application/json-patch+json",
            [{"op": "test", "path": "/data/password", "value": "x"}],
            422,
        ),
        (
            "PATCH",
            "application/json-patch+json",
            [{"op": "copy", "from": "/data/password", "path": "/type"}],
            422,
        ),
        (
            "PATCH",
            "application/json-patch+json",
            [{"op": "move", "from": "/data", "path": "/metadata/labels/x"}],
            422,
        ),
        ("PATCH", "application/json-patch+json", [{"op": "copy", "from": "/data", "path": "/kind"}], 400),
        ("PATCH", "application/merge-patch+json", {"metadata": {"resourceVersion": "1"}}, 409),
        ("PATCH", "application/merge-patch+json", {"metadata": {"uid": "x"}}, 409),
        ("PATCH", "application/merge-patch+json", {"type": "kubernetes.io/tls"}, 422),
        ("PATCH", "application/apply-patch+yaml", secret("there") | {"data": {"password": "eA=="}}, 409),
        ("PUT", "application/json", secret("there", resourceVersion="1"), 409),
    ],
)
async def test_an_error_never_repeats_what_the_secret_holds(
    api: Guarded, method: str, kind: str, body: Any, code: int
) -> None:
    token = await api.user("writer", rule("core", "secrets", "update patch"), namespace="shop")
    if isinstance(body, dict):
        body = {key: value for key, value in body.items() if key != "stringData"}
    async with api.web(token) as web:
        answer = await web.request(
            method,
            f"{SECRETS}/there",
            params={"fieldManager": "me"} if method == "PATCH" else {},
            content=json.dumps(body).encode(),
            headers={"content-type": kind},
        )
    assert answer.status_code == code, answer.text
    assert VALUE not in answer.text
    assert "correct-horse" not in answer.text
    log = json.dumps(await api.audited())
    assert VALUE not in log
    assert "correct-horse" not in log


# --- what one gives to oneself ---


@pytest.mark.parametrize("how", ["merge", "put", "apply"])
async def test_a_label_makes_no_role_a_part_of_another(api: Guarded, how: str) -> None:
    """What a role is put together from is chosen by labels: with a label one could take all that another role has."""
    team = role("ClusterRole", "team") | {
        "aggregationRule": {"clusterRoleSelectors": [{"matchLabels": {"team": "x"}}]}
    }
    await api.made(f"{RBAC}/clusterroles", team)
    token = await api.user(
        "dev", rule("rbac.authorization.k8s.io", "clusterroles", "get update patch create")
    )
    await api.bind("team", "dev")
    path = f"{RBAC}/clusterroles/argosy:admin"
    async with api.web(token) as web:
        there = (await web.get(path)).json()
        labelled = there | {"metadata": {"name": "argosy:admin", "labels": {"team": "x"}}}
        if how == "put":
            answer = await web.put(path, json=labelled)
        else:
            kind = {"merge": "application/merge-patch+json", "apply": "application/apply-patch+yaml"}[how]
            sent = {"metadata": {"labels": {"team": "x"}}} if how == "merge" else labelled
            answer = await web.patch(
                path, params={"fieldManager": "x"}, content=json.dumps(sent), headers={"content-type": kind}
            )
        assert answer.status_code == 403, answer.text
        assert (await web.get(SECRETS)).status_code == 403


# --- what outlives a right ---


async def _watch(api: Guarded, token: str) -> asyncio.Task[tuple[int, bytes]]:
    task = asyncio.create_task(_raw(api, token, SHOP, "watch=true"))
    await api.watched()
    return task


@pytest.mark.parametrize("how", ["ends sooner", "is another token", "is another user", "loses the group"])
async def test_a_watch_ends_with_what_it_was_let_in_for(api: Guarded, how: str) -> None:
    token = "the-token-of-dev-alone"
    await api.made(USERS, user("dev", token, groups=["argosy:viewers"]))
    watching = await _watch(api, token)
    soon = (datetime.now(UTC) + timedelta(seconds=1)).isoformat()
    async with api.web() as root:
        there = (await root.get(f"{USERS}/dev")).json()
        if how == "ends sooner":
            there["spec"]["tokens"][0]["expires"] = soon
        elif how == "is another token":
            there["spec"]["tokens"] = user("dev", "another-token-altogether")["spec"]["tokens"]
        elif how == "loses the group":
            del there["spec"]["groups"]
        if how == "is another user":
            assert (await root.delete(f"{USERS}/dev")).status_code == 200
            await api.made(USERS, user("dev", "another-token-altogether", groups=["argosy:viewers"]))
        else:
            assert (await root.put(f"{USERS}/dev", json=there)).status_code == 200
    assert (await asyncio.wait_for(watching, 10))[0] == 200


async def test_a_watch_outlives_what_does_not_concern_it(api: Guarded) -> None:
    token = await api.user("dev", groups=("argosy:viewers",))
    await api.user("other", groups=("argosy:viewers",))
    frames: list[bytes] = []
    watching = asyncio.create_task(_raw(api, token, SHOP, "watch=true", frames))
    await api.watched()
    async with api.web() as root:
        await root.delete(f"{USERS}/other")
        await root.post(SHOP, json=virtual_service())
        async with asyncio.timeout(10):
            while not any(b'"ADDED"' in frame for frame in frames):
                await asyncio.sleep(0.001)
        assert not watching.done()
        await root.delete(f"{USERS}/dev")
    assert (await asyncio.wait_for(watching, 10))[0] == 200


async def test_the_door_is_shut_to_who_shows_nothing(api: Guarded) -> None:
    async with api.web(ROOT) as web:
        del web.headers["authorization"]
        for path in (
            "/",
            "/api",
            "/apis",
            "/version",
            "/openapi/v3",
            "/openapi/v2",
            SHOP,
            "/metrics",
            "/nothing",
        ):
            answer = await web.get(path)
            assert (answer.status_code, answer.json()["message"]) == (401, "Unauthorized"), path
        for header in ("X-Remote-User", "X-Forwarded-User", "X-Forwarded-Client-Cert", "Impersonate-User"):
            assert (await web.get(SHOP, headers={header: "admin"})).status_code == 401, header
