"""A service that fails is not stampeded: real Envoy counts what retries add to the load with a budget and without."""

from __future__ import annotations

import asyncio
from pathlib import Path

import httpx
import pytest

from argosy.model import ir
from argosy.model.ir import Protocol
from argosy.model.scope import Interception, ProxyType, Scope
from argosy.model.snapshot import Snapshot
from argosy.translate.proxy import Proxy
from tests.e2e.translate_envoy import Running, answering, peer_authentication, running
from tests.ports import free_port
from tests.unit.translate.mesh import SUFFIX, endpoint, put, service, workload

pytestmark = pytest.mark.e2e

IDENTITY = "spiffe://cluster.local/ns/default/sa/reviews"
CLIENTS, EACH = 20, 5
RETRIES = """
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: reviews, namespace: default}
spec:
  hosts: [reviews]
  http:
  - route: [{destination: {host: reviews}}]
    retries: {attempts: 4, retryOn: 5xx, backoff: 10ms}
"""
BUDGET = """
apiVersion: networking.istio.io/v1
kind: DestinationRule
metadata: {name: reviews, namespace: default}
spec:
  host: reviews
  trafficPolicy: {retryBudget: {percent: 20, minRetryConcurrency: 2}}
"""


def count(envoy: Running, name: str) -> int:
    lines = envoy.stats(f"cluster.outbound.*{name}$").splitlines()
    return sum(int(line.rpartition(": ")[2]) for line in lines)


def fail(proxy: str) -> None:
    """Every client asks one after the other; all of them at once, and every answer is a failure."""

    async def ask(client: httpx.AsyncClient) -> None:
        for _ in range(EACH):
            answer = await client.get("http://reviews:9080/status/503", headers={"x-delay-ms": "30"})
            assert answer.status_code == 503

    async def all_of_them() -> None:
        async with httpx.AsyncClient(proxy=proxy, trust_env=False, timeout=60) as client:
            await asyncio.gather(*(ask(client) for _ in range(CLIENTS)))

    asyncio.run(all_of_them())


def test_a_retry_budget_bounds_what_retries_add(tmp_path: Path) -> None:
    bind, outbound = free_port(), free_port()
    snapshot = Snapshot(ir.Mesh())
    with answering("reviews") as application:
        snapshot.put_service(service("reviews", (9080, Protocol.HTTP)))
        one = endpoint("reviews", "v1", 9080, bind, service_account="reviews")
        snapshot.put_endpoints(f"reviews.{SUFFIX}", (one,))
        snapshot.put_workload(workload("reviews", "v1", (9080, bind, application, Protocol.HTTP)))
        put(snapshot, peer_authentication("STRICT"))
        put(snapshot, RETRIES)
        scope = Scope(type=ProxyType.SIDECAR, interception=Interception.EXPLICIT, namespace="default")
        proxy = Proxy(namespace="default", name="reviews-v1", scope=scope, outbound_port=outbound)
        with running(tmp_path, snapshot, proxy, IDENTITY) as envoy:
            asked = CLIENTS * EACH
            fail(f"http://127.0.0.1:{outbound}")
            alone = count(envoy, "upstream_rq_retry")
            assert alone >= 3 * asked, "without a budget every failure is tried again and again"
            envoy.apply(put(snapshot, BUDGET))
            before = count(envoy, "upstream_rq_retry")
            fail(f"http://127.0.0.1:{outbound}")
            budgeted = count(envoy, "upstream_rq_retry") - before
            assert 0 < budgeted <= asked, f"{budgeted} retries for {asked} requests"
            assert count(envoy, "upstream_rq_retry_overflow") > asked / 2, "most failures are told at once"
            assert budgeted < alone / 3
