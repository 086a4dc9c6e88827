"""Real etcds for tests: one or three members on free loopback ports, with or without TLS, killed and started again."""

from __future__ import annotations

import contextlib
import http.client
import json
import shutil
import signal
import subprocess
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest

from tests.ports import free_ports

BINARY = shutil.which("etcd")
MISSING = "=== SKIPPED: etcd is not installed (apt-get install etcd-server) ==="


def needs_etcd() -> None:
    if BINARY is None:
        pytest.skip(MISSING)


class Member:
    """One etcd; its data survive `kill` and `stop`."""

    def __init__(self, name: str, folder: Path, client: int, peer: int, options: Sequence[str] = ()) -> None:
        self.name = name
        self.port = client
        self.folder = folder
        self.options = list(options)
        self.scheme = "https" if any("cert-file" in option for option in options) else "http"
        self.peer = f"http://127.0.0.1:{peer}"
        self.cluster = ""
        self.process: subprocess.Popen[bytes] | None = None

    @property
    def endpoint(self) -> str:
        return f"127.0.0.1:{self.port}"

    def start(self) -> None:
        assert BINARY is not None
        client = f"{self.scheme}://{self.endpoint}"
        self.folder.mkdir(parents=True, exist_ok=True)
        with (self.folder / "log").open("ab") as log:
            self.process = subprocess.Popen(
                [
                    BINARY,
                    *("--name", self.name, "--data-dir", str(self.folder / "data")),
                    *("--listen-client-urls", client, "--advertise-client-urls", client),
                    *("--listen-peer-urls", self.peer, "--initial-advertise-peer-urls", self.peer),
                    *("--initial-cluster", self.cluster or f"{self.name}={self.peer}"),
                    *("--initial-cluster-token", str(self.folder.parent)),
                    *self.options,
                ],
                stdout=log,
                stderr=log,
            )

    def ready(self) -> bool:
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=2)
        with contextlib.suppress(OSError, http.client.HTTPException), contextlib.closing(connection):
            if self.scheme == "https":
                connection.connect()
                return True
            connection.request("GET", "/health")
            return b'"true"' in connection.getresponse().read()
        return False

    def kill(self) -> None:
        if self.process is not None:
            self.process.kill()
            self.process.wait()
            self.process = None

    def pause(self) -> None:
        """It keeps its connections and answers nothing, as on a machine that hangs."""
        assert self.process is not None
        self.process.send_signal(signal.SIGSTOP)

    def resume(self) -> None:
        assert self.process is not None
        self.process.send_signal(signal.SIGCONT)

    def status(self) -> dict[str, Any]:
        """What it says of itself and of who leads; without TLS. # etcd: Maintenance.Status, by its JSON gateway"""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=2)
        with contextlib.closing(connection):
            connection.request("POST", "/v3/maintenance/status", b"{}")
            found: dict[str, Any] = json.loads(connection.getresponse().read())
            return found

    def log(self) -> str:
        return (self.folder / "log").read_text(errors="replace")


class Etcd:
    """A cluster, ready when made."""

    def __init__(self, folder: Path, size: int = 1, options: Sequence[str] = ()) -> None:
        ports = free_ports(2 * size)
        self.members = [
            Member(f"m{i}", folder / f"m{i}", ports[2 * i], ports[2 * i + 1], options) for i in range(size)
        ]
        cluster = ",".join(f"{member.name}={member.peer}" for member in self.members)
        for member in self.members:
            member.cluster = cluster
            member.start()

    @property
    def endpoints(self) -> tuple[str, ...]:
        return tuple(member.endpoint for member in self.members)

    def url(self, prefix: str = "/argosy", options: str = "") -> str:
        return f"etcd://{','.join(self.endpoints)}{prefix}{options}"

    def wait(self, within: float = 30) -> None:
        """Until every member listens, and those that may be asked by everybody say that they have a leader."""
        until = time.monotonic() + within
        for member in self.members:
            while True:
                if member.ready():
                    break
                assert member.process is None or member.process.poll() is None, member.log()
                assert time.monotonic() < until, member.log()
                time.sleep(0.05)

    def leader(self) -> Member:
        """The member that leads, in its own words."""
        for member in self.members:
            with contextlib.suppress(OSError, http.client.HTTPException):
                said = member.status()
                if said.get("leader") == said["header"]["member_id"]:
                    return member
        raise AssertionError("no member says that it leads")

    def kill(self) -> None:
        for member in self.members:
            member.kill()

    def start(self) -> None:
        for member in self.members:
            if member.process is None:
                member.start()
        self.wait()


@contextlib.contextmanager
def etcd(folder: Path, size: int = 1, options: Sequence[str] = ()) -> Iterator[Etcd]:
    needs_etcd()
    cluster = Etcd(folder, size, options)
    try:
        cluster.wait()
        yield cluster
    finally:
        cluster.kill()
