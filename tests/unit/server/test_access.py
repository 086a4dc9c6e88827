"""What one may do at the API of a whole server, and give to others, and for how long."""

from __future__ import annotations

import asyncio
import hashlib
from typing import Any

import httpx
import msgspec

from argosy.server.process import ControlPlane
from tests.unit.server.people import (
    RBAC,
    SECRETS,
    SHOP,
    USERS,
    Json,
    admin,
    binding,
    made,
    unauthorized,
    user,
    web_of,
)
from tests.unit.server.people import plane as plane  # the fixture

# --- what one may ---


async def test_a_user_with_a_token_may_what_is_bound_and_nothing_else(plane: ControlPlane) -> None:
    token = "a-token-for-alice-only"
    await made(plane, USERS, user("alice", token))
    await made(
        plane, f"{RBAC}/namespaces/shop/rolebindings", binding("argosy:service-developer", "alice", "shop")
    )
    async with web_of(plane, token) as web:
        assert (await web.get(SHOP)).status_code == 200
        assert (await web.get("/apis")).status_code == 200
        for method, path, words in (
            (
                "GET",
                f"{SECRETS}/key",
                'secrets "key" is forbidden: User "alice" cannot get resource "secrets" in API group "" '
                'in the namespace "shop"',
            ),
            (
                "GET",
                SHOP.replace("shop", "other"),
                'virtualservices.networking.istio.io is forbidden: User "alice" cannot list resource '
                '"virtualservices" in API group "networking.istio.io" in the namespace "other"',
            ),
            (
                "GET",
                f"{SECRETS}?watch=true",
                'secrets is forbidden: User "alice" cannot watch resource "secrets" in API group "" in the '
                'namespace "shop"',
            ),
            (
                "GET",
                "/apis/operations.argosy.dev/v1/proxies",
                'proxies.operations.argosy.dev is forbidden: User "alice" cannot get resource "proxies" in API group '
                '"operations.argosy.dev" at the cluster scope',
            ),
        ):
            answer = await web.request(
                method, path, headers={"accept": "application/json;as=Table;v=v1;g=meta.k8s.io"}
            )
            assert (answer.status_code, answer.json()["message"]) == (403, words)
            assert answer.json()["kind"] == "Status"
        object_of = {"object": "VirtualService/shop/x", "revision": "1", "timeout": "0"}
        delivery = "/apis/operations.argosy.dev/v1/delivery"
        assert (await web.get(delivery, params=object_of)).status_code == 200
        object_of["object"] = "VirtualService/other/x"
        assert (await web.get(delivery, params=object_of)).status_code == 403


async def test_what_does_not_exist_is_forbidden_in_the_same_words(plane: ControlPlane) -> None:
    """Nothing tells one who may not read whether there is something."""
    await made(plane, USERS, user("eve", "a-token-of-eve-alone"))
    await made(
        plane,
        SECRETS,
        {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "there"}, "stringData": {"a": "b"}},
    )
    async with web_of(plane, "a-token-of-eve-alone") as web:
        for method in ("GET", "PUT", "PATCH", "DELETE"):
            there = await web.request(method, f"{SECRETS}/there", content=b"{}")
            absent = await web.request(method, f"{SECRETS}/absent", content=b"{}")
            assert there.status_code == absent.status_code == 403
            assert there.text.replace("there", "absent") == absent.text


async def test_questions_about_access_are_answered(plane: ControlPlane) -> None:
    token = "a-token-of-one-who-asks"
    await made(plane, USERS, user("asker", token))
    await made(plane, f"{RBAC}/namespaces/shop/rolebindings", binding("argosy:viewer", "asker", "shop"))
    authorization = "/apis/authorization.k8s.io/v1"

    def asked(kind: str, **spec: Any) -> Json:
        return {"apiVersion": "authorization.k8s.io/v1", "kind": kind, "spec": spec}

    get = {"verb": "get", "group": "networking.istio.io", "resource": "gateways", "namespace": "shop"}
    async with web_of(plane, token) as web:
        for attributes, allowed in (
            (get, True),
            (get | {"namespace": "x"}, False),
            (get | {"verb": "*"}, False),
        ):
            answer = await web.post(
                f"{authorization}/selfsubjectaccessreviews",
                json=asked("SelfSubjectAccessReview", resourceAttributes=attributes),
            )
            assert (answer.status_code, answer.json()["status"]["allowed"]) == (201, allowed)
        answer = await web.post(
            f"{authorization}/selfsubjectaccessreviews",
            json=asked("SelfSubjectAccessReview", nonResourceAttributes={"verb": "get", "path": "/version"}),
        )
        assert answer.json()["status"]["allowed"]
        answer = await web.post(
            f"{authorization}/selfsubjectrulesreviews", json=asked("SelfSubjectRulesReview", namespace="shop")
        )
        status = answer.json()["status"]
        assert not status["incomplete"]
        assert {"nonResourceURLs", "verbs"} <= status["nonResourceRules"][0].keys()
        assert any("networking.istio.io" in rule["apiGroups"] for rule in status["resourceRules"])
        about = asked("SubjectAccessReview", user="asker", resourceAttributes=get)
        assert (await web.post(f"{authorization}/subjectaccessreviews", json=about)).status_code == 403
        neither = asked("SelfSubjectAccessReview")
        assert (await web.post(f"{authorization}/selfsubjectaccessreviews", json=neither)).status_code == 422
    async with admin(plane) as web:
        answer = await web.post(f"{authorization}/subjectaccessreviews", json=about)
        assert answer.json()["status"]["allowed"]


# --- what one gives to others ---


async def test_nobody_gives_away_what_they_do_not_have(plane: ControlPlane) -> None:
    token = "a-token-of-a-keeper"
    await made(plane, USERS, user("keeper", token, groups=("argosy:viewers",)))
    everything_of_access = {
        "apiVersion": "rbac.authorization.k8s.io/v1",
        "kind": "ClusterRole",
        "metadata": {"name": "access-keeper"},
        "rules": [
            {"apiGroups": ["rbac.authorization.k8s.io", "access.argosy.dev"], "resources": ["*"],
             "verbs": ["get", "list", "create", "update", "patch", "delete"]},
        ],
    }  # fmt: skip
    await made(plane, f"{RBAC}/clusterroles", everything_of_access)
    await made(plane, f"{RBAC}/clusterrolebindings", binding("access-keeper", "keeper"))
    async with web_of(plane, token) as web:

        async def post(path: str, body: Json, **query: str) -> tuple[int, str]:
            answer = await web.post(path, json=body, params=query)
            return answer.status_code, answer.json().get("message", "")

        code, message = await post(f"{RBAC}/clusterrolebindings", binding("argosy:admin", "keeper"))
        assert code == 403
        assert message.startswith(
            'clusterrolebindings.rbac.authorization.k8s.io "keeper-argosy-admin" is forbidden: user "keeper" '
            '(groups=["argosy:viewers" "system:authenticated"]) is attempting to grant RBAC permissions not currently '
            "held:\n"
        )
        assert '{APIGroups:["*"], Resources:["*"], Verbs:["*"]}' in message
        code, _ = await post(f"{RBAC}/clusterrolebindings", binding("argosy:admin", "keeper"), dryRun="All")
        assert code == 403
        assert (await post(f"{RBAC}/clusterrolebindings", binding("argosy:viewer", "pal")))[0] == 201
        assert (await post(f"{RBAC}/clusterrolebindings", binding("absent", "keeper"))) == (
            404,
            'clusterroles.rbac.authorization.k8s.io "absent" not found',
        )
        widened = everything_of_access | {
            "rules": [
                *everything_of_access["rules"],
                {"apiGroups": [""], "resources": ["secrets"], "verbs": ["get"]},
            ]
        }
        patch = {"rules": widened["rules"]}
        for content_type in ("application/merge-patch+json", "application/strategic-merge-patch+json"):
            answer = await web.patch(
                f"{RBAC}/clusterroles/access-keeper",
                content=msgspec.json.encode(patch),
                headers={"content-type": content_type},
            )
            assert answer.status_code == 403
            assert answer.json()["message"].endswith('{APIGroups:[""], Resources:["secrets"], Verbs:["get"]}')
        answer = await web.patch(
            f"{RBAC}/clusterroles/access-keeper",
            content=b'{"metadata":{"labels":{"a":"b"}}}',
            headers={"content-type": "application/merge-patch+json"},
        )
        assert answer.status_code == 200, "what gives nothing more may be changed"
        assert (await post(USERS, user("mallory", "a-token-of-mallory", groups=("system:masters",))))[
            0
        ] == 403
        assert (await post(USERS, user("mallory", "a-token-of-mallory", groups=("argosy:admins",))))[0] == 403
        assert (await post(USERS, user("pal", "a-token-for-a-friend")))[0] == 201


async def test_an_apply_creates_only_for_those_who_may_create(plane: ControlPlane) -> None:
    token = "a-token-of-a-patcher"
    await made(plane, USERS, user("patcher", token))
    role = {
        "apiVersion": "rbac.authorization.k8s.io/v1",
        "kind": "ClusterRole",
        "metadata": {"name": "patcher"},
        "rules": [{"apiGroups": [""], "resources": ["configmaps"], "verbs": ["get", "patch"]}],
    }
    await made(plane, f"{RBAC}/clusterroles", role)
    await made(plane, f"{RBAC}/clusterrolebindings", binding("patcher", "patcher"))
    body = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "m"}, "data": {"a": "b"}}
    path = "/api/v1/namespaces/shop/configmaps"
    async with web_of(plane, token) as web:

        async def apply() -> httpx.Response:
            return await web.patch(
                f"{path}/m?fieldManager=test",
                content=msgspec.json.encode(body),
                headers={"content-type": "application/apply-patch+yaml"},
            )

        answer = await apply()
        assert (answer.status_code, answer.json()["message"]) == (
            403,
            'configmaps "m" is forbidden: User "patcher" cannot create resource "configmaps" in API group "" in the '
            'namespace "shop"',
        )
        await made(plane, path, body)
        assert (await apply()).status_code == 200


# --- while it lasts ---


async def test_a_watch_ends_when_its_user_may_no_longer_have_it(plane: ControlPlane) -> None:
    token = "a-token-of-a-watcher"
    await made(plane, USERS, user("watcher", token))
    bound = await made(plane, f"{RBAC}/clusterrolebindings", binding("argosy:viewer", "watcher"))
    async with web_of(plane, token) as web, admin(plane) as root:
        for removed in (f"{RBAC}/clusterrolebindings/{bound['metadata']['name']}", f"{USERS}/watcher"):
            async with web.stream("GET", f"{SHOP}?watch=true&timeoutSeconds=600") as response:
                assert response.status_code == 200
                await made(plane, SHOP, _route(hashlib.sha256(removed.encode()).hexdigest()[:8]))
                lines = response.aiter_lines()
                assert "ADDED" in await anext(lines)
                assert (await root.delete(removed)).status_code == 200
                async with asyncio.timeout(10):
                    assert [line async for line in lines if "ERROR" in line] == []
            if "clusterrolebindings" in removed:
                await made(plane, f"{RBAC}/clusterrolebindings", binding("argosy:viewer", "watcher"))
        assert unauthorized(await web.get(SHOP))


def _route(name: str) -> Json:
    return {
        "apiVersion": "networking.istio.io/v1",
        "kind": "VirtualService",
        "metadata": {"name": name},
        "spec": {"hosts": ["reviews"], "http": [{"route": [{"destination": {"host": "reviews"}}]}]},
    }
