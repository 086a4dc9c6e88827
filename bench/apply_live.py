"""How long from `PUT` of a changed rule until the next request uses it, with the demo's number of proxies?"""

from __future__ import annotations

import tempfile
import time
from pathlib import Path

from bench.processes import percentile
from tests.e2e.mesh import Client, Mesh, running_mesh

Row = tuple[str, str, str]
CHANGES = 200


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


SUBSETS = """
apiVersion: networking.istio.io/v1
kind: DestinationRule
metadata: {name: reviews, namespace: default}
spec:
  host: reviews
  subsets: [{name: v1, labels: {version: v1}}, {name: v2, labels: {version: v2}}]
"""


def changes(mesh: Mesh, client: Client) -> list[float]:
    from argosy.apiserver.client import ApiClient

    api = ApiClient.from_kubeconfig(mesh.state / "kubeconfig")
    took = []
    for turn in range(CHANGES):
        subset = f"v{turn % 2 + 1}"
        began = time.monotonic()
        api.apply(virtual_service(subset))
        while client.request("http://reviews:9080/").headers.get("x-served-by") != f"reviews-{subset}":
            assert time.monotonic() - began < 30, "the change never became live"
        took.append((time.monotonic() - began) * 1000)
    return took


def run() -> list[Row]:
    with tempfile.TemporaryDirectory() as folder, running_mesh(Path(folder) / "s") as mesh:
        mesh.echo("reviews", "v1")
        mesh.echo("reviews", "v2")
        for service in ("catalog", "ratings", "inventory", "frontend", "orders"):
            mesh.echo(service)
        client = mesh.client()
        mesh.announced("reviews", count=2)
        mesh.announced("catalog", "ratings", "inventory", "frontend", "orders")
        mesh.apply(SUBSETS)
        took = changes(mesh, client)
        return [
            (
                f"apply to live, p50 of {CHANGES} changes, 8 proxies",
                f"{percentile(took, 0.5):.0f} ms",
                "150 ms",
            ),
            (
                f"apply to live, p99 of {CHANGES} changes, 8 proxies",
                f"{percentile(took, 0.99):.0f} ms",
                "500 ms",
            ),
        ]
