"""Secure naming in real Envoys: whoever gets into the registry in place of another gets nothing that is sent to it.

Each attack is a set of objects beside a Service that says what it may run as; each is tried on every way out: a
declared upstream, captured listeners, and a gateway; HTTP and TCP. The rogue is a server that takes every connection,
with TLS and without, and keeps what it gets.
"""

from __future__ import annotations

import contextlib
import socket
import socketserver
import ssl
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
import yaml
from envoy.config.listener.v3 import listener_pb2

from argosy.cli.modelled import modelled
from argosy.model import ir
from argosy.model.reader import Reader
from argosy.model.scope import Interception, ProxyType, Scope, scope_of
from argosy.resources.kinds import decode
from argosy.translate.proxy import DeclaredUpstream, Proxy
from tests.e2e.mesh import until
from tests.e2e.translate_envoy import Authority, running
from tests.ports import free_port

pytestmark = pytest.mark.e2e

REVIEWS = "spiffe://cluster.local/ns/default/sa/reviews"
ROGUE = "spiffe://cluster.local/ns/default/sa/rogue"
CLIENT = "spiffe://cluster.local/ns/default/sa/client"
SECRET = b"what only reviews may read"


class _Takes(socketserver.BaseRequestHandler):
    """Speaks TLS with whoever begins with it, and plaintext with the others; notes every byte of the application's."""

    server: _Server

    def handle(self) -> None:
        connection: socket.socket = self.request
        connection.settimeout(10)
        with contextlib.suppress(OSError):
            first = connection.recv(1, socket.MSG_PEEK)
            if first == b"\x16":
                connection = self.server.context.wrap_socket(connection, server_side=True)
                connection.settimeout(10)
            self.server.met += 1
            while data := connection.recv(65536):
                self.server.got += data
                connection.sendall(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\nx-served-by: me\r\n\r\n")


class _Server(socketserver.ThreadingTCPServer):
    daemon_threads = True
    allow_reuse_address = True
    context: ssl.SSLContext
    got = b""
    met = 0


@contextlib.contextmanager
def serving(folder: Path, authority: Authority, identity: str) -> Iterator[_Server]:
    chain, key = authority.issue(identity, "v1.rogue.rogue-v1.default.workload.mesh")
    file = folder / f"{identity.rpartition('/')[2]}.pem"
    file.write_bytes(chain + key)
    with _Server(("127.0.0.1", 0), _Takes) as server:
        server.context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        server.context.load_cert_chain(file)
        server.context.set_alpn_protocols(["istio", "http/1.1"])
        server.context.load_verify_locations(cadata=authority.pem().decode())
        server.context.verify_mode = ssl.CERT_REQUIRED
        threading.Thread(target=server.serve_forever, daemon=True).start()
        try:
            yield server
        finally:
            server.shutdown()


SERVICES = """
apiVersion: v1
kind: Service
metadata: {name: reviews, namespace: default, annotations: {argosy.dev/service-accounts: reviews}}
spec:
  selector: {app: reviews}
  ports: [{name: http, port: 9080, targetPort: http}, {name: tcp, port: 6379, targetPort: tcp}]
"""
ENTRY = """
apiVersion: networking.istio.io/v1
kind: WorkloadEntry
metadata: {{name: {name}, namespace: {namespace}, annotations: {annotations}}}
spec: {{address: 127.0.0.1, labels: {labels}, serviceAccount: "{account}", ports: {{http: {port}, tcp: {port}}}}}
"""


def entry(
    port: int,
    account: str,
    labels: dict[str, str] | None = None,
    annotations: dict[str, str] | None = None,
    namespace: str = "default",
    name: str = "rogue",
) -> str:
    return ENTRY.format(
        name=name,
        namespace=namespace,
        port=port,
        account=account,
        labels={"app": "reviews", **(labels or {})},
        annotations=annotations or {},
    )


MESH = {"security.istio.io/tlsMode": "istio"}
PLAIN = {"security.istio.io/tlsMode": "disabled"}


def ports(port: int) -> dict[str, str]:
    """As an agent writes them, for a sidecar that listens where the rogue does."""
    one = f'[{{"workload": {port}, "bind": {port}, "application": {port}}}]'
    return {"sidecar.argosy.dev/ports": one}


def sliced(port: int, labels: str) -> str:
    return f"""
apiVersion: discovery.k8s.io/v1
kind: EndpointSlice
metadata: {{name: rogue, namespace: default, labels: {{kubernetes.io/service-name: reviews, {labels}}}}}
addressType: IPv4
endpoints: [{{addresses: [127.0.0.1]}}]
ports: [{{name: http, port: {port}}}, {{name: tcp, port: {port}}}]
"""


def taken_over(port: int) -> str:
    """The host of another's Service, claimed from another namespace; and its clients told not to encrypt."""
    return f"""
apiVersion: networking.istio.io/v1
kind: ServiceEntry
metadata: {{name: mine, namespace: rogue, creationTimestamp: "2001-01-01T00:00:00Z"}}
spec:
  hosts: [reviews.default.svc.cluster.local, reviews]
  ports: [{{number: 9080, name: http, protocol: HTTP}}, {{number: 6379, name: tcp, protocol: TCP}}]
  resolution: STATIC
  endpoints: [{{address: 127.0.0.1, ports: {{http: {port}, tcp: {port}}}}}]
---
apiVersion: networking.istio.io/v1
kind: DestinationRule
metadata: {{name: mine, namespace: rogue}}
spec: {{host: reviews.default.svc.cluster.local, trafficPolicy: {{tls: {{mode: DISABLE}}}}}}
---
{entry(port, "reviews", MESH, namespace="rogue")}
"""


ATTACKS: dict[str, Callable[[int], str]] = {
    "says that it is somebody else": lambda port: entry(port, "rogue", MESH),
    "lies about who it is": lambda port: entry(port, "reviews", MESH),
    "lies as an agent would": lambda port: entry(port, "reviews", annotations=ports(port)),
    "says that it takes no TLS": lambda port: entry(port, "reviews"),
    "says so as an agent": lambda port: entry(port, "reviews", PLAIN, ports(port)),
    "says so with its own name": lambda port: entry(port, "rogue", PLAIN, ports(port)),
    "is in a slice, in plaintext": lambda port: sliced(port, "a: b"),
    "is in a slice, with TLS": lambda port: sliced(port, "security.istio.io/tlsMode: istio"),
    "takes the host from another namespace": taken_over,
}

NAMED = """
apiVersion: networking.istio.io/v1
kind: ServiceEntry
metadata: {name: reviews, namespace: default}
spec:
  hosts: [reviews.internal]
  location: MESH_INTERNAL
  resolution: STATIC
  ports: [{number: 9080, name: http, protocol: HTTP}, {number: 6379, name: tcp, protocol: TCP}]
  workloadSelector: {labels: {app: reviews}}
  subjectAltNames: ["spiffe://cluster.local/ns/default/sa/reviews"]
"""
GATEWAY = """
apiVersion: networking.istio.io/v1
kind: Gateway
metadata: {{name: edge, namespace: default}}
spec:
  servers:
  - {{port: {{number: 80, name: http, protocol: HTTP}}, hosts: ["*"]}}
  - {{port: {{number: 900, name: tcp, protocol: TCP}}, hosts: ["*"]}}
---
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {{name: edge, namespace: default}}
spec:
  hosts: ["*"]
  gateways: [edge]
  http: [{{route: [{{destination: {{host: {host}, port: {{number: 9080}}}}}}]}}]
  tcp: [{{match: [{{port: 900}}], route: [{{destination: {{host: {host}, port: {{number: 6379}}}}}}]}}]
"""


@dataclass(frozen=True)
class Way:
    """Where to send plain HTTP and bytes, so that they go to the service."""

    http: int
    tcp: int
    host: str


def send(port: int, data: bytes) -> bytes:
    """What comes back, until the connection ends or nothing comes."""
    with socket.create_connection(("127.0.0.1", port), 10) as connection:
        connection.settimeout(10)
        got = b""
        with contextlib.suppress(OSError):
            connection.sendall(data)
            while chunk := connection.recv(65536):
                got += chunk
                if b"\r\n\r\n" in got:
                    break
        return got


def told(way: Way) -> tuple[bytes, bytes]:
    """The service's secret, by HTTP and by TCP; the answers."""
    head = f"GET /{SECRET.decode().replace(' ', '-')} HTTP/1.1\r\nhost: {way.host}:9080\r\nconnection: close\r\n\r\n"
    return send(way.http, head.encode()), send(way.tcp, SECRET)


@contextlib.contextmanager
def client(folder: Path, kind: str, text: str, host: str, authority: Authority) -> Iterator[Way]:
    objects = [decode(one) for one in yaml.safe_load_all(f"{text}\n---\n{GATEWAY.format(host=host)}") if one]
    snapshot, refused = modelled(objects, ir.Mesh())
    assert not refused
    http, tcp = free_port(), free_port()
    listeners = None
    if kind == "gateway":
        scope = scope_of(Reader(snapshot), type=ProxyType.ROUTER, namespace="default")
        proxy = Proxy(namespace="default", name="gw", scope=scope, port_map=((80, http), (900, tcp)))
    elif kind == "explicit":
        scope = Scope(type=ProxyType.SIDECAR, interception=Interception.EXPLICIT, namespace="default")
        upstreams = (DeclaredUpstream(host, 9080, http), DeclaredUpstream(host, 6379, tcp))
        proxy = Proxy(
            namespace="default", name="client-1", scope=scope, outbound_port=free_port(), upstreams=upstreams
        )
    else:
        scope = Scope(type=ProxyType.SIDECAR, interception=Interception.REDIRECT, namespace="default")
        proxy = Proxy(namespace="default", name="client-1", scope=scope)

        def listeners(listener: listener_pb2.Listener) -> bool:
            """As if connections to them had been captured."""
            _, _, number = listener.name.rpartition("_")
            if number not in ("9080", "6379"):
                return False
            listener.address.socket_address.address = "127.0.0.1"
            listener.address.socket_address.port_value = {"9080": http, "6379": tcp}[number]
            listener.bind_to_port.value = True
            listener.use_original_dst.value = False
            return True

    with running(folder, snapshot, proxy, CLIENT, authority=authority, listeners=listeners):
        yield Way(http, tcp, host)


WAYS = ("explicit", "captured", "gateway")


@pytest.mark.parametrize("kind", WAYS)
def test_who_may_run_it_gets_what_is_sent(tmp_path: Path, kind: str) -> None:
    """The rogue's server itself, with the identity that the service names: so the other tests can fail."""
    authority = Authority()
    with serving(tmp_path, authority, REVIEWS) as true:
        text = f"{SERVICES}\n---\n{entry(true.server_address[1], 'reviews', MESH)}"
        with client(tmp_path, kind, text, "reviews.default.svc.cluster.local", authority) as way:
            until(lambda: b"x-served-by" in told(way)[0], "the service answers")
            until(lambda: SECRET in true.got, "it gets bytes")
            assert SECRET.replace(b" ", b"-") in true.got


@pytest.mark.parametrize("kind", WAYS)
@pytest.mark.parametrize("attack", ATTACKS)
def test_a_rogue_gets_nothing(tmp_path: Path, kind: str, attack: str) -> None:
    authority = Authority()
    with serving(tmp_path, authority, ROGUE) as rogue:
        text = f"{SERVICES}\n---\n{ATTACKS[attack](rogue.server_address[1])}"
        with client(tmp_path, kind, text, "reviews.default.svc.cluster.local", authority) as way:
            for _ in range(3):
                http, tcp = told(way)
                assert b"x-served-by" not in http + tcp
            assert rogue.got == b"", f"{attack}: the rogue got {rogue.got!r}"


@pytest.mark.parametrize("kind", WAYS)
@pytest.mark.parametrize("labels", [MESH, PLAIN, {}], ids=["with TLS", "without", "silent"])
def test_a_service_entry_names_who_may_serve_it(tmp_path: Path, kind: str, labels: dict[str, str]) -> None:
    authority = Authority()
    with serving(tmp_path, authority, ROGUE) as rogue:
        text = f"{NAMED}\n---\n{entry(rogue.server_address[1], 'reviews', labels)}"
        with client(tmp_path, kind, text, "reviews.internal", authority) as way:
            for _ in range(3):
                http, tcp = told(way)
                assert b"x-served-by" not in http + tcp
            assert rogue.got == b""


def test_a_rogue_beside_the_true_one_takes_nothing_from_it(tmp_path: Path) -> None:
    """Not even by refusing: who says that it is somebody else is no endpoint, so no request is tried there."""
    authority = Authority()
    with serving(tmp_path, authority, REVIEWS) as true, serving(tmp_path, authority, ROGUE) as rogue:
        entries = (
            entry(true.server_address[1], "reviews", MESH, name="honest"),
            entry(rogue.server_address[1], "rogue", MESH),
        )
        text = "\n---\n".join((SERVICES, *entries))
        with client(tmp_path, "explicit", text, "reviews.default.svc.cluster.local", authority) as way:
            until(lambda: b"x-served-by" in told(way)[0], "the service answers")
            for _ in range(20):
                assert b"x-served-by" in told(way)[0]
            assert rogue.met == 0
            assert rogue.got == b""
