"""The Sidecar resource in real Envoy: what a workload sees, where it listens, and where its application is."""

from __future__ import annotations

from pathlib import Path

import httpx
import pytest

from argosy.model import ir
from argosy.model.ir import Protocol
from argosy.model.reader import Reader
from argosy.model.scope import Interception, ProxyType, scope_of
from argosy.model.snapshot import Snapshot
from argosy.translate.proxy import Proxy
from tests.e2e.mesh import until
from tests.e2e.translate_envoy import answering, peer_authentication, running
from tests.ports import free_port
from tests.unit.translate.mesh import SUFFIX, endpoint, put, service, workload

pytestmark = pytest.mark.e2e

IDENTITY = "spiffe://cluster.local/ns/default/sa/reviews"


def sidecar(hosts: list[str], bound: int, application: int) -> str:
    return f"""
apiVersion: networking.istio.io/v1
kind: Sidecar
metadata: {{name: reviews, namespace: default}}
spec:
  ingress:
  - port: {{number: 9080, protocol: HTTP, name: http}}
    defaultEndpoint: 127.0.0.1:{application}
  egress:
  - port: {{number: {bound}, protocol: HTTP, name: inventory}}
    bind: 127.0.0.1
    captureMode: NONE
    hosts: [./inventory.{SUFFIX}]
  - hosts: {hosts}
  outboundTrafficPolicy: {{mode: REGISTRY_ONLY}}
"""


def test_a_sidecar_decides_what_is_seen_where_it_listens_and_what_answers(tmp_path: Path) -> None:
    binds = {port: free_port() for port in (9080, 9081)}
    outbound, bound = free_port(), free_port()
    snapshot = Snapshot(ir.Mesh())
    reviews, ratings = f"./reviews.{SUFFIX}", f"./ratings.{SUFFIX}"
    with answering("before") as before, answering("after") as after:
        for name, port in (("reviews", 9080), ("ratings", 9081), ("inventory", bound)):
            snapshot.put_service(service(name, (port, Protocol.HTTP)))
            bind = binds.get(port, binds[9080])
            one = endpoint(name, "v1", port, bind, service_account="reviews")
            snapshot.put_endpoints(f"{name}.{SUFFIX}", (one,))
        snapshot.put_workload(
            workload("reviews", "v1", (9080, binds[9080], before, Protocol.HTTP)),
        )
        put(snapshot, peer_authentication("STRICT"))
        put(snapshot, sidecar([reviews], bound, after))
        scope = scope_of(
            Reader(snapshot),
            type=ProxyType.SIDECAR,
            interception=Interception.EXPLICIT,
            namespace="default",
            labels=(("app", "reviews"),),
        )
        assert scope.sidecar == "default/reviews"
        proxy = Proxy(namespace="default", name="reviews-v1", scope=scope, outbound_port=outbound)
        with (
            running(tmp_path, snapshot, proxy, IDENTITY) as envoy,
            httpx.Client(proxy=f"http://127.0.0.1:{outbound}", trust_env=False, timeout=20) as client,
        ):

            def asked(url: str) -> int:
                return client.get(url).status_code

            answer = client.get("http://reviews:9080/")
            assert (answer.status_code, answer.headers["x-served-by"]) == (200, "after"), "as ingress says"
            assert asked("http://ratings:9081/") == 502, "not imported: refused as any unknown host"
            direct = httpx.get(f"http://127.0.0.1:{bound}/", headers={"host": "inventory"}, trust_env=False)
            assert direct.status_code == 200, "the listener that its egress binds"
            foreign = httpx.get(
                f"http://127.0.0.1:{bound}/", headers={"host": "reviews:9080"}, trust_env=False
            )
            assert foreign.status_code == 502, "it imports one host alone"
            envoy.apply(put(snapshot, sidecar([reviews, ratings], bound, before)))
            until(
                lambda: client.get("http://reviews:9080/").headers["x-served-by"] == "before",
                "the application is the other one",
            )
            assert asked("http://ratings:9081/") == 503, "seen now, though its port is no longer taken in"
