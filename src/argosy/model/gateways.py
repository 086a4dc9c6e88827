"""What the Gateways of one proxy come to: what listens where, and what is served of the VirtualServices bound to them.

Facts (Istio): a server's host `namespace/host` takes only VirtualServices of that namespace; of the server's host and
the VirtualService's the more specific is served. A server's port is that of a Service: where the proxy is an instance
of one with this port, its target port is listened on. On one address and port plain HTTP servers are joined, and TLS
servers as long as no name is twice; of all else the server of the oldest Gateway counts. (Istio tells the names of two
TLS servers apart with their namespaces, and then makes a listener that Envoy refuses; here the older server keeps the
name.)
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import lru_cache

from msgspec import Struct

from argosy.model import ir
from argosy.model.hostnames import covers, intersection
from argosy.model.lower_ingress import by_path
from argosy.model.routing import takes_everything
from argosy.model.rules import GatewayRule, VirtualServiceRule

UNTRANSLATED = "experimental.istio.io/disable-gateway-port-translation"
"""A label of Services, whatever its value: Gateways that select by labels do not look at its ports."""


class Instance(Struct, frozen=True):
    """A port of a service that the proxy is an instance of."""

    service: str  # hostname
    port: int
    target: int  # the workload port
    namespace: str = ""
    translated: bool = True  # whether Gateways that select by labels look at it


class Offer(Struct, frozen=True, kw_only=True, cache_hash=True):
    """What a server offers VirtualServices. Servers of several Gateways may offer the same: those of Ingresses do."""

    bound_by: str  # what VirtualServices name to be served here
    port: int  # as the Gateway says
    hosts: tuple[str, ...]  # as of a server
    binding: str = ""  # as of a server
    redirects: bool = False  # whether plaintext is redirected to https

    @property
    def names(self) -> tuple[str, ...]:
        """Its hosts without their namespaces."""
        return tuple(dict.fromkeys(host.rpartition("/")[2] for host in self.hosts))


def offer(server: ir.GatewayServer) -> Offer:
    return Offer(
        bound_by=server.bound_by,
        port=server.port,
        hosts=server.hosts,
        binding=server.binding,
        redirects=server.tls is not None and server.tls.https_redirect,
    )


class Refused(Struct, frozen=True):
    """A server that is not served, because of another one."""

    server: ir.GatewayServer
    reason: str


# --- listening ------------------------------------------------------------------------------------------------------


@lru_cache(maxsize=256)
def listeners(
    groups: tuple[tuple[GatewayRule, ...], ...], instances: tuple[Instance, ...]
) -> tuple[tuple[ir.GatewayListener, ...], tuple[Refused, ...]]:
    """`groups`: the Gateways whose selectors fit; `instances`: what the proxy is. What listens, by the oldest Gateway
    first, and what does not."""
    found: dict[tuple[str, int], _Shared] = {}
    refused: list[Refused] = []
    for rule in sorted((rule for group in groups for rule in group), key=lambda rule: rule.age):
        own = _instances_of(rule, instances)
        for server in rule.servers:
            for port in _ports(server, rule, own):
                shared = found.setdefault((server.bind, port), _Shared())
                if reason := shared.conflict(server):
                    refused.append(Refused(server, reason))
                else:
                    shared.add(server)
    return tuple(
        ir.GatewayListener(bind=bind, port=port, kind=one.servers[0].kind, servers=tuple(one.servers))
        for (bind, port), one in found.items()
    ), tuple(refused)


def _instances_of(rule: GatewayRule, instances: tuple[Instance, ...]) -> tuple[Instance, ...]:
    """Those by which a Gateway's ports are translated."""
    if rule.services is None:
        return tuple(one for one in instances if one.translated)
    return tuple(one for one in instances if one.service in rule.services and one.namespace == rule.namespace)


def _ports(server: ir.GatewayServer, rule: GatewayRule, own: tuple[Instance, ...]) -> tuple[int, ...]:
    """The workload ports of a server. A Gateway that is bound to services has those of all of them, and no others."""
    found = tuple(one.target for one in own if one.port == server.port)
    if rule.services is None:
        return found[:1] or (server.port,)
    return tuple(sorted(set(found)))


class _Shared:
    """The servers of one address and port, as they come."""

    def __init__(self) -> None:
        self.servers: list[ir.GatewayServer] = []
        self.names: dict[str, ir.GatewayServer] = {}  # TLS: who has which

    def add(self, server: ir.GatewayServer) -> None:
        self.servers.append(server)
        for name in server.server_names if server.kind is ir.ListenerKind.TLS else ():
            self.names[name] = server

    def conflict(self, server: ir.GatewayServer) -> str:
        """Why a server cannot be served beside those that are there; "" where it can."""
        if not self.servers:
            return ""
        first = self.servers[0]
        place = f"port {server.port} is that of Gateway {first.gateway}, an older one,"
        if server.kind is not first.kind:
            return f"{place} for {first.kind}; choose another port"
        if server.kind is ir.ListenerKind.TCP:
            return f"{place} and TCP connections cannot be told apart; choose another port"
        twice = sorted(name for name in server.server_names if name in self.names)
        if not twice:
            return ""
        older = self.names[twice[0]].gateway
        return f"the older Gateway {older} serves {', '.join(twice)} on port {server.port}; name other hosts"


# --- what is looked up ----------------------------------------------------------------------------------------------


def looked_up_within(route: ir.Route, host: str, is_looked_up: Callable[[str], bool]) -> bool:
    """Whether nothing but names under the wildcards of its destinations is looked up for requests to `host`. A gateway
    does it for others, who are not where it is."""
    if not isinstance(route.action, ir.Forward):
        return True
    action = route.action
    written = action.rewrite.authority if action.rewrite is not None else None
    for one in action.destinations:
        if not is_looked_up(one.destination.host):
            continue
        named = [written] if written else [*_hosts_set(route.headers), *_hosts_set(one.headers)] or [host]
        if not all(covers(one.destination.host, name.partition(":")[0].lower()) for name in named):
            return False
    return not any(is_looked_up(mirror.destination.host) for mirror in action.mirrors)


def _hosts_set(headers: ir.HeaderOps | None) -> Iterator[str]:
    written = (*headers.request_set, *headers.request_add) if headers is not None else ()
    return (value for name, value in written if name.lower() in ("host", ":authority"))


# --- what is served -------------------------------------------------------------------------------------------------


def served_hosts(server: ir.GatewayServer, bound: VirtualServiceRule) -> tuple[str, ...]:
    """Hosts of a VirtualService that a server serves."""
    offered: dict[str, None] = {}
    for written in server.hosts:
        namespace, _, host = written.partition("/")
        if namespace in ("*", bound.namespace):
            offered[host] = None
    return intersection(offered, bound.hosts)


def ordered(routes: Iterable[ir.Route], server: ir.GatewayServer | Offer) -> tuple[ir.Route, ...]:
    """The same order, but what takes everything last: there behind the first of them nothing is reached. Of Ingresses
    the exact path comes first, then the longest."""
    routes = tuple(routes)
    return tuple(routes[at] for at in order([route.match for route in routes], server))


def order(matches: Sequence[ir.RouteMatch], server: ir.GatewayServer | Offer) -> tuple[int, ...]:
    """The positions of those that `ordered` leaves, in its order."""
    positions: Iterable[int] = range(len(matches))
    if server.binding:
        positions = sorted(positions, key=lambda at: by_path(matches[at].uri))
    return _wide_last(positions, matches)


def joined(routes: Iterable[ir.Route]) -> tuple[ir.Route, ...]:
    """Of several servers, in their order; what takes everything last."""
    routes = tuple(routes)
    matches = [route.match for route in routes]
    return tuple(routes[at] for at in join_order(matches))


def join_order(matches: Sequence[ir.RouteMatch]) -> tuple[int, ...]:
    """The positions of those that `joined` leaves, in its order."""
    return _wide_last(range(len(matches)), matches)


def _wide_last(positions: Iterable[int], matches: Sequence[ir.RouteMatch]) -> tuple[int, ...]:
    narrow: list[int] = []
    wide: list[int] = []
    for at in positions:
        (wide if takes_everything(matches[at]) else narrow).append(at)
    return (*narrow, *wide[:1])
