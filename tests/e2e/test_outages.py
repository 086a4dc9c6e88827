"""What fails and what goes on: each row of the failure table that this version has, under load with retries off."""

from __future__ import annotations

import json
import os
import signal
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.mesh import IN_PARTS, Load, Mesh, running_mesh, until

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(240)]

URL = "http://reviews:9080/"
NO_RETRIES = """
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: reviews, namespace: default}
spec:
  hosts: [reviews]
  http: [{route: [{destination: {host: reviews}}], retries: {attempts: 0}}]
"""


def workload(mesh: Mesh, name: str) -> dict[str, Any]:
    return next(w for w in mesh.ps() if w["name"] == name)


def restarted(mesh: Mesh, name: str, before: int) -> None:
    until(lambda: workload(mesh, name)["envoy_pid"] not in (0, before), f"Envoy of {name} is restarted")


def alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return Path(f"/proc/{pid}/stat").read_text().split(") ")[1][0] != "Z"


def resources_sent(mesh: Mesh) -> int:
    _, text = mesh.http_get(mesh.ports["status"], "/metrics")
    assert "# TYPE argosy_xds_resources_sent_total counter" in text
    return int(
        sum(
            float(line.split()[-1])
            for line in text.splitlines()
            if line.startswith("argosy_xds_resources_sent_total")
        )
    )


def test_the_server_is_killed_under_load_and_comes_back(mesh: Mesh) -> None:
    mesh.echo("reviews", "v1")
    mesh.echo("reviews", "v2")
    client = mesh.client()
    mesh.announced("reviews", count=2)
    mesh.apply(NO_RETRIES)
    with Load(client.port, URL) as load:
        load.at_least(200)
        mesh.kill_server()
        load.at_least(1000)
        mesh.start_server()
        until(lambda: all(w["connected"] for w in mesh.ps()), "the agents are connected again", 40)
        sent = resources_sent(mesh)
        load.at_least(300)
    assert load.failures == []
    assert load.total >= 1500
    assert sent == 0, "nothing that is the same is sent again"


REFUSED_BY_ENVOY = """
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: reviews, namespace: default}
spec:
  hosts: [reviews]
  http: [{route: [{destination: {host: reviews}}], headers: {request: {set: {x-odd: "%NO_SUCH_COMMAND%"}}}}]
"""


@pytest.mark.parametrize(
    "before", ["nothing", "a refusal", "routes in parts", pytest.param("a rotation", marks=pytest.mark.long)]
)
def test_a_sidecar_that_dies_while_the_server_is_down_comes_back_serving(before: str, tmp_path: Path) -> None:
    flags = ("--cert-ttl=60s",) if before == "a rotation" else ()
    with running_mesh(tmp_path / "state", *flags) as mesh:
        mesh.echo("reviews")
        client = mesh.client("client", *(IN_PARTS if before == "routes in parts" else ()))
        mesh.announced("reviews")
        until(lambda: client.request(URL).status == 200, "traffic flows")
        if before == "a refusal":
            mesh.apply(NO_RETRIES)
            refused = mesh.argosy("apply", "--wait", "-f", "-", stdin=REFUSED_BY_ENVOY, check=False)
            assert refused.startswith("1\n"), refused
            assert "NO_SUCH_COMMAND" in refused, "Envoy's own words say what it refuses"
            assert client.request(URL).status == 200, "the last good routes stay"
        if before == "a rotation":
            first = {w["name"]: w["certificate_expires_at"] for w in mesh.ps()}
            until(
                lambda: all(w["certificate_expires_at"] > first[w["name"]] for w in mesh.ps()),
                "both certificates were renewed",
                40,
            )
        mesh.kill_server()
        for name in ("client", "reviews-v1"):
            pid = workload(mesh, name)["envoy_pid"]
            os.kill(pid, signal.SIGKILL)
            restarted(mesh, name, pid)
        until(lambda: client.request(URL).status == 200, "it serves from the last good configuration")
        assert workload(mesh, "reviews-v1")["restarts"] == 1


def test_the_agent_is_killed_and_a_new_one_adopts_the_same_envoy(mesh: Mesh) -> None:
    mesh.echo("reviews")
    client = mesh.client()
    mesh.announced("reviews")
    mesh.apply(NO_RETRIES)
    before = {w["name"]: w["envoy_pid"] for w in mesh.ps()}
    agent = int(json.loads(mesh.argosy("ps", "-o", "json", "--agent"))["pid"])
    with Load(client.port, URL, workers=2) as load:
        load.at_least(100)
        os.kill(agent, signal.SIGKILL)
        load.at_least(200)
        until(
            lambda: {w["name"]: w["envoy_pid"] for w in mesh.ps()} == before, "a new agent adopted both", 30
        )
        load.at_least(100)
    assert load.failures == []
    assert json.loads(mesh.argosy("ps", "-o", "json", "--agent"))["pid"] != agent
    mesh.echo("reviews", "v2")
    mesh.announced("reviews", count=2)
    until(
        lambda: client.request(URL).headers["x-served-by"] == "reviews-v2",
        "the adopted sidecar takes changes",
    )


def test_argosy_run_is_killed_and_takes_its_application_with_it(mesh: Mesh) -> None:
    run = mesh.echo("reviews")
    client = mesh.client()
    mesh.announced("reviews")
    answer = until(lambda: client.request(URL), "traffic flows")
    application = int(answer.json()["pid"])
    os.kill(run.process.pid, signal.SIGKILL)
    until(lambda: not alive(application), "the application died")
    until(
        lambda: (
            json.loads(mesh.argosy("get", "workloadentry", "-o", "json"))["items"] == []
            or all(
                "reviews" not in i["metadata"]["name"]
                for i in json.loads(mesh.argosy("get", "workloadentry", "-o", "json"))["items"]
            )
        ),
        "the entry left",
        40,
    )


def test_an_envoy_that_crashes_is_restarted(mesh: Mesh) -> None:
    mesh.echo("reviews")
    client = mesh.client()
    mesh.announced("reviews")
    before = workload(mesh, "reviews-v1")["envoy_pid"]
    os.kill(before, signal.SIGSEGV)
    restarted(mesh, "reviews-v1", before)
    until(lambda: client.request(URL).status == 200, "it serves again")
    assert workload(mesh, "reviews-v1")["restarts"] == 1


@pytest.mark.parametrize(
    ("server", "upgrade"),
    [
        ("up", "HTTP/2"),
        ("down", "HTTP/1.1"),
        pytest.param("up", "HTTP/1.1", marks=pytest.mark.long),
        pytest.param("down", "HTTP/2", marks=pytest.mark.long),
    ],
)
def test_a_workload_leaves_under_load_without_a_failed_request(mesh: Mesh, server: str, upgrade: str) -> None:
    leaving = mesh.echo("reviews", "v1")
    mesh.echo("reviews", "v2")
    client = mesh.client()
    mesh.announced("reviews", count=2)
    # With the server up retries are off. With it down the other sidecars cannot be told: the default retries apply.
    if server == "up":
        mesh.apply(NO_RETRIES)
    if upgrade == "HTTP/1.1":
        mesh.apply("""
apiVersion: networking.istio.io/v1
kind: DestinationRule
metadata: {name: reviews, namespace: default}
spec: {host: reviews, trafficPolicy: {connectionPool: {http: {h2UpgradePolicy: DO_NOT_UPGRADE}}}}
""")
    with Load(client.port, URL, workers=8, headers={"x-delay-ms": "300"}) as load:
        load.at_least(40)
        if server == "down":
            mesh.kill_server()
        assert leaving.stop() in (0, 143)
        load.at_least(100)
    assert load.failures == []
    assert load.answers["reviews-v1"] > 0
    assert load.total >= 140
