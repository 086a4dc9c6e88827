"""Listeners of a gateway: one an address and port that Gateway servers name, and a filter chain for each of these that
is told apart: plain HTTP is one, TLS is by the name in its hello.

HTTP/3 is a listener of its own on the same port of UDP, with the same routes and certificates.

HTTP is routed by RDS, certificates come by SDS: so neither a route nor a renewed certificate changes a listener.
"""

from __future__ import annotations

from envoy.config.core.v3 import address_pb2
from envoy.config.listener.v3 import listener_components_pb2, listener_pb2
from msgspec import Struct

from argosy.model.ir import Protocol
from argosy.translate import connection_manager, names, options, tls, wire
from argosy.translate.connection_manager import ConnectionManager, Place
from argosy.translate.filters import authorization, forward_proxy, listener, sni, stats, tcp_proxy
from argosy.translate.filters.order import Resolving
from argosy.translate.generator import generator


class Chain(Struct, frozen=True, kw_only=True):
    """What becomes of a connection: HTTP by the routes of `route`, by its server name (`by_sni`), or to `clusters`."""

    stat_prefix: str
    server_names: tuple[str, ...] = ()  # (): every one, and none
    application_protocols: tuple[str, ...] = ()  # (): every one
    sources: tuple[str, ...] = ()  # networks from which it comes; (): everywhere
    tls: tls.ServerTls | None = None  # None: as it comes
    route: str = ""
    parted: bool = False  # whether `route` comes in parts
    by_sni: bool = False
    clusters: tcp_proxy.Clusters = ()
    connections: tcp_proxy.PerConnection = tcp_proxy.AS_IT_COMES
    resolving: Resolving = Resolving.NEVER  # of the host of a request
    protocol: Protocol = Protocol.TCP
    looked_up: int = 0  # at which port the name in a TLS hello is looked up; 0: it is not


class GatewayListenerKey(Struct, frozen=True, kw_only=True):
    name: str
    address: str  # or `unix://path`
    bind: int  # the port really bound
    chains: tuple[Chain, ...]
    told_apart: int = 0  # see `names.authorization`
    inspects: bool = False  # whether connections are looked at for TLS
    options: options.Options = options.NONE

    @property
    def secrets(self) -> tuple[str, ...]:
        return tuple(dict.fromkeys(name for one in self.chains if one.tls for name in one.tls.secrets))


@generator
def gateway_listener(key: GatewayListenerKey) -> listener_pb2.Listener:
    out = listener_pb2.Listener(
        name=key.name,
        address=wire.address(key.address, key.bind),
        traffic_direction=wire.OUTBOUND,
        enable_reuse_port=wire.false(),
        filter_chains=[_chain(one, key) for one in key.chains],
    )
    options.buffer(key.options.proxy.gateway_connections, out)
    if key.options.proxy.proxy_protocol:
        out.listener_filters.append(listener.proxy_protocol())
    if key.inspects:
        out.listener_filters.append(listener.tls_inspector())
    return out


@generator
def quic_listener(key: GatewayListenerKey) -> listener_pb2.Listener:
    """Its chains all end TLS for HTTP. QUIC is TLS 1.3, and has the name in its own handshake: nothing is looked at."""
    out = listener_pb2.Listener(
        name=key.name,
        address=wire.address(key.address, key.bind),
        traffic_direction=wire.OUTBOUND,
        # One worker is all that there is (agent/bootstrap.py); a second Envoy must not take the port silently.
        enable_reuse_port=wire.false(),
    )
    out.address.socket_address.protocol = address_pb2.SocketAddress.UDP
    out.udp_listener_config.quic_options.SetInParent()
    out.udp_listener_config.downstream_socket_config.prefer_gro.value = True
    for chain in key.chains:
        made = out.filter_chains.add(filters=_filters(chain, key, Place.GATEWAY_HTTP3))
        made.filter_chain_match.server_names.extend(chain.server_names)
        if not made.filter_chain_match.ListFields():
            made.ClearField("filter_chain_match")
        if chain.tls is not None:
            made.transport_socket.CopyFrom(tls.terminate_quic(chain.tls))
    return out


def _chain(key: Chain, of: GatewayListenerKey) -> listener_components_pb2.FilterChain:
    out = listener_components_pb2.FilterChain(filters=_filters(key, of))
    out.filter_chain_match.server_names.extend(key.server_names)
    out.filter_chain_match.application_protocols.extend(key.application_protocols)
    out.filter_chain_match.source_prefix_ranges.extend(wire.network(one) for one in key.sources)
    if not out.filter_chain_match.ListFields():
        out.ClearField("filter_chain_match")
    if key.tls is not None:
        out.transport_socket.CopyFrom(tls.terminate(key.tls))
    return out


def _filters(
    key: Chain, of: GatewayListenerKey, place: Place = Place.GATEWAY
) -> list[listener_components_pb2.Filter]:
    if key.route:
        manager = ConnectionManager(
            place=place,
            route=key.route,
            stat_prefix=key.stat_prefix,
            told_apart=of.told_apart,
            options=of.options,
            resolving=key.resolving,
            parted=key.parted,
        )
        return [connection_manager.network_filter(manager)]
    proxy = tcp_proxy.TcpProxy(
        stat_prefix=key.stat_prefix,
        clusters=((names.BLACK_HOLE, 1),) if key.by_sni else key.clusters,
        reporter=stats.SOURCE,
        connections=key.connections,
        logs=of.options.logs,
        metrics=of.options.metrics,
    )
    before = sni.to_its_cluster(key.stat_prefix) if key.by_sni else ()
    looked_up = (forward_proxy.network_filter(key.looked_up),) if key.looked_up else ()
    asked = authorization.network_filters(of.told_apart)
    return [*asked, *before, *looked_up, *tcp_proxy.network_filters(proxy, key.protocol)]
