"""The roles of one state directory, shared by several processes: one mesh, and none of them needed by the others."""

from __future__ import annotations

import asyncio
from pathlib import Path

import msgspec
import pytest

from argosy.runtime.errors import Failure
from argosy.runtime.paths import ServerInfo
from argosy.server.process import ControlPlane
from argosy.server.settings import Role
from argosy.xds.registration import Announce, Announced, Withdraw, Withdrawn
from argosy.xds.types import ENDPOINT, ROUTE
from tests.unit.server.whole_server import (
    OPERATIONS,
    REVIEWS,
    VIRTUAL_SERVICES,
    Attendance,
    FakeEnvoy,
    api,
    identity,
    register,
    serving,
    settings,
    until,
    virtual_service,
)

API = frozenset((Role.API,))
RUNTIME = frozenset((Role.XDS, Role.CA))


async def test_a_change_through_the_api_process_is_waited_for_in_the_runtime_process(tmp_path: Path) -> None:
    state = tmp_path / "state"
    async with serving(settings(state, roles=RUNTIME)) as runtime:
        attendance = Attendance(runtime.info.xds, await identity(runtime, "reviews-v1"))
        await attendance.ask(register("reviews-v1", "reviews"))
        assert isinstance(await attendance.ask(Announce()), Announced)
        envoy = FakeEnvoy(runtime.info.xds, await identity(runtime, "client"))
        await until(lambda: envoy.has(ROUTE, "http_proxy"), "the client has its first configuration")
        async with serving(settings(state, roles=API)) as front:
            await until(lambda: front.fleet.others, "the API process knows the runtime process")
            info = msgspec.json.decode((state / "server.json").read_bytes(), type=ServerInfo)
            assert (info.api, info.xds, info.ca) == (front.info.api, runtime.info.xds, runtime.info.ca)
            async with api(front) as web:
                made = await web.post(VIRTUAL_SERVICES, json=virtual_service("7s"))
                assert made.status_code == 201, made.text
                revision = made.json()["metadata"]["resourceVersion"]
                asked = {"object": "VirtualService/default/reviews", "revision": revision}
                verdict = (await web.get(f"{OPERATIONS}/delivery", params=asked)).json()
                assert (verdict["state"], verdict["proxies"]) == ("live", ["client.default"]), verdict
                proxies = (await web.get(f"{OPERATIONS}/proxies")).json()
                assert "client.default" in [one["name"] for one in proxies if one["connected"]]
                reason = ""
                async with asyncio.timeout(10):
                    while reason != "Programmed":
                        shown = (await web.get(f"{VIRTUAL_SERVICES}/reviews")).json()
                        conditions = shown.get("status", {}).get("conditions", ())
                        reason = next((c["reason"] for c in conditions if c["type"] == "Programmed"), "")
                        await asyncio.sleep(0.01)
        # The API is gone: endpoints move all the same.
        assert isinstance(await attendance.ask(Withdraw("leaving")), Withdrawn)
        assert not envoy.has(ENDPOINT, REVIEWS, b"reviews-v1")
        await attendance.close()
        await envoy.close()


async def test_without_a_runtime_process_the_api_says_that_nobody_serves_proxies(tmp_path: Path) -> None:
    async with serving(settings(tmp_path / "state", roles=API)) as front, api(front) as web:
        made = await web.post(VIRTUAL_SERVICES, json=virtual_service("7s"))
        asked = {
            "object": "VirtualService/default/reviews",
            "revision": made.json()["metadata"]["resourceVersion"],
        }
        verdict = (await web.get(f"{OPERATIONS}/delivery", params=asked)).json()
        assert verdict["state"] == "unaffected"
        assert "no server of the control plane serves proxies" in verdict["reason"]


async def test_two_processes_that_start_at_once_make_one_mesh(tmp_path: Path) -> None:
    state = tmp_path / "state"
    planes = [ControlPlane(settings(state, roles=roles)) for roles in (API, frozenset((Role.XDS,)))]
    await asyncio.gather(*(plane.start() for plane in planes))
    try:
        assert planes[0].authority.bundle == planes[1].authority.bundle
    finally:
        await asyncio.gather(*(plane.stop() for plane in planes))
    assert not (state / "server.json").exists()


async def test_a_role_that_another_process_has_is_refused_by_name(tmp_path: Path) -> None:
    state = tmp_path / "state"
    async with serving(settings(state, roles=RUNTIME)):
        with pytest.raises(Failure, match=r"with the role xds \(pid \d+\)") as failure:
            await ControlPlane(settings(state)).start()
    assert "--roles" in failure.value.remedy
    async with serving(settings(state)):
        pass  # the roles that had been taken before were let go


async def test_a_second_server_for_the_proxies_of_one_store_is_refused(tmp_path: Path) -> None:
    state, store = tmp_path / "state", f"sqlite://{tmp_path / 'shared.db'}"
    async with serving(settings(state, store=store)) as first:
        await until(lambda: first.fleet.records, "the first server is present")
        chosen = settings(tmp_path / "other", store=store, secrets_key_file=state / "secrets.key")
        with pytest.raises(Failure, match=f"another server .{first.info.xds}. serves the proxies"):
            await ControlPlane(chosen).start()
