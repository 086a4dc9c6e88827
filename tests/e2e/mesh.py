"""A real mesh for the end-to-end tests: the processes a user would start, on free ports, in a temporary directory.

Nothing here reaches into the program: it runs `argosy …` and sends requests.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import re
import signal
import socket
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

from tests.ports import free_port

APPS = Path(__file__).parent.parent / "apps"
ARGOSY = str(Path(sys.executable).parent / "argosy")
IN_PARTS = ("--proxy-config", "{proxyMetadata: {ARGOSY_ROUTES: parted}}")
"""Of `argosy run`: its proxy has its routes in parts, as in a mesh of many hosts."""
T = TypeVar("T")


def until(condition: Callable[[], T | None], what: str, timeout: float = 30) -> T:
    """Waits until `condition` gives something true; an exception of it counts as not yet."""
    deadline = time.monotonic() + timeout
    last: object = None
    while time.monotonic() < deadline:
        try:
            if result := condition():
                return result
            last = result
        except Exception as error:
            last = error
        time.sleep(0.05)
    raise AssertionError(f"{what}: not within {timeout:.0f} s; last: {last!r}")


def listening(port: int) -> bool:
    """Whether somebody takes connections there. Raises OSError where nobody does."""
    with socket.create_connection(("127.0.0.1", port), 10):
        return True


@dataclass
class Run:
    """One `argosy run` (or gateway) process."""

    name: str
    process: subprocess.Popen[bytes]
    log: Path

    def output(self) -> str:
        return self.log.read_text(errors="replace")

    def stop(self, timeout: float = 40) -> int:
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
            try:
                self.process.wait(timeout)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()
                raise AssertionError(
                    f"{self.name} did not leave within {timeout} s:\n{self.output()}"
                ) from None
        return int(self.process.returncode)


@dataclass
class Mesh:
    state: Path
    runs: dict[str, Run] = field(default_factory=dict)
    server: subprocess.Popen[bytes] | None = None
    ports: dict[str, int] = field(default_factory=dict)
    server_flags: tuple[str, ...] = ()
    ready_within: float = 30

    # --- the control plane ---

    def environment(self) -> dict[str, str]:
        clean = {k: v for k, v in os.environ.items() if not k.lower().endswith("_proxy")}
        return {**clean, "ARGOSY_STATE_DIR": str(self.state), "PYTHONUNBUFFERED": "1"}

    def start_server(self, *flags: str) -> None:
        """On the same ports each time, so that a restart is a restart."""
        for role in ("api", "xds", "ca", "status"):
            self.ports.setdefault(role, free_port())
        addresses = [f"--{role}-address=127.0.0.1:{port}" for role, port in self.ports.items()]
        self.state.mkdir(parents=True, exist_ok=True)
        with (self.state / "server.log").open("ab") as log:
            self.server = subprocess.Popen(
                [ARGOSY, "server", *addresses, *self.server_flags, *flags],
                env=self.environment(),
                stdout=log,
                stderr=log,
            )
        until(self.server_ready, "the server is ready", self.ready_within)

    def server_ready(self) -> bool:
        assert self.server is not None
        if self.server.poll() is not None:
            raise SystemExit((self.state / "server.log").read_text()[-2000:])
        return self.http_get(self.ports["status"], "/readyz")[0] == 200

    def kill_server(self) -> None:
        assert self.server is not None
        self.server.kill()
        self.server.wait()

    def stop_server(self) -> int:
        assert self.server is not None
        self.server.terminate()
        return self.server.wait(20)

    # --- commands ---

    def argosy(
        self, *arguments: str, stdin: str | None = None, check: bool = True, timeout: float = 60
    ) -> str:
        done = subprocess.run(
            [ARGOSY, *arguments],
            env=self.environment(),
            input=stdin,
            capture_output=True,
            text=True,
            timeout=timeout,
            check=False,
        )
        if check:
            assert done.returncode == 0, (
                f"argosy {arguments}: exit {done.returncode}\n{done.stdout}\n{done.stderr}"
            )
        return done.stdout if check else f"{done.returncode}\n{done.stdout}\n{done.stderr}"

    def apply(self, text: str, *flags: str) -> str:
        return self.argosy("apply", "--wait", "-f", "-", *flags, stdin=text)

    def delete(self, kind: str, name: str, namespace: str = "default") -> None:
        self.argosy("delete", kind, name, "-n", namespace)

    def ps(self) -> list[dict[str, Any]]:
        listed: list[dict[str, Any]] = json.loads(self.argosy("ps", "-o", "json"))
        return listed

    # --- workloads ---

    def run(self, *arguments: str, name: str | None = None) -> Run:
        """Starts `argosy run ARGUMENTS` and returns at once."""
        label = name or f"run-{len(self.runs)}"
        log = self.state / f"{label}-{len(self.runs)}.log"
        with log.open("wb") as out:
            process = subprocess.Popen(
                [ARGOSY, *arguments], env=self.environment(), stdout=out, stderr=out, start_new_session=True
            )
        run = Run(label, process, log)
        self.runs[f"{label}-{len(self.runs)}"] = run
        return run

    def echo(
        self,
        service: str,
        version: str = "v1",
        protocol: str = "http",
        port: int = 9080,
        app: tuple[str, ...] = (),
        flags: tuple[str, ...] = (),
    ) -> Run:
        """Starts one instance of a service with the echo application."""
        return self.run(
            "run",
            f"--service={service}",
            f"--label=version={version}",
            f"--port={port}:auto/{protocol}",
            *flags,
            "--",
            sys.executable,
            str(APPS / "echo.py"),
            "{port}",
            f"--name={service}-{version}",
            f"--protocol={protocol}",
            *app,
            name=f"{service}-{version}",
        )

    def client(self, name: str = "client", *flags: str) -> Client:
        """A workload without ports whose sidecar the test itself uses."""
        run = self.run("run", f"--service={name}", *flags, "--", "sleep", "3600", name=name)
        port = until(lambda: self.proxy_port(run), f"{name} says where its proxy is")
        until(lambda: listening(port), f"the proxy of {name} listens")
        return Client(port, run)

    def proxy_port(self, run: Run) -> int:
        if run.process.poll() is not None:
            raise SystemExit(run.output())
        found = re.search(r"proxy\s+http://127\.0\.0\.1:(\d+)", run.output())
        return int(found[1]) if found else 0

    def announced(self, *services: str, count: int = 1) -> None:
        """Waits until each service has `count` announced instances."""

        def done() -> bool:
            seen = Counter(w["service"] for w in self.ps() if w.get("announced"))
            return all(seen[service] >= count for service in services)

        try:
            until(done, f"{services} are announced", 40)
        except AssertionError as error:
            logs = "\n".join(f"--- {k}\n{r.output()[-1500:]}" for k, r in self.runs.items())
            agent = self.state / "agent" / "agent.log"
            tail = agent.read_text()[-3000:] if agent.exists() else ""
            raise AssertionError(f"{error}\n{logs}\n--- agent\n{tail}") from None

    # --- ends ---

    def close(self) -> None:
        for run in self.runs.values():
            if run.process.poll() is None:
                run.process.terminate()
        for run in self.runs.values():
            try:
                run.process.wait(30)
            except subprocess.TimeoutExpired:
                run.process.kill()
                run.process.wait()
        self.argosy("down", "--all", check=False)
        if self.server and self.server.poll() is None:
            self.server.terminate()
            try:
                self.server.wait(20)
            except subprocess.TimeoutExpired:
                self.server.kill()
                self.server.wait()

    def http_get(self, port: int, path: str, timeout: float = 5) -> tuple[int, str]:
        with socket.create_connection(("127.0.0.1", port), timeout) as connection:
            connection.sendall(f"GET {path} HTTP/1.0\r\nHost: 127.0.0.1\r\n\r\n".encode())
            data = b""
            while chunk := connection.recv(65536):
                data += chunk
        head, _, body = data.partition(b"\r\n\r\n")
        return int(head.split()[1]), body.decode(errors="replace")


@dataclass
class Response:
    status: int
    headers: dict[str, str]
    body: bytes

    def json(self) -> dict[str, Any]:
        decoded: dict[str, Any] = json.loads(self.body)
        return decoded


class Connection:
    """One HTTP/1.1 connection to a sidecar's proxy port; requests in absolute form, as proxied clients send them."""

    def __init__(self, port: int) -> None:
        self.port = port
        self.reader: asyncio.StreamReader | None = None
        self.writer: asyncio.StreamWriter | None = None

    async def request(
        self, url: str, method: str = "GET", headers: dict[str, str] | None = None, body: bytes = b""
    ) -> Response:
        if self.writer is None:
            self.reader, self.writer = await asyncio.open_connection("127.0.0.1", self.port)
        assert self.reader is not None
        host = url.split("/")[2]
        lines = [f"{method} {url} HTTP/1.1", f"Host: {host}", f"Content-Length: {len(body)}"]
        lines += [f"{k}: {v}" for k, v in (headers or {}).items()]
        self.writer.write("\r\n".join(lines).encode() + b"\r\n\r\n" + body)
        head = (await self.reader.readuntil(b"\r\n\r\n")).decode("latin-1")
        first, *rest = head.strip().split("\r\n")
        seen = {k.lower(): v.strip() for k, _, v in (line.partition(":") for line in rest)}
        if seen.get("transfer-encoding") == "chunked":
            data = b""
            while size := int((await self.reader.readline()).strip(), 16):
                data += await self.reader.readexactly(size)
                await self.reader.readline()
            await self.reader.readline()
        else:
            data = await self.reader.readexactly(int(seen.get("content-length", "0")))
        if seen.get("connection") == "close":
            self.close()
        return Response(int(first.split()[1]), seen, data)

    def close(self) -> None:
        if self.writer:
            self.writer.close()
        self.reader = self.writer = None


@dataclass
class Client:
    port: int
    run: Run

    def request(
        self, url: str, method: str = "GET", headers: dict[str, str] | None = None, body: bytes = b""
    ) -> Response:
        """One request on a connection of its own."""

        async def once() -> Response:
            connection = Connection(self.port)
            try:
                return await asyncio.wait_for(connection.request(url, method, headers, body), 30)
            finally:
                connection.close()

        return asyncio.run(once())

    def many(
        self, url: str, count: int, workers: int = 8, headers: dict[str, str] | None = None
    ) -> list[Response]:
        """`count` requests over `workers` kept connections."""

        async def go() -> list[Response]:
            answers: list[Response] = []
            left = iter(range(count))

            async def worker() -> None:
                connection = Connection(self.port)
                for _ in left:
                    answers.append(await asyncio.wait_for(connection.request(url, headers=headers), 30))
                connection.close()

            await asyncio.gather(*(worker() for _ in range(workers)))
            return answers

        return asyncio.run(go())


class Load:
    """Steady load in a thread: `with Load(port, url) as load: …` then look at `load.answers` and `load.failures`."""

    def __init__(
        self,
        port: int,
        url: str,
        workers: int = 4,
        pause: float = 0.01,
        headers: dict[str, str] | None = None,
    ) -> None:
        self.port, self.url, self.workers, self.pause, self.headers = port, url, workers, pause, headers
        self.answers: Counter[str] = Counter()
        self.failures: list[str] = []
        self.stopping = False

    @property
    def total(self) -> int:
        return sum(self.answers.values()) + len(self.failures)

    async def worker(self) -> None:
        connection = Connection(self.port)
        while not self.stopping:
            try:
                answer = await asyncio.wait_for(connection.request(self.url, headers=self.headers), 30)
                if answer.status == 200:
                    self.answers[answer.headers.get("x-served-by", "?")] += 1
                else:
                    self.failures.append(f"{answer.status} {answer.body[:100]!r}")
            except (OSError, asyncio.IncompleteReadError, TimeoutError) as error:
                self.failures.append(repr(error))
                connection.close()
                await asyncio.sleep(0.05)
            await asyncio.sleep(self.pause)
        connection.close()

    async def main(self) -> None:
        await asyncio.gather(*(self.worker() for _ in range(self.workers)))

    def __enter__(self) -> Load:
        import threading

        self.thread = threading.Thread(target=lambda: asyncio.run(self.main()))
        self.thread.start()
        return self

    def at_least(self, more: int, timeout: float = 60) -> None:
        """Waits until `more` further requests were answered or failed."""
        goal = self.total + more
        until(lambda: self.total >= goal, f"{more} more requests", timeout)

    def __exit__(self, *_: object) -> None:
        self.stopping = True
        self.thread.join()


@contextlib.contextmanager
def running_mesh(state: Path, *server_flags: str) -> Iterator[Mesh]:
    mesh = Mesh(state, server_flags=server_flags)
    try:
        mesh.start_server()
        yield mesh
    finally:
        mesh.close()
