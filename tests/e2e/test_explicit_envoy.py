"""Explicit interception, live: a translated sidecar in real Envoy, requests by proxy, upstream and tunnel."""

from __future__ import annotations

import json
import socket
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import grpc
import httpx
import msgspec
import pytest
from envoy.extensions.common.dynamic_forward_proxy.v3 import dns_cache_pb2
from envoy.extensions.network.dns_resolver.cares.v3 import cares_dns_resolver_pb2

from argosy.model import ir
from argosy.model.ir import Protocol
from argosy.model.scope import Interception, ProxyType, Scope
from argosy.model.snapshot import Snapshot
from argosy.translate import wire
from argosy.translate.cluster import cluster
from argosy.translate.filters import forward_proxy
from argosy.translate.listener_outbound import connect_http, outbound_proxy
from argosy.translate.names import HTTP_PROXY
from argosy.translate.proxy import DeclaredUpstream, Proxy
from tests.e2e.mesh import until
from tests.e2e.own_address import OWN_ADDRESS
from tests.e2e.translate_envoy import Running, answering, peer_authentication, running
from tests.ports import free_port
from tests.resolver import Resolver
from tests.unit.translate.mesh import SUFFIX, endpoint, put, service, workload

pytestmark = pytest.mark.e2e


@dataclass
class Sidecar:
    """An Envoy that is client and server at once: what goes out by its proxy comes back in by its inbound listeners."""

    envoy: Running
    outbound: int
    application: int
    upstream: int
    inbound: int
    tcp_upstream: int

    @property
    def proxy(self) -> str:
        return f"http://127.0.0.1:{self.outbound}"

    def client(self) -> httpx.Client:
        return httpx.Client(proxy=self.proxy, trust_env=False, timeout=20)

    def tunnel(self, authority: str) -> tuple[socket.socket, bytes]:
        """CONNECT; the connection and the first line of the answer."""
        connection = socket.create_connection(("127.0.0.1", self.outbound), 20)
        connection.sendall(f"CONNECT {authority} HTTP/1.1\r\nHost: {authority}\r\n\r\n".encode())
        answer = b""
        while b"\r\n\r\n" not in answer:
            chunk = connection.recv(4096)
            if not chunk:
                break
            answer += chunk
        return connection, answer.partition(b"\r\n")[0]


IDENTITY = "spiffe://cluster.local/ns/default/sa/reviews"


@pytest.fixture(params=[(), (HTTP_PROXY,)], ids=["whole", "parted"])
def sidecar(tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[Sidecar]:
    """reviews (HTTP), inventory (gRPC) and cache (TCP) behind one sidecar that calls itself by mutual TLS; its routes
    in one RouteConfiguration, and in parts."""
    binds = {port: free_port() for port in (9080, 9090, 6379, 9443)}
    upstream, tcp_upstream, outbound = free_port(), free_port(), free_port()
    snapshot = Snapshot(ir.Mesh(h2_upgrade=True))
    with (
        answering("reviews") as http,
        answering("inventory", "grpc") as rpc,
        answering("cache", "tcp") as tcp,
    ):
        for name, port, protocol in (
            ("reviews", 9080, Protocol.HTTP),
            ("inventory", 9090, Protocol.GRPC),
            ("cache", 6379, Protocol.TCP),
        ):
            snapshot.put_service(service(name, (port, protocol)))
            one = endpoint(name, "v1", port, binds[port], service_account="reviews")
            snapshot.put_endpoints(f"{name}.{SUFFIX}", (one,))
        snapshot.put_workload(
            workload(
                "reviews",
                "v1",
                (9080, binds[9080], http, Protocol.HTTP),
                (9090, binds[9090], rpc, Protocol.GRPC),
                (6379, binds[6379], tcp, Protocol.TCP),
            )
        )
        put(snapshot, peer_authentication("STRICT"))
        proxy = Proxy(
            namespace="default",
            name="reviews-v1",
            scope=Scope(
                type=ProxyType.SIDECAR,
                interception=Interception.EXPLICIT,
                namespace="default",
                parted=request.param,
            ),
            outbound_port=outbound,
            upstreams=(
                DeclaredUpstream("reviews", 9080, upstream),
                DeclaredUpstream("cache", 6379, tcp_upstream),
            ),
            access_log=True,
        )
        with running(tmp_path, snapshot, proxy, IDENTITY) as envoy:
            yield Sidecar(envoy, outbound, http, upstream, binds[9080], tcp_upstream)


def test_requests_by_proxy_upstream_and_tunnel_go_by_mutual_tls(sidecar: Sidecar) -> None:
    with sidecar.client() as client:
        for url in (
            "http://reviews:9080/a",
            "http://reviews.default:9080/a",
            f"http://reviews.{SUFFIX}:9080/a",
        ):
            answer = client.get(url, headers={"x-forwarded-client-cert": "URI=spiffe://forged"})
            assert answer.status_code == 200
            told = answer.json()["headers"]["x-forwarded-client-cert"]
            assert told.endswith(f"URI={IDENTITY}")
            assert "forged" not in told
    direct = httpx.get(f"http://127.0.0.1:{sidecar.upstream}/b", trust_env=False)
    assert direct.json()["headers"]["host"] == "reviews:9080"
    upgraded = sidecar.envoy.stats("cluster.outbound.9080.*upstream_cx_http2_total")
    assert not upgraded.endswith(": 0\n"), "between sidecars HTTP/1.1 travels as HTTP/2"

    connection, first = sidecar.tunnel("reviews:9080")
    with connection:
        assert b" 200 " in first
        connection.sendall(b"GET /tunnelled HTTP/1.1\r\nHost: reviews:9080\r\nConnection: close\r\n\r\n")
        answer_bytes = b"".join(iter(lambda: connection.recv(65536), b""))
        assert b"/tunnelled" in answer_bytes
        assert b"x-envoy-attempt-count" in answer_bytes, "the tunnel has the full HTTP stack"

    for authority, end in (("cache:6379", None), ("", sidecar.tcp_upstream)):
        if end is None:
            connection, first = sidecar.tunnel(authority)
            assert b" 200 " in first
        else:
            connection = socket.create_connection(("127.0.0.1", end), 20)
        with connection:
            connection.sendall(b"ping")
            assert connection.recv(4) == b"ping"


def test_http1_and_websocket_and_grpc(sidecar: Sidecar) -> None:
    with grpc.insecure_channel("inventory:9090", options=[("grpc.http_proxy", sidecar.proxy)]) as channel:
        call = channel.unary_unary("/test.Echo/Unary", bytes, bytes)
        assert call(b"hello", timeout=20, wait_for_ready=True) == b"hello"

    def websocket() -> None:
        with socket.create_connection(("127.0.0.1", sidecar.outbound), 20) as connection:
            connection.sendall(
                b"GET http://reviews:9080/ws HTTP/1.1\r\nHost: reviews:9080\r\nConnection: Upgrade\r\n"
                b"Upgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: x\r\n\r\n"
            )
            answer = connection.recv(4096)
            assert answer.startswith(b"HTTP/1.1 101")
            connection.sendall(b"frame")
            assert answer.endswith(b"frame") or connection.recv(4096) == b"frame"

    websocket()  # over HTTP/2 between the sidecars
    limits = """
apiVersion: networking.istio.io/v1
kind: DestinationRule
metadata: {name: reviews, namespace: default}
spec: {host: reviews, trafficPolicy: {connectionPool: {tcp: {maxConnections: 5}}}}
"""
    sidecar.envoy.apply(put(sidecar.envoy.snapshot, limits))
    with sidecar.client() as client:
        assert client.get("http://reviews:9080/").status_code == 200
    websocket()  # over HTTP/1.1
    assert not sidecar.envoy.stats("cluster.outbound.9080.*upstream_cx_http1_total").endswith(": 0\n")


def test_unknown_hosts_are_forwarded_but_never_to_this_host(sidecar: Sidecar) -> None:
    """The application listens on the loopback: to reach it past its sidecar is refused, however it is called."""
    port = sidecar.application
    with sidecar.client() as client:
        for host in ("127.0.0.1", "localhost", "0.0.0.0", "127.1.2.3", "[::1]", "[::ffff:127.0.0.1]"):
            # 503: no address is left of the answer. 400: Envoy takes no IPv6 literal in an absolute URL.
            answer = client.get(f"http://{host}:{port}/")
            assert answer.status_code in (400, 403, 503), f"{host}: {answer.status_code} {answer.text}"
            assert "x-served-by" not in answer.headers
            connection, first = sidecar.tunnel(f"{host}:{port}")
            connection.close()
            assert b" 403 " in first or b" 503 " in first, f"CONNECT {host}: {first!r}"
    if OWN_ADDRESS is not None:
        # An address of this host that is not the loopback shows that what is not refused is forwarded.
        with sidecar.client() as client, socket.socket() as closed:
            closed.bind((OWN_ADDRESS, 0))
            refused = client.get(f"http://{OWN_ADDRESS}:{closed.getsockname()[1]}/")
            assert refused.status_code == 503, "forwarded: nobody listens there"
        # What the model says is this host's own address is refused too, by its listeners of then on.
        snapshot = sidecar.envoy.snapshot
        here = msgspec.structs.replace(snapshot.workloads["default", "reviews-v1"], address=OWN_ADDRESS)
        sidecar.envoy.apply(snapshot.put_workload(here))

        def denied() -> bool:
            with sidecar.client() as client:
                return client.get(f"http://{OWN_ADDRESS}:{sidecar.application}/").status_code == 403

        until(denied, "the host's own address is refused")


@pytest.fixture
def resolver(monkeypatch: pytest.MonkeyPatch) -> Iterator[Resolver]:
    """Sidecars of the test resolve unknown hosts by it: to an address where nobody listens, and the loopback. Requested
    before `sidecar`."""
    dead = "127.255.255.254" if OWN_ADDRESS is None else OWN_ADDRESS
    found = Resolver(lambda _: (dead, "127.0.0.1"))
    original = forward_proxy.dns_cache

    def cache() -> dns_cache_pb2.DnsCacheConfig:
        out = original()
        config = cares_dns_resolver_pb2.CaresDnsResolverConfig(
            resolvers=[wire.address("127.0.0.1", found.port)]
        )
        out.typed_dns_resolver_config.CopyFrom(wire.extension("envoy.network.dns_resolver.cares", config))
        return out

    monkeypatch.setattr(forward_proxy, "dns_cache", cache)
    memos = (cluster.memo, outbound_proxy.memo, connect_http.memo)
    for memo in memos:
        memo.clear()
    yield found
    for memo in memos:
        memo.clear()
    found.socket.close()


def test_a_name_with_a_second_address_does_not_lead_to_the_loopback(
    resolver: Resolver, sidecar: Sidecar
) -> None:
    """Envoy would try the addresses of a name in turn, while the guard judges the first."""
    with sidecar.client() as client:
        answer = client.get(f"http://rebind.example:{sidecar.application}/")
        assert answer.status_code in (403, 503), answer.text
    connection, first = sidecar.tunnel(f"rebind.example:{sidecar.application}")
    connection.close()
    assert b" 403 " in first or b" 503 " in first
    assert resolver.asked["rebind.example"]


def test_registry_only_refuses_unknown_hosts(sidecar: Sidecar) -> None:
    mesh = """
apiVersion: v1
kind: ConfigMap
metadata: {name: istio, namespace: istio-system}
data: {mesh: "outboundTrafficPolicy: {mode: REGISTRY_ONLY}"}
"""
    sidecar.envoy.apply(put(sidecar.envoy.snapshot, mesh))
    with sidecar.client() as client:
        assert client.get("http://unknown.example/").status_code == 502
    connection, first = sidecar.tunnel("unknown.example:443")
    connection.close()
    assert b" 502 " in first


def test_peer_authentication_applies_on_a_pooled_connection(sidecar: Sidecar) -> None:
    """A plaintext connection opened under PERMISSIVE is refused its next request as soon as STRICT is applied."""
    inbound = f"http://127.0.0.1:{sidecar.inbound}/"
    with pytest.raises(httpx.TransportError):
        httpx.get(inbound, trust_env=False)
    sidecar.envoy.apply(put(sidecar.envoy.snapshot, peer_authentication("PERMISSIVE")))
    with httpx.Client(trust_env=False) as pooled, sidecar.client() as meshed:
        until(lambda: pooled.get(inbound).status_code == 200, "plaintext is taken")
        assert meshed.get("http://reviews:9080/").json()["headers"]["x-forwarded-client-cert"]
        changes = sidecar.envoy.compiler.apply(put(sidecar.envoy.snapshot, peer_authentication("STRICT")))
        policies = {
            kind: parts
            for _, view in changes
            for kind, parts in view.items()
            if kind.endswith("TypedExtensionConfig")
        }
        assert policies, "the policy travels by ECDS"
        for kind, (upserts, removals) in policies.items():
            sidecar.envoy.ads.push(kind, upserts, removals)
        until(sidecar.envoy.ads.settled, "Envoy acknowledged the policy")
        assert pooled.get(inbound).status_code == 403
        assert meshed.get("http://reviews:9080/").status_code == 200


def test_a_server_with_another_identity_is_refused(sidecar: Sidecar) -> None:
    rogue = endpoint("reviews", "v1", 9080, sidecar.inbound, service_account="somebody-else")
    sidecar.envoy.apply(sidecar.envoy.snapshot.put_endpoints(f"reviews.{SUFFIX}", (rogue,)))
    with sidecar.client() as client:
        assert client.get("http://reviews:9080/").status_code == 503
    assert not sidecar.envoy.stats("cluster.outbound.9080.*ssl.fail_verify_san").endswith(": 0\n")


def test_metrics_and_access_log_of_both_sides(sidecar: Sidecar) -> None:
    with sidecar.client() as client:
        assert client.get("http://reviews:9080/").status_code == 200
    with socket.create_connection(("127.0.0.1", sidecar.tcp_upstream), 20) as connection:
        connection.sendall(b"ping")
        assert connection.recv(4) == b"ping"

    def series() -> dict[str, str]:
        lines = [line for line in sidecar.envoy.prometheus().splitlines() if line.startswith("envoy_istio_")]
        return dict(line.rsplit(" ", 1) for line in lines)

    def both_sides() -> bool:
        text = "\n".join(series())
        return text.count("envoy_istio_requests_total") == 2 and "tcp_connections_closed" in text

    until(both_sides, "requests are counted on both sides")
    requests = [name for name in series() if name.startswith("envoy_istio_requests_total")]
    (source,) = [name for name in requests if 'reporter="source"' in name]
    (destination,) = [name for name in requests if 'reporter="destination"' in name]
    for tag in (
        'destination="reviews-v1;default;reviews;v1;"',
        f'destination_service="reviews.{SUFFIX}"',
        f'destination_principal="{IDENTITY}"',
        'response_code="200"',
    ):
        assert tag in source
    for tag in (
        'source="v1.client.client-v1.default.workload.mesh"',
        f'source_principal="{IDENTITY}"',
        f'destination_service="reviews.{SUFFIX}"',
        'destination_port="9080"',
    ):
        assert tag in destination
    names = {name.partition("{")[0] for name in series()}
    assert {
        "envoy_istio_request_duration_milliseconds_count",
        "envoy_istio_request_bytes_count",
        "envoy_istio_response_bytes_count",
        "envoy_istio_tcp_connections_opened_total",
        "envoy_istio_tcp_connections_closed_total",
        "envoy_istio_tcp_sent_bytes_total",
        "envoy_istio_tcp_received_bytes_total",
    } <= names

    def logged() -> list[dict[str, object]]:
        lines = sidecar.envoy.log().splitlines()
        return [json.loads(line) for line in lines if line.startswith("{")]

    both = {f"outbound|9080||reviews.{SUFFIX}", "inbound|9080||"}
    until(lambda: both <= {one["upstream_cluster"] for one in logged()}, "both sides log the request")
    assert "[warning][rbac]" not in sidecar.envoy.log(), "nothing is judged, and warned of, per request"
