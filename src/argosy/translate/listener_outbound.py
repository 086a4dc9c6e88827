"""Listeners for what a workload sends.

Explicit: `outbound_proxy` (the application's HTTP proxy), the internal listener behind its CONNECT, and one a declared
upstream. Redirect: `virtualOutbound`, and one that does not bind for each port or virtual address.
"""

from __future__ import annotations

from collections.abc import Iterable

from envoy.config.listener.v3 import listener_components_pb2, listener_pb2
from msgspec import Struct
from msgspec.structs import replace

from argosy.model.ir import Protocol
from argosy.translate import connection_manager, names, options, wire
from argosy.translate.connection_manager import ConnectionManager, Place
from argosy.translate.filters import forward_proxy, listener, stats, tcp_proxy
from argosy.translate.filters.order import Resolving
from argosy.translate.generator import generator
from argosy.translate.http_or_tcp import Handling

VIRTUAL_OUTBOUND_PORT = 15001
LOOPBACK = "127.0.0.1"
WILDCARD = "0.0.0.0"  # noqa: S104  the name of a listener that does not bind


class OutboundProxyKey(Struct, frozen=True, kw_only=True):
    """The application's HTTP proxy."""

    port: int
    own_addresses: tuple[str, ...] = ()
    options: options.Options = options.NONE
    parted: bool = False

    @property
    def name(self) -> str:
        return names.OUTBOUND_PROXY


@generator
def outbound_proxy(key: OutboundProxyKey) -> listener_pb2.Listener:
    manager = ConnectionManager(
        place=Place.OUTBOUND_PROXY,
        route=names.HTTP_PROXY,
        stat_prefix=names.OUTBOUND_PROXY,
        own_addresses=key.own_addresses,
        options=key.options,
        parted=key.parted,
    )
    return bound(key.name, key.port, [connection_manager.network_filter(manager)], key.options)


class ConnectHttpKey(Struct, frozen=True, kw_only=True):
    """What comes out of a CONNECT to an HTTP port: the same routes."""

    own_addresses: tuple[str, ...] = ()
    options: options.Options = options.NONE
    parted: bool = False

    @property
    def name(self) -> str:
        return names.CONNECT_HTTP


@generator
def connect_http(key: ConnectHttpKey) -> listener_pb2.Listener:
    manager = ConnectionManager(
        place=Place.TUNNEL,
        route=names.HTTP_PROXY,
        stat_prefix=names.CONNECT_HTTP,
        own_addresses=key.own_addresses,
        options=key.options,
        parted=key.parted,
    )
    out = listener_pb2.Listener(
        name=key.name,
        traffic_direction=wire.OUTBOUND,
        filter_chains=[
            listener_components_pb2.FilterChain(filters=[connection_manager.network_filter(manager)])
        ],
    )
    out.internal_listener.SetInParent()
    return out


class UpstreamListenerKey(Struct, frozen=True, kw_only=True):
    """A declared upstream. `clusters` is for TCP; HTTP has its own RouteConfiguration."""

    host: str  # as declared
    port: int
    bind: int
    handling: Handling
    protocol: Protocol = Protocol.TCP
    clusters: tcp_proxy.Clusters = ()
    connections: tcp_proxy.PerConnection = tcp_proxy.AS_IT_COMES
    options: options.Options = options.NONE

    @property
    def name(self) -> str:
        return names.upstream_listener(self.host, self.port)


@generator
def upstream_listener(key: UpstreamListenerKey) -> listener_pb2.Listener:
    if key.handling is Handling.HTTP:
        route = names.upstream_route(key.host, key.port)
        manager = ConnectionManager(
            place=Place.OUTBOUND,
            route=route,
            stat_prefix=f"upstream_{key.host}_{key.port}",
            options=key.options,
        )
        return bound(key.name, key.bind, [connection_manager.network_filter(manager)], key.options)
    proxy = tcp_proxy.TcpProxy(
        stat_prefix=f"upstream_{key.host}_{key.port}",
        clusters=key.clusters,
        reporter=stats.SOURCE,
        connections=key.connections,
        logs=key.options.logs,
        metrics=key.options.metrics,
    )
    return bound(key.name, key.bind, tcp_proxy.network_filters(proxy, key.protocol), key.options)


class VirtualOutboundKey(Struct, frozen=True, kw_only=True):
    cluster: str  # of what no other listener takes: passthrough or black hole
    options: options.Options = options.NONE

    @property
    def name(self) -> str:
        return names.VIRTUAL_OUTBOUND


@generator
def virtual_outbound(key: VirtualOutboundKey) -> listener_pb2.Listener:
    proxy = tcp_proxy.TcpProxy(
        stat_prefix=key.cluster,
        clusters=((key.cluster, 1),),
        reporter=stats.SOURCE,
        logs=key.options.logs,
        metrics=key.options.metrics,
    )
    out = listener_pb2.Listener(
        name=key.name,
        address=wire.address(WILDCARD, VIRTUAL_OUTBOUND_PORT),
        traffic_direction=wire.OUTBOUND,
        enable_reuse_port=wire.false(),
        use_original_dst=wire.true(),
        filter_chains=[
            listener_components_pb2.FilterChain(
                name="virtualOutbound-catchall-tcp", filters=[tcp_proxy.network_filter(proxy)]
            )
        ],
    )
    options.buffer(key.options.proxy.connections, out)
    return out


class Chain(Struct, frozen=True, kw_only=True):
    """Connections that are told apart from the others of their port: by the name in their TLS hello, by the address
    that they are for, by the one that they come from (of each ANY). Of the chains with the narrowest block alone one is
    chosen, by name, then by where it comes from."""

    server_names: tuple[str, ...] = ()
    blocks: tuple[str, ...] = ()  # CIDR
    sources: tuple[str, ...] = ()  # the same of where it comes from: of the chains of the narrowest block
    clusters: tcp_proxy.Clusters
    connections: tcp_proxy.PerConnection = tcp_proxy.AS_IT_COMES
    detect: bool = False  # HTTP goes by the routes of the port
    protocol: Protocol = Protocol.TCP  # of the port
    looked_up: int = 0  # at which port the name in the TLS hello is looked up; 0: it is not


class CapturedListenerKey(Struct, frozen=True, kw_only=True):
    """Redirect: connections to `address:port`. What fits a chain goes there; of all else HTTP by the routes of the
    port, the rest to `clusters`."""

    address: str
    port: int
    handling: Handling
    protocol: Protocol = Protocol.TCP  # of what no chain is for
    chains: tuple[Chain, ...] = ()
    clusters: tcp_proxy.Clusters = ()
    connections: tcp_proxy.PerConnection = tcp_proxy.AS_IT_COMES
    options: options.Options = options.NONE
    resolving: Resolving = Resolving.NEVER  # of the host of a request
    parted: bool = False  # whether the routes of the port are

    @property
    def name(self) -> str:
        return f"{self.address}_{self.port}"


@generator
def captured_listener(key: CapturedListenerKey) -> listener_pb2.Listener:
    out = listener_pb2.Listener(
        name=key.name,
        address=wire.address(key.address, key.port),
        traffic_direction=wire.OUTBOUND,
        enable_reuse_port=wire.false(),
        bind_to_port=wire.false(),
    )
    options.buffer(key.options.proxy.connections, out)
    prefix = f"outbound_{key.name}"
    manager = connection_manager.network_filter(
        ConnectionManager(
            place=Place.OUTBOUND,
            route=str(key.port),
            stat_prefix=prefix,
            resolving=key.resolving,
            options=key.options,
            parted=key.parted,
        )
    )
    proxy = tcp_proxy.TcpProxy(
        stat_prefix=prefix,
        clusters=key.clusters,
        reporter=stats.SOURCE,
        connections=key.connections,
        logs=key.options.logs,
        metrics=key.options.metrics,
    )
    detects = key.handling is Handling.DETECT or any(chain.detect for chain in key.chains)
    if detects:
        out.listener_filters.append(listener.http_inspector())
    if any(chain.server_names for chain in key.chains):
        out.listener_filters.append(listener.tls_inspector())
    if out.listener_filters:
        options.wait(key.options, out, options.FIRST_BYTES if detects else None)
    for chain in key.chains:
        target = replace(proxy, clusters=chain.clusters, connections=chain.connections)
        if chain.detect:
            _told_apart(out, chain, manager).application_protocols.extend(_HTTP)
        looked_up = (forward_proxy.network_filter(chain.looked_up),) if chain.looked_up else ()
        _told_apart(out, chain, *looked_up, *tcp_proxy.network_filters(target, chain.protocol))
    match key.handling:
        case Handling.HTTP:
            out.filter_chains.add(filters=[manager])
        case Handling.DETECT:
            out.filter_chains.add(filters=[manager]).filter_chain_match.application_protocols.extend(_HTTP)
            out.default_filter_chain.filters.extend(tcp_proxy.network_filters(proxy, key.protocol))
        case _ if key.chains:
            out.default_filter_chain.filters.extend(tcp_proxy.network_filters(proxy, key.protocol))
        case _:
            out.filter_chains.add(filters=tcp_proxy.network_filters(proxy, key.protocol))
    return out


_HTTP = ("http/1.0", "http/1.1", "h2c")
"""What the HTTP inspector finds."""


def _told_apart(
    out: listener_pb2.Listener, chain: Chain, *filters: listener_components_pb2.Filter
) -> listener_components_pb2.FilterChainMatch:
    match = out.filter_chains.add(filters=filters).filter_chain_match
    match.server_names.extend(chain.server_names)
    match.prefix_ranges.extend(wire.network(block) for block in chain.blocks)
    match.source_prefix_ranges.extend(wire.network(block) for block in chain.sources)
    return match


def bound(
    name: str,
    port: int,
    handlers: Iterable[listener_components_pb2.Filter],
    said: options.Options,
    address: str = LOOPBACK,
) -> listener_pb2.Listener:
    """Never with SO_REUSEPORT: two Envoys of one user would share the port's traffic without a word."""
    out = listener_pb2.Listener(
        name=name,
        address=wire.address(address, port),
        traffic_direction=wire.OUTBOUND,
        enable_reuse_port=wire.false(),
        filter_chains=[listener_components_pb2.FilterChain(filters=handlers)],
    )
    options.buffer(said.proxy.connections, out)
    return out
