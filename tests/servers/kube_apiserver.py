"""A real kube-apiserver over an etcd of its own: what the original answers to the same requests.

The binary is `$ARGOSY_KUBE_APISERVER`, or in the PATH, or in the cache where `scripts/build-kube-apiserver` puts it.
It runs alone: no controllers, so nobody empties a namespace, collects what lost its owner or writes a status.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import ssl
import subprocess
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest

from tests.ports import free_ports
from tests.servers.etcd import etcd
from tests.servers.kubectl import cache
from tests.unit.apiserver.conftest import make_authority

MISSING = (
    "=== SKIPPED: no kube-apiserver here (scripts/build-kube-apiserver makes one from its Go module) ==="
)
READY_WITHIN = 90.0


class KubeApiserver(NamedTuple):
    url: str
    ca: str  # PEM
    pid: int
    etcd_pid: int


def binary() -> Path | None:
    named = os.environ.get("ARGOSY_KUBE_APISERVER") or shutil.which("kube-apiserver")
    found = Path(named) if named else cache() / "kube-apiserver" / "kube-apiserver"
    return found if found.is_file() else None


@contextlib.contextmanager
def kube_apiserver(folder: Path, token_file: Path) -> Iterator[KubeApiserver]:
    """Runs it with the users of a token file; skips the test where there is none."""
    program = binary()
    if program is None:
        pytest.skip(MISSING)
    authority = make_authority(folder, "kube")
    (port,) = free_ports(1)
    with etcd(folder / "etcd") as cluster, (folder / "kube-apiserver.log").open("wb") as log:
        process = subprocess.Popen(
            [
                program,
                f"--etcd-servers=http://{cluster.endpoints[0]}",
                f"--secure-port={port}",
                *("--bind-address=127.0.0.1", "--service-cluster-ip-range=10.96.0.0/16"),
                *(f"--tls-cert-file={authority.cert}", f"--tls-private-key-file={authority.key}"),
                *(f"--token-auth-file={token_file}", "--authorization-mode=RBAC"),
                f"--cert-dir={folder / 'certs'}",
                f"--service-account-key-file={authority.cert}",
                f"--service-account-signing-key-file={authority.key}",
                "--service-account-issuer=https://kubernetes.default.svc",
                "--disable-admission-plugins=ServiceAccount",
            ],
            stdout=log,
            stderr=log,
        )
        member = cluster.members[0].process
        assert member is not None
        running = KubeApiserver(f"https://127.0.0.1:{port}", authority.pem, process.pid, member.pid)
        try:
            _wait(running, process, folder / "kube-apiserver.log")
            yield running
        finally:
            process.terminate()
            process.wait(60)


def _wait(running: KubeApiserver, process: subprocess.Popen[bytes], log: Path) -> None:
    context = ssl.create_default_context(cadata=running.ca)
    until = time.monotonic() + READY_WITHIN
    while True:
        try:
            with urllib.request.urlopen(f"{running.url}/readyz", timeout=5, context=context):
                return
        except (OSError, urllib.error.URLError):
            assert process.poll() is None, log.read_text(errors="replace")[-3000:]
            assert time.monotonic() < until, log.read_text(errors="replace")[-3000:]
            time.sleep(0.2)
