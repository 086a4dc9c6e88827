"""Gateways: the workloads they select, their ports, certificates, and each other.

# Istio: analyzers/gateway
"""

from __future__ import annotations

from collections.abc import Iterator

from argosy.explain.analysis import credentials, parts
from argosy.explain.analysis.index import certificate, selector_of
from argosy.explain.analysis.message import Analyzer, Finding, found
from argosy.explain.analysis.parts import Json
from argosy.explain.analysis.world import INGRESS_PORTS, Item, Workload, World


def _servers(gateway: Item) -> Iterator[tuple[str, Json]]:
    for index, server in parts.objects(gateway.spec, "servers"):
        yield f"spec.servers[{index}]", server


def selected_and_reachable(world: World, gateway: Item) -> Iterator[Finding]:
    """A gateway that runs as a pod is reached through Services; one that `argosy gateway` runs listens itself."""
    selected = list(world.selected(selector_of(gateway)))
    if not selected:
        yield _selects_nothing(gateway)
    if not all(workload.behind_services for workload in selected):
        return
    ports = {port for workload in selected for port in _target_ports(world, workload)}
    for field, server in _servers(gateway) if selected else ():
        port = parts.number(server, "port", "number")
        if port is not None and port not in ports:
            yield found(
                "GatewayPortNotDefinedOnService",
                gateway,
                f"{field}.port.number",
                port=port,
                selector=parts.written(selector_of(gateway)) or "every gateway",
                ports=parts.joined(sorted(ports)) or "none",
            )


def _selects_nothing(gateway: Item) -> Finding:
    return found(
        "ReferencedResourceNotFound",
        gateway,
        "spec.selector",
        value=parts.written(selector_of(gateway)) or "{}",
        missing="no gateway has these labels",
        remedy="start one with them, or correct the selector",
    )


def _target_ports(world: World, workload: Workload) -> Iterator[int]:
    """The ports at which Services reach the workload: numbers as they are, names as the port that bears them."""
    if workload.item is None:
        yield from INGRESS_PORTS
    for service in world.index.under("kind", "Service", workload.namespace):
        if not parts.selects(parts.labels(service.spec, "selector"), workload.labels):
            continue
        for _, port in parts.objects(service.spec, "ports"):
            if parts.text(port, "protocol") in ("", "TCP"):
                target = parts.number(port, "targetPort") or parts.number(port, "port")
                if target is not None:
                    yield target


def credentials_there(world: World, gateway: Item) -> Iterator[Finding]:
    """Secrets are read in the namespace of the workload, whatever that of the Gateway is."""
    selected = list(world.selected(selector_of(gateway)))
    if not selected:
        yield _selects_nothing(gateway)
        return
    for field, server in _servers(gateway):
        name = parts.text(server, "tls", "credentialName")
        if name:
            spaces = list(dict.fromkeys(workload.namespace for workload in selected))
            yield from credentials.named(
                world, gateway, f"{field}.tls.credentialName", name, spaces, "where the gateway runs"
            )


def certificates_of_their_own(world: World, gateway: Item) -> Iterator[Finding]:
    """A pair counts where the one's selector is a part of the other's: the wider one is told."""
    own = selector_of(gateway)
    for field, server in _servers(gateway):
        shared = certificate(parts.mapping(server, "tls"))
        for other in world.index.under("certificate", *shared) if shared else ():
            if other.owner != gateway.owner and parts.selects(own, selector_of(other)):
                owners = f"Gateway {gateway.owner} and Gateway {other.owner}"
                yield found("GatewayDuplicateCertificate", gateway, f"{field}.tls", owners=owners)


def servers_of_their_own(world: World, gateway: Item) -> Iterator[Finding]:
    """Two conflict where a workload is of both (their selectors alike, or it has the labels of both), and a server of
    each has the same port, bind and one host."""
    for field, server in _servers(gateway):
        port, hosts = parts.number(server, "port", "number"), parts.texts(server, "hosts")
        beside = {
            other.owner: other
            for host in hosts
            for other in world.index.under("served", str(port), host)
            if other.owner != gateway.owner
        }
        rivals = [
            other
            for other in beside.values()
            if any(_same(server, its) for _, its in _servers(other)) and _meet(world, gateway, other)
        ]
        if rivals:
            owners = " and ".join(f"Gateway {each.owner}" for each in (gateway, *rivals))
            yield found(
                "ConflictingGateways",
                gateway,
                field,
                owners=owners,
                selector=parts.written(selector_of(gateway)) or "all",
                hosts=parts.joined(hosts),
                port=port,
            )


def _meet(world: World, one: Item, other: Item) -> bool:
    left, right = selector_of(one), selector_of(other)
    if left == right:
        return True
    return any(parts.selects(right, workload.labels) for workload in world.selected(left))


def _same(one: Json, other: Json) -> bool:
    if parts.number(one, "port", "number") != parts.number(other, "port", "number"):
        return False
    if parts.text(one, "bind") != parts.text(other, "bind"):
        return False
    return bool(set(parts.texts(one, "hosts")) & set(parts.texts(other, "hosts")))


ANALYZERS = (
    Analyzer(
        name="gateway.IngressGatewayPortAnalyzer",
        description="Gateways: that a workload is selected, and that Services lead to its ports",
        names=("ReferencedResourceNotFound", "GatewayPortNotDefinedOnService"),
        kinds=("Gateway",),
        rules=(selected_and_reachable,),
    ),
    Analyzer(
        name="gateway.CertificateAnalyzer",
        description="Gateways that serve different hosts with the same certificate",
        names=("GatewayDuplicateCertificate",),
        kinds=("Gateway",),
        rules=(certificates_of_their_own,),
    ),
    Analyzer(
        name="gateway.SecretAnalyzer",
        description="Certificates of Gateways: that their Secrets are there and hold one",
        names=("ReferencedResourceNotFound", "InvalidGatewayCredential"),
        kinds=("Gateway",),
        rules=(credentials_there,),
    ),
    Analyzer(
        name="gateway.ConflictingGatewayAnalyzer",
        description="Gateways that serve the same hosts at the same port of the same workload",
        names=("ConflictingGateways",),
        kinds=("Gateway",),
        rules=(servers_of_their_own,),
    ),
)
