"""Ports that speak MongoDB's or Redis' protocol, with a real Envoy: operations of the one are counted, and its bytes go
on; the other has its filter where an EnvoyFilter says so."""

from __future__ import annotations

import socket
import struct
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from argosy.model import ir
from argosy.model.ir import Protocol
from argosy.model.reader import Reader
from argosy.model.scope import Interception, Scope, scope_of
from argosy.model.snapshot import Snapshot
from argosy.translate.dump import dump
from argosy.translate.proxy import DeclaredUpstream, Proxy
from tests.e2e.mesh import until
from tests.e2e.translate_envoy import running, validate
from tests.ports import free_port
from tests.unit.translate.mesh import SUFFIX, put, service

pytestmark = pytest.mark.e2e

EMPTY_DOCUMENT = struct.pack("<i", 5) + b"\0"
BODY = struct.pack("<i", 0) + b"shop.orders\0" + struct.pack("<ii", 0, 1) + EMPTY_DOCUMENT
QUERY = struct.pack("<iiii", 16 + len(BODY), 1, 0, 2004) + BODY
"""OP_QUERY of the collection shop.orders."""


@pytest.fixture
def database() -> Iterator[int]:
    """Sends back what it gets."""

    def serve(listener: socket.socket) -> None:
        while True:
            try:
                connection, _ = listener.accept()
            except OSError:
                return
            with connection:
                while data := connection.recv(4096):
                    connection.sendall(data)

    with socket.create_server(("127.0.0.1", 0)) as listener:
        threading.Thread(target=serve, args=(listener,), daemon=True).start()
        yield int(listener.getsockname()[1])


def exchanged(port: int, sent: bytes) -> bytes:
    with socket.create_connection(("127.0.0.1", port), 10) as connection:
        connection.sendall(sent)
        got = b""
        while len(got) < len(sent):
            data = connection.recv(4096)
            assert data, "the connection was closed"
            got += data
        return got


def test_operations_are_counted_and_the_bytes_go_on(tmp_path: Path, database: int) -> None:
    snapshot = Snapshot()
    snapshot.put_service(service("orders", (27017, Protocol.MONGO), (6379, Protocol.REDIS)))
    snapshot.put_endpoints(
        f"orders.{SUFFIX}",
        tuple(
            ir.Endpoint(address="127.0.0.1", port=database, port_name=f"p{number}")
            for number in (27017, 6379)
        ),
    )
    mongo, redis = free_port(), free_port()
    proxy = Proxy(
        namespace="default",
        name="client-1",
        scope=scope_of(Reader(snapshot), namespace="default"),
        outbound_port=free_port(),
        upstreams=(DeclaredUpstream("orders", 27017, mongo), DeclaredUpstream("orders", 6379, redis)),
    )
    with running(tmp_path, snapshot, proxy, "spiffe://cluster.local/ns/default/sa/client") as envoy:
        assert exchanged(mongo, QUERY) == QUERY
        until(lambda: "mongo.upstream_orders_27017.op_query: 2" in envoy.stats("op_query"), "it is counted")
        for port in (mongo, redis):
            assert exchanged(port, b"what is no such operation") == b"what is no such operation"
        assert "mongo.upstream_orders_6379" not in envoy.stats("mongo")


REDIS = """
apiVersion: networking.istio.io/v1alpha3
kind: EnvoyFilter
metadata: {name: redis, namespace: default}
spec:
  configPatches:
  - applyTo: NETWORK_FILTER
    match:
      context: SIDECAR_OUTBOUND
      listener: {name: 10.0.0.9_6379, filterChain: {filter: {name: envoy.filters.network.tcp_proxy}}}
    patch:
      operation: REPLACE
      value:
        name: envoy.filters.network.redis_proxy
        typed_config:
          "@type": type.googleapis.com/envoy.extensions.filters.network.redis_proxy.v3.RedisProxy
          stat_prefix: cache
          settings: {op_timeout: 5s}
          prefix_routes: {catch_all_route: {cluster: outbound|6379||cache.default.svc.cluster.local}}
"""


def test_an_envoy_filter_puts_the_redis_filter_there(tmp_path: Path) -> None:
    snapshot = Snapshot()
    snapshot.put_service(service("cache", (6379, Protocol.REDIS), addresses=("10.0.0.9",)))
    put(snapshot, REDIS)
    scope = Scope(interception=Interception.REDIRECT, namespace="default")
    found = dump(snapshot, Proxy(namespace="default", name="a", scope=scope, outbound_port=15001))
    (listener,) = (one for one in found["listeners"] if one["name"] == "10.0.0.9_6379")
    (chain,) = listener["filter_chains"]
    assert [one["name"] for one in chain["filters"]] == ["envoy.filters.network.redis_proxy"]
    validate(found, tmp_path)
