"""Services and ServiceEntries: their ports, protocols and addresses; and deployments that several Services are for.

# Istio: analyzers/service, serviceentry, deployment
"""

from __future__ import annotations

from collections.abc import Iterator

from argosy.explain.analysis import parts
from argosy.explain.analysis.facts import full
from argosy.explain.analysis.message import Analyzer, Finding, found
from argosy.explain.analysis.parts import Json
from argosy.explain.analysis.selectors import INJECT, INJECTION, REVISION, has_proxy
from argosy.explain.analysis.world import INFRASTRUCTURE, Item, World
from argosy.model.hostnames import EVERYWHERE, resolved_export
from argosy.model.ir import Protocol
from argosy.model.protocols import service_port_protocol

WAYPOINT = ("gateway.istio.io/managed", "istio.io-mesh-controller")
CONTROL_PLANE = "istio"
"""The label of what the mesh itself is made of."""


def of_control_plane(item: Item) -> bool:
    return CONTROL_PLANE in item.labels or item.labels.get("release") == "istio"


def ports_named(_world: World, item: Item) -> Iterator[Finding]:
    """Names count where no appProtocol does. Of an ExternalName service, plain TCP is as bad as no name."""
    if item.namespace in INFRASTRUCTURE or of_control_plane(item):
        return
    outside = parts.text(item.spec, "type") == "ExternalName"
    for index, port in parts.objects(item.spec, "ports"):
        name, number = parts.text(port, "name"), parts.number(port, "port") or 0
        protocol = service_port_protocol(
            number=number,
            name=name,
            transport=parts.text(port, "protocol") or "TCP",
            app_protocol=parts.text(port, "appProtocol") or None,
        )
        if protocol is Protocol.UNSUPPORTED or (outside and name == "tcp"):
            message = (
                "ExternalNameServiceTypeInvalidPortName" if outside else "PortNameIsNotUnderNamingConvention"
            )
            yield found(message, item, f"spec.ports[{index}].name", name=name, port=number)


def addresses_told(world: World, item: Item) -> Iterator[Finding]:
    """Plain TCP has nothing but the address to tell services apart by."""
    if (
        parts.listed(item.spec, "addresses")
        or parts.listed(item.body, "status", "addresses")
        or allocated(world.mesh)
    ):
        return
    for index, port in parts.objects(item.spec, "ports"):
        if parts.text(port, "protocol").upper() in ("", "TCP"):
            number = parts.number(port, "number")
            yield found("ServiceEntryAddressesRequired", item, f"spec.ports[{index}]", port=number)


def allocated(mesh: Json) -> bool:
    """Whether proxies answer DNS themselves, with addresses that are made up for such services."""
    metadata = parts.mapping(mesh, "defaultConfig", "proxyMetadata")
    capture, *makers = (
        str(metadata.get(key, "")).lower() == "true"
        for key in ("ISTIO_META_DNS_CAPTURE", "ISTIO_META_DNS_AUTO_ALLOCATE", "PILOT_ENABLE_IP_AUTOALLOCATE")
    )
    return capture and any(makers)


def entries_agree(world: World, item: Item) -> Iterator[Finding]:
    """Said once of an entry, at the first port at which another that somebody sees with it says otherwise."""
    for field, host, number, protocol in _declared(item):
        together = [(item, protocol)]
        for other in world.index.under("service", full(world, item, host)):
            if other.kind == "ServiceEntry" and other.owner != item.owner and _seen_together(item, other):
                together += [
                    (other, its)
                    for _, written, at, its in _declared(other)
                    if (written, at) == (host, number)
                ]
        protocols = sorted({each for _, each in together})
        if len(protocols) > 1:
            owners = sorted({f"ServiceEntry {other.owner}" for other, _ in together})
            yield found(
                "ConflictingServiceEntryProtocol",
                item,
                field,
                owners=" and ".join(owners),
                port=number,
                host=host,
                protocols=parts.joined(protocols),
            )
            return


def _seen_together(one: Item, other: Item) -> bool:
    mine, others = (
        set(resolved_export(parts.texts(each.spec, "exportTo"), each.namespace)) for each in (one, other)
    )
    return EVERYWHERE in mine | others or bool(mine & others)


def _declared(item: Item) -> Iterator[tuple[str, str, int, str]]:
    """(field, host, port, protocol)."""
    for index, port in parts.objects(item.spec, "ports"):
        number = parts.number(port, "number")
        for host in parts.texts(item.spec, "hosts") if number is not None else ():
            yield f"spec.ports[{index}]", host, number or 0, parts.text(port, "protocol").upper()


def deployments(world: World) -> Iterator[Finding]:
    for item in world.of("Deployment"):
        if item.labels.get(WAYPOINT[0]) == WAYPOINT[1] or not _in_mesh(world, item):
            continue
        services = _services_of(world, item)
        yield from _protocols(item, services)
        yield from _targets(item, services)


def _in_mesh(world: World, item: Item) -> bool:
    template = parts.mapping(item.spec, "template")
    if has_proxy(parts.mapping(template, "spec")):
        return True
    for said in ("labels", "annotations"):
        written = parts.labels(template, "metadata", said)
        if INJECT in written:
            return written[INJECT] == "true"
    namespace = world.namespace(item.namespace)
    return namespace is not None and (
        namespace.labels.get(INJECTION) == "enabled"
        or (INJECTION not in namespace.labels and bool(namespace.labels.get(REVISION)))
    )


def _services_of(world: World, item: Item) -> list[Item]:
    labels = parts.labels(item.spec, "template", "metadata", "labels")
    return [
        service
        for service in world.of("Service")
        if service.namespace == item.namespace
        and (selector := parts.labels(service.spec, "selector"))
        and parts.selects(selector, labels)
    ]


def _protocols(item: Item, services: list[Item]) -> Iterator[Finding]:
    used: dict[int, dict[str, list[str]]] = {}
    for service in services:
        for _, port in parts.objects(service.spec, "ports"):
            number, protocol = parts.number(port, "port") or 0, parts.text(port, "protocol") or "TCP"
            used.setdefault(number, {}).setdefault(protocol, []).append(service.owner)
    for number, by_protocol in used.items():
        if len(by_protocol) > 1:
            names = sorted({f"Service {name}" for each in by_protocol.values() for name in each})
            yield found(
                "DeploymentAssociatedToMultipleServices",
                item,
                port=number,
                services=" and ".join(names),
            )


def _targets(item: Item, services: list[Item]) -> Iterator[Finding]:
    used: dict[str, dict[int, str]] = {}
    for service in services:
        for _, port in parts.objects(service.spec, "ports"):
            number = parts.number(port, "port") or 0
            target = str(parts.at(port, "targetPort") or number)
            used.setdefault(target, {})[number] = service.owner
    for target, by_port in used.items():
        if len(by_port) > 1:
            names = sorted({f"Service {name}" for name in by_port.values()})
            yield found(
                "DeploymentConflictingPorts",
                item,
                services=" and ".join(names),
                target=target,
                ports=parts.joined(sorted(by_port)),
            )


ANALYZERS = (
    Analyzer(
        name="service.PortNameAnalyzer",
        description="Ports of Services: that their names say a protocol",
        names=("PortNameIsNotUnderNamingConvention", "ExternalNameServiceTypeInvalidPortName"),
        kinds=("Service",),
        rules=(ports_named,),
    ),
    Analyzer(
        name="serviceentry.ProtocolAddressesAnalyzer",
        description="ServiceEntries with TCP ports: that they have addresses",
        names=("ServiceEntryAddressesRequired",),
        kinds=("ServiceEntry",),
        rules=(addresses_told,),
    ),
    Analyzer(
        name="serviceentry.ConflictingServiceEntryProtocolAnalyzer",
        description="ServiceEntries that give one port of one host different protocols",
        names=("ConflictingServiceEntryProtocol",),
        kinds=("ServiceEntry",),
        rules=(entries_agree,),
    ),
    Analyzer(
        name="deployment.ServiceAssociationAnalyzer",
        description="Deployments that several Services lead to by different protocols or ports",
        names=("DeploymentAssociatedToMultipleServices", "DeploymentConflictingPorts"),
        run=deployments,
        kubernetes=True,
    ),
)
