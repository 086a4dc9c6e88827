"""The application knows its caller: what a real Envoy tells it, and what it takes off, whoever lies and on which path.

Each test sends forged headers in every spelling that an application may take for the true ones.
"""

from __future__ import annotations

import ssl
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import httpx
import pytest
from envoy.config.listener.v3 import listener_pb2

from argosy.model import ir
from argosy.model.ir import Protocol
from argosy.model.reader import Reader
from argosy.model.scope import Interception, ProxyType, Scope, scope_of
from argosy.model.snapshot import Snapshot
from argosy.resources.kinds import decode
from argosy.translate.caller import HEADER
from argosy.translate.names import HTTP_PROXY, VIRTUAL_INBOUND
from argosy.translate.proxy import DeclaredUpstream, Proxy
from tests.e2e import caller_lab
from tests.e2e.caller_lab import LIE, Got, http1, http2, rpc
from tests.e2e.translate_envoy import Running, peer_authentication, running
from tests.ports import free_port
from tests.unit import pki
from tests.unit.model.written import mesh_config
from tests.unit.translate.mesh import SUFFIX, endpoint, put, service, workload

pytestmark = pytest.mark.e2e

IDENTITY = "spiffe://cluster.local/ns/default/sa/reviews"
OTHER = "spiffe://cluster.local/ns/shop/sa/other"


@dataclass
class Sidecar:
    """An Envoy that is client and server at once: what goes out by its proxy comes back in by its inbound listeners."""

    envoy: Running
    folder: Path
    outbound: int
    upstream: int
    inbound: int
    inbound_rpc: int

    @property
    def proxy(self) -> str:
        return f"http://127.0.0.1:{self.outbound}"

    def other(self, *alpn: str) -> ssl.SSLContext:
        """Another workload's certificate, used without a sidecar."""
        return caller_lab.context(self.folder, self.envoy.authority, OTHER, *alpn)

    def set(self, mode: str) -> None:
        self.envoy.apply(put(self.envoy.snapshot, peer_authentication(mode)))


@pytest.fixture(params=[(), (HTTP_PROXY,)], ids=["whole", "parted"])
def sidecar(tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[Sidecar]:
    """reviews (HTTP) and inventory (gRPC) behind one sidecar that calls itself by mutual TLS; plain is without one."""
    binds = {port: free_port() for port in (9080, 9090)}
    upstream, outbound = free_port(), free_port()
    snapshot = Snapshot(ir.Mesh(h2_upgrade=True))
    with caller_lab.heads() as http, caller_lab.metadata() as calls, caller_lab.heads() as bare:
        for name, port, protocol in (
            ("reviews", 9080, Protocol.HTTP),
            ("inventory", 9090, Protocol.GRPC),
            ("plain", 9081, Protocol.HTTP),
        ):
            snapshot.put_service(service(name, (port, protocol)))
            bind = binds.get(port, bare)
            one = endpoint(name, "v1", port, bind, service_account="reviews", mtls=name != "plain")
            snapshot.put_endpoints(f"{name}.{SUFFIX}", (one,))
        snapshot.put_workload(
            workload(
                "reviews", "v1",
                (9080, binds[9080], http, Protocol.HTTP),
                (9090, binds[9090], calls, Protocol.GRPC),
            )
        )  # fmt: skip
        put(snapshot, peer_authentication("STRICT"))
        scope = Scope(
            type=ProxyType.SIDECAR,
            interception=Interception.EXPLICIT,
            namespace="default",
            parted=request.param,
        )
        upstreams = (DeclaredUpstream("reviews", 9080, upstream),)
        proxy = Proxy(
            namespace="default", name="reviews-v1", scope=scope, outbound_port=outbound, upstreams=upstreams
        )
        with running(tmp_path, snapshot, proxy, IDENTITY) as envoy:
            yield Sidecar(envoy, tmp_path, outbound, upstream, binds[9080], binds[9090])


def true(seen: Got, identity: str) -> None:
    """The application was told the caller, once each way, and nothing else."""
    assert seen.status == 200
    assert seen.callers == [identity], seen.text
    assert len(seen.certificates) == 1, seen.text
    assert seen.certificates[0].endswith(f"URI={identity}")
    assert LIE not in seen.text


def nobody(seen: Got) -> None:
    """The application was told of no caller."""
    assert seen.status == 200
    assert seen.callers == seen.certificates == [], seen.text
    assert LIE not in seen.text


def test_through_both_sidecars(sidecar: Sidecar) -> None:
    """By the proxy, by a declared upstream, in a tunnel, and by gRPC."""
    true(http1(sidecar.outbound, target="http://reviews:9080/"), IDENTITY)
    true(http1(sidecar.upstream), IDENTITY)
    true(http2(sidecar.upstream), IDENTITY)
    true(rpc("inventory:9090", sidecar.proxy), IDENTITY)


def test_a_caller_that_leaves_its_sidecar_out(sidecar: Sidecar) -> None:
    """With a certificate of its own, straight to the sidecar of the other: over HTTP/1 and HTTP/2."""
    true(http1(sidecar.inbound, sidecar.other("istio-http/1.1")), OTHER)
    true(http2(sidecar.inbound, sidecar.other("istio-h2")), OTHER)
    true(http2(sidecar.inbound, sidecar.other("istio")), OTHER)


def test_in_plaintext_nobody_is_told(sidecar: Sidecar) -> None:
    sidecar.set("PERMISSIVE")
    nobody(http1(sidecar.inbound))
    nobody(http2(sidecar.inbound))
    nobody(rpc(f"127.0.0.1:{sidecar.inbound_rpc}"))
    true(http1(sidecar.inbound, sidecar.other("istio")), OTHER)
    sidecar.set("DISABLE")
    nobody(http1(sidecar.inbound))
    nobody(http2(sidecar.inbound))


def test_nothing_is_passed_on_to_whom_no_sidecar_guards(sidecar: Sidecar) -> None:
    nobody(http1(sidecar.outbound, target="http://plain:9081/", host="plain:9081"))


def test_odd_heads_do_not_bring_it_through(sidecar: Sidecar) -> None:
    """What one of two parsers may read otherwise: refused, or without effect."""
    for lines in (
        (f"{HEADER} : {LIE}",),
        (f" {HEADER}: {LIE}",),
        (f"x-a: b\r\n {HEADER}: {LIE}",),
        (f"x-a: b\n{HEADER}: {LIE}",),
        (f"x-a: b\r{HEADER}: {LIE}",),
        (f"{HEADER}\0: {LIE}",),
        (f"connection: {HEADER}", f"{HEADER}: {LIE}"),
        ("connection: upgrade, http2-settings", "upgrade: h2c", "http2-settings: AAMAAABkAAQAAP__"),
    ):
        seen = http1(sidecar.inbound, sidecar.other("istio"), lines=lines)
        if seen.status == 200:
            assert seen.callers == [OTHER], (lines, seen.text)
            assert not any(name == "upgrade" for name, _ in seen.headers), seen.text
            assert not any(LIE in value and name != "x-a" for name, value in seen.headers), seen.text
        else:
            assert seen.status in (0, 400, 403), lines
    forged = ((f"x-a\r\n{HEADER}", LIE), (f"x-a: b\n{HEADER}", LIE), ("x-a", f"b\r\n{HEADER}: {LIE}"))
    for one in forged:
        seen = http2(sidecar.inbound, sidecar.other("istio-h2"), forged=(one,))
        assert seen.status in (0, 400), (one, seen.text)


def test_many_requests_on_one_connection_are_told_alike(sidecar: Sidecar) -> None:
    """Pooled connections: each request is told anew."""
    with httpx.Client(proxy=sidecar.proxy, trust_env=False, timeout=20) as client:
        for _ in range(20):
            answer = client.get("http://reviews:9080/", headers=[(HEADER, LIE), ("x_argosy_caller", LIE)])
            assert caller_lab.got(answer.content).callers == [IDENTITY]


@pytest.mark.parametrize(
    ("said", "certificates"),
    [
        ("SANITIZE", 0),
        ("SANITIZE_SET", 1),
        ("FORWARD_ONLY", 1),
        ("APPEND_FORWARD", 1),
        ("ALWAYS_FORWARD_ONLY", 1),
    ],
)
def test_the_plain_header_holds_whatever_the_mesh_says_of_the_other(
    tmp_path: Path, said: str, certificates: int
) -> None:
    """`forwardedClientCert` decides of x-forwarded-client-cert alone, and never of a name that is taken for it."""
    snapshot = Snapshot()
    snapshot.put_config(mesh_config(f"defaultConfig: {{proxyHeaders: {{forwardedClientCert: {said}}}}}"))
    put(snapshot, peer_authentication("STRICT"))
    bind = free_port()
    with caller_lab.heads() as http:
        snapshot.put_service(service("reviews", (9080, Protocol.HTTP)))
        snapshot.put_workload(workload("reviews", "v1", (9080, bind, http, Protocol.HTTP)))
        scope = Scope(type=ProxyType.SIDECAR, interception=Interception.EXPLICIT, namespace="default")
        proxy = Proxy(namespace="default", name="reviews-v1", scope=scope, outbound_port=free_port())
        with running(tmp_path, snapshot, proxy, IDENTITY) as envoy:
            other = caller_lab.context(tmp_path, envoy.authority, OTHER, "istio")
            seen = http1(bind, other)
            assert seen.callers == [OTHER]
            assert len(seen.certificates) == certificates or said == "ALWAYS_FORWARD_ONLY"
            believed = "FORWARD" in said
            assert (LIE in seen.text) == believed, "a mesh that forwards it was told to believe it"
            rest = [value for name, value in seen.headers if name != "x-forwarded-client-cert"]
            assert not any(LIE in value for value in rest), seen.text
            assert (f"URI={OTHER}" in seen.text) == (said in ("SANITIZE_SET", "APPEND_FORWARD"))


@pytest.mark.parametrize("mode", ["STRICT", "PERMISSIVE"])
def test_captured_listeners(tmp_path: Path, mode: str) -> None:
    """virtualInbound and the listener of a service's port, as captured connections come to them: a connection that is
    not captured has the listener's own port for its destination, so that is the workload's port here."""
    inbound, outbound = free_port(), free_port()

    def bound(listener: listener_pb2.Listener) -> bool:
        if listener.name == VIRTUAL_INBOUND:
            listener.address.socket_address.port_value = inbound
        elif listener.name.endswith(f"_{outbound}"):
            listener.bind_to_port.value = True
        else:
            return False
        return True

    snapshot = Snapshot()
    put(snapshot, peer_authentication(mode))
    with caller_lab.heads() as http, caller_lab.heads() as bare:
        snapshot.put_service(service("reviews", (inbound, Protocol.HTTP)))
        snapshot.put_service(service("plain", (outbound, Protocol.HTTP), addresses=("127.0.0.1",)))
        one = endpoint("plain", "v1", outbound, bare, mtls=False)
        snapshot.put_endpoints(f"plain.{SUFFIX}", (one,))
        snapshot.put_workload(workload("reviews", "v1", (inbound, inbound, http, Protocol.HTTP)))
        scope = Scope(type=ProxyType.SIDECAR, interception=Interception.REDIRECT, namespace="default")
        proxy = Proxy(namespace="default", name="reviews-v1", scope=scope)
        with running(tmp_path, snapshot, proxy, IDENTITY, listeners=bound) as envoy:
            other = caller_lab.context(tmp_path, envoy.authority, OTHER, "istio")
            true(http1(inbound, other), OTHER)
            true(http2(inbound, other), OTHER)
            if mode == "PERMISSIVE":
                nobody(http1(inbound))
            nobody(http1(outbound, host=f"plain:{outbound}"))


INGRESS = """
apiVersion: networking.istio.io/v1
kind: Sidecar
metadata: {{name: reviews, namespace: default}}
spec:
  ingress:
  - port: {{number: 9080, protocol: HTTP, name: http}}
    defaultEndpoint: 127.0.0.1:{plain}
  - port: {{number: 9443, protocol: HTTPS, name: https}}
    defaultEndpoint: 127.0.0.1:{tls}
    tls:
      mode: MUTUAL
      serverCertificate: {folder}/c.pem
      privateKey: {folder}/k.pem
      caCertificates: {folder}/ca.pem
"""


PORT_LEVEL = """
apiVersion: security.istio.io/v1
kind: PeerAuthentication
metadata: {name: reviews, namespace: default}
spec:
  selector: {matchLabels: {app: reviews}}
  mtls: {mode: STRICT}
  portLevelMtls: {9443: {mode: DISABLE}}
"""


def test_a_sidecars_ingress_believes_the_mesh_alone(tmp_path: Path) -> None:
    """Where a Sidecar ends TLS, certificates are of its own authority: one that names an identity of the mesh is told
    as what it is, in x-forwarded-client-cert, and never as the caller."""
    theirs = pki.Authority()
    server = theirs.issue("reviews")
    for name, data in (("c", server.certificate), ("k", server.key), ("ca", theirs.certificate)):
        (tmp_path / f"{name}.pem").write_bytes(data)
    binds = {9080: free_port(), 9443: free_port()}
    snapshot = Snapshot()
    with caller_lab.heads() as http:
        snapshot.put_service(service("reviews", (9080, Protocol.HTTP), (9443, Protocol.HTTPS)))
        ports = [(9080, binds[9080], http, Protocol.HTTP), (9443, binds[9443], http, Protocol.HTTPS)]
        snapshot.put_workload(workload("reviews", "v1", *ports))
        put(snapshot, INGRESS.format(plain=http, tls=http, folder=tmp_path))
        put(snapshot, PORT_LEVEL)
        scope = scope_of(
            Reader(snapshot),
            type=ProxyType.SIDECAR,
            interception=Interception.EXPLICIT,
            namespace="default",
            labels=(("app", "reviews"),),
        )
        labels = (("app", "reviews"), ("version", "v1"))
        proxy = Proxy(
            namespace="default", name="reviews-v1", scope=scope, labels=labels, outbound_port=free_port()
        )
        with running(tmp_path, snapshot, proxy, IDENTITY) as envoy:
            true(http1(binds[9080], caller_lab.context(tmp_path, envoy.authority, OTHER, "istio")), OTHER)
            liar = _foreign(tmp_path, LIE, theirs)
            seen = http1(binds[9443], liar)
            assert seen.status == 200
            assert seen.callers == [], seen.text


def _foreign(folder: Path, identity: str, theirs: pki.Authority) -> ssl.SSLContext:
    """A client certificate of another authority that names an identity of the mesh."""
    pair = theirs.issue("client", identity)
    file = folder / "foreign.pem"
    file.write_bytes(pair.certificate + pair.key)
    made = ssl.create_default_context(cadata=theirs.certificate.decode())
    made.check_hostname = False
    made.load_cert_chain(file)
    return made


SECRET = {"name": "s", "namespace": "default"}
GATEWAY = """
apiVersion: networking.istio.io/v1
kind: Gateway
metadata: {name: edge, namespace: default}
spec:
  servers:
  - {port: {number: 80, name: http, protocol: HTTP}, hosts: ["*"]}
  - {port: {number: 443, name: https, protocol: HTTPS}, hosts: [mutual.example], tls: {mode: MUTUAL, credentialName: s}}
  - {port: {number: 443, name: mesh, protocol: HTTPS}, hosts: [mesh.example], tls: {mode: ISTIO_MUTUAL}}
---
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: edge, namespace: default}
spec:
  hosts: ["*"]
  gateways: [edge]
  http: [{route: [{destination: {host: plain, port: {number: 9081}}}]}]
"""


def test_from_the_internet(tmp_path: Path) -> None:
    """A gateway tells no caller, whatever the client's certificate says, and passes none on."""
    ports = {80: free_port(), 443: free_port()}
    theirs = pki.Authority()
    pair = theirs.issue("mutual.example")
    snapshot = Snapshot()
    with caller_lab.heads() as bare:
        snapshot.put_service(service("plain", (9081, Protocol.HTTP)))
        snapshot.put_endpoints(f"plain.{SUFFIX}", (endpoint("plain", "v1", 9081, bare, mtls=False),))
        put(snapshot, GATEWAY)
        data = pki.encoded(tls_crt=pair.certificate, tls_key=pair.key, ca_crt=theirs.certificate)
        snapshot.put_config(decode({"apiVersion": "v1", "kind": "Secret", "metadata": SECRET, "data": data}))
        scope = scope_of(Reader(snapshot), type=ProxyType.ROUTER, namespace="default")
        proxy = Proxy(namespace="default", name="gw", scope=scope, port_map=tuple(sorted(ports.items())))
        with running(tmp_path, snapshot, proxy, IDENTITY) as envoy:
            nobody(http1(ports[80]))
            nobody(http2(ports[80]))
            liar = _foreign(tmp_path, LIE, theirs)
            seen = http1(ports[443], liar, host="mutual.example", server_name="mutual.example")
            assert seen.status == 200
            assert seen.callers == [], seen.text
            mesh = caller_lab.context(tmp_path, envoy.authority, OTHER)
            seen = http1(ports[443], mesh, host="mesh.example", server_name="mesh.example")
            assert (seen.status, seen.callers) == (200, []), seen.text
