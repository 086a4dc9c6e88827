"""The view that all proxies of one scope share: clusters, endpoints, outbound routes, and captured listeners.

Each host has a plan: which clusters, virtual hosts and captured listeners it has. From plans nodes come and go; what
several hosts may want (a domain, a captured address) is settled by claims. A RouteConfiguration is assembled from
fragments that its virtual hosts keep; where the scope has it in parts (see `parts`), each of these is.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from functools import partial
from typing import Any

from msgspec import Struct
from msgspec.structs import replace

from argosy.model.envoy_patches import PlacedPatch, Side
from argosy.model.hostnames import covers, visible_from
from argosy.model.reader import Reader
from argosy.model.scope import Interception, ProxyType, Scope
from argosy.model.sidecars import EgressListener
from argosy.translate import captured, domains, egress, names, outbound, parts
from argosy.translate import cluster as clusters
from argosy.translate import endpoint as endpoints
from argosy.translate import listener_outbound as listeners
from argosy.translate import secret as secrets
from argosy.translate.cluster import Discovery
from argosy.translate.domains import Claims, Rank
from argosy.translate.generator import Fragment
from argosy.translate.graph import PLAN, VIRTUAL_HOST, Graph, Node, Phase
from argosy.translate.http_or_tcp import Handling, outbound_handling
from argosy.translate.joined import Owner, VirtualHosts
from argosy.translate.patches import additions
from argosy.translate.patches import subject as subjects
from argosy.translate.patches.subject import Subject
from argosy.translate.patches.view import PatchedView, Patches, of_configurations, of_hosts
from argosy.translate.resource import CLUSTER, ENDPOINT, LISTENER, ROUTE, SCOPE, Resource
from argosy.translate.route import (
    CatchAllKey,
    RouteConfigurationKey,
    Tunnel,
    catch_all,
    route_configuration,
    virtual_host,
    written_headers,
)

EGRESS_PLAN = "egress"
ADDED = "added"
VIRTUAL_HOST_PORT = 80
"""Istio: a host that only a VirtualService names is served on port 80."""


class VirtualHostPlan(Struct, frozen=True):
    route: str  # the RouteConfiguration
    port: int
    domains: tuple[tuple[str, Rank], ...]


class HostPlan(Struct, frozen=True, kw_only=True):
    clusters: tuple[tuple[int, str], ...] = ()  # (port, subset)
    by_sni: bool = False  # whether each has a second one, for connections that are passed on by server name
    virtual_hosts: tuple[VirtualHostPlan, ...] = ()
    captured: tuple[tuple[int, str, Rank], ...] = ()  # (port, name of the listener, rank)


class SharedView(PatchedView):
    def __init__(self, graph: Graph, scope: Scope) -> None:
        super().__init__(graph, scope)
        self.domains: dict[str, Claims[Owner]] = {}  # of each RouteConfiguration
        self.fragments: dict[str, VirtualHosts] = {}  # of each RouteConfiguration, or part of one
        self.addresses: Claims[Owner] = Claims()  # captured listeners
        self.listening: Counter[str] = Counter()  # how many of them a port has
        self.bound: set[str] = set()  # listeners that a Sidecar binds
        self.of_hosts: Patches = ()  # patches of virtual hosts that are joined
        self.of_joined: Patches = ()  # and of what they are joined in
        self.additions: dict[additions.Place, tuple[PlacedPatch, additions.AdditionKey]] = {}
        self.added: dict[additions.Place, Resource] = {}  # by patches; what is generated goes before it

    # --- what there is ----------------------------------------------------------------------------------------------

    def start(self) -> None:
        super().start()
        explicit = self.scope.interception is Interception.EXPLICIT
        sidecar = self.scope.type is ProxyType.SIDECAR
        self.add(CLUSTER, names.BLACK_HOLE, Phase.PART, _black_hole)
        if sidecar:
            discovery = Discovery.FORWARD_PROXY if explicit else Discovery.ORIGINAL_DST
            self.add(CLUSTER, names.PASSTHROUGH, Phase.PART, partial(_passthrough, discovery))
            self.add(CLUSTER, names.BY_NAME, Phase.PART, partial(_by_name, self.scope))
        if sidecar and explicit:
            self.add(CLUSTER, names.CONNECT_HTTP, Phase.PART, _connect_http)
            self._routes(names.HTTP_PROXY)
        if self.scope.sidecar:
            self.add(PLAN, EGRESS_PLAN, Phase.PLAN, partial(_bound_egress, self.scope))
        reader = Reader(self.graph.snapshot)
        for host in (*reader.hosts(), *reader.virtual_hosts()):
            self.join(host)

    def join(self, host: str) -> None:
        """A host of the model, of a service or of VirtualServices alone: it has a plan."""
        self.add(PLAN, f"host/{host}", Phase.PLAN, partial(host_plan, self.scope, host))

    def leave(self, host: str) -> None:
        self.remove(PLAN, f"host/{host}")

    def settled(self, node: Node, old: Any, new: Any) -> None:
        if isinstance(old, HostPlan) or isinstance(new, HostPlan):
            self._replan(node.name.removeprefix("host/"), old or HostPlan(), new or HostPlan())
        elif node.kind == PLAN and node.name == EGRESS_PLAN:
            self._replan_egress(old or (), new or ())
        elif node.kind == VIRTUAL_HOST:
            self._place(node, old, new)
        elif node.kind == ADDED:
            self._add(_place_of(node.name), new)
        else:
            super().settled(node, old, new)
            if node.kind == CLUSTER:
                self._follow(node, new)

    def secret(self, name: str, reader: Reader) -> Resource | None:
        return secrets.named(self.scope, name, reader)

    def slot(self, node: Node) -> tuple[str, str]:
        if node.kind == VIRTUAL_HOST:
            return ROUTE, route_of(node.name)[0]
        if node.kind == ADDED:
            return _place_of(node.name)
        return super().slot(node)

    def slots(self, node: Node) -> Iterable[tuple[str, str]]:
        if node.kind == VIRTUAL_HOST:
            route, owner = route_of(node.name)
            if route in self.scope.parted:
                made = parts.of_fragment(node.value) if node.value is not None else None
                found = made or parts.of_domains(self._domains_of(route, owner))
                return ((ROUTE, parts.name(route, part)) for part in found)
        return super().slots(node)

    def _domains_of(self, route: str, owner: Owner) -> Iterable[str]:
        return self.domains[route].held(owner)

    def publish(self, type_url: str, name: str, resource: Resource | None) -> None:
        super().publish(type_url, name, resource or self.added.get((type_url, name)))

    # --- patches ----------------------------------------------------------------------------------------------------

    def subject(self, kind: str, name: str, reader: Reader) -> Subject:
        if kind == CLUSTER:
            return subjects.cluster(self.side, name)
        return subjects.routes(self.side, name) if kind == ROUTE else subjects.listener(self.side, name)

    def patches_of(self, kind: str, name: str) -> Patches:
        return self.of_joined if kind == ROUTE and name in self.fragments else super().patches_of(kind, name)

    def patches_changed(self, patches: Patches) -> None:
        of_routes = self.patches.get(ROUTE, ())
        self.of_hosts, self.of_joined = of_hosts(of_routes), of_configurations(of_routes)
        sides = (Side.INBOUND, Side.OUTBOUND) if self.scope.type is ProxyType.SIDECAR else (Side.GATEWAY,)
        before = self.additions
        self.additions, failed = additions.of(patches, sides)
        self.fault(ADDED, "", failed)
        for type_url, name in before.keys() - self.additions.keys():
            self.remove(ADDED, f"{type_url} {name}")
        for type_url, name in self.additions:
            compute = partial(self._addition, (type_url, name))
            self.add(ADDED, f"{type_url} {name}", Phase.PART, compute)
            self.mark(ADDED, f"{type_url} {name}")

    def _addition(self, place: additions.Place, reader: Reader) -> Resource:
        patch, key = self.additions[place]
        reader.envoy_filter(patch.namespace, patch.name)
        return additions.addition(key)

    def _add(self, place: additions.Place, new: Resource | None) -> None:
        if new is None:
            self.added.pop(place, None)
        else:
            self.added[place] = new
        generated = self.nodes.get(place)
        if generated is None or generated.value is None:
            self.publish(*place, new)

    # --- plans ------------------------------------------------------------------------------------------------------

    def _replan(self, host: str, old: HostPlan, new: HostPlan) -> None:
        gone, kept = set(old.clusters) - set(new.clusters), set(new.clusters)
        for port, subset in gone:
            self.remove(CLUSTER, names.outbound(host, port, subset))
        for port, subset in new.clusters:
            compute = partial(_cluster, self.scope, host, port, subset)
            self.add(CLUSTER, names.outbound(host, port, subset), Phase.PART, compute)
        for port, subset in (gone if new.by_sni else gone | kept) if old.by_sni else ():
            self.remove(CLUSTER, names.sni(host, port, subset))
        for port, subset in kept if new.by_sni else ():
            compute = partial(_sni_cluster, self.scope, host, port, subset)
            self.add(CLUSTER, names.sni(host, port, subset), Phase.PART, compute)
        self._replan_virtual_hosts(host, old, new)
        after: dict[int, dict[str, Rank]] = {port: {} for port, _, _ in old.captured + new.captured}
        for port, name, rank in new.captured:
            after[port][name] = rank
        for port, wanted in after.items():
            touched = {*self.addresses.wants.get((host, port), ()), *wanted}
            self.addresses.update((host, port), wanted)
            for name in {captured.listener_of(one) for one in touched}:
                self._capture(name)

    def _replan_virtual_hosts(self, host: str, old: HostPlan, new: HostPlan) -> None:
        before = {(plan.route, plan.port): plan for plan in old.virtual_hosts}
        after = {(plan.route, plan.port): plan for plan in new.virtual_hosts}
        for route, port in before.keys() - after.keys():
            self._claim(route, (host, port), {})
            self.remove(VIRTUAL_HOST, f"{route} {host} {port}")
            if not self.domains[route].wants and route != names.HTTP_PROXY:
                self._no_routes(route)
        for (route, port), plan in after.items():
            self._routes(route)
            self._claim(route, (host, port), dict(plan.domains))
            compute = partial(self._virtual_host, route, host, port)
            self.add(VIRTUAL_HOST, f"{route} {host} {port}", Phase.PART, compute)

    def _claim(self, route: str, owner: Owner, wanted: dict[str, Rank]) -> None:
        moved = self.domains[route].update(owner, wanted)
        for host, port in set().union(*moved.values()):
            self.mark(VIRTUAL_HOST, f"{route} {host} {port}")

    def _routes(self, route: str) -> None:
        if route in self.domains:
            return
        self.domains[route] = Claims()
        self._configure(route)

    def _no_routes(self, route: str) -> None:
        del self.domains[route]
        self._leave_out(route)

    def _configure(self, route: str) -> None:
        for name in self._configurations(route):
            self.fragments[name] = VirtualHosts()
            self.add(ROUTE, name, Phase.ASSEMBLY, partial(self._assemble, route, name))
            if route in self.scope.parted:
                self.add(SCOPE, name, Phase.PART, partial(_scope, name))

    def _leave_out(self, route: str) -> None:
        for name in self._configurations(route):
            del self.fragments[name]
            self.remove(ROUTE, name)
            self.remove(SCOPE, name)
        self.forget_patches(VIRTUAL_HOST, last_host(route))

    def _configurations(self, route: str) -> tuple[str, ...]:
        """The RouteConfigurations that hold the virtual hosts of a route."""
        return tuple(parts.names(route)) if route in self.scope.parted else (route,)

    def _capture(self, name: str) -> None:
        """A listener of captured traffic comes or goes. Facts (Istio): where a Sidecar's listener is bound to the same
        address and port, that one takes what is captured for it, too."""
        if name in self.bound:
            return
        held = (LISTENER, name) in self.nodes
        wanted = any(self.addresses.holder(one) for one in (name, f"{name}{captured.BLOCKS}"))
        if wanted:
            self.add(LISTENER, name, Phase.PART, partial(self._captured, name))
            self.mark(LISTENER, name)
        else:
            self.remove(LISTENER, name)
        if held != wanted:
            self._listens(name, 1 if wanted else -1)

    def _listens(self, name: str, change: int) -> None:
        port = name.rpartition("_")[2]
        self.listening[port] += change
        for name in self._configurations(port):
            self.mark(ROUTE, name)

    def _replan_egress(self, old: tuple[EgressListener, ...], new: tuple[EgressListener, ...]) -> None:
        """A listener that says something else is another one."""
        for written in old:
            if written not in new:
                name = egress.name(written)
                self.remove(LISTENER, name)
                self.remove(ROUTE, name)
                self.bound.discard(name)
                self._capture(name)
        for written in new:
            name = egress.name(written)
            if name not in self.bound and (LISTENER, name) in self.nodes:
                self.remove(LISTENER, name)
                self._listens(name, -1)
            self.bound.add(name)
            of = partial(egress.bound_listener, self.scope, written)
            self.add(LISTENER, name, Phase.PART, of)
            if outbound_handling(written.protocol) is not Handling.TCP:
                routes = partial(egress.bound_routes, self.scope, written)
                self.add(ROUTE, name, Phase.PART, routes)

    def _follow(self, node: Node, new: Resource | None) -> None:
        """An EDS cluster has endpoints as long as it is one."""
        if new is None or new.follow is None:
            self.remove(ENDPOINT, node.name)
            return
        compute = partial(_load_assignment, self.scope, new.follow)
        self.add(ENDPOINT, new.follow, Phase.PART, compute)

    # --- values -----------------------------------------------------------------------------------------------------

    def _virtual_host(self, route: str, host: str, port: int, reader: Reader) -> Fragment | None:
        held = self.domains[route].held((host, port))
        key = outbound.virtual_host(reader, self.scope, host, port, held)
        made = virtual_host(key) if key is not None else None
        # One for all ports: patches for a port mean the hosts of that port.
        own_port = port if route == names.HTTP_PROXY else 0
        return self.with_patches(f"{route} {host} {port}", made, route, f"{host}:{port}", reader, own_port)

    def with_patches(
        self, at: str, made: Fragment | None, route: str, name: str, reader: Reader, port: int = 0
    ) -> Fragment | None:
        """A virtual host as patches leave it. `at` is unique in the view; by `name` and `port` they mean it."""
        if not self.of_hosts:
            self.forget_patches(VIRTUAL_HOST, at)
            return made
        subject = subjects.virtual_host(self.side, route, name, port)
        return self.patched_host(at, made, subject, self.of_hosts, reader)

    def _last_host(self, route: str, reader: Reader) -> Fragment | None:
        """For hosts that no other names."""
        key = CatchAllKey(
            cluster=outbound.requests_to_unknown_hosts(reader, self.scope),
            tunnel=Tunnel.TCP if self.scope.interception is Interception.EXPLICIT else Tunnel.NONE,
            headers=written_headers(reader.mesh().proxy),
        )
        return self.with_patches(last_host(route), catch_all(key), route, key.name, reader)

    def _place(self, node: Node, old: Fragment | None, new: Fragment | None) -> None:
        route, owner = route_of(node.name)
        if route not in self.scope.parted:
            self.fragments[route].put(owner, new)
            self.mark(ROUTE, route)
            return
        wanted = parts.of_fragment(new) if new is not None else frozenset()
        for part in wanted | (parts.of_fragment(old) if old is not None else wanted):
            name = parts.name(route, part)
            self.fragments[name].put(owner, new if part in wanted else None)
            self.mark(ROUTE, name)

    def _assemble(self, route: str, name: str, reader: Reader) -> Resource | None:
        """Of `route`, or the part `name` of it. None where nothing listens for it: a host that is no service brings no
        port with it."""
        if self.scope.interception is Interception.REDIRECT and not self.listening[route]:
            return None
        rest = self._last_host(route, reader)
        last = (rest,) if rest is not None else ()
        hosts = (*self.fragments[name].ordered(), *last)
        return route_configuration(RouteConfigurationKey(name=name, virtual_hosts=hosts))

    def _captured(self, name: str, reader: Reader) -> Resource | None:
        key = captured.captured(reader, self.scope, name, self.addresses)
        return listeners.captured_listener(key) if key is not None else None


def _place_of(added_name: str) -> additions.Place:
    type_url, _, name = added_name.partition(" ")
    return type_url, name


def last_host(route: str) -> str:
    """Under which its virtual host for all other hosts is patched."""
    return f"{route} *"


def route_of(virtual_host_name: str) -> tuple[str, Owner]:
    route, host, port = virtual_host_name.rsplit(" ", 2)
    return route, (host, int(port))


def host_plan(scope: Scope, host: str, reader: Reader) -> HostPlan | None:
    """None where nothing is to be had for the host."""
    service = reader.service(host)
    if service is None:
        return _virtual_host_plan(scope, host, reader)
    if not reader.reachable(scope, host):
        return _virtual_host_plan(scope, host, reader) if scope.sidecar else HostPlan()
    ports = tuple(port for port in service.ports if outbound_handling(port.protocol) is not Handling.NONE)
    subsets = outbound.subsets(reader.destination(scope, host))
    planned = tuple((port.number, subset) for port in ports for subset in subsets)
    if scope.type is not ProxyType.SIDECAR:
        passed_on = not service.external and any(covers(one, host) for one in reader.auto_passthrough(scope))
        return HostPlan(clusters=planned, by_sni=passed_on)
    if scope.sidecar:
        if not reader.visible(scope, host):
            return replace(_virtual_host_plan(scope, host, reader) or HostPlan(), clusters=planned)
        ports = tuple(port for port in ports if reader.visible_at(scope, host, port.number))
    hosts = domains.hosts_of(service, scope.namespace, reader.mesh().domain_suffix)
    for alias in reader.aliases(host):
        if visible_from(alias, reader.mesh().service_export, scope.namespace):
            hosts += domains.hosts_of(alias, scope.namespace, reader.mesh().domain_suffix)
    virtual_hosts, captures = [], []
    for port in ports:
        handling = outbound_handling(port.protocol)
        if scope.interception is Interception.EXPLICIT:
            wanted = domains.with_port(hosts, port.number) + (hosts if port.number == 80 else ())
            ranked = tuple(domains.ranks(service, wanted).items())
            virtual_hosts.append(VirtualHostPlan(names.HTTP_PROXY, port.number, ranked))
            continue
        if handling is not Handling.TCP:
            wanted = hosts + domains.with_port(hosts, port.number)
            ranked = tuple(domains.ranks(service, wanted).items())
            virtual_hosts.append(VirtualHostPlan(str(port.number), port.number, ranked))
        at = egress.captured_address(reader, scope, port.number) if scope.sidecar else ""
        rank = (0, service.created, service.hostname)
        captures += [(port.number, name, rank) for name in captured.claims(service, port, at)]
    return HostPlan(clusters=planned, virtual_hosts=tuple(virtual_hosts), captured=tuple(captures))


def _virtual_host_plan(scope: Scope, host: str, reader: Reader) -> HostPlan | None:
    """A host that only VirtualServices name."""
    if scope.type is not ProxyType.SIDECAR or host == "*" or not reader.stands_alone(scope, host):
        return None
    if reader.route_table(scope, host, VIRTUAL_HOST_PORT) is None:
        return None
    route = names.HTTP_PROXY if scope.interception is Interception.EXPLICIT else str(VIRTUAL_HOST_PORT)
    rank = (0, "", host)
    wanted = ((host, rank), (f"{host}:{VIRTUAL_HOST_PORT}", rank))
    return HostPlan(virtual_hosts=(VirtualHostPlan(route, VIRTUAL_HOST_PORT, wanted),))


def _bound_egress(scope: Scope, reader: Reader) -> tuple[EgressListener, ...]:
    return egress.bound(reader, scope)


def _cluster(scope: Scope, host: str, port: int, subset: str, reader: Reader) -> Resource | None:
    key = outbound.cluster(reader, scope, host, port, subset)
    return clusters.cluster(key) if key is not None else None


def _sni_cluster(scope: Scope, host: str, port: int, subset: str, reader: Reader) -> Resource | None:
    key = outbound.sni_cluster(reader, scope, host, port, subset)
    return clusters.cluster(key) if key is not None else None


def _load_assignment(scope: Scope, name: str, reader: Reader) -> Resource | None:
    if names.is_sni(name):
        key = outbound.sni_load_assignment(reader, scope, *names.of_sni(name))
    else:
        key = outbound.load_assignment(reader, scope, *names.of_outbound(name))
    return endpoints.load_assignment(key) if key is not None else None


def _scope(name: str, reader: Reader) -> Resource:
    return parts.scope(parts.ScopeKey(name))


def _black_hole(reader: Reader) -> Resource:
    return clusters.cluster(clusters.black_hole(reader.mesh().connect_timeout))


def _passthrough(discovery: Discovery, reader: Reader) -> Resource:
    mesh = reader.mesh()
    key = clusters.passthrough(discovery, mesh.connect_timeout)
    return clusters.cluster(
        replace(key, buffer=mesh.proxy.cluster_buffer, preserve_case=mesh.proxy.preserve_case)
    )


def _by_name(scope: Scope, reader: Reader) -> Resource | None:
    used = outbound.requests_to_unknown_hosts(reader, scope) == names.BY_NAME
    return clusters.cluster(clusters.by_name(reader.mesh())) if used else None


def _connect_http(reader: Reader) -> Resource:
    return clusters.cluster(clusters.connect_http(reader.mesh().connect_timeout))
