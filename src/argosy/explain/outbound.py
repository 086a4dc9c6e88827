"""What a sidecar does with what its application sends.

Explicit: the application's HTTP proxy, with one set of virtual hosts for all ports; `CONNECT` for what is not plain
HTTP. Redirect: a listener for each port, or virtual address where the port is not HTTP, and the virtual hosts of
the port. Where two services want one name or address, the older has it.
"""

from __future__ import annotations

from collections.abc import Iterator

from msgspec.structs import replace

from argosy.explain import bound, declared, http, replies, subnets
from argosy.explain import destination as destinations
from argosy.explain.arrival import arrived
from argosy.explain.domains import Domains
from argosy.explain.http import Routed, RoutesOf
from argosy.explain.matching import lower
from argosy.explain.outcome import Miss, Step, Unrouted
from argosy.explain.request import Request, Seen, Spoken, Trust, host_of, port_of, seen
from argosy.explain.view import View
from argosy.explain.virtual_hosts import VirtualHost, names_of, single
from argosy.model import ir
from argosy.model.hostnames import covers, patterns
from argosy.model.provenance import Written
from argosy.model.scope import Interception
from argosy.model.sidecars import EgressListener

VIRTUAL_HOST_PORT = 80
"""Facts (Istio): a host that only a VirtualService names is served on port 80."""
CAPTURE_PORT = 15001
WILDCARD = "0.0.0.0"  # noqa: S104  in a listener's name


class Outbound:
    """For any number of requests of one sender, as long as the snapshot does not change."""

    def __init__(self, view: View, upstreams: declared.Upstreams = ()) -> None:
        self.view = view
        self.upstreams = upstreams
        self.explicit = view.scope.interception is Interception.EXPLICIT
        self._domains: dict[int, Domains[VirtualHost]] = {}
        self._bound: dict[str, Domains[VirtualHost]] = {}  # by listener
        self._named: dict[str, ir.Service] | None = None
        self._close: dict[tuple[str, int], tuple[Miss, ...]] = {}
        self._captured: dict[tuple[str, int], list[VirtualHost]] | None = None

    # --- a request --------------------------------------------------------------------------------------------------

    def evaluate(self, request: Request) -> Routed:
        if self.explicit and (upstream := declared.asked(self.upstreams, request)) is not None:
            return self._by_upstream(request, upstream)
        if (listener := bound.listener(self.view, request)) is not None:
            return self._by_bound(request, listener)
        if self.explicit:
            return self._by_proxy(request)
        return self._captured_request(request)

    def spoken_at(self, request: Request) -> Spoken:
        if self.explicit and (upstream := declared.asked(self.upstreams, request)) is not None:
            meant = declared.meant(self.view, upstream)
            at = meant.port(upstream.port) if meant is not None else None
            return Spoken.HTTP if at is None or at.protocol.is_http else Spoken.TCP
        number = port_of(request.authority) or request.port
        authority = f"{host_of(request.authority)}:{number}"
        found = self._meant(authority)
        port = found.port(number) if found is not None else None
        if port is None or _by_routes(port):
            return Spoken.HTTP
        return Spoken.TLS if port.protocol.is_tls else Spoken.TCP

    def everywhere(self) -> tuple[tuple[str, int], ...]:
        """(authority, port) of what the sender knows."""
        found = [(f"{service.hostname}:{port.number}", port.number) for service, port in self._served()]
        found += [(host, VIRTUAL_HOST_PORT) for host in self._alone()]
        return tuple((authority.replace("*", "any", 1), port) for authority, port in found)

    def _meant(self, authority: str) -> ir.Service | None:
        """The service that an authority names."""
        host = lower(host_of(authority))
        if self._named is None:
            self._named = {}
            suffix = self.view.reader.mesh().domain_suffix
            for service, _ in sorted(self._served(), key=lambda item: (item[0].created, item[0].hostname)):
                for name in names_of(service, self.view.scope.namespace, suffix):
                    self._named.setdefault(lower(name), service)
        return next((self._named[name] for name in patterns(host) if name in self._named), None)

    def _by_proxy(self, request: Request) -> Routed:
        if request.spoken is not Spoken.HTTP:
            return self._by_tunnel(request)
        step = Step("listener", "outbound_proxy", "the application's HTTP proxy")
        return _after((step,), self.by_routes(request, 0))

    def _by_bound(self, request: Request, listener: EgressListener) -> Routed:
        """At a listener of the Sidecar that the application connects to by itself: only what that one imports."""
        said = f"Sidecar {self.view.scope.sidecar} listens there for {listener.protocol or 'whatever comes'}"
        step = Step("listener", bound.name(listener), said)
        if not bound.by_routes(listener):
            first = next(iter(bound.imported(self.view, listener)), None)
            if first is None:
                return _after((step,), self._unknown(request, (), 0))
            owner = VirtualHost(first[0].hostname, first[1].number)
            return _after((step,), self._connection(owner, "", ""))
        if request.spoken is not Spoken.HTTP:
            return Routed(Unrouted(400, "the listener speaks HTTP, and this does not"), (step,))
        here = arrived(self.view, request)
        if isinstance(here, Routed):
            return _after((step,), here)
        request, found = here, seen(here, Trust.ALL)
        key = bound.name(listener)
        if key not in self._bound:
            self._bound[key] = bound.domains(self.view, listener)
        named = self._bound[key].find(found.authority)
        if named is None:
            return _after((step,), self._unknown(request, (), 502))
        return _after((step,), self._by_host(request, found, *named))

    def _by_upstream(self, request: Request, upstream: declared.Upstream) -> Routed:
        """Facts (Argosy): what is sent on has the authority of the upstream where no route writes another."""
        because = f"127.0.0.1:{upstream.bind} is the declared upstream {upstream.name}"
        step = Step("listener", f"upstream_{upstream.port}_{upstream.host}", because)
        service = declared.meant(self.view, upstream)
        port = service.port(upstream.port) if service is not None else None
        if service is not None and port is not None and not port.protocol.is_http:
            address = self.view.reader.first_address(service.hostname)
            owner = VirtualHost(service.hostname, port.number)
            return _after((step,), self._connection(owner, address, ""))
        if request.spoken is not Spoken.HTTP:
            return Routed(Unrouted(400, "the listener speaks HTTP, and this does not"), (step,))
        here = arrived(self.view, request)
        if isinstance(here, Routed):
            return _after((step,), here)
        found = seen(here, Trust.ALL)
        if service is None:
            why = f"no service {upstream.name} in the mesh, or it is not visible here"
            refused = replies.unrouted(503, why, found.headers)
            return Routed(refused, (step,), self._near(upstream.name, 0))
        owner = VirtualHost(service.hostname, upstream.port)
        return _after((step,), self._by_host(here, found, "*", owner, upstream.authority))

    def _by_tunnel(self, request: Request) -> Routed:
        authority = f"{host_of(request.authority)}:{port_of(request.authority) or request.port}"
        step = Step("listener", "outbound_proxy", f"CONNECT {authority}")
        found = self.domains(0).find(authority)
        if found is None:
            return _after((step,), self._unknown(request, self._near(authority, 0), 502))
        domain, virtual_host = found
        steps = (step, self._virtual_host_step(virtual_host, domain))
        port = self._port(virtual_host)
        if port is None or port.protocol.is_http:
            why = "the port speaks HTTP: what is within the tunnel must be plain HTTP"
            if request.spoken is Spoken.TLS:
                return Routed(Unrouted(0, f"{why}, and this is TLS"), steps)
            return Routed(Unrouted(0, f"{why}, and this is not known to be"), steps)
        address = subnets.as_address(host_of(request.authority)) or self.view.reader.first_address(
            virtual_host.host
        )
        return _after(steps, self._connection(virtual_host, address, "", host_of(request.authority)))

    def _captured_request(self, request: Request) -> Routed:
        owner, listener = self._listener(request)
        if owner is None:
            step = Step("listener", "virtualOutbound", "no service has this address and port")
            return _after((step,), self._unknown(request, self._near(request.authority, request.port), 0))
        port = self._port(owner)
        step = Step("listener", listener, f"its port is {port.protocol if port else '?'} ({owner.name})")
        if port is not None and (
            port.protocol.is_http
            or (port.protocol is ir.Protocol.UNSUPPORTED and request.spoken is Spoken.HTTP)
        ):
            if request.spoken is not Spoken.HTTP:
                return Routed(Unrouted(400, "the port speaks HTTP, and this does not"), (step,))
            return _after((step,), self.by_routes(request, request.port))
        if port is not None and port.protocol.is_tls:
            return _after((step,), self._by_name(request, listener))
        address = _address_of(listener.rpartition("_")[0], request)
        return _after((step,), self._connection(owner, address, request.source))

    # --- HTTP -------------------------------------------------------------------------------------------------------

    def by_routes(self, request: Request, port: int) -> Routed:
        """HTTP, by the virtual hosts of a port; 0: of all ports."""
        here = arrived(self.view, request)
        if isinstance(here, Routed):
            return here
        request, found = here, self._seen(here)
        named = self.domains(port).find(found.authority)
        if named is None:
            return self._unknown(request, self._near(found.authority, port), 502)
        domain, virtual_host = named
        service_port = self._port(virtual_host)
        if service_port is not None and not _by_routes(service_port):
            why = f"the port speaks {service_port.protocol}: there are no HTTP routes to it"
            step = self._virtual_host_step(virtual_host, domain)
            return Routed(replies.unrouted(404, why, found.headers), (step,))
        return self._by_host(request, found, domain, virtual_host)

    def _by_host(
        self, request: Request, found: Seen, domain: str, virtual_host: VirtualHost, authority: str = ""
    ) -> Routed:
        """`authority`: what is sent on where no route writes another; "": the request's own."""
        view, of = self.view, replace(self._routes(virtual_host), authority=authority)
        shut = tuple(
            view.miss("route", one)
            for one in view.reader.routes_passed_over(view.scope, virtual_host.host, virtual_host.port)
        )
        routed = http.route(view, request, found, of)
        return Routed(
            routed.verdict,
            (self._virtual_host_step(virtual_host, domain), *routed.steps),
            routed.misses + shut,
            routed.fault,
            routed.notes,
        )

    def _seen(self, request: Request) -> Seen:
        return seen(request, Trust.BESIDE_URL if self.explicit else Trust.ALL)

    def _unknown(self, request: Request, near: tuple[Miss, ...], refusal: int) -> Routed:
        """What is for no host that is seen. `refusal`: the status where it is not let through; 0: closed."""
        allowed, proxy = self.view.reader.outbound(self.view.scope)
        said = f"Sidecar {self.view.scope.sidecar}" if self._own_policy() else "the mesh"
        if proxy is not None:
            step = Step(
                "virtual host", "allow_any", f"no service has this host, and {said} has an egressProxy for it"
            )
            cluster = destinations.cluster(self.view, proxy)
        elif allowed:
            step = Step("virtual host", "allow_any", f"no service has this host, and {said} says ALLOW_ANY")
            # What is refused by closing it is a connection, whatever is within.
            looked_up = refusal and not self.explicit and self.view.reader.mesh().outbound_by_name
            by_name = looked_up and not self._own_policy()
            cluster = destinations.by_name(self.view) if by_name else destinations.passthrough()
        else:
            why = f"no service has this host, and {said} says REGISTRY_ONLY"
            refused = replies.unrouted(refusal, why, self._seen(request).headers)
            return Routed(refused, (Step("virtual host", "block_all", why),), near)
        notes = (
            "the name is looked up by the proxy; it must not be the loopback or the proxy's own address",
        )
        verdict = http.sent_on(cluster, request, self._seen(request))
        return Routed(verdict, (step,), near, notes=notes if self.explicit and proxy is None else ())

    def _own_policy(self) -> bool:
        sidecar = self.view.reader.sidecar(self.view.scope)
        return sidecar is not None and sidecar.allow_any is not None

    def _virtual_host_step(self, virtual_host: VirtualHost, domain: str) -> Step:
        refs = self.view.reader.service_origins(virtual_host.host)
        because = f"for the domain {domain}"
        if virtual_host.alone:
            because += "; only VirtualServices name this host"
        return Step("virtual host", virtual_host.name, because, tuple(self.view.origin(ref) for ref in refs))

    def _routes(self, virtual_host: VirtualHost) -> RoutesOf:
        reader, scope = self.view.reader, self.view.scope
        host, port = virtual_host.host, virtual_host.port
        table = reader.route_table(scope, host, port)
        if table is not None:
            origins = reader.route_origins(scope, host, port)
            return RoutesOf(
                virtual_host.name, port, table.routes, tuple(self.view.origins(one) for one in origins)
            )
        return RoutesOf(virtual_host.name, port, (self._to_itself(host, port),), ((),))

    def _to_itself(self, host: str, port: int) -> ir.Route:
        forward = ir.Forward(
            destinations=(ir.WeightedDestination(ir.Destination(host, port)),),
            retry=self.view.reader.mesh().default_retry,
            hash=self._hash(host, port),
        )
        return ir.Route(match=ir.RouteMatch(), action=forward, name="default")

    def _hash(self, host: str, port: int) -> tuple[ir.HashPolicy, ...]:
        chosen = destinations.policy_of(self.view, ir.Destination(host, port)).hash
        return (chosen,) if chosen is not None else ()

    # --- connections ------------------------------------------------------------------------------------------------

    def _by_name(self, request: Request, listener: str) -> Routed:
        """TLS: by the name in the hello, of all services that have this address and port."""
        reader, scope = self.view.reader, self.view.scope
        at, _, number = listener.rpartition("_")
        address = _address_of(at, request)
        name = request.hello
        owners = self.captured().get((at, int(number)), [])
        chains: list[tuple[tuple[str, ...], tuple[ir.WeightedDestination, ...], VirtualHost, int]] = []
        widths: list[int | None] = []
        for owner in owners:
            port = self._port(owner)
            if port is None or not port.protocol.is_tls:
                continue
            routes = reader.tls_routes(scope, owner.host, owner.port)
            for position, one in enumerate(routes):
                chains.append((one.sni_hosts or (owner.host,), one.destinations, owner, position))
                widths.append(subnets.width(one.subnets, address))
            if not routes:
                chains.append(((owner.host,), self._tcp(owner, address, "")[0], owner, -1))
                widths.append(0)
        fitting = [one for one in widths if one is not None]
        # Where there is one address, all that hold it are alike.
        narrowest = max(fitting, default=0) if at == WILDCARD else None
        domains: Domains[int] = Domains(
            (pattern, index)
            for index, (patterns, *_) in enumerate(chains)
            for pattern in patterns
            if pattern != "*" and widths[index] is not None and narrowest in (None, widths[index])
        )
        found = domains.find(name) if name else None
        if found is not None:
            _, to, owner, position = chains[found[1]]
            origins = reader.tls_origins(scope, owner.host, owner.port) if position >= 0 else ()
            step = Step(
                "filter chain", found[0], f"by the name in the TLS hello, {name}",
                self.view.origins(origins[position]) if origins else (),
            )  # fmt: skip
            return Routed(destinations.dealt(self.view, to, name), (step,))
        misses = tuple(
            Miss("filter chain", ", ".join(patterns), f"the name in the TLS hello is {name or 'not there'}")
            if fits is not None
            else Miss("filter chain", ", ".join(patterns), f"its subnets do not hold {address or 'it'}")
            for (patterns, *_), fits in zip(chains, widths, strict=True)
        )
        if chains and at == WILDCARD:
            return self._unknown(request, misses, 0)
        return _after((), self._connection(owners[0], address, request.source))

    def _connection(self, virtual_host: VirtualHost, address: str, source: str, name: str = "") -> Routed:
        to, written = self._tcp(virtual_host, address, source)
        because = "" if written is not None else "no VirtualService says otherwise"
        step = Step("route", "tcp", because, self.view.origins(written))
        return Routed(destinations.dealt(self.view, to, name), (step,))

    def _tcp(
        self, virtual_host: VirtualHost, address: str, source: str
    ) -> tuple[tuple[ir.WeightedDestination, ...], Written | None]:
        """Of connections that nothing is known of but the service that they are for, and their addresses ("": not
        known)."""
        reader, scope = self.view.reader, self.view.scope
        host, number = virtual_host.host, virtual_host.port
        port = self._port(virtual_host)
        if port is not None and port.protocol.is_tls:
            for at, tls in enumerate(reader.tls_routes(scope, host, number)):
                reached = subnets.width(tls.subnets, address) is not None
                if reached and any(covers(sni, host) for sni in tls.sni_hosts):
                    return tls.destinations, reader.tls_origins(scope, host, number)[at]
        routes = reader.tcp_routes(scope, host, number)
        found = subnets.position(routes, address, source)
        if found is None:
            return (ir.WeightedDestination(ir.Destination(host, number)),), None
        return routes[found].destinations, reader.tcp_origins(scope, host, number)[found]

    # --- who has which name and address -----------------------------------------------------------------------------

    def _port(self, virtual_host: VirtualHost) -> ir.ServicePort | None:
        if virtual_host.alone:
            return None
        service = self.view.reader.service(virtual_host.host)
        return service.port(virtual_host.port) if service is not None else None

    def domains(self, port: int) -> Domains[VirtualHost]:
        """Of the virtual hosts of a port; 0: explicit, of all."""
        if port not in self._domains:
            claims = sorted(
                self._claims(port), key=lambda claim: (claim[1], str((claim[2].host, claim[2].port)))
            )
            self._domains[port] = Domains((domain, owner) for domain, _, owner in claims)
        return self._domains[port]

    def _claims(self, wanted: int) -> Iterator[tuple[str, tuple[int, str, str], VirtualHost]]:
        """(domain, rank, virtual host). The lowest rank has the domain: the full name, then the older service."""
        reader, scope = self.view.reader, self.view.scope
        for service, port in self._served():
            if wanted and (port.number != wanted or not _by_routes(port)):
                continue
            names = names_of(service, scope.namespace, reader.mesh().domain_suffix)
            bare = names if wanted or port.number == VIRTUAL_HOST_PORT else ()
            owner = VirtualHost(service.hostname, port.number)
            for name in (*bare, *(f"{name}:{port.number}" for name in names)):
                full = name in (service.hostname, f"{service.hostname}:{port.number}")
                yield name, (0 if full else 1, service.created, service.hostname), owner
        if wanted in (0, VIRTUAL_HOST_PORT):
            for host in self._alone():
                owner = VirtualHost(host, VIRTUAL_HOST_PORT, alone=True)
                for name in (host, f"{host}:{VIRTUAL_HOST_PORT}"):
                    yield name, (0, "", host), owner

    def _alone(self) -> Iterator[str]:
        """Hosts that only VirtualServices name, or whose service is not seen."""
        reader, scope = self.view.reader, self.view.scope
        for host in sorted({*reader.virtual_hosts(), *(reader.hosts() if scope.sidecar else ())}):
            alone = host != "*" and reader.stands_alone(scope, host)
            if alone and reader.route_table(scope, host, VIRTUAL_HOST_PORT) is not None:
                yield host

    def _served(self) -> Iterator[tuple[ir.Service, ir.ServicePort]]:
        """Ports of services that the sender sees and a proxy handles."""
        reader = self.view.reader
        for hostname in reader.hosts():
            service = reader.service(hostname)
            if service is not None:
                for port in service.ports:
                    if destinations.proxied(port) and reader.visible_at(
                        self.view.scope, hostname, port.number
                    ):
                        yield service, port

    def captured(self) -> dict[tuple[str, int], list[VirtualHost]]:
        """(address, port) -> who wants it, the one that has it first."""
        if self._captured is None:
            ranked: dict[tuple[str, int], list[tuple[tuple[str, str, str], VirtualHost]]] = {}
            for service, port in self._served():
                addresses = () if port.protocol.is_http else single(service.addresses)
                if at := self._captured_at(port.number):
                    addresses = (at,)
                owner = VirtualHost(service.hostname, port.number)
                rank = (service.created, service.hostname, str((owner.host, owner.port)))
                for address in addresses or (WILDCARD,):
                    ranked.setdefault((address, port.number), []).append((rank, owner))
            self._captured = {
                key: [owner for _, owner in sorted(wanting, key=lambda one: one[0])]
                for key, wanting in ranked.items()
            }
        return self._captured

    def _captured_at(self, port: int) -> str:
        """The one address at which a Sidecar lets a port be taken; "": those of the services."""
        sidecar = self.view.reader.sidecar(self.view.scope)
        listener = sidecar.listener(port) if sidecar is not None else None
        return listener.bind if listener is not None and listener.captured and listener.port == port else ""

    def _listener(self, request: Request) -> tuple[VirtualHost | None, str]:
        for address in (self._address(request), WILDCARD):
            owners = self.captured().get((address, request.port))
            if address and owners:
                return owners[0], f"{address}_{request.port}"
        return None, ""

    def _address(self, request: Request) -> str:
        """Where a client that looks up the name connects to, as far as the model knows."""
        if known := request.address or subnets.as_address(host_of(request.authority)):
            return known
        service = self._meant(request.authority)
        if service is not None and "*" not in service.hostname:
            return next(iter(single(service.addresses)), "")
        return host_of(request.authority)

    def _near(self, authority: str, port: int) -> tuple[Miss, ...]:
        """Virtual hosts that are almost meant, and services that are not seen from here."""
        key = (authority, port)
        if key not in self._close:
            self._close[key] = self._almost(authority, port)
        return self._close[key]

    def _almost(self, authority: str, port: int) -> tuple[Miss, ...]:
        reader, scope = self.view.reader, self.view.scope
        found: dict[str, Miss] = {}
        for domain, owner in self.domains(port).near(authority):
            refs = tuple(self.view.origin(ref) for ref in reader.service_origins(owner.host))
            found.setdefault(
                owner.name,
                Miss("virtual host", owner.name, f"the authority is {authority}, not {domain}", refs),
            )
        host = host_of(authority)
        for hostname in reader.hosts():
            service = reader.service(hostname)
            if service is None:
                continue
            if host not in names_of(service, scope.namespace, reader.mesh().domain_suffix):
                continue
            refs = tuple(self.view.origin(ref) for ref in reader.service_origins(hostname))
            if not reader.visible(scope, hostname):
                why = f"it {self.view.unseen(service)}"
            else:
                numbers = ", ".join(str(one.number) for one in service.ports)
                why = f"its ports are {numbers}"
            found[hostname] = Miss("service", hostname, why, refs)
        if not found:
            for domain, owner in self.domains(port).alike(authority):
                refs = tuple(self.view.origin(ref) for ref in reader.service_origins(owner.host))
                found.setdefault(owner.name, Miss("virtual host", owner.name, f"its name is {domain}", refs))
        return tuple(found.values())


def _address_of(listener: str, request: Request) -> str:
    """The address that a captured connection is for: the listener's, else what is known of the request."""
    return (
        listener
        if listener != WILDCARD
        else request.address or subnets.as_address(host_of(request.authority))
    )


def _by_routes(port: ir.ServicePort) -> bool:
    return port.protocol.is_http or port.protocol is ir.Protocol.UNSUPPORTED


def _after(steps: tuple[Step, ...], routed: Routed) -> Routed:
    return Routed(routed.verdict, (*steps, *routed.steps), routed.misses, routed.fault, routed.notes)
