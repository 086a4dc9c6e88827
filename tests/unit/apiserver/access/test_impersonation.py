"""Acting as somebody else: who may, what it gives, what the audit log says of it; and that no header is ignored."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import httpx
import pytest

from tests.unit.apiserver.guarded import RBAC, ROOT, SECRETS, SHOP, USERS, Guarded, guarded, rule, user
from tests.unit.apiserver.test_any_request import call

WHO = "/apis/authentication.k8s.io/v1/selfsubjectreviews"
SELF = {"apiVersion": "authentication.k8s.io/v1", "kind": "SelfSubjectReview"}


@pytest.fixture
async def api(tmp_path: Path) -> AsyncIterator[Guarded]:
    async with guarded(tmp_path) as found:
        yield found


async def who(api: Guarded, token: str, *headers: tuple[str, str]) -> httpx.Response:
    async with api.web(token) as web:
        raw = [(name.encode(), each.encode()) for name, each in headers]
        return await web.post(WHO, json=SELF, headers=[*web.headers.raw, *raw])


@pytest.mark.parametrize(
    ("headers", "name", "groups"),
    [
        ([("Impersonate-User", "ann")], "ann", ["system:authenticated"]),
        (
            [("Impersonate-User", "ann"), ("Impersonate-Group", "a"), ("Impersonate-Group", "b")],
            "ann",
            ["a", "b", "system:authenticated"],
        ),
        (
            [("Impersonate-User", "system:serviceaccount:shop:web")],
            "system:serviceaccount:shop:web",
            ["system:serviceaccounts", "system:serviceaccounts:shop", "system:authenticated"],
        ),
        (
            [("Impersonate-User", "system:serviceaccount:shop:web"), ("Impersonate-Group", "a")],
            "system:serviceaccount:shop:web",
            ["a", "system:authenticated"],
        ),
        ([("Impersonate-User", "zoë")], "zoë", ["system:authenticated"]),
        ([("iMPERSONATE-user", "ann")], "ann", ["system:authenticated"]),
    ],
)
async def test_the_admin_is_whom_the_headers_say(
    api: Guarded, headers: list[tuple[str, str]], name: str, groups: list[str]
) -> None:
    answer = await who(api, ROOT, *headers)
    assert answer.status_code == 201, answer.text
    assert answer.json()["status"]["userInfo"] == {"username": name, "groups": groups}


async def test_anonymous_is_nobody_who_is_known(api: Guarded) -> None:
    answer = await who(api, ROOT, ("Impersonate-User", "system:anonymous"))
    assert (answer.status_code, "system:anonymous" in answer.json()["message"]) == (403, True)


@pytest.mark.parametrize(
    ("headers", "words"),
    [
        ([("Impersonate-Group", "a")], "Impersonate-User: is needed"),
        ([("Impersonate-Uid", "a")], "Impersonate-User: is needed"),
        ([("Impersonate-User", "a"), ("Impersonate-User", "b")], "Impersonate-User: is needed, once"),
        ([("Impersonate-User", "")], "impersonate-user: is empty"),
        ([("Impersonate-User", "a" * 600)], "impersonate-user: is empty, or not a name"),
        ([("Impersonate-User", "a"), ("Impersonate-Extra-Scopes", "x")], "impersonate-extra-scopes: is not"),
        ([("Impersonate-Anything", "x")], "impersonate-anything: is not supported"),
        ([("Impersonate-User", "a"), *[("Impersonate-Group", "g")] * 65], "more than 64 times"),
        ([("Impersonate-User", "a"), *[("Impersonate-Uid", "u")] * 2], "Impersonate-Uid: is there more"),
    ],
)
async def test_what_cannot_be_done_is_refused_and_never_ignored(
    api: Guarded, headers: list[tuple[str, str]], words: str
) -> None:
    answer = await who(api, ROOT, *headers)
    assert (answer.status_code, answer.json()["reason"]) == (400, "BadRequest")
    assert words in answer.json()["message"]


async def test_a_server_without_rules_refuses_it() -> None:
    answer = await call("GET", "/api", headers={"Impersonate-User": "x"})
    assert answer.status_code == 400


async def test_only_who_may_impersonate_does_so_and_nothing_else_is_given(api: Guarded) -> None:
    token = await api.user(
        "helper",
        rule("core", "users", "impersonate", "ann"),
        rule("core", "groups", "impersonate", "argosy:viewers"),
        rule("authentication.k8s.io", "uids", "impersonate", "7"),
    )
    user_, group = ("Impersonate-User", "ann"), ("Impersonate-Group", "argosy:viewers")
    assert (await who(api, token, user_, group, ("Impersonate-Uid", "7"))).status_code == 201
    for headers, said in (
        (
            [("Impersonate-User", "bob")],
            'users "bob" is forbidden: User "helper" cannot impersonate resource "users"',
        ),
        (
            [user_, ("Impersonate-Group", "argosy:admins")],
            'groups "argosy:admins" is forbidden: User "helper" cannot impersonate resource "groups"',
        ),
        ([user_, ("Impersonate-Uid", "8")], 'uids.authentication.k8s.io "8" is forbidden'),
        (
            [("Impersonate-User", "system:serviceaccount:shop:web")],
            'serviceaccounts "web" is forbidden: User "helper" cannot impersonate resource "serviceaccounts" in API '
            'group "" in the namespace "shop"',
        ),
    ):
        answer = await who(api, token, *headers)
        assert answer.status_code == 403
        assert answer.json()["message"].startswith(said), answer.text
    async with api.web(token, **dict((user_, group))) as web:
        assert (await web.get(SHOP)).status_code == 200, "as a viewer"
        answer = await web.get(SECRETS)
        assert (answer.status_code, 'User "ann" cannot list' in answer.json()["message"]) == (403, True)


async def test_the_admin_gives_up_what_the_other_has_not(api: Guarded) -> None:
    async with api.web(ROOT, **{"Impersonate-User": "ann"}) as web:
        assert (await web.get(SECRETS)).status_code == 403
        body = user("made", "the-token-of-made-alone", groups=["system:masters"])
        assert (await web.post(USERS, json=body)).status_code == 403


async def test_only_a_master_acts_as_one(api: Guarded) -> None:
    token = await api.user("boss", groups=("argosy:admins",))
    answer = await who(api, token, ("Impersonate-User", "x"), ("Impersonate-Group", "system:masters"))
    assert (answer.status_code, "only a member of system:masters" in answer.json()["message"]) == (403, True)
    assert (await who(api, token, ("Impersonate-User", "x"))).status_code == 201
    answer = await who(api, ROOT, ("Impersonate-User", "x"), ("Impersonate-Group", "system:masters"))
    assert answer.status_code == 201


async def test_what_the_other_would_give_away_is_judged_as_theirs(api: Guarded) -> None:
    await api.bind("argosy:admin", "boss")
    async with api.web(ROOT, **{"Impersonate-User": "ann"}) as web:
        body = user("mallory", "the-token-of-mallory-alone", groups=["argosy:admins"])
        assert (await web.post(USERS, json=body)).status_code == 403
    async with api.web(ROOT, **{"Impersonate-User": "boss"}) as web:
        assert (await web.post(USERS, json=body)).status_code == 201


async def test_the_audit_log_has_both(api: Guarded) -> None:
    async with api.web(ROOT, **{"Impersonate-User": "ann"}) as web:
        await web.get(SECRETS)
    last = (await api.audited())[-1]
    assert (last["user"], last["verb"], last["resource"], last["code"]) == ("admin", "list", "secrets", 403)
    assert last["impersonatedUser"] == {"user": "ann", "groups": ["system:authenticated"]}


@pytest.mark.parametrize("lost", ["the right to impersonate", "the right of the other", "the user"])
async def test_a_watch_ends_when_any_of_it_is_lost(api: Guarded, lost: str) -> None:
    token = await api.user("helper", rule("core", "users", "impersonate", "ann"))
    await api.bind("argosy:viewer", "ann")
    headers = {"Impersonate-User": "ann"}
    watching = asyncio.create_task(_watched(api, token, headers))
    await api.watched()
    removed = {
        "the right to impersonate": f"{RBAC}/clusterrolebindings/helper-helper",
        "the right of the other": f"{RBAC}/clusterrolebindings/ann-argosy-viewer",
        "the user": f"{USERS}/helper",
    }[lost]
    async with api.web() as root:
        assert (await root.delete(removed)).status_code == 200
    assert await asyncio.wait_for(watching, 10) == 200


async def _watched(api: Guarded, token: str, headers: dict[str, str]) -> int:
    async with api.web(token, **headers) as web:
        return (await web.get(SHOP, params={"watch": "true"})).status_code
