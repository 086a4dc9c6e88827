"""One workload: what is done in each state of `workload.TABLE`, and who is told.

Rule: a state's work is one task; it ends by posting an event, and is cancelled when the state changes. Every state's
work can be begun anew, by this agent or the next. Whoever holds the lease is told everything; where nobody does, the
application ends.
"""

from __future__ import annotations

import asyncio
import contextlib
import hmac
import shutil
import time
from collections.abc import Callable, Coroutine
from typing import Protocol

import msgspec

from argosy.agent import certificates, group_probe, probe, registration, spec, statements
from argosy.agent.admin import AdminError
from argosy.agent.client import start_time
from argosy.agent.metrics import Rewriter, Scrape
from argosy.agent.processes import Process, ProcessId, kill_group
from argosy.agent.protocol import (
    REATTACH_SECONDS,
    AppStarted,
    Failed,
    Gone,
    Health,
    Progress,
    Started,
    StopApp,
    Warned,
    WorkloadStatus,
)
from argosy.agent.protocol import Event as Message
from argosy.agent.sidecar import Place, Sidecar
from argosy.agent.traffic import UNCOUNTED, Totals, totals
from argosy.agent.workload import COMPLETED, TABLE, Event, Folder, Record, State
from argosy.identity import client as identity
from argosy.runtime.errors import Failure
from argosy.runtime.log import logger
from argosy.runtime.paths import private_dir
from argosy.xds import registration as wire

CONTROL_PLANE_PATIENCE = 10.0  # how long a new workload waits for a server that does not answer
READY_PATIENCE = 45.0
WITHDRAW_PATIENCE = 7.0  # the server itself waits 5 s for its subscribers
POOLS_PATIENCE = 2.0  # until clients that nobody could tell have noticed that they are drained
STOP_PATIENCE = 30.0
LEAVE_PATIENCE = 3.0

log = logger("agent")


class Lease(Protocol):
    """The other end of a lease's connection. Telling never fails: who is gone is noticed by its connection."""

    async def tell(self, message: Message) -> None: ...


class Workload:
    """A workload from its start, or its adoption, until it is gone (`done`)."""

    def __init__(self, place: Place, record: Record) -> None:
        self.place = place
        self.record = record
        self.folder = Folder(place.agent, record.name)
        self.runtime = place.runtime / spec.socket_folder(record.name)
        self.sidecar = Sidecar(place, self, self.folder, self.runtime)
        self.health = Health(healthy=False, announced=record.announced)
        self.done = asyncio.Event()
        self.rewriter = Rewriter(spec.own(record))
        self._failure: Failure | None = None
        self._reason = "leaving"
        self._patience = STOP_PATIENCE
        self._hurry = asyncio.Event()
        self._events: asyncio.Queue[Event] = asyncio.Queue()
        self._lease: Lease | None = None
        self._waiting: asyncio.Task[None] | None = None
        self._refusals: set[str] = set()
        self._exposed = True  # whether others may send to it

    # --- who holds it ---

    def admits(self, token: str) -> bool:
        return hmac.compare_digest(token, self.record.token)

    async def attach(self, lease: Lease, client: ProcessId) -> None:
        """Another connection holds the workload from now on."""
        self._lease = lease
        if self._waiting:
            self._waiting.cancel()
            self._waiting = None
        if client != self.record.client:
            self.save(client=client)
        if self.record.identity:
            await self.tell(self.started())
        if self.record.state is not State.STARTING:
            await self.tell(statements.ready(self.sidecar))
            await self.tell(self.health)
        if self.record.state is State.STOPPING and self._app_lives():
            await self.tell(StopApp(self._reason))

    def detach(self, lease: Lease) -> None:
        """The connection is lost: whoever held it has a while to come back, if it lives."""
        if self._lease is lease:
            self._lease = None
            if not self.done.is_set():
                self.expect()

    def expect(self) -> None:
        """Nobody holds the workload: waits for whoever did."""
        self._waiting = asyncio.create_task(self._expect())

    async def _expect(self) -> None:
        holder = Process.adopt(self.record.client)
        if holder is not None:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(REATTACH_SECONDS):
                    await holder.ended()
            holder.close()
        log.warning("nobody holds the workload", name=self.record.name, client=self.record.client.pid)
        self._reason = "argosy run has ended"
        self._kill_app()
        self._events.put_nowait(Event.ABANDONED)

    async def tell(self, message: Message) -> None:
        if self._lease is not None:
            await self._lease.tell(message)

    # --- what the holder says ---

    def leave(self, reason: str, patience: float) -> None:
        start = self.record.start
        if patience > 0 and start is not None and start.leave_seconds is not None:
            patience = start.leave_seconds
        self._reason, self._patience = reason, patience
        if patience <= 0:
            self._hurry.set()
        self._events.put_nowait(Event.LEAVE)

    def app_started(self, app: AppStarted) -> None:
        self.save(app=app)
        self._events.put_nowait(Event.APP_STARTED)

    def app_stopped(self) -> None:
        if self.record.app is not None:
            self.save(app=None)
        self._events.put_nowait(Event.APP_STOPPED)

    # --- what it says ---

    def started(self) -> Started:
        return statements.started(self.sidecar)

    async def scrape(self, pattern: str = "") -> Scrape:
        """`pattern`: of Envoy's names; "" for all. Raises AdminError."""
        target = "/stats/prometheus?usedonly" + (f"&filter={pattern}" if pattern else "")
        return self.rewriter.scrape(await self.sidecar.envoy.admin.get(target))

    async def counted(self) -> Totals:
        """What its Envoy has seen; nothing where that does not answer."""
        with contextlib.suppress(AdminError):
            if self.sidecar.envoy.pid:
                return totals(await self.scrape("^istio"))
        return UNCOUNTED

    def status(self, seen: Totals = UNCOUNTED) -> WorkloadStatus:
        return statements.status(self.sidecar, self.health, seen)

    # --- the machine ---

    async def run(self) -> None:
        """Until it is gone; cancelled, it lets go of its processes, to be adopted."""
        work: asyncio.Task[None] | None = None
        try:
            await self._resume()
            work = self._begin()
            while self.record.state is not State.GONE:
                event = await self._events.get()
                state = TABLE.get((self.record.state, event))
                if state is None:
                    continue
                work.cancel()
                await asyncio.wait((work,))
                log.info("workload", name=self.record.name, state=str(state), after=str(event))
                self.save(state=state)
                work = self._begin()
            await work
        finally:
            for task in (work, self._waiting):
                if task is not None:
                    task.cancel()
            self.sidecar.let_go()
            self.done.set()

    def _begin(self) -> asyncio.Task[None]:
        work: dict[State, Callable[[], Coroutine[object, object, None]]] = {
            State.STARTING: self._starting,
            State.READY: self._ready,
            State.RUNNING: self._running,
            State.WITHDRAWING: self._withdrawing,
            State.DRAINING: self._draining,
            State.STOPPING: self._stopping,
            State.CLOSING: self._closing,
            State.LEAVING: self._leaving,
            State.GONE: self._gone,
        }
        return asyncio.create_task(self._guarded(self.record.state, work[self.record.state]))

    async def _guarded(self, state: State, work: Callable[[], Coroutine[object, object, None]]) -> None:
        """What fails while it lives takes it out of the mesh, and is told; what fails while it leaves does not stop
        it from leaving."""
        try:
            await work()
        except Failure as failure:
            log.error("workload failed", name=self.record.name, state=str(state), what=failure.what)
            self._fail(state, failure)
        except Exception as error:
            log.exception("workload failed", name=self.record.name, state=str(state))
            self._fail(state, Failure(f"{self.record.name}, {state}: {error}", "see the agent's log"))

    def _fail(self, state: State, failure: Failure) -> None:
        self._failure = self._failure or failure
        self._reason = failure.what
        self._events.put_nowait(COMPLETED.get(state, Event.LEAVE))

    def save(self, **changes: object) -> None:
        self.record = msgspec.structs.replace(self.record, **changes)
        if self.record.state is State.GONE:
            return
        try:
            self.folder.save(self.record)
        except Failure as failure:
            # It goes on: only a new agent would not find it as it is.
            log.error("record not saved", name=self.record.name, reason=failure.what)

    # --- beginning ---

    async def _resume(self) -> None:
        """Takes over what an earlier agent left; nothing where it starts."""
        private_dir(self.runtime)
        record = self.record
        if record.state is State.STARTING:
            if process := Process.adopt(
                record.envoy
            ):  # of an agent that died before it was ready: begin anew
                await process.stop(1.0)
            return
        svid = identity.load(self.folder.svid)
        if svid is None:
            self._failure = Failure(f"the certificate of {record.name} is lost", "start it again")
            self.save(state=State.CLOSING)
            return
        self.sidecar.introduce(svid)
        if self.sidecar.registration is not None:
            self.sidecar.registration.known = True
            if record.announced:
                self.sidecar.registration.announce()
        if record.state in (State.CLOSING, State.LEAVING):
            return
        await self.sidecar.adopt_envoy(record.envoy)

    async def _starting(self) -> None:
        await self.tell(Progress("proving its identity"))
        svid = await certificates.first(
            self.place.state, spec.subject(self.record), self._progress, CONTROL_PLANE_PATIENCE
        )
        svid.save(self.folder.svid)
        self.save(identity=svid.peer().identity.spiffe_id)
        self.rewriter = Rewriter(spec.own(self.record))
        registration.cancel(self.place.agent, self.record.spec.namespace, self.record.name)
        self.sidecar.introduce(svid)
        await self.tell(self.started())
        await self.tell(Progress("registering, and fetching the sidecar's configuration"))
        try:
            async with asyncio.timeout(READY_PATIENCE):
                await self.sidecar.until_serving()
        except TimeoutError:
            obstacle = statements.obstacle(self.sidecar, self._refusals)
            what = f"the sidecar of {self.record.name} is not ready after {READY_PATIENCE:.0f} s: {obstacle}"
            raise Failure(what, f"see {self.folder.envoy_log}") from None
        self.sidecar.watch()
        self._events.put_nowait(Event.SERVES)

    async def _progress(self, what: str) -> None:
        await self.tell(Progress(what))

    def refused(self, refusal: wire.Refused) -> None:
        """Of the registration. An empty field is a passing trouble of the server."""
        what = (
            f"the control plane refuses {refusal.field}: {refusal.message}"
            if refusal.field
            else refusal.message
        )
        if what in self._refusals:
            return
        self._refusals.add(what)
        if self.record.state is State.STARTING and refusal.field:
            self._fail(State.STARTING, Failure(what, ""))
        else:
            self._soon(self.tell(Warned(what=what)))

    async def _ready(self) -> None:
        await self.tell(statements.ready(self.sidecar))
        if self._app_lives():
            self._events.put_nowait(Event.APP_STARTED)
        elif self.health.announced or self.health.healthy:
            await self._judge(probe.Verdict(False, "the application does not run"))

    # --- running ---

    async def _running(self) -> None:
        asked = self.record.start.probe if self.record.start is not None else None
        if asked is not None:
            applications = {port.workload: port.application for port in self.record.ports}
            await group_probe.watch(group_probe.at_application(asked, applications), self._judge)
        await probe.watch(
            tuple(probe.Target(port.application, port.protocol) for port in self.record.ports), self._judge
        )

    async def _judge(self, verdict: probe.Verdict) -> None:
        """The probe's word: the mesh is told."""
        self.health = Health(healthy=verdict.healthy, announced=self.health.announced, detail=verdict.detail)
        attending = self.sidecar.registration
        if attending is not None:
            if verdict.healthy:
                attending.announce()
            elif attending.announcing:
                attending.unready(f"probe failed: {verdict.detail}")
        await self.tell(self.health)

    async def settled(self, announced: bool) -> None:
        """The server's word."""
        if announced != self.record.announced:
            self.save(announced=announced)
        if announced != self.health.announced:
            self.health = msgspec.structs.replace(self.health, announced=announced)
            await self.tell(self.health)

    # --- leaving ---

    async def _withdrawing(self) -> None:
        attending = self.sidecar.registration
        # Announced, or about to be: what the server was told may be under way.
        self._exposed = self.record.announced or (attending is not None and attending.exposed)
        if self._exposed and attending is not None and attending.connected and not self._hurry.is_set():
            await self.tell(Progress("telling the mesh to send nothing more"))
            attending.withdraw(self._reason)
            await self._wait(
                WITHDRAW_PATIENCE, lambda: attending.withdrawn.is_set() or not attending.connected
            )
        self._events.put_nowait(Event.WITHDRAWN)

    async def _draining(self) -> None:
        router = self.record.spec.type == "router"
        serves = router or (bool(self.record.ports) and self._app_lives())
        if serves and self.sidecar.envoy.pid and not self._hurry.is_set():
            await self.tell(Progress("finishing its requests"))
            attending = self.sidecar.registration
            told = not self._exposed or (attending is not None and attending.withdrawn.is_set())
            try:
                await self.sidecar.envoy.drain("" if router else "inboundonly")
                await self._wait(0.0 if told else POOLS_PATIENCE, lambda: False)
                await self._quiet()
            except AdminError as error:
                log.warning("not drained", name=self.record.name, reason=str(error))
        self._events.put_nowait(Event.DRAINED)

    async def _quiet(self) -> None:
        """Waits until nothing is active, twice in a row, as long as patience lasts."""
        streams = frozenset(port.workload for port in self.record.ports if port.protocol in ("tcp", "tls"))
        deadline = time.monotonic() + self._patience
        still = 0
        while still < 2 and time.monotonic() < deadline and not self._hurry.is_set():
            still = still + 1 if await self.sidecar.envoy.active(streams) == 0 else 0
            await asyncio.sleep(0.1)

    async def _stopping(self) -> None:
        if self._app_lives():
            await self.tell(StopApp(self._reason))
            if self._lease is not None:
                # In a hurry too: who holds the lease has signalled it, and sees to its end.
                await self._until(STOP_PATIENCE, lambda: not self._app_lives())
            self._kill_app()
        self._events.put_nowait(Event.APP_STOPPED)

    async def _closing(self) -> None:
        if self.sidecar.envoy.process is None and (process := Process.adopt(self.record.envoy)):
            await process.stop(1.0)
        await self.sidecar.stop()
        self._events.put_nowait(Event.CLOSED)

    async def _leaving(self) -> None:
        attending = self.sidecar.registration
        if attending is not None:
            attending.leave()
            if attending.known:
                await self._wait(LEAVE_PATIENCE, lambda: attending.left.is_set() or not attending.connected)
            svid = identity.load(self.folder.svid)
            if attending.known and not attending.left.is_set() and svid is not None:
                register = spec.register_of(self.record)
                registration.keep(self.place.agent, register, self.record.xds_address, svid)
        self._events.put_nowait(Event.LEFT)

    async def _gone(self) -> None:
        self.sidecar.let_go()
        self.place.ports.release(self.record.name)
        self.folder.remove()
        with contextlib.suppress(FileNotFoundError):
            shutil.rmtree(self.runtime)
        if self._failure is not None:
            await self.tell(Failed(what=self._failure.what, remedy=self._failure.remedy))
        else:
            await self.tell(Gone())

    # --- the application ---

    def _app_lives(self) -> bool:
        app = self.record.app
        return app is not None and start_time(app.pid) == app.start_time

    def _kill_app(self) -> None:
        app = self.record.app
        if app is not None and kill_group(app.pgid, app.pid, app.start_time):
            log.warning("application killed", name=self.record.name, pid=app.pid)

    # --- waiting ---

    async def _wait(self, seconds: float, over: Callable[[], bool]) -> None:
        """Until `over`, at most so long; not at all in a hurry."""
        await self._until(seconds, lambda: self._hurry.is_set() or over())

    async def _until(self, seconds: float, over: Callable[[], bool]) -> None:
        """Until `over`, at most so long."""
        deadline = time.monotonic() + seconds
        while not over() and time.monotonic() < deadline:
            await asyncio.sleep(0.02)

    def _soon(self, work: Coroutine[object, object, None]) -> None:
        self._last = asyncio.create_task(work)
