"""How long from the command `argosy demo` to the first answered page, all proxies ready?"""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import tempfile
import time
import urllib.request
from pathlib import Path

from tests.e2e.mesh import ARGOSY
from tests.ports import free_port

Row = tuple[str, str, str]


def once() -> float:
    port = free_port()
    with tempfile.TemporaryDirectory() as folder:
        began = time.monotonic()
        demo = subprocess.Popen(
            [ARGOSY, "demo", "--port", str(port), "--traffic", "0", "--state-dir", str(Path(folder) / "s")],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            env={**os.environ, "PYTHONUNBUFFERED": "1"},
        )
        opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
        try:
            while time.monotonic() - began < 90:
                with (
                    contextlib.suppress(OSError),
                    opener.open(f"http://127.0.0.1:{port}/", timeout=5) as answer,
                ):
                    if answer.status == 200 and b"reviews" in answer.read().lower():
                        return time.monotonic() - began
                time.sleep(0.05)
            raise TimeoutError("the demo gave no page within 90 s")
        finally:
            demo.send_signal(signal.SIGINT)
            demo.wait(60)


def run() -> list[Row]:
    times = sorted(once() for _ in range(5))
    return [
        ("first page, median of 5", f"{times[2]:.1f} s", "10 s"),
        ("first page, slowest of 5", f"{times[-1]:.1f} s", ""),
    ]
