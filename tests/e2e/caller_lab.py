"""Applications that answer with what they got, byte for byte, and clients that say what no honest client says."""

from __future__ import annotations

import contextlib
import json
import socket
import socketserver
import ssl
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import grpc
import h2.config
import h2.connection
import h2.events

from argosy.translate.caller import CERTIFICATE, HEADER
from tests.e2e.translate_envoy import Authority

LIE = "spiffe://cluster.local/ns/istio-system/sa/admin"
FORGED = (
    (HEADER, LIE),
    (HEADER, LIE),
    ("X-Argosy-Caller", LIE),
    ("x_argosy_caller", LIE),
    ("X_Argosy-Caller", LIE),
    ("x-argosy_caller", LIE),
    ("x.argosy.caller", LIE),
    (CERTIFICATE, f"URI={LIE}"),
    ("X-Forwarded-Client-Cert", f"By=x;URI={LIE}"),
    ("x_forwarded_client_cert", f"URI={LIE}"),
    ("X-Forwarded_Client-Cert", f"URI={LIE}"),
    ("x-forwarded-client_cert", f"URI={LIE}"),
    ("x-forwarded.client!cert", f"URI={LIE}"),
)
"""Names that an application may take for one that tells it who calls."""


class _Application(socketserver.StreamRequestHandler):
    def handle(self) -> None:
        while True:
            head = b""
            while not head.endswith(b"\r\n\r\n"):
                line = self.rfile.readline()
                if not line:
                    return
                head += line
            self.wfile.write(b"HTTP/1.1 200 OK\r\ncontent-length: %d\r\n\r\n" % len(head) + head)


class _Server(socketserver.ThreadingTCPServer):
    daemon_threads = True
    allow_reuse_address = True


@contextlib.contextmanager
def heads() -> Iterator[int]:
    """The port of an application over HTTP/1.1 that answers each request (without a body) with its head, as it came."""
    with _Server(("127.0.0.1", 0), _Application) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        try:
            yield int(server.server_address[1])
        finally:
            server.shutdown()


@contextlib.contextmanager
def metadata() -> Iterator[int]:
    """The port of a gRPC application (HTTP/2) that answers `/test.Echo/Unary` with its metadata, as JSON."""

    def answer(_: bytes, context: grpc.ServicerContext) -> bytes:
        return json.dumps([(key, str(value)) for key, value in context.invocation_metadata()]).encode()

    server = grpc.server(ThreadPoolExecutor(4))
    handler = grpc.unary_unary_rpc_method_handler(answer)
    server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler("test.Echo", {"Unary": handler}),))
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    try:
        yield port
    finally:
        server.stop(0)


@dataclass(frozen=True)
class Got:
    """What came to an application (or the status of who refused it before)."""

    headers: tuple[tuple[str, str], ...] = ()
    status: int = 200

    @property
    def callers(self) -> list[str]:
        return [value for name, value in self.headers if name == HEADER]

    @property
    def certificates(self) -> list[str]:
        return [value for name, value in self.headers if name == CERTIFICATE]

    @property
    def text(self) -> str:
        return repr(self.headers)


def got(head: bytes) -> Got:
    lines = head.decode("latin-1").strip().split("\r\n")[1:]
    pairs = (line.partition(":") for line in lines)
    return Got(tuple((name.lower(), value.strip()) for name, _, value in pairs))


def context(folder: Path, authority: Authority, identity: str, *alpn: str) -> ssl.SSLContext:
    """Of a client that has a certificate and leaves its sidecar out."""
    chain, key = authority.issue(identity, "v1.client.client-v1.default.workload.mesh")
    file = folder / "caller.pem"
    file.write_bytes(chain + key)
    made = ssl.create_default_context(cadata=authority.pem().decode())
    made.check_hostname = False
    made.load_cert_chain(file)
    made.set_alpn_protocols(list(alpn))
    return made


def http1(
    port: int,
    tls: ssl.SSLContext | None = None,
    target: str = "/",
    host: str = "reviews:9080",
    lines: tuple[str, ...] | None = None,
    server_name: str = "",
) -> Got:
    """One request whose head is written by hand: `lines` after the host, the forged ones where none are given."""
    if lines is None:
        lines = tuple(f"{name}: {value}" for name, value in FORGED)
    with contextlib.ExitStack() as stack:
        plain = stack.enter_context(socket.create_connection(("127.0.0.1", port), 20))
        connection = (
            plain
            if tls is None
            else stack.enter_context(tls.wrap_socket(plain, server_hostname=server_name or None))
        )
        head = "\r\n".join((f"GET {target} HTTP/1.1", f"host: {host}", *lines))
        connection.sendall(head.encode() + b"\r\nconnection: close\r\n\r\n")
        with connection.makefile("rb") as file:
            answer = file.read()
    before, _, body = answer.partition(b"\r\n\r\n")
    status = int(before.split()[1]) if before else 0
    return got(body) if status == 200 else Got(status=status)


def http2(
    port: int,
    tls: ssl.SSLContext | None = None,
    authority: str = "reviews:9080",
    forged: tuple[tuple[str, str], ...] = FORGED,
    server_name: str = "",
) -> Got:
    """One request over HTTP/2 with the forged headers, as they are (in lower case, as HTTP/2 demands)."""
    config = h2.config.H2Configuration(header_encoding="utf-8", validate_outbound_headers=False)
    machine = h2.connection.H2Connection(config)
    with contextlib.ExitStack() as stack:
        plain = stack.enter_context(socket.create_connection(("127.0.0.1", port), 20))
        connection = (
            plain
            if tls is None
            else stack.enter_context(tls.wrap_socket(plain, server_hostname=server_name or None))
        )
        machine.initiate_connection()
        pseudo = [(":method", "GET"), (":scheme", "http"), (":authority", authority), (":path", "/")]
        machine.send_headers(1, [*pseudo, *((name.lower(), value) for name, value in forged)], True)
        connection.sendall(machine.data_to_send())
        status, body = 0, b""
        while data := connection.recv(65536):
            for event in machine.receive_data(data):
                if isinstance(event, h2.events.ResponseReceived):
                    status = next(
                        int(value) for name, value in event.headers if name in (":status", b":status")
                    )
                elif isinstance(event, h2.events.DataReceived):
                    body += event.data
                elif isinstance(event, h2.events.StreamEnded):
                    return got(body) if status == 200 else Got(status=status)
                elif isinstance(event, h2.events.StreamReset | h2.events.ConnectionTerminated):
                    return Got(status=0)
            connection.sendall(machine.data_to_send())
    return Got(status=0)


def rpc(target: str, proxy: str = "") -> Got:
    """A gRPC call with the forged metadata that a gRPC client lets its user write."""
    options = [("grpc.http_proxy", proxy)] if proxy else [("grpc.enable_http_proxy", 0)]
    with grpc.insecure_channel(target, options=options) as channel:
        call = channel.unary_unary("/test.Echo/Unary", bytes, bytes)
        forged = tuple((name.lower(), value) for name, value in FORGED if "!" not in name)
        answer = call(b"", timeout=20, wait_for_ready=True, metadata=forged)
    return Got(tuple((str(name), str(value)) for name, value in json.loads(answer)))
