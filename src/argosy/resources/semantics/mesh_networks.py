"""MeshNetworks: which endpoints are in a network, and the gateways that lead into it.

# Istio: ValidateMeshNetworks
"""

from __future__ import annotations

from argosy.resources.meshconfig import MeshNetworks, Network, NetworkGateway
from argosy.resources.semantics import names
from argosy.resources.semantics.findings import Findings


def check(networks: MeshNetworks, findings: Findings) -> None:
    for name, network in networks.networks.items():
        _network(f"networks[{name!r}]", network, findings)


def _network(path: str, network: Network, findings: Findings) -> None:
    for i, endpoints in enumerate(network.endpoints):
        at = f"{path}.endpoints[{i}]"
        if endpoints.from_cidr is not None and endpoints.from_registry is not None:
            findings.error(at, "has fromCidr and fromRegistry; keep one")
        if endpoints.from_cidr is not None:
            findings.error(f"{at}.fromCidr", names.subnet(endpoints.from_cidr))
        if endpoints.from_registry is not None:
            findings.error(f"{at}.fromRegistry", names.dns_label(endpoints.from_registry))
    for i, gateway in enumerate(network.gateways):
        _gateway(f"{path}.gateways[{i}]", gateway, findings)


def _gateway(path: str, gateway: NetworkGateway, findings: Findings) -> None:
    if gateway.address is not None and gateway.registry_service_name is not None:
        findings.error(path, "has address and registryServiceName; keep one")
    if gateway.address is not None and not names.is_ip(gateway.address):
        findings.error(f"{path}.address", names.fqdn(gateway.address))
    if gateway.registry_service_name is not None:
        findings.error(f"{path}.registryServiceName", names.fqdn(gateway.registry_service_name))
    findings.error(f"{path}.port", names.port(gateway.port))
