"""Which local ports sidecars and applications get: outside the ephemeral range, kept across restarts.

A port of the kernel's ephemeral range may belong to any outgoing connection just when a sidecar restarts, so ports come
from `RANGE` minus that range. What a workload got once is its first choice the next time: applications, dashboards and
other sidecars' warm connections find it where it was. A port is probed by binding it, and may still be taken between
probe and use: Envoy then rejects its listener, and the workload asks for another.
Facts: ip(7), ip_local_port_range; ip_local_reserved_ports.
"""

from __future__ import annotations

import contextlib
import errno
import os
import socket
from collections.abc import Callable, Iterator
from pathlib import Path

import msgspec
from msgspec import Struct

from argosy.runtime.errors import Failure
from argosy.runtime.paths import write_private

RANGE = range(20_000, 30_000)
_REMEMBERED = 2000
_PROC = Path("/proc/sys/net/ipv4")


class _Remembered(Struct, frozen=True):
    format: int = 1
    ports: dict[str, int] = {}  # oldest first


def obstacle(port: int, address: str = "127.0.0.1") -> str:
    """Why nobody could listen on the port now; "" where somebody could."""
    with socket.socket() as probe:
        # As Envoy binds: a port in TIME_WAIT is free.
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((address, port))
            probe.listen(1)  # with SO_REUSEADDR two may bind, but only one listens
        except OSError as error:
            return (error.strerror or str(error)).lower()
    return ""


def remedy(problem: str) -> str:
    """For who may not listen on a port, in the words of `obstacle` or of Envoy."""
    if os.strerror(errno.EACCES).lower() in problem.lower():
        return "low ports need root: map it to one above 1023, as in argosy gateway --port 80=8080"
    return "choose another, or stop what listens there"


def ephemeral(proc: Path = _PROC) -> range:
    """The ports that the kernel gives to outgoing connections."""
    try:
        low, high = (proc / "ip_local_port_range").read_text().split()
    except (OSError, ValueError):
        return range(32_768, 61_000)
    return range(int(low), int(high) + 1)


class Ports:
    """The allocations of one agent. A key names a use: `reviews-v1/bind/9080`."""

    def __init__(
        self,
        file: Path,
        *,
        forbidden: range | None = None,
        obstacle: Callable[[int], str] = obstacle,
        candidates: range = RANGE,
        begin: int = 0,
    ) -> None:
        """`begin`: where the search starts. Agents of other users or meshes on this host start elsewhere, so that two
        rarely take the same port between probe and use."""
        self._file = file
        self._forbidden = ephemeral() if forbidden is None else forbidden
        self._obstacle = obstacle
        self._candidates = candidates
        self._held: dict[int, str] = {}
        self._remembered: dict[str, int] = {}
        self._next = begin % len(candidates)
        with contextlib.suppress(FileNotFoundError, msgspec.MsgspecError):
            self._remembered = dict(msgspec.json.decode(file.read_bytes(), type=_Remembered).ports)

    def allocate(self, key: str) -> int:
        """A port that nobody listens on: the one of last time, if it is free. Raises Failure where all are taken."""
        before = self._remembered.get(key)
        if before is not None and self._usable(before):
            return self._hold(key, before)
        # Others' remembered ports come last: their owners may return.
        promised = set(self._remembered.values())
        for port in self._walk():
            if port not in promised and self._usable(port):
                return self._hold(key, port)
        for port in self._walk():
            if self._usable(port):
                return self._hold(key, port)
        span = f"{self._candidates.start}-{self._candidates.stop - 1}"
        raise Failure(f"no free port in {span} outside the ephemeral range", "stop what listens there")

    def claim(self, key: str, port: int) -> int:
        """A port that somebody asked for. Raises Failure where it is taken."""
        if port in self._held:
            raise Failure(f"port {port} is taken by {self._held[port].split('/')[0]}", "choose another")
        if problem := self._obstacle(port):
            raise Failure(f"port {port} cannot be used: {problem}", remedy(problem))
        self._held[port] = key
        return port

    def resume(self, key: str, port: int) -> None:
        """The port of an adopted workload: its sidecar listens there already."""
        self._held[port] = key

    def replace(self, key: str, port: int) -> int:
        """Another port for the same use, since somebody else took this one."""
        self._held.pop(port, None)
        self._remembered.pop(key, None)
        self._next = max(self._next, port - self._candidates.start + 1)
        return self.allocate(key)

    def release(self, owner: str) -> None:
        """Everything of a workload; its ports stay remembered."""
        self._held = {port: key for port, key in self._held.items() if key.split("/")[0] != owner}

    def _walk(self) -> Iterator[int]:
        """Every candidate once, from where the last walk ended."""
        size = len(self._candidates)
        for step in range(size):
            port = self._candidates[(self._next + step) % size]
            if port not in self._forbidden:
                yield port

    def _usable(self, port: int) -> bool:
        return port not in self._held and port not in self._forbidden and not self._obstacle(port)

    def _hold(self, key: str, port: int) -> int:
        self._held[port] = key
        self._next = (port - self._candidates.start + 1) % len(self._candidates)
        if self._remembered.get(key) != port:
            self._remembered.pop(key, None)
            self._remembered[key] = port
            for oldest in list(self._remembered)[: max(0, len(self._remembered) - _REMEMBERED)]:
                del self._remembered[oldest]
            write_private(self._file, msgspec.json.encode(_Remembered(ports=self._remembered)))
        return port
