"""One workload from `Start` to `Gone`: the client's side of a lease, and the application between `Ready` and `StopApp`.

Everything that happens (a word of the agent, a signal, the end of the application) goes through one queue and is dealt
with one at a time, so the order of leaving is the order of this file:

    first signal   Leave ─> (agent: withdraw, drain, active requests 0) ─> StopApp ─> the signal to the application
                   without ports nothing has to be withdrawn: the signal goes to the application at once
    second         Leave(patience=0), and the signal to the application now
    third          SIGKILL to the application
    application ends by itself: AppStopped, Leave

A lost agent is started again and attached to; the application does not notice.
"""

from __future__ import annotations

import asyncio
import os
import signal
import time
from collections.abc import Coroutine, Mapping
from contextlib import suppress
from enum import StrEnum
from pathlib import Path

from msgspec import Struct

from argosy.agent import client, protocol
from argosy.cli.run_child import Child, environment, exit_code, substituted
from argosy.cli.run_watch import beyond_loopback, past_the_sidecar, sockets, tree
from argosy.cli.terminal import say, warn
from argosy.runtime.errors import Failure

LEAVING_SIGNALS = (signal.SIGINT, signal.SIGTERM)
PASSED_SIGNALS = (signal.SIGUSR1, signal.SIGUSR2, signal.SIGQUIT, signal.SIGWINCH, signal.SIGCONT)
QUIET_START = 1.0  # a start that takes longer says what it waits for


class Timing(Struct, frozen=True, kw_only=True):
    """Seconds."""

    patience: float = 30.0  # for active requests to end
    grace: float = 10.0  # from the signal to SIGKILL, once nothing reaches the application
    report: float = 10.0  # until the first look at traffic and sockets, and between looks
    gone: float = 45.0  # for the last word of the agent, a service
    gone_client: float = 3.0  # the same, a command without ports: its exit code is wanted promptly


class Phase(StrEnum):
    STARTING = "starting"
    RUNNING = "running"
    LEAVING = "leaving"  # asked to leave; the application may still run
    STOPPED = "stopped"  # the application has ended; the agent takes the workload out


class Signalled(Struct, frozen=True):
    number: int


class Exited(Struct, frozen=True):
    returned: int  # as Popen gives it


class Lost(Struct, frozen=True):
    """The connection to the agent ended without `Gone` or `Failed`."""


class TooLong(Struct, frozen=True):
    """The agent did not say `Gone` in time."""


Happening = protocol.Event | Signalled | Exited | Lost | TooLong


class Session:
    """`run()` gives the exit code. Raises Failure where the workload cannot be in the mesh."""

    def __init__(
        self,
        state: Path,
        start: protocol.Start,
        timing: Timing | None = None,
        environ: Mapping[str, str] | None = None,
    ) -> None:
        self.state = state
        self.start = start
        self.timing = timing or Timing()
        self.environ = os.environ if environ is None else environ
        self.phase = Phase.STARTING
        self.inbox: asyncio.Queue[Happening] = asyncio.Queue()
        self.tasks: set[asyncio.Task[None]] = set()
        self.lease: client.Lease | None = None
        self.started: protocol.Started | None = None
        self.child: Child | None = None
        self.stop_asked = False  # by StopApp
        self.signals = 0
        self.last_signal = signal.SIGTERM
        self.announced: bool | None = None
        self.began = time.monotonic()
        self.terminal = _has_terminal()
        self.remarks: set[str] = set()  # what was said once

    # --- the loop ---

    async def run(self) -> int:
        self._catch_signals()
        try:
            await self._open(self.start)
            while True:
                happening = await self.inbox.get()
                if (code := await self._on(happening)) is not None:
                    return code
        finally:
            if self.child and not self.child.exited.is_set():
                await self.child.stop(signal.SIGTERM, self.timing.grace)
            for task in self.tasks:
                task.cancel()
            if self.lease:
                self.lease.close()

    async def _on(self, happening: Happening) -> int | None:
        """Deals with one happening; a number is the exit code."""
        match happening:
            case protocol.Progress(what=what):
                self._progress(what)
            case protocol.Started():
                await self._on_started(happening)
            case protocol.Registered(created_service=service) if service:
                say(f"argosy: there was no Service {service}: created it")
            case protocol.Ready(stale=stale):
                await self._on_ready(stale)
            case protocol.Health():
                self._on_health(happening)
            case protocol.EnvoyRestarted(restarts=restarts, reason=reason):
                warn(f"the sidecar of {self.name} was {reason}; it was restarted (restart {restarts})")
            case protocol.Warned(what=what, remedy=remedy):
                warn(f"{what}\n  {remedy}" if remedy else what)
            case protocol.StopApp(reason=reason):
                await self._on_stop_app(reason)
            case protocol.Failed(what=what, remedy=remedy):
                raise Failure(what, remedy)
            case Signalled(number=number):
                await self._on_signal(number)
            case Exited(returned=returned):
                await self._on_exit(returned)
            case Lost():
                return await self._on_lost()
            case protocol.Gone() | TooLong():
                return await self._code(self.timing.grace)
        return None

    @property
    def name(self) -> str:
        return self.started.name if self.started else self.start.name

    def _spawn(self, work: Coroutine[None, None, None]) -> None:
        """Runs beside the loop until it ends or the session does."""
        task = asyncio.create_task(work)
        self.tasks.add(task)
        task.add_done_callback(self.tasks.discard)

    # --- the agent ---

    async def _open(self, request: protocol.Start | protocol.Attach) -> None:
        try:
            self.lease = await client.Lease.open(self.state, request)
        except OSError as error:
            raise Failure(
                f"the agent does not answer on {client.socket_path(self.state)}: {error.strerror}",
                f"see {client.agent_log(self.state)}",
            ) from error
        self._spawn(self._listen(self.lease))

    async def _listen(self, lease: client.Lease) -> None:
        while (event := await lease.receive()) is not None:
            await self.inbox.put(event)
            if isinstance(event, protocol.Gone | protocol.Failed):
                return
        await self.inbox.put(Lost())

    async def _tell(self, request: protocol.Request) -> None:
        """What a lost agent is not told now, it is told after `Attach`."""
        if self.lease is not None:
            with suppress(ConnectionError):
                await self.lease.send(request)

    async def _on_lost(self) -> int | None:
        if self.started is None:
            raise Failure(
                "the agent ended while the workload was starting", f"see {client.agent_log(self.state)}"
            )
        if self.phase is Phase.STOPPED:
            return await self._code(
                0
            )  # nothing is left to take out but the entry, and the server sees to that
        warn("the agent has ended; starting another (traffic goes on)")
        app = self._app()
        pause = 0.2
        while True:
            try:
                await asyncio.to_thread(client.ensure_agent, self.state)
                await self._open(protocol.Attach(name=self.started.name, token=self.started.token, app=app))
                break
            except Failure as failure:
                if self.phase is not Phase.RUNNING:
                    raise
                self._once(f"no agent: {failure.what}; trying again")
                await asyncio.sleep(pause)
                pause = min(pause * 2, 10)
                if self.child and self.child.exited.is_set():
                    return exit_code(self.child.returned)
        if self.phase is Phase.LEAVING:
            await self._leave(self.timing.patience if self.signals < 2 else 0, "leaving")
        return None

    def _app(self) -> protocol.AppStarted | None:
        if self.child is None or self.child.exited.is_set():
            return None
        pid = self.child.pid
        return protocol.AppStarted(pid=pid, pgid=pid, start_time=client.start_time(pid))

    async def _leave(self, patience: float, reason: str) -> None:
        await self._tell(protocol.Leave(patience=patience, reason=reason))

    # --- starting ---

    def _progress(self, what: str) -> None:
        if self.phase is Phase.STARTING and time.monotonic() - self.began > QUIET_START:
            say(f"argosy: {self.name}: {what}", "dim")

    async def _on_started(self, started: protocol.Started) -> None:
        again = self.started is not None
        self.started = started
        if again:
            say(f"argosy: {started.name} is attached to the new agent", "green")
            return
        for line in described(started, self.start):
            say(line)

    async def _on_ready(self, stale: bool) -> None:
        if stale:
            warn("the control plane is away: this is the last good configuration")
        if self.phase is not Phase.STARTING or self.started is None:
            return
        self.phase = Phase.RUNNING
        if self.start.type == "router":
            say(f"argosy: {self.name} is ready", "green")
            return
        ports = self.started.ports
        self.child = child = Child(
            substituted(self.start.command, ports),
            environment(self.environ, self.started.outbound_proxy_port, ports, self.started.workload_socket),
            interactive=not ports,
        )
        app = self._app()
        if app is not None:
            await self._tell(app)
        self._spawn(self._wait_for(child))
        self._spawn(self._look_after(child))

    async def _wait_for(self, child: Child) -> None:
        await child.exited.wait()
        await self.inbox.put(Exited(child.returned))

    def _on_health(self, health: protocol.Health) -> None:
        if health.announced != self.announced and self.phase is Phase.RUNNING:
            if health.announced:
                say(f"argosy: {self.name} is announced: requests may come", "green")
            elif self.announced and not health.healthy:
                warn(f"{self.name} gets no more requests: {health.detail or 'its probe fails'}")
        if not health.healthy and health.detail and self.announced is None:
            self._once_later(health.detail)
        self.announced = health.announced if health.announced or self.announced else self.announced

    # --- leaving ---

    async def _on_signal(self, number: int) -> None:
        if number in PASSED_SIGNALS or (number == signal.SIGHUP and not self.terminal):
            if self.child:
                self.child.signal(number)
            return
        if number == signal.SIGTSTP:
            if self.child:
                self.child.signal(signal.SIGTSTP)
            os.kill(os.getpid(), signal.SIGSTOP)
            return
        self.signals += 1
        self.last_signal = signal.Signals(number)
        if self.child and self.signals >= 3:
            self.child.signal(signal.SIGKILL)
            return
        if self.started is None:
            self.phase = Phase.STOPPED  # the agent takes out what its lease has lost
            await self.inbox.put(TooLong())
            return
        if self.phase is Phase.STOPPED:
            await self._leave(0, "hurried")
            return
        self.phase = Phase.LEAVING
        if self.signals == 1 and self.start.ports and self.child:
            say(f"argosy: {self.name} leaves the mesh (again: at once)", "dim")
            await self._leave(self.timing.patience, "leaving")
        elif self.signals == 1 and self.child:
            self.child.signal(number)  # its end brings `Leave`
        else:
            await self._leave(
                0 if self.child else self.timing.patience, "hurried" if self.child else "leaving"
            )
            if self.child:
                self.child.signal(number)

    async def _on_stop_app(self, reason: str) -> None:
        self.stop_asked = True
        if self.phase is Phase.RUNNING and reason:
            say(f"argosy: {self.name}: {reason}", "dim")
        if self.child is None or self.child.exited.is_set():
            await self._stopped(self.child.returned if self.child else 0)
            return
        self.phase = Phase.LEAVING
        self._spawn(self.child.stop(self.last_signal, self.timing.grace))

    async def _on_exit(self, returned: int) -> None:
        by_itself = not self.stop_asked
        await self._stopped(returned)
        if by_itself:
            code = exit_code(returned)
            if self.start.ports and self.signals == 0:
                warn(f"the application of {self.name} ended with code {code}")
            await self._leave(0, f"the application ended with code {code}")

    async def _stopped(self, returned: int) -> None:
        self.phase = Phase.STOPPED
        await self._tell(protocol.AppStopped(code=returned))
        limit = (
            self.timing.gone if self.start.ports or self.start.type == "router" else self.timing.gone_client
        )

        async def give_up() -> None:
            await asyncio.sleep(limit)
            await self.inbox.put(TooLong())

        self._spawn(give_up())

    async def _code(self, grace: float) -> int:
        if self.child is None:
            if self.start.type == "router" and self.started is not None:
                return 0
            return 128 + self.last_signal if self.signals else 1
        if not self.child.exited.is_set():
            await self.child.stop(self.last_signal, grace)
        return exit_code(self.child.returned)

    # --- looking ---

    async def _look_after(self, child: Child) -> None:
        first = True
        while True:
            await asyncio.sleep(self.timing.report)
            if child.exited.is_set():
                return
            try:
                listed = await asyncio.to_thread(client.listed, self.state, self.name)
            except Failure:
                continue
            if listed is None:
                continue
            own = next((w for w in listed.workloads if w.name == self.name), None)
            if own is not None and first:
                first = False
                say(f"argosy: {self.name} so far: {traffic(own)}")
            others = {p.application: w.name for w in listed.workloads if w.name != self.name for p in w.ports}
            self._look_at_sockets(child, others)

    def _look_at_sockets(self, child: Child, applications: Mapping[int, str]) -> None:
        held = sockets(tree(child.pid))
        for where in beyond_loopback(held):
            self._once(
                f"the application listens on {where}: others reach it past its sidecar, unencrypted and unasked; "
                "make it listen on 127.0.0.1"
            )
        for where in past_the_sidecar(held, applications):
            self._once(
                f"the application has a connection to {where} that does not pass its sidecar; "
                "it must honour http_proxy, or use --upstream"
            )

    def _once(self, text: str) -> None:
        if text not in self.remarks:
            self.remarks.add(text)
            warn(text)

    def _once_later(self, detail: str) -> None:
        """A probe fails for a moment while every application starts: worth a word only where it goes on."""

        async def later() -> None:
            await asyncio.sleep(self.timing.report / 2)
            if self.announced is None and self.phase is Phase.RUNNING:
                self._once(f"{self.name} is not announced yet: {detail}")

        if "probe" not in self.remarks:
            self.remarks.add("probe")
            self._spawn(later())

    # --- signals ---

    def _catch_signals(self) -> None:
        loop = asyncio.get_running_loop()
        for number in (*LEAVING_SIGNALS, *PASSED_SIGNALS, signal.SIGHUP, signal.SIGTSTP):
            loop.add_signal_handler(number, self.inbox.put_nowait, Signalled(number))


def _has_terminal() -> bool:
    """Whether a hang-up means that our terminal has gone, not a wish of somebody to the application."""
    try:
        os.close(os.open("/dev/tty", os.O_RDONLY | os.O_NOCTTY))
    except OSError:
        return False
    return True


def described(started: protocol.Started, start: protocol.Start) -> list[str]:
    """Where everything is: what a person needs to use the workload."""
    lines = [f"argosy: {started.name} is {started.identity}"]
    if started.outbound_proxy_port:
        lines.append(
            f"  proxy     http://127.0.0.1:{started.outbound_proxy_port}  (http_proxy and its kin are set)"
        )
    for port in started.ports:
        lines.append(
            f"  port      {port.workload}  {port.protocol}, sidecar {started.bind_address}:{port.bind}"
            f" -> application 127.0.0.1:{port.application}"
        )
    for upstream in started.upstreams:
        lines.append(f"  upstream  {upstream.host}:{upstream.port}  at 127.0.0.1:{upstream.bind}")
    for declared, bound in started.port_map.items():
        lines.append(f"  port      {declared}  at {start.bind_address}:{bound}")
    lines.append(f"  metrics   {started.metrics_url}")
    return lines


def traffic(status: protocol.WorkloadStatus) -> str:
    return f"inbound {status.inbound}, outbound {status.outbound}, plaintext {status.plaintext}"
