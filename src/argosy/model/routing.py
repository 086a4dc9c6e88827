"""Rules of VirtualServices to the routes that one class of proxies sees: what depended on the proxy is decided here.

Facts (Istio): one route for each match (ANY of them); a match for another port, gateway, namespace or other labels is
left out; after a route that takes everything nothing follows; a destination without a port is the service's only
port, else the port of the request.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Protocol

import msgspec

from argosy.model import ir
from argosy.model.hostnames import MESH_GATEWAY
from argosy.model.rules import (
    HttpMatch,
    HttpRule,
    L4Match,
    L4Rule,
    Source,
    Target,
    WeightedTarget,
)
from argosy.model.scope import Interception, ProxyType, Scope


class Surroundings(Protocol):
    """What the rules of one object need of the rest of the model."""

    def service(self, hostname: str) -> ir.Service | None: ...

    def concrete(self, hostname: str) -> str: ...

    def destination(self, scope: Scope, hostname: str) -> ir.DestinationPolicy | None: ...

    def mesh(self) -> ir.Mesh: ...


class Place(msgspec.Struct, frozen=True):
    """Where a route stands: who asks, through which gateway (`mesh` for sidecars), on which port."""

    scope: Scope
    gateway: str
    port: int


def holds(source: Source, place: Place) -> bool:
    """`hindrance` says the same in words."""
    if source.port and source.port != place.port:
        return False
    if source.gateways and place.gateway not in source.gateways:
        return False
    if place.gateway != MESH_GATEWAY and source.gateways:
        return True  # labels and namespace of a match speak of sidecars
    if source.namespace and source.namespace != place.scope.namespace:
        return False
    selectors = source.selectors if _known(place) else () if source.selector is None else (source.selector,)
    return all(selector.id in place.scope.matched for selector in selectors)


def _known(place: Place) -> bool:
    """Whether it is known beforehand where connections come from: nothing is captured, so from the workload itself.
    What Envoy sees there is the loopback."""
    scope = place.scope
    own = place.gateway == MESH_GATEWAY and scope.type is ProxyType.SIDECAR
    return own and scope.interception is Interception.EXPLICIT


def hindrance(source: Source, place: Place) -> str:
    """The first condition that keeps a match from `place`; "" where it holds."""
    if source.port and source.port != place.port:
        return f"it is for port {source.port}, not {place.port}"
    if source.gateways and place.gateway not in source.gateways:
        return f"it is for {', '.join(source.gateways)}, not for {place.gateway}"
    if place.gateway != MESH_GATEWAY and source.gateways:
        return ""
    if source.namespace and source.namespace != place.scope.namespace:
        return f"it is for callers of namespace {source.namespace}, not {place.scope.namespace}"
    selector = source.selector
    if selector is None or selector.id in place.scope.matched:
        return "" if holds(source, place) else f"it is for callers in {source.subnet}"
    return f"it is for callers with the labels {', '.join(f'{key}={value}' for key, value in source.labels)}"


# --- HTTP -----------------------------------------------------------------------------------------------------------


def http_routes(rules: Iterable[HttpRule], place: Place, model: Surroundings) -> tuple[ir.Route, ...]:
    return tuple(_route(rule, match, place, model) for _, _, rule, match in open_matches(rules, place))


def open_matches(
    rules: Iterable[HttpRule], place: Place
) -> Iterator[tuple[int, int | None, HttpRule, HttpMatch]]:
    """(position of the rule, of its match or None where it has none, both) of each route at `place`, in order."""
    for position, rule in enumerate(rules):
        for index, match in enumerate(rule.matches or (HttpMatch(),)):
            if not holds(match.source, place):
                continue
            yield position, index if rule.matches else None, rule, match
            if takes_everything(match.match):
                return


def takes_everything(match: ir.RouteMatch) -> bool:
    if match.headers or match.query or match.claims or match.scheme or match.method or match.authority:
        return False
    uri = match.uri
    return uri is None or (uri.kind, uri.value) in _EVERY_PATH


_EVERY_PATH = (
    (ir.MatchKind.PREFIX, ""),
    (ir.MatchKind.PREFIX, "/"),
    (ir.MatchKind.PATH_PREFIX, "/"),
    (ir.MatchKind.REGEX, ".*"),
)


def _route(rule: HttpRule, match: HttpMatch, place: Place, model: Surroundings) -> ir.Route:
    return ir.Route(
        match=match.match,
        action=_action(rule, place, model),
        name=f"{rule.name}.{match.name}" if match.name else rule.name,
        fault=rule.fault,
        headers=rule.headers,
        cors=rule.cors,
        stat_prefix=match.stat_prefix,
    )


def _action(
    rule: HttpRule, place: Place, model: Surroundings
) -> ir.Forward | ir.Redirect | ir.DirectResponse:
    if rule.redirect is not None:
        return rule.redirect
    if rule.direct is not None:
        return rule.direct
    destinations = resolved(rule.targets, place.port, model)
    hashes = _hashes(destinations, place.scope, model)
    return ir.Forward(
        destinations=destinations,
        timeout=rule.timeout,
        retry=_retry(rule.retry, hashes, model),
        rewrite=rule.rewrite,
        mirrors=tuple(
            ir.Mirror(destination(mirror.target, place.port, model), mirror.percent)
            for mirror in rule.mirrors
        ),
        hash=hashes,
    )


def _retry(
    written: ir.RetryPolicy | None, hashes: tuple[ir.HashPolicy, ...], model: Surroundings
) -> ir.RetryPolicy | None:
    """Consistent hashing leads every attempt to the same host: there the default does not avoid earlier ones."""
    if written is not None:
        return written if written.attempts > 0 else None
    default = model.mesh().default_retry
    if default is not None and hashes:
        return msgspec.structs.replace(default, ignore_previous_hosts=False)
    return default


def _hashes(
    destinations: Iterable[ir.WeightedDestination], scope: Scope, model: Surroundings
) -> tuple[ir.HashPolicy, ...]:
    found: dict[ir.HashPolicy, None] = {}
    for item in destinations:
        policy = model.destination(scope, item.destination.host)
        if policy is None:
            continue
        chosen = policy.policy(item.destination.subset, item.destination.port).hash
        if chosen is not None:
            found[chosen] = None
    return tuple(found)


# --- destinations ---------------------------------------------------------------------------------------------------


def resolved(
    targets: Iterable[WeightedTarget], port: int, model: Surroundings
) -> tuple[ir.WeightedDestination, ...]:
    return tuple(
        ir.WeightedDestination(destination(item.target, port, model), item.weight, item.headers)
        for item in targets
    )


def destination(target: Target, port: int, model: Surroundings) -> ir.Destination:
    """Facts (Istio): a route to an alias leads to what it stands for."""
    host = model.concrete(target.host)
    if host != target.host:
        target = msgspec.structs.replace(target, host=host)
    if target.port is not None:
        return ir.Destination(target.host, target.port, target.subset)
    service = model.service(target.host)
    if target.port_name and service is not None:
        named = next((one.number for one in service.ports if one.name == target.port_name), None)
        return ir.Destination(target.host, named or port, target.subset)
    if service is not None and len(service.ports) == 1:
        port = service.ports[0].number
    return ir.Destination(target.host, port, target.subset)


# --- TCP and TLS ----------------------------------------------------------------------------------------------------


def l4_matches(
    rules: Sequence[L4Rule], place: Place, accepts: Callable[[L4Match], bool]
) -> Iterator[tuple[L4Rule, L4Match]]:
    """Each (rule, match) that holds at `place`, in order."""
    for rule in rules:
        for match in rule.matches or (L4Match(),):
            if holds(match.source, place) and accepts(match):
                yield rule, match


def tcp_routes(rules: Sequence[L4Rule], place: Place, model: Surroundings) -> Iterator[ir.TcpRoute]:
    """Up to the first that is for all."""
    at_gateway = place.gateway != MESH_GATEWAY
    for rule, match in l4_matches(rules, place, lambda match: True):
        route = ir.TcpRoute(
            subnets=() if at_gateway else match.subnets,
            destinations=resolved(rule.targets, place.port, model),
            source="" if _known(place) else match.source.subnet,
        )
        yield route
        if route.for_all:
            return


def chosen(routes: Sequence[ir.TcpRoute], address: str, source: str = "") -> ir.TcpRoute | None:
    """The route of a connection to `address` from `source` ("": not known, and in no subnet): of those that fit the one
    with the narrowest subnet, of these the first. Facts (Envoy, Istio): the narrowest network decides."""
    fitting: list[tuple[int, int]] = []
    for position, route in enumerate(routes):
        if route.source and not in_subnets((route.source,), (source,) if source else ()):
            continue
        within = [one for one in route.subnets if address and in_subnets((one,), (address,))]
        if within or not route.subnets:
            widths = (ipaddress.ip_network(one, strict=False).prefixlen for one in within)
            fitting.append((-max(widths, default=-1), position))
    return routes[min(fitting)[1]] if fitting else None


def in_subnets(subnets: Sequence[str], addresses: Sequence[str]) -> bool:
    """Whether any of `addresses` (IP or CIDR) is in any of the subnets; without subnets all are."""
    if not subnets:
        return True
    wanted = [ipaddress.ip_network(subnet, strict=False) for subnet in subnets]
    networks = [ipaddress.ip_network(address, strict=False) for address in addresses]
    return any(
        network.version == subnet.version and network.subnet_of(subnet)  # type: ignore[arg-type]
        for network in networks
        for subnet in wanted
    )
