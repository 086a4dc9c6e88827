"""What the shop consists of, and the commands that start it: each exactly what a user would type."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path

from msgspec import Struct

CONFIG = Path(__file__).parent / "config"
GATEWAY = "ingress"


class Member(Struct, frozen=True):
    """One workload of the shop."""

    service: str
    version: str = "v1"
    port: str = "9080:auto"
    arguments: tuple[str, ...] = ()

    @property
    def name(self) -> str:
        return f"{self.service}-{self.version}"

    def command(self, argosy: Sequence[str], state: Path) -> list[str]:
        return [
            *argosy,
            "run",
            f"--state-dir={state}",
            f"--service={self.service}",
            f"--label=version={self.version}",
            f"--port={self.port}",
            "--",
            sys.executable,
            "-m",
            f"argosy.demo.{self.service}",
            "{port}",
            *self.arguments,
        ]


SHOP = (
    Member("frontend"),
    Member("catalog"),
    Member("reviews", "v1", arguments=("v1",)),
    Member("reviews", "v2", arguments=("v2",)),
    Member("reviews", "v3", arguments=("v3",)),
    Member("ratings"),
    Member("inventory", port="9090:auto/grpc"),
)


def gateway_command(argosy: Sequence[str], state: Path, port: int) -> list[str]:
    return [
        *argosy,
        "gateway",
        f"--state-dir={state}",
        f"--name={GATEWAY}",
        "--label=istio=ingressgateway",
        f"--port=80={port}",
    ]


class Try(Struct, frozen=True):
    """Something to try in a second terminal: one command, and the one that takes it back."""

    title: str
    see: str
    command: str
    undo: str


def tries(argosy: str, state: Path, port: int, server_pid: int, server: str) -> list[Try]:
    """Commands that work from anywhere: `argosy` and `server` are absolute, quoted for a shell, as the paths are."""
    from shlex import quote

    def apply(file: str) -> str:
        return f"{argosy} apply --wait --state-dir {quote(str(state))} -f {quote(str(CONFIG / file))}"

    def delete(file: str) -> str:
        return f"{argosy} delete --state-dir {quote(str(state))} -f {quote(str(CONFIG / file))}"

    burst = (
        f"{quote(sys.executable)} -m argosy.demo.driver http://127.0.0.1:{port}/ --count 300 --parallel 30"
    )
    return [
        Try(
            "Canary: a tenth of the requests to v3",
            "reviews v1 nine tenths, v3 one tenth; red stars now and then",
            apply("canary.yaml"),
            delete("canary.yaml"),
        ),
        Try(
            "One user elsewhere, by a header",
            f"sign in as jason at http://127.0.0.1:{port}/ and see black stars; nobody else does",
            apply("one-user.yaml"),
            delete("one-user.yaml"),
        ),
        Try(
            "Inject a delay",
            "p99 of reviews v2, v3 and of the frontend grows; nobody's code has changed",
            apply("delay.yaml"),
            delete("delay.yaml"),
        ),
        Try(
            "Trip a circuit breaker",
            "300 requests, 30 at a time: most are refused at once (503) and the frontend is spared",
            f"{apply('breaker.yaml')} && {burst}",
            delete("breaker.yaml"),
        ),
        Try(
            "Kill the control plane, and watch nothing happen",
            "every row goes on; the undo brings it back",
            f"kill -9 {server_pid}",
            server,
        ),
    ]
