"""Gateways against real Envoy: each mode of TLS, what is passed on, TCP, and secrets that come, change and break.

One Envoy serves it all; where a service that speaks TLS is needed, it is a port of the gateway itself.
"""

from __future__ import annotations

import contextlib
import json
import re
import socket
import ssl
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest
from cryptography.hazmat.primitives.serialization import Encoding

from argosy.model import ir
from argosy.model.ir import Protocol
from argosy.model.reader import Reader
from argosy.model.scope import ProxyType, scope_of
from argosy.model.snapshot import Snapshot
from argosy.resources.kinds import decode
from argosy.translate.proxy import Proxy
from argosy.translate.resource import LISTENER
from tests.e2e.mesh import until
from tests.e2e.translate_envoy import Running, answering, running
from tests.ports import free_port
from tests.unit.pki import Authority, Pair, encoded
from tests.unit.translate.mesh import put, service

pytestmark = pytest.mark.e2e

ROOT, CLIENTS = Authority(), Authority("of clients")
ONE, TWO, CLIENT = ROOT.issue("shop.example"), ROOT.issue("shop.example"), CLIENTS.issue("client")
STRANGER = Authority("of nobody").issue("client")
NAMESPACE = "edge"
PASSED_ON = "auto.default.svc.cluster.local"
REFUSED = (OSError, AssertionError)  # in the handshake, or, with TLS 1.3, after it

GATEWAY = """
apiVersion: networking.istio.io/v1
kind: Gateway
metadata: {name: edge, namespace: edge}
spec:
  servers:
  - port: {number: 80, name: http, protocol: HTTP}
    hosts: [plain.example, via-tls.example, "*.wild.invalid", else.example]
  - {port: {number: 81, name: http-moved, protocol: HTTP}, hosts: ["*"], tls: {httpsRedirect: true}}
  - port: {number: 443, name: https, protocol: HTTPS}
    hosts: [shop.example]
    tls: {mode: SIMPLE, credentialName: shop}
  - port: {number: 443, name: https-bare, protocol: HTTPS}
    hosts: [bare.example]
    tls: {mode: SIMPLE, credentialName: nobody}
  - port: {number: 443, name: https-mutual, protocol: HTTPS}
    hosts: [mutual.example]
    tls: {mode: MUTUAL, credentialName: shop}
  - port: {number: 443, name: https-optional, protocol: HTTPS}
    hosts: [optional.example]
    tls: {mode: OPTIONAL_MUTUAL, credentialName: shop}
  - port: {number: 443, name: https-mesh, protocol: HTTPS}
    hosts: [mesh.example]
    tls: {mode: ISTIO_MUTUAL}
  - port: {number: 443, name: https-files, protocol: HTTPS}
    hosts: [files.example]
    tls: {mode: SIMPLE, serverCertificate: CERTIFICATE, privateKey: KEY}
  - port: {number: 443, name: https-new, protocol: HTTPS}
    hosts: [new.example]
    tls: {mode: SIMPLE, credentialName: shop, minProtocolVersion: TLSV1_3}
  - {port: {number: 444, name: tls, protocol: TLS}, hosts: ["*"], tls: {mode: PASSTHROUGH}}
  - {port: {number: 445, name: auto, protocol: TLS}, hosts: ["*.local"], tls: {mode: AUTO_PASSTHROUGH}}
  - {port: {number: 0, name: socket, protocol: HTTP}, bind: "unix://SOCKET", hosts: ["*"]}
  - {port: {number: 900, name: tcp, protocol: TCP}, hosts: ["*"]}
  - {port: {number: 902, name: tcp-known, protocol: TCP}, hosts: ["*"]}
  - port: {number: 901, name: tls-ends, protocol: TLS}
    hosts: [tcp.example]
    tls: {mode: SIMPLE, credentialName: shop}
---
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: web, namespace: edge}
spec:
  hosts: ["*"]
  gateways: [edge]
  http:
  - match: [{authority: {exact: via-tls.example}}]
    rewrite: {authority: mutual.example}
    route: [{destination: {host: secure.internal}}]
  - {route: [{destination: {host: web.internal}}]}
  tcp:
  - {match: [{port: 902, sourceSubnet: 127.0.0.2}], route: [{destination: {host: web.internal}}]}
  - {match: [{port: 902, sourceSubnet: 127.0.0.0/29}], route: [{destination: {host: nobody.internal}}]}
  - {match: [{port: 900}, {port: 901}], route: [{destination: {host: web.internal}}]}
  tls:
  - {match: [{port: 444, sniHosts: [shop.example, mutual.example]}], route: [{destination: {host: through.internal}}]}
---
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: wild, namespace: edge}
spec:
  hosts: ["*.wild.invalid", else.example]
  gateways: [edge]
  http: [{match: [{uri: {exact: /}}], route: [{destination: {host: "*.wild.invalid", port: {number: 80}}}]}]
  tls:
  - match: [{port: 444, sniHosts: ["*.wild.invalid"]}]
    route: [{destination: {host: "*.wild.invalid", port: {number: 443}}}]
---
apiVersion: networking.istio.io/v1
kind: DestinationRule
metadata: {name: secure, namespace: edge}
spec: {host: secure.internal, trafficPolicy: {tls: {mode: MUTUAL, credentialName: client, sni: mutual.example}}}
"""


def secret(name: str, **data: bytes) -> Any:
    metadata = {"name": name, "namespace": NAMESPACE}
    return decode({"apiVersion": "v1", "kind": "Secret", "metadata": metadata, "data": encoded(**data)})


def shop(pair: Pair) -> Any:
    return secret("shop", tls_crt=pair.certificate, tls_key=pair.key, ca_crt=CLIENTS.certificate)


@dataclass
class Edge:
    envoy: Running
    ports: dict[int, int]
    folder: Path

    def put(self, obj: Any) -> None:
        self.envoy.apply(self.envoy.snapshot.put_config(obj))

    def context(self, pair: Pair | None = None, trusted: bytes = ROOT.certificate) -> ssl.SSLContext:
        context = ssl.create_default_context(cadata=trusted.decode())
        context.check_hostname = False
        if pair is not None:
            file = self.folder / "client.pem"
            file.write_bytes(pair.certificate + pair.key)
            context.load_cert_chain(file)
        return context

    @contextlib.contextmanager
    def connected(
        self, port: int, name: str = "", context: ssl.SSLContext | None = None, source: str = ""
    ) -> Iterator[socket.socket]:
        with socket.create_connection(("127.0.0.1", self.ports[port]), 10, (source, 0)) as plain:
            if not name:
                yield plain
                return
            with (context or self.context()).wrap_socket(plain, server_hostname=name) as wrapped:
                yield wrapped

    def ask(
        self,
        port: int,
        host: str,
        *,
        tls: bool = True,
        context: ssl.SSLContext | None = None,
        source: str = "",
    ) -> Answer:
        """One request over a connection of its own."""
        with self.connected(port, host if tls else "", context, source) as connection:
            connection.sendall(f"GET / HTTP/1.1\r\nhost: {host}\r\nconnection: close\r\n\r\n".encode())
            with connection.makefile("rb") as file:
                lines = [file.readline()]
                assert lines[0], "the connection was closed"
                while lines[-1] not in (b"\r\n", b""):
                    lines.append(file.readline())
                head = b"".join(lines).decode().lower()
                length = re.search(r"content-length: (\d+)", head)
                body = file.read(int(length[1]) if length else 0)
            certificate = (
                connection.getpeercert(binary_form=True) if isinstance(connection, ssl.SSLSocket) else b""
            )
        return Answer(int(head.split()[1]), head, body, certificate or b"")


@dataclass
class Answer:
    status: int
    head: str
    body: bytes
    certificate: bytes

    @property
    def application(self) -> str:
        return str(json.loads(self.body)["name"])


@pytest.fixture(scope="module", params=[(), ("http.80", "http.81")], ids=["whole", "parted"])
def edge(tmp_path_factory: pytest.TempPathFactory, request: pytest.FixtureRequest) -> Iterator[Edge]:
    """Plain HTTP in one RouteConfiguration a port, and in parts."""
    folder = tmp_path_factory.mktemp("gateway")
    (folder / "certificate.pem").write_bytes(ONE.certificate)
    (folder / "key.pem").write_bytes(ONE.key)
    ports = {number: free_port() for number in (80, 81, 443, 444, 445, 900, 901, 902)}
    snapshot = Snapshot()
    with answering("web") as port:
        itself = ports[443]
        for host, number, mtls in (
            ("web.internal", port, False),
            ("secure.internal", itself, False),
            ("through.internal", itself, False),
            (PASSED_ON, itself, True),
        ):
            snapshot.put_service(service(host, (80, Protocol.HTTP), hostname=host, kubernetes=False))
            one = ir.Endpoint(address="127.0.0.1", port=number, port_name="p80", mtls=mtls)
            snapshot.put_endpoints(host, (one,))
        wild = {"hostname": "*.wild.invalid", "resolution": ir.Resolution.DYNAMIC_DNS, "kubernetes": False}
        snapshot.put_service(service("wild", (80, Protocol.HTTP), (443, Protocol.TLS), external=True, **wild))
        text = GATEWAY.replace("CERTIFICATE", str(folder / "certificate.pem"))
        put(snapshot, text.replace("KEY", str(folder / "key.pem")).replace("SOCKET", str(folder / "e.sock")))
        snapshot.put_config(shop(ONE))
        snapshot.put_config(
            secret("client", tls_crt=CLIENT.certificate, tls_key=CLIENT.key, ca_crt=ROOT.certificate)
        )
        scope = scope_of(Reader(snapshot), type=ProxyType.ROUTER, namespace=NAMESPACE, parted=request.param)
        proxy = Proxy(namespace=NAMESPACE, name="gw", scope=scope, port_map=tuple(sorted(ports.items())))
        with running(folder, snapshot, proxy, "spiffe://cluster.local/ns/edge/sa/gw") as envoy:
            found = Edge(envoy, ports, folder)
            until(lambda: found.ask(443, "shop.example").status == 200, "the gateway serves")
            yield found


# --- HTTPS ----------------------------------------------------------------------------------------------------------


def test_https_ends_at_the_gateway(edge: Edge) -> None:
    answer = edge.ask(443, "shop.example")
    assert (answer.status, answer.application) == (200, "web")
    assert answer.certificate == ssl.PEM_cert_to_DER_cert(ONE.certificate.decode())


def test_a_name_that_no_server_has_is_refused(edge: Edge) -> None:
    with pytest.raises(REFUSED):
        edge.ask(443, "other.example")


def test_mutual_tls_demands_a_certificate_of_the_authorities(edge: Edge) -> None:
    answer = edge.ask(443, "mutual.example", context=edge.context(CLIENT))
    assert answer.status == 200
    assert 'Subject="CN=client"' in json.loads(answer.body)["headers"]["x-forwarded-client-cert"]
    for context in (None, edge.context(STRANGER)):
        with pytest.raises(REFUSED):
            edge.ask(443, "mutual.example", context=context)


def test_optional_mutual_tls_takes_none_and_refuses_a_wrong_one(edge: Edge) -> None:
    assert edge.ask(443, "optional.example").status == 200
    assert edge.ask(443, "optional.example", context=edge.context(CLIENT)).status == 200
    with pytest.raises(REFUSED):
        edge.ask(443, "optional.example", context=edge.context(STRANGER))


def test_the_meshs_own_mutual_tls(edge: Edge) -> None:
    authority = edge.envoy.authority
    certificate, key = authority.issue("spiffe://cluster.local/ns/a/sa/b", "b")
    roots = authority.root.public_bytes(Encoding.PEM)
    assert edge.ask(443, "mesh.example", context=edge.context(Pair(certificate, key), roots)).status == 200
    with pytest.raises(REFUSED):
        edge.ask(443, "mesh.example", context=edge.context(CLIENT, roots))


def test_a_certificate_in_files_is_read_again_when_they_are_replaced(edge: Edge) -> None:
    assert edge.ask(443, "files.example").status == 200
    for name, content in (("key.pem", TWO.key), ("certificate.pem", TWO.certificate)):
        (edge.folder / f"{name}.new").write_bytes(content)
        (edge.folder / f"{name}.new").rename(edge.folder / name)
    expected = ssl.PEM_cert_to_DER_cert(TWO.certificate.decode())
    until(lambda: edge.ask(443, "files.example").certificate == expected, "the new certificate is shown")


def test_versions_below_the_least_are_refused(edge: Edge) -> None:
    old = edge.context()
    old.maximum_version = ssl.TLSVersion.TLSv1_2
    assert edge.ask(443, "new.example").status == 200
    assert edge.ask(443, "shop.example", context=old).status == 200
    with pytest.raises(REFUSED):
        edge.ask(443, "new.example", context=old)


def test_plain_requests_are_sent_to_https(edge: Edge) -> None:
    answer = edge.ask(81, "shop.example", tls=False)
    assert answer.status == 301
    assert "location: https://shop.example/" in answer.head


def test_a_unix_socket_is_served(edge: Edge) -> None:
    transport = httpx.HTTPTransport(uds=str(edge.folder / "e.sock"))
    with httpx.Client(transport=transport) as client:
        assert client.get("http://plain.example/").json()["name"] == "web"


# --- what goes on ---------------------------------------------------------------------------------------------------


def test_tls_is_passed_on_by_its_name(edge: Edge) -> None:
    assert edge.ask(444, "shop.example").certificate == edge.ask(443, "shop.example").certificate
    assert edge.ask(444, "mutual.example", context=edge.context(CLIENT)).application == "web"
    with pytest.raises(REFUSED):
        edge.ask(444, "files.example")


def test_names_under_a_wildcard_are_looked_up_and_no_others(edge: Edge) -> None:
    answer = edge.ask(80, "a.wild.invalid", tls=False)
    assert (answer.status, b"DNS resolution failure" in answer.body) == (503, True)
    assert edge.ask(80, "else.example", tls=False).application == "web", "that route is none"
    before = looked_up(edge)
    with pytest.raises(REFUSED):
        edge.ask(444, "b.wild.invalid")
    until(lambda: looked_up(edge) > before, "the name in the hello is looked up")


def looked_up(edge: Edge) -> int:
    found = re.search(r"forward_proxy[.]dns_query_attempt: (\d+)", edge.envoy.stats("dns_query_attempt"))
    return int(found[1]) if found else 0


def test_tcp_with_tls_and_without(edge: Edge) -> None:
    assert edge.ask(900, "any.example", tls=False).application == "web"
    assert edge.ask(901, "tcp.example").application == "web"


def test_tcp_goes_by_where_the_client_is(edge: Edge) -> None:
    assert edge.ask(902, "any.example", tls=False, source="127.0.0.2").application == "web"
    for source in ("127.0.0.1", "127.0.0.3", "127.0.0.9"):  # to a service that is not there, and to nothing
        with pytest.raises(REFUSED):
            edge.ask(902, "any.example", tls=False, source=source)


def test_client_tls_with_a_certificate_of_a_secret(edge: Edge) -> None:
    """To the gateway's own port that demands one."""
    until(lambda: edge.ask(80, "via-tls.example", tls=False).status == 200, "it answers")
    answer = edge.ask(80, "via-tls.example", tls=False)
    assert answer.application == "web"


def test_mesh_tls_is_passed_on_by_the_name_of_its_cluster_and_no_other_name(edge: Edge) -> None:
    authority = edge.envoy.authority
    pair = Pair(*authority.issue("spiffe://cluster.local/ns/a/sa/b", "b"))

    def ask(name: str, *alpn: str) -> None:
        context = edge.context(pair, authority.root.public_bytes(Encoding.PEM))
        context.set_alpn_protocols([*alpn])
        with edge.connected(445, name, context) as connection:
            assert connection.recv(1) == b""

    # The endpoint is the gateway's own port 443, where no server has this name: it refuses what comes through.
    before = _count(edge, "upstream_cx_total", "outbound_")
    for name in (
        f"outbound_.80_._.{PASSED_ON}",
        f"outbound|80||{PASSED_ON}",
        f"outbound_.80_._.no.{PASSED_ON}",
    ):
        with pytest.raises(REFUSED):
            ask(name, "istio")
    with pytest.raises(REFUSED):
        ask(f"outbound_.80_._.{PASSED_ON}", "http/1.1")
    until(lambda: _count(edge, "upstream_cx_total", "outbound_") == before + 1, "one was passed on")


def _count(edge: Edge, stat: str, cluster: str) -> int:
    found = edge.envoy.stats(f"^cluster\\.{cluster}.*{stat}$")
    return sum(int(line.rpartition(": ")[2]) for line in found.splitlines())


# --- secrets that change --------------------------------------------------------------------------------------------


def shown(edge: Edge, certificate: bytes) -> None:
    until(lambda: edge.ask(443, "shop.example").certificate == certificate, "the new one is shown")


def test_a_secret_is_renewed_under_load_without_a_failed_request(edge: Edge) -> None:
    wrong: list[BaseException] = []
    asked = [0, 0]
    stop = threading.Event()

    def load(which: int) -> None:
        while not stop.is_set():
            try:
                assert edge.ask(443, "shop.example").status == 200
                asked[which] += 1
            except REFUSED as error:
                wrong.append(error)

    threads = [threading.Thread(target=load, args=(which,)) for which in range(2)]
    for thread in threads:
        thread.start()
    listener = edge.envoy.compiler.graph.rebuilt[LISTENER]
    for pair in (TWO, ONE, TWO, ONE):
        edge.put(shop(pair))
        expected = ssl.PEM_cert_to_DER_cert(pair.certificate.decode())
        shown(edge, expected)
    enough = sum(asked) + 50
    until(lambda: sum(asked) > enough, "there was load")
    stop.set()
    for thread in threads:
        thread.join()
    assert wrong == []
    assert edge.envoy.compiler.graph.rebuilt[LISTENER] == listener, "no listener was looked at"


def test_a_secret_that_is_missing_or_broken_hurts_nobody_else(edge: Edge) -> None:
    with pytest.raises(REFUSED):
        edge.ask(443, "bare.example")
    assert edge.ask(443, "shop.example").status == 200
    facts = edge.envoy.snapshot.put_config(secret("shop", tls_crt=ONE.certificate, tls_key=TWO.key))
    assert edge.envoy.compiler.apply(facts) == [], "the last good one stays"
    assert edge.ask(443, "shop.example").status == 200
    edge.envoy.snapshot.put_config(shop(ONE))
    edge.put(secret("nobody", tls_crt=TWO.certificate, tls_key=TWO.key))
    until(lambda: edge.ask(443, "bare.example").status == 200, "it is served once its Secret is there")
