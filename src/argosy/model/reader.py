"""The Reader: every answer out of the Snapshot, and the facts it was made from.

Rule: nothing is read past it, so `facts` is exact: as long as none of them changes, every answer stays the same.
A question about a host reads the facts of all the names that configuration may write for it (itself and each
wildcard), so that a rule that comes later is noticed too.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from functools import lru_cache

from argosy.model import attachment, destinations, gateways, ir, peers, policies, routing, tokens
from argosy.model.delegates import numbered
from argosy.model.envoy_patches import PlacedPatch
from argosy.model.facts import Fact, FactKind
from argosy.model.hostnames import MESH_GATEWAY, covers, patterns, visible_from
from argosy.model.ir.tokens import TokenRule
from argosy.model.locality import FAILOVER, NETWORK
from argosy.model.networks import Address
from argosy.model.routing import Place
from argosy.model.rules import (
    DestinationRuleRule,
    EnvoyFilterRule,
    GatewayRule,
    HttpRule,
    PeerAuthenticationRule,
    VirtualServiceRule,
    policy_groups,
)
from argosy.model.scope import ProxyType, Scope, Selector, SelectorUse
from argosy.model.secrets import SecretRule
from argosy.model.sidecars import SidecarRule
from argosy.model.snapshot import HOSTS, LOOKED_UP, MESH, SELECTORS, VIRTUAL_HOSTS, Snapshot
from argosy.model.tables.base import split
from argosy.model.telemetry import Side, Telemetry, resolve
from argosy.model.tokens import KeySource


@lru_cache(maxsize=65536)
def _host_facts(kind: FactKind, hostname: str) -> tuple[Fact, ...]:
    return tuple(_fact(kind, pattern) for pattern in patterns(hostname))


@lru_cache(maxsize=65536)
def _fact(kind: FactKind, name: str) -> Fact:
    """One object per fact: a reverse index holds each many times."""
    return Fact(kind, name)


@lru_cache(maxsize=65536)
def _policy_facts(namespace: str, labels: ir.Pairs) -> tuple[tuple[str, ...], frozenset[Fact]]:
    """The groups in which a workload's policies are, and their facts."""
    groups = policy_groups(namespace, labels)
    return groups, frozenset(_fact(FactKind.PEER_AUTHENTICATION, group) for group in groups)


class Reader:
    """Short-lived: one for each result whose dependencies are to be known."""

    __slots__ = ("_snapshot", "facts")

    def __init__(self, snapshot: Snapshot) -> None:
        self._snapshot = snapshot
        self.facts: set[Fact] = set()

    # --- what there is ----------------------------------------------------------------------------------------------

    def hosts(self) -> tuple[str, ...]:
        """All hostnames of services, sorted, visible or not."""
        self.facts.add(HOSTS)
        return self._snapshot.sorted_hosts()

    def virtual_hosts(self) -> tuple[str, ...]:
        """Hosts that VirtualServices for sidecars name and no service has, sorted: names, and wildcards; whether a
        wildcard is a host of its own is said by `stands_alone`."""
        self.facts.add(VIRTUAL_HOSTS)
        return self._snapshot.virtual_hosts()

    def looks_up(self) -> bool:
        """Whether proxies look up the hosts of any service (DYNAMIC_DNS), visible or not."""
        self.facts.add(LOOKED_UP)
        return self._snapshot.looks_up

    def is_looked_up(self, hostname: str) -> bool:
        service = self.service(hostname)
        return service is not None and service.resolution is ir.Resolution.DYNAMIC_DNS

    def service(self, hostname: str) -> ir.Service | None:
        self.facts.add(_fact(FactKind.SERVICE, hostname))
        return self._snapshot.services.get(hostname)

    def concrete(self, hostname: str) -> str:
        """The host itself, or what it is an alias of."""
        for name in self._snapshot.aliases.chain(hostname):
            self.facts.add(_fact(FactKind.SERVICE, name))
            hostname = name
        return hostname

    def aliases(self, hostname: str) -> tuple[ir.Service, ...]:
        """Those of a service, sorted; theirs, too."""
        found = self._snapshot.aliases.of(hostname)
        self.facts.update(
            _fact(FactKind.SERVICE, one) for one in (hostname, *(one.hostname for one in found))
        )
        return found

    def endpoints(self, hostname: str) -> tuple[ir.Endpoint, ...]:
        """Healthy or not, in a stable order."""
        self.facts.add(_fact(FactKind.ENDPOINTS, hostname))
        return self._snapshot.endpoints.get(hostname, ())

    def network_gateways(self, network: str) -> tuple[Address, ...]:
        """Through which those of a network are reached from others, sorted; (): directly."""
        found: set[Address] = set()
        for one in (one for known in self.mesh().networks if known.name == network for one in known.gateways):
            service = self.service(one.service) if one.service else None
            port = service.port(one.port) if service is not None else None
            if port is not None:
                endpoints = self.endpoints(one.service)
                found |= {(e.address, e.port) for e in endpoints if e.healthy and e.port_name == port.name}
            elif one.address:
                found.add((one.address, one.port))
        return tuple(sorted(found))

    def mesh(self) -> ir.Mesh:
        self.facts.add(MESH)
        return self._snapshot.mesh

    def workload(self, namespace: str, name: str) -> ir.Workload | None:
        self.facts.add(_fact(FactKind.WORKLOAD, f"{namespace}/{name}"))
        return self._snapshot.workloads.get((namespace, name))

    def secret(self, namespace: str, name: str) -> SecretRule | None:
        self.facts.add(_fact(FactKind.SECRET, f"{namespace}/{name}"))
        return self._snapshot.secrets.rules.get((namespace, name))

    def selectors(
        self, namespace: str, labels: ir.Pairs, metadata: ir.Pairs = (), address: str = "", account: str = ""
    ) -> tuple[Selector, ...]:
        """The selectors in use that match a proxy of these labels, with this metadata of its node, at this address, of
        this service account."""
        self.facts.add(SELECTORS)
        root = self.mesh().root_namespace
        return self._snapshot.selectors.matching(namespace, labels, metadata, address, root, account)

    def traits(self) -> frozenset[str]:
        """What locality load balancing asks of clients, and networks that are reached through gateways."""
        self.facts.add(SELECTORS)
        asked, mesh = self._snapshot.selectors.traits(), self.mesh()
        failing = FAILOVER in asked or mesh.outlier is not None
        always = mesh.locality.distribute or mesh.locality.zone_aware
        default = mesh.locality.traits if failing or always else frozenset()
        apart = frozenset((NETWORK,)) if any(one.gateways for one in mesh.networks) else frozenset()
        return (asked - {FAILOVER}) | default | apart

    # --- what a scope sees ------------------------------------------------------------------------------------------

    def chosen_sidecar(self, namespace: str, selectors: Iterable[Selector]) -> str:
        """`namespace/name` of the Sidecar of a workload which the selectors match; "" where it has none."""
        self.facts.add(SELECTORS)
        return self._snapshot.sidecars.chosen(namespace, self.mesh().root_namespace, selectors)

    def sidecar(self, scope: Scope) -> SidecarRule | None:
        if not scope.sidecar:
            return None
        self.facts.add(_fact(FactKind.SIDECAR, scope.sidecar))
        return self._snapshot.sidecars.rules.get(split(scope.sidecar))

    def _exported(self, scope: Scope, hostname: str) -> ir.Service | None:
        service = self.service(hostname)
        seen = service is not None and visible_from(service, self.mesh().service_export, scope.namespace)
        return service if seen else None

    def _shown(self, rule: VirtualServiceRule, namespace: str) -> bool:
        return visible_from(rule, self.mesh().virtual_service_export, namespace)

    def visible(self, scope: Scope, hostname: str) -> bool:
        """Whether a service is seen under its own name, at any of its ports."""
        service = self._exported(scope, hostname)
        if service is None:
            return False
        sidecar = self.sidecar(scope)
        return sidecar is None or sidecar.imports_service(service)

    def visible_at(self, scope: Scope, hostname: str, port: int) -> bool:
        """Whether a service is seen under its own name at one port."""
        service = self._exported(scope, hostname)
        if service is None:
            return False
        sidecar = self.sidecar(scope)
        return sidecar is None or sidecar.lists(service, port)

    def reachable(self, scope: Scope, hostname: str) -> bool:
        """Whether a service is seen, or something that is imported leads to it."""
        service = self._exported(scope, hostname)
        if service is None:
            return False
        sidecar = self.sidecar(scope)
        if sidecar is None or sidecar.imports_service(service):
            return True
        if sidecar.egress_proxy is not None and sidecar.egress_proxy.host == hostname:
            return True
        names = (hostname, *(alias.hostname for alias in self.aliases(hostname)))
        self.facts.update(_fact(FactKind.TARGETS, name) for name in names)
        return any(
            MESH_GATEWAY in rule.gateways
            and self._shown(rule, scope.namespace)
            and sidecar.imports_rule(rule)
            for name in names
            for rule in self._snapshot.virtual_services.leading_to(name)
        )

    def stands_alone(self, scope: Scope, host: str) -> bool:
        """Whether a VirtualService's host means no service that the scope sees, and so is a host of its own."""
        if not scope.sidecar:
            self.facts.update((_fact(FactKind.SERVICE, host), _fact(FactKind.ROUTES, host)))
            return self._snapshot.stands_alone(host)
        if not host.startswith("*"):
            return not self.visible(scope, host)
        return not any(self.visible(scope, one) for one in self.hosts() if covers(host, one))

    def inbound_ports(self, scope: Scope, namespace: str, name: str) -> tuple[ir.WorkloadPort, ...]:
        """The ports of a workload in the order of their numbers: those of its Sidecar, else those of its entry."""
        workload = self.workload(namespace, name)
        sidecar = self.sidecar(scope)
        return (sidecar or SidecarRule(namespace="", name="")).ports(workload)

    def outbound(self, scope: Scope) -> tuple[bool, ir.Destination | None]:
        """Whether requests to hosts that are not seen are let through, and the service through which they go."""
        sidecar = self.sidecar(scope)
        if sidecar is None or sidecar.allow_any is None:
            return self.mesh().outbound_allow_any, None
        proxy = sidecar.egress_proxy
        if proxy is None:
            return sidecar.allow_any, None
        return sidecar.allow_any, routing.destination(proxy, 0, self)

    # --- routes -----------------------------------------------------------------------------------------------------

    def route_table(self, scope: Scope, hostname: str, port: int) -> ir.RouteTable | None:
        """The HTTP routes of sidecars for a host and service port; None where no VirtualService has any."""
        place = Place(scope, MESH_GATEWAY, port)
        for rule in self._virtual_services(scope, hostname, port):
            routes = routing.http_routes(self._http_rules(rule), place, self)
            if routes:
                return ir.RouteTable(routes)
        return None

    def tcp_destinations(
        self, scope: Scope, hostname: str, port: int
    ) -> tuple[ir.WeightedDestination, ...] | None:
        """Where TCP connections of sidecars to a host and service port go, as far as the host alone says: to its first
        address, from the sidecar's own; None where no VirtualService says."""
        route = routing.chosen(self.tcp_routes(scope, hostname, port), self.first_address(hostname))
        return route.destinations if route is not None else None

    def first_address(self, hostname: str) -> str:
        """Where whoever looks up a host connects to; "": not known."""
        service = self.service(hostname)
        addresses = service.addresses if service is not None else ()
        return next((one for one in addresses if "/" not in one), "")

    def tcp_routes(self, scope: Scope, hostname: str, port: int) -> tuple[ir.TcpRoute, ...]:
        """Where TCP connections of sidecars to a host and service port go by their addresses: up to the first route
        that is for all; () where no VirtualService says."""
        place = Place(scope, MESH_GATEWAY, port)
        for rule in self._virtual_services(scope, hostname, port):
            if found := tuple(routing.tcp_routes(rule.tcp, place, self)):
                return found
        return ()

    def tls_routes(self, scope: Scope, hostname: str, port: int) -> tuple[ir.TlsRoute, ...]:
        """Where TLS connections of sidecars to a host and service port go, by server name; () where no VirtualService
        says."""
        place = Place(scope, MESH_GATEWAY, port)
        for rule in self._virtual_services(scope, hostname, port):
            found = tuple(
                ir.TlsRoute(match.sni_hosts, routing.resolved(tls.targets, port, self), match.subnets)
                for tls, match in routing.l4_matches(rule.tls, place, lambda match: True)
            )
            if found:
                return found
        return ()

    def _virtual_services(self, scope: Scope, hostname: str, port: int) -> Iterator[VirtualServiceRule]:
        """Those for a host that the scope sees at a port: the most specific host first, then the oldest."""
        self.facts.update(_host_facts(FactKind.ROUTES, hostname))
        sidecar = self.sidecar(scope)
        for pattern in patterns(hostname):
            for rule in self._snapshot.virtual_services.by_host.get(pattern):
                if self._shown(rule, scope.namespace) and (
                    sidecar is None or sidecar.imports_rule(rule, port)
                ):
                    yield rule

    def _http_rules(self, rule: VirtualServiceRule) -> Iterator[HttpRule]:
        """Its HTTP rules with those of its delegates in place. A delegate's change is a change of its roots."""
        return (http for _, _, _, http in self._written_rules(rule))

    def _written_rules(
        self, rule: VirtualServiceRule
    ) -> Iterator[tuple[VirtualServiceRule, int, int, HttpRule]]:
        """Each with the VirtualService in which it is written, its position there, and that in `rule`."""
        for root, http in enumerate(rule.http):
            if http.delegate is None:
                yield rule, root, root, http
                continue
            delegate = self._snapshot.virtual_services.rules.get(
                (http.delegate.namespace, http.delegate.name)
            )
            if delegate is not None and not delegate.hosts and self._shown(delegate, rule.namespace):
                for position, made in numbered(http, delegate.http):
                    yield delegate, position, root, made

    # --- destinations -----------------------------------------------------------------------------------------------

    def destination(self, scope: Scope, hostname: str) -> ir.DestinationPolicy | None:
        """What DestinationRules say of a host, as seen by the scope; None where none does.

        Facts (Istio): of the client's namespace (unless that is the root namespace), then the service's, then the root
        namespace, the first with a rule decides, there the most specific host; rules of another namespace must be
        exported to the client's.
        """
        rules = self._destination_rules(scope, hostname)
        return destinations.merge(hostname, rules) if rules else None

    def _destination_rules(self, scope: Scope, hostname: str) -> tuple[DestinationRuleRule, ...]:
        """Those that `destination` is merged of, in their order."""
        self.facts.update(_host_facts(FactKind.DESTINATION, hostname))
        candidates = [
            rule for p in patterns(hostname) for rule in self._snapshot.destination_rules.by_host.get(p)
        ]
        if not candidates:
            return ()
        service, mesh = self.service(hostname), self.mesh()
        for namespace in destinations.lookup_order(scope.namespace, service, mesh.root_namespace):
            own = [rule for rule in candidates if rule.namespace == namespace]
            for pattern in dict.fromkeys(rule.host for rule in own):
                rules = destinations.applicable(
                    (rule for rule in own if rule.host == pattern), scope, mesh.destination_rule_export
                )
                if rules:
                    return rules
        return ()

    # --- edge -------------------------------------------------------------------------------------------------------

    def gateway_listeners(self, scope: Scope) -> tuple[ir.GatewayListener, ...]:
        """What the scope's proxies listen on, by the Gateways that select them."""
        return self._edge(scope)[0]

    def gateways_refused(self, scope: Scope) -> tuple[gateways.Refused, ...]:
        """The servers of these Gateways that stand back behind others."""
        return self._edge(scope)[1]

    def _edge(self, scope: Scope) -> tuple[tuple[ir.GatewayListener, ...], tuple[gateways.Refused, ...]]:
        if scope.type != ProxyType.ROUTER:
            return (), ()
        instances = []
        for host, port, target in scope.targets:
            service = self.service(host)
            if service is not None:
                translated = gateways.UNTRANSLATED not in dict(service.labels)
                one = gateways.Instance(host, port, target, service.namespace, translated)
                instances.append(one)
        return gateways.listeners(self._selecting(scope, FactKind.GATEWAY_SERVERS), tuple(instances))

    def _selecting(self, scope: Scope, kind: FactKind) -> tuple[tuple[GatewayRule, ...], ...]:
        """The Gateways whose selector matches, by selector."""
        by_selector = self._snapshot.gateways.by_selector
        selectors = ("", *scope.matched)
        self.facts.update(_fact(kind, selector) for selector in selectors)
        return tuple(found for selector in selectors if (found := by_selector.get(selector)))

    def auto_passthrough(self, scope: Scope) -> tuple[str, ...]:
        """The hosts whose connections gateways of the scope pass on by the cluster that their server name is."""
        if scope.type != ProxyType.ROUTER:
            return ()
        groups = self._selecting(scope, FactKind.AUTO_PASSTHROUGH)
        return tuple(sorted({host for rules in groups for rule in rules for host in rule.auto_passthrough}))

    def gateway_hosts(self, scope: Scope, server: ir.GatewayServer) -> tuple[ir.GatewayHost, ...]:
        """The routes of the VirtualServices bound to a server's Gateway, for the hosts that it serves, sorted by host.

        Facts (Istio): VirtualServices that share a host at a gateway are joined, the oldest first, and what takes
        everything comes last.
        """
        found: dict[str, list[ir.Route]] = {}
        for bound, hosts in self._bound(scope, server):
            routes = self.gateway_routes(scope, bound, server.bound_by, server.port)
            for host in hosts:
                if routes:
                    found.setdefault(host, []).extend(routes)
        return tuple(
            ir.GatewayHost(host, ir.RouteTable(gateways.ordered(routes, server)))
            for host, routes in sorted(found.items())
        )

    def gateway_routes(
        self, scope: Scope, bound: VirtualServiceRule, gateway: str, port: int
    ) -> tuple[ir.Route, ...]:
        """The HTTP routes of a VirtualService at a port of a gateway that it is bound to, in the order written."""
        return routing.http_routes(self._http_rules(bound), Place(scope, gateway, port), self)

    def bound(self, gateway: str) -> tuple[VirtualServiceRule, ...]:
        """The VirtualServices bound to a gateway, seen or not, the oldest first; what they say is not read yet."""
        self.facts.add(_fact(FactKind.BOUND, gateway))
        return self._snapshot.virtual_services.by_gateway.get(gateway)

    def bound_rule(self, scope: Scope, namespace: str, name: str) -> VirtualServiceRule | None:
        """A VirtualService that is bound to gateways; None where the scope does not see it."""
        self.facts.add(_fact(FactKind.VIRTUAL_SERVICE, f"{namespace}/{name}"))
        rule = self._snapshot.virtual_services.rules.get((namespace, name))
        return rule if rule is not None and rule.hosts and self._shown(rule, scope.namespace) else None

    def take_part_in(self, gateways: Iterable[str]) -> None:
        """What is being made is of these Gateways, too."""
        self.facts.update(_fact(FactKind.GATEWAY, name) for name in gateways)

    def gateway_tcp(self, scope: Scope, server: ir.GatewayServer) -> tuple[ir.TcpRoute, ...]:
        """Where connections to a server that are not HTTP go, by where they come from: up to the first route that is
        for all. Facts (Istio): at a gateway destinationSubnets are not looked at."""
        place = Place(scope, server.bound_by, server.port)
        for bound in self._connecting(scope, server):
            if found := tuple(routing.tcp_routes(bound.tcp, place, self)):
                return found
        return ()

    def gateway_tls(self, scope: Scope, server: ir.GatewayServer) -> tuple[ir.TlsRoute, ...]:
        """Where TLS connections go that a server passes on, by server name, in order."""
        place = Place(scope, server.bound_by, server.port)
        return tuple(
            ir.TlsRoute(match.sni_hosts, routing.resolved(tls.targets, server.port, self))
            for bound in self._connecting(scope, server)
            for tls, match in routing.l4_matches(bound.tls, place, lambda match: bool(match.sni_hosts))
        )

    def _bound(
        self, scope: Scope, server: ir.GatewayServer
    ) -> Iterator[tuple[VirtualServiceRule, tuple[str, ...]]]:
        """The VirtualServices bound to a server's Gateway of which it serves hosts, and these; the oldest first."""
        self.take_part_in((server.gateway,))
        for rule in self.bound(server.bound_by):
            bound = self.bound_rule(scope, rule.namespace, rule.name)
            if bound is not None and (hosts := gateways.served_hosts(server, bound)):
                yield bound, hosts

    def _connecting(self, scope: Scope, server: ir.GatewayServer) -> Iterator[VirtualServiceRule]:
        """Of these, the ones with tcp or tls routes."""
        self.take_part_in((server.gateway,))
        self.facts.add(_fact(FactKind.CONNECTIONS, server.bound_by))
        for bound in self._snapshot.virtual_services.connecting.get(server.bound_by):
            if self._shown(bound, scope.namespace) and gateways.served_hosts(server, bound):
                yield bound

    # --- patches ----------------------------------------------------------------------------------------------------

    def envoy_filters(self, scope: Scope) -> tuple[PlacedPatch, ...]:
        """The patches of all EnvoyFilters that hold for the scope's proxies, in the order in which they are made.

        Facts (Istio): the lowest priority first, then those of the root namespace, then the oldest, then by name.
        """
        root = self.mesh().root_namespace
        groups = dict.fromkeys((root, scope.namespace, *scope.matched))
        self.facts.update(_fact(FactKind.ENVOY_FILTERS, group) for group in groups)
        by_group = self._snapshot.envoy_filters.by_group
        rules = {(rule.namespace, rule.name): rule for group in groups for rule in by_group.get(group)}
        ordered = sorted(
            rules.values(),
            key=lambda rule: (
                rule.priority,
                rule.namespace != root,
                rule.created,
                f"{rule.name}.{rule.namespace}",
            ),
        )
        return tuple(
            PlacedPatch(rule.namespace, rule.name, one.index, one.patch)
            for rule in ordered
            for one in rule.patches
            if one.node is None or one.node.id in scope.matched
        )

    def envoy_filter(self, namespace: str, name: str) -> EnvoyFilterRule | None:
        """One of them: whoever takes a patch of it has looked at it."""
        self.facts.add(_fact(FactKind.ENVOY_FILTER, f"{namespace}/{name}"))
        return self._snapshot.envoy_filters.rules.get((namespace, name))

    # --- reports --------------------------------------------------------------------------------------------------

    def telemetry(self, scope: Scope, side: Side) -> Telemetry:
        """What proxies of the scope report of what they send (CLIENT) or get."""
        mesh = self.mesh()
        namespaces = dict.fromkeys((mesh.root_namespace, scope.namespace))
        selected = [one for one in scope.matched if one.startswith(f"{SelectorUse.TELEMETRY}:")]
        self.facts.update(_fact(FactKind.TELEMETRY, group) for group in (*namespaces, *selected))
        by_group = self._snapshot.telemetries.by_group
        own = sorted((rule for group in selected for rule in by_group.get(group)), key=lambda rule: rule.age)
        steps = [rule for group in namespaces for rule in by_group.get(group)[:1]]
        return resolve([*steps, *own[:1]], mesh, side)

    # --- policy -----------------------------------------------------------------------------------------------------

    def token_rules(self, namespace: str, labels: ir.Pairs) -> tuple[TokenRule, ...]:
        """Whose tokens a workload takes, with the keys that are there; (): it looks at none."""
        root, table = self.mesh().root_namespace, self._snapshot.request_authentications
        groups = attachment.groups_of(root, namespace, labels)
        self.facts.update(_fact(FactKind.REQUEST_AUTHENTICATION, group) for group in groups)
        found = (rule for group in groups for rule in table.by_group.get(group))
        return tokens.joined(found, root, frozenset(labels), self._key_set)

    def _key_set(self, source: KeySource) -> str:
        self.facts.add(_fact(FactKind.KEY_SET, source.name))
        return self._snapshot.request_authentications.key_set(source)

    def peer_ports(self, namespace: str, labels: ir.Pairs) -> tuple[int, ...]:
        """The ports of which a PeerAuthentication of the workload speaks by itself, sorted."""
        groups, facts = _policy_facts(namespace, labels)
        self.facts.update(facts)
        by_group = self._snapshot.peer_authentications.by_group
        own = (rule for group in groups for rule in by_group.get(group))
        return peers.ports(sorted(own, key=lambda rule: rule.age), frozenset(labels))

    def peer_mtls(self, namespace: str, labels: ir.Pairs, workload_port: int) -> ir.MtlsMode:
        """Which connections the workload takes on a port."""
        return self._peer_policy(namespace, labels, workload_port)[0]

    def _peer_policy(
        self, namespace: str, labels: ir.Pairs, workload_port: int
    ) -> tuple[ir.MtlsMode, PeerAuthenticationRule | None]:
        root = self.mesh().root_namespace
        by_group = self._snapshot.peer_authentications.by_group
        groups, facts = _policy_facts(namespace, labels)
        self.facts.update(facts)
        self.facts.add(_fact(FactKind.PEER_AUTHENTICATION, root))
        own = [rule for group in groups for rule in by_group.get(group)]
        return peers.deciding(
            mesh_wide=by_group.get(root),
            own=sorted(own, key=lambda rule: rule.age),
            labels=frozenset(labels),
            port=workload_port,
        )

    def authorization(self, namespace: str, labels: ir.Pairs) -> ir.Authorization:
        """What decides for a workload."""
        mesh, table = self.mesh(), self._snapshot.authorization_policies
        groups = attachment.groups_of(mesh.root_namespace, namespace, labels)
        self.facts.update(_fact(FactKind.AUTHORIZATION, group) for group in groups)
        found = (rule for group in groups for rule in table.by_group.get(group))
        return policies.for_workload(found, frozenset(labels), policies.domains(mesh))
