"""Two hosts on one machine, without root: two network namespaces within a user namespace of our own, and a cable
(veth).

Each command of a host runs in its namespace (nsenter). What they share is the file system and the processes, so each
has its own state directory, and nothing of one is read by the other.
"""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from tests.e2e.mesh import APPS, ARGOSY, until

A, B = "10.77.0.1", "10.77.0.2"
CABLE = f"""
ip link set lo up
unshare -n sleep 3600 & B=$!
until [ "$(readlink /proc/$B/ns/net)" != "$(readlink /proc/$$/ns/net)" ]; do sleep 0.02; done
ip link add name va type veth peer name vb
ip link set vb netns $B
ip addr add {A}/24 dev va; ip link set va up
nsenter -t $B -n ip link set lo up
nsenter -t $B -n ip addr add {B}/24 dev vb; nsenter -t $B -n ip link set vb up
echo $$ $B
exec sleep 3600
"""


def possible() -> str:
    """Why this machine allows no namespaces to an ordinary user; "" where it does."""
    try:
        done = subprocess.run(
            ["unshare", "-Urn", "sh", "-c", "ip link add name va type veth peer name vb"],
            capture_output=True,
            text=True,
            timeout=20,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        return str(error)
    return done.stderr.strip() if done.returncode else ""


class Host:
    """`pid`: a process of its namespaces."""

    def __init__(self, pid: int, state: Path, address: str) -> None:
        self.pid, self.state, self.address = pid, state, address
        state.mkdir()
        self.processes: list[subprocess.Popen[bytes]] = []

    def command(self, *words: str) -> list[str]:
        return ["nsenter", "-t", str(self.pid), "-U", "-n", "--preserve-credentials", "--", *words]

    @property
    def environment(self) -> dict[str, str]:
        clean = {k: v for k, v in os.environ.items() if not k.lower().endswith("_proxy")}
        return {**clean, "ARGOSY_STATE_DIR": str(self.state), "PYTHONUNBUFFERED": "1"}

    def tries(
        self, *words: str, stdin: str | None = None, wait: float = 90
    ) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            self.command(*words),
            env=self.environment,
            input=stdin,
            capture_output=True,
            text=True,
            timeout=wait,
            check=False,
        )

    def argosy(self, *arguments: str, stdin: str | None = None, wait: float = 90) -> str:
        done = self.tries(ARGOSY, *arguments, stdin=stdin, wait=wait)
        assert done.returncode == 0, f"argosy {arguments}: {done.returncode}\n{done.stdout}\n{done.stderr}"
        return done.stdout

    def refused(self, *arguments: str) -> str:
        done = self.tries(ARGOSY, *arguments)
        assert done.returncode != 0, f"argosy {arguments} was not refused: {done.stdout}"
        return done.stderr

    def start(self, log: str, *arguments: str) -> subprocess.Popen[bytes]:
        with (self.state / f"{log}.log").open("ab") as out:
            process = subprocess.Popen(
                self.command(ARGOSY, *arguments), env=self.environment, stdout=out, stderr=out
            )
        self.processes.append(process)
        return process

    def log(self, name: str) -> str:
        return (self.state / f"{name}.log").read_text()

    def server(self, *flags: str) -> None:
        self.start(
            "server",
            "server",
            f"--xds-address={self.address}:15012",
            f"--ca-address={self.address}:15013",
            *flags,
        )
        until(lambda: '"event": "ready"' in self.log("server"), "the server is ready")

    def serve(self, service: str, *flags: str) -> subprocess.Popen[bytes]:
        """An instance of a service, announced."""
        echo = (sys.executable, str(APPS / "echo.py"), "{port}", f"--name={service}")
        process = self.start(service, "run", f"--service={service}", "--port=9080:auto", *flags, "--", *echo)
        until(lambda: f"{service} is announced" in self.log(service), f"{service} is announced", 40)
        return process

    def asks(self, service: str, *flags: str) -> dict[str, Any]:
        """What the echo application of a service saw of a request from a workload of this host."""
        curl = (
            "curl",
            "-sS",
            "--fail-with-body",
            "--retry",
            "5",
            "--retry-all-errors",
            f"http://{service}:9080/",
        )
        answer: dict[str, Any] = json.loads(self.argosy("run", "--service=me", *flags, "--", *curl))
        return answer

    def workload(self, name: str) -> dict[str, Any]:
        found = [one for one in json.loads(self.argosy("ps", "-o", "json")) if one["name"] == name]
        assert len(found) == 1, found
        workload: dict[str, Any] = found[0]
        return workload

    def close(self) -> None:
        for process in reversed(self.processes):
            if process.poll() is None:
                process.send_signal(signal.SIGTERM)
                with contextlib.suppress(subprocess.TimeoutExpired):
                    process.wait(40)
                process.kill()
        self.tries(ARGOSY, "down", "--all")


@contextlib.contextmanager
def two_hosts(folder: Path) -> Iterator[tuple[Host, Host]]:
    holder = subprocess.Popen(
        ["unshare", "-Urn", "--kill-child", "sh", "-c", CABLE], stdout=subprocess.PIPE, start_new_session=True
    )
    hosts: tuple[Host, ...] = ()
    try:
        assert holder.stdout is not None
        pids = [int(word) for word in holder.stdout.readline().split()]
        hosts = tuple(
            Host(pid, folder / name, address) for pid, name, address in zip(pids, "ab", (A, B), strict=True)
        )
        yield hosts[0], hosts[1]
    finally:
        for host in reversed(hosts):
            host.close()
        with contextlib.suppress(ProcessLookupError):
            os.killpg(holder.pid, signal.SIGKILL)
        holder.wait()
