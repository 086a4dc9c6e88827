"""RouteConfigurations: virtual hosts and their ordered routes, joined from fragments.

A virtual host is built once per key and kept as bytes; a RouteConfiguration of 10,000 of them is a join.
"""

from __future__ import annotations

from enum import StrEnum

from envoy.config.core.v3 import base_pb2
from envoy.config.route.v3 import route_components_pb2, route_pb2
from msgspec import Struct

from argosy.model.ir import DirectResponse, Redirect, RetryPolicy, Route
from argosy.model.proxy_settings import ProxySettings
from argosy.translate import names, parts, wire
from argosy.translate.filters import cors, fault, forward_proxy, loopback_guard, tcp_proxy
from argosy.translate.generator import Encoded, Fragment, fragment, generator
from argosy.translate.match import route_match
from argosy.translate.route_action import (
    HeaderTarget,
    direct_response,
    forward,
    header_ops,
    no_timeout,
    redirect,
    retry,
)

MAX_DIRECT_RESPONSE = 1_048_576  # Istio's; Envoy's own 4096 refuses the whole RouteConfiguration


class Tunnel(StrEnum):
    """What `CONNECT host:port` of a virtual host leads to."""

    NONE = "NONE"  # no CONNECT here
    HTTP = "HTTP"  # the internal listener with the full HTTP stack
    TCP = "TCP"  # the cluster, as bytes


class WrittenHeaders(Struct, frozen=True, kw_only=True):
    """What requests tell of themselves."""

    attempt_count: bool = True
    forwarded_host: bool | None = None  # where the host is rewritten; None: by rewrite.authority


AS_USUAL = WrittenHeaders()


def written_headers(said: ProxySettings) -> WrittenHeaders:
    return WrittenHeaders(attempt_count=said.attempt_count, forwarded_host=said.forwarded_host)


LookedUp = tuple[str, int]
"""A cluster whose hosts the proxy looks up by the name of the request, and the port at which they are."""


class VirtualHostKey(Struct, frozen=True, kw_only=True):
    name: str
    domains: tuple[str, ...]
    routes: tuple[Route, ...] = ()
    port: int = 0  # of requests, where a redirect keeps it
    tunnel: Tunnel = Tunnel.NONE
    tunnel_clusters: tuple[tuple[str, int], ...] = ()
    tunnel_connections: tcp_proxy.PerConnection = tcp_proxy.AS_IT_COMES
    # CONNECT to some of its addresses: (authorities, clusters, connections)
    tunnel_elsewhere: tuple[tuple[tuple[str, ...], tcp_proxy.Clusters, tcp_proxy.PerConnection], ...] = ()
    authority: str = ""  # what requests without a rewrite of their own are sent with
    guarded: bool = True  # whether what it resolves to is judged (loopback_guard)
    looked_up: tuple[LookedUp, ...] = ()  # of the destinations
    require_tls: str = ""  # "ALL": plaintext is redirected to https
    headers: WrittenHeaders = AS_USUAL


@fragment(2)  # Envoy: RouteConfiguration.virtual_hosts = 2
def virtual_host(key: VirtualHostKey) -> route_components_pb2.VirtualHost:
    out = route_components_pb2.VirtualHost(
        name=key.name, domains=key.domains, include_request_attempt_count=key.headers.attempt_count
    )
    if key.require_tls:
        out.require_tls = route_components_pb2.VirtualHost.ALL
    if not key.guarded:
        out.typed_per_filter_config[loopback_guard.NAME].CopyFrom(loopback_guard.passes())
    if key.tunnel is Tunnel.HTTP:
        out.routes.append(connect(((names.CONNECT_HTTP, 1),)))
    elif key.tunnel is Tunnel.TCP:
        for authorities, clusters, connections in key.tunnel_elsewhere:
            for one in authorities:
                route = connect(clusters, connections, key.looked_up)
                route.match.headers.add(name=":authority").string_match.exact = one
                out.routes.append(route)
        out.routes.append(connect(key.tunnel_clusters, key.tunnel_connections, key.looked_up))
    out.routes.extend(http_route(item, key) for item in key.routes)
    return out


def connect(
    clusters: tuple[tuple[str, int], ...],
    connections: tcp_proxy.PerConnection = tcp_proxy.AS_IT_COMES,
    looked_up: tuple[LookedUp, ...] = (),
) -> route_components_pb2.Route:
    """CONNECT, ended here: its bytes go to the cluster. Where that is a proxy itself, CONNECT goes on, for what the
    DestinationRule says."""
    out = route_components_pb2.Route(name="connect")
    out.match.connect_matcher.SetInParent()
    if len(clusters) == 1:
        out.route.cluster = clusters[0][0]
    else:
        for name, weight in clusters:
            out.route.weighted_clusters.clusters.add(name=name).weight.value = weight
    upgrade = out.route.upgrade_configs.add(upgrade_type="CONNECT")
    if connections.tunnel is None:
        upgrade.connect_config.SetInParent()
    else:
        out.route.host_rewrite_literal = connections.tunnel.authority
    no_timeout(out.route)
    # 0: a tunnel may be silent, and last, for as long as its ends like.
    out.route.idle_timeout.CopyFrom(wire.milliseconds(connections.idle_timeout or 0))
    out.route.max_stream_duration.max_stream_duration.CopyFrom(wire.milliseconds(connections.duration or 0))
    if connections.hash_source_ip:
        out.route.hash_policy.add().connection_properties.source_ip = True
    _look_up(looked_up, out)
    return out


def http_route(item: Route, key: VirtualHostKey) -> route_components_pb2.Route:
    out = route_components_pb2.Route(
        name=item.name or "default", match=route_match(item.match), stat_prefix=item.stat_prefix
    )
    target = HeaderTarget(out)
    if item.headers is not None:
        header_ops(item.headers, target)
    match item.action:
        case Redirect() as action:
            out.redirect.CopyFrom(redirect(action, key.port))
        case DirectResponse() as action:
            out.direct_response.CopyFrom(direct_response(action))
        case action:
            out.route.CopyFrom(forward(action, item.match, target))
            authority = (action.rewrite.authority if action.rewrite else None) or target.host or key.authority
            if authority:
                out.route.host_rewrite_literal = authority
                rewritten, asked = (
                    bool(action.rewrite and action.rewrite.authority),
                    key.headers.forwarded_host,
                )
                out.route.append_x_forwarded_host = rewritten if asked is None else asked
            _look_up(key.looked_up, out)
    if item.fault is not None:
        out.typed_per_filter_config[fault.NAME].CopyFrom(fault.per_route(item.fault))
    if item.cors is not None:
        out.typed_per_filter_config[cors.NAME].CopyFrom(cors.per_route(item.cors))
    return out


def _look_up(known: tuple[LookedUp, ...], out: route_components_pb2.Route) -> None:
    """Who is looked up is at the destination's port."""
    targets = dict(known)
    to_one = (out.route.cluster, out, out.route.host_rewrite_literal)
    to_several = (
        (entry.name, entry, entry.host_rewrite_literal or out.route.host_rewrite_literal)
        for entry in out.route.weighted_clusters.clusters
    )
    for cluster, configured, authority in (to_one, *to_several) if targets else ():
        if cluster in targets:
            for name, config in forward_proxy.per_route(targets[cluster], authority):
                configured.typed_per_filter_config[name].CopyFrom(config)


class InboundRouteKey(Struct, frozen=True, kw_only=True):
    """The routes of a workload port: everything to its application."""

    port: int
    retry: RetryPolicy | None = None

    @property
    def name(self) -> str:
        return names.inbound(self.port)


@generator
def inbound_routes(key: InboundRouteKey) -> route_pb2.RouteConfiguration:
    out = route_pb2.RouteConfiguration(name=key.name)
    host = out.virtual_hosts.add(name=f"inbound|http|{key.port}", domains=["*"])
    item = host.routes.add(name="default")
    item.match.prefix = "/"
    item.route.cluster = names.inbound(key.port)
    no_timeout(item.route)
    if key.retry is not None:
        item.route.retry_policy.CopyFrom(retry(key.retry))
    return out


HTTP3_KNOWN = 86400
"""Seconds for which a client may remember that there is HTTP/3 (Istio's)."""


class RouteConfigurationKey(Struct, frozen=True, kw_only=True):
    name: str
    virtual_hosts: tuple[Fragment, ...] = ()
    ignore_port: bool = False  # whether `host:port` is matched as `host`
    http3: int = 0  # the UDP port at which answers say that the same is served; 0: none


@generator
def route_configuration(key: RouteConfigurationKey) -> Encoded:
    head = route_pb2.RouteConfiguration(name=key.name)
    head.validate_clusters.value = False
    head.max_direct_response_body_size_bytes.value = MAX_DIRECT_RESPONSE
    head.ignore_port_in_host_matching = key.ignore_port
    if parts.whole(key.name) != key.name:  # requests come to a part by a header that is not theirs
        head.request_headers_to_remove.append(parts.HEADER)
    if key.http3:
        told = head.response_headers_to_add.add(
            append_action=base_pb2.HeaderValueOption.OVERWRITE_IF_EXISTS_OR_ADD
        )
        told.header.key, told.header.value = "alt-svc", f'h3=":{key.http3}"; ma={HTTP3_KNOWN}'
    data = head.SerializeToString(deterministic=True)
    return Encoded(route_pb2.RouteConfiguration.DESCRIPTOR.full_name, data, key.virtual_hosts)


class CatchAllKey(Struct, frozen=True, kw_only=True):
    """What becomes of requests to hosts that no virtual host names."""

    cluster: str  # where they go; the black hole refuses them
    tunnel: Tunnel  # whether it answers CONNECT too
    headers: WrittenHeaders = AS_USUAL

    @property
    def name(self) -> str:
        return "block_all" if self.cluster == names.BLACK_HOLE else "allow_any"


@fragment(2)
def catch_all(key: CatchAllKey) -> route_components_pb2.VirtualHost:
    """Names and meaning: Istio's `allow_any` and `block_all` (502)."""
    out = route_components_pb2.VirtualHost(
        name=key.name, domains=["*"], include_request_attempt_count=key.headers.attempt_count
    )
    rest = route_components_pb2.Route(name=key.name)
    rest.match.prefix = "/"
    if key.cluster != names.BLACK_HOLE:
        if key.tunnel is not Tunnel.NONE:
            out.routes.append(connect(((key.cluster, 1),)))
        rest.route.cluster = key.cluster
        no_timeout(rest.route)
    else:
        if key.tunnel is not Tunnel.NONE:
            refused = out.routes.add(name=key.name)
            refused.match.connect_matcher.SetInParent()
            refused.direct_response.status = 502
        rest.direct_response.status = 502
    out.routes.append(rest)
    return out
