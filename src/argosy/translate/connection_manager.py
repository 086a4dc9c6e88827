"""The HTTP connection manager: one network filter in which all HTTP happens.

Routes always come by RDS and policies by ECDS, so that a listener changes only for ports, TLS and the order of filters.
"""

from __future__ import annotations

from enum import StrEnum

from envoy.config.core.v3 import protocol_pb2
from envoy.config.listener.v3 import listener_components_pb2
from envoy.extensions.filters.network.http_connection_manager.v3 import (
    http_connection_manager_pb2 as manager_pb2,
)
from msgspec import Struct

from argosy.model.ir import Paths
from argosy.model.proxy_settings import CertificateDetails, Connections, ForwardedCertificate
from argosy.translate import caller, options, parts, wire
from argosy.translate.filters import access_log, order, stats, tracing

NAME = "envoy.filters.network.http_connection_manager"
SERVER_NAME = "istio-envoy"
OF_ANY_CLIENT = CertificateDetails(subject=True, cert=True, dns=True, uri=True)


class Place(StrEnum):
    """Where the connection manager stands; decides which filters it has and what it believes of a request."""

    INBOUND = "INBOUND"
    OUTBOUND = "OUTBOUND"  # to services alone
    OUTBOUND_PROXY = "OUTBOUND_PROXY"  # to any host, CONNECT too
    TUNNEL = "TUNNEL"  # inside a CONNECT: to any host
    GATEWAY = "GATEWAY"
    GATEWAY_HTTP3 = "GATEWAY_HTTP3"  # the same over QUIC

    @property
    def at_the_edge(self) -> bool:
        return self in (Place.GATEWAY, Place.GATEWAY_HTTP3)


class ConnectionManager(Struct, frozen=True, kw_only=True):
    place: Place
    route: str  # RouteConfiguration
    stat_prefix: str
    port: int = 0  # INBOUND: the workload port
    told_apart: int = 0  # INBOUND, GATEWAY: see `names.authorization`
    service: str = ""  # INBOUND: the host that metrics name
    own_addresses: tuple[str, ...] = ()  # OUTBOUND_PROXY, TUNNEL: what unknown hosts must not resolve to
    options: options.Options = options.NONE
    resolving: order.Resolving = order.Resolving.NEVER  # OUTBOUND, GATEWAY
    parted: bool = False  # whether the RouteConfiguration comes in parts
    caller: caller.Caller = caller.Caller.REMOVED  # TOLD: where TLS is the mesh's, if there is any


def network_filter(key: ConnectionManager) -> listener_components_pb2.Filter:
    out = manager_pb2.HttpConnectionManager(
        stat_prefix=key.stat_prefix,
        codec_type=manager_pb2.HttpConnectionManager.AUTO,
        rds=manager_pb2.Rds(route_config_name=key.route, config_source=wire.ads()),
        http_filters=_filters(key),
        access_log=[
            *stats.http(_reporter(key), key.options.metrics),
            *access_log.loggers(key.options.logs, access_log.Layer.HTTP),
        ],
        server_name=key.options.proxy.server or SERVER_NAME,
        use_remote_address=wire.true() if key.place.at_the_edge else wire.false(),
    )
    early = caller.mutations(key.caller)
    if key.parted:
        parts.into(key.route, out)
        early.append(parts.mutation(key.route))
    caller.early(early, out)
    _normalize(key.options.paths, out)
    if key.options.tracing is not None:
        tracing.trace(key.options.tracing, out)
    out.upgrade_configs.add(upgrade_type="websocket")
    if key.place is Place.OUTBOUND_PROXY:
        out.upgrade_configs.add(upgrade_type="CONNECT")
    if key.place is Place.GATEWAY_HTTP3:
        out.codec_type = manager_pb2.HttpConnectionManager.HTTP3
        out.http3_protocol_options.allow_extended_connect = True
    out.http2_protocol_options.allow_connect = True  # WebSocket over HTTP/2 is an extended CONNECT
    out.http_protocol_options.accept_http_10 = True
    out.stream_idle_timeout.SetInParent()  # Istio: 0, a stream may be silent
    proxy = key.options.proxy
    _limit(proxy.gateway_connections if key.place.at_the_edge else proxy.connections, out)
    if proxy.preserve_case:
        out.http_protocol_options.header_key_format.CopyFrom(wire.preserved_case())
    if not proxy.request_id:
        out.generate_request_id.value = False
    out.append_x_forwarded_port = proxy.forwarded_port
    match key.place:
        case Place.INBOUND:
            # What a caller says of itself is thrown away; what its certificate says is told to the application.
            _certificate(
                proxy.sidecar_certificate, proxy.sidecar_details or CertificateDetails(uri=True), out
            )
            if not proxy.server:
                out.server_header_transformation = manager_pb2.HttpConnectionManager.PASS_THROUGH
        case Place.GATEWAY | Place.GATEWAY_HTTP3:
            # Istio: all that is known of a client's certificate; not every one has an identity of the mesh in it.
            _certificate(proxy.gateway_certificate, OF_ANY_CLIENT, out)
            out.xff_num_trusted_hops = proxy.trusted_proxies
            if proxy.server == "":
                out.server_header_transformation = manager_pb2.HttpConnectionManager.PASS_THROUGH
        case _:
            pass
    return listener_components_pb2.Filter(name=NAME, typed_config=wire.pack(out))


def _certificate(
    said: ForwardedCertificate, details: CertificateDetails, out: manager_pb2.HttpConnectionManager
) -> None:
    kinds = manager_pb2.HttpConnectionManager.ForwardClientCertDetails
    out.forward_client_cert_details = kinds.Value(said.value)
    if said in (ForwardedCertificate.APPEND_FORWARD, ForwardedCertificate.SANITIZE_SET):
        told = out.set_current_client_cert_details
        if details.subject:
            told.subject.value = True
        told.cert, told.chain, told.dns, told.uri = details.cert, details.chain, details.dns, details.uri


def _normalize(paths: Paths, out: manager_pb2.HttpConnectionManager) -> None:
    out.normalize_path.value = paths is not Paths.NONE
    out.merge_slashes = paths in (Paths.MERGE_SLASHES, Paths.DECODE_AND_MERGE_SLASHES)
    out.path_with_escaped_slashes_action = (
        manager_pb2.HttpConnectionManager.UNESCAPE_AND_FORWARD
        if paths is Paths.DECODE_AND_MERGE_SLASHES
        else manager_pb2.HttpConnectionManager.KEEP_UNCHANGED
    )


def _limit(said: Connections, out: manager_pb2.HttpConnectionManager) -> None:
    """Facts (Istio): what connectionSettings say of paths goes before pathNormalization."""
    common, http2 = out.common_http_protocol_options, out.http2_protocol_options
    for value, duration in (
        (said.idle_timeout, "idle_timeout"),
        (said.max_duration, "max_connection_duration"),
        (said.max_stream_duration, "max_stream_duration"),
    ):
        if value is not None:
            getattr(common, duration).CopyFrom(wire.milliseconds(value))
    for value, duration in (
        (said.drain_timeout, "drain_timeout"),
        (said.request_timeout, "request_timeout"),
        (said.headers_timeout, "request_headers_timeout"),
        (said.stream_idle_timeout, "stream_idle_timeout"),
    ):
        if value is not None:
            getattr(out, duration).CopyFrom(wire.milliseconds(value))
    for value, limit in (
        (said.max_streams, "max_concurrent_streams"),
        (said.stream_window, "initial_stream_window_size"),
        (said.connection_window, "initial_connection_window_size"),
    ):
        if value is not None:
            getattr(http2, limit).value = value
    if said.underscores:
        actions = protocol_pb2.HttpProtocolOptions.HeadersWithUnderscoresAction
        common.headers_with_underscores_action = actions.Value(said.underscores)
    if said.merge_slashes is not None:
        out.merge_slashes = said.merge_slashes
    if said.escaped_slashes:
        kinds = manager_pb2.HttpConnectionManager.PathWithEscapedSlashesAction
        out.path_with_escaped_slashes_action = kinds.Value(said.escaped_slashes)


def _filters(key: ConnectionManager) -> order.HttpFilters:
    match key.place:
        case Place.INBOUND:
            return order.inbound(key.port, key.told_apart, key.options.proxy)
        case Place.OUTBOUND:
            return order.outbound(key.options.proxy, key.resolving)
        case Place.OUTBOUND_PROXY | Place.TUNNEL:
            return order.outbound_proxy(key.own_addresses, key.options.proxy)
        case Place.GATEWAY | Place.GATEWAY_HTTP3:
            return order.gateway(key.told_apart, key.options.proxy, key.resolving)


def _reporter(key: ConnectionManager) -> stats.Reporter:
    if key.place is Place.INBOUND:
        return stats.Reporter(side=stats.Side.DESTINATION, service=key.service, port=key.port)
    return stats.SOURCE
