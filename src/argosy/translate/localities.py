"""The endpoints of a destination by priority and locality, as a client of some place gets them."""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Iterator
from functools import lru_cache
from math import lcm

from msgspec.structs import replace

from argosy.model import ir, locality
from argosy.model.networks import Networks, apart, network_of
from argosy.model.reader import Reader
from argosy.model.scope import Scope
from argosy.translate import wire
from argosy.translate.cluster import Discovery
from argosy.translate.endpoint import EndpointKey, LocalityKey

Rank = tuple[int, int]
NEAREST: Rank = (0, 0)

_OCTET = r"(?:25[0-5]|2[0-4]\d|1\d\d|[1-9]?\d)"
_IPV4 = re.compile(rf"{_OCTET}(?:\.{_OCTET}){{3}}", re.ASCII)  # most are; `ipaddress` takes ten times as long

# --- which they are -------------------------------------------------------------------------------------------------


def on_port(reader: Reader, service: ir.Service, port: ir.ServicePort) -> tuple[ir.Endpoint, ...]:
    return tuple(
        endpoint for endpoint in reader.endpoints(service.hostname) if endpoint.port_name == port.name
    )


def of_subset(
    endpoints: tuple[ir.Endpoint, ...], destination: ir.DestinationPolicy | None, subset: str
) -> tuple[ir.Endpoint, ...]:
    if not subset:
        return endpoints
    found = next((one for one in destination.subsets if one.name == subset), None) if destination else None
    if found is None:
        return ()
    wanted = frozenset(found.labels)
    return tuple(endpoint for endpoint in endpoints if wanted.issubset(endpoint.labels))


def inline(
    reader: Reader,
    scope: Scope,
    service: ir.Service,
    port: ir.ServicePort,
    endpoints: tuple[ir.Endpoint, ...],
    discovery: Discovery,
    balancing: locality.LocalityBalancing | None,
) -> tuple[LocalityKey, ...]:
    """Endpoints that travel inside the cluster."""
    if discovery not in (Discovery.STRICT_DNS, Discovery.LOGICAL_DNS):
        return ()
    itself = LocalityKey(endpoints=(EndpointKey(address=service.hostname, port=port.number),))
    if service.resolution is ir.Resolution.NONE:
        return (itself,)
    groups = of(reader, scope, endpoints, port, balancing)
    if discovery is Discovery.LOGICAL_DNS and groups:
        # Envoy takes exactly one endpoint for LOGICAL_DNS.
        return (LocalityKey(locality=groups[0].locality, endpoints=groups[0].endpoints[:1]),)
    return groups


@lru_cache(maxsize=65536)
def reachable(address: str) -> bool:
    """Envoy refuses a whole ClusterLoadAssignment with a name in it: names are for services that resolve by DNS."""
    if address.startswith("unix://") or _IPV4.fullmatch(address):
        return True
    try:
        ipaddress.ip_address(address)
    except ValueError:
        return False
    return True


# --- where they are -------------------------------------------------------------------------------------------------


def balancing_of(
    service: ir.Service, policy: ir.TrafficPolicy, mesh: ir.Mesh
) -> locality.LocalityBalancing | None:
    """How localities count for a destination; None where they do not. `policy`: with the mesh's defaults."""
    distribution = service.distribution.balancing
    chosen = policy.locality or distribution or mesh.locality
    fails_over = policy.outlier is not None or (policy.locality is None and distribution is not None)
    counts = chosen.distribute or chosen.zone_aware or fails_over
    return chosen if chosen.enabled and counts else None


def on_host(scope: Scope, endpoints: tuple[ir.Endpoint, ...]) -> tuple[ir.Endpoint, ...]:
    """Those on the client's own host."""
    own = dict(scope.client).get(locality.HOSTNAME, "")
    return tuple(one for one in endpoints if locality.host_of(dict(one.labels), one.address) == own)


def of(
    reader: Reader,
    scope: Scope,
    endpoints: tuple[ir.Endpoint, ...],
    port: ir.ServicePort,
    balancing: locality.LocalityBalancing | None,
    across: Across | None = None,
) -> tuple[LocalityKey, ...]:
    """The healthy ones, by priority and locality; sorted, so that equal sets give equal bytes. `across`: how those of
    other networks are reached; None: directly."""
    groups: dict[tuple[Rank, str], dict[tuple[str, int], EndpointKey]] = {}
    client, networks = dict(scope.client), reader.mesh().networks
    ranks: dict[tuple[ir.Pairs, str, str, str], Rank] = {}
    healthy = tuple(endpoint for endpoint in endpoints if endpoint.healthy)
    for endpoint, mutual in zip(healthy, mutual_tls(reader, healthy, port), strict=True):
        key = EndpointKey(
            address=endpoint.address,
            port=endpoint.port,
            weight=max(endpoint.weight, 1),
            mtls=int(mutual),
            workload=_workload(endpoint),
        )
        rank = _rank(balancing, networks, client, endpoint, ranks) if balancing is not None else NEAREST
        group = groups.setdefault((rank, endpoint.locality), {})
        if across is None:
            group[key.address, key.port] = key
        else:
            across.put(group, endpoint, key)
    groups = {place: group for place, group in groups.items() if group}
    # Envoy wants priorities without gaps.
    priorities = {rank: priority for priority, rank in enumerate(sorted({rank for rank, _ in groups}))}
    found = tuple(
        LocalityKey(priority=priorities[rank], locality=place, endpoints=tuple(sorted(group.values())))
        for (rank, place), group in sorted(groups.items())
    )
    shares = locality.shares(balancing, client.get(locality.LOCALITY, "")) if balancing is not None else ()
    return tuple(_shared_out(found, shares)) if shares else found


class Across:
    """Endpoints of other networks, for clients that need gateways to some. Facts (Istio): the gateways of a network
    have the weights of its endpoints, in equal parts; all weights are multiplied, so that parts are whole."""

    def __init__(self, reader: Reader, client: str, endpoints: tuple[ir.Endpoint, ...], mutual: bool) -> None:
        """`mutual`: whether the client makes mesh mutual TLS at all."""
        self._networks = reader.mesh().networks
        self._mutual = mutual
        others = sorted({network for one in endpoints if apart(client, network := self._network(one))})
        self._gateways = {network: reader.network_gateways(network) for network in others}
        self._scale = lcm(*(len(found) for found in self._gateways.values() if found))

    def _network(self, one: ir.Endpoint) -> str:
        return network_of(self._networks, one.network, dict(one.labels), one.address)

    def put(
        self, group: dict[tuple[str, int], EndpointKey], endpoint: ir.Endpoint, direct: EndpointKey
    ) -> None:
        weight = direct.weight * self._scale
        gateways = self._gateways.get(self._network(endpoint), ())
        if not gateways:
            group[direct.address, direct.port] = replace(direct, weight=min(weight, wire.UNLIMITED))
        elif self._mutual and direct.mtls:
            for address, port in gateways:
                there = group.get((address, port))
                whole = weight // len(gateways) + (there.weight if there is not None else 0)
                group[address, port] = EndpointKey(
                    address=address, port=port, weight=min(whole, wire.UNLIMITED), mtls=1
                )


def across(reader: Reader, scope: Scope, endpoints: tuple[ir.Endpoint, ...], mutual: bool) -> Across | None:
    """None where all is reached directly."""
    client = dict(scope.client).get(locality.NETWORK, "")
    if not client or not reader.mesh().networks:
        return None
    return Across(reader, client, endpoints, mutual)


def _rank(
    balancing: locality.LocalityBalancing,
    networks: Networks,
    client: dict[str, str],
    endpoint: ir.Endpoint,
    known: dict[tuple[ir.Pairs, str, str, str], Rank],
) -> Rank:
    """How far away; of endpoints that are alike once."""
    if balancing.distribute:
        return NEAREST
    labels = endpoint.labels if balancing.priority else ()
    address = endpoint.address if locality.HOSTNAME in balancing.priority else ""
    network = endpoint.network
    if networks:
        network = network_of(networks, network, dict(endpoint.labels), endpoint.address)
    alike = (labels, endpoint.locality, network, address)
    rank = known.get(alike)
    if rank is None:
        has = locality.described(dict(labels), endpoint.locality, network, address)
        rank = known[alike] = locality.rank(balancing, client, has)
    return rank


def _shared_out(
    groups: tuple[LocalityKey, ...], shares: tuple[tuple[str, int], ...]
) -> Iterator[LocalityKey]:
    """Localities with their shares of the requests; those without any have no endpoints. Several that one share is
    for divide it by their weights."""
    fitting = {
        group.locality: next((place for place, _ in shares if locality.matches(place, group.locality)), None)
        for group in groups
    }
    given = dict(shares)
    for group in groups:
        place = fitting[group.locality]
        if place is not None:
            whole = sum(one.weight for one in groups if fitting[one.locality] == place)
            yield replace(group, share=-(-group.weight * given[place] // whole))


def _workload(endpoint: ir.Endpoint) -> str:
    if not endpoint.workload:
        return ""
    return f"{endpoint.workload};{endpoint.namespace};{endpoint.app};{endpoint.version};"


def mutual_tls(reader: Reader, endpoints: tuple[ir.Endpoint, ...], port: ir.ServicePort) -> tuple[bool, ...]:
    """Of each endpoint, whether it takes mesh mutual TLS: it has a sidecar, and its PeerAuthentication does not
    disable it."""
    workload_port = port.target_port or port.number
    taken: dict[tuple[str, ir.Pairs], bool] = {}  # endpoints of a service are mostly alike
    for one in endpoints:
        if one.mtls and (one.namespace, one.labels) not in taken:
            found = reader.peer_mtls(one.namespace, one.labels, workload_port)
            taken[one.namespace, one.labels] = found is not ir.MtlsMode.DISABLE
    return tuple(one.mtls and taken[one.namespace, one.labels] for one in endpoints)
