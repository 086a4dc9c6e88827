"""Declared upstreams: a local port of the workload for each, where nothing is captured."""

from __future__ import annotations

from argosy.model import ir
from argosy.model.reader import Reader
from argosy.translate import listener_outbound as listeners
from argosy.translate import names, options, outbound
from argosy.translate.http_or_tcp import (
    Handling,
    outbound_handling,
)
from argosy.translate.proxy import DeclaredUpstream, Proxy
from argosy.translate.resource import Resource
from argosy.translate.route import (
    RouteConfigurationKey,
    VirtualHostKey,
    route_configuration,
    virtual_host,
    written_headers,
)


def resolve(reader: Reader, proxy: Proxy, upstream: DeclaredUpstream) -> ir.Service | None:
    """The service that a declared upstream means: `name`, `name.namespace`, `name.namespace.svc` or a full host."""
    host, suffix = upstream.host, reader.mesh().domain_suffix
    written = (f"{host}.{proxy.namespace}.svc.{suffix}", host, f"{host}.svc.{suffix}", f"{host}.{suffix}")
    for candidate in written if "." not in host else written[1:]:
        candidate = reader.concrete(candidate)
        service = reader.service(candidate)
        if (
            service is not None
            and service.port(upstream.port) is not None
            and reader.visible(proxy.scope, candidate)
        ):
            return service
    return None


def handling(reader: Reader, proxy: Proxy, upstream: DeclaredUpstream) -> Handling:
    """HTTP where the service is not there (yet): its route then says so."""
    service = resolve(reader, proxy, upstream)
    port = service.port(upstream.port) if service else None
    found = outbound_handling(port.protocol) if port else Handling.HTTP
    return Handling.HTTP if found is Handling.HTTP else Handling.TCP


def listener(proxy: Proxy, upstream: DeclaredUpstream, reader: Reader) -> Resource:
    service = resolve(reader, proxy, upstream)
    handled = handling(reader, proxy, upstream)
    host = service.hostname if service else ""
    port = service.port(upstream.port) if service else None
    clusters = (
        outbound.tcp_clusters(reader, proxy.scope, host, upstream.port) if handled is Handling.TCP else ()
    )
    return listeners.upstream_listener(
        listeners.UpstreamListenerKey(
            host=upstream.host,
            port=upstream.port,
            bind=upstream.bind,
            handling=handled,
            protocol=port.protocol if port is not None else ir.Protocol.TCP,
            clusters=clusters,
            connections=outbound.per_connection(reader, proxy.scope, clusters),
            options=options.of_proxy(reader, proxy),
        )
    )


def routes(proxy: Proxy, upstream: DeclaredUpstream, reader: Reader) -> Resource:
    """Everything that comes to the local port, sent with the authority of the upstream: the application's own is the
    local address."""
    service = resolve(reader, proxy, upstream)
    if service is None:
        body = f"no service {upstream.host}:{upstream.port} in the mesh, or it is not visible here\n"
        routes: tuple[ir.Route, ...] = (
            ir.Route(match=ir.RouteMatch(), action=ir.DirectResponse(status=503, body=body.encode())),
        )
    else:
        routes = outbound.routes(reader, proxy.scope, service.hostname, upstream.port)
    authority = upstream.host if upstream.port == 80 else f"{upstream.host}:{upstream.port}"
    key = VirtualHostKey(
        name=f"{upstream.host}:{upstream.port}",
        domains=("*",),
        routes=routes,
        port=upstream.port,
        authority=authority,
        looked_up=outbound.looked_up(reader, routes),
        headers=written_headers(reader.mesh().proxy),
    )
    name = names.upstream_route(upstream.host, upstream.port)
    return route_configuration(RouteConfigurationKey(name=name, virtual_hosts=(virtual_host(key),)))
