"""What a gateway does with what comes from outside: by the servers that share a port, HTTP by host, TLS by the name in
its hello, all else by the one tcp route.

Facts (Istio): plain HTTP of a port is one set of virtual hosts; each server whose TLS ends here has its own. Of two
servers with one name the older has it.
"""

from __future__ import annotations

from msgspec import Struct
from msgspec.structs import replace

from argosy.explain import clients, http, replies, subnets
from argosy.explain import destination as destinations
from argosy.explain.arrival import arrived
from argosy.explain.domains import Domains
from argosy.explain.http import Routed, RoutesOf
from argosy.explain.outcome import Forwarded, Miss, Origin, Redirected, Step, Target, Unrouted
from argosy.explain.request import Request, Spoken, Trust, host_of, seen
from argosy.explain.view import View
from argosy.model import gateways, ir
from argosy.model.hostnames import covers
from argosy.model.provenance import Written, gateway_ref

Servers = tuple[ir.GatewayServer, ...]


class Host(Struct, frozen=True):
    """What a set of servers does for one host: the routes of all that serve it, the oldest Gateway's first."""

    host: str
    port: int
    routes: tuple[ir.Route, ...]
    origins: tuple[tuple[Origin, ...], ...]
    secure: bool  # plaintext is redirected to https


class Chain(Struct, frozen=True):
    """What becomes of TLS with certain names."""

    server: ir.GatewayServer
    by_sni: bool = False  # to the cluster that the name is: AUTO_PASSTHROUGH
    destinations: tuple[ir.WeightedDestination, ...] = ()  # (): by the server's HTTP routes
    written: Written | None = None
    width: int = 0  # of the network that it is for alone, in bits; 0: for everybody
    elsewhere: tuple[str, ...] = ()  # networks that it is for, and the client is in none of them


class Edge:
    def __init__(self, view: View) -> None:
        self.view = view
        self._domains: dict[Servers, Domains[Host]] = {}

    # --- a request --------------------------------------------------------------------------------------------------

    def evaluate(self, request: Request) -> Routed:
        listener = self._listener(request)
        if listener is None:
            return Routed(
                Unrouted(0, f"no Gateway has a server on port {request.port}"), misses=self._others()
            )
        step = Step(
            "listener", f"port {request.port}", _in_words(listener.servers), self._gateways(listener.servers)
        )
        match listener.kind:
            case ir.ListenerKind.HTTP if request.spoken is Spoken.HTTP:
                return self._http(request, (step,), listener.servers)
            case ir.ListenerKind.HTTP:
                return Routed(Unrouted(400, "the port speaks HTTP, and this does not"), (step,))
            case ir.ListenerKind.TCP:
                return self._tcp((step,), listener.servers[0], request.source)
            case _:
                return self._tls(request, step, listener)

    def _http(self, request: Request, steps: tuple[Step, ...], servers: Servers) -> Routed:
        """`servers`: those whose virtual hosts are one set."""
        view = self.view
        here = arrived(view, request)
        if isinstance(here, Routed):
            return replace(here, steps=(*steps, *here.steps))
        trusted = view.reader.mesh().proxy.trusted_proxies
        request, found = here, seen(here, Trust.ALL if trusted else Trust.NOTHING)
        named = self._hosts(servers).find(found.authority)
        passed = tuple(
            view.miss("gateway", one)
            for server in servers
            for one in view.reader.gateway_passed_over(view.scope, server)
        )
        if named is None:
            near = self._hosts(servers).near(found.authority)
            misses = tuple(
                Miss("virtual host", domain, f"the authority is {found.authority}") for domain, _ in near
            )
            why = f"no VirtualService is for {host_of(found.authority)} at this port"
            return Routed(replies.unrouted(404, why, found.headers), steps, misses + passed)
        domain, host = named
        steps = (*steps, Step("virtual host", f"{host.host}:{host.port}", f"for the domain {domain}"))
        if host.secure and found.headers["x-forwarded-proto"] != ("https",):
            where = f"https://{found.authority}{found.path}"
            because = Step("route", "https", "a server of this host says tls.httpsRedirect")
            said = replies.replied(301, replies.speaks_grpc(found.headers))
            verdict = Redirected(said.status, where, grpc_status=said.grpc_status)
            return Routed(verdict, (*steps, because))
        of = RoutesOf(host.host, host.port, host.routes, host.origins)
        routed = http.route(view, request, found, of)
        return Routed(
            routed.verdict, (*steps, *routed.steps), routed.misses + passed, routed.fault, routed.notes
        )

    def _tls(self, request: Request, step: Step, listener: ir.GatewayListener) -> Routed:
        # Facts (Envoy): without a hello only what is for every name is left, and bytes that pass on are passed on.
        spoken = request.spoken is Spoken.TLS
        name = request.hello
        # Facts (Envoy, tried): of chains for one name the protocols in the hello decide (mesh clients have their own),
        # then the narrowest network that the client is in. Where it is in none, no chain for other names is asked.
        mesh = name.startswith(destinations.PASSED_ON)
        chains = sorted(
            self.chains(listener, request.source),
            key=lambda one: (one[1].by_sni is not mesh, bool(one[1].elsewhere), -one[1].width),
        )
        domains: Domains[Chain] = Domains(chains)
        found = domains.find(name)
        if not spoken and (found is None or found[1].by_sni or not found[1].server.passes):
            return Routed(Unrouted(0, "the port speaks TLS, and this does not"), (step,))
        if found is None:
            misses = tuple(
                Miss(
                    "filter chain",
                    names,
                    f"the name in the TLS hello is {name or 'not there'}",
                    self._gateways((one.server,)),
                )
                for names, one in chains
            )
            return Routed(Unrouted(0, f"no server is for the name {name or '(none)'}"), (step,), misses)
        names, chain = found
        hello = f"by the name in the TLS hello, {name}" if name else "there is no name in the TLS hello"
        because = hello if spoken else "there is no TLS hello"
        chosen = Step("filter chain", names, because, self._gateways((chain.server,)))
        steps: tuple[Step, ...] = (step, chosen)
        if chain.elsewhere:
            return Routed(Unrouted(0, f"it is for clients in {' or '.join(chain.elsewhere)} alone"), steps)
        if chain.by_sni:
            return _passed_on(self.view, name, steps)
        tls = chain.server.tls
        if tls is not None and not chain.server.passes:
            steps = (*steps, Step("TLS", tls.mode, f"it ends here; {clients.asked(tls)}"))
            if why := clients.shut_out(tls, request.certificate, request.certified):
                return Routed(Unrouted(0, why), steps)
        if chain.destinations:
            taken = Step(
                "route", "tcp" if chain.written is None else "tls", "", self.view.origins(chain.written)
            )
            return Routed(
                destinations.dealt(self.view, chain.destinations, name if chain.server.passes else ""),
                (*steps, taken),
            )
        return self._http(request, steps, self._same_routes(chain.server))

    def chains(self, listener: ir.GatewayListener, source: str) -> list[tuple[str, Chain]]:
        """(name in the hello, what becomes of it) for a client at an address, the first of each name counts; `*` is
        every one."""
        reader, scope = self.view.reader, self.view.scope
        found: list[tuple[str, Chain]] = []
        for server in listener.servers:
            if server.routes_http:
                found += [(name, Chain(server)) for name in server.server_names]
            elif server.tls is not None and server.tls.mode is ir.ServerTlsMode.AUTO_PASSTHROUGH:
                found += [(name, Chain(server, by_sni=True)) for name in server.server_names]
            elif server.passes:
                routes = reader.gateway_tls(scope, server)
                for route, written in zip(routes, reader.gateway_tls_origins(scope, server), strict=True):
                    first = route.destinations[0].destination.host
                    by_name = reader.is_looked_up(first)
                    if by_name and len(route.destinations) > 1:
                        continue
                    chain = Chain(server, destinations=route.destinations, written=written)
                    found += [(name, chain) for name in route.sni_hosts if not by_name or covers(first, name)]
            else:
                tcp = reader.gateway_tcp(scope, server)
                at = subnets.position(tcp, "", source)
                if at is not None:
                    to = Chain(
                        server,
                        destinations=tcp[at].destinations,
                        written=reader.gateway_tcp_origins(scope, server)[at],
                        width=subnets.width((tcp[at].source,), source) or 0 if tcp[at].source else 0,
                    )
                    found += [(name, to) for name in server.server_names]
                elif tcp:
                    nobody = Chain(server, elsewhere=tuple(dict.fromkeys(one.source for one in tcp)))
                    found += [(name, nobody) for name in server.server_names]
        return found

    def _tcp(self, steps: tuple[Step, ...], server: ir.GatewayServer, source: str) -> Routed:
        routes = self.view.reader.gateway_tcp(self.view.scope, server)
        origins = self.view.reader.gateway_tcp_origins(self.view.scope, server)
        at = subnets.position(routes, "", source)
        if at is None:
            misses = tuple(
                Miss("route", "tcp", f"it is for clients in {route.source}", self.view.origins(written))
                for route, written in zip(routes, origins, strict=False)
            )
            why = "no VirtualService has a tcp route for this port"
            return Routed(Unrouted(0, f"{why} and client" if routes else why), steps, misses)
        taken = Step("route", "tcp", "", self.view.origins(origins[at]))
        return Routed(destinations.dealt(self.view, routes[at].destinations, ""), (*steps, taken))

    # --- what is asked for ------------------------------------------------------------------------------------------

    def spoken_at(self, request: Request) -> Spoken:
        listener = self._listener(request)
        if listener is None or listener.kind is ir.ListenerKind.HTTP:
            return request.spoken
        return Spoken.TLS if listener.kind is ir.ListenerKind.TLS else Spoken.TCP

    def everywhere(self) -> tuple[tuple[str, int], ...]:
        """(authority, port) of what it serves."""
        found: dict[tuple[str, int], None] = {}
        for listener in self.view.reader.gateway_listeners(self.view.scope):
            for server in listener.servers:
                for name in (one.host for one in self._served((server,))) if server.routes_http else ():
                    found[name.replace("*", "any", 1), server.port] = None
                for name in () if server.routes_http else server.server_names:
                    found[name.replace("*", "any", 1), server.port] = None
        return tuple(found)

    def _listener(self, request: Request) -> ir.GatewayListener | None:
        """By the port that Gateways speak of, else by that which is really listened on."""
        found = self.view.reader.gateway_listeners(self.view.scope)
        if request.address:
            found = tuple(one for one in found if one.bind in ("", request.address))
        by_server = (one for one in found if any(server.port == request.port for server in one.servers))
        return next(by_server, None) or next((one for one in found if one.port == request.port), None)

    def _same_routes(self, wanted: ir.GatewayServer) -> Servers:
        """The servers whose TLS ends here and that are one by Gateway and name of the port."""
        key = (wanted.port, wanted.port_name, wanted.gateway, wanted.bind)
        return tuple(
            server
            for listener in self.view.reader.gateway_listeners(self.view.scope)
            for server in listener.servers
            if server.routes_http
            and not server.protocol.is_http
            and (server.port, server.port_name, server.gateway, server.bind) == key
        )

    def _hosts(self, servers: Servers) -> Domains[Host]:
        if servers not in self._domains:
            served = ((host.host, host) for host in self._served(servers))
            self._domains[servers] = Domains(served, ignores_port=True)
        return self._domains[servers]

    def _served(self, servers: Servers) -> tuple[Host, ...]:
        reader, scope = self.view.reader, self.view.scope
        routes: dict[str, list[tuple[ir.Route, tuple[Origin, ...]]]] = {}
        ports: dict[str, int] = {}
        secure: set[str] = set()
        counted: set[tuple[str, str, int]] = set()
        for server in servers:
            redirects = server.tls is not None and server.tls.https_redirect
            origins = dict(reader.gateway_origins(scope, server))
            for served in reader.gateway_hosts(scope, server):
                host = served.host
                ports.setdefault(host, server.port)
                secure |= {host} if redirects else set()
                if (host, server.bound_by, server.port) not in counted:
                    counted.add((host, server.bound_by, server.port))
                    written = (self.view.origins(one) for one in origins[host])
                    routes.setdefault(host, []).extend(
                        pair
                        for pair in zip(served.table.routes, written, strict=True)
                        if gateways.looked_up_within(pair[0], host, reader.is_looked_up)
                    )
            for host in server.server_names if redirects else ():
                secure.add(host)
                ports.setdefault(host, server.port)
        found = []
        for host in sorted(routes.keys() | secure):
            own = routes.get(host, [])
            positions = gateways.join_order([route.match for route, _ in own])
            made = tuple(own[at][0] for at in positions)
            named = tuple(own[at][1] for at in positions)
            found.append(Host(host, ports[host], made, named, host in secure))
        return tuple(found)

    # --- in words ---------------------------------------------------------------------------------------------------

    def _gateways(self, servers: Servers) -> tuple[Origin, ...]:
        return tuple(dict.fromkeys(self.view.origin(gateway_ref(one.gateway)) for one in servers))

    def _others(self) -> tuple[Miss, ...]:
        """Servers on other ports, and those that stand back behind older ones."""
        found = [
            Miss("listener", f"port {server.port}", "it is another port", self._gateways((server,)))
            for listener in self.view.reader.gateway_listeners(self.view.scope)
            for server in listener.servers
        ]
        found += [
            Miss("listener", f"port {one.server.port}", one.reason, self._gateways((one.server,)))
            for one in self.view.reader.gateways_refused(self.view.scope)
        ]
        return tuple(found)


def _passed_on(view: View, name: str, steps: tuple[Step, ...]) -> Routed:
    cluster = destinations.by_server_name(view, name)
    if cluster is None:
        return Routed(Unrouted(0, "the server is for mesh clients alone (AUTO_PASSTHROUGH)"), steps)
    if cluster.missing:
        return Routed(Unrouted(0, cluster.missing), steps)
    return Routed(Forwarded((Target(cluster=cluster),)), (*steps, Step("route", "auto-passthrough", "")))


def _in_words(servers: Servers) -> str:
    def one(server: ir.GatewayServer) -> str:
        mode = f", {server.tls.mode}" if server.tls is not None and not server.protocol.is_http else ""
        return f"{server.protocol} server for {', '.join(server.hosts)}{mode}"

    return "; ".join(one(server) for server in servers)
