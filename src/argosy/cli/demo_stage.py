"""The demo's processes: the control plane, the gateway, the shop; started as a user would, and taken away whole.

A state directory of the demo bears a mark, so that no other is ever emptied. It is held by a lock while a demo runs.
What a killed demo left (processes, files) is cleaned before the next one starts.
"""

from __future__ import annotations

import asyncio
import os
import random
import shlex
import shutil
import socket
import subprocess
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path

import msgspec

from argosy.agent import client
from argosy.agent.ports import ephemeral
from argosy.agent.protocol import Shutdown, WorkloadStatus
from argosy.cli import processes
from argosy.demo.shop import GATEWAY, SHOP, Try, gateway_command, tries
from argosy.runtime.errors import Failure
from argosy.runtime.locks import FileLock
from argosy.runtime.paths import ServerInfo, private_dir, runtime_dir
from argosy.runtime.preflight import taken

MARK = "demo.lock"
UP_SECONDS = 90.0
SERVER_PORTS = {"api": 16443, "xds": 15012, "ca": 15013, "status": 15014}  # the defaults of `argosy server`
OTHER_PORTS = range(30_000, 32_768)
Told = Callable[[str, str], None]
"""(what, how it is): progress for people."""


def claim(state: Path) -> FileLock:
    """Takes the state directory for a demo, and empties it. Raises Failure where it is not a demo's."""
    if state.is_dir() and any(state.iterdir()) and not (state / MARK).exists():
        raise Failure(
            f"{state} is not empty and not a demo's: the demo starts from nothing",
            "choose another directory with --state-dir",
        )
    private_dir(state)
    lock = FileLock(state / MARK)
    lock.acquire(f"another demo uses {state}", "end it, or choose another directory with --state-dir")
    sweep(state)
    for entry in state.iterdir():
        if entry.name != MARK:
            shutil.rmtree(entry) if entry.is_dir() and not entry.is_symlink() else entry.unlink()
    return lock


def sweep(state: Path, patience: float = 2.0) -> list[int]:
    """Ends every process of this state directory and removes its sockets. Gives the pids that had to be killed."""
    folders = [state, runtime_dir(state)]
    killed = processes.end(processes.belonging(folders), patience)
    killed += processes.end(processes.belonging(folders), patience)  # what those started while they ended
    shutil.rmtree(runtime_dir(state), ignore_errors=True)
    with suppress(OSError):
        runtime_dir(state).parent.rmdir()  # ours too, once no other mesh has a folder in it
    return killed


def server_info(state: Path) -> ServerInfo | None:
    """What the running server says of itself; None where none runs."""
    try:
        info = msgspec.json.decode((state / "server.json").read_bytes(), type=ServerInfo)
    except (OSError, msgspec.MsgspecError):
        return None
    return info if processes.alive(info.pid) else None


def addresses() -> list[str]:
    """None where the control plane's own ports are free; otherwise (the user has a mesh already) flags with free ones.

    Chosen once, so that a control plane that is brought back is where it was: hence neither from the ephemeral range
    nor from what agents give their workloads, either of which may own the port while it is away.
    """
    if not taken(SERVER_PORTS.values()):
        return []
    mine = [port for port in OTHER_PORTS if port not in ephemeral()]
    random.shuffle(mine)  # two demos that start together rarely choose alike
    free = (port for port in mine if not taken([port]))
    found = dict(zip(SERVER_PORTS, free, strict=False))
    if len(found) < len(SERVER_PORTS):
        span = f"{OTHER_PORTS.start}-{OTHER_PORTS.stop - 1}"
        raise Failure(f"no four free ports in {span} outside the ephemeral range", "stop what listens there")
    return [f"--{role}-address=127.0.0.1:{port}" for role, port in found.items()]


class Stage:
    """Everything of one demo. `start` and `stop` are called once each; `stop` whatever has happened before."""

    def __init__(self, state: Path, port: int, told: Told) -> None:
        self.state = state
        self.port = port
        self.told = told
        self.argosy = processes.argosy_command()
        self.addresses = addresses()
        self.server: subprocess.Popen[bytes] | None = None
        self.runs: dict[str, subprocess.Popen[bytes]] = {}

    @property
    def page(self) -> str:
        return f"http://127.0.0.1:{self.port}/"

    def tries(self) -> list[Try]:
        """What to try next, in words that a shell takes from anywhere."""
        return tries(
            shlex.join(self.argosy),
            self.state,
            self.port,
            self.server_pid(),
            shlex.join(self.server_command()),
        )

    def server_command(self) -> list[str]:
        return [*self.argosy, "server", f"--state-dir={self.state}", *self.addresses]

    def log(self, name: str) -> Path:
        return self.state / "logs" / f"{name}.log"

    async def start(self, apply: Callable[[Path], None]) -> None:
        """Until every workload is announced and the page is answered. `apply` brings in the shop's configuration."""
        began = time.monotonic()
        self.told("control plane", "starting")
        self.server = processes.start(self.server_command(), self.log("server"))
        agent = asyncio.create_task(asyncio.to_thread(client.ensure_agent, self.state))
        try:
            await self._until(self._server_ready, began, "the control plane")
        except Failure:
            agent.cancel()
            raise
        await agent
        self.told("control plane", "ready")
        self._start("gateway", gateway_command(self.argosy, self.state, self.port))
        for member in SHOP:
            self._start(member.name, member.command(self.argosy, self.state))
        await asyncio.to_thread(apply, self.state)
        await self._until(self._workloads_ready, began, "the shop")
        await self._until(self._page_answered, began, "the page")

    def _start(self, name: str, command: Sequence[str]) -> None:
        self.told(name, "starting")
        self.runs[name] = processes.start(command, self.log(name))

    async def _until(self, condition: Callable[[], bool], began: float, what: str) -> None:
        while True:
            if await asyncio.to_thread(condition):
                return
            self.check()
            if time.monotonic() - began > UP_SECONDS:
                raise Failure(
                    f"{what} was not up within {UP_SECONDS:.0f} s", f"see the logs in {self.state / 'logs'}"
                )
            await asyncio.sleep(0.1)

    def check(self) -> None:
        """Raises Failure where one of the processes has ended, with the end of its log."""
        for name, process in self.runs.items():
            if process.poll() is not None:
                self._ended(name, process)
        if self.server is not None and not self.runs and self.server.poll() is not None:
            self._ended("server", self.server)

    def _ended(self, name: str, process: subprocess.Popen[bytes]) -> None:
        said = self.log(name).read_text(errors="replace").strip()[-1500:]
        raise Failure(f"{name} ended with code {process.returncode}:\n{said}", f"see {self.log(name)}")

    def _server_ready(self) -> bool:
        info = server_info(self.state)
        if info is None or self.server is None or info.pid != self.server.pid or not info.api:
            return False
        try:
            host, _, port = info.api.rpartition("/")[2].rpartition(":")
            socket.create_connection((host.strip("[]"), int(port)), 1).close()
        except OSError:
            return False
        return (self.state / "kubeconfig").exists()

    def workloads(self) -> Sequence[WorkloadStatus]:
        try:
            listed = client.listed(self.state)
        except Failure:
            return ()
        return listed.workloads if listed else ()

    def _workloads_ready(self) -> bool:
        found = {w.name: w for w in self.workloads()}
        ready = True
        for name in self.runs:
            status = found.get(GATEWAY if name == "gateway" else name)
            up = status is not None and (status.announced or (name == "gateway" and status.state in SERVING))
            self.told(name, "ready" if up else status.state if status else "starting")
            ready = ready and up
        return ready

    def _page_answered(self) -> bool:
        self.told("page", "waiting")
        try:
            with socket.create_connection(("127.0.0.1", self.port), 2) as connection:
                connection.settimeout(5)
                connection.sendall(b"GET /api/page HTTP/1.0\r\nHost: 127.0.0.1\r\n\r\n")
                said = b""
                while chunk := connection.recv(1 << 16):
                    said += chunk
        except OSError:
            return False
        answered = b" 200 " in said.partition(b"\r\n")[0] and b'"error"' not in said
        if answered:
            self.told("page", "ready")
        return answered

    def server_pid(self) -> int:
        """Of the control plane that runs now, whoever started it; 0: none."""
        if self.server is not None:
            self.server.poll()  # a killed child of ours must not look alive
        info = server_info(self.state)
        return info.pid if info else 0

    def stop(self) -> None:
        """In order: workloads leave, the agent ends, the control plane ends; then whatever is left is ended too."""
        if client.is_alive(self.state):
            with suppress(Failure):
                for _ in client.ask(self.state, Shutdown(patience=1.0), timeout=10):
                    pass
        left = processes.gone_within([p.pid for p in self.runs.values() if p.poll() is None], 5)
        processes.end(left, 3)
        if pid := self.server_pid():
            processes.end([pid], 5)
        sweep(self.state)
        self._reap()

    def hurry(self) -> None:
        """Takes everything away at once."""
        sweep(self.state, patience=0)
        self._reap()

    def _reap(self) -> None:
        for process in (*self.runs.values(), *([self.server] if self.server else [])):
            process.wait()


SERVING = ("ready", "running")


def default_state(chosen: str) -> Path:
    """The demo's own directory: it must not meet the mesh that a user runs for real."""
    from argosy.runtime.paths import state_dir

    if chosen:
        return state_dir(chosen).resolve()
    unset = {name: value for name, value in os.environ.items() if name != "ARGOSY_STATE_DIR"}
    base = unset.get("XDG_STATE_HOME") or "~/.local/state"
    return (Path(base).expanduser() / "argosy-demo").resolve()
