"""Two networks and the gateway between them, with real Envoys: what goes through it, and what never does.

The sidecar of reviews is in the network `there`, its client's in `here`. The gateway of `there` passes mutual TLS on by
its server name.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import httpx
import pytest
from msgspec.structs import replace

from argosy.model import ir
from argosy.model.ir import Protocol
from argosy.model.reader import Reader
from argosy.model.scope import ProxyType, scope_of
from argosy.model.snapshot import Snapshot
from argosy.resources.kinds import decode
from argosy.translate.proxy import DeclaredUpstream, Proxy
from tests.e2e.mesh import until
from tests.e2e.translate_envoy import Authority, Running, answering, peer_authentication, running
from tests.ports import free_port
from tests.unit.translate.mesh import SUFFIX, endpoint, put, service, workload

pytestmark = pytest.mark.e2e

HOST = f"reviews.{SUFFIX}"
CLIENT, SERVER = (f"spiffe://cluster.local/ns/default/sa/{name}" for name in ("client", "reviews"))
PASSED_ON = "outbound_.9080_._.reviews"
GATEWAY = """
apiVersion: networking.istio.io/v1
kind: Gateway
metadata: {name: east-west, namespace: istio-system}
spec:
  selector: {istio: eastwestgateway}
  servers:
  - {port: {number: 15443, name: tls, protocol: TLS}, hosts: ["*.local"], tls: {mode: AUTO_PASSTHROUGH}}
"""


class Between(NamedTuple):
    client: Running
    gateway: Running
    url: str
    bound: ir.Endpoint

    def through_gateway(self) -> int:
        """Connections that the gateway has passed on."""
        said = self.gateway.stats(f"cluster.{PASSED_ON}.*upstream_cx_total")
        return sum(int(line.rpartition(": ")[2]) for line in said.splitlines())

    def ask(self) -> httpx.Response:
        with httpx.Client(trust_env=False) as client:
            return client.get(self.url)

    def move(self, network: str) -> None:
        """The endpoint says that it is in another network."""
        moved = replace(self.bound, network=network)
        for one in (self.client, self.gateway):
            one.apply(one.snapshot.put_endpoints(HOST, (moved,)))


def mesh(gateway_port: int, *endpoints: ir.Endpoint) -> Snapshot:
    made = Snapshot(ir.Mesh(h2_upgrade=True))
    made.put_service(service("reviews", (9080, Protocol.HTTP)))
    made.put_endpoints(HOST, endpoints)
    put(made, GATEWAY)
    put(made, peer_authentication("STRICT"))
    networks = f"networks: {{there: {{gateways: [{{address: 127.0.0.1, port: {gateway_port}}}]}}}}"
    metadata = {"name": "istio", "namespace": "istio-system"}
    made.put_config(
        decode(
            {
                "apiVersion": "v1",
                "kind": "ConfigMap",
                "metadata": metadata,
                "data": {"meshNetworks": networks},
            }
        )
    )
    return made


@pytest.fixture
def between(tmp_path: Path) -> Iterator[Between]:
    bind, upstream, gateway_port = free_port(), free_port(), free_port()
    authority = Authority()
    with answering("reviews") as application, contextlib.ExitStack() as stack:
        at = endpoint("reviews", "v1", 9080, bind, network="there")

        def started(name: str, made: Snapshot, proxy: Proxy, identity: str) -> Running:
            folder = tmp_path / name
            folder.mkdir()
            return stack.enter_context(running(folder, made, proxy, identity, authority=authority))

        made = mesh(gateway_port, at)
        made.put_workload(workload("reviews", "v1", (9080, bind, application, Protocol.HTTP)))
        scope = scope_of(Reader(made), namespace="default")
        started("server", made, Proxy(namespace="default", name="reviews-v1", scope=scope), SERVER)

        made = mesh(gateway_port, at)
        edge = ir.Workload(name="east-west", namespace="istio-system", network="there")
        labels = (("istio", "eastwestgateway"),)
        scope = scope_of(
            Reader(made), type=ProxyType.ROUTER, namespace="istio-system", labels=labels, workload=edge
        )
        proxy = Proxy(
            namespace="istio-system", name="east-west", scope=scope, port_map=((15443, gateway_port),)
        )
        gateway = started("gateway", made, proxy, "spiffe://cluster.local/ns/istio-system/sa/edge")

        made = mesh(gateway_port, at)
        own = ir.Workload(name="client", namespace="default", network="here")
        scope = scope_of(Reader(made), namespace="default", workload=own)
        proxy = Proxy(
            namespace="default",
            name="client",
            scope=scope,
            upstreams=(DeclaredUpstream("reviews", 9080, upstream),),
        )
        client = started("client", made, proxy, CLIENT)
        yield Between(client, gateway, f"http://127.0.0.1:{upstream}/", at)


def test_requests_to_another_network_go_through_its_gateway_and_end_at_the_service(between: Between) -> None:
    answer = between.ask()
    assert (answer.status_code, answer.json()["name"]) == (200, "reviews")
    # Its caller is who it is, and not the gateway: the gateway has seen nothing of the request.
    assert CLIENT in str(answer.json())
    assert between.through_gateway() == 1


def test_where_the_endpoint_is_decides_and_a_change_of_it_is_a_change_of_endpoints(between: Between) -> None:
    between.move("here")
    listeners = between.client.stats("listener_manager.listener_modified")
    until(lambda: between.ask().status_code == 200, "it is reached")
    assert between.through_gateway() == 0
    between.move("there")
    until(
        lambda: between.ask().status_code == 200 and between.through_gateway() > 0,
        "it is through the gateway",
    )
    assert between.client.stats("listener_manager.listener_modified") == listeners


def test_without_the_gateway_there_is_no_way(between: Between) -> None:
    between.gateway.process.kill()
    between.gateway.process.wait()
    answer = between.ask()
    assert answer.status_code == 503
