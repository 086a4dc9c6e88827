"""What the rules ask of a World: who has a host, which subsets it has, who routes it, who selects a workload.

Hosts are full names. Each answer costs what is found, not what the mesh has (`index`).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

from msgspec import Struct

from argosy.explain.analysis import parts
from argosy.explain.analysis.index import selector_of
from argosy.explain.analysis.parts import Json
from argosy.explain.analysis.world import KUBERNETES_GATEWAY, Item, Workload, World
from argosy.model.hostnames import EVERYWHERE, full_name, patterns, resolved_export

EXPORT_TO = "networking.istio.io/exportTo"
DEFAULT_EXPORT = {"VirtualService": "defaultVirtualServiceExportTo"}
"""Kind -> the field of MeshConfig; of services: defaultServiceExportTo."""


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


def services(world: World, host: str) -> Sequence[ServiceFact]:
    """Those that are written with exactly this host, which may be a wildcard."""
    return [_service(world, host, each) for each in world.index.under("service", host)]


def _service(world: World, host: str, item: Item) -> ServiceFact:
    ports = _numbers(item.spec, "port" if item.kind == "Service" else "number")
    return ServiceFact(host, ports, exported(world, item))


def exported(world: World, item: Item) -> tuple[str, ...]:
    """The namespaces that see a Service, ServiceEntry or VirtualService; `*` is all of them."""
    written = parts.texts(item.spec, "exportTo")
    if item.kind == "Service":
        annotated = item.annotations.get(EXPORT_TO, "")
        written = [part.strip() for part in annotated.split(",")] if annotated else []
    default = DEFAULT_EXPORT.get(item.kind, "defaultServiceExportTo")
    return resolved_export(written or parts.texts(world.mesh, default), item.namespace)


def seen_from(world: World, item: Item, namespace: str) -> bool:
    export = exported(world, item)
    return EVERYWHERE in export or namespace in export


def any_under(world: World, wildcard: str) -> bool:
    """Whether a wildcard covers the host of any service."""
    return bool(world.index.under("under", wildcard))


def subsets(world: World, host: str) -> Sequence[SubsetsFact]:
    """Of DestinationRules written for exactly this host."""
    return [
        SubsetsFact(
            each.owner, tuple(parts.text(one, "name") for _, one in parts.objects(each.spec, "subsets"))
        )
        for each in world.index.under("subsets", host)
    ]


def gateway_hosts(world: World, namespace: str, name: str) -> Sequence[tuple[str, str]] | None:
    """(namespace that may bind or `*`, host) of each of its servers' hosts; None: there is no such Gateway."""
    gateway = world.get("Gateway", namespace, name)
    if gateway is not None:
        return server_hosts(gateway)
    gateway = world.get(KUBERNETES_GATEWAY, namespace, name)
    if gateway is None:
        return None
    listeners = [listener for _, listener in parts.objects(gateway.spec, "listeners")]
    return [(EVERYWHERE, parts.text(listener, "hostname") or "*") for listener in listeners]


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


def hosts_of_route(world: World, namespace: str, name: str) -> Sequence[str] | None:
    """spec.hosts of a VirtualService; None: there is none of that name."""
    found = world.get("VirtualService", namespace, name)
    return None if found is None else parts.texts(found.spec, "hosts")


def routes(world: World, host: str) -> Sequence[RouteFact]:
    """VirtualServices that sidecars look at for exactly this host."""
    return [route_fact(world, each) for each in world.index.under("routes", host)]


def route_fact(world: World, item: Item) -> RouteFact:
    return RouteFact(item.namespace, item.name, item.created, exported(world, item))


def full(world: World, item: Item, host: str) -> str:
    return full_name(host, item.namespace, world.domain_suffix)


def reached(world: World, host: str, namespaces: Iterable[str]) -> list[ServiceFact]:
    """The services that a destination of this name means and any of the namespaces sees: those with the host, else
    under the closest wildcard."""
    wanted = set(namespaces)
    for pattern in patterns(host):
        found = [each for each in services(world, pattern) if _seen(each, wanted)]
        if found:
            return found
    return []


def _seen(service: ServiceFact, namespaces: set[str]) -> bool:
    return EVERYWHERE in service.export_to or bool(namespaces & set(service.export_to))


def selecting(world: World, kind: str, workload: Workload) -> Iterator[Item]:
    """The objects of a kind that select a workload of their namespace by its labels."""
    for label in sorted(workload.labels.items()):
        for each in world.index.under("selecting", kind, workload.namespace, *label):
            if parts.selects(selector_of(each), workload.labels):
                yield each


def _numbers(spec: Json, field: str) -> tuple[int, ...]:
    numbers = (parts.number(port, field) for _, port in parts.objects(spec, "ports"))
    return tuple(each for each in numbers if each is not None)
