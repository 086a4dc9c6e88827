"""Which endpoint a real Envoy takes: by locality, and what it accepts of captured connections that are told apart."""

from __future__ import annotations

import contextlib
from pathlib import Path

import httpx
import pytest

from argosy.model import ir
from argosy.model.facts import Fact
from argosy.model.ir import Protocol, Resolution
from argosy.model.reader import Reader
from argosy.model.scope import Interception, Scope, scope_of
from argosy.model.snapshot import Snapshot
from argosy.translate.dump import dump
from argosy.translate.proxy import Proxy
from tests.e2e.mesh import until
from tests.e2e.translate_envoy import answering, running, validate
from tests.ports import free_port
from tests.unit.translate.mesh import SUFFIX, put, service

pytestmark = pytest.mark.e2e

HOST = f"reviews.{SUFFIX}"
IDENTITY = "spiffe://cluster.local/ns/default/sa/client"
CLIENT = ir.Workload(name="client-1", namespace="default", locality="r1/z1/s1")
RULE = """
apiVersion: networking.istio.io/v1
kind: DestinationRule
metadata: {name: reviews, namespace: default}
spec: {host: reviews, trafficPolicy: {loadBalancer: {localityLbSetting: {SETTING}}, outlierDetection:
  {consecutive5xxErrors: 1, interval: 1s, baseEjectionTime: 100s, maxEjectionPercent: 100}}}
"""


def test_the_nearest_endpoint_serves_until_it_fails(tmp_path: Path) -> None:
    snapshot, outbound = Snapshot(), free_port()
    snapshot.put_service(service("reviews", (9080, Protocol.HTTP)))
    put(snapshot, RULE.replace("SETTING", "enabled: true"))
    with contextlib.ExitStack() as all_of_it, contextlib.ExitStack() as nearby:
        near = nearby.enter_context(answering("near"))
        far = all_of_it.enter_context(answering("far"))
        snapshot.put_endpoints(
            HOST,
            tuple(
                ir.Endpoint(address="127.0.0.1", port=port, port_name="p9080", locality=place)
                for port, place in ((near, "r1/z1/s2"), (far, "r2/z1/s1"))
            ),
        )
        scope = scope_of(Reader(snapshot), namespace="default", workload=CLIENT)
        proxy = Proxy(namespace="default", name="client-1", scope=scope, outbound_port=outbound)
        envoy = all_of_it.enter_context(running(tmp_path, snapshot, proxy, IDENTITY))
        client = all_of_it.enter_context(
            httpx.Client(proxy=f"http://127.0.0.1:{outbound}", trust_env=False, timeout=20)
        )

        def serving(count: int = 5) -> set[str]:
            return {client.get("http://reviews:9080/").json()["name"] for _ in range(count)}

        assert serving(20) == {"near"}
        shares = "distribute: [{from: r1/*, to: {r2/*: 100}}]"
        envoy.apply(put(snapshot, RULE.replace("SETTING", shares)))
        until(lambda: serving() == {"far"}, "the shares are in force")
        envoy.apply(put(snapshot, RULE.replace("SETTING", "enabled: true")))
        until(lambda: serving() == {"near"}, "the nearest is preferred again")
        nearby.close()
        until(lambda: serving() == {"far"}, "the next takes over")


ZONES = """
apiVersion: networking.istio.io/v1
kind: DestinationRule
metadata: {name: reviews, namespace: default}
spec: {host: reviews, trafficPolicy: {loadBalancer: {zoneAwareLbSetting: {enabled: ENABLED, minClusterSize: 1}}}}
"""


def test_zones_are_balanced_by_load(tmp_path: Path) -> None:
    """Half of the endpoints are in each zone. Clients that are so too keep to their own; where three in four are in one
    zone, its endpoints would get more than their share, and a part goes to the other."""
    snapshot, outbound = Snapshot(), free_port()
    client, places = f"client.{SUFFIX}", ("r1/z1", "r1/z2")
    for name in ("reviews", "ratings", "client"):
        snapshot.put_service(service(name, (9080, Protocol.HTTP)))

    def beside(*where: str) -> set[Fact]:
        return snapshot.put_endpoints(
            client,
            tuple(
                ir.Endpoint(address="127.0.0.1", port=port, port_name="p9080", locality=place)
                for port, place in enumerate(where, 1)
            ),
        )

    port = ir.WorkloadPort(
        name="p9080",
        workload=9080,
        bind=1,
        application=1,
        protocol=Protocol.TCP,
        service_hosts=(client,),
        service_ports=(9080,),
    )
    workload = ir.Workload(name="client-1", namespace="default", locality=places[0], ports=(port,))
    snapshot.put_workload(workload)
    beside(*places)
    put(snapshot, ZONES.replace("ENABLED", "true"))
    with contextlib.ExitStack() as stack:
        ports = [stack.enter_context(answering(name)) for name in ("near", "far")]
        for name in ("reviews", "ratings"):
            snapshot.put_endpoints(
                f"{name}.{SUFFIX}",
                tuple(
                    ir.Endpoint(address="127.0.0.1", port=port, port_name="p9080", locality=place)
                    for port, place in zip(ports, places, strict=True)
                ),
            )
        scope = scope_of(Reader(snapshot), namespace="default", workload=workload)
        proxy = Proxy(namespace="default", name="client-1", scope=scope, outbound_port=outbound)
        envoy = stack.enter_context(running(tmp_path, snapshot, proxy, IDENTITY, places[0]))
        http = stack.enter_context(
            httpx.Client(proxy=f"http://127.0.0.1:{outbound}", trust_env=False, timeout=20)
        )

        def serving(name: str) -> set[str]:
            return {http.get(f"http://{name}:9080/").json()["name"] for _ in range(40)}

        assert serving("reviews") == {"near"}
        assert serving("ratings") == {"near", "far"}, "who does not ask for it is not balanced by zones"
        envoy.apply(beside(*places, places[0], places[0]))
        until(lambda: serving("reviews") == {"near", "far"}, "the other zone gets what is too much")
        envoy.apply(beside(*places))
        until(lambda: serving("reviews") == {"near"}, "each zone is enough for itself again")
        envoy.apply(put(snapshot, ZONES.replace("ENABLED", "false")))
        until(lambda: serving("reviews") == {"near", "far"}, "zones do not count")


BLOCKS = """
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: v, namespace: default}
spec:
  hosts: [tcp.example]
  tcp:
  - {match: [{destinationSubnets: [10.1.0.0/16]}], route: [{destination: {host: narrow.example}}]}
  - route: [{destination: {host: tcp.example}}]
"""


def test_envoy_accepts_what_tells_captured_connections_apart(tmp_path: Path) -> None:
    snapshot = Snapshot()
    for name, protocol, addresses in (
        ("tcp", Protocol.TCP, ("10.0.0.0/8",)),
        ("narrow", Protocol.TCP, ("10.2.0.0/16", "fd00::/8")),
        ("auto", Protocol.UNSUPPORTED, ("10.3.0.0/16", "10.4.0.1")),
        ("tls", Protocol.TLS, ("10.3.0.0/16",)),
        ("web", Protocol.HTTP, ()),
    ):
        snapshot.put_service(
            service(
                name,
                (9999, protocol),
                hostname=f"{name}.example",
                addresses=addresses,
                resolution=Resolution.NONE,
                kubernetes=False,
                external=True,
            )
        )
    wild = {"hostname": "*.wild.example", "resolution": Resolution.DYNAMIC_DNS, "kubernetes": False}
    snapshot.put_service(service("wild", (9999, Protocol.HTTP), (8443, Protocol.TLS), external=True, **wild))
    put(snapshot, BLOCKS)
    for interception in Interception:
        proxy = Proxy(
            namespace="default",
            name="client-1",
            scope=Scope(interception=interception, namespace="default"),
            outbound_port=15001,
        )
        validate(dump(snapshot, proxy), tmp_path)
