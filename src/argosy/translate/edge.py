"""Gateways for the proxies of one scope: their listeners' chains, and the routes of each RouteConfiguration.

Facts (Istio): plain HTTP of a port is one RouteConfiguration; each HTTPS server whose TLS ends here has its own. A
server of TCP, or of TLS that goes on, to which no VirtualService is bound, is no chain; a listener without chains is
none. Of two chains for one server name the first has it (Envoy refuses the second).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from msgspec import Struct
from msgspec.structs import replace

from argosy.model import gateways, ir, routing
from argosy.model.gateways import Offer
from argosy.model.hostnames import covers, patterns
from argosy.model.reader import Reader
from argosy.model.rules import VirtualServiceRule
from argosy.model.scope import Scope
from argosy.model.snapshot import Name
from argosy.translate import names, outbound
from argosy.translate.filters.order import Resolving
from argosy.translate.listener_gateway import Chain
from argosy.translate.route import VirtualHostKey, written_headers
from argosy.translate.tls import ServerTls

ANY_NAME = "*"
NOWHERE = "blackhole"

# --- routes ---------------------------------------------------------------------------------------------------------


class RoutePlan(Struct, frozen=True, kw_only=True):
    """A RouteConfiguration of a scope's gateways: what its servers offer, in the order of their Gateways."""

    name: str
    offers: tuple[Offer, ...]
    gateways: tuple[str, ...]
    http3: int = 0  # the port that answers name for it; 0: no HTTP/3

    @property
    def port(self) -> int:
        """As the first of the Gateways says."""
        return self.offers[0].port


Routed = tuple[RoutePlan, ...]


def routed(scope: Scope, reader: Reader) -> Routed:
    """All of them, sorted."""
    found: dict[str, list[ir.GatewayServer]] = {}
    for listener in reader.gateway_listeners(scope):
        for server in listener.servers:
            if server.routes_http:
                found.setdefault(names.gateway_route(server, listener.port), []).append(server)
    return tuple(
        RoutePlan(
            name=name,
            offers=tuple(dict.fromkeys(gateways.offer(server) for server in servers)),
            gateways=tuple(dict.fromkeys(server.gateway for server in servers)),
            http3=next((server.http3 for server in servers if server.serves_http3), 0),
        )
        for name, servers in sorted(found.items())
    )


Place = tuple[str, Offer]
"""(RouteConfiguration, what is offered there)."""
At = tuple[str, str]
"""(RouteConfiguration, host)."""
Served = tuple[tuple[At, tuple[Offer, ...]], ...]
"""Where a VirtualService is served, sorted, and by which offers."""


class Offers:
    """What there is for the VirtualServices bound to one gateway, by host: so to find what is for one of them costs
    what it names, however many hosts are offered. Rule: it finds what `gateways.served_hosts` says of each offer."""

    def __init__(self, places: Iterable[Place]) -> None:
        self.places = tuple(places)
        self._of_host: dict[str, list[tuple[str, Place]]] = {}  # host offered -> (namespace, where)
        self._under: dict[str, dict[str, None]] = {}  # wildcard -> more specific hosts that are offered
        for place in self.places:
            for written in place[1].hosts:
                namespace, _, host = written.partition("/")
                if host not in self._of_host:
                    for wildcard in patterns(host)[1:]:
                        self._under.setdefault(wildcard, {})[host] = None
                self._of_host.setdefault(host, []).append((namespace, place))

    def serve(self, bound: VirtualServiceRule) -> Served:
        found: dict[At, dict[Offer, None]] = {}
        for host in bound.hosts:
            narrower = self._under.get(host, ())
            for offered, served in (
                *((one, host) for one in patterns(host)),
                *((one, one) for one in narrower),
            ):
                for namespace, (route, by) in self._of_host.get(offered, ()):
                    if namespace in ("*", bound.namespace):
                        found.setdefault((route, served), {})[by] = None
        return tuple((at, tuple(offers)) for at, offers in sorted(found.items()))


class Serving(Struct, frozen=True):
    """An offer by which a host is served, and to whom."""

    offer: Offer
    names: tuple[Name, ...]  # of VirtualServices
    named: bool  # whether the host is one of those that the offer names


def host(scope: Scope, name: str, serving: Iterable[Serving], reader: Reader) -> VirtualHostKey | None:
    """The virtual host of a host that several offers serve, in their order: their routes are joined. None where nothing
    is served there. A host that must be reached by https is redirected even where no VirtualService routes it."""
    joined: list[ir.Route] = []
    ports: list[int] = []
    secure = False
    seen: set[tuple[str, int]] = set()
    for one in serving:
        offer = one.offer
        bound = (reader.bound_rule(scope, *written) for written in one.names)
        rules = sorted((rule for rule in bound if rule is not None), key=lambda rule: rule.age)
        routes = [
            route
            for rule in rules
            for route in reader.gateway_routes(scope, rule, offer.bound_by, offer.port)
        ]
        if not routes and not (offer.redirects and one.named):
            continue
        ports.append(offer.port)
        secure = secure or offer.redirects
        if routes and (offer.bound_by, offer.port) not in seen:
            seen.add((offer.bound_by, offer.port))
            joined += [
                route
                for route in gateways.ordered(routes, offer)
                if gateways.looked_up_within(route, name, reader.is_looked_up)
            ]
    if not ports:
        return None
    return VirtualHostKey(
        name=f"{name if joined or secure else NOWHERE}:{ports[0]}",
        domains=(name,),
        routes=gateways.joined(joined),
        looked_up=outbound.looked_up(reader, joined),
        port=ports[0],
        require_tls="ALL" if secure else "",
        headers=written_headers(reader.mesh().proxy),
    )


def nowhere(plan: RoutePlan, reader: Reader) -> VirtualHostKey:
    """The one virtual host where no other is."""
    headers = written_headers(reader.mesh().proxy)
    return VirtualHostKey(name=f"{NOWHERE}:{plan.port}", domains=(ANY_NAME,), port=plan.port, headers=headers)


# --- listeners ------------------------------------------------------------------------------------------------------


def listener(scope: Scope, bind: str, port: int, reader: Reader) -> ir.GatewayListener | None:
    found = reader.gateway_listeners(scope)
    return next((one for one in found if (one.bind, one.port) == (bind, port)), None)


def chains(scope: Scope, found: ir.GatewayListener, reader: Reader) -> tuple[Chain, ...]:
    if found.kind is ir.ListenerKind.HTTP:
        first = found.servers[0]
        route = names.gateway_route(first, found.port)
        plain = Chain(stat_prefix=f"gateway_{found.port}", route=route, resolving=_resolving(reader))
        return (replace(plain, parted=route in scope.parted),)
    made = (one for server in found.servers for one in _chains(scope, found, server, reader))
    return tuple(_told_apart(made))


def http3_chains(scope: Scope, found: ir.GatewayListener, reader: Reader) -> tuple[Chain, ...]:
    """Those of the servers that are served over HTTP/3, too; () where none is."""
    made = (
        chain
        for server in found.servers
        if server.serves_http3
        for chain in _chains(scope, found, server, reader)
    )
    return tuple(_told_apart(made))


def _told_apart(made: Iterable[Chain]) -> Iterator[Chain]:
    taken: set[tuple[str, tuple[str, ...], tuple[str, ...]]] = set()
    for chain in made:
        wanted = dict.fromkeys(chain.server_names or (ANY_NAME,))
        beside = (chain.application_protocols, chain.sources)
        own = [name for name in wanted if (name, *beside) not in taken]
        if not own:
            continue
        taken.update((name, *beside) for name in own)
        # Envoy has no name for every name: there the match is empty, and covers the others too.
        yield replace(chain, server_names=() if ANY_NAME in own else tuple(own))


def _chains(
    scope: Scope, found: ir.GatewayListener, server: ir.GatewayServer, reader: Reader
) -> Iterator[Chain]:
    prefix = f"gateway_{server.port}_{server.gateway.replace('/', '_')}_{server.port_name}"
    ends = _ends(scope, server, reader.mesh())
    if server.routes_http:
        yield Chain(
            stat_prefix=prefix,
            server_names=server.server_names,
            tls=ends,
            route=names.gateway_route(server, found.port),
            resolving=_resolving(reader),
        )
    elif server.passes and server.tls is not None:
        if server.tls.mode is ir.ServerTlsMode.AUTO_PASSTHROUGH:
            yield Chain(
                stat_prefix=prefix,
                server_names=server.server_names,
                application_protocols=names.ISTIO_ALPN,
                by_sni=True,
            )
            return
        for route in reader.gateway_tls(scope, server):
            chain = Chain(stat_prefix=prefix, server_names=route.sni_hosts)
            first = route.destinations[0].destination
            if reader.is_looked_up(first.host):
                # Nothing but names under the wildcard, whatever the route is for.
                within = tuple(one for one in route.sni_hosts if covers(first.host, one))
                if len(route.destinations) > 1 or not within:
                    continue
                chain = replace(
                    chain, server_names=within, looked_up=outbound.target_port(reader, first.host, first.port)
                )
            yield _bytes(scope, route.destinations, chain, reader)
    else:
        by = server.server_names if ends is not None else ()
        plain = Chain(stat_prefix=prefix, server_names=by, tls=ends, protocol=server.protocol)
        tcp = reader.gateway_tcp(scope, server)
        for source in dict.fromkeys(route.source for route in tcp):
            # Envoy takes the narrowest network; what is meant is the first route that holds.
            to = routing.chosen(tcp, "", source)
            if to is not None:
                sources = (source,) if source else ()
                yield _bytes(scope, to.destinations, replace(plain, sources=sources), reader)


def _resolving(reader: Reader) -> Resolving:
    return Resolving.BY_NAME if reader.looks_up() else Resolving.NEVER


def _bytes(
    scope: Scope, destinations: tuple[ir.WeightedDestination, ...], chain: Chain, reader: Reader
) -> Chain:
    clusters = outbound.weighted(destinations)
    connections = outbound.per_connection(reader, scope, clusters)
    return replace(chain, clusters=clusters, connections=connections)


def secrets(scope: Scope, server: ir.GatewayServer, mesh: ir.Mesh) -> tuple[str, ...]:
    """The names of the mesh's Secrets that a server needs."""
    ends = _ends(scope, server, mesh)
    return tuple(name for name in ends.secrets if name.startswith(names.SECRETS)) if ends else ()


def _ends(scope: Scope, server: ir.GatewayServer, mesh: ir.Mesh) -> ServerTls | None:
    """The TLS that ends at a server; None where none does."""
    written = server.tls
    if written is None or server.passes or server.kind is not ir.ListenerKind.TLS:
        return None
    alpn = ("h2", "http/1.1") if server.routes_http else ()
    return server_tls(scope.namespace, written, alpn, mesh)


def server_tls(namespace: str, written: ir.GatewayTls, alpn: tuple[str, ...], mesh: ir.Mesh) -> ServerTls:
    """`namespace`: of the proxy, which is where its Secrets are."""
    certificates = tuple(names.credential(namespace, one) for one in written.credentials)
    certificates += tuple(names.certificate_files(*files) for files in written.certificates)
    authorities = ""
    if written.ca_credential:
        authorities = names.authorities(namespace, written.ca_credential)
    elif written.ca_certificates:
        authorities = names.authority_file(written.ca_certificates, written.ca_crl)
    in_mesh = written.mode is ir.ServerTlsMode.ISTIO_MUTUAL
    defaults = mesh.mesh_tls if in_mesh else mesh.tls_defaults
    return ServerTls(
        mode=written.mode,
        certificates=certificates,
        authorities=authorities,
        alpn=alpn,
        subject_alt_names=written.subject_alt_names,
        certificate_spki=written.certificate_spki,
        certificate_hash=written.certificate_hash,
        min_version=written.min_version or defaults.min_version,
        max_version=written.max_version,
        cipher_suites=written.cipher_suites or defaults.cipher_suites,
        ecdh_curves=defaults.ecdh_curves,
        insecure_skip_verify=written.insecure_skip_verify,
    )
