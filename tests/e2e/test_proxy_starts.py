"""What a proxy is started with and says of itself, from the command line or from the mesh's configuration."""

from __future__ import annotations

import pytest

from tests.e2e.mesh import Mesh, until

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
