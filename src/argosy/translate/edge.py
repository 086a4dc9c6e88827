"""Gateways: the ports they listen on, and the routes of each port, for the proxies of one scope.

HTTP only: a server of another protocol is reported as an error of its listener, never left out without a word.
"""

from __future__ import annotations

from argosy.model import ir
from argosy.model.reader import Reader
from argosy.model.scope import Scope
from argosy.translate import names
from argosy.translate.resource import Resource
from argosy.translate.route import (
    RouteConfigurationKey,
    VirtualHostKey,
    route_configuration,
    virtual_host,
)


class NotServed(ValueError):
    """A Gateway asks for what is not there; the message names Gateway, field, value and remedy."""


def ports(scope: Scope, reader: Reader) -> tuple[int, ...]:
    """The ports with HTTP servers."""
    return tuple(sorted({one.port for one in reader.gateway_servers(scope) if one.protocol.is_http}))


def servers(reader: Reader, scope: Scope, port: int) -> tuple[ir.GatewayServer, ...]:
    """Those of a port, all of them HTTP. Raises NotServed where none is."""
    found = tuple(one for one in reader.gateway_servers(scope) if one.port == port)
    http = tuple(one for one in found if one.protocol.is_http)
    if found and not http:
        first = found[0]
        raise NotServed(
            f"Gateway {first.gateway}: server {first.name or first.port}: port.protocol: "
            f"{first.protocol} is not served yet; use HTTP"
        )
    return http


def routes(scope: Scope, port: int, reader: Reader) -> Resource:
    """Of one host at several Gateways on a port, the routes are joined in the order of the Gateways."""
    joined: dict[str, list[ir.Route]] = {}
    secure: set[str] = set()
    seen: set[str] = set()
    for server in servers(reader, scope, port):
        redirects = server.tls is not None and server.tls.https_redirect
        if redirects:
            secure.update(host.rpartition("/")[2] for host in server.hosts)
        if server.gateway in seen:
            continue
        seen.add(server.gateway)
        for served in reader.gateway_hosts(scope, server.gateway, port):
            joined.setdefault(served.host, []).extend(served.table.routes)
    # A host that must be reached by https is redirected even where no VirtualService routes it.
    for host in secure:
        joined.setdefault(host, [])
    fragments = tuple(
        virtual_host(
            VirtualHostKey(
                name=f"{host}:{port}",
                domains=(host,),
                routes=tuple(found),
                port=port,
                require_tls="ALL" if host in secure else "",
            )
        )
        for host, found in sorted(joined.items())
    )
    return route_configuration(
        RouteConfigurationKey(name=names.gateway_route(port), virtual_hosts=fragments, ignore_port=True)
    )
