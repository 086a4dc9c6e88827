"""Ports for what a test starts, none of which another test or the kernel gives away between choice and use.

A port that the kernel chose (bind to 0, close) lies in its ephemeral range: any connection of a test beside it may own
it a moment later. These lie below that range, apart from the defaults of servers (15000 to 16999) and from what agents
give their workloads (20000 to 29999), and are handed out in turn over all the processes of all test runs on the host.
"""

from __future__ import annotations

import fcntl
import os
import tempfile
from pathlib import Path

from argosy.agent.ports import ephemeral, obstacle

_CANDIDATES = [port for port in (*range(10_000, 15_000), *range(17_000, 20_000)) if port not in ephemeral()]
_TURN = Path(tempfile.gettempdir()) / f"argosy-test-ports-{os.getuid()}"


def free_port() -> int:
    return free_ports(1)[0]


def free_ports(count: int) -> list[int]:
    found: list[int] = []
    descriptor = os.open(_TURN, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
    with os.fdopen(descriptor, "r+") as turn:
        fcntl.flock(turn, fcntl.LOCK_EX)
        begin = int(turn.read() or 0)
        for step in range(len(_CANDIDATES)):
            port = _CANDIDATES[(begin + step) % len(_CANDIDATES)]
            if not obstacle(port):
                found.append(port)
                if len(found) == count:
                    turn.seek(0)
                    turn.truncate()
                    turn.write(str((begin + step + 1) % len(_CANDIDATES)))
                    return found
    raise AssertionError(f"not {count} free ports between 10000 and 19999")
