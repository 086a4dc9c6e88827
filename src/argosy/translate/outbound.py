"""Keys of what proxies share: clusters, endpoints and virtual hosts of a service, read from the model for one scope.

Nothing here builds a message; nothing here reads the model but through the Reader, so that what a key depends on is
recorded.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

from msgspec.structs import replace

from argosy.model import ir, routing
from argosy.model.hostnames import covers
from argosy.model.locality import ZONE_AWARE, LocalityBalancing
from argosy.model.reader import Reader
from argosy.model.routing import in_subnets
from argosy.model.scope import Interception, ProxyType, Scope
from argosy.translate import localities, names
from argosy.translate.cluster import Application, ClusterKey, Discovery, Encryption, Zones
from argosy.translate.endpoint import LoadAssignmentKey, LocalityKey
from argosy.translate.filters.tcp_proxy import AS_IT_COMES, Clusters, PerConnection
from argosy.translate.http_or_tcp import Handling, outbound_handling
from argosy.translate.route import LookedUp, Tunnel, VirtualHostKey, written_headers
from argosy.translate.route_action import cluster_of
from argosy.translate.tls import MeshTls


def subsets(policy: ir.DestinationPolicy | None) -> tuple[str, ...]:
    """The subsets that have clusters; "" is the service as a whole."""
    return ("", *(subset.name for subset in policy.subsets)) if policy else ("",)


# --- clusters -------------------------------------------------------------------------------------------------------


def cluster(reader: Reader, scope: Scope, host: str, port: int, subset: str) -> ClusterKey | None:
    """None where the port is gone."""
    service = reader.service(host)
    service_port = service.port(port) if service else None
    if service is None or service_port is None:
        return None
    destination = reader.destination(scope, host)
    mesh = reader.mesh()
    policy = _with_defaults(destination.policy(subset, port) if destination else ir.TrafficPolicy(), mesh)
    endpoints = localities.on_port(reader, service, service_port)
    discovery = _discovery(service, policy, scope)
    mutual = localities.mutual_tls(reader, endpoints, service_port)
    application = _application(service, service_port, policy, mesh, all(mutual))
    encryption, tls = _encryption(reader, service, port, subset, policy, application)
    if isinstance(tls, ir.ClientTls) and tls.credential_name:
        tls = replace(tls, credential_name=_credential(scope, tls))
    balancing = localities.balancing_of(service, policy, mesh)
    of_subset = localities.of_subset(endpoints, destination, subset)
    load = localities.inline(reader, scope, service, service_port, of_subset, discovery, balancing)
    return ClusterKey(
        name=names.outbound(host, port, subset),
        discovery=discovery,
        application=application,
        connect_timeout=mesh.connect_timeout,
        policy=replace(policy, tls=None, locality=None),
        encryption=encryption,
        tls=tls,
        service=host,
        buffer=_buffer(scope, mesh),
        preserve_case=mesh.proxy.preserve_case,
        load=load,
        by_locality=balancing is not None and balancing.written,
        zones=_zones(scope, balancing),
        dns_refresh_rate=mesh.dns_refresh_rate,
        tls_parameters=mesh.tls_defaults if isinstance(tls, ir.ClientTls) else ir.TlsParameters(),
        statistics=_statistics(mesh.outbound_statistics, service, service_port, subset),
    )


def _buffer(scope: Scope, mesh: ir.Mesh) -> int | None:
    said = mesh.proxy
    return said.gateway_cluster_buffer if scope.type is ProxyType.ROUTER else said.cluster_buffer


def _zones(scope: Scope, balancing: LocalityBalancing | None) -> Zones | None:
    """Facts (Envoy): a proxy that knows who is beside it balances every cluster by zones, unless it is told not to."""
    if balancing is not None and balancing.zone_aware:
        return Zones(minimum=balancing.minimum)
    return Zones(aware=False) if ZONE_AWARE in dict(scope.client) else None


def _statistics(pattern: str, service: ir.Service, port: ir.ServicePort, subset: str) -> str:
    """Facts (Istio): the short name of a service that is not Kubernetes' is its host."""
    short = f"{service.name}.{service.namespace}" if service.kubernetes else service.hostname
    parts = {
        "%SERVICE%": short,
        "%SERVICE_NAME%": service.name if service.kubernetes else service.hostname,
        "%SERVICE_FQDN%": service.hostname,
        "%SERVICE_PORT%": str(port.number),
        "%SERVICE_PORT_NAME%": port.name,
        "%TARGET_PORT%": str(port.target_port or port.number),
        "%SUBSET_NAME%": subset,
    }
    for part, value in parts.items():
        pattern = pattern.replace(part, value)
    return pattern


def _with_defaults(policy: ir.TrafficPolicy, mesh: ir.Mesh) -> ir.TrafficPolicy:
    """Facts (Istio): the mesh's connectionPool and outlierDetection are for who has none of his own; of the keepalive
    each value is."""
    pool = policy.connection_pool
    if mesh.connection_pool is not None and pool == ir.ConnectionPool():
        pool = mesh.connection_pool
    if mesh.keepalive is not None:
        own, default = pool.keepalive or ir.KeepAlive(), mesh.keepalive
        keepalive = ir.KeepAlive(
            probes=default.probes if own.probes is None else own.probes,
            time=default.time if own.time is None else own.time,
            interval=default.interval if own.interval is None else own.interval,
        )
        pool = replace(pool, keepalive=keepalive)
    return replace(policy, connection_pool=pool, outlier=policy.outlier or mesh.outlier)


def _discovery(service: ir.Service, policy: ir.TrafficPolicy, scope: Scope) -> Discovery:
    captured = scope.interception is Interception.REDIRECT and scope.type is ProxyType.SIDECAR
    if captured and policy.load_balancer is ir.LoadBalancer.PASSTHROUGH:
        return Discovery.ORIGINAL_DST
    match service.resolution:
        case ir.Resolution.STATIC:
            return Discovery.EDS
        case ir.Resolution.DNS:
            return Discovery.STRICT_DNS
        case ir.Resolution.DNS_ROUND_ROBIN:
            return Discovery.LOGICAL_DNS
        case ir.Resolution.DYNAMIC_DNS:
            return Discovery.FORWARD_PROXY
        case ir.Resolution.NONE if captured:
            return Discovery.ORIGINAL_DST
        case ir.Resolution.NONE if not service.hostname.startswith("*"):
            return Discovery.STRICT_DNS  # nothing is captured: "where it wanted to go" is the host itself
        case ir.Resolution.NONE if scope.type is ProxyType.SIDECAR:
            return Discovery.FORWARD_PROXY
        case _:
            return Discovery.STATIC  # a gateway cannot know where a request to a wildcard wanted to go


def _application(
    service: ir.Service,
    port: ir.ServicePort,
    policy: ir.TrafficPolicy,
    mesh: ir.Mesh,
    all_mutual: bool,
) -> Application:
    handling = outbound_handling(port.protocol)
    if handling is Handling.DETECT:
        return Application.DOWNSTREAM
    if handling is not Handling.HTTP:
        return Application.TCP
    if port.protocol.is_http2:
        return Application.HTTP2
    pool = policy.connection_pool
    if pool.use_client_protocol:
        return Application.DOWNSTREAM
    wanted = pool.h2_upgrade_policy == "UPGRADE" or (pool.h2_upgrade_policy == "DEFAULT" and mesh.h2_upgrade)
    # HTTP/2 knows no limit of connections or of waiting requests: a breaker written for HTTP/1 would never open.
    limited = pool.max_connections is not None or pool.http1_max_pending_requests is not None
    mutual = _mutual(service, policy, mesh)
    return Application.HTTP2 if wanted and mutual and all_mutual and not limited else Application.HTTP1


def _mutual(service: ir.Service, policy: ir.TrafficPolicy, mesh: ir.Mesh) -> bool:
    """Whether clients make mesh mutual TLS, with endpoints that take it."""
    if policy.tls is None:
        return not service.external and mesh.auto_mtls
    return policy.tls.mode is ir.TlsMode.ISTIO_MUTUAL


_MESH_ALPN = {
    Application.HTTP2: (names.MESH_ALPN, "h2"),
    Application.HTTP1: (names.MESH_ALPN, "http/1.1"),
    Application.TCP: (names.MESH_ALPN,),
    Application.DOWNSTREAM: (names.MESH_ALPN,),  # nothing is agreed on: the server looks at the first bytes
}


def _encryption(
    reader: Reader,
    service: ir.Service,
    port: int,
    subset: str,
    policy: ir.TrafficPolicy,
    application: Application,
) -> tuple[Encryption, MeshTls | ir.ClientTls | None]:
    tls = policy.tls
    if tls is None and (service.external or not reader.mesh().auto_mtls):
        return Encryption.NEVER, None
    if tls is None or tls.mode is ir.TlsMode.ISTIO_MUTUAL:
        mesh_tls = MeshTls(
            sni=(tls.sni if tls else "") or names.sni(service.hostname, port, subset),
            identities=(tls.subject_alt_names if tls else ()) or identities(reader, service),
            alpn=_MESH_ALPN[application],
            parameters=reader.mesh().mesh_tls,
        )
        return (Encryption.ALWAYS if tls else Encryption.PER_ENDPOINT), mesh_tls
    if tls.mode is ir.TlsMode.DISABLE:
        return Encryption.NEVER, None
    if not tls.subject_alt_names and service.subject_alt_names:
        tls = replace(tls, subject_alt_names=service.subject_alt_names)
    return Encryption.ALWAYS, tls


def _credential(scope: Scope, tls: ir.ClientTls) -> str:
    """The secret's name. What a sidecar is not given it asks for without a namespace, in vain: nothing is sent that is
    not verified."""
    given = scope.type is ProxyType.ROUTER or tls.for_sidecars
    return (
        names.credential(scope.namespace, tls.credential_name)
        if given
        else names.withheld(tls.credential_name)
    )


def identities(reader: Reader, service: ir.Service) -> tuple[str, ...]:
    """Who may serve `service`: what it says itself, else the accounts of its endpoints, healthy or not (an endpoint
    that becomes healthy must not change the cluster)."""
    mesh = reader.mesh()
    if service.subject_alt_names:
        return tuple(sorted({*service.subject_alt_names, *_under_aliases(mesh, service.subject_alt_names)}))
    accounts = {
        (endpoint.namespace or service.namespace, endpoint.service_account)
        for endpoint in reader.endpoints(service.hostname)
        if endpoint.service_account
    }
    return tuple(
        names.spiffe(domain, namespace, account)
        for domain in dict.fromkeys((mesh.trust_domain, *mesh.trust_domain_aliases))
        for namespace, account in sorted(accounts)
    )


def _under_aliases(mesh: ir.Mesh, identities: Sequence[str]) -> Iterator[str]:
    """The identities of the mesh's own trust domain, as each of its aliases has them (as Istio expands them)."""
    own = f"spiffe://{mesh.trust_domain}/"
    for identity in identities:
        if identity.startswith(own):
            for alias in mesh.trust_domain_aliases:
                yield f"spiffe://{alias}/{identity.removeprefix(own)}"


# --- endpoints ------------------------------------------------------------------------------------------------------


def load_assignment(
    reader: Reader, scope: Scope, host: str, port: int, subset: str
) -> LoadAssignmentKey | None:
    service = reader.service(host)
    service_port = service.port(port) if service else None
    if service is None or service_port is None:
        return None
    destination, mesh = reader.destination(scope, host), reader.mesh()
    policy = _with_defaults(destination.policy(subset, port) if destination else ir.TrafficPolicy(), mesh)
    endpoints = localities.of_subset(localities.on_port(reader, service, service_port), destination, subset)
    endpoints = tuple(endpoint for endpoint in endpoints if localities.reachable(endpoint.address))
    if service.node_local:
        endpoints = localities.on_host(scope, endpoints)
    balancing = localities.balancing_of(service, policy, mesh)
    across = localities.across(reader, scope, endpoints, _mutual(service, policy, mesh))
    return LoadAssignmentKey(
        name=names.outbound(host, port, subset),
        localities=localities.of(reader, scope, endpoints, service_port, balancing, across),
    )


def sni_cluster(reader: Reader, scope: Scope, host: str, port: int, subset: str) -> ClusterKey | None:
    """Of connections that a gateway passes on by server name: their TLS is the client's and goes on as it is, so the
    endpoints are those that take mesh TLS. None where there can be none."""
    key = cluster(reader, scope, host, port, subset)
    if key is None or key.discovery not in (Discovery.EDS, Discovery.STRICT_DNS):
        return None
    return ClusterKey(
        name=names.sni(host, port, subset),
        discovery=key.discovery,
        connect_timeout=key.connect_timeout,
        policy=replace(key.policy, proxy_protocol=""),
        service=host,
        buffer=key.buffer,
        load=tuple(_mutual_only(key.load)),
        by_locality=key.by_locality,
        zones=key.zones,
        dns_refresh_rate=key.dns_refresh_rate,
    )


def sni_load_assignment(
    reader: Reader, scope: Scope, host: str, port: int, subset: str
) -> LoadAssignmentKey | None:
    key = load_assignment(reader, scope, host, port, subset)
    if key is None:
        return None
    return LoadAssignmentKey(
        name=names.sni(host, port, subset), localities=tuple(_mutual_only(key.localities))
    )


def _mutual_only(groups: Iterable[LocalityKey]) -> Iterator[LocalityKey]:
    for group in groups:
        mutual = tuple(endpoint for endpoint in group.endpoints if endpoint.mtls)
        if mutual:
            yield replace(group, endpoints=mutual)


def to_unknown_hosts(reader: Reader, scope: Scope) -> str:
    """The cluster to which goes what is for no host that the scope sees."""
    allowed, proxy = reader.outbound(scope)
    if proxy is not None:
        return names.outbound(proxy.host, proxy.port, proxy.subset)
    return names.PASSTHROUGH if allowed else names.BLACK_HOLE


def requests_to_unknown_hosts(reader: Reader, scope: Scope) -> str:
    """The same of HTTP, which says its host: captured, that may be looked up. Facts (Istio): a Sidecar's own policy
    knows no such mode, and what is no HTTP goes to the address that it was for."""
    sidecar, mesh = reader.sidecar(scope), reader.mesh()
    captured = scope.type is ProxyType.SIDECAR and scope.interception is Interception.REDIRECT
    if captured and mesh.outbound_by_name and (sidecar is None or sidecar.allow_any is None):
        return names.BY_NAME
    return to_unknown_hosts(reader, scope)


# --- virtual hosts --------------------------------------------------------------------------------------------------


def virtual_host(
    reader: Reader, scope: Scope, host: str, port: int, domains: tuple[str, ...]
) -> VirtualHostKey | None:
    """None where there is nothing to route. The ports of a service that is not seen are not known either: its host is
    that of VirtualServices alone."""
    service = reader.service(host)
    if not domains:
        return None
    if service is None or not reader.visible(scope, host):
        return _virtual_service_host(reader, scope, host, port, domains)
    service_port = service.port(port)
    if service_port is None:
        return None
    handling = outbound_handling(service_port.protocol)
    tunnel = Tunnel.NONE
    clusters: Clusters = ()
    elsewhere: dict[tuple[Clusters, PerConnection], list[str]] = {}
    connections = AS_IT_COMES
    if scope.interception is Interception.EXPLICIT:
        tunnel = Tunnel.HTTP if handling is Handling.HTTP else Tunnel.TCP
        if tunnel is Tunnel.TCP:
            clusters = tcp_clusters(reader, scope, host, port)
            connections = per_connection(reader, scope, clusters)
            for address in service.addresses[1:]:
                to = tcp_clusters(reader, scope, host, port, address)
                if to != clusters and "/" not in address:
                    by = per_connection(reader, scope, to)
                    elsewhere.setdefault((to, by), []).append(authority(address, port))
    found = () if handling is Handling.TCP else routes(reader, scope, host, port)
    return VirtualHostKey(
        name=f"{host}:{port}",
        domains=domains,
        routes=found,
        port=port,
        tunnel=tunnel,
        tunnel_clusters=clusters,
        tunnel_connections=connections,
        tunnel_elsewhere=tuple((tuple(at), *to) for to, at in elsewhere.items()),
        guarded=_forwards(host, found, clusters),
        looked_up=looked_up(reader, found, (*clusters, *(one for to, _ in elsewhere for one in to))),
        headers=written_headers(reader.mesh().proxy),
    )


def looked_up(reader: Reader, routes: Iterable[ir.Route], tunnels: Clusters = ()) -> tuple[LookedUp, ...]:
    """Of the destinations those whose hosts proxies look up, with the port at which they are."""
    named = {
        cluster_of(one.destination)
        for route in routes
        if isinstance(route.action, ir.Forward)
        for one in route.action.destinations
    }
    found = []
    for cluster in sorted({one for one in (*named, *(name for name, _ in tunnels)) if "*" in one}):
        host, port, _ = names.of_outbound(cluster)
        if reader.is_looked_up(host):
            found.append((cluster, target_port(reader, host, port)))
    return tuple(found)


def target_port(reader: Reader, host: str, number: int) -> int:
    """At which its hosts are: Istio's targetPort, else the port itself."""
    service = reader.service(host)
    port = service.port(number) if service is not None else None
    return port.target_port or number if port is not None else number


def _forwards(host: str, routes: tuple[ir.Route, ...], clusters: Clusters) -> bool:
    """Whether any of it may end in the forward proxy: only wildcard hosts have such clusters. ANY destination."""
    hosts = [host, *(names.of_outbound(name)[0] for name, _ in clusters)]
    for route in routes:
        if isinstance(route.action, ir.Forward):
            hosts += [one.destination.host for one in route.action.destinations]
    return any("*" in one for one in hosts)


def _virtual_service_host(
    reader: Reader, scope: Scope, host: str, port: int, domains: tuple[str, ...]
) -> VirtualHostKey | None:
    """A host that only VirtualServices name."""
    table = reader.route_table(scope, host, port)
    if table is None:
        return None
    explicit = scope.interception is Interception.EXPLICIT
    tunnel = Tunnel.HTTP if explicit else Tunnel.NONE
    return VirtualHostKey(
        name=f"{host}:{port}",
        domains=domains,
        routes=table.routes,
        port=port,
        tunnel=tunnel,
        guarded=_forwards(host, table.routes, ()),
        looked_up=looked_up(reader, table.routes),
        headers=written_headers(reader.mesh().proxy),
    )


def routes(reader: Reader, scope: Scope, host: str, port: int) -> tuple[ir.Route, ...]:
    """What VirtualServices say, else everything to the service itself with the mesh's retries."""
    table = reader.route_table(scope, host, port)
    if table is not None:
        return table.routes
    policy = reader.destination(scope, host)
    chosen = policy.policy("", port).hash if policy else None
    retry = reader.mesh().default_retry
    if retry is not None and chosen is not None:
        # Consistent hashing leads every attempt to the same host: avoiding it would fail the retry.
        retry = replace(retry, ignore_previous_hosts=False)
    forward = ir.Forward(
        destinations=(ir.WeightedDestination(ir.Destination(host, port)),),
        retry=retry,
        hash=(chosen,) if chosen is not None else (),
    )
    return (ir.Route(match=ir.RouteMatch(), action=forward),)


def authority(address: str, port: int) -> str:
    return f"[{address}]:{port}" if ":" in address else f"{address}:{port}"


def tcp_clusters(reader: Reader, scope: Scope, host: str, port: int, address: str = "") -> Clusters:
    """Where connections to `address` that are not HTTP go ("": to where who looks up `host` connects). Whoever opens
    TLS to `host` says its name in the hello, so the routes of that name are the ones that hold."""
    service = reader.service(host)
    service_port = service.port(port) if service else None
    address = address or reader.first_address(host)
    known = (address,) if address else ()
    if service_port is not None and service_port.protocol.is_tls:
        for route in reader.tls_routes(scope, host, port):
            if in_subnets(route.subnets, known) and any(covers(sni, host) for sni in route.sni_hosts):
                return weighted(route.destinations)
    to = routing.chosen(reader.tcp_routes(scope, host, port), address)
    return weighted(to.destinations) if to is not None else ((names.outbound(host, port), 1),)


def weighted(destinations: tuple[ir.WeightedDestination, ...]) -> Clusters:
    return tuple(
        (names.outbound(one.destination.host, one.destination.port, one.destination.subset), one.weight)
        for one in destinations
    )


def tls_chains(
    reader: Reader, scope: Scope, host: str, port: int, address: str
) -> tuple[tuple[tuple[str, ...], Clusters, tuple[str, ...]], ...]:
    """Where TLS connections to a port go by the name in their hello: (names, clusters, destination subnets), the first
    that fits. `address`: the one that all are for; "": any."""
    found = tuple(
        (route.sni_hosts or (host,), weighted(route.destinations), route.subnets)
        for route in reader.tls_routes(scope, host, port)
    )
    return found or (((host,), tcp_clusters(reader, scope, host, port, address), ()),)


def per_connection(reader: Reader, scope: Scope, clusters: Clusters) -> PerConnection:
    """Facts (Istio): of several clusters the first destination's rule counts, without that of its subset."""
    name = clusters[0][0] if clusters else ""
    if not name.startswith("outbound|"):
        return AS_IT_COMES
    host, port, subset = names.of_outbound(name)
    if len(clusters) > 1:
        subset = ""
    destination = reader.destination(scope, host)
    policy = destination.policy(subset, port) if destination else ir.TrafficPolicy()
    whole = destination.policy("", port) if destination else policy
    pool = _with_defaults(whole, reader.mesh()).connection_pool
    return PerConnection(
        idle_timeout=pool.tcp_idle_timeout,
        duration=pool.max_connection_duration,
        hash_source_ip=policy.hash is not None and policy.hash.source_ip,
        tunnel=destination.tunnel_of(subset) if destination else None,
    )
