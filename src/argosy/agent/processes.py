"""Processes that may outlive us: found again by pid and start time, waited for by pidfd.

A pid alone may have been given to another process since; pid and start time together name one process for good. A pidfd
becomes readable when its process ends, whether or not it is our child.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import subprocess
from collections.abc import Mapping
from pathlib import Path

from msgspec import Struct

from argosy.agent.client import start_time


class ProcessId(Struct, frozen=True):
    pid: int
    start_time: int  # clock ticks since boot


class Process:
    """One living process, held by a pidfd from `adopt` or `spawn` until `close`."""

    def __init__(self, id: ProcessId, handle: int, child: subprocess.Popen[bytes] | None = None) -> None:
        self.id = id
        self.child = child
        self.code: int | None = None  # of a child that ended; negative: the signal
        self._handle = handle
        self._loop = asyncio.get_running_loop()
        self._ended: asyncio.Future[None] = self._loop.create_future()
        self._loop.add_reader(handle, self._end)

    @classmethod
    def adopt(cls, id: ProcessId) -> Process | None:
        """The process of that id, or None where it has ended."""
        if id.pid <= 0:
            return None
        try:
            handle = os.pidfd_open(id.pid)
        except OSError:
            return None
        # Checked after the open: from here on the handle cannot come to mean another process.
        if start_time(id.pid) != id.start_time:
            os.close(handle)
            return None
        return cls(id, handle)

    @classmethod
    def spawn(
        cls, arguments: list[str], log: Path, folder: Path, environment: Mapping[str, str] | None = None
    ) -> Process:
        """Starts a program in a session of its own, so that it survives us; its output is appended to `log`.

        `environment`: what it has beside our own.
        """
        with log.open("ab") as out:
            child = subprocess.Popen(
                arguments,
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=out,
                start_new_session=True,
                cwd=folder,
                env={**os.environ, **(environment or {})},
            )
        handle = os.pidfd_open(child.pid)
        return cls(ProcessId(child.pid, start_time(child.pid)), handle, child)

    def _end(self) -> None:
        if self.child is not None:
            self.code = self.child.wait()
        self.close()
        if not self._ended.done():
            self._ended.set_result(None)

    async def ended(self) -> None:
        """Waits for its end. Any number may wait, and stop waiting."""
        await asyncio.shield(self._ended)

    @property
    def alive(self) -> bool:
        return not self._ended.done()

    def signal(self, number: int) -> None:
        if self._handle >= 0:
            with contextlib.suppress(ProcessLookupError):
                signal.pidfd_send_signal(self._handle, number)

    async def stop(self, patience: float) -> None:
        """SIGTERM, and SIGKILL where it does not end within `patience` seconds."""
        self.signal(signal.SIGTERM)
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(patience):
                await self.ended()
        self.signal(signal.SIGKILL)
        await self.ended()

    def close(self) -> None:
        """Lets go of the handle; the process goes on."""
        if self._handle >= 0:
            self._loop.remove_reader(self._handle)
            os.close(self._handle)
            self._handle = -1


def ending(code: int | None) -> str:
    """How a process ended, for people."""
    if code is None:
        return "ended"
    if code < 0:
        with contextlib.suppress(ValueError):
            return f"killed by {signal.Signals(-code).name}"
        return f"killed by signal {-code}"
    return f"stopped with code {code}"


def kill_group(pgid: int, pid: int, started: int) -> bool:
    """SIGKILL to a process group whose leader still is who it was; whether it was sent."""
    if pgid <= 1 or pgid == os.getpgrp() or start_time(pid) != started or not started:
        return False
    try:
        if os.getpgid(pid) != pgid:
            return False
        os.killpg(pgid, signal.SIGKILL)
    except (ProcessLookupError, PermissionError):
        return False
    return True
