"""Connections that are not HTTP: bytes to one cluster, or to several by weight."""

from __future__ import annotations

from envoy.config.listener.v3 import listener_components_pb2
from envoy.extensions.filters.network.tcp_proxy.v3 import tcp_proxy_pb2
from msgspec import Struct

from argosy.model.ir import Protocol, Tunnel
from argosy.model.metrics import AS_USUAL, Metrics
from argosy.translate import wire
from argosy.translate.filters import access_log, mongo_proxy, stats

NAME = "envoy.filters.network.tcp_proxy"

EARLY_DATA = 64 << 10
"""What a caller may send before the application's connection stands; then it is not read from. Envoy demands a bound
where a connection waits for its handshake."""

Clusters = tuple[tuple[str, int], ...]
"""Clusters with their weights, as configured."""


class PerConnection(Struct, frozen=True, kw_only=True):
    """What a DestinationRule says of one connection. Times in milliseconds; None is none."""

    idle_timeout: int | None = None
    duration: int | None = None
    hash_source_ip: bool = False  # consistent hashing: the client's address chooses the endpoint
    tunnel: Tunnel | None = None


AS_IT_COMES = PerConnection()


class TcpProxy(Struct, frozen=True, kw_only=True):
    stat_prefix: str
    clusters: Clusters
    reporter: stats.Reporter
    connections: PerConnection = AS_IT_COMES
    logs: tuple[access_log.Log, ...] = ()
    metrics: Metrics = AS_USUAL


def network_filters(key: TcpProxy, protocol: Protocol) -> list[listener_components_pb2.Filter]:
    """With what understands the protocol of the port."""
    return [*mongo_proxy.network_filters(protocol, key.stat_prefix), network_filter(key)]


def network_filter(key: TcpProxy) -> listener_components_pb2.Filter:
    out = tcp_proxy_pb2.TcpProxy(
        stat_prefix=key.stat_prefix,
        access_log=[
            *stats.tcp(key.reporter, key.metrics),
            *access_log.loggers(key.logs, access_log.Layer.TCP),
        ],
    )
    out.access_log_options.flush_access_log_on_connected = True
    if key.reporter.side is stats.Side.DESTINATION:
        # The application sees a connection only once its caller is verified, and the metrics know who it is. Without
        # TLS the connection is made at once.
        out.upstream_connect_mode = tcp_proxy_pb2.ON_DOWNSTREAM_TLS_HANDSHAKE
        out.max_early_data_bytes.value = EARLY_DATA
    if len(key.clusters) == 1:
        out.cluster = key.clusters[0][0]
    else:
        for name, weight in key.clusters:
            out.weighted_clusters.clusters.add(name=name, weight=weight)
    if key.connections.idle_timeout is not None:
        out.idle_timeout.CopyFrom(wire.milliseconds(key.connections.idle_timeout))
    if key.connections.duration is not None:
        out.max_downstream_connection_duration.CopyFrom(wire.milliseconds(key.connections.duration))
    if key.connections.hash_source_ip:
        out.hash_policy.add().source_ip.SetInParent()
    if (tunnel := key.connections.tunnel) is not None:
        out.tunneling_config.hostname = tunnel.authority
        out.tunneling_config.use_post = tunnel.post
    return listener_components_pb2.Filter(name=NAME, typed_config=wire.pack(out))
