"""Egress listeners of a Sidecar that the application connects to by itself: at an address or a Unix socket.

Each has a RouteConfiguration of its own, of the same name: the hosts that it imports, whatever else the proxy sees.
"""

from __future__ import annotations

from envoy.config.listener.v3 import listener_pb2
from msgspec import Struct

from argosy.model.ir import Protocol, Resolution, Service
from argosy.model.reader import Reader
from argosy.model.scope import Interception, Scope
from argosy.model.sidecars import EVERY_PORT, EgressListener
from argosy.resources.addresses import overlap
from argosy.translate import connection_manager, domains, names, options, outbound
from argosy.translate import listener_outbound as listeners
from argosy.translate.connection_manager import ConnectionManager, Place
from argosy.translate.filters import stats, tcp_proxy
from argosy.translate.filters.order import Resolving
from argosy.translate.generator import generator
from argosy.translate.http_or_tcp import Handling, outbound_handling
from argosy.translate.resource import Resource
from argosy.translate.route import (
    CatchAllKey,
    RouteConfigurationKey,
    Tunnel,
    VirtualHostKey,
    catch_all,
    route_configuration,
    virtual_host,
    written_headers,
)


def name(listener: EgressListener) -> str:
    """Facts (Istio): `ADDRESS_PORT`; of a Unix socket its address."""
    address = listener.bind or listeners.LOOPBACK
    return address if address.startswith("unix://") else f"{address}_{listener.port}"


def bound(reader: Reader, scope: Scope) -> tuple[EgressListener, ...]:
    """Those that listen by themselves: where nothing is captured, an address that is written is listened on."""
    sidecar = reader.sidecar(scope)
    explicit = scope.interception is Interception.EXPLICIT
    return tuple(
        listener
        for listener in (sidecar.egress if sidecar else ())
        if (listener.port != EVERY_PORT or listener.bind.startswith("unix://"))
        and (not listener.captured or (explicit and listener.bind))
    )


def takes(reader: Reader, scope: Scope, address: str, port: int) -> bool:
    """Whether one of them listens where another listener would, or takes there what is captured: Envoy refuses the
    second."""
    captured = scope.interception is Interception.REDIRECT and captured_address(reader, scope, port)
    return captured == address or any(
        listener.port == port and overlap(listener.bind or listeners.LOOPBACK, address)
        for listener in bound(reader, scope)
    )


def captured_address(reader: Reader, scope: Scope, port: int) -> str:
    """The address at which captured traffic of a port is taken; "": those of the services."""
    sidecar = reader.sidecar(scope)
    listener = sidecar.listener(port) if sidecar else None
    return listener.bind if listener is not None and listener.captured and listener.port == port else ""


class BoundEgressKey(Struct, frozen=True, kw_only=True):
    listener: str
    address: str
    port: int
    http: bool
    protocol: Protocol
    clusters: tcp_proxy.Clusters = ()
    connections: tcp_proxy.PerConnection = tcp_proxy.AS_IT_COMES
    options: options.Options = options.NONE
    resolving: Resolving = Resolving.NEVER

    @property
    def name(self) -> str:
        return self.listener


@generator
def bound_egress(key: BoundEgressKey) -> listener_pb2.Listener:
    prefix = f"outbound_{key.name}"
    if key.http:
        manager = ConnectionManager(
            place=Place.OUTBOUND,
            route=key.name,
            stat_prefix=prefix,
            resolving=key.resolving,
            options=key.options,
        )
        handlers = [connection_manager.network_filter(manager)]
    else:
        proxy = tcp_proxy.TcpProxy(
            stat_prefix=prefix,
            clusters=key.clusters,
            connections=key.connections,
            reporter=stats.SOURCE,
            logs=key.options.logs,
            metrics=key.options.metrics,
        )
        handlers = tcp_proxy.network_filters(proxy, key.protocol)
    return listeners.bound(key.name, key.port, handlers, key.options, key.address)


def bound_listener(scope: Scope, written: EgressListener, reader: Reader) -> Resource:
    handling = outbound_handling(written.protocol)
    http = handling is not Handling.TCP
    clusters = () if http else _clusters(reader, scope, written)
    return bound_egress(
        BoundEgressKey(
            listener=name(written),
            address=written.bind or listeners.LOOPBACK,
            port=written.port,
            http=http,
            protocol=written.protocol,
            clusters=clusters,
            connections=outbound.per_connection(reader, scope, clusters),
            options=options.of_scope(reader, scope),
            resolving=_resolving(reader, scope, written) if http else Resolving.NEVER,
        )
    )


def _imported(reader: Reader, scope: Scope, written: EgressListener) -> list[tuple[Service, int]]:
    """The services of a listener and their ports; the oldest first."""
    found = []
    for host in reader.hosts():
        service = reader.service(host)
        if service is None or not reader.visible(scope, host) or not written.imports.service(service):
            continue
        found += [
            (service, port.number) for port in service.ports if written.port in (EVERY_PORT, port.number)
        ]
    return sorted(found, key=lambda one: (one[0].created, one[0].hostname, one[1]))


def _resolving(reader: Reader, scope: Scope, written: EgressListener) -> Resolving:
    services = (service for service, _ in _imported(reader, scope, written))
    by_name = any(service.resolution is Resolution.DYNAMIC_DNS for service in services)
    unknown = outbound.requests_to_unknown_hosts(reader, scope) == names.BY_NAME
    return Resolving.BY_NAME if by_name or unknown else Resolving.NEVER


def _clusters(reader: Reader, scope: Scope, written: EgressListener) -> tcp_proxy.Clusters:
    """Of several services nothing tells the connections apart: the oldest has them."""
    for service, port in _imported(reader, scope, written):
        return outbound.tcp_clusters(reader, scope, service.hostname, port)
    return ((outbound.to_unknown_hosts(reader, scope), 1),)


def bound_routes(scope: Scope, written: EgressListener, reader: Reader) -> Resource:
    suffix = reader.mesh().domain_suffix
    claims: domains.Claims[tuple[str, int]] = domains.Claims()
    headers = written_headers(reader.mesh().proxy)
    imported = _imported(reader, scope, written)
    for service, port in imported:
        hosts = domains.hosts_of(service, scope.namespace, suffix)
        bare = hosts if written.port == port or port == 80 or len(service.ports) == 1 else ()
        claims.update((service.hostname, port), domains.ranks(service, bare + domains.with_port(hosts, port)))
    served = tuple(
        virtual_host(
            VirtualHostKey(
                name=f"{service.hostname}:{port}",
                domains=held,
                routes=(found := outbound.routes(reader, scope, service.hostname, port)),
                looked_up=outbound.looked_up(reader, found),
                port=port,
                headers=headers,
            )
        )
        for service, port in imported
        if (held := claims.held((service.hostname, port)))
    )
    unknown = outbound.requests_to_unknown_hosts(reader, scope)
    rest = catch_all(CatchAllKey(cluster=unknown, tunnel=Tunnel.NONE, headers=headers))
    return route_configuration(RouteConfigurationKey(name=name(written), virtual_hosts=(*served, rest)))
