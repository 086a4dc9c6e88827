"""A control plane of one file for the agent's tests: real identities, delta ADS and attendance; resources by hand.

It knows one service a workload, on one HTTP port, and routes by host name. The real server is tested elsewhere.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import grpc
import msgspec
from envoy.config.cluster.v3 import cluster_pb2
from envoy.config.endpoint.v3 import endpoint_pb2
from envoy.config.listener.v3 import listener_pb2
from envoy.config.route.v3 import route_pb2
from envoy.extensions.filters.http.router.v3 import router_pb2  # noqa: F401  parsed by name
from envoy.extensions.filters.network.http_connection_manager.v3 import (  # noqa: F401
    http_connection_manager_pb2,
)
from envoy.extensions.retry.host.previous_hosts.v3 import previous_hosts_pb2  # noqa: F401
from envoy.extensions.transport_sockets.tls.v3 import tls_pb2  # noqa: F401
from envoy.extensions.upstreams.http.v3 import http_protocol_options_pb2  # noqa: F401
from google.protobuf import json_format
from google.protobuf.any_pb2 import Any as AnyMessage

from argosy.identity.attestation import AttestationSocket
from argosy.identity.authority import open_authority
from argosy.identity.proofs import Registration, Tokens, unix_user
from argosy.identity.protocol import AttestResponse
from argosy.identity.service import CertificateAuthorityService, peer_of_call
from argosy.runtime.log import logger
from argosy.runtime.paths import ServerInfo, private_dir, runtime_dir
from argosy.translate.filters import stats
from argosy.xds import registration as wire
from argosy.xds.node import METADATA_KEY, ProxyNode
from argosy.xds.server import AdsService, Peer, Session, StreamSession, server_options
from argosy.xds.stream import Stream
from argosy.xds.types import CLUSTER, ENDPOINT, LISTENER, ROUTE, CachedResource
from argosy.xds.view import View
from argosy.xds.wire import Node, frame

TYPE = "type.googleapis.com/envoy."
ADS = {"ads": {}, "resource_api_version": "V3"}
H2 = {
    "envoy.extensions.upstreams.http.v3.HttpProtocolOptions": {
        "@type": TYPE + "extensions.upstreams.http.v3.HttpProtocolOptions",
        "explicit_http_config": {"http2_protocol_options": {}},
    }
}


def resource(kind: type[Any], type_url: str, name: str, value: dict[str, Any]) -> CachedResource:
    data = json_format.ParseDict(value, kind()).SerializeToString(deterministic=True)
    version = f"{hash(data) & 0xFFFFFFFF:x}"
    return CachedResource(name, version, frame(name, version, AnyMessage(type_url=type_url, value=data)))


def tls(side: str) -> dict[str, Any]:
    context: dict[str, Any] = {
        "@type": f"{TYPE}extensions.transport_sockets.tls.v3.{side}TlsContext",
        "common_tls_context": {
            "tls_params": {
                "tls_minimum_protocol_version": "TLSv1_3",
                "tls_maximum_protocol_version": "TLSv1_3",
            },
            "tls_certificate_sds_secret_configs": [{"name": "default", "sds_config": ADS}],
            "validation_context_sds_secret_config": {"name": "ROOTCA", "sds_config": ADS},
            "alpn_protocols": ["h2"],
        },
    }
    if side == "Downstream":
        context["require_client_certificate"] = True
    return {"name": "tls", "typed_config": context}


def manager(prefix: str, route: dict[str, Any], reporter: stats.Reporter) -> dict[str, Any]:
    logs = [json_format.MessageToDict(log, preserving_proto_field_name=True) for log in stats.http(reporter)]
    return {
        "name": "hcm",
        "typed_config": {
            "@type": f"{TYPE}extensions.filters.network.http_connection_manager.v3.HttpConnectionManager",
            "stat_prefix": prefix,
            "http_filters": [
                {
                    "name": "router",
                    "typed_config": {"@type": f"{TYPE}extensions.filters.http.router.v3.Router"},
                }
            ],
            "access_log": logs,
            **route,
        },
    }


def everything_to(cluster: str) -> dict[str, Any]:
    host = {
        "name": "all",
        "domains": ["*"],
        "routes": [{"match": {"prefix": "/"}, "route": {"cluster": cluster}}],
    }
    return {"route_config": {"virtual_hosts": [host]}}


def listener(name: str, port: int, direction: str, chain: dict[str, Any]) -> CachedResource:
    value = {
        "name": name,
        "address": {"socket_address": {"address": "127.0.0.1", "port_value": port}},
        "traffic_direction": direction,
        "enable_reuse_port": False,
        "filter_chains": [chain],
    }
    return resource(listener_pb2.Listener, LISTENER, name, value)


def inbound(register: wire.Register) -> tuple[list[CachedResource], list[CachedResource]]:
    """(listeners, clusters) of a workload's own ports."""
    listeners, clusters = [], []
    for port in register.ports:
        reporter = stats.Reporter(
            side=stats.Side.DESTINATION, service=host(register.service), port=port.workload
        )
        cluster = f"inbound|{port.workload}||"
        chain = {
            "filters": [manager(f"inbound_{port.workload}", everything_to(cluster), reporter)],
            "transport_socket": tls("Downstream"),
        }
        listeners.append(listener(f"inbound_{port.workload}", port.bind, "INBOUND", chain))
        clusters.append(
            resource(
                cluster_pb2.Cluster,
                CLUSTER,
                cluster,
                {
                    "name": cluster,
                    "type": "STATIC",
                    "connect_timeout": "2s",
                    "load_assignment": assignment(cluster, [("127.0.0.1", port.application, "")]),
                },
            )
        )
    return listeners, clusters


def host(service: str) -> str:
    return f"{service}.default.svc.cluster.local"


def assignment(cluster: str, endpoints: list[tuple[str, int, str]]) -> dict[str, Any]:
    return {
        "cluster_name": cluster,
        "endpoints": [
            {
                "lb_endpoints": [
                    {
                        "endpoint": {"address": {"socket_address": {"address": address, "port_value": port}}},
                        "metadata": {"filter_metadata": {"istio": {"workload": workload}}},
                    }
                    for address, port, workload in endpoints
                ]
            }
        ],
    }


def outbound_cluster(service: str, port: int) -> CachedResource:
    name = f"outbound|{port}||{host(service)}"
    value = {
        "name": name,
        "type": "EDS",
        "connect_timeout": "2s",
        "eds_cluster_config": {"eds_config": ADS},
        "transport_socket": tls("Upstream"),
        "typed_extension_protocol_options": H2,
        "metadata": {"filter_metadata": {"argosy": {"service": host(service)}}},
        "circuit_breakers": {"thresholds": [{"max_retries": 10000}]},
    }
    made = resource(cluster_pb2.Cluster, CLUSTER, name, value)
    return CachedResource(made.name, made.version, made.frame, follow=name)


class ControlPlane:
    """`retries`: whether sidecars repeat what could not reach an endpoint."""

    def __init__(self, state: Path, *, retries: int = 0, ttl: int = 48 * 3600) -> None:
        self.state = private_dir(state)
        self.retries = retries
        self.authority = open_authority(state / "ca", "cluster.local", default_ttl=ttl)
        self.tokens = Tokens()
        self.registers: dict[str, wire.Register] = {}
        self.announced: set[str] = set()
        self.said: list[tuple[str, str]] = []  # (workload, message)
        self.views: dict[str, View] = {}
        self.streams: dict[str, Stream] = {}
        self.nodes: dict[str, ProxyNode] = {}
        self.connected: set[str] = set()
        self.sent = 0
        self.ports = {"ca": 0, "xds": 0}
        self.extra: dict[str, list[CachedResource]] = {}
        self.servers: list[grpc.aio.Server] = []

    # --- life ---

    async def start(self) -> None:
        certificate = self.authority.server_certificate()
        pair = [(certificate.key.encode(), certificate.chain.encode())]
        signing = CertificateAuthorityService(
            self.authority,
            self.tokens,
            lambda: (Registration(name="all", unix_uid=_uid(), service_accounts=("*/*",)),),
        )
        attend = wire.ATTEND.removeprefix("/").partition("/")
        handlers = {
            "ca": (grpc.ssl_server_credentials(pair), [signing.with_token()]),
            "xds": (
                grpc.ssl_server_credentials(pair, self.authority.bundle.encode(), True),
                [
                    signing.with_certificate(),
                    AdsService(self._resolve, logger("test")).handler(),
                    grpc.method_handlers_generic_handler(
                        attend[0], {attend[2]: grpc.stream_stream_rpc_method_handler(self._attend)}
                    ),
                ],
            ),
        }
        for role, (credentials, served) in handlers.items():
            server = grpc.aio.server(options=server_options())
            server.add_generic_rpc_handlers(tuple(served))
            self.ports[role] = server.add_secure_port(f"127.0.0.1:{self.ports[role]}", credentials)
            await server.start()
            self.servers.append(server)
        socket = private_dir(runtime_dir(self.state)) / "attest.sock"
        self.attestation = AttestationSocket(socket, self._attest)
        await self.attestation.start()
        info = ServerInfo(
            pid=1,
            version="0",
            trust_domain="cluster.local",
            roles=(),
            ca=f"127.0.0.1:{self.ports['ca']}",
            xds=f"127.0.0.1:{self.ports['xds']}",
            attest_socket=str(socket),
        )
        (self.state / "server.json").write_bytes(msgspec.json.encode(info))

    async def stop(self) -> None:
        await self.attestation.stop()
        for server in self.servers:
            await server.stop(0)
        self.servers.clear()
        self.connected.clear()

    def _attest(self, uid: int) -> AttestResponse:
        token, expires_at = self.tokens.issue(unix_user(uid))
        return AttestResponse(
            token=token,
            expires_at=expires_at,
            trust_domain="cluster.local",
            bundle=self.authority.bundle,
            ca_address=f"127.0.0.1:{self.ports['ca']}",
            xds_address=f"127.0.0.1:{self.ports['xds']}",
        )

    # --- configuration ---

    async def _resolve(self, node: Node, peer: Peer) -> Session:
        name = node.id.split("~")[2].split(".")[0]
        metadata = json_format.MessageToDict(node.metadata)[METADATA_KEY]
        self.nodes[name] = msgspec.convert(metadata, ProxyNode, strict=False)
        self.views.setdefault(name, View())
        self.compute()
        stream = self.streams[name] = Stream([self.views[name]])

        def gone() -> None:
            self.sent += stream.sent_resources
            if self.streams.get(name) is stream:
                self.connected.discard(name)

        self.connected.add(name)
        return StreamSession(stream, on_disconnected=gone)

    def compute(self) -> None:
        """Everything, for everybody."""
        services = {(r.service, p.workload) for r in self.registers.values() for p in r.ports}
        for name, view in self.views.items():
            node = self.nodes[name]
            listeners, clusters = inbound(self.registers[name]) if name in self.registers else ([], [])
            clusters += [outbound_cluster(*service) for service in sorted(services)]
            if node.outbound_port:
                route = {"rds": {"route_config_name": "http_proxy", "config_source": ADS}}
                chain = {"filters": [manager("outbound_proxy", route, stats.SOURCE)]}
                listeners.append(listener("outbound_proxy", node.outbound_port, "OUTBOUND", chain))
            listeners += self.extra.get(name, [])
            endpoints = [self._endpoints(*service) for service in sorted(services)]
            for type_url, made in (
                (CLUSTER, clusters),
                (ENDPOINT, endpoints),
                (LISTENER, listeners),
                (ROUTE, [self._routes(services)]),
            ):
                view.update(type_url, made, set(view.names(type_url)) - {one.name for one in made})

    def _endpoints(self, service: str, port: int) -> CachedResource:
        name = f"outbound|{port}||{host(service)}"
        found = [
            ("127.0.0.1", p.bind, f"{r.workload};default;{r.service};{r.labels.get('version', '')};")
            for r in sorted(self.registers.values(), key=lambda r: r.workload)
            for p in r.ports
            if r.service == service and p.workload == port and r.workload in self.announced
        ]
        return resource(endpoint_pb2.ClusterLoadAssignment, ENDPOINT, name, assignment(name, found))

    def _routes(self, services: set[tuple[str, int]]) -> CachedResource:
        hosts = []
        for service, port in sorted(services):
            action: dict[str, Any] = {"cluster": f"outbound|{port}||{host(service)}", "timeout": "0s"}
            if self.retries:
                action["retry_policy"] = {
                    "retry_on": "connect-failure,refused-stream,unavailable,cancelled,retriable-status-codes",
                    "retriable_status_codes": [503],
                    "num_retries": self.retries,
                    "retry_host_predicate": [
                        {
                            "name": "previous",
                            "typed_config": {
                                "@type": f"{TYPE}extensions.retry.host.previous_hosts.v3.PreviousHostsPredicate"
                            },
                        }
                    ],
                    "host_selection_retry_max_attempts": 5,
                }
            hosts.append(
                {
                    "name": service,
                    "domains": [f"{service}:{port}", service],
                    "routes": [{"match": {"prefix": "/"}, "route": action}],
                }
            )
        value = {"name": "http_proxy", "virtual_hosts": hosts}
        return resource(route_pb2.RouteConfiguration, ROUTE, "http_proxy", value)

    # --- attendance ---

    async def _attend(
        self, requests: AsyncIterator[bytes], context: grpc.aio.ServicerContext[bytes, bytes]
    ) -> AsyncIterator[bytes]:
        peer = peer_of_call(context).identity
        decoder = msgspec.json.Decoder(wire.AgentMessage)
        async for data in requests:
            message = decoder.decode(data)
            self.said.append((peer.workload, type(message).__name__))
            answer: wire.ServerMessage
            match message:
                case wire.Register():
                    self.registers[peer.workload] = message
                    answer = wire.Registered(entry=f"default/{peer.workload}")
                case wire.Announce():
                    self.announced.add(peer.workload)
                    answer = wire.Announced(acknowledged=1)
                case wire.Withdraw():
                    self.announced.discard(peer.workload)
                    answer = wire.Withdrawn(acknowledged=1)
                case wire.Leave():
                    self.announced.discard(peer.workload)
                    self.registers.pop(peer.workload, None)
                    answer = wire.Left()
            self.compute()
            if isinstance(message, wire.Withdraw):
                await self._settled()
            yield msgspec.json.encode(answer)

    async def _settled(self) -> None:
        """Until everybody has acknowledged the endpoints of now, at most 5 s."""
        import asyncio

        for _ in range(250):
            if all(stream.settled() for name, stream in self.streams.items() if name in self.connected):
                return
            await asyncio.sleep(0.02)


def _uid() -> int:
    import os

    return os.getuid()
