"""An agent beside real Envoys with a small control plane, and what runs under it: the world of test_agent.py."""

from __future__ import annotations

import asyncio
import contextlib
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest

from argosy.agent import protocol
from argosy.agent.client import Lease, ask, ensure_agent, is_alive, listed, start_time
from argosy.agent.protocol import (
    AppStarted,
    AppStopped,
    Attach,
    Event,
    Failed,
    Health,
    Leave,
    PortRequest,
    Ready,
    Start,
    Started,
    StopApp,
    WorkloadStatus,
)
from argosy.runtime.paths import runtime_dir
from tests.e2e.mesh import Connection
from tests.e2e.small_control_plane import ControlPlane

APP = Path(__file__).parent.parent / "apps" / "echo.py"
SOURCE = str(Path(__file__).parent.parent.parent / "src")


async def eventually(condition: Callable[[], object], what: str, timeout: float = 20) -> None:
    deadline = time.monotonic() + timeout
    while not condition():
        assert time.monotonic() < deadline, f"{what}: not within {timeout:.0f} s"
        await asyncio.sleep(0.02)


def alive(pid: int) -> bool:
    return start_time(pid) != 0


def spawn(*command: str) -> subprocess.Popen[bytes]:
    return subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, start_new_session=True
    )


class Held:
    """A workload held by this test, as `argosy run` would."""

    def __init__(self, state: Path, service: str, version: str = "v1", *, serves: bool = True) -> None:
        self.state = state
        self.request = Start(
            name=f"{service}-{version}",
            service=service,
            service_account=service,
            labels={"app": service, "version": version},
            ports=(PortRequest(workload=9080),) if serves else (),
        )
        self.serves = serves
        self.events: list[Event] = []
        self.app: subprocess.Popen[bytes] | None = None
        self.lease: Lease | None = None
        self.over = asyncio.Event()

    async def start(self) -> Held:
        self.lease = await Lease.open(self.state, self.request)
        self.pump = asyncio.create_task(self._pump(self.lease))
        await eventually(lambda: self.last(Ready) or self.last(Failed), f"{self.request.name} is ready")
        assert not self.last(Failed), self.last(Failed)
        if self.serves:
            await self.start_app()
            await eventually(lambda: self.announced, f"{self.request.name} is announced")
        return self

    async def start_app(self) -> None:
        command = [
            sys.executable,
            str(APP),
            str(self.started.ports[0].application),
            "--name",
            self.request.name,
        ]
        self.app = spawn(*command)
        assert self.lease is not None
        await self.lease.send(self.app_started)

    @property
    def app_started(self) -> AppStarted:
        assert self.app is not None
        return AppStarted(pid=self.app.pid, pgid=self.app.pid, start_time=start_time(self.app.pid))

    async def _pump(self, lease: Lease) -> None:
        while (event := await lease.receive()) is not None:
            self.events.append(event)
            if isinstance(event, StopApp) and self.app is not None:
                self.app.terminate()
                code = await asyncio.to_thread(self.app.wait)
                await lease.send(AppStopped(code=code))
        self.over.set()

    async def attach(self, name: str = "", token: str = "") -> None:
        await asyncio.to_thread(ensure_agent, self.state)
        app = self.app_started if self.app else None
        started = self.started
        self.lease = await Lease.open(
            self.state, Attach(name=name or started.name, token=token or started.token, app=app)
        )
        self.over.clear()
        self.events.clear()
        self.pump = asyncio.create_task(self._pump(self.lease))

    async def leave(self) -> None:
        assert self.lease is not None
        await self.lease.send(Leave())
        await asyncio.wait_for(self.over.wait(), 40)

    def last(self, kind: type) -> Event | None:
        return next((event for event in reversed(self.events) if isinstance(event, kind)), None)

    @property
    def started(self) -> Started:
        found = self.last(Started)
        assert isinstance(found, Started), self.events
        return found

    @property
    def announced(self) -> bool:
        health = self.last(Health)
        return isinstance(health, Health) and health.announced

    def status(self) -> WorkloadStatus:
        answer = listed(self.state)
        assert answer is not None
        return next(w for w in answer.workloads if w.name == self.started.name)

    @property
    def envoy(self) -> int:
        return self.status().envoy_pid


class World:
    """A state directory, its control plane and what runs."""

    def __init__(self, state: Path, plane: ControlPlane) -> None:
        self.state = state
        self.plane = plane
        self.held: list[Held] = []

    async def workload(self, service: str, version: str = "v1", *, serves: bool = True) -> Held:
        await asyncio.to_thread(ensure_agent, self.state)
        held = Held(self.state, service, version, serves=serves)
        self.held.append(held)
        return await held.start()

    async def get(self, client: Held, url: str = "http://reviews:9080/") -> int:
        connection = Connection(client.started.outbound_proxy_port)
        try:
            return (await asyncio.wait_for(connection.request(url), 10)).status
        finally:
            connection.close()

    async def reaches(self, client: Held, url: str = "http://reviews:9080/") -> None:
        deadline = time.monotonic() + 20
        while True:
            with contextlib.suppress(OSError, asyncio.IncompleteReadError):
                if (status := await self.get(client, url)) == 200:
                    return
                assert time.monotonic() < deadline, status
            await asyncio.sleep(0.05)

    def agent_pid(self) -> int:
        answer = listed(self.state)
        assert answer is not None
        return answer.agent.pid

    def agent_log(self) -> str:
        return (self.state / "agent" / "agent.log").read_text()


@pytest.fixture
async def world(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[World]:
    monkeypatch.setenv("PYTHONPATH", SOURCE)
    plane = ControlPlane(tmp_path / "state")
    await plane.start()
    here = World(tmp_path / "state", plane)
    try:
        yield here
    finally:
        if await asyncio.to_thread(is_alive, here.state):
            pid = here.agent_pid()
            await asyncio.to_thread(lambda: list(ask(here.state, protocol.Shutdown(patience=0.1), 40)))
            await eventually(lambda: not alive(pid), "the agent ends")
        for held in here.held:
            if held.app is not None and held.app.poll() is None:
                held.app.kill()
            if held.app is not None:
                held.app.wait()
        await plane.stop()
        assert _processes_of(here.state) == []
        assert not runtime_dir(here.state).exists() or list(runtime_dir(here.state).iterdir()) == []
        assert not (here.state / "agent" / "workloads").exists()


def _processes_of(state: Path) -> list[str]:
    found = []
    for process in Path("/proc").glob("[0-9]*/cmdline"):
        with contextlib.suppress(OSError):
            words = process.read_bytes().replace(b"\0", b" ").decode(errors="replace")
            if str(state) in words and alive(int(process.parent.name)):
                found.append(words)
    return found
