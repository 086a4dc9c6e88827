"""Connections through a proxy outside the mesh (DestinationRule tunnel), with a real Envoy and a real CONNECT proxy."""

from __future__ import annotations

import contextlib
import socket
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from argosy.model import ir
from argosy.model.ir import Protocol
from argosy.model.reader import Reader
from argosy.model.scope import ProxyType, scope_of
from argosy.model.snapshot import Snapshot
from argosy.translate.proxy import DeclaredUpstream, Proxy
from tests.e2e.mesh import until
from tests.e2e.translate_envoy import Running, running
from tests.ports import free_port
from tests.unit.translate.mesh import put, service

pytestmark = pytest.mark.e2e

IDENTITY = "spiffe://cluster.local/ns/default/sa/client"
TARGET = "target.example:7777"
CONFIG = """
apiVersion: networking.istio.io/v1
kind: DestinationRule
metadata: {name: forward, namespace: default}
spec:
  host: forward.example
  trafficPolicy: {tunnel: {targetHost: whole.example, targetPort: 1}}
  subsets:
  - {name: connect, trafficPolicy: {tunnel: {protocol: CONNECT, targetHost: target.example, targetPort: 7777}}}
  - {name: post, trafficPolicy: {tunnel: {protocol: POST, targetHost: target.example, targetPort: 7777}}}
---
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: far, namespace: default}
spec:
  hosts: [far.example]
  gateways: [mesh, edge]
  tcp:
  - match: [{port: 7777}]
    route: [{destination: {host: forward.example, subset: connect, port: {number: 3128}}}]
  - match: [{port: 7778}]
    route: [{destination: {host: forward.example, subset: post, port: {number: 3128}}}]
  - match: [{port: 7779}]
    route:
    - {destination: {host: forward.example, subset: connect, port: {number: 3128}}, weight: 1}
    - {destination: {host: forward.example, subset: post, port: {number: 3128}}, weight: 1}
---
apiVersion: networking.istio.io/v1
kind: Gateway
metadata: {name: edge, namespace: default}
spec:
  servers:
  - {port: {number: 7777, name: tcp, protocol: TCP}, hosts: [far.example]}
"""
PORTS = (7777, 7778, 7779)


@dataclass
class ForwardProxy:
    """Answers each connection's request with 200, and what it then gets with the same in capitals."""

    port: int = 0
    asked: list[tuple[str, str]] = field(default_factory=list)  # (request line, host)

    def serve(self, listener: socket.socket) -> None:
        while True:
            try:
                connection, _ = listener.accept()
            except OSError:
                return
            threading.Thread(target=self._one, args=(connection,), daemon=True).start()

    def _one(self, connection: socket.socket) -> None:
        with connection, connection.makefile("rwb") as file:
            first = file.readline().decode().strip()
            headers = dict(
                line.decode().strip().lower().split(": ", 1) for line in iter(file.readline, b"\r\n") if line
            )
            self.asked.append((first, headers.get("host", "")))
            chunked = first.startswith("POST")
            file.write(b"HTTP/1.1 200 OK\r\n%s\r\n" % (b"transfer-encoding: chunked\r\n" if chunked else b""))
            file.flush()
            while True:
                length = int(file.readline().strip() or b"0", 16) if chunked else 0
                data = file.read(length) if chunked else file.readline()
                if not data:
                    return
                if chunked:
                    file.readline()
                    file.write(b"%x\r\n%s\r\n" % (len(data), data.upper()))
                else:
                    file.write(data.upper())
                file.flush()


@contextlib.contextmanager
def forward_proxy() -> Iterator[ForwardProxy]:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        found = ForwardProxy(listener.getsockname()[1])
        threading.Thread(target=found.serve, args=(listener,), daemon=True).start()
        yield found


def mesh(port: int) -> Snapshot:
    snapshot = Snapshot()
    for name, *numbers in (("far", *PORTS), ("forward", 3128)):
        snapshot.put_service(
            service(
                name,
                *((number, Protocol.TCP) for number in numbers),
                hostname=f"{name}.example",
                kubernetes=False,
                external=True,
            )
        )
    one = ir.Endpoint(address="127.0.0.1", port=port, port_name="p3128")
    snapshot.put_endpoints("forward.example", (one,))
    put(snapshot, CONFIG)
    return snapshot


def spoken(port: int, first: str = "") -> bytes:
    """What comes back of `hello`, behind the answer to a first line."""
    with socket.create_connection(("127.0.0.1", port), 10) as connection, connection.makefile("rwb") as file:
        if first:
            file.write(f"{first}\r\nHost: {first.split()[1]}\r\n\r\n".encode())
            file.flush()
            assert b" 200 " in file.readline()
            while file.readline() != b"\r\n":
                pass
        file.write(b"hello\n")
        file.flush()
        return file.readline()


@pytest.fixture
def proxied() -> Iterator[ForwardProxy]:
    with forward_proxy() as found:
        yield found


@contextlib.contextmanager
def sidecar(folder: Path, snapshot: Snapshot) -> Iterator[tuple[Running, int, dict[int, int]]]:
    outbound, binds = free_port(), {number: free_port() for number in PORTS}
    proxy = Proxy(
        namespace="default",
        name="client-1",
        scope=scope_of(Reader(snapshot), namespace="default"),
        outbound_port=outbound,
        upstreams=tuple(DeclaredUpstream("far.example", number, bind) for number, bind in binds.items()),
    )
    with running(folder, snapshot, proxy, IDENTITY) as envoy:
        yield envoy, outbound, binds


def test_declared_upstreams_go_through_the_tunnel(tmp_path: Path, proxied: ForwardProxy) -> None:
    with sidecar(tmp_path, mesh(proxied.port)) as (_, _, binds):
        for number in PORTS:
            assert spoken(binds[number]) == b"HELLO\n"
    assert proxied.asked == [
        (f"CONNECT {TARGET} HTTP/1.1", TARGET),
        ("POST / HTTP/1.1", TARGET),
        ("CONNECT whole.example:1 HTTP/1.1", "whole.example:1"),  # of several destinations no subset's counts
    ]


def test_a_connect_of_the_application_is_passed_on(tmp_path: Path, proxied: ForwardProxy) -> None:
    with sidecar(tmp_path, mesh(proxied.port)) as (envoy, outbound, _):
        assert spoken(outbound, "CONNECT far.example:7777 HTTP/1.1") == b"HELLO\n"
        assert spoken(outbound, "CONNECT far.example:7778 HTTP/1.1") == b"HELLO\n"
        assert proxied.asked == [(f"CONNECT {TARGET} HTTP/1.1", TARGET)] * 2
        rule = CONFIG.split("---")[0].replace("target.example", "moved.example")
        envoy.apply(put(envoy.snapshot, rule))

        def moved() -> bool:
            spoken(outbound, "CONNECT far.example:7777 HTTP/1.1")
            return proxied.asked[-1][1] == "moved.example:7777"

        until(moved, "the tunnel leads elsewhere")


def test_a_gateway_sends_through_the_tunnel(tmp_path: Path, proxied: ForwardProxy) -> None:
    snapshot, port = mesh(proxied.port), free_port()
    scope = scope_of(Reader(snapshot), type=ProxyType.ROUTER, namespace="default")
    proxy = Proxy(namespace="default", name="gw", scope=scope, port_map=((7777, port),))
    with running(tmp_path, snapshot, proxy, IDENTITY):
        assert spoken(port) == b"HELLO\n"
    assert proxied.asked == [(f"CONNECT {TARGET} HTTP/1.1", TARGET)]
