"""What the Gateways of one proxy come to: what listens where, and what is served of the VirtualServices bound to them.

Facts (Istio): a server's host `namespace/host` takes only VirtualServices of that namespace; of the server's host and
the VirtualService's the more specific is served. A server's port is that of a Service: where the proxy is an instance
of one with this port, its target port is listened on. On one address and port plain HTTP servers are joined, and TLS
servers as long as no name is twice; of all else the server of the oldest Gateway counts. (Istio tells the names of two
TLS servers apart with their namespaces, and then makes a listener that Envoy refuses; here the older server keeps the
name.)
"""

from __future__ import annotations

from collections.abc import Callable, Iterable

from msgspec import Struct

from argosy.model import ir
from argosy.model.hostnames import intersection
from argosy.model.routing import takes_everything
from argosy.model.rules import GatewayRule, VirtualServiceRule
from argosy.model.scope import Scope

UNTRANSLATED = "experimental.istio.io/disable-gateway-port-translation"
"""A label of Services, whatever its value: Gateways that select by labels do not look at its ports."""

Target = tuple[str, int, int]
"""(hostname, service port, workload port)."""


class Refused(Struct, frozen=True):
    """A server that is not served, because of another one."""

    server: ir.GatewayServer
    reason: str


# --- listening ------------------------------------------------------------------------------------------------------


def serves(rule: GatewayRule, scope: Scope, service: Callable[[str], ir.Service | None]) -> bool:
    """Whether a Gateway whose selector fits is for the proxies of the scope."""
    return rule.services is None or bool(_own_targets(rule, scope, service))


def _own_targets(
    rule: GatewayRule, scope: Scope, service: Callable[[str], ir.Service | None]
) -> tuple[Target, ...]:
    """The targets by which a Gateway's ports are translated."""
    if rule.services is None:
        return tuple(
            target
            for target in scope.targets
            if (found := service(target[0])) is None or UNTRANSLATED not in dict(found.labels)
        )
    return tuple(
        target
        for target in scope.targets
        if target[0] in rule.services
        and (found := service(target[0])) is not None
        and found.namespace == rule.namespace
    )


def _ports(server: ir.GatewayServer, rule: GatewayRule, targets: tuple[Target, ...]) -> tuple[int, ...]:
    """The workload ports of a server. A Gateway that is bound to services has those of all of them, and no others."""
    found = tuple(target for _, port, target in targets if port == server.port)
    if rule.services is None:
        return found[:1] or (server.port,)
    return tuple(sorted(set(found)))


def listeners(
    rules: Iterable[GatewayRule], scope: Scope, service: Callable[[str], ir.Service | None]
) -> tuple[tuple[ir.GatewayListener, ...], tuple[Refused, ...]]:
    """`rules`: the Gateways of the scope, the oldest first. What listens, in that order; and what does not."""
    found: dict[tuple[str, int], list[ir.GatewayServer]] = {}
    refused: list[Refused] = []
    for rule in rules:
        targets = _own_targets(rule, scope, service)
        for server in rule.servers:
            for port in _ports(server, rule, targets):
                sharing = found.setdefault((server.bind, port), [])
                reason = _conflict(server, sharing)
                if reason:
                    refused.append(Refused(server, reason))
                else:
                    sharing.append(server)
    return tuple(
        ir.GatewayListener(bind=bind, port=port, kind=servers[0].kind, servers=tuple(servers))
        for (bind, port), servers in found.items()
    ), tuple(refused)


def _conflict(server: ir.GatewayServer, sharing: list[ir.GatewayServer]) -> str:
    """Why a server cannot be served beside those that are there; "" where it can."""
    if not sharing:
        return ""
    first = sharing[0]
    place = f"port {server.port} is that of Gateway {first.gateway}, an older one,"
    if server.kind is not first.kind:
        return f"{place} for {first.kind}; choose another port"
    if server.kind is ir.ListenerKind.TCP:
        return f"{place} and TCP connections cannot be told apart; choose another port"
    if server.kind is ir.ListenerKind.TLS:
        for other in sharing:
            twice = set(server.server_names) & set(other.server_names)
            if twice:
                return (
                    f"the older Gateway {other.gateway} serves {', '.join(sorted(twice))} on port {server.port}; "
                    "name other hosts"
                )
    return ""


# --- what is served -------------------------------------------------------------------------------------------------


def served_hosts(server: ir.GatewayServer, bound: VirtualServiceRule) -> tuple[str, ...]:
    """Hosts of a VirtualService that a server serves."""
    offered: dict[str, None] = {}
    for written in server.hosts:
        namespace, _, host = written.partition("/")
        if namespace in ("*", bound.namespace):
            offered[host] = None
    return intersection(offered, bound.hosts)


def ordered(routes: Iterable[ir.Route]) -> tuple[ir.Route, ...]:
    """The same order, but what takes everything last: there behind the first of them nothing is reached."""
    routes = tuple(routes)
    narrow = [route for route in routes if not takes_everything(route.match)]
    wide = [route for route in routes if takes_everything(route.match)]
    return (*narrow, *wide[:1])
