"""What the rules about routes ask of a mesh: one protocol over a World of files, and over the running model.

Hosts are full names. So a rule is the same at `argosy analyze` and at apply, where nothing walks all the mesh has.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from functools import cached_property
from typing import Protocol

from msgspec import Struct

from argosy.explain.analysis import parts
from argosy.explain.analysis.parts import Json
from argosy.explain.analysis.world import KUBERNETES_GATEWAY, Item, World
from argosy.model.hostnames import (
    EVERYWHERE,
    MESH_GATEWAY,
    covers,
    exported_to,
    full_name,
    patterns,
    resolved_export,
)
from argosy.model.rules import VirtualServiceRule
from argosy.model.snapshot import Snapshot

EXPORT_TO = "networking.istio.io/exportTo"


class ServiceFact(Struct, frozen=True):
    host: str
    ports: tuple[int, ...]
    export_to: tuple[str, ...] = (EVERYWHERE,)


class SubsetsFact(Struct, frozen=True):
    """The subsets that one DestinationRule defines."""

    owner: str  # `shop/reviews`
    names: tuple[str, ...]


class RouteFact(Struct, frozen=True):
    """A VirtualService that sidecars look at."""

    namespace: str
    name: str
    created: str
    export_to: tuple[str, ...]

    @property
    def owner(self) -> str:
        return f"{self.namespace}/{self.name}"

    @property
    def age(self) -> tuple[bool, str, str, str]:
        """Sorts the winner of a conflict first. What is not stored yet will be the youngest."""
        return (not self.created, self.created, self.name, self.namespace)

    def seen_with(self, other: RouteFact) -> bool:
        """Whether somebody sees both."""
        mine, others = set(self.export_to), set(other.export_to)
        return EVERYWHERE in mine | others or bool(mine & others)


class Facts(Protocol):
    @property
    def domain_suffix(self) -> str: ...

    @property
    def knows_services(self) -> bool: ...

    @property
    def knows_rules(self) -> bool: ...

    def services(self, host: str) -> Sequence[ServiceFact]:
        """Those that are written with exactly this host, which may be a wildcard."""

    def any_under(self, wildcard: str) -> bool:
        """Whether a wildcard covers the host of any service."""

    def subsets(self, host: str) -> Sequence[SubsetsFact]:
        """Of DestinationRules written for exactly this host."""

    def gateway_hosts(self, namespace: str, name: str) -> Sequence[tuple[str, str]] | None:
        """(namespace that may bind or `*`, host) of each of its servers' hosts; None: there is no such Gateway."""

    def hosts_of_route(self, namespace: str, name: str) -> Sequence[str] | None:
        """spec.hosts of a VirtualService; None: there is none of that name."""

    def routes(self, host: str) -> Sequence[RouteFact]:
        """VirtualServices that sidecars look at for exactly this host."""


def route_fact(namespace: str, name: str, body: Json) -> RouteFact:
    export = resolved_export(parts.texts(body, "spec", "exportTo"), namespace)
    return RouteFact(namespace, name, parts.text(body, "metadata", "creationTimestamp"), export)


def for_sidecars(spec: Json) -> bool:
    gateways = parts.texts(spec, "gateways")
    return not gateways or MESH_GATEWAY in gateways


class WorldFacts:
    """Of objects as they were written."""

    def __init__(self, world: World) -> None:
        self._world = world
        self.domain_suffix = world.domain_suffix
        self.knows_services = world.knows("Service", "ServiceEntry")
        self.knows_rules = world.knows("DestinationRule")

    def services(self, host: str) -> Sequence[ServiceFact]:
        return self._services.get(host, ())

    def any_under(self, wildcard: str) -> bool:
        return any(covers(wildcard, host) for host in self._services)

    def subsets(self, host: str) -> Sequence[SubsetsFact]:
        return self._subsets.get(host, ())

    def gateway_hosts(self, namespace: str, name: str) -> Sequence[tuple[str, str]] | None:
        gateway = self._world.get("Gateway", namespace, name)
        if gateway is not None:
            return server_hosts(gateway)
        gateway = self._world.get(KUBERNETES_GATEWAY, namespace, name)
        if gateway is None:
            return None
        listeners = [listener for _, listener in parts.objects(gateway.spec, "listeners")]
        return [(EVERYWHERE, parts.text(listener, "hostname") or "*") for listener in listeners]

    def hosts_of_route(self, namespace: str, name: str) -> Sequence[str] | None:
        found = self._world.get("VirtualService", namespace, name)
        return None if found is None else parts.texts(found.spec, "hosts")

    def routes(self, host: str) -> Sequence[RouteFact]:
        return self._routes.get(host, ())

    @cached_property
    def _services(self) -> dict[str, list[ServiceFact]]:
        found: dict[str, list[ServiceFact]] = {}
        everywhere = parts.texts(self._world.mesh, "defaultServiceExportTo")
        for each in self._world.of("Service"):
            host = f"{each.name}.{each.namespace}.svc.{self.domain_suffix}"
            written = each.annotations.get(EXPORT_TO, "")
            export = [part.strip() for part in written.split(",")] if written else everywhere
            ports = _numbers(each.spec, "port")
            found.setdefault(host, []).append(
                ServiceFact(host, ports, resolved_export(export, each.namespace))
            )
        for each in self._world.of("ServiceEntry"):
            export = parts.texts(each.spec, "exportTo") or everywhere
            ports = _numbers(each.spec, "number")
            for host in parts.texts(each.spec, "hosts"):
                host = full_name(host, each.namespace, self.domain_suffix)
                fact = ServiceFact(host, ports, resolved_export(export, each.namespace))
                found.setdefault(host, []).append(fact)
        return found

    @cached_property
    def _subsets(self) -> dict[str, list[SubsetsFact]]:
        found: dict[str, list[SubsetsFact]] = {}
        for each in self._world.of("DestinationRule"):
            host = full_name(parts.text(each.spec, "host"), each.namespace, self.domain_suffix)
            names = tuple(parts.text(subset, "name") for _, subset in parts.objects(each.spec, "subsets"))
            found.setdefault(host, []).append(SubsetsFact(each.owner, names))
        return found

    @cached_property
    def _routes(self) -> dict[str, list[RouteFact]]:
        found: dict[str, list[RouteFact]] = {}
        for each in self._world.of("VirtualService"):
            if not for_sidecars(each.spec):
                continue
            fact = route_fact(each.namespace, each.name, each.body)
            for written in dict.fromkeys(parts.texts(each.spec, "hosts")):
                found.setdefault(full_name(written, each.namespace, self.domain_suffix), []).append(fact)
        return found


def server_hosts(gateway: Item) -> list[tuple[str, str]]:
    """(namespace that may bind or `*`, host) of a Gateway's servers."""
    found = []
    for _, server in parts.objects(gateway.spec, "servers"):
        for written in parts.texts(server, "hosts"):
            space, slash, host = written.partition("/")
            if not slash:
                space, host = EVERYWHERE, written
            found.append((gateway.namespace if space == "." else space, host))
    return found


def _numbers(spec: Json, field: str) -> tuple[int, ...]:
    numbers = (parts.number(port, field) for _, port in parts.objects(spec, "ports"))
    return tuple(each for each in numbers if each is not None)


class SnapshotFacts:
    """Of the running mesh."""

    knows_services = True
    knows_rules = True

    def __init__(self, snapshot: Snapshot) -> None:
        self._snapshot = snapshot

    @property
    def domain_suffix(self) -> str:
        return self._snapshot.mesh.domain_suffix

    def services(self, host: str) -> Sequence[ServiceFact]:
        service = self._snapshot.services.get(host)
        if service is None:
            return ()
        export = exported_to(service, self._snapshot.mesh.service_export)
        return (ServiceFact(host, tuple(port.number for port in service.ports), export),)

    def any_under(self, wildcard: str) -> bool:
        return any(covers(wildcard, host) for host in self._snapshot.services)

    def subsets(self, host: str) -> Sequence[SubsetsFact]:
        return [
            SubsetsFact(f"{rule.namespace}/{rule.name}", tuple(subset.name for subset in rule.subsets))
            for rule in self._snapshot.destination_rules.by_host.get(host)
        ]

    def gateway_hosts(self, namespace: str, name: str) -> Sequence[tuple[str, str]] | None:
        gateway = self._snapshot.gateways.rules.get((namespace, name))
        if gateway is None:
            return None
        written = [host.partition("/") for server in gateway.servers for host in server.hosts]
        return [(space, host) for space, _, host in written]

    def hosts_of_route(self, namespace: str, name: str) -> Sequence[str] | None:
        rule = self._snapshot.virtual_services.rules.get((namespace, name))
        return None if rule is None else rule.hosts

    def routes(self, host: str) -> Sequence[RouteFact]:
        return [self._fact(rule) for rule in self._snapshot.virtual_services.by_host.get(host)]

    def _fact(self, rule: VirtualServiceRule) -> RouteFact:
        export = exported_to(rule, self._snapshot.mesh.virtual_service_export)
        return RouteFact(rule.namespace, rule.name, rule.created, export)


def reached(facts: Facts, host: str, namespaces: Iterable[str]) -> list[ServiceFact]:
    """The services that a destination of this name means and any of the namespaces sees: those with the host, else
    under the closest wildcard."""
    wanted = set(namespaces)
    for pattern in patterns(host):
        found = [each for each in facts.services(pattern) if _seen(each, wanted)]
        if found:
            return found
    return []


def _seen(service: ServiceFact, namespaces: set[str]) -> bool:
    return EVERYWHERE in service.export_to or bool(namespaces & set(service.export_to))
