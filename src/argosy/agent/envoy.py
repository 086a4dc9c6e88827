"""One sidecar's Envoy process: started, adopted, watched, restarted, drained, stopped.

It runs in a session of its own and outlives the agent; a new agent finds it by pid and start time. One that ends
unasked is started again, after a wait that doubles from `BACKOFF` and starts over once it ran for `STEADY` seconds.
"""

from __future__ import annotations

import asyncio
import contextlib
import errno
import os
import re
import shutil
from collections.abc import Awaitable, Callable
from pathlib import Path

import msgspec

from argosy.agent.admin import Admin, AdminError
from argosy.agent.bootstrap import arguments, envoy_binary
from argosy.agent.processes import Process, ProcessId, ending
from argosy.agent.workload import Folder
from argosy.runtime.errors import Failure
from argosy.runtime.log import logger
from argosy.runtime.preflight import REINSTALL_ENVOY
from argosy.xds.start import ProxyStart

BACKOFF = (0.2, 10.0)
STEADY = 30.0
STOP_SECONDS = 5.0
LOG_LIMIT = 64 << 20
_ACTIVE = (
    r"^(http\.(inbound|gateway)_[^.]+\.downstream_rq_active|cluster\.inbound\|.*\.upstream_[cr][xq]_active)$"
)
_PORT = re.compile(rb'"port_value":\s*(\d+)')

log = logger("agent")


class Envoy:
    """`prepare` writes the bootstrap and gives what the process is started with; `changed` is told each new process,
    `restarted` each that was not asked for."""

    def __init__(
        self,
        name: str,
        folder: Folder,
        socket: Path,
        *,
        prepare: Callable[[], ProxyStart],
        changed: Callable[[ProcessId], None],
        restarted: Callable[[str, int], Awaitable[None]],
    ) -> None:
        self.name = name
        self.admin = Admin(str(socket))
        self.process: Process | None = None
        self._folder = folder
        self._socket = socket
        self._prepare = prepare
        self._changed = changed
        self._restarted = restarted
        self._logged = 0  # where the present process's log begins

    @property
    def pid(self) -> int:
        return self.process.id.pid if self.process and self.process.alive else 0

    # --- beginning ---

    def start(self) -> None:
        """Raises Failure where it cannot be started."""
        start = self._prepare()
        self._socket.unlink(missing_ok=True)
        self.trim_log()
        self._logged = self._folder.envoy_log.stat().st_size if self._folder.envoy_log.exists() else 0
        folder = self._folder
        config = folder.patched_bootstrap if start.patches else folder.bootstrap
        command = arguments(envoy_binary(), config, start)
        try:
            self.process = Process.spawn(
                command, self._folder.envoy_log, self._folder.path, start.environment
            )
        except OSError as error:
            scarce = error.errno in (errno.ENOMEM, errno.EAGAIN, errno.ENOSPC, errno.EMFILE)
            remedy = "free some memory or disk space" if scarce else REINSTALL_ENVOY
            raise Failure(f"Envoy cannot be started: {error}", remedy) from error
        self._changed(self.process.id)

    async def adopt(self, id: ProcessId) -> bool:
        """Takes over a running Envoy; False where it has ended, or nobody can talk to it (it is ended then)."""
        process = Process.adopt(id)
        if process is None:
            return False
        for _ in range(3):
            try:
                await self.admin.get("/server_info", 2.0)
            except AdminError:
                await asyncio.sleep(0.2)
                continue
            self.process = process
            log.info("sidecar adopted", workload=self.name, pid=id.pid)
            return True
        await process.stop(STOP_SECONDS)
        return False

    async def until_serving(self, ports: frozenset[int]) -> None:
        """Waits until it is ready and listens on these ports. Raises Failure where it ends before."""
        pause = 0.03
        while not (await self.admin.ready() and ports <= await self.listening()):
            if self.process is None or not self.process.alive:
                code = self.process.code if self.process else None
                raise Failure(
                    f"Envoy {ending(code)} before it was ready:\n{self.words()}",
                    f"see {self._folder.envoy_log}",
                )
            await asyncio.sleep(pause)
            pause = min(pause * 1.3, 0.25)

    async def listening(self) -> frozenset[int]:
        """The ports of its listeners."""
        try:
            body = await self.admin.get("/listeners?format=json")
        except AdminError:
            return frozenset()
        return frozenset(int(port) for port in _PORT.findall(body))

    def words(self) -> str:
        """The last lines that the present process wrote."""
        with contextlib.suppress(OSError), self._folder.envoy_log.open("rb") as written:
            written.seek(max(self._logged, self._folder.envoy_log.stat().st_size - 4000))
            lines = written.read().decode(errors="replace").strip().splitlines()
            return "\n".join(lines[-8:]) or "it wrote nothing"
        return "it wrote nothing"

    def trim_log(self) -> None:
        """Moves what was logged aside, once it is much. Envoy appends, so it goes on at the new end."""
        path = self._folder.envoy_log
        with contextlib.suppress(FileNotFoundError):
            if path.stat().st_size > LOG_LIMIT:
                shutil.copyfile(path, path.with_suffix(".old"))
                os.truncate(path, 0)
                self._logged = 0

    # --- watching ---

    async def watch(self) -> None:
        """Restarts it for ever."""
        clock = asyncio.get_running_loop().time
        wait = BACKOFF[0]
        while True:
            began, reason = clock(), "could not be started"
            if (process := self.process) is not None:
                await process.ended()
                reason = ending(process.code)
                log.warning("sidecar ended", workload=self.name, reason=reason, words=self.words()[-500:])
                if clock() - began > STEADY:
                    wait = BACKOFF[0]
            await asyncio.sleep(wait)
            wait = min(wait * 2, BACKOFF[1])
            try:
                self.start()
            except Failure as failure:
                self.process = None
                log.error("sidecar not started", workload=self.name, reason=failure.what)
                continue
            await self._restarted(reason, self.pid)

    # --- ending ---

    async def drain(self, query: str) -> None:
        """Tells clients to go elsewhere, and closes the listening sockets; open connections go on.

        `query`: which listeners, `inboundonly` or nothing. Raises AdminError.
        """
        which = f"&{query}" if query else ""
        await self.admin.post(f"/drain_listeners?graceful&skip_exit{which}")
        await self.admin.post(f"/drain_listeners{'?' + query if query else ''}")

    async def active(self, streams: frozenset[int]) -> int:
        """Requests that came in and are not answered, and connections to the ports in `streams` (TCP).

        Raises AdminError.
        """
        gauges = await self.admin.gauges(_ACTIVE)
        total = 0
        for name, value in gauges.items():
            if name.endswith("_cx_active"):
                port = name.split("|")[1]
                total += value if port.isdigit() and int(port) in streams else 0
            else:
                total += value
        return total

    async def stop(self) -> None:
        process, self.process = self.process, None
        if process is not None:
            await process.stop(STOP_SECONDS)
        self._socket.unlink(missing_ok=True)

    def let_go(self) -> None:
        """The agent ends; Envoy goes on."""
        if self.process is not None:
            self.process.close()


def write_bootstrap(path: Path, config: dict[str, object]) -> None:
    path.write_bytes(msgspec.json.format(msgspec.json.encode(config)))
