"""Endpoints and EndpointSlice: addresses, ports.

# Kubernetes: core/v1 ValidateEndpoints, discovery/v1 ValidateEndpointSlice; unlike there, loopback addresses are taken:
# on one host, that is where workloads are
"""

from __future__ import annotations

import ipaddress

from argosy.resources import discovery
from argosy.resources.core import EndpointAddress, EndpointPort, Endpoints, EndpointSubset
from argosy.resources.discovery import Endpoint, EndpointSlice
from argosy.resources.semantics import names
from argosy.resources.semantics.findings import Findings

_PROTOCOLS = ("TCP", "UDP", "SCTP")
_ADDRESS_TYPES = ("IPv4", "IPv6", "FQDN")


def check(obj: Endpoints | EndpointSlice, findings: Findings) -> None:
    if isinstance(obj, Endpoints):
        for index, subset in enumerate(obj.subsets):
            _subset(f"subsets[{index}]", subset, findings)
        return
    if obj.address_type not in _ADDRESS_TYPES:
        findings.error(
            "addressType", f"{names.shown(obj.address_type)} is not one of {', '.join(_ADDRESS_TYPES)}"
        )
        return
    for index, endpoint in enumerate(obj.endpoints):
        _endpoint(f"endpoints[{index}]", obj.address_type, endpoint, findings)
    seen: set[str] = set()
    for index, port in enumerate(obj.ports):
        _port(f"ports[{index}]", port, findings)
        if port.name in seen:
            findings.error(f"ports[{index}].name", f"{names.shown(port.name)} is there twice; name each port")
        seen.add(port.name)


def check_change(old: Endpoints | EndpointSlice, new: Endpoints | EndpointSlice, findings: Findings) -> None:
    if (
        isinstance(old, EndpointSlice)
        and isinstance(new, EndpointSlice)
        and old.address_type != new.address_type
    ):
        findings.error(
            "addressType",
            f"cannot be changed from {old.address_type} to {new.address_type}; create another EndpointSlice",
        )


def _subset(path: str, subset: EndpointSubset, findings: Findings) -> None:
    if not subset.addresses and not subset.not_ready_addresses:
        findings.error(path, "has neither addresses nor notReadyAddresses; give one of them")
    for name, addresses in (
        ("addresses", subset.addresses),
        ("notReadyAddresses", subset.not_ready_addresses),
    ):
        for index, address in enumerate(addresses):
            _address(f"{path}.{name}[{index}]", address, findings)
    for index, port in enumerate(subset.ports):
        if len(subset.ports) > 1 and not port.name:
            findings.error(
                f"{path}.ports[{index}].name", "is missing, which several ports need; name the port"
            )
        _port(f"{path}.ports[{index}]", port, findings)


def _address(path: str, address: EndpointAddress, findings: Findings) -> None:
    findings.error(f"{path}.ip", names.ip(address.ip) or _usable(address.ip))
    if address.hostname:
        findings.error(f"{path}.hostname", names.lower_label(address.hostname))


def _endpoint(path: str, address_type: str, endpoint: Endpoint, findings: Findings) -> None:
    seen: set[str] = set()
    for index, address in enumerate(endpoint.addresses):
        at = f"{path}.addresses[{index}]"
        if address_type == "FQDN":
            findings.error(at, names.object_name(address))
        elif not names.is_ip(address) or f"IPv{ipaddress.ip_address(address).version}" != address_type:
            findings.error(at, f"{names.shown(address)} is not an address of addressType {address_type}")
        else:
            findings.error(at, _usable(address))
        if address in seen:
            findings.error(at, f"{names.shown(address)} is there twice; keep one")
        seen.add(address)
    if endpoint.hostname is not None:
        findings.error(f"{path}.hostname", names.lower_label(endpoint.hostname))
    if endpoint.node_name is not None:
        findings.error(f"{path}.nodeName", names.object_name(endpoint.node_name))


def _usable(text: str) -> str | None:
    address = ipaddress.ip_address(text)
    if address.is_unspecified or address.is_multicast or address.is_link_local:
        return f"{names.shown(text)} is not an address of one endpoint; give a unicast address"
    return None


def _port(path: str, port: EndpointPort | discovery.EndpointPort, findings: Findings) -> None:
    if port.name:
        findings.error(f"{path}.name", names.lower_label(port.name))
    if port.protocol not in _PROTOCOLS:
        findings.error(
            f"{path}.protocol", f"{names.shown(port.protocol)} is not one of {', '.join(_PROTOCOLS)}"
        )
    if port.app_protocol:
        wrong = names.label_key(port.app_protocol)
        findings.error(f"{path}.appProtocol", f"{wrong}, as in http or kubernetes.io/h2c" if wrong else None)
