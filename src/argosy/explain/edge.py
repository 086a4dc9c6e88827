"""What a gateway does with a request from outside: the servers of a port, their hosts, their routes.

HTTP servers. A server that speaks TLS has a listener of its own kind: `Edge.evaluate` says that it is not served.
"""

from __future__ import annotations

from msgspec import Struct

from argosy.explain import http
from argosy.explain.domains import Domains
from argosy.explain.http import Routed, RoutesOf
from argosy.explain.outcome import Miss, Origin, Redirected, Step, Unrouted
from argosy.explain.request import Request, Spoken, Trust, host_of, seen
from argosy.explain.view import View
from argosy.model import ir
from argosy.model.updates import Ref


class Host(Struct, frozen=True):
    """What a gateway's port does for one host: the routes of all Gateways that serve it, the oldest first."""

    host: str
    routes: tuple[ir.Route, ...]
    origins: tuple[tuple[Origin, ...], ...]
    secure: bool  # plaintext is redirected to https


class Edge:
    def __init__(self, view: View) -> None:
        self.view = view
        self._domains: dict[int, Domains[Host]] = {}

    def evaluate(self, request: Request) -> Routed:
        servers = tuple(
            one for one in self.view.reader.gateway_servers(self.view.scope) if one.port == request.port
        )
        plain = tuple(one for one in servers if one.protocol.is_http)
        if not servers:
            return Routed(
                Unrouted(0, f"no Gateway has a server on port {request.port}"), misses=self._ports()
            )
        origins = tuple(dict.fromkeys(self.view.origin(_ref(one.gateway)) for one in servers))
        step = Step("listener", f"port {request.port}", _in_words(servers), origins)
        if not plain:
            return Routed(Unrouted(0, f"servers of {servers[0].protocol} are not served yet"), (step,))
        if request.spoken is not Spoken.HTTP:
            return Routed(Unrouted(400, "the port speaks HTTP, and this does not"), (step,))
        return self._http(request, step, plain)

    def spoken_at(self, request: Request) -> Spoken:
        return request.spoken

    def everywhere(self) -> tuple[tuple[str, int], ...]:
        """(authority, port) of what it serves."""
        servers = self.view.reader.gateway_servers(self.view.scope)
        ports = sorted({one.port for one in servers if one.protocol.is_http})
        return tuple(
            (host.host.replace("*", "any", 1), port) for port in ports for host in self._served(port)
        )

    def _http(self, request: Request, step: Step, servers: tuple[ir.GatewayServer, ...]) -> Routed:
        view, found = self.view, seen(request, Trust.NOTHING)
        named = self._hosts(request.port).find(found.authority)
        passed = tuple(
            view.miss("gateway", one)
            for gateway in dict.fromkeys(server.gateway for server in servers)
            for one in view.reader.gateway_passed_over(view.scope, gateway, request.port)
        )
        if named is None:
            near = self._hosts(request.port).near(found.authority)
            misses = tuple(
                Miss("virtual host", domain, f"the authority is {found.authority}") for domain, _ in near
            )
            why = f"no VirtualService is for {host_of(found.authority)} at this port"
            return Routed(Unrouted(404, why), (step,), misses + passed)
        domain, host = named
        steps = (step, Step("virtual host", f"{host.host}:{request.port}", f"for the domain {domain}"))
        if host.secure:
            where = f"https://{found.authority}{found.path}"
            because = Step("route", "https", "a server of this host says tls.httpsRedirect")
            return Routed(Redirected(301, where), (*steps, because))
        of = RoutesOf(host.host, request.port, host.routes, host.origins)
        routed = http.route(view, request, found, of)
        return Routed(
            routed.verdict, (*steps, *routed.steps), routed.misses + passed, routed.fault, routed.notes
        )

    def _hosts(self, port: int) -> Domains[Host]:
        if port not in self._domains:
            self._domains[port] = Domains(
                ((host.host, host) for host in self._served(port)), ignores_port=True
            )
        return self._domains[port]

    def _served(self, port: int) -> tuple[Host, ...]:
        reader, scope = self.view.reader, self.view.scope
        servers = [one for one in reader.gateway_servers(scope) if one.port == port and one.protocol.is_http]
        routes: dict[str, list[ir.Route]] = {}
        origins: dict[str, list[tuple[Origin, ...]]] = {}
        secure = {
            host.rpartition("/")[2]
            for one in servers
            if one.tls is not None and one.tls.https_redirect
            for host in one.hosts
        }
        for gateway in dict.fromkeys(one.gateway for one in servers):
            written = dict(reader.gateway_origins(scope, gateway, port))
            for served in reader.gateway_hosts(scope, gateway, port):
                routes.setdefault(served.host, []).extend(served.table.routes)
                origins.setdefault(served.host, []).extend(
                    self.view.origins(one) for one in written[served.host]
                )
        return tuple(
            Host(host, tuple(routes.get(host, ())), tuple(origins.get(host, ())), host in secure)
            for host in sorted(routes.keys() | secure)
        )

    def _ports(self) -> tuple[Miss, ...]:
        return tuple(
            Miss("listener", f"port {one.port}", "it is another port", (self.view.origin(_ref(one.gateway)),))
            for one in self.view.reader.gateway_servers(self.view.scope)
        )


def _ref(gateway: str) -> Ref:
    namespace, _, name = gateway.partition("/")
    return ("Gateway", namespace, name)


def _in_words(servers: tuple[ir.GatewayServer, ...]) -> str:
    return "; ".join(f"{one.protocol} server for {', '.join(one.hosts)}" for one in servers)
