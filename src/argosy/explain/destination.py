"""The cluster of a destination as one sender has it: policy, endpoints and their state, and who takes what is sent.

Facts (Istio): without a DestinationRule's tls, mutual TLS is chosen for each endpoint by whether it has a sidecar; a
subset's cluster is there where a DestinationRule that the sender sees names it, with endpoints or without.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from msgspec.structs import replace

from argosy.explain.inbound import received
from argosy.explain.outcome import ClusterState, EndpointState, Forwarded, Origin, Target
from argosy.explain.view import View
from argosy.model import ir
from argosy.model.hostnames import covers, is_address
from argosy.model.locality import HOSTNAME, NETWORK, host_of
from argosy.model.networks import apart, network_of
from argosy.model.scope import Interception, ProxyType

PASSTHROUGH = "PassthroughCluster"
BLACK_HOLE = "BlackHoleCluster"
BY_NAME = "AllowAnyDynamicDNSCluster"


def name_of(destination: ir.Destination) -> str:
    return f"outbound|{destination.port}|{destination.subset}|{destination.host}"


def passthrough() -> ClusterState:
    return ClusterState(name=PASSTHROUGH, load_balancer="where the request wanted to go")


def by_name(view: View) -> ClusterState:
    tls = view.reader.mesh().outbound_tls
    return ClusterState(
        name=BY_NAME,
        load_balancer="where its host is looked up",
        tls=f"{tls.mode} (MeshConfig)" if tls is not None else "",
    )


def dealt(view: View, to: Sequence[ir.WeightedDestination], name: str) -> Forwarded:
    """A connection among clusters. `name`: that the proxy sees in it, of a TLS hello that it passes on or of CONNECT.
    Facts (Envoy): nothing else is looked up, and a connection is looked at where all that it is dealt among is."""
    total = sum(one.weight for one in to)
    notes = _tunnelled(view, to)
    nameless = not name or not all(view.reader.is_looked_up(one.destination.host) for one in to)
    return Forwarded(
        targets=tuple(
            Target(
                cluster=not_looked_up(view, one.destination, NAMELESS)
                if nameless
                else cluster(view, one.destination),
                weight=one.weight,
                percent=100.0 * one.weight / total if total else 0.0,
                notes=notes,
            )
            for one in to
        )
    )


NAMELESS = "the name is looked up, and the connection says none"
A_COPY = "the name is looked up, and that of a copy (HOST-shadow) is not"


def not_looked_up(view: View, destination: ir.Destination, why: str) -> ClusterState:
    """What leads nowhere where the name that is asked for would have to be looked up."""
    found = cluster(view, destination)
    if not view.reader.is_looked_up(destination.host):
        return found
    return replace(found, endpoints=tuple(replace(one, refused=why) for one in found.endpoints))


def _tunnelled(view: View, to: Sequence[ir.WeightedDestination]) -> tuple[str, ...]:
    """Facts (Istio): of several destinations the rule of the first counts, and no subset's."""
    if not to:
        return ()
    first = to[0].destination
    policy = view.reader.destination(view.scope, first.host)
    tunnel = policy.tunnel_of(first.subset if len(to) == 1 else "") if policy is not None else None
    if tunnel is None:
        return ()
    return (f"it is a proxy, and asked for {tunnel.authority} by {'POST' if tunnel.post else 'CONNECT'}",)


def proxied(port: ir.ServicePort) -> bool:
    return port.protocol is not ir.Protocol.UDP


def cluster(view: View, destination: ir.Destination) -> ClusterState:
    found = ClusterState(
        name=name_of(destination),
        host=destination.host,
        port=destination.port,
        subset=destination.subset,
        origins=tuple(view.origin(ref) for ref in view.reader.service_origins(destination.host)),
    )
    if missing := _missing(view, destination):
        return replace(found, missing=missing)
    reader, scope = view.reader, view.scope
    service = reader.service(destination.host)
    port = service.port(destination.port) if service is not None else None
    if service is None or port is None:
        raise LookupError(destination)  # `_missing` has said that they are there
    policy = policy_of(view, destination)
    endpoints = _endpoints(view, service, port, destination, policy)
    rules = tuple(view.origin(ref) for ref in reader.destination_origins(scope, destination.host))
    return replace(
        found,
        protocol=_protocol(view, service, port, policy),
        load_balancer=_balancer(policy, _found_by_itself(view, service, policy)),
        tls=_tls(view, service, policy),
        limits=tuple(_limits(policy)),
        outlier_detection=tuple(_outlier(policy.outlier)),
        origins=found.origins + rules,
        endpoints=endpoints,
    )


PASSED_ON = "outbound_."
"""Facts (Istio): how the server name begins that a mesh client asks for: `outbound_.PORT_.SUBSET_.HOST`."""


def by_server_name(view: View, name: str) -> ClusterState | None:
    """The cluster that a mesh client's server name is, where a gateway passes TLS on by it (AUTO_PASSTHROUGH): to the
    endpoints that take mesh TLS, which is the client's own. None where the name is none of these."""
    parts = name.split("_.", 3)
    if not name.startswith(PASSED_ON) or len(parts) != 4 or not parts[1].isdigit():
        return None
    destination = ir.Destination(parts[3], int(parts[1]), parts[2])
    found = replace(cluster(view, destination), name=name, protocol="TCP", tls="the client's, passed on")
    service = view.reader.service(destination.host)
    if service is None or found.missing:
        return found
    if service.external:
        return replace(found, missing=f"{service.hostname} is outside the mesh", endpoints=())
    served = view.reader.auto_passthrough(view.scope)
    if not any(covers(host, service.hostname) for host in served):
        return replace(found, missing=f"no AUTO_PASSTHROUGH server is for {service.hostname}", endpoints=())
    if service.resolution not in (ir.Resolution.STATIC, ir.Resolution.DNS):
        why = f"the endpoints of {service.hostname} are not known: its resolution is {service.resolution}"
        return replace(found, missing=why, endpoints=())
    # Facts (Istio): from network to network goes what is sent with mutual TLS, by the gateway's own rules.
    mutual = (
        one
        for one in found.endpoints
        if one.mode not in ("", ir.MtlsMode.DISABLE) and not (one.through and one.refused)
    )
    return replace(found, endpoints=tuple(replace(one, tls="mutual", refused="") for one in mutual))


def policy_of(view: View, destination: ir.Destination) -> ir.TrafficPolicy:
    """With the mesh's defaults. Facts (Istio): its connectionPool and outlierDetection are for who has none."""
    found = view.reader.destination(view.scope, destination.host)
    policy = found.policy(destination.subset, destination.port) if found is not None else ir.TrafficPolicy()
    mesh = view.reader.mesh()
    pool = policy.connection_pool
    if pool == ir.ConnectionPool() and mesh.connection_pool is not None:
        pool = mesh.connection_pool
    return replace(policy, connection_pool=pool, outlier=policy.outlier or mesh.outlier)


def _missing(view: View, destination: ir.Destination) -> str:
    """Why the sender has no such cluster; "" where it has."""
    service = view.reader.service(destination.host)
    if service is None:
        return f"no service has the host {destination.host}"
    if not view.reader.reachable(view.scope, destination.host):
        return f"{destination.host} {view.unseen(service)}"
    port = service.port(destination.port)
    if port is None or not proxied(port):
        ports = ", ".join(str(one.number) for one in service.ports if proxied(one)) or "none"
        return f"{destination.port} is not a port of {destination.host}; its ports are: {ports}"
    if destination.subset:
        policy = view.reader.destination(view.scope, destination.host)
        subsets = [one.name for one in policy.subsets] if policy is not None else []
        if destination.subset not in subsets:
            named = f"; there are: {', '.join(subsets)}" if subsets else ""
            return f"no DestinationRule gives {destination.host} a subset {destination.subset}{named}"
    return ""


# --- endpoints ------------------------------------------------------------------------------------------------------


def _endpoints(
    view: View,
    service: ir.Service,
    port: ir.ServicePort,
    destination: ir.Destination,
    policy: ir.TrafficPolicy,
) -> tuple[EndpointState, ...]:
    by_itself = (ir.Resolution.NONE, ir.Resolution.DYNAMIC_DNS)
    if service.resolution in by_itself or _found_by_itself(view, service, policy):
        return _itself(view, service, port, policy)
    wanted: frozenset[tuple[str, str]] = frozenset()
    if destination.subset:
        rule = view.reader.destination(view.scope, destination.host)
        subsets = rule.subsets if rule is not None else ()
        wanted = frozenset(next((one.labels for one in subsets if one.name == destination.subset), ()))
    by_name = service.resolution in (ir.Resolution.DNS, ir.Resolution.DNS_ROUND_ROBIN)
    return tuple(
        _endpoint(view, one, service, port, policy)
        for one in view.reader.endpoints(service.hostname)
        if one.port_name == port.name
        and wanted.issubset(one.labels)
        and (by_name or one.address.startswith("unix://") or is_address(one.address))
    )


def _itself(
    view: View, service: ir.Service, port: ir.ServicePort, policy: ir.TrafficPolicy
) -> tuple[EndpointState, ...]:
    """Of a cluster that leads to where the request wanted to go, or to the name itself."""
    by_name = service.resolution is ir.Resolution.DYNAMIC_DNS
    if by_name:
        where = f"the host of the request, looked up, at port {port.target_port or port.number}"
    elif "*" in service.hostname:
        where = "where the request wanted to go"
    else:
        where = f"{service.hostname}:{port.number}"
    if view.scope.type is ProxyType.ROUTER and "*" in service.hostname and not by_name:
        return ()
    return (EndpointState(address=where, healthy=True, tls=_to(view, service, policy, None)),)


def _endpoint(
    view: View, one: ir.Endpoint, service: ir.Service, port: ir.ServicePort, policy: ir.TrafficPolicy
) -> EndpointState:
    workload_port = port.target_port or port.number
    mode: ir.MtlsMode | None = None
    origins: tuple[Origin, ...] = ()
    if one.mtls:
        mode = view.reader.peer_mtls(one.namespace, one.labels, workload_port)
        ref = view.reader.peer_origin(one.namespace, one.labels, workload_port)
        origins = (view.origin(ref),) if ref is not None else ()
    tls = _to(view, service, policy, mode)
    away = ""
    if service.node_local and host_of(dict(one.labels), one.address) != dict(view.scope.client).get(
        HOSTNAME, ""
    ):
        away = "it is on another host, and the Service's internalTrafficPolicy is Local"
    through = _through(view, one) if service.resolution is ir.Resolution.STATIC else ()
    refused = away or received(tls, mode)
    if through and (tls != "mutual" or mode is None):
        refused = "it is in another network, and only mutual TLS is passed on there"
    return EndpointState(
        address=one.address if one.address.startswith("unix://") else f"{one.address}:{one.port}",
        healthy=one.healthy,
        workload=f"{one.namespace}/{one.workload}" if one.workload else "",
        locality=one.locality,
        tls=tls,
        mode=str(mode) if mode is not None else "",
        policies=origins,
        refused=refused,
        through=through,
    )


def _through(view: View, one: ir.Endpoint) -> tuple[str, ...]:
    """The gateways of an endpoint's network that the sender needs; (): none."""
    own = dict(view.scope.client).get(NETWORK, "")
    networks = view.reader.mesh().networks
    other = network_of(networks, one.network, dict(one.labels), one.address)
    if not apart(own, other):
        return ()
    return tuple(f"{address}:{port}" for address, port in view.reader.network_gateways(other))


def _to(view: View, service: ir.Service, policy: ir.TrafficPolicy, mode: ir.MtlsMode | None) -> str:
    """How a connection to an endpoint is made that takes `mode` (None: it has no sidecar)."""
    if policy.tls is not None:
        match policy.tls.mode:
            case ir.TlsMode.DISABLE:
                return "plaintext"
            case ir.TlsMode.ISTIO_MUTUAL:
                return "mutual"
            case _:
                return "originated"
    automatic = not service.external and view.reader.mesh().auto_mtls
    return "mutual" if automatic and mode not in (None, ir.MtlsMode.DISABLE) else "plaintext"


def _found_by_itself(view: View, service: ir.Service, policy: ir.TrafficPolicy) -> bool:
    captured = view.scope.interception is Interception.REDIRECT and view.scope.type is ProxyType.SIDECAR
    return captured and (
        policy.load_balancer is ir.LoadBalancer.PASSTHROUGH or service.resolution is ir.Resolution.NONE
    )


# --- policy in words ------------------------------------------------------------------------------------------------


def _protocol(view: View, service: ir.Service, port: ir.ServicePort, policy: ir.TrafficPolicy) -> str:
    if port.protocol is ir.Protocol.UNSUPPORTED:
        return "as the client speaks"
    if not port.protocol.is_http:
        return "TCP"
    if port.protocol.is_http2:
        return "HTTP/2"
    pool, mesh = policy.connection_pool, view.reader.mesh()
    if pool.use_client_protocol:
        return "as the client speaks"
    wanted = pool.h2_upgrade_policy == "UPGRADE" or (pool.h2_upgrade_policy == "DEFAULT" and mesh.h2_upgrade)
    limited = pool.max_connections is not None or pool.http1_max_pending_requests is not None
    ends = [one for one in view.reader.endpoints(service.hostname) if one.port_name == port.name]
    workload_port = port.target_port or port.number
    all_mutual = all(
        one.mtls
        and view.reader.peer_mtls(one.namespace, one.labels, workload_port) is not ir.MtlsMode.DISABLE
        for one in ends
    )
    automatic = policy.tls is None and not service.external and mesh.auto_mtls
    mutual = automatic or (policy.tls is not None and policy.tls.mode is ir.TlsMode.ISTIO_MUTUAL)
    return "HTTP/2" if wanted and mutual and all_mutual and not limited else "HTTP/1.1"


def _balancer(policy: ir.TrafficPolicy, by_itself: bool) -> str:
    if by_itself:
        return "where the request wanted to go"
    chosen = policy.load_balancer
    if chosen is ir.LoadBalancer.PASSTHROUGH:
        chosen = ir.LoadBalancer.LEAST_REQUEST
    on = hash_in_words(policy.hash) if policy.hash is not None else ""
    return f"{chosen} on {on}" if on else str(chosen)


def hash_in_words(policy: ir.HashPolicy) -> str:
    if policy.header is not None:
        return f"header {policy.header}"
    if policy.cookie_name is not None:
        return f"cookie {policy.cookie_name}"
    if policy.query is not None:
        return f"query parameter {policy.query}"
    return "the sender's address" if policy.source_ip else ""


def _tls(view: View, service: ir.Service, policy: ir.TrafficPolicy) -> str:
    if policy.tls is not None:
        sni = f", server name {policy.tls.sni}" if policy.tls.sni else ""
        return f"{policy.tls.mode}{sni} (DestinationRule)"
    if service.external:
        return "none: the service is outside the mesh"
    return "automatic mutual TLS" if view.reader.mesh().auto_mtls else "none: automatic mutual TLS is off"


def _limits(policy: ir.TrafficPolicy) -> Iterator[str]:
    pool = policy.connection_pool
    for words, value in (
        ("at most {} connections", pool.max_connections),
        ("at most {} waiting requests", pool.http1_max_pending_requests),
        ("at most {} requests at once", pool.http2_max_requests),
        ("at most {} retries at once", pool.max_retries),
        ("{} requests a connection", pool.max_requests_per_connection),
        ("connect within {} ms", pool.connect_timeout),
        ("idle at most {} ms", pool.idle_timeout),
    ):
        if value is not None:
            yield words.format(value)


def _outlier(outlier: ir.OutlierDetection | None) -> Iterator[str]:
    if outlier is None:
        return
    for words, value in (
        ("after {} errors (5xx) in a row", outlier.consecutive_5xx),
        ("after {} gateway errors in a row", outlier.consecutive_gateway),
        ("after {} failures to connect in a row", outlier.consecutive_local_origin),
        ("for {} ms", outlier.base_ejection_time),
        ("at most {} % at once", outlier.max_ejection_percent),
    ):
        if value is not None:
            yield words.format(value)
