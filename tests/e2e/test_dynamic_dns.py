"""Hosts under a wildcard that proxies look up themselves (ServiceEntry, DYNAMIC_DNS), with a DNS server that answers.

The DNS server is this test's, and proxies are told of it by an EnvoyFilter for their bootstrap. Who is found is at an
address of this host that is not the loopback: addresses of the loopback are taken out of every answer.
"""

from __future__ import annotations

import json
import socket
import ssl
import threading
from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass
from http.client import HTTPResponse
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from argosy.server.advertise import own_address
from tests.e2e.mesh import Mesh, listening, until
from tests.ports import free_port
from tests.resolver import Resolver, resolving
from tests.unit.pki import Authority

HERE = own_address("0.0.0.0")
pytestmark = [
    pytest.mark.e2e,
    pytest.mark.timeout(120),
    pytest.mark.skipif(not HERE, reason="=== SKIPPED: this host has no address but its loopback ==="),
]

RESOLVER = """
apiVersion: networking.istio.io/v1alpha3
kind: EnvoyFilter
metadata: {name: resolver, namespace: istio-system}
spec:
  configPatches:
  - applyTo: BOOTSTRAP
    patch:
      operation: MERGE
      value:
        typed_dns_resolver_config:
          name: envoy.network.dns_resolver.cares
          typed_config:
            "@type": type.googleapis.com/envoy.extensions.network.dns_resolver.cares.v3.CaresDnsResolverConfig
            resolvers: [{socket_address: {address: 127.0.0.1, port_value: RESOLVER}}]
"""
WILD = """
apiVersion: networking.istio.io/v1
kind: ServiceEntry
metadata: {name: wild, namespace: default}
spec:
  hosts: ["*.wild.example"]
  ports:
  - {number: 80, targetPort: PLAIN, name: http, protocol: HTTP}
  - {number: 8443, targetPort: ENCRYPTED, name: http-originated, protocol: HTTP}
  - {number: 443, targetPort: ENCRYPTED, name: tls, protocol: TLS}
  - {number: PLAIN, name: http-same, protocol: HTTP}
  location: MESH_EXTERNAL
  resolution: DYNAMIC_DNS
---
apiVersion: networking.istio.io/v1
kind: DestinationRule
metadata: {name: wild, namespace: default}
spec:
  host: "*.wild.example"
  trafficPolicy:
    portLevelSettings:
    - {port: {number: 8443}, tls: {mode: SIMPLE, caCertificates: ROOT}}
---
apiVersion: networking.istio.io/v1
kind: Gateway
metadata: {name: edge, namespace: default}
spec:
  selector: {istio: ingressgateway}
  servers:
  - {port: {number: 80, name: http, protocol: HTTP}, hosts: ["*.wild.example", else.example]}
  - {port: {number: 443, name: tls, protocol: TLS}, hosts: ["*.wild.example"], tls: {mode: PASSTHROUGH}}
---
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: wild, namespace: default}
spec:
  hosts: ["*.wild.example"]
  gateways: [edge, mesh]
  http:
  - match: [{port: 80, uri: {prefix: /secure}}]
    route: [{destination: {host: "*.wild.example", port: {number: 8443}}}]
  - match: [{port: 80, uri: {prefix: /renamed}}]
    rewrite: {authority: a.wild.example}
    route: [{destination: {host: "*.wild.example", port: {number: 8443}}}]
  - match: [{port: 80}]
    route: [{destination: {host: "*.wild.example", port: {number: 80}}}]
  tls:
  - match: [{port: 443, sniHosts: ["*.wild.example"]}]
    route: [{destination: {host: "*.wild.example", port: {number: 443}}}]
---
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: else, namespace: default}
spec:
  hosts: [else.example]
  gateways: [edge]
  http:
  - route: [{destination: {host: "*.wild.example", port: {number: 80}}}]
---
apiVersion: v1
kind: ConfigMap
metadata: {name: istio, namespace: istio-system}
data: {mesh: "outboundTrafficPolicy: {mode: REGISTRY_ONLY}"}
"""
ADDRESSES = {
    "a.wild.example": (HERE,),
    "b.wild.example": (HERE,),
    "loop.wild.example": ("127.0.0.1",),
    "both.wild.example": ("127.0.0.1", HERE),
    "elsewhere.example": (HERE,),
}


@dataclass(frozen=True)
class World:
    """Servers outside of the mesh on an address of this host, one of them with TLS (of a.wild.example alone)."""

    resolver: Resolver
    plain: int
    encrypted: int
    root: Path

    def filled(self, text: str) -> str:
        values = {
            "PLAIN": self.plain,
            "ENCRYPTED": self.encrypted,
            "RESOLVER": self.resolver.port,
            "ROOT": self.root,
        }
        for name, value in values.items():
            text = text.replace(name, str(value))
        return text


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        encrypted = isinstance(self.connection, ssl.SSLSocket)
        body = json.dumps({"host": self.headers["host"], "path": self.path, "encrypted": encrypted}).encode()
        self.send_response(200)
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        pass


class Server(ThreadingHTTPServer):
    def handle_error(self, *_: object) -> None:
        """Handshakes that are to fail."""


@contextmanager
def serving(tls: ssl.SSLContext | None = None) -> Iterator[Server]:
    with Server((HERE, 0), Handler) as server:
        if tls is not None:
            server.socket = tls.wrap_socket(server.socket, server_side=True, do_handshake_on_connect=False)
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield server
        server.shutdown()


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    folder, authority = tmp_path_factory.mktemp("tls"), Authority()
    pair = authority.issue("a.wild.example")
    for name, content in (("root", authority.certificate), ("cert", pair.certificate), ("key", pair.key)):
        (folder / name).write_bytes(content)
    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    tls.load_cert_chain(folder / "cert", folder / "key")
    with ExitStack() as stack:
        resolver = stack.enter_context(resolving(lambda name: ADDRESSES.get(name, ())))
        plain, encrypted = (stack.enter_context(serving(context)) for context in (None, tls))
        yield World(resolver, plain.server_port, encrypted.server_port, folder / "root")


@pytest.fixture(scope="module")
def mesh(shared_mesh: Mesh, world: World) -> Mesh:
    shared_mesh.apply(world.filled(RESOLVER))
    shared_mesh.apply(world.filled(WILD))
    return shared_mesh


class Way:
    """A way to ask for hosts under the wildcard."""

    def __init__(self, world: World) -> None:
        self.world = world

    def connected(self, host: str, port: int) -> socket.socket:
        """A connection that is on its way to the host. Raises OSError where it is refused."""
        raise NotImplementedError

    def get(self, host: str, path: str = "/") -> Answer:
        """By HTTP, port 80. `host` may name a port."""
        with self.connected(host, 80) as connection:
            return asked(connection, host, path)

    def get_tls(self, host: str) -> Answer:
        """By TLS from end to end, port 443. Raises OSError."""
        context = ssl.create_default_context(cafile=self.world.root)
        with self.connected(host, 443) as raw, context.wrap_socket(raw, server_hostname=host) as connection:
            return asked(connection, host, "/")


class BySidecar(Way):
    def __init__(self, world: World, port: int) -> None:
        super().__init__(world)
        self.port = port

    def get(self, host: str, path: str = "/") -> Answer:
        """As clients do that have a proxy."""
        with socket.create_connection(("127.0.0.1", self.port), 20) as connection:
            return asked(connection, host, f"http://{host}{path}")

    def connected(self, host: str, port: int) -> socket.socket:
        tunnel = socket.create_connection(("127.0.0.1", self.port), 20)
        tunnel.sendall(f"CONNECT {host}:{port} HTTP/1.1\r\nhost: {host}:{port}\r\n\r\n".encode())
        answer = b""
        while not answer.endswith(b"\r\n\r\n") and (data := tunnel.recv(1)):
            answer += data
        if b" 200 " not in answer.partition(b"\r\n")[0]:
            tunnel.close()
            raise ConnectionRefusedError(answer)
        return tunnel


class ByGateway(Way):
    def __init__(self, world: World, ports: dict[int, int]) -> None:
        super().__init__(world)
        self.ports = ports

    def connected(self, host: str, port: int) -> socket.socket:
        return socket.create_connection(("127.0.0.1", self.ports[port]), 20)


@dataclass(frozen=True)
class Answer:
    status: int
    body: bytes

    def seen(self) -> dict[str, Any]:
        """What the server saw."""
        assert self.status == 200, self
        decoded: dict[str, Any] = json.loads(self.body)
        return decoded


def asked(connection: socket.socket, host: str, target: str) -> Answer:
    connection.sendall(f"GET {target} HTTP/1.1\r\nhost: {host}\r\nconnection: close\r\n\r\n".encode())
    with closing(HTTPResponse(connection)) as response:
        response.begin()
        return Answer(response.status, response.read())


@pytest.fixture(scope="module", params=["sidecar", "gateway"])
def way(request: pytest.FixtureRequest, mesh: Mesh, world: World) -> Way:
    if request.param == "sidecar":
        return BySidecar(world, mesh.client("client").port)
    ports = {80: free_port(), 443: free_port()}
    mesh.run("gateway", *(f"--port={port}={bound}" for port, bound in ports.items()), name="ingress")
    found = ByGateway(world, ports)
    until(lambda: all(map(listening, ports.values())), "the gateway listens")
    until(lambda: found.get("a.wild.example").status == 200, "it has its routes")
    return found


def refused(way: Way, host: str) -> bool:
    """Whether TLS to a host ends before anybody has shown a certificate."""
    try:
        way.get_tls(host)
    except ssl.SSLCertVerificationError:
        return False
    except OSError:
        return True
    return False


def test_a_name_under_the_wildcard_is_looked_up_and_found(way: Way) -> None:
    for host in ("a.wild.example", "b.wild.example"):
        assert way.get(host).seen() == {"host": host, "path": "/", "encrypted": False}
        assert way.world.resolver.asked[host]


def test_a_name_that_is_not_there_is_refused_and_so_is_the_loopback(way: Way) -> None:
    for host in ("none.wild.example", "loop.wild.example"):
        assert way.get(host).status == 503
        assert way.world.resolver.asked[host]
        assert refused(way, host)
    assert way.get("both.wild.example").status == 200, "by the address that is none of the loopback"


def test_no_other_name_is_looked_up(way: Way) -> None:
    for host in ("else.example", "elsewhere.example"):
        assert way.get(host).status in (404, 502)
        assert refused(way, host)
        assert not way.world.resolver.asked[host]


def test_tls_goes_through_to_who_is_found(way: Way) -> None:
    assert way.get_tls("a.wild.example").seen()["encrypted"]
    with pytest.raises(ssl.SSLCertVerificationError, match="not valid for"):
        way.get_tls("b.wild.example")


def test_the_destinations_port_counts_and_its_tls_is_for_the_name_that_is_asked_for(way: Way) -> None:
    """The request is for port 80, the route leads to 8443, whose targetPort is another one."""
    assert way.get("a.wild.example", "/secure").seen() == {
        "host": "a.wild.example",
        "path": "/secure",
        "encrypted": True,
    }
    assert way.get("b.wild.example", "/secure").status == 503, "its certificate is of another name"
    assert way.get("b.wild.example", "/renamed").seen()["host"] == "a.wild.example", (
        "who is asked for instead"
    )


def test_the_port_in_a_host_says_which_route_and_not_where_it_leads(way: Way) -> None:
    if isinstance(way, BySidecar):
        host = f"a.wild.example:{way.world.plain}"
        assert way.get(host).seen()["host"] == host
        return
    for host in ("a.wild.example:80", "a.wild.example:9"):
        assert way.get(host).seen()["host"] == host
        assert way.get(host, "/secure").seen()["encrypted"]
