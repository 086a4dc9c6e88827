"""HTTP/3 at a gateway: where the annotation asks for it, with the routes, the certificates and the policy of HTTPS."""

from __future__ import annotations

import json
import ssl
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest
import yaml

from argosy.model import ir
from argosy.model.ir import Protocol
from argosy.model.reader import Reader
from argosy.model.scope import ProxyType, scope_of
from argosy.model.snapshot import Snapshot
from argosy.resources.kinds import decode
from argosy.translate.proxy import Proxy
from tests.e2e import http3
from tests.e2e.mesh import until
from tests.e2e.translate_envoy import Running, answering, running
from tests.ports import free_port
from tests.unit.pki import Authority, Pair, encoded
from tests.unit.translate.mesh import put, service

pytestmark = pytest.mark.e2e

ROOT, OTHER, CLIENTS = Authority(), Authority("another"), Authority("of clients")
NAMES = ("shop.example", "mutual.example", "through.example")
ONE, TWO, CLIENT = ROOT.issue(*NAMES), OTHER.issue(*NAMES), CLIENTS.issue("client")
STRANGER = Authority("of nobody").issue("client")
QUIC, TCP = "udp_127.0.0.1_443", "127.0.0.1_443"

GATEWAY = """
apiVersion: networking.istio.io/v1
kind: Gateway
metadata: {name: edge, namespace: edge, annotations: {gateway.argosy.dev/http3: "true"}}
spec:
  servers:
  - port: {number: 443, name: https, protocol: HTTPS}
    hosts: [shop.example]
    tls: {mode: SIMPLE, credentialName: shop}
  - port: {number: 443, name: https-mutual, protocol: HTTPS}
    hosts: [mutual.example]
    tls: {mode: MUTUAL, credentialName: shop}
  - port: {number: 443, name: tls, protocol: TLS}
    hosts: [through.example]
    tls: {mode: PASSTHROUGH}
---
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: web, namespace: edge}
spec:
  hosts: ["*"]
  gateways: [edge]
  http:
  - match: [{uri: {prefix: /moved}}]
    redirect: {uri: /}
  - {route: [{destination: {host: web.internal}}]}
  tls:
  - {match: [{port: 443, sniHosts: [through.example]}], route: [{destination: {host: web.internal}}]}
"""


def shop(pair: Pair) -> Any:
    data = encoded(tls_crt=pair.certificate, tls_key=pair.key, ca_crt=CLIENTS.certificate)
    metadata = {"name": "shop", "namespace": "edge"}
    return decode({"apiVersion": "v1", "kind": "Secret", "metadata": metadata, "data": data})


@dataclass
class Edge:
    envoy: Running
    port: int
    folder: Path

    def ask(
        self, host: str = "shop.example", path: str = "/", pair: Pair | None = None, trusted: Authority = ROOT
    ) -> http3.Answer:
        file = None
        if pair is not None:
            file = self.folder / "client.pem"
            file.write_bytes(pair.certificate + pair.key)
        return http3.ask(self.port, host, trusted.certificate, path=path, certificate=file)

    def ask_by_tcp(self) -> httpx.Response:
        context = ssl.create_default_context(cadata=ROOT.certificate.decode())
        with httpx.Client(verify=context, trust_env=False) as client:
            url = f"https://127.0.0.1:{self.port}/"
            return client.get(
                url, headers={"host": "shop.example"}, extensions={"sni_hostname": "shop.example"}
            )

    def listeners(self) -> set[str]:
        text = httpx.get(f"http://127.0.0.1:{self.envoy.admin}/listeners", trust_env=False).text
        return {line.partition("::")[0] for line in text.splitlines()}


@pytest.fixture
def edge(tmp_path: Path) -> Iterator[Edge]:
    port, snapshot = free_port(), Snapshot()
    with answering("web") as application:
        made = service("web", (80, Protocol.HTTP), hostname="web.internal")
        snapshot.put_service(made)
        at = ir.Endpoint(address="127.0.0.1", port=application, port_name=made.ports[0].name)
        snapshot.put_endpoints("web.internal", (at,))
        put(snapshot, GATEWAY)
        snapshot.put_config(shop(ONE))
        scope = scope_of(Reader(snapshot), type=ProxyType.ROUTER, namespace="edge")
        proxy = Proxy(namespace="edge", name="edge", scope=scope, port_map=((443, port),))
        with running(tmp_path, snapshot, proxy, "spiffe://cluster.local/ns/edge/sa/edge") as envoy:
            yield Edge(envoy, port, tmp_path)


def test_requests_over_http3_go_where_those_over_tcp_go(edge: Edge) -> None:
    answer = edge.ask()
    assert (answer.status, json.loads(answer.body)["name"]) == (200, "web")
    assert edge.ask(path="/moved").headers["location"] == "https://shop.example/"
    by_tcp = edge.ask_by_tcp()
    assert by_tcp.json()["name"] == "web"
    assert by_tcp.headers["alt-svc"] == 'h3=":443"; ma=86400'


def test_clients_of_a_mutual_server_show_their_certificate(edge: Edge) -> None:
    assert edge.ask("mutual.example", pair=CLIENT).status == 200
    for pair in (None, STRANGER):
        with pytest.raises(ConnectionError):
            edge.ask("mutual.example", pair=pair)


def test_a_renewed_certificate_is_used_and_no_listener_changes(edge: Edge) -> None:
    before = edge.envoy.stats("listener_manager.listener_modified")
    with pytest.raises(ConnectionError):
        edge.ask(trusted=OTHER)
    edge.envoy.apply(edge.envoy.snapshot.put_config(shop(TWO)))
    until(lambda: edge.ask(trusted=OTHER).status == 200, "the new certificate serves")
    assert edge.envoy.stats("listener_manager.listener_modified") == before


def test_it_goes_with_the_annotation_and_tcp_stays(edge: Edge) -> None:
    assert edge.listeners() == {TCP, QUIC}
    written = yaml.safe_load(GATEWAY.partition("---")[0])
    del written["metadata"]["annotations"]
    edge.envoy.apply(edge.envoy.snapshot.put_config(decode(written)))
    until(lambda: edge.listeners() == {TCP}, "the listener of HTTP/3 is gone")
    assert "alt-svc" not in edge.ask_by_tcp().headers
