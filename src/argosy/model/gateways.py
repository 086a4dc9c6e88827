"""What a Gateway serves of the VirtualServices bound to it.

Facts (Istio): a server's host `namespace/host` takes only VirtualServices of that namespace; of the server's host and
the VirtualService's the more specific is served.
"""

from __future__ import annotations

from collections.abc import Iterable

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
    narrow = [route for route in routes if not takes_everything(route.match)]
    wide = [route for route in routes if takes_everything(route.match)]
    return (*narrow, *wide[:1])
