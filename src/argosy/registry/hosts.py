"""v1 Service and ServiceEntry as claims to a hostname: what one object says of one host.

Facts (Istio): a Service's host is `name.namespace.svc.DOMAIN`; a targetPort may be a name, which each workload
resolves by its own ports; a Service of type ExternalName is found by DNS, or without ports an alias; a ServiceEntry
that resolves by DNS and names no endpoints is its own endpoint.
"""

from __future__ import annotations

import msgspec
from msgspec import Struct

from argosy.model import ir
from argosy.model.errors import LoweringError
from argosy.model.hostnames import written_export
from argosy.model.locality import TrafficDistribution
from argosy.model.protocols import parse_protocol, service_port_protocol
from argosy.model.updates import Ref
from argosy.registry.workloads import Entry, interned, lower_inline
from argosy.resources.core import Service
from argosy.resources.networking import ServiceEntry
from argosy.resources.networking.service_entry import Location

EXPORT_ANNOTATION = "networking.istio.io/exportTo"
SERVICE_ACCOUNTS_ANNOTATION = "argosy.dev/service-accounts"
DISTRIBUTION = "networking.istio.io/traffic-distribution"
HEADLESS = "None"
LOCAL = "Local"
EXTERNAL_NAME = "ExternalName"


class Claim(Struct, frozen=True, kw_only=True):
    ref: Ref
    service: ir.Service  # as if this were the only object that claims the host
    targets: tuple[
        int | str | None, ...
    ] = ()  # of each port: workload port, its name, or None for the same number
    selector: ir.Pairs | None = None  # workloads of its namespace with these labels; None: selects none
    inline: tuple[Entry, ...] = ()
    unready: bool = False  # whether workloads that are not ready are endpoints as the others are

    @property
    def rank(self) -> tuple[bool, str, str, str]:
        """Who owns a host that several claim: a Service before a ServiceEntry, then the oldest."""
        service = self.service
        return (not service.kubernetes, service.created, service.namespace, service.name)


def endpoints_of(claim: Claim, ports: tuple[ir.ServicePort, ...], entry: Entry) -> tuple[ir.Endpoint, ...]:
    """What a workload serves of a claim, only for `ports`. A port that it cannot resolve, or that its sidecar does not
    serve, has no endpoint."""
    if claim.selector is not None and not may_serve(claim.service, entry):
        return ()
    found = []
    for port, target in zip(claim.service.ports, claim.targets, strict=True):
        if port not in ports:
            continue
        number = reached(claim, port, target, entry)
        bind = entry.bind_port(number) if number is not None else None
        if bind is None or not entry.address:
            continue
        found.append(
            ir.Endpoint(
                address=entry.address,
                port=0 if entry.address.startswith("unix://") else bind,
                port_name=port.name,
                healthy=entry.healthy or (claim.unready and not entry.leaving),
                weight=entry.weight,
                workload=entry.name,
                namespace=entry.namespace,
                service_account=entry.service_account,
                app=entry.app,
                version=entry.version,
                labels=entry.labels,
                locality=entry.locality,
                network=entry.network,
                mtls=entry.mtls,
            )
        )
    return tuple(found)


def proving(service: ir.Service) -> bool:
    """Whether it is a service of the mesh that says which identities it may run as."""
    return bool(service.subject_alt_names) and not service.external


def may_serve(service: ir.Service, entry: Entry) -> bool:
    """Whether somebody who registered may be an endpoint. Where a service says which identities it may run as, those
    alone who can prove one: not in plaintext, whoever says so, and not those who say themselves that they are somebody
    else. (That they are who they say, their certificate proves to each client.)"""
    if not proving(service):
        return True
    if not entry.mtls:
        return False
    if not service.kubernetes or not entry.service_account:
        return True  # a ServiceEntry's names may be any
    own = f"/ns/{entry.namespace}/sa/{entry.service_account}"
    return any(name.endswith(own) for name in service.subject_alt_names)


def reached(claim: Claim, port: ir.ServicePort, target: int | str | None, entry: Entry) -> int | None:
    """The workload port of `entry` that a service port leads to."""
    named = dict(entry.ports)
    if isinstance(target, str):
        return named.get(target, named.get(port.name))
    if not claim.service.kubernetes and port.name in named:
        return named[port.name]
    return port.number if target is None else target


def lower_service(obj: Service, *, domain_suffix: str, trust_domain: str) -> tuple[Claim, ...]:
    """Raises LoweringError with the field."""
    meta, spec = obj.metadata, obj.spec
    external = spec.type == EXTERNAL_NAME
    alias = external and not spec.ports
    if external and not spec.external_name:
        raise LoweringError("spec.externalName", "is empty; name the host that the Service stands for")
    targets = tuple(_number_or_name(port.target_port) for port in spec.ports)
    addresses = spec.cluster_ips or ((spec.cluster_ip,) if spec.cluster_ip else ())
    written = meta.annotations.get(EXPORT_ANNOTATION, "")
    service = ir.Service(
        hostname=f"{meta.name}.{meta.namespace}.svc.{domain_suffix}",
        name=meta.name,
        namespace=meta.namespace,
        ports=tuple(
            ir.ServicePort(
                name=port.name,
                number=port.port,
                protocol=service_port_protocol(
                    number=port.port,
                    name=port.name,
                    transport=port.protocol,
                    app_protocol=port.app_protocol or None,
                ),
                target_port=target if isinstance(target, int) else None,
            )
            for port, target in zip(spec.ports, targets, strict=True)
        ),
        resolution=ir.Resolution.DNS if external else ir.Resolution.STATIC,
        external=external,
        addresses=tuple(address for address in addresses if address != HEADLESS),
        headless=HEADLESS in addresses,
        export_to=written_export(_items(written), meta.namespace),
        subject_alt_names=_identities(
            meta.annotations.get(SERVICE_ACCOUNTS_ANNOTATION, ""), meta.namespace, trust_domain
        ),
        labels=interned(meta.labels),
        created=meta.creation_timestamp,
        alias_of=spec.external_name.lower().removesuffix(".") if alias else "",
        node_local=spec.internal_traffic_policy == LOCAL,
        distribution=_distribution(spec.traffic_distribution or meta.annotations.get(DISTRIBUTION, "")),
    )
    inline = (Entry(namespace=meta.namespace, name="", address=spec.external_name),) if external else ()
    return (
        Claim(
            ref=("Service", meta.namespace, meta.name),
            service=service,
            targets=targets,
            selector=interned(spec.selector) if spec.selector and not external else None,
            inline=inline,
            unready=spec.publish_not_ready_addresses,
        ),
    )


def lower_service_entry(obj: ServiceEntry) -> tuple[Claim, ...]:
    """A claim for each host. Raises LoweringError with the field."""
    meta, spec = obj.metadata, obj.spec
    resolution = ir.Resolution(spec.resolution)
    template = ir.Service(
        hostname="",
        name=meta.name,
        namespace=meta.namespace,
        ports=tuple(
            ir.ServicePort(
                name=port.name,
                number=port.number,
                protocol=parse_protocol(port.protocol),
                target_port=port.target_port or None,
            )
            for port in spec.ports
        ),
        resolution=resolution,
        external=spec.location is Location.MESH_EXTERNAL,
        addresses=spec.addresses,
        export_to=written_export(spec.export_to, meta.namespace),
        subject_alt_names=tuple(sorted(set(spec.subject_alt_names))),
        labels=interned(meta.labels),
        created=meta.creation_timestamp,
        kubernetes=False,
    )
    selector = spec.workload_selector
    inline = tuple(lower_inline(endpoint, meta.namespace) for endpoint in spec.endpoints)
    return tuple(
        Claim(
            ref=("ServiceEntry", meta.namespace, meta.name),
            service=msgspec.structs.replace(template, hostname=host),
            targets=tuple(port.target_port or None for port in spec.ports),
            selector=interned(selector.labels) if selector is not None else None,
            inline=_inline(host, meta.namespace, resolution, inline) if selector is None else (),
        )
        for host in dict.fromkeys(spec.hosts)
    )


def _inline(
    host: str, namespace: str, resolution: ir.Resolution, written: tuple[Entry, ...]
) -> tuple[Entry, ...]:
    if resolution in (ir.Resolution.NONE, ir.Resolution.DYNAMIC_DNS):
        return ()
    by_name = resolution in (ir.Resolution.DNS, ir.Resolution.DNS_ROUND_ROBIN)
    if by_name and not written and not host.startswith("*"):
        return (Entry(namespace=namespace, name="", address=host),)
    return written


def _distribution(text: str) -> TrafficDistribution:
    """Facts (Kubernetes): PreferClose is the old name of PreferSameZone. What is unknown prefers nothing."""
    if text == "PreferClose":
        return TrafficDistribution.SAME_ZONE
    return TrafficDistribution(text) if text in tuple(TrafficDistribution) else TrafficDistribution.ANY


def _number_or_name(target: int | str | None) -> int | str | None:
    """A number may be written as a text; 0 and "" are not set."""
    if isinstance(target, str) and target.isdigit():
        target = int(target)
    return target or None


def _items(text: str) -> tuple[str, ...]:
    return tuple(item for item in (part.strip() for part in text.split(",")) if item)


def _identities(text: str, namespace: str, trust_domain: str) -> tuple[str, ...]:
    """Of accounts as they are written: NAME, of the object's own namespace, or NAMESPACE/NAME."""
    accounts = {account if "/" in account else f"{namespace}/{account}" for account in _items(text)}
    return tuple(sorted(f"spiffe://{trust_domain}/ns/{one.replace('/', '/sa/', 1)}" for one in accounts))
