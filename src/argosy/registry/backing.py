"""v1 Endpoints and EndpointSlice: the endpoints that somebody writes for a Service himself.

Facts (Istio, Kubernetes): a slice is for the Service that its label names, whatever that selects; Endpoints are for the
Service of their name, where that has no selector. Ports go with those of the Service by name; `ready` alone decides who
gets traffic; names (FQDN) are not resolved. Ours: an endpoint takes mutual TLS where the object has the label
`security.istio.io/tlsMode: istio`, as there is no workload that could say so.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from msgspec import Struct
from msgspec.structs import replace

from argosy.model import ir
from argosy.model.locality import HOSTNAME, REGION, SUBZONE, ZONE
from argosy.model.updates import Ref
from argosy.registry.workloads import TLS_MODE_LABEL, interned
from argosy.resources.core import Endpoints
from argosy.resources.discovery import Endpoint, EndpointSlice

SERVICE_LABEL = "kubernetes.io/service-name"
BY_NAME = "FQDN"


class Backing(Struct, frozen=True):
    """What one object says of a Service: its endpoints, each of a port's name. Port 0: that of the Service."""

    service: str
    endpoints: tuple[ir.Endpoint, ...]
    instead: bool = False  # of a selector: it holds only where the Service has none


def lower_backing(obj: Endpoints | EndpointSlice) -> Backing | None:
    """None of a slice that is for no Service, or whose addresses are not used."""
    name, mtls = obj.metadata.name, obj.metadata.labels.get(TLS_MODE_LABEL) == "istio"
    if isinstance(obj, Endpoints):
        return Backing(name, tuple(_of_endpoints(obj, mtls)), instead=True)
    service = obj.metadata.labels.get(SERVICE_LABEL, "")
    if not service or obj.address_type == BY_NAME:
        return None
    return Backing(service, tuple(_of_slice(obj, mtls)))


class Backings:
    """All there are, by the host that each is for."""

    def __init__(self, domain_suffix: str) -> None:
        self._suffix = domain_suffix
        self._hosts: dict[Ref, str] = {}
        self._by_host: dict[str, dict[Ref, Backing]] = {}

    def set(self, ref: Ref, new: Backing | None) -> set[str]:
        """The hosts of which it says something else now."""
        before, after = self._hosts.pop(ref, ""), ""
        old = self._by_host[before].pop(ref) if before else None
        if before and not self._by_host[before]:
            del self._by_host[before]
        if new is not None:
            after = self._hosts[ref] = f"{new.service}.{ref[1]}.svc.{self._suffix}"
            self._by_host.setdefault(after, {})[ref] = new
        return set() if old == new else {before, after} - {""}

    def of(self, hostname: str) -> Iterable[tuple[Ref, Backing]]:
        return self._by_host.get(hostname, {}).items()


def served(backing: Backing, ports: tuple[ir.ServicePort, ...], unready: bool) -> tuple[ir.Endpoint, ...]:
    """The endpoints of a Service's ports. `unready`: those that are not ready are as the others."""
    by_name = {port.name: port for port in ports}
    return tuple(
        replace(one, port=one.port or _number(by_name[one.port_name]), healthy=one.healthy or unready)
        for one in backing.endpoints
        if one.port_name in by_name
    )


def _number(port: ir.ServicePort) -> int:
    return port.number if port.target_port is None else port.target_port


def _of_endpoints(obj: Endpoints, mtls: bool) -> Iterator[ir.Endpoint]:
    for subset in obj.subsets:
        for addresses, healthy in ((subset.addresses, True), (subset.not_ready_addresses, False)):
            for address in addresses:
                for port in subset.ports:
                    yield ir.Endpoint(
                        address=address.ip,
                        port=port.port,
                        port_name=port.name,
                        healthy=healthy,
                        namespace=obj.metadata.namespace,
                        labels=_on(address.node_name),
                        mtls=mtls,
                    )


def _of_slice(obj: EndpointSlice, mtls: bool) -> Iterator[ir.Endpoint]:
    for one in obj.endpoints:
        for address in one.addresses:
            for port in obj.ports:
                yield ir.Endpoint(
                    address=address,
                    port=port.port or 0,
                    port_name=port.name,
                    healthy=one.conditions.ready is not False,
                    namespace=obj.metadata.namespace,
                    labels=_on(one.node_name),
                    locality=_locality(one),
                    mtls=mtls,
                )


def _on(node: str | None) -> ir.Pairs:
    """Facts (Istio): the host that an endpoint is on is a label of it."""
    return interned({HOSTNAME: node}) if node else ()


def _locality(one: Endpoint) -> str:
    topology = one.deprecated_topology
    place = (topology.get(REGION, ""), one.zone or topology.get(ZONE, ""), topology.get(SUBZONE, ""))
    return "/".join(place).rstrip("/")
