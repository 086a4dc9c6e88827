"""The other end of the control socket: starts the agent on demand, and speaks `protocol` with it.

Imports neither grpc nor anything heavy: `argosy run` and `argosy ps` start quickly.
"""

from __future__ import annotations

import asyncio
import contextlib
import fcntl
import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import msgspec

from argosy.agent import protocol
from argosy.runtime.errors import Failure
from argosy.runtime.paths import private_dir, runtime_dir

_ANSWER_SECONDS = 20.0
_LOG_LIMIT = 16 << 20


def socket_path(state: Path) -> Path:
    return runtime_dir(state) / protocol.SOCKET


def agent_log(state: Path) -> Path:
    return state / "agent" / "agent.log"


def start_time(pid: int) -> int:
    """When a process started, in clock ticks since boot; with the pid it names one process. 0: there is none.

    proc(5): field 22 of /proc/PID/stat; the name in parentheses may hold spaces.
    """
    try:
        stat = Path(f"/proc/{pid}/stat").read_bytes()
    except OSError:
        return 0
    fields = stat.rpartition(b")")[2].split()
    return 0 if fields[0] in (b"Z", b"X") else int(fields[19])


# --- starting -------------------------------------------------------------------------------------------------------


def ensure_agent(state: Path, timeout: float = 30.0) -> None:
    """Starts the agent of this user and state directory unless it answers already.

    Any number of processes may call this at once: a lock lets one of them start it. Raises Failure with the end of
    the agent's log when it does not come up within `timeout` seconds.
    """
    if is_alive(state):
        return
    private_dir(state)
    log = agent_log(state)
    private_dir(log.parent)
    deadline = time.monotonic() + timeout
    with _locked(log.parent / "start.lock", deadline):
        if is_alive(state):
            return
        if log.exists() and log.stat().st_size > _LOG_LIMIT:
            log.replace(log.with_suffix(".old"))
        with log.open("ab") as out:
            start = out.tell()
            process = subprocess.Popen(
                [sys.executable, "-m", "argosy.agent", "--state-dir", str(state)],
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=out,
                start_new_session=True,
                cwd="/",
            )
        while not is_alive(state):
            if process.poll() is not None and not is_alive(state):
                raise Failure(
                    f"the agent stopped with code {process.returncode}: {_end(log, start)}", f"see {log}"
                )
            if time.monotonic() > deadline:
                raise Failure(
                    f"the agent did not answer within {timeout:.0f} s: {_end(log, start)}", f"see {log}"
                )
            time.sleep(0.02)


def is_alive(state: Path) -> bool:
    """Whether an agent answers on the control socket."""
    try:
        with _connected(socket_path(state), 5.0) as connection:
            connection.sendall(b"\n")  # an empty line is a greeting: the agent answers with one
            return connection.recv(1) == b"\n"
    except OSError:
        return False


@contextlib.contextmanager
def _locked(path: Path, deadline: float) -> Iterator[None]:
    handle = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        while True:
            try:
                fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                if time.monotonic() > deadline:
                    raise Failure(f"another process holds {path}", "wait for it, or end it") from None
                time.sleep(0.02)
        yield
    finally:
        os.close(handle)


def _end(log: Path, start: int) -> str:
    with log.open("rb") as written:
        written.seek(start)
        return written.read()[-1500:].decode(errors="replace").strip() or "it wrote nothing"


@contextlib.contextmanager
def _connected(path: Path, timeout: float) -> Iterator[socket.socket]:
    connection = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        connection.settimeout(timeout)
        connection.connect(str(path))
        yield connection
    finally:
        connection.close()


# --- questions ------------------------------------------------------------------------------------------------------


def ask(state: Path, request: protocol.Request, timeout: float = _ANSWER_SECONDS) -> Iterator[protocol.Event]:
    """Sends one question and yields what comes back, to the end. `timeout` bounds the wait for each line.

    Raises Failure where no agent runs, and for an answer `Failed`.
    """
    try:
        with _connected(socket_path(state), timeout) as connection:
            connection.sendall(protocol.line(request))
            with connection.makefile("rb") as lines:
                while text := lines.readline(protocol.LINE_LIMIT):
                    yield _checked(protocol.events.decode(text))
    except (FileNotFoundError, ConnectionError) as error:
        raise Failure(f"no agent runs for {state}", "start a workload with `argosy run`") from error
    except TimeoutError as error:
        raise Failure(
            f"the agent did not answer within {timeout:.0f} s", f"see {agent_log(state)}"
        ) from error
    except msgspec.MsgspecError as error:
        raise Failure(
            f"the agent speaks another protocol: {error}", "stop it with `argosy down --all`"
        ) from error


def listed(state: Path, counted: str = "") -> protocol.Listed | None:
    """The agent and its workloads, with the requests of one of them or of all; None where no agent runs."""
    if not is_alive(state):
        return None
    for event in ask(state, protocol.List(counted=counted)):
        if isinstance(event, protocol.Listed):
            return event
    raise Failure("the agent did not answer", f"see {agent_log(state)}")


def stats(state: Path, name: str = "") -> protocol.StatsAnswer:
    """Request counters of one workload, or of all."""
    for event in ask(state, protocol.Stats(name=name)):
        if isinstance(event, protocol.StatsAnswer):
            return event
    raise Failure("the agent did not answer", f"see {agent_log(state)}")


def _checked(event: protocol.Event) -> protocol.Event:
    if isinstance(event, protocol.Failed):
        raise Failure(event.what, event.remedy)
    return event


# --- leases ---------------------------------------------------------------------------------------------------------


class Lease:
    """The connection of one workload, from its `Start` or `Attach` to `Gone`."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer

    @classmethod
    async def open(cls, state: Path, request: protocol.Start | protocol.Attach) -> Lease:
        """Connects and sends the opening request; call `ensure_agent` before. Raises OSError where no agent listens."""
        reader, writer = await asyncio.open_unix_connection(
            str(socket_path(state)), limit=protocol.LINE_LIMIT
        )
        lease = cls(reader, writer)
        await lease.send(request)
        return lease

    async def send(self, request: protocol.Request) -> None:
        """Raises ConnectionError where the agent is gone."""
        self._writer.write(protocol.line(request))
        await self._writer.drain()

    async def receive(self) -> protocol.Event | None:
        """The next event, `Failed` included; None at the end of the connection."""
        try:
            text = await self._reader.readline()
        except (ConnectionError, ValueError):
            return None
        if not text.endswith(b"\n"):
            return None
        return protocol.events.decode(text)

    def close(self) -> None:
        self._writer.close()
