"""The API in a process of its own: who applies is told the same as by a server with all roles."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from argosy.server.operations import NOT_ANALYSED
from tests.servers.server_process import Server, running_server

pytestmark = pytest.mark.timeout(120)

TOLD = {
    "a route to nobody": """
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: reviews}
spec: {hosts: [reviews], http: [{route: [{destination: {host: nobody}}]}]}
""",
    "a rule for nobody": """
apiVersion: networking.istio.io/v1
kind: DestinationRule
metadata: {name: nobody}
spec: {host: nobody.default.svc.cluster.local}
""",
    "a field without effect": """
apiVersion: networking.istio.io/v1
kind: DestinationRule
metadata: {name: ratings}
spec: {host: ratings, trafficPolicy: {tunnel: {protocol: POST, targetHost: a.example, targetPort: 443}}}
""",
    "settings of another trust domain": """
apiVersion: v1
kind: ConfigMap
metadata: {name: istio, namespace: istio-system}
data: {mesh: "trustDomain: elsewhere.example"}
""",
}


def told(server: Server, text: str) -> list[str]:
    """What an apply says besides that it was done."""
    said = server.ok("apply", "-f", "-", "--dry-run=server", stdin=text)
    return sorted(line for line in said.splitlines() if "warning" in line.lower())


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with running_server(tmp_path_factory.mktemp("whole")) as server:
        yield server


@pytest.fixture(scope="module")
def split(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """Its API; what serves proxies is another process."""
    with running_server(tmp_path_factory.mktemp("runtime"), "--roles", "xds,ca") as runtime:
        shared = ("--state-dir", str(runtime.state), "--roles", "api")
        with running_server(tmp_path_factory.mktemp("front"), *shared):
            yield runtime


@pytest.mark.parametrize("case", TOLD)
def test_the_same_is_told(case: str, whole: Server, split: Server) -> None:
    found = told(whole, TOLD[case])
    assert found
    assert told(split, TOLD[case]) == found


def test_what_was_stored_just_before_counts(split: Server) -> None:
    both = """
apiVersion: v1
kind: Service
metadata: {name: somebody}
spec: {ports: [{name: http, port: 80}]}
---
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: somebody}
spec: {hosts: [somebody], http: [{route: [{destination: {host: somebody}}]}]}
"""
    assert "IST0101" not in split.ok("apply", "-f", "-", stdin=both)


def test_where_nobody_serves_proxies_that_is_told(tmp_path: Path) -> None:
    with running_server(tmp_path, "--roles", "api") as server:
        assert NOT_ANALYSED in server.ok("apply", "-f", "-", stdin=TOLD["a route to nobody"])
        assert NOT_ANALYSED not in server.ok(
            "apply", "-f", "-", stdin=TOLD["settings of another trust domain"]
        )
