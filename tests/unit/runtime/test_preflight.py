"""Every machine that cannot run a mesh is told why, and what to do."""

from __future__ import annotations

import os
import socket
from pathlib import Path

import msgspec
import pytest

from argosy.runtime import preflight
from argosy.runtime.errors import Failure

GOOD = preflight.Machine(
    system="Linux",
    cpu="x86_64",
    libc="glibc 2.36",
    python=(3, 11),
    modules=frozenset(preflight.MODULES),
    envoy=True,
    free=1 << 40,
)


@pytest.mark.parametrize(
    ("change", "complaint"),
    [
        ({"system": "Darwin"}, "the system is Darwin"),
        ({"cpu": "riscv64"}, "the CPU is riscv64"),
        ({"libc": ""}, "not glibc"),
        ({"libc": "glibc 2.28"}, "glibc 2.28"),
        ({"python": (3, 10)}, "Python is 3.10"),
        ({"python": (3, 14)}, "Python is 3.14"),
        ({"modules": frozenset({"ssl"})}, "no sqlite3 module"),
        ({"envoy": False}, "Envoy is missing"),
        ({"free": 5 << 20}, "only 5 MiB are free"),
    ],
)
def test_a_machine_that_lacks_one_thing_is_told_that_thing(change: dict[str, object], complaint: str) -> None:
    (problem,) = preflight.examine(msgspec.structs.replace(GOOD, **change))
    assert complaint in problem.what
    assert problem.remedy


def test_everything_that_is_wrong_is_named_at_once() -> None:
    broken = msgspec.structs.replace(GOOD, cpu="riscv64", libc="", envoy=False)
    assert len(preflight.examine(broken)) == 3


@pytest.mark.parametrize("change", [{}, {"cpu": "aarch64"}, {"python": (3, 13)}, {"libc": "glibc 2.31"}])
def test_a_machine_that_will_do(change: dict[str, object]) -> None:
    assert preflight.examine(msgspec.structs.replace(GOOD, **change)) == []


def test_a_port_that_is_taken_is_named_with_its_holder(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as holder:
        port = holder.getsockname()[1]
        with pytest.raises(Failure, match=rf"port {port} is taken by .*\(pid {os.getpid()}\)"):
            preflight.check(tmp_path, [port])
    preflight.check(tmp_path, [port])
