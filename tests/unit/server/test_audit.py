"""The audit log of a whole server: who did what, what it changed, and never a secret."""

from __future__ import annotations

import base64
import os
import secrets
from pathlib import Path
from typing import Any

import httpx
import msgspec
import pytest
import structlog
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from argosy.apiserver.access import audit
from argosy.server.process import ControlPlane
from tests.unit.server.people import RBAC, SECRETS, SHOP, USERS, admin, binding, made, user, web_of
from tests.unit.server.people import plane as plane  # the fixture
from tests.unit.server.whole_server import until

Json = dict[str, Any]
CONFIG = "/api/v1/namespaces/shop/configmaps"


async def audited(plane: ControlPlane) -> list[Json]:
    """All lines, once what has been answered is written."""
    assert plane.api is not None
    log = plane.api.audit_log
    await until(lambda: not log.waiting, "the audit log is written")
    return [
        msgspec.json.decode(line) for line in (plane.settings.state / "audit.log").read_bytes().splitlines()
    ]


async def of(plane: ControlPlane, **wanted: Any) -> list[Json]:
    return [
        line
        for line in await audited(plane)
        if all(line.get(name) == value for name, value in wanted.items())
    ]


async def test_a_write_is_told_with_what_it_changed(plane: ControlPlane) -> None:
    body = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "m"}, "data": {"a": "1"}}
    async with admin(plane) as web:
        web.headers["user-agent"] = "tests/1"
        assert (await web.post(CONFIG, json=body)).status_code == 201
        patch = {"content-type": "application/merge-patch+json"}
        assert (
            await web.patch(f"{CONFIG}/m", content=b'{"data":{"a":null,"b":"2"}}', headers=patch)
        ).status_code == 200
        assert (await web.delete(f"{CONFIG}/m")).status_code == 200
    created, changed, deleted = await of(plane, resource="configmaps", namespace="shop", name="m")
    assert created["user"] == "admin"
    assert created["groups"] == ["system:masters", "system:authenticated"]
    assert created["source"].startswith("127.0.0.1:")
    assert (created["verb"], created["code"], created["agent"]) == ("create", 201, "tests/1")
    assert created["diff"]["data"] == {"a": "1"}
    assert "managedFields" not in created["diff"]["metadata"]
    assert (changed["verb"], changed["diff"]) == ("patch", {"data": {"a": None, "b": "2"}})
    assert (deleted["verb"], deleted["deleted"]) == ("delete", True)
    assert all(line["ms"] > 0 and line["time"].endswith("Z") for line in (created, changed, deleted))


async def test_a_name_that_the_server_made_is_told(plane: ControlPlane) -> None:
    body = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"generateName": "m-"}}
    async with admin(plane) as web:
        name = (await web.post(CONFIG, json=body)).json()["metadata"]["name"]
    assert len(await of(plane, verb="create", name=name)) == 1


async def test_many_changes_of_one_request_are_told_one_by_one(plane: ControlPlane) -> None:
    async with admin(plane) as web:
        for name in "ab":
            body = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name}}
            assert (await web.post(CONFIG, json=body)).status_code == 201
        assert (await web.delete(CONFIG)).status_code == 200
    (line,) = await of(plane, verb="deletecollection")
    assert [(one["name"], one["deleted"]) for one in line["changes"]] == [("a", True), ("b", True)]


async def test_what_is_refused_is_told_and_what_is_only_discovery_is_not(plane: ControlPlane) -> None:
    await made(plane, USERS, user("eve", "a-token-of-eve-alone"))
    async with web_of(plane, "a-token-of-eve-alone") as web:
        assert (await web.get("/apis")).status_code == 200
        assert (await web.get(f"{SECRETS}/key?secret=in-the-query")).status_code == 403
        assert (await web.get(SHOP, headers={"authorization": "Bearer some-wrong-token"})).status_code == 401
        assert (await web.get("/nothing/here")).status_code == 404
    (line,) = await of(plane, user="eve", code=403)
    assert (line["verb"], line["resource"], line["name"]) == ("get", "secrets", "key")
    (line,) = await of(plane, code=401)
    assert (line["method"], line["path"]) == ("GET", SHOP)
    assert "user" not in line
    assert await of(plane, path="/apis") == []
    assert len(await of(plane, code=404)) == 1
    text = (plane.settings.state / "audit.log").read_text()
    assert "in-the-query" not in text
    assert "some-wrong-token" not in text


async def test_a_dry_run_changes_nothing_and_says_so(plane: ControlPlane) -> None:
    body = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "dry"}}
    async with admin(plane) as web:
        assert (await web.post(f"{CONFIG}?dryRun=All", json=body)).status_code == 201
    (line,) = await of(plane, resource="configmaps", verb="create")
    assert "diff" not in line


async def test_a_watch_is_told_when_it_begins_and_when_it_ends(plane: ControlPlane) -> None:
    async with admin(plane) as web:
        async with web.stream("GET", f"{SHOP}?watch=true") as response:
            assert response.status_code == 200
            (began,) = await of(plane, verb="watch")
            assert began["stage"] == "started"

        async def ended() -> bool:
            return len(await of(plane, verb="watch", id=began["id"], stage="ended")) == 1

        for _ in range(1000):
            if await ended():
                break
            await plane.store.revision()
        assert await ended()


async def test_failures_that_anybody_can_make_do_not_push_the_rest_out(
    plane: ControlPlane, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(audit, "FAILURES_A_SECOND", 0.0)
    async with web_of(plane) as web:
        for _ in range(230):
            assert (await web.get(SHOP)).status_code == 401
    listed = await of(plane, code=401)
    assert len(listed) == 200
    async with admin(plane) as web:
        await web.get(f"{CONFIG}/after")
    (line,) = await of(plane, name="after")
    assert len(listed) + line["unlisted"] == 230


def _told(logs: list[Any]) -> list[Any]:
    """Lines about the audit log: a busy machine may have others."""
    return [line for line in logs if "audit log cannot be written" in line["event"]]


async def test_a_full_disk_of_the_audit_log_is_loud_and_the_write_is_kept(
    plane: ControlPlane, monkeypatch: pytest.MonkeyPatch
) -> None:
    really = os.write

    def full(_file: int, _data: bytes) -> int:
        raise OSError(28, "No space left on device")

    with structlog.testing.capture_logs() as logs:
        monkeypatch.setattr(os, "write", full)
        body = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "kept"}}
        async with admin(plane) as web:
            assert (await web.post(CONFIG, json=body)).status_code == 201
            await until(lambda: _told(logs), "it is told")
            assert (await web.get(f"{CONFIG}/kept")).status_code == 200
    assert all(line["log_level"] == "error" for line in _told(logs))
    async with httpx.AsyncClient(base_url=plane.info.status, trust_env=False) as web:
        metrics = (await web.get("/metrics")).text
    assert "argosy_audit_lost_total 0" in metrics
    waiting = next(line for line in metrics.splitlines() if line.startswith("argosy_audit_waiting "))
    assert float(waiting.split()[1]) >= 2
    monkeypatch.setattr(os, "write", really)
    assert len(await of(plane, verb="create", name="kept")) == 1


# --- secrets ---

SOME = st.text(st.characters(min_codepoint=33, max_codepoint=126), min_size=1, max_size=12)


class Hush:
    """Values that must never be seen, each of its own, so that finding one says which."""

    def __init__(self) -> None:
        self.values: list[str] = []

    def new(self) -> str:
        self.values.append(f"hush{secrets.token_hex(8)}")
        return self.values[-1]

    def found_in(self, text: str) -> list[str]:
        forms = {
            value: (value, base64.b64encode(value.encode()).decode().rstrip("=")) for value in self.values
        }
        return [value for value, seen in forms.items() if any(form in text for form in seen)]


requests = st.lists(
    st.tuples(
        st.sampled_from(["POST", "PUT", "MERGE", "STRATEGIC", "JSON", "APPLY", "DELETE", "GET"]),
        st.sampled_from(
            ["data", "stringData", "annotations", "labels", "type", "unknown", "wrong", "not-json", "token"]
        ),
        st.sampled_from(
            ["", "?dryRun=All", "?fieldValidation=Warn", "?force=true&fieldManager=a", "?nonsense=1"]
        ),
        SOME,
    ),
    min_size=1,
    max_size=6,
)


@settings(
    max_examples=10,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.function_scoped_fixture],
)
@given(requests)
def test_no_value_of_a_secret_is_ever_in_the_audit_log_or_the_log(
    tmp_path_factory: pytest.TempPathFactory,
    capfd: pytest.CaptureFixture[str],
    sequence: list[tuple[str, str, str, str]],
) -> None:
    import asyncio

    asyncio.run(_hushed(tmp_path_factory.mktemp("state"), sequence, capfd))


async def _hushed(
    folder: Path, sequence: list[tuple[str, str, str, str]], capfd: pytest.CaptureFixture[str]
) -> None:
    from tests.unit.server.people import with_shop
    from tests.unit.server.whole_server import settings as of_server

    hush = Hush()
    with structlog.testing.capture_logs() as logs:
        async with with_shop(of_server(folder / "state")) as plane:
            token = hush.new()
            await made(plane, USERS, user("bot", token))
            await made(plane, f"{RBAC}/clusterrolebindings", binding("argosy:operator", "bot"))
            async with web_of(plane, token) as web:
                for step in sequence:
                    await _send(web, hush, *step)
            await audited(plane)
            text = "".join(file.read_text() for file in plane.settings.state.glob("audit.log*"))
    printed = capfd.readouterr()
    assert text.count("\n") >= len(sequence), "they are all told"
    assert hush.found_in(text) == []
    assert hush.found_in(str(logs)) == []
    assert hush.found_in(printed.out + printed.err) == []


async def _send(web: httpx.AsyncClient, hush: Hush, verb: str, where: str, query: str, key: str) -> None:
    value = hush.new()
    encoded = base64.b64encode(value.encode()).decode()
    metadata: Json = {"name": "s"}
    obj: Json = {"apiVersion": "v1", "kind": "Secret", "metadata": metadata}
    match where:
        case "data":
            obj["data"] = {key: encoded}
        case "stringData":
            obj["stringData"] = {key: value}
        case "annotations":
            metadata["annotations"] = {"kubectl.kubernetes.io/last-applied-configuration": value, "a": value}
        case "labels":
            metadata["labels"] = {"a": value}
        case "type":
            obj["type"] = value
        case "unknown":
            obj["datta"] = {key: value}
        case "wrong":
            obj["data"] = [value, {key: value}]
    body = f"{{{value}".encode() if where == "not-json" else msgspec.json.encode(obj)
    if verb == "JSON" and where != "not-json":
        body = msgspec.json.encode(
            [
                {"op": "add", "path": "/data", "value": {"k": encoded}},
                {"op": "test", "path": "/type", "value": value},
            ]
        )
    types = {
        "MERGE": "application/merge-patch+json",
        "STRATEGIC": "application/strategic-merge-patch+json",
        "JSON": "application/json-patch+json",
        "APPLY": "application/apply-patch+yaml",
    }
    headers = {"content-type": types.get(verb, "application/json")}
    if where == "token":
        headers["authorization"] = f"Bearer {value}"
    method = "PATCH" if verb in types else verb
    path = SECRETS if verb == "POST" else f"{SECRETS}/s"
    answer = await web.request(
        method, path + query, content=b"" if verb in ("GET", "DELETE") else body, headers=headers
    )
    assert answer.status_code < 500
