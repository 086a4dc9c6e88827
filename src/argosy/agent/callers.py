"""Whose process a connection to a Unix socket of this host is: the workload in whose process tree it stands.

    the caller, by the kernel (SO_PEERCRED) ─ parent ─ parent … ─ an application of ours, or its `argosy run`

Rule: the nearest such ancestor counts, so that a workload started within another is itself. Each is known by pid *and*
start time, and the caller must still live after its ancestors were read (SO_PEERPIDFD, Linux 6.5; before that a pidfd
opened at once), so that no pid given to another process in the meantime is taken for it. A process that left the tree
(a daemon that was adopted by init) is nobody's: it gets nothing rather than something that may be another's.
"""

from __future__ import annotations

import contextlib
import os
import select
import socket
import struct
from collections.abc import Iterable
from pathlib import Path
from typing import Protocol, TypeVar

from argosy.agent.processes import ProcessId
from argosy.agent.workload import Record

_CREDENTIALS = struct.Struct("3i")  # struct ucred: pid, uid, gid
_SO_PEERPIDFD = 77  # asm-generic/socket.h
DEEPEST = 128


class Held(Protocol):
    """A workload, as far as it matters here."""

    @property
    def record(self) -> Record: ...


W = TypeVar("W", bound=Held)


class Nobody(Exception):
    """The caller is no workload of ours; says why, for the log."""


def owner(connection: socket.socket, workloads: Iterable[W]) -> W:
    """The workload whose process has connected. Raises Nobody."""
    pid, _, _ = _CREDENTIALS.unpack(
        connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _CREDENTIALS.size)
    )
    if pid <= 0:
        raise Nobody("the caller is of another pid namespace")
    handle = _pidfd(connection, pid)
    try:
        line = ancestry(pid)
        if select.select([handle], [], [], 0)[0]:
            raise Nobody(f"process {pid} ended while it was looked at")
    finally:
        os.close(handle)
    return nearest(line, workloads)


def _pidfd(connection: socket.socket, pid: int) -> int:
    with contextlib.suppress(OSError):
        data = connection.getsockopt(socket.SOL_SOCKET, _SO_PEERPIDFD, 4)
        return int.from_bytes(data, "little", signed=True)
    try:
        return os.pidfd_open(pid)
    except OSError as error:
        raise Nobody(f"process {pid} has ended") from error


def ancestry(pid: int, proc: Path = Path("/proc")) -> list[ProcessId]:
    """A process, its parent, and so on (proc(5): fields 4 and 22 of /proc/PID/stat)."""
    found: list[ProcessId] = []
    while pid > 0 and len(found) < DEEPEST:
        try:
            fields = (proc / str(pid) / "stat").read_text(errors="replace").rpartition(")")[2].split()
        except OSError:
            break
        found.append(ProcessId(pid, int(fields[19])))
        pid = int(fields[1])
    return found


def nearest(line: Iterable[ProcessId], workloads: Iterable[W]) -> W:
    """Raises Nobody. One `argosy run` that holds several workloads is none of them."""
    known = list(workloads)
    for one in line:
        for each in known:
            app = each.record.app
            if app is not None and (app.pid, app.start_time) == (one.pid, one.start_time):
                return each
        holding = [each for each in known if each.record.client == one]
        if len(holding) > 1:
            raise Nobody(f"process {one.pid} holds {len(holding)} workloads: it is none of them")
        if holding:
            return holding[0]
    raise Nobody("the process is in the tree of no workload of this agent")
