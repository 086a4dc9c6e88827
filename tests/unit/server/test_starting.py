"""A whole server starts and stops: with what it finds in its state directory, and what does not start."""

from __future__ import annotations

import asyncio
import os
import signal
import socket
import subprocess
import sys
from pathlib import Path
from typing import Any

import httpx
import msgspec
import pytest

from argosy.runtime.errors import Failure
from argosy.runtime.paths import ServerInfo
from argosy.server.process import ControlPlane
from argosy.server.settings import Address, Role
from tests.unit.server.whole_server import api, serving, settings, until
from tests.unit.server.whole_server import plane as plane  # the fixture


async def test_a_second_server_on_the_same_state_is_refused(plane: ControlPlane) -> None:
    with pytest.raises(Failure, match=rf"another server runs on .* \(pid {os.getpid()}\)"):
        await ControlPlane(settings(plane.settings.state)).start()
    async with httpx.AsyncClient(trust_env=False) as web:
        assert (await web.get(f"{plane.info.status}/readyz")).status_code == 200


@pytest.mark.parametrize("role", ["api", "xds", "ca", "status"])
async def test_a_port_that_is_taken_is_named_with_its_option(tmp_path: Path, role: str) -> None:
    state = tmp_path / "state"
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(Failure, match=f"port {port} on 127.0.0.1 is taken") as failure:
            await ControlPlane(settings(state, **{role: Address("127.0.0.1", port)})).start()
    assert f"--{role}-address" in failure.value.remedy
    async with serving(settings(state)):
        pass  # what had started was stopped again, so the next start finds all free


@pytest.mark.parametrize("roles", [{"api"}, {"ca"}, {"xds"}, {"api", "ca"}, {"xds", "ca"}])
async def test_each_role_starts_alone(tmp_path: Path, roles: set[str]) -> None:
    chosen = settings(tmp_path / "state", roles=frozenset(Role(role) for role in roles))
    async with serving(chosen) as plane:
        info = msgspec.json.decode((tmp_path / "state" / "server.json").read_bytes(), type=ServerInfo)
        assert info == plane.info
        assert set(info.roles) == roles
        assert bool(info.api) == ("api" in roles)
        assert bool(info.xds) == ("xds" in roles)
        assert bool(info.ca) == bool(info.attest_socket) == ("ca" in roles)


async def test_what_was_deleted_does_not_come_back(tmp_path: Path) -> None:
    chosen = settings(tmp_path / "state")
    path = "/apis/security.istio.io/v1/namespaces/istio-system/peerauthentications/default"
    async with serving(chosen) as plane, api(plane) as web:
        found = await web.get(path)
        assert found.json()["spec"] == {"mtls": {"mode": "STRICT"}}
        assert (await web.delete(path)).status_code == 200
    async with serving(chosen) as plane, api(plane) as web:
        assert (await web.get(path)).status_code == 404
        assert (await web.get("/api/v1/namespaces/default")).status_code == 200


@pytest.mark.parametrize("broken", ["argosy.db", "ca/root.key", "token"])
async def test_a_broken_file_is_named(tmp_path: Path, broken: str) -> None:
    state = tmp_path / "state"
    async with serving(settings(state)):
        pass
    (state / broken).write_bytes(b"garbage" * 100 if broken != "token" else b"")
    with pytest.raises(Failure, match=broken.rpartition("/")[2]):
        await ControlPlane(settings(state)).start()


async def test_a_first_start_that_was_cut_off_is_finished(tmp_path: Path) -> None:
    from argosy.server.defaults import first_objects, write_first_objects
    from argosy.store.base import Unavailable
    from argosy.store.memory import MemoryStore

    class Dying(MemoryStore):
        async def create(self, key: Any, body: bytes, given: Any = None) -> Any:
            if len(self._objects) == 2:
                raise Unavailable("killed")
            return await super().create(key, body, given)

    store: MemoryStore = Dying()
    with pytest.raises(Unavailable):
        await write_first_objects(store, 0)
    store.__class__ = MemoryStore
    assert await write_first_objects(store, 0)
    keys = {item.key for item in (await store.list()).items if not item.key.resource.startswith("/internal/")}
    assert keys == {key for key, _ in first_objects(0, "")}
    assert not await write_first_objects(store, 0)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
async def test_the_process_stops_cleanly(tmp_path: Path, number: signal.Signals) -> None:
    state = tmp_path / "state"
    options = [f"--{name}-address=127.0.0.1:0" for name in ("api", "xds", "ca", "status")]
    process = await asyncio.create_subprocess_exec(
        str(Path(sys.executable).parent / "argosy"),
        "server",
        f"--state-dir={state}",
        *options,
        stderr=subprocess.PIPE,
        stdout=subprocess.PIPE,
    )
    try:
        await until((state / "server.json").exists, "the server is ready", 30)
        process.send_signal(number)
        out, err = await asyncio.wait_for(process.communicate(), 20)
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    assert (process.returncode, out) == (0, b"")
    assert b"Traceback" not in err
    lines = [msgspec.json.decode(line) for line in err.splitlines()]
    assert [line["event"] for line in lines][-2:] == ["stopping", "stopped"]
    assert not (state / "server.json").exists()
