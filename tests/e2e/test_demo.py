"""`argosy demo` as a person uses it: started, looked at, each thing tried and undone as printed, ended whole."""

from __future__ import annotations

import json
import os
import re
import shlex
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from argosy.runtime.paths import runtime_dir
from tests.e2e.mesh import ARGOSY, Connection, Response, until
from tests.ports import free_port

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(240)]


@dataclass
class Demo:
    process: subprocess.Popen[bytes]
    port: int
    state: Path
    log: Path

    def output(self) -> str:
        return self.log.read_text(errors="replace")

    def page(self, **headers: str) -> dict[str, Any]:
        import asyncio

        async def once() -> Response:
            connection = Connection(self.port)
            try:
                given = {name.replace("_", "-"): value for name, value in headers.items()}
                return await asyncio.wait_for(
                    connection.request(f"http://127.0.0.1:{self.port}/api/page", headers=given), 30
                )
            finally:
                connection.close()

        answer = asyncio.run(once())
        assert answer.status == 200, answer.body[:200]
        return answer.json()

    def versions(self, count: int, **headers: str) -> Counter[str]:
        return Counter(self.page(**headers)["reviews"]["version"] for _ in range(count))

    def tries(self) -> dict[str, tuple[str, str]]:
        """What was printed: first word of the title -> (command, undo)."""
        found = re.findall(r"^\d\. (\w+).*\n +(\S.*)\n +undo:\n +(\S.*)$", self.output(), re.MULTILINE)
        return {title: (command, undo) for title, command, undo in found}

    def do(self, command: str) -> str:
        """From elsewhere, with an environment that knows nothing of the demo."""
        clean = {"PATH": "/usr/bin:/bin", "HOME": os.environ.get("HOME", "/")}
        done = subprocess.run(
            ["sh", "-c", command], cwd="/", env=clean, capture_output=True, text=True, timeout=60, check=False
        )
        assert done.returncode == 0, f"{command}: {done.returncode}\n{done.stdout}\n{done.stderr}"
        return done.stdout + done.stderr

    def processes(self) -> list[int]:
        """Every process that names the state directory or its runtime directory, but the demo itself."""
        found = []
        marks = (str(self.state), str(runtime_dir(self.state)))
        for folder in Path("/proc").iterdir():
            if folder.name.isdigit() and int(folder.name) not in (self.process.pid, os.getpid()):
                try:
                    command = (folder / "cmdline").read_bytes().decode(errors="replace")
                except OSError:
                    continue
                if any(mark in command for mark in marks):
                    found.append(int(folder.name))
        return found

    def table(self) -> dict[str, list[str]]:
        """The last table printed: `service version` -> the other cells."""
        rows = self.output().rpartition("SERVICE ")[2].splitlines()
        split = (re.split(r"  +", row.strip()) for row in rows[1:])
        return {" ".join(cells[:2]): cells[2:] for cells in split if len(cells) == 7}


def start(folder: Path, *flags: str) -> Demo:
    port = free_port()
    log = folder / "demo.log"
    with log.open("wb") as out:
        process = subprocess.Popen(
            [ARGOSY, "demo", f"--port={port}", f"--state-dir={folder / 'state'}", *flags],
            stdout=out,
            stderr=out,
            env={**os.environ, "PYTHONUNBUFFERED": "1"},
            start_new_session=True,
        )
    demo = Demo(process, port, folder / "state", log)
    until(lambda: "The shop is open" in demo.output() or process.poll() is not None, "the shop is open", 90)
    assert process.poll() is None, demo.output()
    return demo


@pytest.fixture(scope="module")
def demo(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Demo]:
    running = start(tmp_path_factory.mktemp("demo"))
    yield running
    if running.process.poll() is None:
        running.process.send_signal(signal.SIGINT)
        running.process.wait(60)


def test_every_call_of_the_page_proves_who_calls(demo: Demo) -> None:
    page = demo.page()
    identity = "spiffe://cluster.local/ns/default/sa/"
    assert page["caller"] == "spiffe://cluster.local/ns/istio-system/sa/ingress"
    assert page["catalog"]["caller"] == page["reviews"]["caller"] == identity + "frontend"
    assert page["catalog"]["stock"] == {
        "service": "inventory",
        "version": "v1",
        "pieces": 7,
        "caller": identity + "catalog",
    }
    assert set(demo.versions(30)) == {"v1", "v2", "v3"}


def test_the_table_shows_every_version_with_mutual_tls(demo: Demo) -> None:
    def complete() -> bool:
        rows = demo.table()
        return len(rows) == 7 and all(
            float(r[0]) > 0 and r[1] == "100 %" and r[4] == "100 %" for r in rows.values()
        )

    until(complete, "the table is complete", 60)


def test_the_canary(demo: Demo) -> None:
    command, undo = demo.tries()["Canary"]
    assert "live in" in demo.do(command)
    seen = demo.versions(200)
    assert seen["v2"] == 0
    assert 5 <= seen["v3"] <= 40  # 20 expected, sigma 4.2
    demo.do(undo)
    until(lambda: demo.versions(10)["v2"], "the canary is undone")


def test_one_user_elsewhere(demo: Demo) -> None:
    command, undo = demo.tries()["One"]
    demo.do(command)
    assert demo.versions(10, end_user="jason") == {"v2": 10}
    assert demo.versions(10, end_user="medea") == {"v1": 10}
    assert demo.versions(10, cookie="user=jason") == {"v2": 10}
    demo.do(undo)


def test_a_delay(demo: Demo) -> None:
    command, undo = demo.tries()["Inject"]
    demo.do(command)

    def delayed() -> bool:
        began = time.monotonic()
        demo.page()
        return time.monotonic() - began > 0.6

    until(delayed, "a page is delayed")
    demo.do(undo)


def test_the_breaker(demo: Demo) -> None:
    command, undo = demo.tries()["Trip"]
    said = demo.do(command)
    found = re.search(r"503 +(\d+) \(refused by the circuit breaker\)", said)
    assert found, said
    assert int(found[1]) > 50
    demo.do(undo + " --wait")
    assert demo.page()["reviews"]


def test_the_control_plane_killed_and_nothing_happens_and_brought_back(demo: Demo) -> None:
    command, undo = demo.tries()["Kill"]
    demo.do(command)
    until(lambda: "control plane: down" in demo.output(), "the demo says so")
    assert sum(demo.versions(100).values()) == 100
    server = subprocess.Popen(shlex.split(undo), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        canary, back = demo.tries()["Canary"]
        until(lambda: "live in 7 proxies" in demo.do(canary), "the proxies follow the new control plane", 40)
        demo.do(back)
        answered = re.findall(r"load: (\d+) answered, (.*)", demo.output())
        # The breaker has refused some of the demo's own requests, on purpose; nothing else may have failed.
        assert all(set(re.findall(r"(\w+): \d+", rest)) <= {"503"} for _, rest in answered)
    finally:
        demo.process.send_signal(signal.SIGINT)
        assert demo.process.wait(60) == 0, demo.output()
        until(lambda: server.poll() is not None, "the control plane that was brought back ends too", 20)
    assert demo.processes() == []
    assert not runtime_dir(demo.state).exists()


def test_a_killed_demo_is_cleaned_up_by_the_next(tmp_path: Path) -> None:
    first = start(tmp_path, "--traffic=0")
    first.process.kill()
    first.process.wait()
    second = start(tmp_path, "--traffic=0")
    assert json.loads((second.state / "server.json").read_text())["pid"] in second.processes()
    second.process.send_signal(signal.SIGTERM)
    assert second.process.wait(60) == 0, second.output()
    assert second.processes() == []


def test_beside_a_mesh_of_the_users_own(tmp_path: Path) -> None:
    state = tmp_path / "own"
    state.mkdir()
    server = subprocess.Popen(
        [ARGOSY, "server", f"--state-dir={state}"], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    try:
        until(
            lambda: (state / "server.json").exists() or server.poll() is not None,
            "the user's own server is up",
        )
        demo = start(tmp_path, "--traffic=0")
        assert demo.page()["reviews"]
        assert f"{sys.executable.rpartition('/')[0]}/argosy server" in demo.tries()["Kill"][1]
        demo.process.send_signal(signal.SIGINT)
        assert demo.process.wait(60) == 0, demo.output()
        assert server.poll() is None
    finally:
        server.terminate()
        server.wait(20)
