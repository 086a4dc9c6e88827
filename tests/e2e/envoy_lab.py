"""A real Envoy under a hand-made delta ADS server on a Unix socket: what the machines of `xds/` must live with.

Resources are made by hand, as small as Envoy accepts them; every request and response is noted in order, as
`Cluster ask a b`, `Cluster send a b -c`, `Cluster ack`, `Cluster nack`.
"""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import json
import subprocess
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import envoy
import grpc
import httpx
import structlog
from envoy.config.cluster.v3 import cluster_pb2
from envoy.config.core.v3 import extension_pb2
from envoy.config.endpoint.v3 import endpoint_pb2
from envoy.config.listener.v3 import listener_pb2
from envoy.config.route.v3 import route_pb2
from envoy.extensions.filters.http.fault.v3 import fault_pb2
from envoy.extensions.filters.http.router.v3 import router_pb2
from envoy.extensions.filters.network.http_connection_manager.v3 import http_connection_manager_pb2
from envoy.extensions.filters.network.tcp_proxy.v3 import tcp_proxy_pb2
from envoy.extensions.transport_sockets.tls.v3 import secret_pb2, tls_pb2
from google.protobuf.any_pb2 import Any as AnyMessage
from google.protobuf.json_format import ParseDict

from argosy.xds import wire
from argosy.xds.server import AdsService, Peer, Resolve, Session, StreamSession, server_options
from argosy.xds.stream import Stream
from argosy.xds.types import CLUSTER, ENDPOINT, EXTENSION, LISTENER, ROUTE, CachedResource, short
from argosy.xds.view import View

LINKED = (
    cluster_pb2, extension_pb2, endpoint_pb2, listener_pb2, route_pb2, fault_pb2, router_pb2,
    http_connection_manager_pb2, secret_pb2, tcp_proxy_pb2, tls_pb2,
)  # fmt: skip
"""Types that `ParseDict` must know by name."""

ENVOY = next(path for folder in envoy.__path__ if (path := Path(folder) / "_bin" / "envoy").exists())
EXT = "type.googleapis.com/envoy.extensions."
HTTP_MANAGER = EXT + "filters.network.http_connection_manager.v3.HttpConnectionManager"
ADS: dict[str, Any] = {"ads": {}, "resource_api_version": "V3"}


def resource(type_url: str, name: str, body: dict[str, Any], follow: str | None = None) -> CachedResource:
    """A resource whose version is the hash of its bytes, as the translator makes them."""
    packed = ParseDict({"@type": type_url, **body}, AnyMessage())
    version = hashlib.sha256(packed.value).hexdigest()[:12]
    return CachedResource(name, version, wire.frame(name, version, packed), follow)


def cluster(name: str, timeout: str = "1s", **more: Any) -> CachedResource:
    body = {
        "name": name,
        "type": "EDS",
        "connect_timeout": timeout,
        "eds_cluster_config": {"eds_config": ADS},
    }
    return resource(CLUSTER, name, {**body, **more}, follow=name)


def endpoints(name: str, *ports: int) -> CachedResource:
    hosts = [
        {"endpoint": {"address": {"socket_address": {"address": "127.0.0.1", "port_value": port}}}}
        for port in ports
    ]
    return resource(
        ENDPOINT, name, {"cluster_name": name, "endpoints": [{"lb_endpoints": hosts}] if hosts else []}
    )


def listener(name: str, port: int, route_name: str, extension: str = "", **more: Any) -> CachedResource:
    filters: list[dict[str, Any]] = [
        {"name": "router", "typed_config": {"@type": EXT + "filters.http.router.v3.Router"}}
    ]
    if extension:
        discovery = {"config_source": ADS, "type_urls": [EXT + "filters.http.fault.v3.HTTPFault"]}
        filters.insert(0, {"name": extension, "config_discovery": discovery})
    manager = {
        "@type": HTTP_MANAGER,
        "stat_prefix": name,
        "rds": {"config_source": ADS, "route_config_name": route_name},
        "http_filters": filters,
    }
    body = {
        "name": name,
        "enable_reuse_port": False,
        "address": {"socket_address": {"address": "127.0.0.1", "port_value": port}},
        "filter_chains": [{"filters": [{"name": "http", "typed_config": manager}]}],
    }
    return resource(LISTENER, name, {**body, **more})


def route(name: str, to: str) -> CachedResource:
    rule = {"match": {"prefix": "/"}, "route": {"cluster": to}}
    return resource(
        ROUTE, name, {"name": name, "virtual_hosts": [{"name": "all", "domains": ["*"], "routes": [rule]}]}
    )


def fault(name: str, status: int, percent: int = 100) -> CachedResource:
    abort = {"http_status": status, "percentage": {"numerator": percent}}
    config = {"@type": EXT + "filters.http.fault.v3.HTTPFault", "abort": abort}
    return resource(EXTENSION, name, {"name": name, "typed_config": config})


def tls(secret: str) -> dict[str, Any]:
    context = {
        "@type": EXT + "transport_sockets.tls.v3.UpstreamTlsContext",
        "common_tls_context": {"tls_certificate_sds_secret_configs": [{"name": secret, "sds_config": ADS}]},
    }
    return {"transport_socket": {"name": "envoy.transport_sockets.tls", "typed_config": context}}


@dataclass
class Lab:
    """One Envoy, one server with one view; `said` is what passed between them."""

    folder: Path
    view: View = field(default_factory=View)
    said: list[str] = field(default_factory=list)
    streams: list[Stream] = field(default_factory=list)
    hold: float = 10.0
    _server: grpc.aio.Server | None = None
    _envoy: subprocess.Popen[bytes] | None = None

    @property
    def server_socket(self) -> Path:
        return self.folder / "ads.sock"

    @property
    def stream(self) -> Stream:
        return self.streams[-1]

    async def serve(self) -> None:
        """Starts the server (again)."""

        async def resolve(node: wire.Node, peer: Peer) -> Session:
            self.streams.append(Stream([self.view], hold=self.hold))
            return Noting(StreamSession(self.streams[-1]), self.said)

        self._server = await ads_server(self.server_socket, resolve)

    async def stop_serving(self) -> None:
        if self._server is not None:
            await self._server.stop(None)
            self._server = None

    def start_envoy(self, log_level: str = "warning") -> None:
        bootstrap = {
            "admin": {"address": {"pipe": {"path": f"{self.folder}/admin.sock"}}},
            "node": {"id": "lab", "cluster": "lab"},
            "dynamic_resources": {
                "ads_config": {
                    "api_type": "DELTA_GRPC",
                    "transport_api_version": "V3",
                    "grpc_services": [{"envoy_grpc": {"cluster_name": "ads"}}],
                },
                "cds_config": ADS,
                "lds_config": ADS,
            },
            "static_resources": {
                "clusters": [
                    {
                        "name": "ads",
                        "type": "STATIC",
                        "connect_timeout": "1s",
                        "typed_extension_protocol_options": {
                            "envoy.extensions.upstreams.http.v3.HttpProtocolOptions": {
                                "@type": EXT + "upstreams.http.v3.HttpProtocolOptions",
                                "explicit_http_config": {"http2_protocol_options": {}},
                            }
                        },
                        "load_assignment": {
                            "cluster_name": "ads",
                            "endpoints": [
                                {
                                    "lb_endpoints": [
                                        {
                                            "endpoint": {
                                                "address": {"pipe": {"path": f"{self.folder}/ads.sock"}}
                                            }
                                        }
                                    ]
                                }
                            ],
                        },
                    }
                ]
            },
        }
        path = self.folder / "bootstrap.json"
        path.write_text(json.dumps(bootstrap))
        with (self.folder / "envoy.log").open("ab") as log:
            self._envoy = subprocess.Popen(
                [ENVOY, "-c", path, "--disable-hot-restart", "--concurrency", "1", "-l", log_level],
                stdout=log,
                stderr=log,
            )

    async def stop_envoy(self) -> None:
        if self._envoy is not None:
            self._envoy.kill()
            await asyncio.to_thread(self._envoy.wait)
            self._envoy = None

    async def admin(self, path: str) -> str:
        transport = httpx.AsyncHTTPTransport(uds=f"{self.folder}/admin.sock")
        async with httpx.AsyncClient(transport=transport, base_url="http://envoy") as client:
            return (await client.get(path)).text

    async def until(self, condition: Callable[[], Any], what: str, timeout: float = 30) -> Any:
        """Waits for a condition (a plain or an async function); its exceptions count as not yet."""
        loop = asyncio.get_running_loop()
        deadline = loop.time() + timeout
        last: object = None
        while loop.time() < deadline:
            try:
                result = condition()
                if asyncio.iscoroutine(result):
                    result = await result
                if result:
                    return result
                last = result
            except Exception as error:
                last = error
            await asyncio.sleep(0.02)
        log = (self.folder / "envoy.log").read_text(errors="replace")[-3000:]
        raise AssertionError(
            f"{what}: not within {timeout} s; last {last!r}\n" + "\n".join(self.said) + f"\n{log}"
        )

    async def stat(self, name: str) -> int:
        """The value of one counter or gauge; 0 where it is not there."""
        text = await self.admin(f"/stats?filter=^{name}$")
        return int(text.split(": ")[1]) if text.strip() else 0

    async def get(self, port: int, path: str = "/") -> httpx.Response:
        async with httpx.AsyncClient() as client:
            return await client.get(f"http://127.0.0.1:{port}{path}")


async def ads_server(socket: Path, resolve: Resolve) -> grpc.aio.Server:
    server = grpc.aio.server(options=server_options())
    server.add_generic_rpc_handlers((AdsService(resolve, structlog.get_logger()).handler(),))
    server.add_insecure_port(f"unix:{socket}")
    await server.start()
    return server


class Noting:
    """A Session that notes in `said` what passes through another."""

    def __init__(self, session: Session, said: list[str]) -> None:
        self._session = session
        self._said = said

    @property
    def deadline(self) -> float | None:
        return self._session.deadline

    def connected(self, wake: Callable[[], None]) -> None:
        self._session.connected(wake)

    def on_request(self, request: wire.Request, now: float) -> None:
        kind = short(request.type_url)
        if request.response_nonce:
            self._said.append(f"{kind} {'nack' if request.HasField('error_detail') else 'ack'}")
        names = [
            *request.resource_names_subscribe,
            *(f"-{name}" for name in request.resource_names_unsubscribe),
        ]
        versions = (
            f" with {len(request.initial_resource_versions)}" if request.initial_resource_versions else ""
        )
        if names or not request.response_nonce:
            self._said.append(" ".join([kind, "ask", *sorted(names)]) + versions)
        self._session.on_request(request, now)

    @property
    def may_owe(self) -> bool:
        return self._session.may_owe

    def next_response(self, now: float) -> wire.Response | None:
        response = self._session.next_response(now)
        if response is not None:
            names = [one.name for one in response.resources] + [f"-{name}" for name in response.removed]
            self._said.append(" ".join([short(response.type_url), "send", *sorted(names)]))
        return response

    def disconnected(self) -> None:
        self._session.disconnected()


async def answers(lab: Lab, port: int, status: int, timeout: float = 20) -> None:
    async def same() -> bool:
        return (await lab.get(port)).status_code == status

    await lab.until(same, f"port {port} answers {status}", timeout)


async def settled(lab: Lab) -> None:
    await lab.until(lambda: lab.stream.settled(), "everything acknowledged")


def order(said: list[str], *wanted: str) -> None:
    """The lines stand in this order (others may be between them)."""
    rest = iter(said)
    for line in wanted:
        assert any(one == line for one in rest), f"{line!r} is missing or out of order:\n" + "\n".join(said)


async def has_host(lab: Lab, name: str, port: int) -> bool:
    return f"{name}::127.0.0.1:{port}::" in await lab.admin("/clusters")


@asynccontextmanager
async def answering(body: str) -> AsyncIterator[int]:
    """The port of a server that answers 200 with the body, and closes the connection."""
    head = f"HTTP/1.1 200 OK\r\ncontent-length: {len(body)}\r\nconnection: close\r\n\r\n"

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(asyncio.IncompleteReadError, ConnectionError):
            await reader.readuntil(b"\r\n\r\n")
            writer.write((head + body).encode())
            await writer.drain()
        writer.close()

    server = await asyncio.start_server(answer, "127.0.0.1", 0)
    async with server:
        yield int(server.sockets[0].getsockname()[1])


@asynccontextmanager
async def running_lab(folder: Path) -> AsyncIterator[Lab]:
    lab = Lab(folder)
    await lab.serve()
    try:
        yield lab
    finally:
        await lab.stop_envoy()
        with contextlib.suppress(Exception):
            await lab.stop_serving()
