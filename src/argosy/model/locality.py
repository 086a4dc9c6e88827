"""Locality load balancing: which endpoints are near a client, and what of a client that depends on.

Rule: what is asked of clients (their locality, the labels of a failoverPriority) is a trait; a scope has those alone
that some configuration asks for, so that proxies differ by their place only where that counts. Facts (Istio): settings
of a DestinationRule replace the mesh's, a Service's trafficDistribution stands between; weights exclude fail-over, and
fail-over needs outlier detection, without which an endpoint never fails. Region, zone, subzone, network and host are
labels of every workload. Where zones are balanced by load, the proxy does it, among endpoints of one priority: those of
the client's region are of the first. A Service that is node-local has the endpoints of the client's own host alone.
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum

from msgspec import Struct

Pairs = tuple[tuple[str, str], ...]

REGION = "topology.kubernetes.io/region"
ZONE = "topology.kubernetes.io/zone"
SUBZONE = "topology.istio.io/subzone"
NETWORK = "topology.istio.io/network"
HOSTNAME = "kubernetes.io/hostname"

LOCALITY = "locality"
"""The trait that is the whole locality, region/zone/subzone."""

FAILOVER = "failover"
"""Asked where endpoints may fail: whatever the mesh's settings ask then."""


ZONE_AWARE = "zone-aware"
"""Asked where zones are balanced by load: whether the client knows its own zone."""


class Distribution(Struct, frozen=True):
    """The shares of localities in the requests of clients in `origin`; the most specific locality first."""

    origin: str
    shares: tuple[tuple[str, int], ...]


class LocalityBalancing(Struct, frozen=True, kw_only=True):
    enabled: bool = True
    distribute: tuple[Distribution, ...] = ()
    failover: Pairs = ()  # (region, the region that takes over)
    priority: tuple[str, ...] = ()  # labels, KEY or KEY=VALUE
    zone_aware: bool = False  # regions by nearness, and their zones by load
    minimum: int | None = None  # how many endpoints there must be for zones to count

    @property
    def written(self) -> bool:
        """Whether it says more than that localities count: they have weights of their own."""
        return bool(self.distribute or self.failover or self.priority) and not self.zone_aware

    @property
    def traits(self) -> frozenset[str]:
        """What it asks of clients."""
        if not self.enabled:
            return frozenset()
        labels = frozenset(label for label in self.priority if "=" not in label)
        if self.zone_aware:
            return labels | {LOCALITY, ZONE_AWARE}
        by_place = self.distribute or self.failover or not self.priority
        return labels | {LOCALITY} if by_place else labels


class TrafficDistribution(StrEnum):
    """Of a Service: endpoints that are near are preferred, without outlier detection too."""

    ANY = ""
    SAME_ZONE = "PreferSameZone"
    SAME_NODE = "PreferSameNode"

    @property
    def balancing(self) -> LocalityBalancing | None:
        match self:
            case TrafficDistribution.SAME_ZONE:
                return LocalityBalancing(priority=(NETWORK, REGION, ZONE))
            case TrafficDistribution.SAME_NODE:
                return LocalityBalancing(priority=(NETWORK, REGION, ZONE, SUBZONE, HOSTNAME))
        return None


def described(labels: Mapping[str, str], locality: str, network: str, address: str) -> dict[str, str]:
    """A workload's labels and traits."""
    region, zone, subzone = _parts(locality)
    place = {
        REGION: region,
        ZONE: zone,
        SUBZONE: subzone,
        NETWORK: network,
        LOCALITY: locality,
        HOSTNAME: host_of(labels, address),
        ZONE_AWARE: zone,
    }
    return {**labels, **{key: value for key, value in place.items() if value}}


def host_of(labels: Mapping[str, str], address: str) -> str:
    """Where it runs. Who does not say its host is on one with those of its address."""
    return labels.get(HOSTNAME) or address


def matches(pattern: str, locality: str) -> bool:
    """`*` is any; what a pattern leaves out is any, too."""
    wanted, has = _parts(pattern), _parts(locality)
    if wanted[0] not in ("*", has[0]):
        return False
    return all(one in ("*", "", other) for one, other in zip(wanted[1:], has[1:], strict=True))


def shares(balancing: LocalityBalancing, client: str) -> tuple[tuple[str, int], ...]:
    """Of a client's locality; () where none are said for it."""
    return next((one.shares for one in balancing.distribute if matches(one.origin, client)), ())


def rank(
    balancing: LocalityBalancing, client: Mapping[str, str], endpoint: Mapping[str, str]
) -> tuple[int, int]:
    """How far an endpoint is from a client, both as `described`: 0 is nearest. First by labels, then by place."""
    by_labels = _by_labels(balancing.priority, client, endpoint)
    if balancing.zone_aware:
        place = _by_place(balancing.failover, client.get(LOCALITY, ""), endpoint.get(LOCALITY, ""))
        return by_labels, max(place, IN_REGION)
    if balancing.priority and not balancing.failover:
        return by_labels, 0
    return by_labels, _by_place(balancing.failover, client.get(LOCALITY, ""), endpoint.get(LOCALITY, ""))


def _by_labels(priority: tuple[str, ...], client: Mapping[str, str], endpoint: Mapping[str, str]) -> int:
    """The earlier a label differs, the farther."""
    wanted: dict[str, str] = {}
    for label in priority:
        key, given, value = label.partition("=")
        if given:
            wanted[key] = value
    for index, label in enumerate(priority):
        key = label.partition("=")[0]
        if wanted.get(key, client.get(key, "")) != endpoint.get(key, ""):
            return len(priority) - index
    return 0


IN_REGION = 2
"""How far away is what has the client's region in common with it, and no zone."""


def _by_place(failover: Pairs, client: str, endpoint: str) -> int:
    own, other = _parts(client), _parts(endpoint)
    for distance, length in enumerate((3, 2, 1)):
        if own[:length] == other[:length]:
            return distance
    takes_over = next((to for region, to in failover if region == own[0]), None)
    return 3 if takes_over is None or takes_over == other[0] else 4


def _parts(locality: str) -> tuple[str, str, str]:
    region, zone, subzone, *_ = [*locality.split("/", 2), "", ""]
    return region, zone, subzone
