"""What do server, agent and each Envoy cost while the demo idles: proportional memory and CPU?"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import tempfile
import time
from pathlib import Path
from typing import Any

from bench.processes import cpu, pss
from tests.e2e.mesh import ARGOSY, until
from tests.ports import free_port

Row = tuple[str, str, str]
SECONDS = 20


def run() -> list[Row]:
    with tempfile.TemporaryDirectory() as folder:
        state = str(Path(folder) / "s")
        demo = subprocess.Popen(
            [ARGOSY, "demo", "--port", str(free_port()), "--traffic", "0", "--state-dir", state],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        environment = {**os.environ, "ARGOSY_STATE_DIR": state}

        def ps(*flags: str) -> Any:
            return json.loads(subprocess.check_output([ARGOSY, "ps", "-o", "json", *flags], env=environment))

        try:
            workloads = until(
                lambda: [w for w in ps() if w["envoy_pid"]] if len(ps()) >= 8 else [], "the demo is up", 90
            )
            until(lambda: all(w["announced"] or not w["ports"] for w in ps()), "all are announced", 60)
            agent = ps("--agent")["pid"]
            server = json.loads((Path(state) / "server.json").read_text())["pid"]
            envoys = [w["envoy_pid"] for w in workloads]
            runs = [w["client_pid"] for w in workloads]
            time.sleep(5)
            before = {pid: cpu(pid) for pid in (server, agent, *envoys, *runs)}
            time.sleep(SECONDS)
            idle = {pid: (cpu(pid) - before[pid]) / SECONDS * 100 for pid in before}

            def of(pids: list[int]) -> float:
                return sum(idle[pid] for pid in pids)

            return [
                ("server, memory (PSS)", f"{pss(server):.0f} MB", "150 MB"),
                ("agent, memory (PSS)", f"{pss(agent):.0f} MB", "100 MB"),
                ("each Envoy, memory (PSS), mean", f"{sum(map(pss, envoys)) / len(envoys):.0f} MB", "60 MB"),
                (
                    f"idle CPU of server, agent and {len(envoys)} Envoys",
                    f"{of([server, agent, *envoys]):.1f} % of a core",
                    "5 %",
                ),
                (
                    "… of which server / agent / each Envoy, mean",
                    f"{idle[server]:.1f} / {idle[agent]:.1f} / {of(envoys) / len(envoys):.2f} %",
                    "",
                ),
                (
                    "beside them, each `argosy run`, mean: memory (PSS), idle CPU",
                    f"{sum(map(pss, runs)) / len(runs):.0f} MB, {of(runs) / len(runs):.2f} %",
                    "",
                ),
            ]
        finally:
            demo.send_signal(signal.SIGINT)
            demo.wait(60)
