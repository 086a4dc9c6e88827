"""The agent: one process per user and state directory that looks after every sidecar there.

It adopts what an earlier agent left, then listens on the control socket. It ends by itself `LINGER` seconds after its
last workload, by `Shutdown`, or by SIGTERM (every workload leaves first). Killed, it leaves its Envoys serving: the
next one adopts them.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import socket
import time
import zlib
from pathlib import Path

import msgspec
from msgspec import Struct

import argosy
from argosy.agent import host, joined, protocol, registration, servers, spec, workload
from argosy.agent.certificates import prove
from argosy.agent.client import agent_log, is_alive, socket_path
from argosy.agent.control import Control
from argosy.agent.delivery import Outlet
from argosy.agent.exporter import Exporter
from argosy.agent.ports import Ports
from argosy.agent.processes import ProcessId
from argosy.agent.sidecar import Place
from argosy.agent.supervisor import Workload
from argosy.agent.workload import Folder
from argosy.agent.workload_api import WorkloadApi
from argosy.runtime.errors import Failure
from argosy.runtime.files import raise_open_files
from argosy.runtime.locks import FileLock, Held
from argosy.runtime.log import logger
from argosy.runtime.paths import (
    leave_runtime_dir,
    make_runtime_dir,
    private_dir,
    write_private,
)

LINGER = 60.0
DELIVER_EVERY = 5.0
SHUTDOWN_PATIENCE = 10.0

log = logger("agent")


class _Kept(Struct, frozen=True):
    """`D/agent/agent.json`: what stays the same from agent to agent."""

    format: int = 1
    metrics_port: int = 0


class Agent:
    def __init__(self, state: Path, linger: float = LINGER) -> None:
        self.state = state
        self.folder = private_dir(private_dir(state) / "agent")
        self.runtime = make_runtime_dir(state)
        self.workloads: dict[str, Workload] = {}
        self.exporter = Exporter(self.workloads)
        self.outlet = Outlet(self.runtime / "xds.sock")
        self.ports = Ports(self.folder / "ports.json", begin=zlib.crc32(os.fsencode(self.folder)))
        self.control = Control(self)
        self.workload_api = WorkloadApi(self.runtime, self.workloads)
        self.started_at = time.time()
        self._linger = linger
        self._tasks: set[asyncio.Task[None]] = set()
        self._ending = asyncio.Event()
        self._place: Place | None = None
        self._joined = joined.load(state)

    async def serve(self) -> None:
        """Until it is told to end, or has nothing to do. Raises Failure where it cannot begin."""
        lock = FileLock(self.folder / "agent.lock")
        await self._lock(lock)
        server: asyncio.Server | None = None
        try:
            connections = raise_open_files() // 4
            await self._export()
            await self.outlet.start()
            await self.workload_api.start()
            own = host.Host(self.state, self._joined) if self._joined is not None else None
            self._place = Place(
                state=self.state,
                agent=self.folder,
                runtime=self.runtime,
                ports=self.ports,
                outlet=self.outlet,
                metrics_address=self.exporter.address,
                max_connections=connections,
                heard=own.heard if own is not None else None,
            )
            self._adopt()
            server = await self._listen()
            if own is not None:
                self._linger = float("inf")  # the host's own certificate is renewed, workloads or not
                self._tasks.add(asyncio.create_task(own.keep()))
            log.info("agent ready", pid=os.getpid(), state=str(self.state), metrics=self.exporter.address)
            loop = asyncio.get_running_loop()
            for number in (signal.SIGTERM, signal.SIGINT):
                loop.add_signal_handler(number, self._told)
            chores = asyncio.create_task(self._housekeeping())
            await self._until_idle()
            chores.cancel()
        finally:
            if server is not None:
                server.close()
                socket_path(self.state).unlink(missing_ok=True)
            self.exporter.stop()
            await self.workload_api.stop()
            await self.outlet.stop()
            if not self.workloads:
                self._tidy()
            lock.release()
        log.info("agent ended", pid=os.getpid())

    async def _lock(self, lock: FileLock) -> None:
        """An agent that ends just now lets go of the lock soon."""
        deadline = time.monotonic() + 10.0
        while True:
            try:
                lock.acquire(
                    "another agent looks after this state directory", "use it, or stop it: argosy down --all"
                )
                return
            except Held:
                if time.monotonic() > deadline or is_alive(self.state):
                    raise
                await asyncio.sleep(0.1)

    async def _export(self) -> None:
        file = self.folder / "agent.json"
        kept = _Kept()
        with contextlib.suppress(FileNotFoundError, msgspec.MsgspecError):
            kept = msgspec.json.decode(file.read_bytes(), type=_Kept)
        await self.exporter.start(kept.metrics_port)
        if kept.metrics_port != self.exporter.port:
            write_private(file, msgspec.json.encode(_Kept(metrics_port=self.exporter.port)))

    async def _listen(self) -> asyncio.Server:
        path = socket_path(self.state)
        path.unlink(missing_ok=True)
        try:
            server = await asyncio.start_unix_server(self.control.serve, str(path), limit=protocol.LINE_LIMIT)
        except OSError as error:
            raise Failure(
                f"cannot listen on {path}: {error}", "set XDG_RUNTIME_DIR to a short path"
            ) from error
        path.chmod(0o600)
        return server

    # --- workloads ---

    def _adopt(self) -> None:
        for name in workload.names_on_disk(self.folder):
            folder = Folder(self.folder, name)
            try:
                record = folder.load()
            except Failure as failure:
                log.error("workload not adopted", name=name, reason=failure.what, remedy=failure.remedy)
                continue
            if record is None:
                folder.remove()
                continue
            spec.resume_ports(record, self.ports)
            one = self._look_after(Workload(self.place, record))
            one.expect()

    @property
    def place(self) -> Place:
        if self._place is None:
            raise Failure("the agent has not begun")
        return self._place

    def start(self, request: protocol.Start, client: ProcessId) -> Workload:
        """Raises Failure where it cannot be run."""
        if self._ending.is_set():
            raise Failure("the agent ends just now", "try again")
        if self._joined is not None and request.type == "sidecar":
            request = spec.reachable(request, self._joined.address)
        spec.check(request)
        name = spec.free_name(request.name, (*self.workloads, *workload.names_on_disk(self.folder)))
        record = spec.new_record(request, name, client, self.ports, _address)
        folder = Folder(self.folder, name)
        try:
            folder.create()
            folder.save(record)
        except Failure:
            self.ports.release(name)
            raise
        return self._look_after(Workload(self.place, record))

    def _look_after(self, one: Workload) -> Workload:
        self.workloads[one.record.name] = one
        task = asyncio.create_task(one.run())
        self._tasks.add(task)

        def ended(done: asyncio.Task[None]) -> None:
            self._tasks.discard(done)
            if self.workloads.get(one.record.name) is one:
                del self.workloads[one.record.name]
            if not done.cancelled() and (error := done.exception()):
                log.error("workload lost", name=one.record.name, error=repr(error))

        task.add_done_callback(ended)
        return one

    async def down(self, names: tuple[str, ...], patience: float, reason: str) -> tuple[str, ...]:
        """They leave; returns when they have gone."""
        leaving = [self.workloads[name] for name in names if name in self.workloads]
        for one in leaving:
            one.leave(reason, patience)
        for one in leaving:
            await one.done.wait()
        return tuple(one.record.name for one in leaving)

    def status(self) -> protocol.AgentStatus:
        return protocol.AgentStatus(
            pid=os.getpid(),
            version=argosy.__version__,
            protocol=protocol.PROTOCOL,
            started_at=self.started_at,
            state_dir=str(self.state),
            metrics_address=self.exporter.address,
            log=str(agent_log(self.state)),
        )

    # --- its own end ---

    def end(self) -> None:
        self._ending.set()

    def _told(self) -> None:
        """SIGTERM: everybody leaves. A second one hurries."""
        patience = 0.0 if self._ending.is_set() else SHUTDOWN_PATIENCE
        self._ending.set()
        for one in self.workloads.values():
            one.leave("the agent was stopped", patience)

    async def _until_idle(self) -> None:
        idle_since = time.monotonic()
        while not (self._ending.is_set() and not self.workloads):
            if self.workloads or self.control.connections:
                idle_since = time.monotonic()
            elif time.monotonic() - idle_since > self._linger:
                return
            with contextlib.suppress(TimeoutError):
                if self._ending.is_set():
                    await asyncio.sleep(0.02)
                else:
                    async with asyncio.timeout(min(1.0, self._linger / 4)):
                        await self._ending.wait()

    async def _housekeeping(self) -> None:
        """Says what could not be said while the server was away; bounds logs."""

        def addresses() -> tuple[str, ...]:
            return servers.addresses(self.state)

        while True:
            for note in registration.undelivered(self.folder):
                if note.register.workload in self.workloads:
                    continue
                if await registration.deliver(self.folder, note, addresses, DELIVER_EVERY):
                    log.info("leave delivered", name=note.register.workload)
            for one in self.workloads.values():
                one.sidecar.envoy.trim_log()
            await self._find_server()
            await asyncio.sleep(DELIVER_EVERY)

    async def _find_server(self) -> None:
        """Another user's server may come back at another address, and a mesh with other roots, which only its
        attestation tells."""
        away = [
            one.sidecar
            for one in self.workloads.values()
            if one.sidecar.delivery and not one.sidecar.delivery.connection.connected
        ]
        if away:
            with contextlib.suppress(Failure):
                proof = await prove(self.state)
                for sidecar in away:
                    if sidecar.certificate is not None:
                        sidecar.certificate.proven(proof.answer)

    def _tidy(self) -> None:
        """No socket and no folder of ours stays; a server's may."""
        for path in (self.runtime / "xds.sock", socket_path(self.state)):
            path.unlink(missing_ok=True)
        with contextlib.suppress(OSError):
            (self.folder / "workloads").rmdir()
        leave_runtime_dir(self.state)


def _address() -> str:
    """The address by which others reach this host: the one that its default route uses; no packet is sent."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe, contextlib.suppress(OSError):
        probe.connect(("192.0.2.1", 9))  # RFC 5737: for documentation
        return str(probe.getsockname()[0])
    return "127.0.0.1"
