"""The Snapshot: the state of the mesh as the model's structs, indexed by how it is asked for.

Rules:
* Only methods change it, and each returns exactly the facts that changed: nothing for an update that lowers to what
  is already there. What a change costs does not depend on how much else there is.
* Whoever computes from it reads through a `Reader`, which records what it gave out.
* An object that cannot be lowered stands in `rejected`; what it said before stays in force, and nothing else suffers.
* Which objects a fact came from is answered by `contributors` and `facts_of`, and never part of a struct.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

from argosy.model import (
    ir,
    lower_destination_rule,
    lower_gateway,
    lower_mesh,
    lower_peer_authentication,
    lower_virtual_service,
)
from argosy.model.facts import Fact, FactKind
from argosy.model.groups import Groups
from argosy.model.hostnames import MESH_GATEWAY, patterns
from argosy.model.origins import Origins
from argosy.model.rules import (
    DestinationRuleRule,
    GatewayRule,
    PeerAuthenticationRule,
    VirtualServiceRule,
)
from argosy.model.scope import Selector
from argosy.model.selectors import SelectorIndex
from argosy.model.updates import Ref, RegistryUpdate
from argosy.resources.core import ConfigMap, Secret
from argosy.resources.meta import Object
from argosy.resources.networking import DestinationRule, Gateway, VirtualService
from argosy.resources.security import PeerAuthentication

Name = tuple[str, str]
"""(namespace, name)."""

HOSTS = Fact(FactKind.HOSTS)
VIRTUAL_HOSTS = Fact(FactKind.HOSTS, "virtual")
SELECTORS = Fact(FactKind.SELECTORS)
MESH = Fact(FactKind.MESH)


class Snapshot:
    def __init__(self, mesh: ir.Mesh | None = None) -> None:
        """`mesh`: the settings that hold where no ConfigMap says otherwise."""
        self.rejected: dict[Ref, str] = {}
        self.mesh = self.mesh_defaults = mesh or ir.Mesh()
        self.services: dict[str, ir.Service] = {}
        self.endpoints: dict[str, tuple[ir.Endpoint, ...]] = {}
        self.workloads: dict[Name, ir.Workload] = {}
        self.secrets: dict[Name, ir.Pairs] = {}
        self.virtual_services: dict[Name, VirtualServiceRule] = {}
        self.destination_rules: dict[Name, DestinationRuleRule] = {}
        self.gateways: dict[Name, GatewayRule] = {}
        self.peer_authentications: dict[Name, PeerAuthenticationRule] = {}
        self.selectors = SelectorIndex()
        self.routes_by_host: Groups[str, VirtualServiceRule] = Groups()  # of those bound to `mesh`
        self.routes_by_gateway: Groups[str, VirtualServiceRule] = Groups()
        self.rules_by_host: Groups[str, DestinationRuleRule] = Groups()
        self.gateways_by_selector: Groups[str, GatewayRule] = Groups()  # "": for every gateway proxy
        self.policies_by_group: Groups[str, PeerAuthenticationRule] = Groups()
        self._roots: dict[Name, set[Name]] = {}  # delegate -> the VirtualServices that name it
        self._mesh_source: Ref | None = None
        self._origins = Origins()
        self._sorted_hosts: tuple[str, ...] | None = None
        self._services_under: dict[
            str, int
        ] = {}  # wildcard -> how many hostnames it covers, itself not counted
        self._kinds: dict[type[Object], Callable[[Any], set[Fact]]] = {
            VirtualService: self._put_virtual_service,
            DestinationRule: self._put_destination_rule,
            Gateway: self._put_gateway,
            PeerAuthentication: self._put_peer_authentication,
            ConfigMap: self._put_config_map,
            Secret: self._put_secret,
        }

    # --- services, endpoints, workloads -----------------------------------------------------------------------------

    def apply(self, update: RegistryUpdate) -> set[Fact]:
        origins = dict(update.origins)
        facts: set[Fact] = set()
        for service in update.services:
            facts |= self.put_service(service, origins.get(service.hostname))
        for hostname in update.removed_services:
            facts |= self.remove_service(hostname)
        for hostname, endpoints in update.endpoints:
            facts |= self.put_endpoints(hostname, endpoints)
        for workload in update.workloads:
            facts |= self.put_workload(workload)
        for namespace, name in update.removed_workloads:
            facts |= self.remove_workload(namespace, name)
        return facts

    def put_service(self, service: ir.Service, origin: Iterable[Ref] | None = None) -> set[Fact]:
        """`origin`: the objects it was made from, where they are not simply the one of its name."""
        hostname = service.hostname
        self._origins.put(hostname, (_own_origin(service),) if origin is None else origin)
        old = self.services.get(hostname)
        if old == service:
            return set()
        self.services[hostname] = service
        facts = {Fact(FactKind.SERVICE, hostname)}
        if old is None:
            facts |= self._hosts_changed(hostname, 1)
        return facts

    def remove_service(self, hostname: str) -> set[Fact]:
        """With its endpoints."""
        facts = self.put_endpoints(hostname, ())
        if hostname not in self.services:
            return facts
        self._origins.remove(hostname)
        del self.services[hostname]
        return facts | {Fact(FactKind.SERVICE, hostname)} | self._hosts_changed(hostname, -1)

    def _hosts_changed(self, hostname: str, change: int) -> set[Fact]:
        """`change`: how many more services there are under each wildcard that covers the host."""
        self._sorted_hosts = None
        facts = {HOSTS}
        if self.routes_by_host.get(hostname):
            facts.add(VIRTUAL_HOSTS)
        for wildcard in patterns(hostname)[1:]:
            before = self._services_under.get(wildcard, 0)
            if before + change:
                self._services_under[wildcard] = before + change
            else:
                del self._services_under[wildcard]
            turned = before == 0 or before + change == 0
            if turned and self.routes_by_host.get(wildcard):
                facts |= {VIRTUAL_HOSTS, Fact(FactKind.ROUTES, wildcard)}
        return facts

    def virtual_hosts(self) -> tuple[str, ...]:
        return tuple(sorted(host for host in self.routes_by_host if self._stands_alone(host)))

    def _stands_alone(self, host: str) -> bool:
        """Whether no service is meant by a VirtualService's host. Facts (Istio): a wildcard that covers services is
        for these; only one that covers none is a host of its own."""
        return host not in self.services and host not in self._services_under

    def put_endpoints(self, hostname: str, endpoints: tuple[ir.Endpoint, ...]) -> set[Fact]:
        if self.endpoints.get(hostname, ()) == endpoints:
            return set()
        if endpoints:
            self.endpoints[hostname] = endpoints
        else:
            del self.endpoints[hostname]
        return {Fact(FactKind.ENDPOINTS, hostname)}

    def put_workload(self, workload: ir.Workload) -> set[Fact]:
        name = (workload.namespace, workload.name)
        if self.workloads.get(name) == workload:
            return set()
        self.workloads[name] = workload
        return {_named(FactKind.WORKLOAD, name)}

    def remove_workload(self, namespace: str, name: str) -> set[Fact]:
        if self.workloads.pop((namespace, name), None) is None:
            return set()
        return {_named(FactKind.WORKLOAD, (namespace, name))}

    def sorted_hosts(self) -> tuple[str, ...]:
        if self._sorted_hosts is None:
            self._sorted_hosts = tuple(sorted(self.services))
        return self._sorted_hosts

    # --- configuration ----------------------------------------------------------------------------------------------

    def put_config(self, obj: Object) -> set[Fact]:
        """Takes a VirtualService, DestinationRule, Gateway, PeerAuthentication, ConfigMap or Secret; other kinds (they
        are a registry's, or nobody's here) change nothing. An object that cannot be lowered: see `rejected`."""
        put = self._kinds.get(type(obj))
        if put is None:
            return set()
        ref = (obj.kind, obj.metadata.namespace, obj.metadata.name)
        try:
            facts = put(obj)
        except Exception as error:
            # A store may be written past our validation: whatever is wrong with one object, the others keep working.
            self.rejected[ref] = f"{obj.label}: {error}"
            return set()
        self.rejected.pop(ref, None)
        return facts

    def reject(self, kind: str, namespace: str, name: str, message: str) -> None:
        """For an object that could not even be decoded."""
        self.rejected[kind, namespace, name] = message

    def readable(self, kind: str, namespace: str, name: str) -> None:
        """Takes `reject` back: the object can be decoded again."""
        self.rejected.pop((kind, namespace, name), None)

    def remove_config(self, kind: str, namespace: str, name: str) -> set[Fact]:
        self.rejected.pop((kind, namespace, name), None)
        key = (namespace, name)
        match kind:
            case "VirtualService":
                return self._set_virtual_service(key, None)
            case "DestinationRule":
                return self._set_destination_rule(key, None)
            case "Gateway":
                return self._set_gateway(key, None)
            case "PeerAuthentication":
                return self._set_peer_authentication(key, None)
            case "ConfigMap" if key == (lower_mesh.NAMESPACE, lower_mesh.NAME):
                self._mesh_source = None
                return self._set_mesh(self.mesh_defaults)
            case "Secret" if key in self.secrets:
                del self.secrets[key]
                return {_named(FactKind.SECRET, key)}
        return set()

    def _put_virtual_service(self, obj: VirtualService) -> set[Fact]:
        rule = lower_virtual_service.lower(obj, self.mesh_defaults.domain_suffix)
        return self._set_virtual_service((rule.namespace, rule.name), rule)

    def _set_virtual_service(self, key: Name, new: VirtualServiceRule | None) -> set[Fact]:
        old = self.virtual_services.get(key)
        if old == new:
            return set()
        _store(self.virtual_services, key, new)
        before, after = _mesh_hosts(old), _mesh_hosts(new)
        facts = {Fact(FactKind.ROUTES, host) for host in _changed(old, new, before, after)}
        if any(self._stands_alone(host) for host in self.routes_by_host.replace(old, before, new, after)):
            facts.add(VIRTUAL_HOSTS)
        before, after = _edge_gateways(old), _edge_gateways(new)
        self.routes_by_gateway.replace(old, before, new, after)
        same_hosts = old is not None and new is not None and old.hosts == new.hosts
        gateways = _changed(old, new, before, after) if same_hosts else before | after
        facts |= {Fact(FactKind.GATEWAYS, gateway) for gateway in gateways}
        if self._selectors_changed(("VirtualService", *key), _source_selectors(old), _source_selectors(new)):
            facts.add(SELECTORS)
        self._set_delegates(key, _delegates(old), _delegates(new))
        for root in self._roots.get(key, ()):
            facts |= _facts_of_routes(self.virtual_services[root])
        return facts

    def _set_delegates(self, root: Name, old: frozenset[Name], new: frozenset[Name]) -> None:
        for delegate in new - old:
            self._roots.setdefault(delegate, set()).add(root)
        for delegate in old - new:
            self._roots[delegate].discard(root)
            if not self._roots[delegate]:
                del self._roots[delegate]

    def _put_destination_rule(self, obj: DestinationRule) -> set[Fact]:
        rule = lower_destination_rule.lower(obj, self.mesh_defaults.domain_suffix)
        return self._set_destination_rule((rule.namespace, rule.name), rule)

    def _set_destination_rule(self, key: Name, new: DestinationRuleRule | None) -> set[Fact]:
        old = self.destination_rules.get(key)
        if old == new:
            return set()
        _store(self.destination_rules, key, new)
        before = frozenset((old.host,)) if old else frozenset()
        after = frozenset((new.host,)) if new else frozenset()
        self.rules_by_host.replace(old, before, new, after)
        facts = {Fact(FactKind.DESTINATION, host) for host in before | after}
        if self._selectors_changed(("DestinationRule", *key), _own_selector(old), _own_selector(new)):
            facts.add(SELECTORS)
        return facts

    def _put_gateway(self, obj: Gateway) -> set[Fact]:
        rule = lower_gateway.lower(obj)
        return self._set_gateway((rule.namespace, rule.name), rule)

    def _set_gateway(self, key: Name, new: GatewayRule | None) -> set[Fact]:
        old = self.gateways.get(key)
        if old == new:
            return set()
        _store(self.gateways, key, new)
        self.gateways_by_selector.replace(old, _selector_key(old), new, _selector_key(new))
        facts = {_named(FactKind.GATEWAYS, key), *_servers(old), *_servers(new)}
        if self._selectors_changed(("Gateway", *key), _own_selector(old), _own_selector(new)):
            facts.add(SELECTORS)
        return facts

    def _put_peer_authentication(self, obj: PeerAuthentication) -> set[Fact]:
        rule = lower_peer_authentication.lower(obj)
        return self._set_peer_authentication((rule.namespace, rule.name), rule)

    def _set_peer_authentication(self, key: Name, new: PeerAuthenticationRule | None) -> set[Fact]:
        old = self.peer_authentications.get(key)
        if old == new:
            return set()
        _store(self.peer_authentications, key, new)
        before = frozenset((old.group,)) if old else frozenset()
        after = frozenset((new.group,)) if new else frozenset()
        self.policies_by_group.replace(old, before, new, after)
        return {Fact(FactKind.PEER_AUTHENTICATION, group) for group in before | after}

    def _put_config_map(self, obj: ConfigMap) -> set[Fact]:
        if (obj.metadata.namespace, obj.metadata.name) != (lower_mesh.NAMESPACE, lower_mesh.NAME):
            return set()
        mesh = lower_mesh.lower(obj, self.mesh_defaults)
        self._mesh_source = ("ConfigMap", lower_mesh.NAMESPACE, lower_mesh.NAME)
        return self._set_mesh(mesh)

    def _set_mesh(self, mesh: ir.Mesh) -> set[Fact]:
        if mesh == self.mesh:
            return set()
        self.mesh = mesh
        return {MESH}

    def _put_secret(self, obj: Secret) -> set[Fact]:
        key = (obj.metadata.namespace, obj.metadata.name)
        data = tuple(sorted(obj.data.items()))
        if self.secrets.get(key) == data:
            return set()
        self.secrets[key] = data
        return {_named(FactKind.SECRET, key)}

    def _selectors_changed(self, user: Ref, old: frozenset[Selector], new: frozenset[Selector]) -> bool:
        return self.selectors.replace(user, old, new)

    # --- where it came from -----------------------------------------------------------------------------------------

    def contributors(self, fact: Fact) -> frozenset[Ref]:
        """The objects that a fact was made from."""
        name = fact.name
        match fact.kind:
            case FactKind.SERVICE:
                return frozenset(self._origins.refs(name))
            case FactKind.ENDPOINTS:
                entries = {
                    ("WorkloadEntry", endpoint.namespace, endpoint.workload)
                    for endpoint in self.endpoints.get(name, ())
                    if endpoint.workload
                }
                return frozenset(entries) | frozenset(self._origins.refs(name))
            case FactKind.WORKLOAD:
                return frozenset({("WorkloadEntry", *_split(name))} if _split(name) in self.workloads else ())
            case FactKind.ROUTES:
                return self._with_delegates(self.routes_by_host.get(name))
            case FactKind.DESTINATION:
                return _refs("DestinationRule", self.rules_by_host.get(name))
            case FactKind.GATEWAYS:
                gateway = self.gateways.get(_split(name))
                bound = self._with_delegates(self.routes_by_gateway.get(name))
                return bound | _refs("Gateway", (gateway,) if gateway else ())
            case FactKind.GATEWAY_SERVERS:
                return _refs("Gateway", self.gateways_by_selector.get(name))
            case FactKind.PEER_AUTHENTICATION:
                return _refs("PeerAuthentication", self.policies_by_group.get(name))
            case FactKind.SELECTORS:
                return frozenset(self.selectors.users())
            case FactKind.SECRET:
                return frozenset({("Secret", *_split(name))} if _split(name) in self.secrets else ())
            case FactKind.MESH:
                return frozenset((self._mesh_source,)) if self._mesh_source else frozenset()
            case FactKind.HOSTS if name:
                rules = (rule for rule in self.virtual_services.values() if _mesh_hosts(rule))
                return _refs("VirtualService", rules)
            case FactKind.HOSTS:
                return frozenset(ref for hostname in self.services for ref in self._origins.refs(hostname))

    def facts_of(self, kind: str, namespace: str, name: str) -> frozenset[Fact]:
        """The facts that an object contributes to now; none for an object that is unknown."""
        key = (namespace, name)
        match kind:
            case "Service" | "ServiceEntry":
                hosts = self._origins.hosts((kind, *key))
                facts = {Fact(FactKind.SERVICE, host) for host in hosts}
                return frozenset(facts | {Fact(FactKind.ENDPOINTS, host) for host in hosts})
            case "WorkloadEntry" if key in self.workloads:
                reached = {host for port in self.workloads[key].ports for host in port.service_hosts}
                facts = {Fact(FactKind.ENDPOINTS, host) for host in reached}
                return frozenset(facts | {_named(FactKind.WORKLOAD, key)})
            case "VirtualService" if key in self.virtual_services:
                facts = _facts_of_routes(self.virtual_services[key])
                for root in self._roots.get(key, ()):
                    facts |= _facts_of_routes(self.virtual_services[root])
                return frozenset(facts)
            case "DestinationRule" if key in self.destination_rules:
                return frozenset({Fact(FactKind.DESTINATION, self.destination_rules[key].host)})
            case "Gateway" if key in self.gateways:
                return frozenset({_named(FactKind.GATEWAYS, key), *_servers(self.gateways[key])})
            case "PeerAuthentication" if key in self.peer_authentications:
                return frozenset({Fact(FactKind.PEER_AUTHENTICATION, self.peer_authentications[key].group)})
            case "ConfigMap" if self._mesh_source == (kind, *key):
                return frozenset({MESH})
            case "Secret" if key in self.secrets:
                return frozenset({_named(FactKind.SECRET, key)})
        return frozenset()

    def _with_delegates(self, rules: Iterable[VirtualServiceRule]) -> frozenset[Ref]:
        rules = tuple(rules)
        named = {delegate for rule in rules for delegate in _delegates(rule)}
        known = (self.virtual_services[name] for name in named if name in self.virtual_services)
        return _refs("VirtualService", rules) | _refs("VirtualService", known)


def _store(table: dict[Name, Any], key: Name, value: Any) -> None:
    if value is None:
        table.pop(key, None)
    else:
        table[key] = value


def _named(kind: FactKind, key: Name) -> Fact:
    return Fact(kind, f"{key[0]}/{key[1]}")


def _split(name: str) -> Name:
    namespace, _, rest = name.partition("/")
    return namespace, rest


def _own_origin(service: ir.Service) -> Ref:
    return ("Service" if service.kubernetes else "ServiceEntry", service.namespace, service.name)


def _refs(kind: str, rules: Iterable[Any]) -> frozenset[Ref]:
    return frozenset((kind, rule.namespace, rule.name) for rule in rules)


def _changed(
    old: VirtualServiceRule | None,
    new: VirtualServiceRule | None,
    before: frozenset[str],
    after: frozenset[str],
) -> frozenset[str]:
    """Of the hosts (or gateways) that a VirtualService is and was for, those for which it now says something else."""
    if old is None or new is None:
        return before | after
    same = (old.created, old.export_to, old.http, old.tcp, old.tls) == (
        new.created,
        new.export_to,
        new.http,
        new.tcp,
        new.tls,
    )
    return before ^ after if same else before | after


def _mesh_hosts(rule: VirtualServiceRule | None) -> frozenset[str]:
    return frozenset(rule.hosts) if rule is not None and MESH_GATEWAY in rule.gateways else frozenset()


def _edge_gateways(rule: VirtualServiceRule | None) -> frozenset[str]:
    if rule is None or not rule.hosts:
        return frozenset()
    return frozenset(rule.gateways) - {MESH_GATEWAY}


def _facts_of_routes(rule: VirtualServiceRule) -> set[Fact]:
    facts = {Fact(FactKind.ROUTES, host) for host in _mesh_hosts(rule)}
    return facts | {Fact(FactKind.GATEWAYS, gateway) for gateway in _edge_gateways(rule)}


def _delegates(rule: VirtualServiceRule | None) -> frozenset[Name]:
    if rule is None:
        return frozenset()
    return frozenset((http.delegate.namespace, http.delegate.name) for http in rule.http if http.delegate)


def _source_selectors(rule: VirtualServiceRule | None) -> frozenset[Selector]:
    if rule is None:
        return frozenset()
    sources = [match.source for http in rule.http for match in http.matches]
    sources += [match.source for l4 in rule.tcp + rule.tls for match in l4.matches]
    return frozenset(source.selector for source in sources if source.selector is not None)


def _own_selector(rule: DestinationRuleRule | GatewayRule | None) -> frozenset[Selector]:
    if rule is None or rule.selector is None or not rule.selector.labels:
        return frozenset()
    return frozenset((rule.selector,))


def _servers(rule: GatewayRule | None) -> set[Fact]:
    return {Fact(FactKind.GATEWAY_SERVERS, selector) for selector in _selector_key(rule)}


def _selector_key(rule: GatewayRule | None) -> frozenset[str]:
    if rule is None:
        return frozenset()
    return frozenset((rule.selector.id if rule.selector else "",))
