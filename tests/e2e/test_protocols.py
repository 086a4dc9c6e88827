"""gRPC, WebSocket and TCP through the mesh, by proxy variables (CONNECT) and by declared upstreams."""

from __future__ import annotations

import re
import socket

import grpc
import pytest

from tests.e2e.mesh import Client, Mesh, until

pytestmark = pytest.mark.e2e


@pytest.fixture(scope="module")
def client(shared_mesh: Mesh) -> Client:
    shared_mesh.echo("inventory", protocol="grpc", port=9090)
    shared_mesh.echo("store", protocol="tcp", port=5000)
    shared_mesh.echo("chat")
    shared_mesh.announced("inventory", "store", "chat")
    return shared_mesh.client(
        "client", "--upstream=inventory:9090", "--upstream=store:5000", "--upstream=chat:9080"
    )


@pytest.fixture(scope="module")
def mesh(shared_mesh: Mesh) -> Mesh:
    return shared_mesh


def local(client: Client, upstream: str) -> int:
    """The local port of a declared upstream, as `argosy run` says it."""
    found = until(
        lambda: re.search(rf"{re.escape(upstream)}\S*\s.*?127\.0\.0\.1:(\d+)", client.run.output()),
        f"{upstream} is named",
    )
    return int(found[1])


def unary(target: str, options: list[tuple[str, object]]) -> bytes:
    with grpc.insecure_channel(target, options=options) as channel:
        call = channel.unary_unary("/test.Echo/Unary", lambda sent: sent, lambda got: got)
        answer: bytes = call(b"hello", timeout=15, wait_for_ready=True)
        return answer


def test_grpc_by_the_proxy_variable(client: Client) -> None:
    assert (
        unary("dns:///inventory:9090", [("grpc.http_proxy", f"http://127.0.0.1:{client.port}")]) == b"hello"
    )


def test_grpc_by_a_declared_upstream(client: Client) -> None:
    assert unary(f"127.0.0.1:{local(client, 'inventory:9090')}", [("grpc.enable_http_proxy", 0)]) == b"hello"


def test_grpc_streams_both_ways(client: Client) -> None:
    with grpc.insecure_channel(
        f"127.0.0.1:{local(client, 'inventory:9090')}", options=[("grpc.enable_http_proxy", 0)]
    ) as channel:
        call = channel.stream_stream("/test.Echo/Stream", lambda sent: sent, lambda got: got)
        assert list(call(iter([b"1", b"2", b"3"]), timeout=15)) == [b"1", b"2", b"3"]


def connect(client: Client, target: str) -> socket.socket:
    """A tunnel as clients open it that honour the proxy variables."""
    tunnel = socket.create_connection(("127.0.0.1", client.port), 15)
    tunnel.sendall(f"CONNECT {target} HTTP/1.1\r\nHost: {target}\r\n\r\n".encode())
    answer = b""
    while not answer.endswith(b"\r\n\r\n"):
        answer += tunnel.recv(1)
    assert b" 200 " in answer, answer
    return tunnel


def websocket(connection: socket.socket) -> None:
    connection.sendall(
        b"GET /ws HTTP/1.1\r\nHost: chat:9080\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
        b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n"
    )
    head = b""
    while not head.endswith(b"\r\n\r\n"):
        head += connection.recv(1)
    assert b" 101 " in head.splitlines()[0]
    connection.sendall(b"ping over the mesh")
    assert connection.recv(100) == b"ping over the mesh"


def test_websocket_through_connect(client: Client) -> None:
    with connect(client, "chat:9080") as tunnel:
        websocket(tunnel)


def test_websocket_by_a_declared_upstream(client: Client) -> None:
    with socket.create_connection(("127.0.0.1", local(client, "chat:9080")), 15) as connection:
        websocket(connection)


def test_tcp_through_connect(client: Client) -> None:
    with connect(client, "store:5000") as tunnel:
        tunnel.sendall(b"raw bytes")
        assert tunnel.recv(100) == b"raw bytes"


def test_tcp_by_a_declared_upstream(client: Client) -> None:
    with socket.create_connection(("127.0.0.1", local(client, "store:5000")), 15) as connection:
        connection.sendall(b"raw bytes")
        assert connection.recv(100) == b"raw bytes"
