"""The ports of a workload: those of its sidecar, and the services that lead to them."""

from __future__ import annotations

from collections.abc import Iterable

from argosy.model import ir
from argosy.model.protocols import parse_protocol
from argosy.registry.workloads import Entry, SidecarPort


def workload_port(
    port: SidecarPort, reaching: Iterable[tuple[str, int, ir.ServicePort]], entry: Entry
) -> ir.WorkloadPort:
    services = sorted(reaching, key=lambda item: item[:2])
    named = next((name for name, number in entry.ports if number == port.workload), "")
    protocol = parse_protocol(port.protocol)
    if not port.protocol and services:
        protocol = services[0][2].protocol
    return ir.WorkloadPort(
        name=named or (services[0][2].name if services else ""),
        workload=port.workload,
        bind=port.bind,
        application=port.application,
        protocol=protocol,
        service_hosts=tuple(hostname for hostname, _, _ in services),
        service_ports=tuple(number for _, number, _ in services),
    )


def reached_beside(
    reaching: dict[int, list[tuple[str, int, ir.ServicePort]]], listed: set[int]
) -> tuple[tuple[str, int, int], ...]:
    """What leads to ports that the workload does not list."""
    return tuple(
        sorted(
            (hostname, number, target)
            for target, services in reaching.items()
            if target not in listed
            for hostname, number, _ in services
        )
    )
