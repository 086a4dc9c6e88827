"""What an object says that fits nothing else in the mesh: accepted, because the other part may come later, but told.

Rule: each warning names the field, the value and the remedy; it is about `obj` as written and the Snapshot as it is,
whether or not the Snapshot already holds the object.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from argosy.model import lower_mesh
from argosy.model.errors import LoweringError
from argosy.model.hostnames import (
    EVERYWHERE,
    MESH_GATEWAY,
    covers,
    full_name,
    gateway_name,
    intersection,
    patterns,
    resolved_export,
)
from argosy.model.rules import DestinationRuleRule, VirtualServiceRule
from argosy.model.snapshot import Snapshot
from argosy.resources.core import ConfigMap
from argosy.resources.meta import Object
from argosy.resources.networking import Destination, DestinationRule, HTTPRoute, VirtualService

Finding = tuple[str, str]
"""(field, message)."""


def cross_check(snapshot: Snapshot, obj: Object) -> tuple[Finding, ...]:
    """In the order of the object's fields; () where everything fits or the kind refers to nothing."""
    if isinstance(obj, VirtualService):
        return tuple(_virtual_service(snapshot, obj))
    if isinstance(obj, DestinationRule):
        return tuple(_destination_rule(snapshot, obj))
    if isinstance(obj, ConfigMap):
        return tuple(_mesh_settings(snapshot, obj))
    return ()


def _virtual_service(snapshot: Snapshot, obj: VirtualService) -> Iterator[Finding]:
    namespace, spec = obj.metadata.namespace, obj.spec
    yield from _host_conflicts(snapshot, obj)
    yield from _gateways(snapshot, obj)
    for index, http in enumerate(spec.http):
        field = f"spec.http[{index}]"
        yield from _delegate(snapshot, http, namespace, f"{field}.delegate")
        for where, destination in _http_destinations(http, field):
            yield from _destination(snapshot, destination, namespace, where)
    routes = [(f"spec.tls[{index}]", tls.route) for index, tls in enumerate(spec.tls)]
    routes += [(f"spec.tcp[{index}]", tcp.route) for index, tcp in enumerate(spec.tcp)]
    for field, route in routes:
        for position, item in enumerate(route):
            yield from _destination(
                snapshot, item.destination, namespace, f"{field}.route[{position}].destination"
            )


def _http_destinations(http: HTTPRoute, field: str) -> Iterator[tuple[str, Destination]]:
    for position, item in enumerate(http.route):
        yield f"{field}.route[{position}].destination", item.destination
    if http.mirror is not None:
        yield f"{field}.mirror", http.mirror
    for position, mirror in enumerate(http.mirrors):
        yield f"{field}.mirrors[{position}].destination", mirror.destination


def _destination(snapshot: Snapshot, written: Destination, namespace: str, field: str) -> Iterator[Finding]:
    host = full_name(written.host, namespace, snapshot.mesh.domain_suffix)
    service = snapshot.services.get(host)
    if service is None:
        if not any(pattern in snapshot.services for pattern in patterns(host)[1:]):
            remedy = "create the Service or ServiceEntry, or correct the name"
            yield f"{field}.host", f"{_as_written(written.host, host)}: no service has this host; {remedy}"
    elif written.port is not None and service.port(written.port.number) is None:
        ports = ", ".join(str(port.number) for port in service.ports) or "none"
        yield f"{field}.port.number", f"{written.port.number} is not a port of {host}; its ports are: {ports}"
    if written.subset:
        rules = [
            rule for pattern in patterns(host) for rule in snapshot.destination_rules.by_host.get(pattern)
        ]
        if not any(subset.name == written.subset for rule in rules for subset in rule.subsets):
            yield f"{field}.subset", _unknown_subset(written.subset, host, rules)


def _unknown_subset(subset: str, host: str, rules: Iterable[DestinationRuleRule]) -> str:
    known = [f"{rule.namespace}/{rule.name} ({_names(rule)})" for rule in rules]
    if not known:
        return f"{subset}: no DestinationRule defines subsets of {host}; create one that defines {subset}"
    return (
        f"{subset}: not a subset of {host}; add it to DestinationRule {', '.join(known)} or correct the name"
    )


def _names(rule: DestinationRuleRule) -> str:
    return "subsets: " + (", ".join(subset.name for subset in rule.subsets) or "none")


def _delegate(snapshot: Snapshot, http: HTTPRoute, namespace: str, field: str) -> Iterator[Finding]:
    if http.delegate is None:
        return
    owner, name = http.delegate.namespace or namespace, http.delegate.name
    rule = snapshot.virtual_services.rules.get((owner, name))
    if rule is None:
        yield f"{field}.name", f"{owner}/{name}: no such VirtualService; create it, without hosts"
    elif rule.hosts:
        yield f"{field}.name", f"{owner}/{name} has hosts, so it is no delegate; take its spec.hosts away"


def _gateways(snapshot: Snapshot, obj: VirtualService) -> Iterator[Finding]:
    suffix, namespace = snapshot.mesh.domain_suffix, obj.metadata.namespace
    hosts = [full_name(host, namespace, suffix) for host in obj.spec.hosts]
    for index, written in enumerate(obj.spec.gateways):
        if written == MESH_GATEWAY:
            continue
        owner, _, name = gateway_name(written, namespace).partition("/")
        gateway = snapshot.gateways.rules.get((owner, name))
        field = f"spec.gateways[{index}]"
        if gateway is None:
            yield field, f"{written}: there is no Gateway {owner}/{name}; create it or correct the name"
            continue
        offered = [host.partition("/") for server in gateway.servers for host in server.hosts]
        open_to_us = [host for space, _, host in offered if space in (EVERYWHERE, namespace)]
        if hosts and not intersection(open_to_us, hosts):
            served = ", ".join(dict.fromkeys("/".join((space, host)) for space, _, host in offered)) or "none"
            yield (
                field,
                f"{written}: Gateway {owner}/{name} serves none of this object's hosts ({', '.join(hosts)}); "
                f"its servers' hosts are: {served}",
            )


def _host_conflicts(snapshot: Snapshot, obj: VirtualService) -> Iterator[Finding]:
    meta, spec = obj.metadata, obj.spec
    if spec.gateways and MESH_GATEWAY not in spec.gateways:
        return
    own = VirtualServiceRule(
        namespace=meta.namespace,
        name=meta.name,
        created=meta.creation_timestamp,
        export_to=resolved_export(spec.export_to, meta.namespace),
    )
    for index, written in enumerate(spec.hosts):
        host = full_name(written, meta.namespace, snapshot.mesh.domain_suffix)
        for other in snapshot.virtual_services.by_host.get(host):
            same = (other.namespace, other.name) == (own.namespace, own.name)
            if same or not _seen_together(own.export_to, other.export_to):
                continue
            winner = min(own, other, key=_precedence)
            yield (
                f"spec.hosts[{index}]",
                f"{_as_written(written, host)}: VirtualService {own.namespace}/{own.name} and VirtualService "
                f"{other.namespace}/{other.name} both have this host; sidecars use "
                f"{winner.namespace}/{winner.name}, the older: join their routes in one of them",
            )


def _precedence(rule: VirtualServiceRule) -> tuple[bool, tuple[str, str, str]]:
    """An object that is not stored yet has no time of creation: it will be the youngest."""
    return (not rule.created, rule.age)


def _seen_together(left: Iterable[str], right: Iterable[str]) -> bool:
    mine, other = set(left), set(right)
    return EVERYWHERE in mine | other or bool(mine & other)


def _destination_rule(snapshot: Snapshot, obj: DestinationRule) -> Iterator[Finding]:
    written = obj.spec.host
    host = full_name(written, obj.metadata.namespace, snapshot.mesh.domain_suffix)
    known = any(pattern in snapshot.services for pattern in patterns(host))
    if not known and host.startswith("*"):
        known = any(covers(host, hostname) for hostname in snapshot.services)
    if not known:
        remedy = "create the Service or ServiceEntry, or correct the name"
        yield "spec.host", f"{_as_written(written, host)}: no service has this host; {remedy}"


def _mesh_settings(snapshot: Snapshot, obj: ConfigMap) -> Iterator[Finding]:
    """Certificates are of the trust domain that the server was started with, whatever is written."""
    if (obj.metadata.namespace, obj.metadata.name) != (lower_mesh.NAMESPACE, lower_mesh.NAME):
        return
    try:
        written = lower_mesh.lower(obj, snapshot.mesh_defaults).trust_domain
    except LoweringError:
        return  # refused for itself
    certified = snapshot.mesh_defaults.trust_domain
    if written != certified:
        yield (
            f"{lower_mesh.FIELD}.trustDomain",
            f"{written}: this server certifies workloads of {certified}, and proxies will take none of them for its "
            f"services; write {certified}, or start the server with --trust-domain {written}",
        )


def _as_written(written: str, host: str) -> str:
    return written if written == host else f"{written} ({host})"
