"""Certificates of 60 seconds under load, over kept connections and over new ones: no request fails."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from tests.e2e.mesh import Load, Mesh, running_mesh, until
from tests.e2e.test_outages import NO_RETRIES, URL
from tests.long.conftest import count

pytestmark = [pytest.mark.long, pytest.mark.e2e, pytest.mark.timeout(1800)]

SECONDS = count(full=600, short=75)
LIFETIME = 60
# Each request to `ratings` shakes hands anew, with the certificates of that moment.
RATINGS = """
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: ratings, namespace: default}
spec:
  hosts: [ratings]
  http: [{route: [{destination: {host: ratings}}], retries: {attempts: 0}}]
---
apiVersion: networking.istio.io/v1
kind: DestinationRule
metadata: {name: ratings, namespace: default}
spec:
  host: ratings
  trafficPolicy: {connectionPool: {http: {maxRequestsPerConnection: 1, h2UpgradePolicy: DO_NOT_UPGRADE}}}
"""


def expiries(mesh: Mesh) -> dict[str, float]:
    return {w["name"]: w["certificate_expires_at"] for w in mesh.ps()}


def test_certificates_rotate_without_a_failed_request(tmp_path: Path) -> None:
    with running_mesh(tmp_path / "state", f"--cert-ttl={LIFETIME}s") as mesh:
        mesh.echo("reviews")
        mesh.echo("ratings")
        client = mesh.client()
        mesh.announced("reviews", "ratings")
        mesh.apply(NO_RETRIES)
        mesh.apply(RATINGS)
        began, first = time.time(), expiries(mesh)
        with (
            Load(client.port, URL, workers=2, pause=0.02) as kept,
            Load(client.port, "http://ratings:9080/", workers=2, pause=0.05) as new,
        ):
            # The first certificates are over after a lifetime: what is served then is served with others.
            until(
                lambda: all(
                    at >= first[name] + SECONDS - LIFETIME / 2 for name, at in expiries(mesh).items()
                ),
                "certificates were renewed, again and again",
                SECONDS + LIFETIME,
            )
            until(lambda: time.time() >= began + SECONDS, "the time is over", SECONDS)
            kept.at_least(100)
            new.at_least(100)
        assert kept.failures == []
        assert new.failures == []
        assert kept.total >= 3 * SECONDS
        assert new.total >= 2 * SECONDS
