"""How long from a change until the next request follows it, with the demo's number of proxies?

A rule: from `PUT` of a VirtualService. An endpoint: from the write of its state (the condition Healthy of its
WorkloadEntry, which is what announcing and withdrawing write), both ways in turn. Changes come back to back, the worst
case for the debounce. Requests go one after the other on one kept connection, so what a request costs is the resolution
of every figure.
"""

from __future__ import annotations

import http.client
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from argosy.apiserver.client import ApiClient
from argosy.resources.kinds import kind_of
from bench.processes import percentile
from tests.e2e.mesh import Mesh, running_mesh, until

Row = tuple[str, str, str]
CHANGES, ENDPOINT_CHANGES, POLLS = 200, 100, 300
OTHERS = ("catalog", "ratings", "inventory", "frontend", "orders")
SUBSETS = """
apiVersion: networking.istio.io/v1
kind: DestinationRule
metadata: {name: reviews, namespace: default}
spec:
  host: reviews
  subsets: [{name: v1, labels: {version: v1}}, {name: v2, labels: {version: v2}}]
"""


def virtual_service(subset: str) -> dict[str, object]:
    return {
        "apiVersion": "networking.istio.io/v1",
        "kind": "VirtualService",
        "metadata": {"name": "reviews", "namespace": "default"},
        "spec": {
            "hosts": ["reviews"],
            "http": [{"route": [{"destination": {"host": "reviews", "subset": subset}}]}],
        },
    }


class Requests:
    """One kept connection to the client's sidecar."""

    def __init__(self, port: int) -> None:
        self.connection = http.client.HTTPConnection("127.0.0.1", port, timeout=30)

    def get(self, service: str) -> tuple[int, str]:
        """Status, and which instance answered."""
        self.connection.request("GET", f"http://{service}:9080/", headers={"Host": f"{service}:9080"})
        answer = self.connection.getresponse()
        answer.read()
        return answer.status, answer.headers.get("x-served-by", "")


def live(change: Callable[[], object], followed: Callable[[], bool]) -> float:
    """Milliseconds from the beginning of `change` to the first request that follows it."""
    began = time.monotonic()
    change()
    while not followed():
        assert time.monotonic() - began < 30, "the change never became live"
    return (time.monotonic() - began) * 1000


def rule_changes(api: ApiClient, requests: Requests) -> list[float]:
    def one(subset: str) -> float:
        return live(
            lambda: api.apply(virtual_service(subset)),
            lambda: requests.get("reviews") == (200, f"reviews-{subset}"),
        )

    return [one(f"v{turn % 2 + 1}") for turn in range(CHANGES)]


def endpoint_changes(api: ApiClient, requests: Requests, entry: str, service: str) -> list[float]:
    """The only endpoint of a service is withdrawn and announced: no request, or every request, finds one."""
    kind = kind_of("networking.istio.io/v1", "WorkloadEntry")
    assert kind is not None
    conditions = api.get(kind, entry)["status"]["conditions"]
    rest = [each for each in conditions if each["type"] != "Healthy"]
    healthy = next(each for each in conditions if each["type"] == "Healthy")

    def one(state: str, status: int) -> float:
        written = {"conditions": [*rest, {**healthy, "status": state}]}
        return live(
            lambda: api.patch_status(kind, entry, "default", written),
            lambda: requests.get(service)[0] == status,
        )

    return [one(*(("False", 503) if turn % 2 == 0 else ("True", 200))) for turn in range(ENDPOINT_CHANGES)]


def one_request(requests: Requests, service: str) -> float:
    """The median, in ms, of a request while nothing changes."""
    took = []
    for _ in range(POLLS):
        began = time.monotonic()
        requests.get(service)
        took.append((time.monotonic() - began) * 1000)
    return percentile(took, 0.5)


def measured(mesh: Mesh, port: int) -> list[Row]:
    requests = Requests(port)
    with ApiClient.from_kubeconfig(mesh.state / "kubeconfig") as api:
        rules = rule_changes(api, requests)
        entry = next(workload["name"] for workload in mesh.ps() if workload["service"] == "orders")
        until(lambda: requests.get("orders")[0] == 200, "orders answers")
        endpoints = endpoint_changes(api, requests, entry, "orders")
    proxies = len(mesh.ps())
    found: list[Row] = []
    for what, took, aims in (
        (f"apply to live, {{}} of {CHANGES} changes, {proxies} proxies", rules, ("150 ms", "500 ms")),
        (
            f"endpoint withdrawn or announced to live, {{}} of {ENDPOINT_CHANGES} changes, {proxies} proxies",
            endpoints,
            ("100 ms", "100 ms"),
        ),
    ):
        for name, share, aim in zip(("p50", "p99"), (0.5, 0.99), aims, strict=True):
            found.append((what.format(name), f"{percentile(took, share):.0f} ms", aim))
    found.append(("… of which one request, median", f"{one_request(requests, 'orders'):.1f} ms", ""))
    return found


def run() -> list[Row]:
    with tempfile.TemporaryDirectory() as folder, running_mesh(Path(folder) / "s") as mesh:
        mesh.echo("reviews", "v1")
        mesh.echo("reviews", "v2")
        for service in OTHERS:
            mesh.echo(service)
        client = mesh.client()
        mesh.announced("reviews", count=2)
        mesh.announced(*OTHERS)
        mesh.apply(SUBSETS)
        return measured(mesh, client.port)
