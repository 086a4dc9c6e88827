"""The view of one proxy: its listeners, inbound clusters and routes, extension configurations, declared upstreams.

A plan says which of them there are; each node then reads what it needs, so that a port whose PeerAuthentication changes
touches its own listener and policy and nothing else.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

from msgspec import Struct
from msgspec.structs import replace

from argosy.model import ir
from argosy.model.envoy_patches import Side
from argosy.model.hostnames import is_address
from argosy.model.locality import ZONE_AWARE
from argosy.model.reader import Reader
from argosy.model.scope import Interception, ProxyType
from argosy.model.telemetry import Side as Reporting
from argosy.resources.addresses import EVERY_ADDRESS
from argosy.translate import cluster as clusters
from argosy.translate import edge, egress, localities, names, options, outbound, own_policies
from argosy.translate import listener_gateway as gateway
from argosy.translate import listener_inbound as inbound
from argosy.translate import listener_outbound as listeners
from argosy.translate import secret as secrets
from argosy.translate import upstream as of_upstream
from argosy.translate.cluster import Application, ClusterKey, Discovery
from argosy.translate.endpoint import LoadAssignmentKey, load_assignment
from argosy.translate.filters.authorization import Layer, Slot
from argosy.translate.graph import PLAN, Graph, Node, Phase
from argosy.translate.http_or_tcp import (
    Handling,
    inbound_application,
    inbound_handling,
)
from argosy.translate.patches import subject as subjects
from argosy.translate.patches.subject import Subject
from argosy.translate.patches.view import PatchedView
from argosy.translate.proxy import DeclaredUpstream, Proxy
from argosy.translate.resource import CLUSTER, ENDPOINT, EXTENSION, LISTENER, ROUTE, Resource
from argosy.translate.route import (
    InboundRouteKey,
    inbound_routes,
)
from argosy.translate.tls import ServerTls


class OwnPlan(Struct, frozen=True, kw_only=True):
    ports: tuple[tuple[int, Handling], ...] = ()  # workload ports
    bound: tuple[int, ...] = ()  # of them, those that listen by themselves where the others are captured
    authorized: tuple[
        tuple[Layer, int], ...
    ] = ()  # where authorization is asked for: see `names.authorization`
    upstreams: tuple[tuple[DeclaredUpstream, Handling], ...] = ()
    listeners: tuple[tuple[str, int], ...] = ()  # of a gateway: (bind, workload port)
    http3: tuple[tuple[str, int], ...] = ()  # of them, those with a server for HTTP/3


class OwnView(PatchedView):
    def __init__(self, graph: Graph, proxy: Proxy) -> None:
        super().__init__(graph, proxy.scope)
        self.proxy = proxy

    def start(self) -> None:
        super().start()
        proxy = self.proxy
        self.add(PLAN, "own", Phase.PLAN, partial(own_plan, proxy))
        self._part(ENDPOINT, names.LOCAL_CLUSTER, _local_cluster)
        if proxy.type is not ProxyType.SIDECAR:
            return
        if proxy.scope.interception is Interception.REDIRECT:
            self._part(LISTENER, names.VIRTUAL_OUTBOUND, _virtual_outbound)
            self._part(LISTENER, names.VIRTUAL_INBOUND, _virtual_inbound)
            self._part(CLUSTER, names.INBOUND_PASSTHROUGH, _inbound_passthrough)
            return
        self._part(LISTENER, names.CONNECT_HTTP, _connect_http)
        if proxy.outbound_port:
            self._part(LISTENER, names.OUTBOUND_PROXY, _outbound_proxy)

    def secret(self, name: str, reader: Reader) -> Resource | None:
        return secrets.named(self.proxy.scope, name, reader)

    def _part(self, kind: str, name: str, compute: Callable[..., Resource | None], *arguments: Any) -> None:
        self.add(kind, name, Phase.PART, partial(compute, self.proxy, *arguments))

    def subject(self, kind: str, name: str, reader: Reader) -> Subject:
        router = self.proxy.type is ProxyType.ROUTER
        if kind == CLUSTER:
            port = _port_of(reader, self.proxy, name)
            return subjects.cluster(Side.INBOUND, name, port.service_hosts if port else ())
        inbound_names = ("inbound_", "inbound|", names.VIRTUAL_INBOUND)
        side = Side.INBOUND if not router and name.startswith(inbound_names) else self.side
        if kind == ROUTE:
            return subjects.routes(side, name, _virtual_hosts(reader, self.proxy, name))
        number = name.rpartition("_")[2]
        bound = (self.proxy.bound(int(number)),) if router and number.isdigit() else ()
        return subjects.listener(side, name, *bound)

    def settled(self, node: Node, old: Any, new: Any) -> None:
        if node.kind != PLAN:
            super().settled(node, old, new)
            return
        before, after = self._parts(old or OwnPlan()), self._parts(new or OwnPlan())
        for kind, name in before.keys() - after.keys():
            self.remove(kind, name)
        for (kind, name), (compute, *arguments) in after.items():
            self._part(kind, name, compute, *arguments)

    def _parts(self, plan: OwnPlan) -> dict[tuple[str, str], tuple[Any, ...]]:
        found: dict[tuple[str, str], tuple[Any, ...]] = {}
        redirect = self.proxy.scope.interception is Interception.REDIRECT
        for port, handling in plan.ports:
            found[CLUSTER, names.inbound(port)] = (_inbound_cluster, port)
            if not redirect or port in plan.bound:
                found[LISTENER, names.inbound_listener(port)] = (_inbound_listener, port)
            if handling is Handling.HTTP:
                found[ROUTE, names.inbound(port)] = (_inbound_routes, port)
                found[EXTENSION, names.peer_authentication(port)] = (own_policies.peer_authentication, port)
        for layer, told_apart in plan.authorized:
            for slot in Slot:
                name = names.authorization(layer, slot, told_apart)
                found[EXTENSION, name] = (own_policies.authorization, layer, slot, told_apart)
        if plan.listeners or any(handling is Handling.HTTP for _, handling in plan.ports):
            found[EXTENSION, names.CLAIM_HEADERS] = (own_policies.claim_headers,)
            found[EXTENSION, names.REQUEST_AUTHENTICATION] = (own_policies.request_authentication,)
        for upstream, handling in plan.upstreams:
            listener = names.upstream_listener(upstream.host, upstream.port)
            found[LISTENER, listener] = (of_upstream.listener, upstream)
            if handling is Handling.HTTP:
                found[ROUTE, names.upstream_route(upstream.host, upstream.port)] = (
                    of_upstream.routes,
                    upstream,
                )
        for bind, number in plan.listeners:
            name = names.gateway_listener(bind, self.proxy.bind_address, number)
            found[LISTENER, name] = (_gateway_listener, bind, number)
        for bind, number in plan.http3:
            name = names.quic_listener(bind, self.proxy.bind_address, number)
            found[LISTENER, name] = (_quic_listener, bind, number)
        return found


def own_plan(proxy: Proxy, reader: Reader) -> OwnPlan:
    if proxy.type is ProxyType.ROUTER:
        found = reader.gateway_listeners(proxy.scope)
        return OwnPlan(
            authorized=tuple(
                sorted(
                    {
                        (
                            Layer.HTTP if server.routes_http else Layer.TCP,
                            own_policies.told_apart(one.port, proxy.bound(one.port)),
                        )
                        for one in found
                        for server in one.servers
                    }
                )
            ),
            listeners=tuple(sorted((one.bind, one.port) for one in found)),
            http3=tuple(
                sorted(
                    (one.bind, one.port)
                    for one in found
                    if any(server.serves_http3 for server in one.servers)
                )
            ),
        )
    taken = [
        (port, _inbound_handling(reader, proxy, port))
        for port in reader.inbound_ports(proxy.scope, proxy.namespace, proxy.name)
        if inbound_handling(port.protocol) is not Handling.NONE
    ]
    sidecar = reader.sidecar(proxy.scope)
    bound = tuple(one.port for one in sidecar.ingress if not one.captured) if sidecar else ()
    redirect = proxy.scope.interception is Interception.REDIRECT
    upstreams = () if redirect else proxy.upstreams
    authorized = {(Layer.TCP, 0)} if redirect else set()  # of what passes through
    for port, handling in taken:
        apart = (
            0
            if redirect and port.workload not in bound
            else own_policies.told_apart(port.workload, port.bind)
        )
        authorized.add((Layer.HTTP if handling is Handling.HTTP else Layer.TCP, apart))
    return OwnPlan(
        ports=tuple((port.workload, handling) for port, handling in taken),
        bound=bound,
        authorized=tuple(sorted(authorized)),
        upstreams=tuple((one, of_upstream.handling(reader, proxy, one)) for one in upstreams),
    )


# --- inbound --------------------------------------------------------------------------------------------------------


def _port(reader: Reader, proxy: Proxy, number: int) -> ir.WorkloadPort | None:
    ports = reader.inbound_ports(proxy.scope, proxy.namespace, proxy.name)
    return next((port for port in ports if port.workload == number), None)


def _port_of(reader: Reader, proxy: Proxy, inbound_name: str) -> ir.WorkloadPort | None:
    """The workload port of an inbound cluster or RouteConfiguration."""
    number = inbound_name.removeprefix("inbound|").partition("|")[0]
    return _port(reader, proxy, int(number)) if number.isdigit() else None


def _virtual_hosts(reader: Reader, proxy: Proxy, route: str) -> tuple[str, ...]:
    """What Istio calls the virtual host of a RouteConfiguration: an inbound one by the services' ports, a declared
    upstream by the service that it means."""
    if (port := _port_of(reader, proxy, route)) is not None:
        return tuple(f"inbound|http|{number}" for number in port.service_ports)
    for upstream in proxy.upstreams:
        if route == names.upstream_route(upstream.host, upstream.port):
            service = of_upstream.resolve(reader, proxy, upstream)
            return (f"{service.hostname}:{upstream.port}",) if service is not None else ()
    return ()


def _inbound_port(reader: Reader, proxy: Proxy, port: ir.WorkloadPort) -> inbound.InboundPort:
    return inbound.InboundPort(
        port=port.workload,
        handling=_inbound_handling(reader, proxy, port),
        mode=own_policies.mode(reader, proxy, port.workload),
        protocol=port.protocol,
        ends=_own_tls(reader, proxy, port),
        service=port.service_hosts[0] if port.service_hosts else "",
        mesh_tls=reader.mesh().mesh_tls,
        options=options.of_proxy(reader, proxy, Reporting.SERVER),
    )


def _own_tls(reader: Reader, proxy: Proxy, port: ir.WorkloadPort) -> ServerTls | None:
    """The TLS that a Sidecar ends at the port for its application: where the mesh's does not."""
    sidecar = reader.sidecar(proxy.scope)
    written = sidecar.at(port.workload) if sidecar else None
    if written is None or written.tls is None:
        return None
    if own_policies.mode(reader, proxy, port.workload) is not ir.MtlsMode.DISABLE:
        return None
    http = port.protocol.is_http or port.protocol is ir.Protocol.HTTPS
    return edge.server_tls(proxy.namespace, written.tls, ("h2", "http/1.1") if http else (), reader.mesh())


def _inbound_handling(reader: Reader, proxy: Proxy, port: ir.WorkloadPort) -> Handling:
    """HTTPS is HTTP where its TLS ends here."""
    if port.protocol is ir.Protocol.HTTPS and _own_tls(reader, proxy, port) is not None:
        return Handling.HTTP
    return inbound_handling(port.protocol)


def _passing(reader: Reader, proxy: Proxy, declared: set[int]) -> tuple[inbound.InboundPort, ...]:
    """What comes to ports that nobody declares: those of which policy speaks, then the rest."""
    workload = reader.workload(proxy.namespace, proxy.name)
    labels = workload.labels if workload else proxy.labels
    spoken_of = [port for port in reader.peer_ports(proxy.namespace, labels) if port not in declared]
    return tuple(
        inbound.InboundPort(
            port=port,
            handling=Handling.TCP,
            mode=own_policies.mode(reader, proxy, port),
            passes=True,
            mesh_tls=reader.mesh().mesh_tls,
            options=options.of_proxy(reader, proxy, Reporting.SERVER),
        )
        for port in (*spoken_of, 0)
    )


def _listening(reader: Reader, proxy: Proxy, bind: str) -> str:
    """The address of a port that listens by itself. Where traffic is captured never every address: Envoy hands what is
    captured for a port to whoever has it at every address, and takes but one of them."""
    address = bind or proxy.bind_address
    if proxy.scope.interception is not Interception.REDIRECT or address not in EVERY_ADDRESS:
        return address
    workload = reader.workload(proxy.namespace, proxy.name)
    own = (proxy.bind_address, workload.address if workload else "")
    return next((one for one in own if one not in EVERY_ADDRESS and is_address(one)), listeners.LOOPBACK)


def _inbound_listener(proxy: Proxy, number: int, reader: Reader) -> Resource | None:
    port = _port(reader, proxy, number)
    if port is None:
        return None
    sidecar = reader.sidecar(proxy.scope)
    written = sidecar.at(number) if sidecar else None
    address = _listening(reader, proxy, written.bind if written else "")
    if egress.takes(reader, proxy.scope, address, port.bind):
        return None
    return inbound.inbound_listener(
        inbound.InboundListenerKey(
            address=address,
            bind=port.bind,
            inbound=replace(
                _inbound_port(reader, proxy, port),
                told_apart=own_policies.told_apart(port.workload, port.bind),
            ),
        )
    )


def _virtual_inbound(proxy: Proxy, reader: Reader) -> Resource:
    sidecar = reader.sidecar(proxy.scope)
    bound = {one.port for one in sidecar.ingress if not one.captured} if sidecar else set()
    ports = tuple(
        _inbound_port(reader, proxy, port)
        for port in reader.inbound_ports(proxy.scope, proxy.namespace, proxy.name)
        if inbound_handling(port.protocol) is not Handling.NONE and port.workload not in bound
    )
    passing = _passing(reader, proxy, {port.port for port in ports})
    return inbound.virtual_inbound(
        inbound.VirtualInboundKey(
            ports=ports + passing, options=options.of_proxy(reader, proxy, Reporting.SERVER)
        )
    )


def _inbound_cluster(proxy: Proxy, number: int, reader: Reader) -> Resource | None:
    port = _port(reader, proxy, number)
    if port is None:
        return None
    http = port.protocol is ir.Protocol.HTTPS and _own_tls(reader, proxy, port) is not None
    application = inbound_application(ir.Protocol.HTTP if http else port.protocol)
    sidecar = reader.sidecar(proxy.scope)
    pool = sidecar.inbound_pool(number) if sidecar else None
    mesh = reader.mesh()
    key = replace(
        clusters.inbound(port, application, mesh.connect_timeout, pool),
        buffer=mesh.proxy.cluster_buffer,
        preserve_case=mesh.proxy.preserve_case,
    )
    if _passes_on(reader, proxy, port):
        key = replace(
            key, discovery=Discovery.ORIGINAL_DST, load=(), source_address=inbound.PASSTHROUGH_SOURCE
        )
    return clusters.cluster(key)


def _passes_on(reader: Reader, proxy: Proxy, port: ir.WorkloadPort) -> bool:
    """Whether captured connections go on to the address that they were for: as the mesh says, unless it is known where
    the application is."""
    sidecar = reader.sidecar(proxy.scope)
    written = sidecar.at(port.workload) if sidecar else None
    told = port.application != port.workload or (
        written is not None and (written.endpoint is not None or not written.captured)
    )
    captured = proxy.scope.interception is Interception.REDIRECT
    return captured and reader.mesh().inbound_passthrough and not told


def _inbound_passthrough(proxy: Proxy, reader: Reader) -> Resource:
    return clusters.cluster(
        ClusterKey(
            name=names.INBOUND_PASSTHROUGH,
            discovery=Discovery.ORIGINAL_DST,
            application=Application.DOWNSTREAM,
            connect_timeout=reader.mesh().connect_timeout,
            source_address=inbound.PASSTHROUGH_SOURCE,
            buffer=reader.mesh().proxy.cluster_buffer,
            preserve_case=reader.mesh().proxy.preserve_case,
        )
    )


def _inbound_routes(proxy: Proxy, number: int, reader: Reader) -> Resource:
    return inbound_routes(InboundRouteKey(port=number, retry=reader.mesh().inbound_retry))


def _local_cluster(proxy: Proxy, reader: Reader) -> Resource | None:
    """Who is beside the proxy, as its zones are balanced by what there is in each of those that call and of those that
    are called. Without anybody nothing is balanced by zones. None where the proxy has no such cluster."""
    workload = reader.workload(proxy.namespace, proxy.name)
    if workload is None or not workload.locality:
        return None
    key = LoadAssignmentKey(name=names.LOCAL_CLUSTER)
    served = _served_first(workload) if ZONE_AWARE in dict(proxy.scope.client) else None
    service = reader.service(served[0]) if served is not None else None
    port = service.port(served[1]) if service is not None and served is not None else None
    if service is not None and port is not None:
        beside = tuple(
            one for one in localities.on_port(reader, service, port) if localities.reachable(one.address)
        )
        key = replace(key, localities=localities.of(reader, proxy.scope, beside, port, None))
    return load_assignment(key)


def _served_first(workload: ir.Workload) -> tuple[str, int] | None:
    """(host, port) of a service that the workload is of."""
    for port in workload.ports:
        for host, number in zip(port.service_hosts, port.service_ports, strict=True):
            return host, number
    return next(((host, number) for host, number, _ in workload.reached), None)


# --- outbound -------------------------------------------------------------------------------------------------------


def _own_addresses(reader: Reader, proxy: Proxy) -> tuple[str, ...]:
    """What an unknown host must not resolve to, beside the loopback: where this host's own listeners are."""
    workload = reader.workload(proxy.namespace, proxy.name)
    found = {proxy.bind_address, workload.address if workload else ""}
    return tuple(sorted(found - {""}))


def _outbound_proxy(proxy: Proxy, reader: Reader) -> Resource:
    key = listeners.OutboundProxyKey(
        port=proxy.outbound_port,
        own_addresses=_own_addresses(reader, proxy),
        options=options.of_proxy(reader, proxy),
        parted=names.HTTP_PROXY in proxy.scope.parted,
    )
    return listeners.outbound_proxy(key)


def _connect_http(proxy: Proxy, reader: Reader) -> Resource:
    key = listeners.ConnectHttpKey(
        own_addresses=_own_addresses(reader, proxy),
        options=options.of_proxy(reader, proxy),
        parted=names.HTTP_PROXY in proxy.scope.parted,
    )
    return listeners.connect_http(key)


def _virtual_outbound(proxy: Proxy, reader: Reader) -> Resource:
    cluster = outbound.to_unknown_hosts(reader, proxy.scope)
    key = listeners.VirtualOutboundKey(cluster=cluster, options=options.of_proxy(reader, proxy))
    return listeners.virtual_outbound(key)


# --- gateways -------------------------------------------------------------------------------------------------------


def _gateway_listener(proxy: Proxy, bind: str, port: int, reader: Reader) -> Resource | None:
    """None where no server of it leads anywhere."""
    found = edge.listener(proxy.scope, bind, port, reader)
    chains = edge.chains(proxy.scope, found, reader) if found is not None else ()
    if found is None or not chains:
        return None
    return gateway.gateway_listener(
        gateway.GatewayListenerKey(
            name=names.gateway_listener(bind, proxy.bind_address, port),
            address=bind or proxy.bind_address,
            bind=proxy.bound(port),
            told_apart=own_policies.told_apart(port, proxy.bound(port)),
            chains=chains,
            inspects=found.kind is ir.ListenerKind.TLS,
            options=options.of_proxy(reader, proxy),
        )
    )


def _quic_listener(proxy: Proxy, bind: str, port: int, reader: Reader) -> Resource | None:
    found = edge.listener(proxy.scope, bind, port, reader)
    chains = edge.http3_chains(proxy.scope, found, reader) if found is not None else ()
    if not chains:
        return None
    return gateway.quic_listener(
        gateway.GatewayListenerKey(
            name=names.quic_listener(bind, proxy.bind_address, port),
            address=bind or proxy.bind_address,
            bind=proxy.bound(port),
            told_apart=own_policies.told_apart(port, proxy.bound(port)),
            chains=chains,
            options=options.of_proxy(reader, proxy),
        )
    )
