"""VirtualService: hosts, gateways, TLS and TCP routes; HTTP routes are in `http_route`.

# Istio: ValidateVirtualService
"""

from __future__ import annotations

import re

from argosy.resources.networking.virtual_service import (
    L4MatchAttributes,
    RouteDestination,
    TLSMatchAttributes,
    VirtualService,
    VirtualServiceSpec,
)
from argosy.resources.semantics import destinations, http_route, names, unreachable, visibility
from argosy.resources.semantics.findings import Findings

MESH = "mesh"
# Names that an AUTO_PASSTHROUGH gateway routes by: outbound_.PORT_.SUBSET_.HOST
_SNI_CLUSTER = re.compile(r"outbound_\.[0-9]+_\..+")


def check(obj: VirtualService, findings: Findings) -> None:
    spec = obj.spec
    if not spec.hosts:
        _delegate(spec, findings)
    check_gateways("spec.gateways", spec.gateways, findings)
    at_gateways = bool(spec.gateways) and MESH not in spec.gateways
    _hosts(spec, at_gateways, findings)
    if not (spec.http or spec.tls or spec.tcp):
        findings.error("spec", "has no routes; give it http, tls or tcp")
    for i, route in enumerate(spec.http):
        path = f"spec.http[{i}]"
        http_route.check(path, route, not spec.hosts, at_gateways, findings)
        for m, http_match in enumerate(route.match):
            check_gateways(f"{path}.match[{m}].gateways", http_match.gateways, findings)
    for i, tls in enumerate(spec.tls):
        path = f"spec.tls[{i}]"
        if not tls.match:
            findings.error(f"{path}.match", "is empty; match at least one SNI host")
        for m, tls_match in enumerate(tls.match):
            _tls_match(f"{path}.match[{m}]", tls_match, spec, at_gateways, findings)
        _destinations(f"{path}.route", tls.route, findings)
    for i, tcp in enumerate(spec.tcp):
        path = f"spec.tcp[{i}]"
        for m, match in enumerate(tcp.match):
            _l4_match(f"{path}.match[{m}]", match, findings)
            if match.source_subnet:
                findings.error(f"{path}.match[{m}].sourceSubnet", names.subnet(match.source_subnet))
        _destinations(f"{path}.route", tcp.route, findings)
    visibility.check_export_to(spec.export_to, obj.metadata.namespace, findings)
    unreachable.check(spec, findings)


def _delegate(spec: VirtualServiceSpec, findings: Findings) -> None:
    for name, value in (("gateways", spec.gateways), ("tls", spec.tls), ("tcp", spec.tcp)):
        if value:
            findings.error(f"spec.{name}", "is not for a delegate (no hosts); give spec.hosts or remove it")


def check_gateways(path: str, gateways: tuple[str, ...], findings: Findings) -> None:
    for i, gateway in enumerate(gateways):
        at = f"{path}[{i}]"
        namespace, slash, name = gateway.partition("/")
        if slash:
            findings.error(at, _prefixed("namespace", names.dns_label(namespace)))
            findings.error(at, _prefixed("name", names.dns_label(name)))
            continue
        wrong = names.fqdn(gateway)
        findings.error(at, wrong)
        if wrong is None and "." in gateway:
            parts = gateway.split(".")
            findings.warn(at, f"{gateway!r} is the old form of a gateway; write '{parts[1]}/{parts[0]}'")


def _prefixed(what: str, wrong: str | None) -> str | None:
    return f"{what} {wrong}; write namespace/name" if wrong else None


def _hosts(spec: VirtualServiceSpec, at_gateways: bool, findings: Findings) -> None:
    by_sni = at_gateways and any(match.sni_hosts for tls in spec.tls for match in tls.match)
    valid = True
    for i, host in enumerate(spec.hosts):
        wrong = _host(host, by_sni)
        if wrong is None and host == "*" and not at_gateways:
            wrong = (
                "'*' is not allowed for sidecars; name hosts, or bind it to gateways alone (without 'mesh')"
            )
        if wrong is not None and names.is_ip(host):
            wrong = None
        findings.error(f"spec.hosts[{i}]", wrong)
        valid = valid and wrong is None
    if not valid:
        return
    for i, other in names.overlapping(spec.hosts).items():
        findings.error(f"spec.hosts[{i}]", f"{spec.hosts[i]!r} overlaps {other!r}; keep one of them")


def _host(host: str, by_sni: bool) -> str | None:
    if by_sni and host.startswith("outbound_."):
        if _SNI_CLUSTER.fullmatch(host):
            return None
        return f"{names.shown(host)} is not of the form outbound_.PORT_.SUBSET_.HOST"
    return names.wildcard_host(host)


def _tls_match(
    path: str, match: TLSMatchAttributes, spec: VirtualServiceSpec, at_gateways: bool, findings: Findings
) -> None:
    if not match.sni_hosts:
        findings.error(f"{path}.sniHosts", "is empty; give at least one host")
    for i, host in enumerate(match.sni_hosts):
        at = f"{path}.sniHosts[{i}]"
        wrong = _host(host, at_gateways or not spec.gateways)
        if wrong is not None and names.is_ip(host):
            findings.warn(
                at, f"{host!r} is an IP address, which most clients do not send as SNI; use a host name"
            )
        elif wrong is not None:
            findings.error(at, wrong)
        elif not any(names.covers(of, host) for of in spec.hosts):
            findings.error(
                at, f"{host!r} is not covered by spec.hosts ({', '.join(spec.hosts[:5])}); add it there"
            )
    _l4_match(path, match, findings)


def _l4_match(path: str, match: TLSMatchAttributes | L4MatchAttributes, findings: Findings) -> None:
    for i, subnet in enumerate(match.destination_subnets):
        findings.error(f"{path}.destinationSubnets[{i}]", names.subnet(subnet))
    if match.port:
        findings.error(f"{path}.port", names.port(match.port))
    for wrong in names.labels(match.source_labels):
        findings.error(f"{path}.sourceLabels", wrong)
    check_gateways(f"{path}.gateways", match.gateways, findings)
    if match.source_namespace:
        findings.error(f"{path}.sourceNamespace", names.dns_label(match.source_namespace))


def _destinations(path: str, route: tuple[RouteDestination, ...], findings: Findings) -> None:
    if not route:
        findings.error(path, "is empty; give at least one destination")
    for i, weighted in enumerate(route):
        destinations.check_destination(f"{path}[{i}].destination", weighted.destination, findings)
    destinations.check_weights(path, tuple(weighted.weight for weighted in route), findings)
