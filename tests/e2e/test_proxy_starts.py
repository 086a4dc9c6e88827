"""What a proxy is started with and says of itself, from the command line or from the mesh's configuration."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import socket
import sys
import urllib.request
from pathlib import Path
from typing import Any

import pytest

from argosy.agent.admin import Admin
from tests.e2e.mesh import APPS, Load, Mesh, until

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(120)]

NEAREST = """
apiVersion: networking.istio.io/v1
kind: DestinationRule
metadata: {name: placed}
spec:
  host: placed
  trafficPolicy:
    outlierDetection: {consecutive5xxErrors: 3, interval: 1s, baseEjectionTime: 30s}
    loadBalancer: {localityLbSetting: {enabled: true}}
"""


def test_a_workload_that_says_where_it_is_calls_the_nearest(shared_mesh: Mesh) -> None:
    near = shared_mesh.echo("placed", "near", flags=("--locality=eu/a/r1",))
    far = shared_mesh.echo("placed", "far", flags=("--locality=us/b",))
    shared_mesh.announced("placed", count=2)
    shared_mesh.apply(NEAREST)
    european = shared_mesh.client("european", "--locality=eu/a")
    american = shared_mesh.client("american", "--locality=us/b")
    try:
        for client, version in ((european, "near"), (american, "far")):

            def served_by_one(client: object = client, version: str = version) -> bool:
                answers = client.many("http://placed:9080/", 20)  # type: ignore[attr-defined]
                return {a.headers.get("x-served-by") for a in answers} == {f"placed-{version}"}

            until(served_by_one, f"the nearest of {version} alone answers")
    finally:
        for run in (near, far, european.run, american.run):
            run.stop()
        shared_mesh.delete("destinationrule", "placed")


MESH_CONFIG = """
apiVersion: v1
kind: ConfigMap
metadata: {name: istio, namespace: istio-system}
data:
  mesh: |
    h2UpgradePolicy: UPGRADE
    defaultConfig:
      proxyMetadata: {ISTIO_META_OWNER: mesh, WHO: mesh}
      meshId: one-mesh
      runtimeValues: {regex.max: "7"}
      drainDuration: 20s
      fileFlushInterval: 500ms
      statsdUdpAddress: 127.0.0.1:STATSD
      proxyStatsMatcher: {inclusionPrefixes: [cluster.outbound]}
"""
PROXY_CONFIG = """
apiVersion: networking.istio.io/v1beta1
kind: ProxyConfig
metadata: {name: threads}
spec:
  selector: {matchLabels: {app: started}}
  concurrency: 3
  environmentVariables: {ISTIO_META_OWNER: workload}
"""


def envoy_of(mesh: Mesh, service: str) -> dict[str, Any]:
    return next(one for one in mesh.ps() if one["service"] == service)


def arguments(pid: int) -> list[str]:
    return Path(f"/proc/{pid}/cmdline").read_text().split("\0")


def environment(pid: int) -> dict[str, str]:
    pairs = Path(f"/proc/{pid}/environ").read_text().split("\0")
    return dict(pair.split("=", 1) for pair in pairs if "=" in pair)


def flag(pid: int, name: str) -> str:
    words = arguments(pid)
    return words[words.index(name) + 1]


def admin(path: str, target: str) -> str:
    """What Envoy's admin interface says."""
    return asyncio.run(Admin(path).get(target)).decode()


def bootstrap_of(one: dict[str, Any]) -> dict[str, Any]:
    dump = json.loads(admin(one["admin_socket"], "/config_dump"))
    found: dict[str, Any] = next(
        part["bootstrap"] for part in dump["configs"] if part["@type"].endswith("BootstrapConfigDump")
    )
    return found


def started_with(one: dict[str, Any]) -> tuple[str, str, str]:
    """Threads, owner of the node, WHO of the environment."""
    metadata = bootstrap_of(one)["node"]["metadata"]
    return (
        flag(one["envoy_pid"], "--concurrency"),
        metadata["OWNER"],
        environment(one["envoy_pid"])["WHO"],
    )


def test_a_proxy_starts_as_mesh_proxyconfig_and_annotation_say_and_again_without_the_server(
    mesh: Mesh,
) -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as statsd:
        statsd.bind(("127.0.0.1", 0))
        statsd.settimeout(20)
        mesh.apply(MESH_CONFIG.replace("STATSD", str(statsd.getsockname()[1])))
        mesh.apply(PROXY_CONFIG)
        mesh.echo(
            "started",
            flags=("--proxy-config={concurrency: 2, proxyMetadata: {WHO: itself}, serviceCluster: called}",),
        )
        mesh.announced("started")
        one = envoy_of(mesh, "started")
        assert started_with(one) == ("3", "workload", "itself")
        node = bootstrap_of(one)["node"]
        assert (node["cluster"], node["metadata"]["MESH_ID"]) == ("called", "one-mesh")
        assert flag(one["envoy_pid"], "--drain-time-s") == "20"
        assert flag(one["envoy_pid"], "--file-flush-interval-msec") == "500"
        assert '"regex.max"' in admin(one["admin_socket"], "/runtime")
        assert b"envoy." in statsd.recv(65536)

        mesh.delete("proxyconfig", "threads")
        mesh.kill_server()
        os.kill(one["envoy_pid"], signal.SIGKILL)

        def again() -> dict[str, Any] | None:
            now = envoy_of(mesh, "started")
            return now if now["envoy_pid"] not in (0, one["envoy_pid"]) and now["restarts"] else None

        restarted = until(again, "Envoy runs again, without the server")
        until(lambda: "LIVE" in admin(restarted["admin_socket"], "/ready"), "it serves")
        assert started_with(restarted) == ("3", "workload", "itself"), "the last good settings"


def test_a_proxy_config_that_is_none_is_refused_as_the_workload_starts(shared_mesh: Mesh) -> None:
    run = shared_mesh.run("run", "--service=wrong", "--proxy-config=concurrency: many", "--", "sleep", "60")
    assert run.process.wait(30) == 1
    assert "the control plane refuses proxy_config" in run.output()
    assert "concurrency" in run.output()


GROUP = """
apiVersion: networking.istio.io/v1
kind: WorkloadGroup
metadata: {name: vms}
spec:
  metadata:
    labels: {app: grouped, version: v7}
    annotations: {proxy.istio.io/config: "concurrency: 2"}
  template: {serviceAccount: grouped, locality: eu/a, weight: 3}
  probe: {periodSeconds: 1, failureThreshold: 2, exec: {command: [test, -e, FILE]}}
---
apiVersion: v1
kind: Service
metadata: {name: grouped}
spec: {selector: {app: grouped}, ports: [{name: http, port: 9080}]}
"""


def test_a_member_of_a_group_is_what_the_group_says_and_announced_while_its_probe_succeeds(
    shared_mesh: Mesh, tmp_path: Path
) -> None:
    mesh, up = shared_mesh, tmp_path / "up"
    mesh.apply(GROUP.replace("FILE", str(up)))
    client = mesh.client("asker")
    app = (sys.executable, str(APPS / "echo.py"), "{port}", "--name=grouped-v7")
    alien = mesh.run("run", "--group=vms", "--service-account=alien", "--port=9080:auto", "--", *app)
    assert alien.process.wait(30) == 1
    assert "use --service-account grouped" in alien.output(), "a group gives no identity"
    member = mesh.run("run", "--group=vms", "--service-account=grouped", "--port=9080:auto", "--", *app)

    def health() -> str:
        return str(next(one["health"] for one in mesh.ps() if one["name"].startswith("vms")))

    until(lambda: "stopped with code 1" in health(), "the probe fails")
    one = next(one for one in mesh.ps() if one["name"].startswith("vms"))
    assert (one["healthy"], one["announced"]) == (False, False)
    assert client.request("http://grouped:9080/").status == 503, "nobody is announced"
    up.touch()
    until(lambda: client.request("http://grouped:9080/").status == 200, "it is announced")
    assert flag(one["envoy_pid"], "--concurrency") == "2"
    entry = json.loads(mesh.argosy("get", "workloadentry", one["name"], "-o", "json"))
    assert entry["spec"] == {
        "address": "127.0.0.1",
        "labels": {"app": "grouped", "version": "v7"},
        "serviceAccount": "grouped",
        "locality": "eu/a",
        "weight": 3,
    }
    assert entry["metadata"]["annotations"]["istio.io/autoRegistrationGroup"] == "vms"

    def named() -> bool:
        """The client's metrics have the group's labels, from the member's certificate."""
        client.request("http://grouped:9080/")
        asker = next(one for one in mesh.ps() if one["service"] == "asker")
        return 'destination_app="grouped",destination_version="v7"' in metrics(asker["metrics_url"])

    up.unlink()
    until(lambda: client.request("http://grouped:9080/").status == 503, "it is withdrawn")
    up.touch()
    until(named, "the client knows whom it calls")
    assert member.stop() in (0, 143)
    client.run.stop()
    until(lambda: "vms" not in mesh.argosy("get", "workloadentries"), "the entry is gone with the member")


def test_a_member_serves_on_without_its_group_and_over_a_new_server(mesh: Mesh, tmp_path: Path) -> None:
    up = tmp_path / "up"
    up.touch()
    mesh.apply(GROUP.replace("FILE", str(up)))
    app = (sys.executable, str(APPS / "echo.py"), "{port}", "--name=grouped-v7")
    member = mesh.run("run", "--group=vms", "--service-account=grouped", "--port=9080:auto", "--", *app)
    client = mesh.client("asker")
    until(lambda: client.request("http://grouped:9080/").status == 200, "it is announced")
    with Load(client.port, "http://grouped:9080/", workers=2) as load:
        mesh.delete("workloadgroup", "vms")
        mesh.kill_server()
        mesh.start_server()
        until(lambda: "WorkloadGroup default/vms is gone" in member.output(), "it has registered again")
        load.at_least(100)
    assert load.failures == []
    up.unlink()
    until(lambda: client.request("http://grouped:9080/").status == 503, "it can be withdrawn as before")
    up.touch()
    until(lambda: client.request("http://grouped:9080/").status == 200, "and announced")
    assert member.stop() in (0, 143)
    until(lambda: "vms" not in mesh.argosy("get", "workloadentries"), "the entry is gone with the member")


def metrics(url: str) -> str:
    with urllib.request.urlopen(url, timeout=10) as answer:
        return str(answer.read().decode())


HEADERS = """
apiVersion: v1
kind: ConfigMap
metadata: {name: istio, namespace: istio-system}
data:
  mesh: |
    defaultConfig:
      proxyHeaders: {attemptCount: {disabled: true}, preserveHttp1HeaderCase: true, xForwardedHost: {enabled: false}}
      connectionSettings:
        httpHeadersWithUnderscoresAction: HEADERS_WITH_UNDERSCORES_REJECT_REQUEST
        httpMergeSlashes: true
        httpRequestHeadersTimeout: 1s
        listenerPerConnectionBufferLimitBytes: 65536
        clusterPerConnectionBufferLimitBytes: 65536
        http2InitialStreamWindowSize: 65536
        http2InitialConnectionWindowSize: 1048576
"""
REWRITES = """
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: told}
spec: {hosts: [told], http: [{rewrite: {authority: other.example}, route: [{destination: {host: told}}]}]}
"""


def test_connections_and_headers_are_as_the_mesh_says(mesh: Mesh) -> None:
    mesh.echo("told")
    mesh.announced("told")
    mesh.apply(REWRITES)
    client = mesh.client()

    def seen() -> dict[str, Any]:
        answer = client.request("http://told:9080//a//b", headers={"X-Mixed-Case": "1"})
        assert answer.status == 200, answer
        return answer.json()

    before = until(seen, "it is reached")
    assert before["path"] == "//a//b"
    assert "x-mixed-case" in before["names"]
    assert "x-envoy-attempt-count" in before["headers"]
    assert before["headers"]["x-forwarded-host"] == "told:9080"
    assert client.request("http://told:9080/", headers={"a_b": "1"}).status == 200
    mesh.apply(HEADERS)

    def changed() -> dict[str, Any] | None:
        now = seen()
        return now if "X-Mixed-Case" in now["names"] else None

    after = until(changed, "names keep their case")
    assert after["path"] == "/a/b"
    assert "x-envoy-attempt-count" not in after["headers"]
    assert "x-forwarded-host" not in after["headers"]
    assert client.request("http://told:9080/", headers={"a_b": "1"}).status == 400
    with socket.create_connection(("127.0.0.1", client.port), 20) as slow:
        slow.sendall(b"GET http://told:9080/ HTTP/1.1\r\nHost: told:9080\r\n")  # and the rest never comes
        assert slow.recv(100).split()[1] == b"408"


BOOTSTRAP = """
apiVersion: networking.istio.io/v1alpha3
kind: EnvoyFilter
metadata: {name: good}
spec:
  workloadSelector: {labels: {app: patched}}
  configPatches:
  - applyTo: BOOTSTRAP
    patch: {operation: MERGE, value: {stats_flush_interval: 1s, node: {metadata: {PATCHED: "yes"}}}}
---
apiVersion: networking.istio.io/v1alpha3
kind: EnvoyFilter
metadata: {name: broken}
spec:
  workloadSelector: {labels: {app: patched}}
  configPatches:
  - applyTo: BOOTSTRAP
    patch: {operation: MERGE, value: {static_resources: {clusters: [{name: x, type: EDS}]}}}
"""


def condition(mesh: Mesh, name: str) -> str:
    found = json.loads(mesh.argosy("get", "envoyfilter", name, "-o", "json"))
    return json.dumps(found.get("status", {}).get("conditions", []))


def test_a_bootstrap_is_patched_and_a_patch_that_breaks_it_is_left_out_and_told(shared_mesh: Mesh) -> None:
    mesh = shared_mesh
    mesh.apply(BOOTSTRAP)
    run = mesh.echo("patched")
    mesh.announced("patched")
    one = envoy_of(mesh, "patched")
    written = bootstrap_of(one)
    assert written["stats_flush_interval"] == "1s"
    assert written["node"]["metadata"]["PATCHED"] == "yes"
    assert [cluster["name"] for cluster in written["static_resources"]["clusters"]] == ["agent"]
    assert "EnvoyFilter default/broken" in run.output()
    assert "EDS" in run.output()
    until(lambda: "left out by default/patched-v1" in condition(mesh, "broken"), "it is told on the object")
    assert "left out" not in condition(mesh, "good")
    os.kill(one["envoy_pid"], signal.SIGKILL)

    def again() -> dict[str, Any] | None:
        now = envoy_of(mesh, "patched")
        return now if now["envoy_pid"] not in (0, one["envoy_pid"]) else None

    restarted = until(again, "Envoy runs again")
    assert until(lambda: bootstrap_of(restarted), "it answers")["node"]["metadata"]["PATCHED"] == "yes"
    run.stop()
    until(lambda: "left out" not in condition(mesh, "broken"), "with the workload its word is gone")
    for name in ("good", "broken"):
        mesh.delete("envoyfilter", name)
