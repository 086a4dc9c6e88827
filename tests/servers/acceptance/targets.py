"""The servers of the acceptance table and of the benchmark of the API: ours over each store, and the original.

All of them know the same two people by token: `admin`, who may do everything, and `bob`, who may do nothing yet.
"""

from __future__ import annotations

import contextlib
import subprocess
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import NamedTuple

import msgspec

from argosy.apiserver import kubeconfig
from argosy.apiserver.kubeconfig import Connection
from tests.servers.etcd import etcd
from tests.servers.kube_apiserver import kube_apiserver
from tests.servers.kubectl import Kubectl, tools
from tests.servers.server_process import ARGOSY, running_server

TOKENS = {"admin": "admin-correct-horse-battery", "bob": "bob-correct-horse-battery-staple"}
GROUPS = {"admin": "system:masters,argosy:admins", "bob": ""}


class Target(NamedTuple):
    name: str
    folder: Path
    connection: Connection
    pid: int

    def kubeconfig(self, who: str, namespace: str) -> Path:
        path = self.folder / f"{who}-{namespace}.kubeconfig"
        if not path.exists():
            named = msgspec.structs.replace(self.connection, token=TOKENS[who], namespace=namespace)
            kubeconfig.write(path, kubeconfig.build(named))
        return path

    def kubectl(self, version: str, who: str, namespace: str) -> Kubectl:
        """Each version has a home, where it keeps what it has discovered."""
        home = self.folder / f"home-{version}"
        home.mkdir(exist_ok=True)
        return Kubectl(tools(version).kubectl, self.kubeconfig(who, namespace), home)


def _token_file(folder: Path) -> Path:
    path = folder / "tokens.csv"
    path.touch(mode=0o600)
    groups = {who: f',"{held}"' if held else "" for who, held in GROUPS.items()}
    path.write_text("".join(f"{token},{who},{who}{groups[who]}\n" for who, token in TOKENS.items()))
    return path


@contextlib.contextmanager
def _ours(name: str, folder: Path, *options: str) -> Iterator[Target]:
    with running_server(folder, "--token-file", str(_token_file(folder)), *options) as server:
        yield Target(name, folder, kubeconfig.load(server.kubeconfig), server.process.pid)


@contextlib.contextmanager
def over_sqlite(folder: Path, *options: str) -> Iterator[Target]:
    with _ours("sqlite", folder, *options) as target:
        yield target


@contextlib.contextmanager
def over_etcd(folder: Path, *options: str) -> Iterator[Target]:
    with (
        etcd(folder / "etcd") as cluster,
        _ours("etcd", folder, "--store", cluster.url(), *options) as target,
    ):
        yield target


@contextlib.contextmanager
def original(folder: Path, *_options: str) -> Iterator[Target]:
    """With our kinds, as `argosy install crds` prints them, and the namespace that `argosy server` makes."""
    with kube_apiserver(folder, _token_file(folder)) as running:
        target = Target("kube-apiserver", folder, Connection(server=running.url, ca=running.ca), running.pid)
        kubectl = target.kubectl("1.37", "admin", "default")
        printed = subprocess.run(
            [*ARGOSY, "install", "crds"], capture_output=True, text=True, check=True
        ).stdout
        kubectl.ok("create", "-f", "-", stdin=printed, timeout=120)
        kubectl.ok("wait", "--for=condition=Established", "crd", "--all", "--timeout=60s")
        kubectl.ok("create", "namespace", "istio-system")
        yield target


START: Mapping[str, Callable[..., contextlib.AbstractContextManager[Target]]] = {
    "sqlite": over_sqlite,
    "etcd": over_etcd,
    "kube-apiserver": original,
}
