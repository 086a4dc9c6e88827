"""The control socket's server side: one coroutine a connection, speaking `protocol`."""

from __future__ import annotations

import asyncio
import contextlib
import os
import socket
import struct
import time
from typing import TYPE_CHECKING

import msgspec

from argosy.agent import protocol
from argosy.agent.admin import AdminError
from argosy.agent.client import start_time
from argosy.agent.processes import ProcessId
from argosy.agent.protocol import (
    AppStarted,
    AppStopped,
    Attach,
    Down,
    DownAnswer,
    Failed,
    Leave,
    List,
    Listed,
    Progress,
    Shutdown,
    Start,
    Stats,
    StatsAnswer,
    WorkloadStats,
)
from argosy.agent.traffic import traffic
from argosy.runtime.errors import Failure
from argosy.runtime.log import logger

if TYPE_CHECKING:
    from argosy.agent.agent import Agent
    from argosy.agent.supervisor import Workload

TELL_SECONDS = 10.0
GREET_SECONDS = 30.0
"""In which the first request must have come."""
MOST_CONNECTIONS = 4096
"""At once. Each `argosy run` holds one."""

log = logger("agent")


class Connection:
    """One client. Telling it never fails: that it is gone shows when reading."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer

    async def tell(self, message: protocol.Event) -> None:
        with contextlib.suppress(ConnectionError, TimeoutError, RuntimeError):
            self._writer.write(protocol.line(message))
            async with asyncio.timeout(TELL_SECONDS):
                await self._writer.drain()

    async def receive(self) -> protocol.Request | None:
        """The next request; None at the end. Raises Failure for what is no request."""
        while True:
            try:
                text = await self._reader.readline()
            except (ConnectionError, ValueError):
                return None
            if text == b"\n":  # a greeting: is anybody there?
                with contextlib.suppress(ConnectionError):
                    self._writer.write(b"\n")
                continue
            if not text.endswith(b"\n"):
                return None
            try:
                return protocol.requests.decode(text)
            except msgspec.MsgspecError as error:
                raise Failure(
                    f"not a request of this protocol: {error}", "use the same version of argosy"
                ) from error

    def peer(self) -> ProcessId:
        """The process at the other end, as the kernel knows it (SO_PEERCRED)."""
        pid, _ = self._credentials()
        return ProcessId(pid, start_time(pid))

    def is_ours(self) -> bool:
        """Whether the other end is the agent's own user, or root, who may do as it likes. (The socket stands where no
        other may go; this holds where somebody changed that.)"""
        return self._credentials()[1] in (0, os.geteuid())

    def _credentials(self) -> tuple[int, int]:
        """(process, user)."""
        raw = self._writer.get_extra_info("socket")
        data = raw.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, struct.calcsize("3i"))
        pid, uid, _ = struct.unpack("3i", data)
        return pid, uid

    def close(self) -> None:
        self._writer.close()


class Control:
    """Answers for an agent."""

    def __init__(self, agent: Agent) -> None:
        self.agent = agent
        self.connections = 0

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        connection = Connection(reader, writer)
        self.connections += 1
        try:
            if not connection.is_ours():
                log.warning("a process of another user is turned away", pid=connection.peer().pid)
                return
            if self.connections > MOST_CONNECTIONS:
                log.warning("too many connections to the agent", most=MOST_CONNECTIONS)
                return
            request = await self._first(connection)
            if request is not None:
                _check_version(request)
                await self._answer(connection, request)
        except Failure as failure:
            await connection.tell(Failed(what=failure.what, remedy=failure.remedy))
        except Exception as error:
            log.exception("request failed")
            await connection.tell(
                Failed(what=f"the agent failed: {error}", remedy="see its log: argosy ps --agent")
            )
        finally:
            self.connections -= 1
            connection.close()

    async def _first(self, connection: Connection) -> protocol.Request | None:
        try:
            async with asyncio.timeout(GREET_SECONDS):
                return await connection.receive()
        except TimeoutError:
            log.debug("nothing was asked for", seconds=GREET_SECONDS)
            return None

    async def _answer(self, connection: Connection, request: protocol.Request) -> None:
        agent = self.agent
        match request:
            case Start():
                workload = agent.start(request, connection.peer())
                await self._hold(connection, workload)
            case Attach():
                await self._hold(connection, await self._attached(request))
            case List(counted=counted):
                statuses = await asyncio.gather(*(_status(w, counted) for w in agent.workloads.values()))
                ordered = tuple(sorted(statuses, key=lambda status: status.name))
                await connection.tell(Listed(agent=agent.status(), workloads=ordered))
            case Stats(name=name):
                await connection.tell(await self._stats(name))
            case Down(name=name, patience=patience):
                names = (name,) if name else tuple(agent.workloads)
                if name and name not in agent.workloads:
                    known = ", ".join(sorted(agent.workloads)) or "none"
                    raise Failure(f"there is no workload {name!r}", f"running here: {known}")
                for one in names:
                    await connection.tell(Progress(f"{one} leaves"))
                await connection.tell(DownAnswer(names=await agent.down(names, patience, "argosy down")))
            case Shutdown(patience=patience):
                names = tuple(agent.workloads)
                for one in names:
                    await connection.tell(Progress(f"{one} leaves"))
                gone = await agent.down(names, patience, "the agent was stopped")
                await connection.tell(DownAnswer(names=gone))
                agent.end()
            case _:
                raise Failure(
                    f"{type(request).__name__} does not begin a connection", "send Start or Attach before"
                )

    async def _attached(self, request: Attach) -> Workload:
        workload = self.agent.workloads.get(request.name)
        if workload is None or not workload.admits(request.token):
            raise Failure(f"there is no workload {request.name!r} to attach to", "start it again")
        if request.app is None and workload.record.app is not None:
            workload.app_stopped()
        elif request.app is not None and workload.record.app != request.app:
            workload.app_started(request.app)
        return workload

    async def _hold(self, connection: Connection, workload: Workload) -> None:
        """Serves a lease to its end."""
        await workload.attach(connection, connection.peer())
        over = asyncio.create_task(workload.done.wait())
        try:
            while True:
                reading = asyncio.create_task(connection.receive())
                await asyncio.wait((reading, over), return_when=asyncio.FIRST_COMPLETED)
                if not reading.done():
                    reading.cancel()
                    return
                match reading.result():
                    case None:
                        return
                    case AppStarted() as app:
                        workload.app_started(app)
                    case AppStopped():
                        workload.app_stopped()
                    case Leave(patience=patience, reason=reason):
                        workload.leave(reason, patience)
                    case other:
                        raise Failure(
                            f"{type(other).__name__} cannot be sent on a lease", "open another connection"
                        )
        finally:
            over.cancel()
            workload.detach(connection)

    async def _stats(self, name: str) -> StatsAnswer:
        agent = self.agent
        if name and name not in agent.workloads:
            raise Failure(f"there is no workload {name!r}", "see argosy ps")
        chosen = (
            [agent.workloads[name]] if name else sorted(agent.workloads.values(), key=lambda w: w.record.name)
        )
        return StatsAnswer(
            at=time.time(), workloads=tuple(await asyncio.gather(*(_workload_stats(one) for one in chosen)))
        )


async def _status(workload: Workload, counted: str) -> protocol.WorkloadStatus:
    if counted not in ("", workload.record.name):
        return workload.status()
    return workload.status(await workload.counted())


async def _workload_stats(workload: Workload) -> WorkloadStats:
    seen: tuple[protocol.Traffic, ...] = ()
    with contextlib.suppress(AdminError):
        seen = traffic(await workload.scrape("^istio"))
    record = workload.record
    return WorkloadStats(
        name=record.name,
        namespace=record.spec.namespace,
        service=record.spec.service,
        version=record.spec.labels.get("version", ""),
        traffic=seen,
    )


def _check_version(request: protocol.Request) -> None:
    """Raises Failure where the other side speaks a newer protocol."""
    spoken = getattr(request, "protocol", protocol.PROTOCOL)
    if spoken > protocol.PROTOCOL:
        raise Failure(
            f"this agent speaks protocol {protocol.PROTOCOL}, not {spoken}",
            "stop it with `argosy down --all`; the next command starts a new one",
        )
