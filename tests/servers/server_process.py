"""`argosy server` as a process of its own on free ports, and `argosy` as a person calls it."""

from __future__ import annotations

import os
import ssl
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import httpx
import msgspec

from argosy.apiserver import kubeconfig
from argosy.runtime.paths import ServerInfo
from tests.forked import argosy

ARGOSY = (sys.executable, "-m", "argosy.cli.main")
ANY = "127.0.0.1:0"
STARTED_WITHIN = WITHIN = 60.0


class Server:
    def __init__(self, folder: Path, process: subprocess.Popen[bytes], log: Path) -> None:
        self.folder = folder
        self.state = folder / "state"
        self.process = process
        self.log = log

    @property
    def info(self) -> ServerInfo:
        return msgspec.json.decode((self.state / "server.json").read_bytes(), type=ServerInfo)

    @property
    def kubeconfig(self) -> Path:
        return self.state / "kubeconfig"

    def api(self) -> httpx.AsyncClient:
        """The HTTP API, as its admin calls it, with as many connections as it takes."""
        found = kubeconfig.load(self.kubeconfig)
        return httpx.AsyncClient(
            base_url=found.server,
            headers={"Authorization": f"Bearer {found.token}"},
            verify=ssl.create_default_context(cadata=found.ca),
            trust_env=False,
            timeout=60,
            limits=httpx.Limits(max_connections=None),
        )

    def argosy(
        self, *arguments: str, env: Mapping[str, str] | None = None, stdin: str = ""
    ) -> subprocess.CompletedProcess[str]:
        """As the admin of this server, unless the arguments or the environment say otherwise."""
        clean = {
            name: value for name, value in os.environ.items() if not name.startswith(("ARGOSY_", "KUBE"))
        }
        own = {
            "ARGOSY_STATE_DIR": str(self.state),
            "HOME": str(self.folder),
            "COLUMNS": "200",
            "NO_COLOR": "1",
        }
        return argosy(
            arguments, env=clean | own | dict(env or {}), cwd=self.folder, stdin=stdin, timeout=WITHIN
        )

    def ok(self, *arguments: str, env: Mapping[str, str] | None = None, stdin: str = "") -> str:
        done = self.argosy(*arguments, env=env, stdin=stdin)
        assert done.returncode == 0, (
            f"argosy {' '.join(arguments)}: {done.returncode}\n{done.stdout}{done.stderr}"
        )
        return done.stdout + done.stderr


@contextmanager
def running_server(folder: Path, *more: str) -> Iterator[Server]:
    log = folder / "server.log"
    addresses = [part for name in ("api", "xds", "ca", "status") for part in (f"--{name}-address", ANY)]
    with log.open("wb") as out:
        process = subprocess.Popen(
            [*ARGOSY, "server", "--state-dir", str(folder / "state"), *addresses, *more],
            stdout=out,
            stderr=out,
            env={name: value for name, value in os.environ.items() if not name.startswith("ARGOSY_")},
        )
    server = Server(folder, process, log)
    try:
        deadline = time.monotonic() + STARTED_WITHIN
        while b'"ready"' not in log.read_bytes():
            assert process.poll() is None, log.read_text()
            assert time.monotonic() < deadline, log.read_text()
            time.sleep(0.05)
        yield server
    finally:
        process.terminate()
        process.wait(30)
