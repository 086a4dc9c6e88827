"""Which connections a captured listener tells apart: those of all services that have its address and port.

Facts (Istio): a service whose addresses are CIDR blocks has the connections to these, the narrower before the wider;
who is without an address has what is left, and without such a service that goes where it wanted to go. Of services with
the same block the older has it. Envoy refuses a whole listener in which two chains match the same: what is taken is
left out.

A service with blocks claims its port apart from those without (BLOCKS), so that the listener of a port on which there
are thousands of services looks at the first of them alone.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable, Iterator

from msgspec import Struct
from msgspec.structs import replace

from argosy.model import ir, routing
from argosy.model.reader import Reader
from argosy.model.routing import in_subnets
from argosy.model.scope import Scope
from argosy.translate import listener_outbound as listeners
from argosy.translate import names, options, outbound
from argosy.translate.domains import Claims
from argosy.translate.filters.order import Resolving
from argosy.translate.filters.tcp_proxy import Clusters
from argosy.translate.http_or_tcp import Handling, outbound_handling

Network = ipaddress.IPv4Network | ipaddress.IPv6Network


class Owner(Struct, frozen=True):
    host: str
    port: ir.ServicePort
    blocks: tuple[str, ...] = ()

    @property
    def handling(self) -> Handling:
        return outbound_handling(self.port.protocol)


BLOCKS = "/"
"""At the end of what is claimed: the listener's connections to blocks of addresses."""


RESOLVING = "?"
"""The same: that hosts of requests are looked up."""


def listener_of(claimed: str) -> str:
    return claimed.rstrip(BLOCKS + RESOLVING)


def claims(service: ir.Service, port: ir.ServicePort, at: str) -> tuple[str, ...]:
    """What a port of a service claims: the listeners at which its connections come in. `at`: the one address of all
    that a Sidecar captures."""
    http = outbound_handling(port.protocol) is Handling.HTTP
    names = (
        (f"{at or listeners.WILDCARD}_{port.number}",) if at or http else _by_address(service, port.number)
    )
    if http and service.resolution is ir.Resolution.DYNAMIC_DNS:
        return (*names, *(f"{name}{RESOLVING}" for name in names))
    return names


def _by_address(service: ir.Service, port: int) -> tuple[str, ...]:
    plain = tuple(f"{one}_{port}" for one in service.addresses if "/" not in one)
    if len(plain) < len(service.addresses):
        return (*plain, f"{listeners.WILDCARD}_{port}{BLOCKS}")
    return plain or (f"{listeners.WILDCARD}_{port}",)


def captured(
    reader: Reader, scope: Scope, name: str, claimed: Claims[tuple[str, int]]
) -> listeners.CapturedListenerKey | None:
    """`claimed`: by (host, port) of services; see `claims`."""
    address, _, number = name.rpartition("_")
    wild = address == listeners.WILDCARD
    holder = claimed.holder(name)
    plain = tuple(_owners(reader, (holder,) if holder is not None else ()))
    if plain and plain[0].port.protocol.is_tls:
        plain = tuple(_owners(reader, claimed.ordered(name)))
    first = plain[0] if plain else None
    with_blocks = tuple(_with_blocks(reader, claimed.ordered(f"{name}{BLOCKS}")))
    if first is None and not with_blocks:
        return None
    at = "" if wild else address
    chains: list[listeners.Chain] = []
    if first is not None and first.port.protocol.is_tls:
        for one in plain:
            chains += _tls(reader, scope, one, at) if one.port.protocol.is_tls else ()
    elif first is not None and first.handling is not Handling.HTTP:
        chains += _tcp(reader, scope, first, at)[0]
    for one in with_blocks:
        tls = one.port.protocol.is_tls
        chains += _tls(reader, scope, one, at) if tls else _tcp(reader, scope, one, "")[0]
    rest = _rest(reader, scope, first, at, bool(chains))
    return listeners.CapturedListenerKey(
        address=address,
        port=int(number),
        handling=first.handling if first is not None else Handling.TCP,
        protocol=first.port.protocol if first is not None else ir.Protocol.TCP,
        chains=tuple(_distinct(chains)),
        clusters=rest,
        connections=outbound.per_connection(reader, scope, rest),
        options=options.of_scope(reader, scope),
        parted=number in scope.parted,
        resolving=Resolving.BY_NAME
        if claimed.holder(f"{name}{RESOLVING}")
        or outbound.requests_to_unknown_hosts(reader, scope) == names.BY_NAME
        else Resolving.NEVER,
    )


def _owners(reader: Reader, owners: Iterable[tuple[str, int]]) -> Iterator[Owner]:
    for host, number in owners:
        service = reader.service(host)
        port = service.port(number) if service is not None else None
        if port is not None:
            yield Owner(host, port)


def _with_blocks(reader: Reader, owners: Iterable[tuple[str, int]]) -> Iterator[Owner]:
    for owner in _owners(reader, owners):
        service = reader.service(owner.host)
        written = service.addresses if service is not None else ()
        if blocks := tuple(str(_network(one)) for one in written if "/" in one):
            yield Owner(owner.host, owner.port, blocks)


def _rest(reader: Reader, scope: Scope, first: Owner | None, at: str, told_apart: bool) -> Clusters:
    """Where goes what no chain is for and is no HTTP. `at`: the one address that it is for."""
    if first is not None and first.handling is Handling.HTTP:
        return ()
    if first is None or (not at and first.port.protocol.is_tls and told_apart):
        # Of all services of the port none is meant: it goes where it wanted to go.
        return ((outbound.to_unknown_hosts(reader, scope), 1),)
    if not first.port.protocol.is_tls:
        return _tcp(reader, scope, first, at)[1]
    return outbound.tcp_clusters(reader, scope, first.host, first.port.number, at)


def _tcp(reader: Reader, scope: Scope, owner: Owner, at: str) -> tuple[list[listeners.Chain], Clusters]:
    """By destination and source subnets, and where all else goes. `at`: the one address that all connections are for.

    A chain for each pair of networks, for Envoy looks at the narrowest destination first, and then among the chains of
    that destination alone at the source.
    """
    host, port = owner.host, owner.port.number
    routes = reader.tcp_routes(scope, host, port)
    found = routing.chosen([one for one in routes if not one.source], at)
    rest = outbound.weighted(found.destinations) if found is not None else ((names.outbound(host, port), 1),)
    sources = (*dict.fromkeys(one.source for one in routes if one.source), "")
    joined: dict[tuple[str, Clusters], dict[str, None]] = {}
    for block in () if at else _blocks(owner.blocks, routes):
        for source in sources:
            to = routing.chosen(routes, block, source)
            clusters = outbound.weighted(to.destinations) if to is not None else rest
            joined.setdefault((source, clusters), {})[block] = None
    chains = [(source, clusters, tuple(blocks)) for (source, clusters), blocks in joined.items()]
    for source in sources:
        to = routing.chosen(routes, at, source)
        clusters = outbound.weighted(to.destinations) if to is not None else rest
        chains.append((source, clusters, owner.blocks))
    return [
        listeners.Chain(
            blocks=blocks,
            sources=(source,) if source else (),
            clusters=clusters,
            connections=outbound.per_connection(reader, scope, clusters),
            detect=owner.handling is Handling.DETECT,
            protocol=owner.port.protocol,
        )
        for source, clusters, blocks in chains
        if source or blocks
    ], rest


def _blocks(own: tuple[str, ...], routes: Iterable[ir.TcpRoute]) -> Iterable[str]:
    """The networks that routes tell apart."""
    found: dict[str, None] = {}
    for route in routes:
        found |= dict.fromkeys(_narrowed(own, route.subnets) if route.subnets else ())
    return found


def _tls(reader: Reader, scope: Scope, owner: Owner, at: str) -> Iterator[listeners.Chain]:
    """By the name in the hello; `at`: the one address that all connections are for."""
    made = outbound.tls_chains(reader, scope, owner.host, owner.port.number, at)
    for server_names, clusters, subnets in made:
        if at and not in_subnets(subnets, (at,)):
            continue
        blocks = owner.blocks if at or not subnets else _narrowed(owner.blocks, subnets)
        if blocks or not (owner.blocks or (subnets and not at)):
            yield listeners.Chain(
                server_names=server_names,
                blocks=blocks,
                clusters=clusters,
                connections=outbound.per_connection(reader, scope, clusters),
                looked_up=_looked_up(reader, clusters),
            )


def _looked_up(reader: Reader, clusters: Clusters) -> int:
    """At which port the name in the hello is looked up, 0: it is not. ALL: one filter is for every cluster of a
    chain, and the first one's port counts."""
    if not all(reader.is_looked_up(names.of_outbound(name)[0]) for name, _ in clusters):
        return 0
    host, port, _ = names.of_outbound(clusters[0][0])
    return outbound.target_port(reader, host, port)


def _narrowed(blocks: tuple[str, ...], subnets: tuple[str, ...]) -> tuple[str, ...]:
    """What is in both; without blocks the subnets."""
    wanted = [_network(one) for one in subnets]
    if not blocks:
        return tuple(str(one) for one in wanted)
    found: dict[str, None] = {}
    for block in map(_network, blocks):
        for subnet in wanted:
            if _within(subnet, block):
                found[str(subnet)] = None
            elif _within(block, subnet):
                found[str(block)] = None
    return tuple(found)


def _distinct(chains: Iterable[listeners.Chain]) -> Iterator[listeners.Chain]:
    """Without what an earlier chain matches. Every name of every address is what no chain is for."""
    taken: set[tuple[str, str, tuple[str, ...]]] = {("", "*", ()), ("", "", ())}
    for chain in chains:
        by_names: dict[tuple[str, ...], list[str]] = {}
        for block in chain.blocks or ("",):
            # In a block a chain for every name is one without names.
            meant = ("" if block and name == "*" else name for name in chain.server_names or ("",))
            own = tuple(name for name in dict.fromkeys(meant) if (block, name, chain.sources) not in taken)
            taken.update((block, name, chain.sources) for name in own)
            if own:
                by_names.setdefault(own, []).append(block)
        for own, blocks in by_names.items():
            within = tuple(one for one in blocks if one)
            if "" in own:
                yield replace(chain, server_names=(), blocks=within)
            if named := tuple(name for name in own if name):
                yield replace(chain, server_names=named, blocks=within)


def _network(text: str) -> Network:
    return ipaddress.ip_network(text, strict=False)


def _within(inner: Network, outer: Network) -> bool:
    return inner.version == outer.version and inner.subnet_of(outer)  # type: ignore[arg-type]
