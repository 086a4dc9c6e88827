"""ServiceEntry: hosts, addresses, ports, and endpoints that fit the way they are resolved.

# Istio: ValidateServiceEntry, CRD rules
"""

from __future__ import annotations

from argosy.resources.networking.service_entry import Resolution, ServiceEntry, ServiceEntrySpec
from argosy.resources.semantics import names, protocols, selectors, visibility
from argosy.resources.semantics.findings import Findings
from argosy.resources.semantics.workload_entry import check_entry

_BY_DNS = (Resolution.DNS, Resolution.DNS_ROUND_ROBIN)


def check(obj: ServiceEntry, findings: Findings) -> None:
    spec = obj.spec
    _hosts(spec, findings)
    _addresses(spec, findings)
    _ports(spec, findings)
    _endpoints(spec, findings)
    if spec.workload_selector is not None:
        selectors.check_selector("spec.workloadSelector.labels", spec.workload_selector.labels, findings)
        if spec.endpoints:
            findings.error("spec.endpoints", "excludes workloadSelector; keep one")
        if spec.resolution != Resolution.STATIC:
            findings.warn(
                "spec.workloadSelector", f"is for resolution STATIC, not {spec.resolution}; change one"
            )
    visibility.check_export_to_or_none(spec.export_to, obj.metadata.namespace, findings)


def _hosts(spec: ServiceEntrySpec, findings: Findings) -> None:
    if not spec.hosts:
        findings.error("spec.hosts", "is empty; give at least one host")
    for i, host in enumerate(spec.hosts):
        path = f"spec.hosts[{i}]"
        if host == "*":
            findings.error(path, "'*' is not allowed; name a domain, as in *.example.com")
            continue
        wrong = names.wildcard_host(host)
        findings.error(path, wrong)
        if wrong is None:
            findings.warn(path, names.partial_wildcard(host))
            if spec.resolution in _BY_DNS and not spec.endpoints and names.fqdn(host) is not None:
                findings.error(
                    path,
                    f"{names.shown(host)} cannot be looked up; name a host, give endpoints, or use another resolution",
                )
        if spec.resolution == Resolution.DYNAMIC_DNS and not host.startswith("*"):
            findings.error(
                path, f"{names.shown(host)} is no wildcard, which DYNAMIC_DNS is for; use resolution DNS"
            )
    if spec.resolution == Resolution.DYNAMIC_DNS:
        for i, port in enumerate(spec.ports):
            if port.protocol.upper() not in protocols.HTTP | protocols.TLS:
                findings.error(
                    f"spec.ports[{i}].protocol",
                    f"{names.shown(port.protocol)} carries no host name to look up; use HTTP or TLS",
                )
    elif spec.resolution != Resolution.NONE and len(spec.hosts) > 1:
        for i, port in enumerate(spec.ports):
            if port.protocol.upper() not in protocols.HTTP | protocols.TLS:
                findings.error(
                    f"spec.ports[{i}].protocol",
                    f"{names.shown(port.protocol)} cannot tell several hosts apart; use HTTP or TLS, or one host",
                )


def _addresses(spec: ServiceEntrySpec, findings: Findings) -> None:
    for i, address in enumerate(spec.addresses):
        path = f"spec.addresses[{i}]"
        findings.error(path, names.subnet(address))
        if "/" in address and spec.resolution not in (Resolution.NONE, Resolution.STATIC):
            findings.error(
                path, f"{names.shown(address)}: CIDR blocks are for resolution NONE and STATIC alone"
            )
    if spec.addresses and spec.resolution == Resolution.DYNAMIC_DNS:
        findings.error("spec.addresses", "has no meaning with resolution DYNAMIC_DNS; remove it")


def _ports(spec: ServiceEntrySpec, findings: Findings) -> None:
    seen_names: set[str] = set()
    seen_numbers: set[int] = set()
    for i, port in enumerate(spec.ports):
        path = f"spec.ports[{i}]"
        findings.error(f"{path}.name", names.dns_label(port.name))
        findings.error(f"{path}.number", names.port(port.number))
        if port.name in seen_names:
            findings.error(
                f"{path}.name", f"{names.shown(port.name)} is there twice; give each port its own name"
            )
        if port.number in seen_numbers:
            findings.error(f"{path}.number", f"{port.number} is there twice; keep one")
        seen_names.add(port.name)
        seen_numbers.add(port.number)
        if port.protocol:
            findings.error(f"{path}.protocol", protocols.known(port.protocol))
        if port.target_port:
            findings.error(f"{path}.targetPort", names.port(port.target_port))
        if not spec.addresses and spec.resolution == Resolution.NONE and port.protocol.upper() in ("", "TCP"):
            findings.warn(path, "TCP traffic is told apart by its address; give spec.addresses")
    by_address = spec.addresses and spec.resolution in _BY_DNS and len(spec.hosts) > 1
    if by_address and any(port.protocol.upper() in protocols.TCP for port in spec.ports):
        findings.warn(
            "spec.hosts", "has several, which TCP connections to one address cannot tell apart; keep one"
        )


def _endpoints(spec: ServiceEntrySpec, findings: Findings) -> None:
    resolution = spec.resolution
    if resolution in (Resolution.NONE, Resolution.DYNAMIC_DNS) and spec.endpoints:
        findings.error(
            "spec.endpoints", f"has no meaning with resolution {resolution}; use STATIC or DNS, or remove it"
        )
        return
    if resolution == Resolution.DNS_ROUND_ROBIN and len(spec.endpoints) > 1:
        findings.error(
            "spec.endpoints",
            f"has {len(spec.endpoints)}; DNS_ROUND_ROBIN takes one: use DNS, or one endpoint",
        )
    ports = {port.name for port in spec.ports}
    for i, endpoint in enumerate(spec.endpoints):
        path = f"spec.endpoints[{i}]"
        check_entry(path, endpoint, findings)
        for name in endpoint.ports:
            if name not in ports:
                findings.error(
                    f"{path}.ports[{name!r}]",
                    f"is no port of spec.ports ({', '.join(sorted(ports))}); use one of their names",
                )
        address = endpoint.address
        if names.is_unix(address):
            if resolution != Resolution.STATIC:
                findings.error(
                    f"{path}.address", f"{names.shown(address)}: sockets are for resolution STATIC alone"
                )
            if len(spec.ports) != 1:
                findings.error(
                    f"{path}.address", f"a socket serves one port; spec.ports has {len(spec.ports)}"
                )
        elif address and not names.is_ip(address):
            if resolution == Resolution.STATIC:
                findings.error(
                    f"{path}.address", f"{names.shown(address)} is not an IP address; use resolution DNS"
                )
            else:
                findings.error(f"{path}.address", names.fqdn(address))
        elif not address and resolution in _BY_DNS:
            findings.error(f"{path}.address", f"is missing, which resolution {resolution} needs; give it")
