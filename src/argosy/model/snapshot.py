"""The Snapshot: the state of the mesh as the model's structs, indexed by how it is asked for.

Rules:
* Only methods change it, and each returns exactly the facts that changed: nothing for an update that lowers to what
  is already there. What a change costs does not depend on how much else there is.
* Whoever computes from it reads through a `Reader`, which records what it gave out.
* An object that cannot be lowered stands in `rejected`; what it said before stays in force, and nothing else suffers.
* Which objects a fact came from is answered by `contributors` and `facts_of`, and never part of a struct.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from argosy.model import ir
from argosy.model.aliases import Aliases
from argosy.model.facts import Fact, FactKind
from argosy.model.hostnames import patterns
from argosy.model.locality import HOSTNAME
from argosy.model.origins import Origins
from argosy.model.scope import Selector, traits
from argosy.model.selectors import SelectorIndex
from argosy.model.tables.authorization_policies import AuthorizationPolicies
from argosy.model.tables.base import SELECTORS, Name, Table, named, split
from argosy.model.tables.destination_rules import DestinationRules
from argosy.model.tables.envoy_filters import EnvoyFilters
from argosy.model.tables.gateways import Gateways
from argosy.model.tables.ingresses import Ingresses
from argosy.model.tables.mesh_settings import MESH, MeshSettings
from argosy.model.tables.peer_authentications import PeerAuthentications
from argosy.model.tables.proxy_configs import ProxyConfigs
from argosy.model.tables.request_authentications import RequestAuthentications
from argosy.model.tables.secrets import Secrets
from argosy.model.tables.sidecars import Sidecars
from argosy.model.tables.telemetries import Telemetries
from argosy.model.tables.virtual_services import VIRTUAL_HOSTS, VirtualServices
from argosy.model.updates import Ref, RegistryUpdate
from argosy.resources.meta import Object

__all__ = ["HOSTS", "LOOKED_UP", "MESH", "SELECTORS", "VIRTUAL_HOSTS", "Name", "Snapshot"]

HOSTS = Fact(FactKind.HOSTS)
LOOKED_UP = Fact(FactKind.LOOKED_UP)


class Snapshot:
    def __init__(self, mesh: ir.Mesh | None = None, environment: Mapping[str, str] | None = None) -> None:
        """`mesh`: the settings that hold where no ConfigMap says otherwise. `environment`: of the control plane, for
        settings that name a variable of it."""
        defaults = mesh or ir.Mesh()
        self.rejected: dict[Ref, str] = {}
        self.services: dict[str, ir.Service] = {}
        self.aliases = Aliases()
        self.endpoints: dict[str, tuple[ir.Endpoint, ...]] = {}
        self.workloads: dict[Name, ir.Workload] = {}
        self.selectors = SelectorIndex()
        self.virtual_services = VirtualServices(self.selectors, defaults.domain_suffix, self._no_service)
        self.destination_rules = DestinationRules(self.selectors, defaults.domain_suffix)
        self.gateways = Gateways(self.selectors)
        self.sidecars = Sidecars(self.selectors, defaults.domain_suffix)
        self.ingresses = Ingresses(
            self.selectors,
            self.gateways,
            self.virtual_services,
            defaults.domain_suffix,
            defaults.ingress_gateway,
        )
        self.peer_authentications = PeerAuthentications(self.selectors)
        self.authorization_policies = AuthorizationPolicies(self.selectors)
        self.request_authentications = RequestAuthentications(self.selectors)
        self.envoy_filters = EnvoyFilters(self.selectors)
        self.telemetries = Telemetries(self.selectors)
        self.proxy_configs = ProxyConfigs(self.selectors)
        self.settings = MeshSettings(self.selectors, defaults, self.ingresses, environment or {})
        self.secrets = Secrets(self.selectors)
        tables: tuple[Table[Any], ...] = (
            self.virtual_services,
            self.destination_rules,
            self.gateways,
            self.sidecars,
            self.ingresses,
            self.peer_authentications,
            self.authorization_policies,
            self.request_authentications,
            self.envoy_filters,
            self.telemetries,
            self.proxy_configs,
            self.settings,
            self.secrets,
        )
        self._by_type: dict[type[Object], Table[Any]] = {table.resource: table for table in tables}
        self._by_kind = {table.kind: table for table in tables}
        self._by_fact: dict[FactKind, list[Table[Any]]] = {}
        for table in tables:
            for kind in table.makes:
                self._by_fact.setdefault(kind, []).append(table)
        self._origins = Origins()
        self._looked_up: set[str] = set()  # services whose hosts proxies look up
        self._sorted_hosts: tuple[str, ...] | None = None
        self._services_under: dict[
            str, int
        ] = {}  # wildcard -> how many hostnames it covers, itself not counted

    @property
    def mesh(self) -> ir.Mesh:
        return self.settings.mesh

    @property
    def mesh_defaults(self) -> ir.Mesh:
        return self.settings.defaults

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
        if service.alias_of:
            if self.aliases.get(hostname) == service:
                return set()
            facts = self.remove_service(hostname) | self._alias(hostname, service)
            self._origins.put(hostname, (_own_origin(service),) if origin is None else origin)
            return facts
        facts = self._alias(hostname, None)
        self._origins.put(hostname, (_own_origin(service),) if origin is None else origin)
        old = self.services.get(hostname)
        if old == service:
            return facts
        self.services[hostname] = service
        facts |= {Fact(FactKind.SERVICE, hostname)} | self._asks(old, service)
        if old is None:
            facts |= self._hosts_changed(hostname, 1)
        return facts

    def remove_service(self, hostname: str) -> set[Fact]:
        """With its endpoints."""
        facts = self.put_endpoints(hostname, ()) | self._alias(hostname, None)
        self._origins.remove(hostname)
        if hostname not in self.services:
            return facts
        facts |= self._asks(self.services.pop(hostname), None)
        return facts | {Fact(FactKind.SERVICE, hostname)} | self._hosts_changed(hostname, -1)

    def _alias(self, hostname: str, new: ir.Service | None) -> set[Fact]:
        return {Fact(FactKind.SERVICE, host) for host in self.aliases.set(hostname, new)}

    def _asks(self, old: ir.Service | None, new: ir.Service | None) -> set[Fact]:
        """What its trafficDistribution and internalTrafficPolicy ask of clients, and whether it is looked up."""
        before, looked_up = self.selectors.traits(), self.looks_up
        for service, keep in ((old, self._looked_up.discard), (new, self._looked_up.add)):
            if service is not None and service.resolution is ir.Resolution.DYNAMIC_DNS:
                keep(service.hostname)
        if old is not None and (asked := _asked(old)):
            self.selectors.replace(_own_origin(old), asked, frozenset())
        if new is not None and (asked := _asked(new)):
            self.selectors.replace(_own_origin(new), frozenset(), asked)
        facts = set() if self.selectors.traits() == before else {SELECTORS}
        return facts if self.looks_up == looked_up else facts | {LOOKED_UP}

    @property
    def looks_up(self) -> bool:
        """Whether proxies look up the hosts of any service."""
        return bool(self._looked_up)

    def _hosts_changed(self, hostname: str, change: int) -> set[Fact]:
        """`change`: how many more services there are under each wildcard that covers the host."""
        self._sorted_hosts = None
        facts = {HOSTS}
        if self.virtual_services.by_host.get(hostname):
            facts.add(VIRTUAL_HOSTS)
        for wildcard in patterns(hostname)[1:]:
            before = self._services_under.get(wildcard, 0)
            if before + change:
                self._services_under[wildcard] = before + change
            else:
                del self._services_under[wildcard]
            turned = before == 0 or before + change == 0
            if turned and self.virtual_services.by_host.get(wildcard):
                facts.add(Fact(FactKind.ROUTES, wildcard))
        return facts

    def virtual_hosts(self) -> tuple[str, ...]:
        """Hosts of VirtualServices that are no services: names, and all wildcards."""
        return tuple(sorted(host for host in self.virtual_services.by_host if host not in self.services))

    def is_virtual_host(self, host: str) -> bool:
        """Whether it is one of `virtual_hosts`."""
        return host not in self.services and bool(self.virtual_services.by_host.get(host))

    def stands_alone(self, host: str) -> bool:
        """Whether a VirtualService's host means no service at all. Facts (Istio): a wildcard that covers services is
        for these; only one that covers none is a host of its own."""
        return host not in self.services and host not in self._services_under

    def _no_service(self, host: str) -> bool:
        return host not in self.services

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
        return {named(FactKind.WORKLOAD, name)}

    def remove_workload(self, namespace: str, name: str) -> set[Fact]:
        if self.workloads.pop((namespace, name), None) is None:
            return set()
        return {named(FactKind.WORKLOAD, (namespace, name))}

    def sorted_hosts(self) -> tuple[str, ...]:
        if self._sorted_hosts is None:
            self._sorted_hosts = tuple(sorted(self.services))
        return self._sorted_hosts

    # --- configuration ----------------------------------------------------------------------------------------------

    def put_config(self, obj: Object) -> set[Fact]:
        """Takes an object of a kind that has a table; other kinds (they are a registry's, or nobody's here) change
        nothing. An object that cannot be lowered: see `rejected`."""
        table = self._by_type.get(type(obj))
        if table is None:
            return set()
        ref = (obj.kind, obj.metadata.namespace, obj.metadata.name)
        try:
            facts = table.put(obj)
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
        table = self._by_kind.get(kind)
        return table.set((namespace, name), None) if table is not None else set()

    # --- where it came from -----------------------------------------------------------------------------------------

    def origins(self, hostname: str) -> tuple[Ref, ...]:
        """The objects that the service of a host was made from, the best first."""
        return self._origins.refs(hostname)

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
                return frozenset({("WorkloadEntry", *split(name))} if split(name) in self.workloads else ())
            case FactKind.SELECTORS:
                return frozenset(self.selectors.users())
            case FactKind.LOOKED_UP:
                return frozenset(ref for host in self._looked_up for ref in self._origins.refs(host))
            case FactKind.HOSTS if name:
                return self.virtual_services.of_mesh_hosts()
            case FactKind.HOSTS:
                return frozenset(ref for hostname in self.services for ref in self._origins.refs(hostname))
        tables = self._by_fact.get(fact.kind, ())
        return frozenset(ref for table in tables for ref in table.contributors(fact))

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
                return frozenset(facts | {named(FactKind.WORKLOAD, key)})
        table = self._by_kind.get(kind)
        return table.facts_of(key) if table is not None else frozenset()


def _asked(service: ir.Service) -> frozenset[Selector]:
    balancing = service.distribution.balancing
    asked = balancing.traits if balancing is not None else frozenset()
    return frozenset(traits(asked | {HOSTNAME} if service.node_local else asked))


def _own_origin(service: ir.Service) -> Ref:
    return ("Service" if service.kubernetes else "ServiceEntry", service.namespace, service.name)
