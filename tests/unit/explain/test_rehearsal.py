"""What would fail if certificates were good no more: of each service, by its endpoints, sidecars and policies."""

from __future__ import annotations

import pytest

from argosy.cli.modelled import modelled
from argosy.explain.rehearsal import rehearse
from argosy.model.ir import Mesh
from argosy.model.snapshot import Snapshot
from argosy.resources.kinds import decode
from argosy.resources.loading import load_documents

OBJECTS = """
apiVersion: v1
kind: Service
metadata: {name: reviews, namespace: default}
spec: {selector: {app: reviews}, ports: [{name: http, port: 80, targetPort: 9080}]}
---
apiVersion: v1
kind: Service
metadata: {name: old, namespace: default}
spec: {selector: {app: old}, ports: [{name: http, port: 80, targetPort: 9080}]}
---
apiVersion: networking.istio.io/v1
kind: WorkloadEntry
metadata: {name: a, namespace: default, labels: {security.istio.io/tlsMode: istio}}
spec: {address: 10.0.0.1, labels: {app: reviews, security.istio.io/tlsMode: istio}, serviceAccount: reviews}
---
apiVersion: networking.istio.io/v1
kind: WorkloadEntry
metadata: {name: b, namespace: default}
spec: {address: 10.0.0.2, labels: {app: reviews, security.istio.io/tlsMode: istio}, serviceAccount: reviews}
---
apiVersion: networking.istio.io/v1
kind: WorkloadEntry
metadata: {name: plain, namespace: default}
spec: {address: 10.0.0.3, labels: {app: old}}
"""
DISABLED = """
---
apiVersion: security.istio.io/v1
kind: PeerAuthentication
metadata: {name: default, namespace: default}
spec: {mtls: {mode: DISABLE}}
"""
A, B = ("default", "a"), ("default", "b")


def mesh(text: str) -> Snapshot:
    objects = [decode(document.object) for document in load_documents(text, "test")]
    snapshot, refused = modelled(objects, Mesh())
    assert refused == []
    return snapshot


@pytest.mark.parametrize(
    ("text", "concerned", "reviews"),
    [
        (OBJECTS, {A, B}, "fails"),
        (OBJECTS, {A}, "degraded"),
        (OBJECTS, set(), "by caller"),
        (OBJECTS + DISABLED, {A, B}, "goes on"),
    ],
)
def test_a_service_fails_with_its_endpoints(text: str, concerned: set[tuple[str, str]], reviews: str) -> None:
    found = rehearse(mesh(text), concerned)
    verdicts = {one.host.partition(".")[0]: one.verdict for one in found.services}
    assert verdicts == {"reviews": reviews, "old": "goes on"}
    assert found.callers == tuple(sorted(f"{name}.{namespace}" for namespace, name in concerned))
