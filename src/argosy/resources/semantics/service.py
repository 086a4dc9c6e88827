"""Service: its ports, and which endpoints are preferred.

# Kubernetes: core/v1 Service validation, as far as a mesh depends on it
"""

from __future__ import annotations

from argosy.resources.core import Service, ServicePort
from argosy.resources.semantics import names
from argosy.resources.semantics.findings import Findings

_PROTOCOLS = ("TCP", "UDP", "SCTP")
_DISTRIBUTIONS = ("PreferClose", "PreferSameZone", "PreferSameNode")
_TYPES = ("ClusterIP", "NodePort", "LoadBalancer", "ExternalName")


def check(obj: Service, findings: Findings) -> None:
    spec = obj.spec
    if spec.type not in _TYPES:
        findings.error("spec.type", f"{names.shown(spec.type)} is not one of {', '.join(_TYPES)}")
    if spec.type == "ExternalName":
        findings.error("spec.externalName", names.fqdn(spec.external_name))
    for wrong in names.labels(spec.selector):
        findings.error("spec.selector", wrong)
    if spec.cluster_ip not in ("", "None"):
        findings.error("spec.clusterIP", names.ip(spec.cluster_ip))
    if spec.traffic_distribution and spec.traffic_distribution not in _DISTRIBUTIONS:
        findings.error(
            "spec.trafficDistribution",
            f"{names.shown(spec.traffic_distribution)} is not one of {', '.join(_DISTRIBUTIONS)}",
        )
    seen_names: set[str] = set()
    seen_ports: set[tuple[str, int]] = set()
    for i, port in enumerate(spec.ports):
        path = f"spec.ports[{i}]"
        _port(path, port, len(spec.ports) > 1, findings)
        if port.name and port.name in seen_names:
            findings.error(f"{path}.name", f"{port.name!r} is there twice; give each port its own name")
        if (port.protocol, port.port) in seen_ports:
            findings.error(f"{path}.port", f"{port.port} ({port.protocol}) is there twice; keep one")
        seen_names.add(port.name)
        seen_ports.add((port.protocol, port.port))


def _port(path: str, port: ServicePort, named: bool, findings: Findings) -> None:
    if named and not port.name:
        findings.error(f"{path}.name", "is missing, which a service of several ports needs; name the port")
    elif port.name:
        findings.error(f"{path}.name", names.dns_label(port.name))
    if port.protocol not in _PROTOCOLS:
        findings.error(
            f"{path}.protocol", f"{names.shown(port.protocol)} is not one of {', '.join(_PROTOCOLS)}"
        )
    if isinstance(port.target_port, int):
        if port.target_port:  # 0 is "as port"
            findings.error(f"{path}.targetPort", names.port(port.target_port))
    elif port.target_port:
        findings.error(f"{path}.targetPort", names.dns_label(port.target_port))
