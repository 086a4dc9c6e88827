"""What a Gateway serves of the VirtualServices bound to it.

Facts (Istio): a server's host `namespace/host` takes only VirtualServices of that namespace; of the server's host and
the VirtualService's the more specific is served.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from argosy.model import ir
from argosy.model.hostnames import intersection
from argosy.model.routing import takes_everything
from argosy.model.rules import GatewayRule, VirtualServiceRule


def served_hosts(gateway: GatewayRule, port: int, bound: VirtualServiceRule) -> tuple[str, ...]:
    """Hosts of a VirtualService that the servers of a Gateway on one port serve."""
    offered: dict[str, None] = {}
    for server in gateway.servers:
        if server.port != port:
            continue
        for written in server.hosts:
            namespace, _, host = written.partition("/")
            if namespace in ("*", bound.namespace):
                offered[host] = None
    return intersection(offered, bound.hosts)


def ordered(routes: Iterable[ir.Route]) -> tuple[ir.Route, ...]:
    """The same order, but what takes everything last: there behind the first of them nothing is reached."""
    routes = tuple(routes)
    return tuple(routes[position] for position in order([route.match for route in routes]))


def order(matches: Sequence[ir.RouteMatch]) -> tuple[int, ...]:
    """The positions of those that `ordered` leaves, in its order."""
    wide = [position for position, match in enumerate(matches) if takes_everything(match)]
    last = frozenset(wide)
    return (*(position for position in range(len(matches)) if position not in last), *wide[:1])
