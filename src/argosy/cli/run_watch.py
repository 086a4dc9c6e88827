"""What the kernel says of an application's sockets: who can reach it, and where it goes, past its sidecar.

Facts: proc(5); /proc/PID/net/tcp{,6} are of the process's own network namespace; addresses are hexadecimal in the
byte order of the machine, 32-bit word by word; state 0A listens, 01 is established.
"""

from __future__ import annotations

import ipaddress
import sys
from collections.abc import Iterable, Mapping
from pathlib import Path

from msgspec import Struct

ESTABLISHED, LISTEN = "01", "0A"
Address = ipaddress.IPv4Address | ipaddress.IPv6Address


class Socket(Struct, frozen=True):
    local: Address
    local_port: int
    remote: Address
    remote_port: int
    state: str
    inode: str


def address(text: str) -> Address:
    """`0100007F` -> 127.0.0.1; an IPv4 address mapped into IPv6 is given as IPv4."""
    raw = bytes.fromhex(text)
    if sys.byteorder == "little":
        raw = b"".join(raw[i : i + 4][::-1] for i in range(0, len(raw), 4))
    found = ipaddress.ip_address(raw)
    if isinstance(found, ipaddress.IPv6Address) and found.ipv4_mapped:
        return found.ipv4_mapped
    return found


def parse(table: str) -> Iterable[Socket]:
    """The lines of /proc/net/tcp or tcp6 that listen or are established."""
    for line in table.splitlines()[1:]:
        fields = line.split()
        if fields[3] in (ESTABLISHED, LISTEN):
            local, _, local_port = fields[1].partition(":")
            remote, _, remote_port = fields[2].partition(":")
            yield Socket(
                address(local),
                int(local_port, 16),
                address(remote),
                int(remote_port, 16),
                fields[3],
                fields[9],
            )


def tree(pid: int, proc: Path = Path("/proc")) -> list[int]:
    """A process and all its descendants that live."""
    quick = (proc / str(pid) / "task" / str(pid) / "children").exists()
    by_parent = {} if quick else _parents(proc)
    found, left = [], [pid]
    while left:
        one = left.pop()
        found.append(one)
        left += _children(one, proc) if quick else by_parent.get(one, [])
    return found


def _children(pid: int, proc: Path) -> list[int]:
    """By /proc/PID/task/TID/children, where the kernel has it (CONFIG_PROC_CHILDREN)."""
    found: list[int] = []
    try:
        for task in (proc / str(pid) / "task").iterdir():
            found += [int(child) for child in (task / "children").read_text().split()]
    except OSError:
        pass  # gone meanwhile
    return found


def _parents(proc: Path) -> dict[int, list[int]]:
    """The children of every process, by the parent that each names (field 4 of /proc/PID/stat)."""
    found: dict[int, list[int]] = {}
    for folder in proc.iterdir():
        if folder.name.isdigit():
            try:
                stat = (folder / "stat").read_text()
            except OSError:
                continue
            found.setdefault(int(stat.rpartition(")")[2].split()[1]), []).append(int(folder.name))
    return found


def sockets(pids: Iterable[int], proc: Path = Path("/proc")) -> list[Socket]:
    """The TCP sockets that these processes hold."""
    inodes: set[str] = set()
    tables: dict[str, str] = {}  # by network namespace
    for pid in pids:
        folder = proc / str(pid)
        try:
            handles = list((folder / "fd").iterdir())
            namespace = str((folder / "ns" / "net").readlink())
            if namespace not in tables:
                tables[namespace] = (folder / "net" / "tcp").read_text()
                six = folder / "net" / "tcp6"
                tables[namespace + "/6"] = six.read_text() if six.exists() else ""
        except OSError:
            continue  # gone meanwhile, or another user's
        for handle in handles:
            try:
                target = str(handle.readlink())
            except OSError:
                continue  # closed meanwhile
            if target.startswith("socket:["):
                inodes.add(target[8:-1])
    return [s for table in tables.values() for s in parse(table) if s.inode in inodes]


def beyond_loopback(held: Iterable[Socket]) -> list[str]:
    """Where the processes listen that others than this host can reach: `0.0.0.0:9080`."""
    return sorted(
        {place(s.local, s.local_port) for s in held if s.state == LISTEN and not s.local.is_loopback}
    )


def past_the_sidecar(held: Iterable[Socket], applications: Mapping[int, str]) -> list[str]:
    """Connections the processes opened themselves to other hosts, or straight to another workload's application.

    `applications` maps application ports on this host to workload names. A connection accepted on a port that the
    processes listen on is inbound and not meant.
    """
    known = list(held)
    listening = {s.local_port for s in known if s.state == LISTEN}
    found = set()
    for one in known:
        if one.state != ESTABLISHED or one.local_port in listening:
            continue
        if not one.remote.is_loopback and one.remote != one.local:
            found.add(place(one.remote, one.remote_port))
        elif workload := applications.get(one.remote_port):
            found.add(f"{place(one.remote, one.remote_port)} (the application of {workload})")
    return sorted(found)


def place(where: Address, port: int) -> str:
    return f"[{where}]:{port}" if where.version == 6 else f"{where}:{port}"
