"""Workloads join and leave under load, one after the other, with the server up and down: no request fails."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.e2e.mesh import Load, Mesh, Run, running_mesh, until
from tests.e2e.test_outages import NO_RETRIES, URL
from tests.long.conftest import count

pytestmark = [pytest.mark.long, pytest.mark.e2e, pytest.mark.timeout(1800)]

CYCLES = count(full=15, short=2)
SLOW = {"x-delay-ms": "300"}
DEFAULT_RETRIES = """
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: reviews, namespace: default}
spec:
  hosts: [reviews]
  http: [{route: [{destination: {host: reviews}}]}]
"""
PROTOCOL = """
apiVersion: networking.istio.io/v1
kind: DestinationRule
metadata: {name: reviews, namespace: default}
spec: {host: reviews, trafficPolicy: {connectionPool: {http: {h2UpgradePolicy: %s}}}}
"""


@pytest.mark.parametrize("upgrade", ["UPGRADE", "DO_NOT_UPGRADE"])
def test_workloads_come_and_go_without_a_failed_request(tmp_path: Path, upgrade: str) -> None:
    with running_mesh(tmp_path / "state") as mesh:
        leaving = mesh.echo("reviews", "v0")
        mesh.echo("reviews", "stays")
        client = mesh.client()
        mesh.announced("reviews", count=2)
        mesh.apply(NO_RETRIES)
        mesh.apply(PROTOCOL % upgrade)
        with Load(client.port, URL, workers=8, headers=SLOW) as load:
            load.at_least(40)
            for number in range(1, CYCLES + 1):
                joining = mesh.echo("reviews", f"v{number}")
                mesh.announced("reviews", count=3)
                served(load, f"reviews-v{number}")
                if number % 2:
                    assert leaving.stop() in (0, 143)
                else:
                    leave_without_a_server(mesh, load, leaving, f"reviews-v{number - 1}")
                load.at_least(40)
                assert load.failures == [], f"cycle {number}"
                leaving = joining
        assert load.failures == []
        assert len(load.answers) == CYCLES + 2, "each of them served"


def served(load: Load, name: str) -> None:
    before = load.answers[name]
    until(lambda: load.answers[name] > before, f"{name} serves", 30)


def leave_without_a_server(mesh: Mesh, load: Load, leaving: Run, name: str) -> None:
    """The other sidecars cannot be told: Istio's default retries apply, until the server is back and is told."""
    mesh.apply(DEFAULT_RETRIES)
    mesh.kill_server()
    load.at_least(20)
    assert leaving.stop() in (0, 143)
    load.at_least(40)
    assert load.failures == [], f"{name} left without a server"
    mesh.start_server()
    until(lambda: all(w["connected"] for w in mesh.ps()), "the agent is connected again", 40)
    until(lambda: name not in entries(mesh), "the entry of who left is gone", 60)
    mesh.apply(NO_RETRIES)


def entries(mesh: Mesh) -> set[str]:
    listed = json.loads(mesh.argosy("get", "workloadentry", "-o", "json"))
    return {one["metadata"]["name"] for one in listed["items"]}
