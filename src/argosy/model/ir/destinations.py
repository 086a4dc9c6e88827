"""How connections to a host are made, encrypted, limited and balanced."""

from __future__ import annotations

from enum import StrEnum

from msgspec import Struct

from argosy.model.ir.routes import HashPolicy
from argosy.model.ir.services import Pairs
from argosy.model.locality import LocalityBalancing


class LoadBalancer(StrEnum):
    LEAST_REQUEST = "LEAST_REQUEST"
    ROUND_ROBIN = "ROUND_ROBIN"
    RANDOM = "RANDOM"
    PASSTHROUGH = "PASSTHROUGH"
    RING_HASH = "RING_HASH"
    MAGLEV = "MAGLEV"


class TlsMode(StrEnum):
    DISABLE = "DISABLE"
    SIMPLE = "SIMPLE"
    MUTUAL = "MUTUAL"
    ISTIO_MUTUAL = "ISTIO_MUTUAL"


class ClientTls(Struct, frozen=True, kw_only=True):
    mode: TlsMode
    sni: str = ""
    subject_alt_names: tuple[str, ...] = ()
    credential_name: str = ""
    client_certificate: str = ""
    private_key: str = ""
    ca_certificates: str = ""
    ca_crl: str = ""
    insecure_skip_verify: bool = False
    for_sidecars: bool = False  # whether sidecars get the Secret, too: those that the rule selects


class KeepAlive(Struct, frozen=True, kw_only=True):
    probes: int | None = None
    time: int | None = None
    interval: int | None = None


class Http2KeepAlive(Struct, frozen=True, kw_only=True):
    """Pings on an HTTP/2 connection."""

    interval: int
    timeout: int | None = None


class ConnectionPool(Struct, frozen=True, kw_only=True):
    max_connections: int | None = None
    connect_timeout: int | None = None
    keepalive: KeepAlive | None = None
    max_connection_duration: int | None = None
    tcp_idle_timeout: int | None = None
    http1_max_pending_requests: int | None = None
    http2_max_requests: int | None = None
    max_requests_per_connection: int | None = None
    max_retries: int | None = None
    idle_timeout: int | None = None
    h2_upgrade_policy: str = "DEFAULT"  # DEFAULT | DO_NOT_UPGRADE | UPGRADE
    use_client_protocol: bool = False
    max_concurrent_streams: int | None = None
    http2_keepalive: Http2KeepAlive | None = None


class OutlierDetection(Struct, frozen=True, kw_only=True):
    consecutive_5xx: int | None = None
    consecutive_gateway: int | None = None
    consecutive_local_origin: int | None = None
    split_external_local_origin: bool = False
    interval: int | None = None
    base_ejection_time: int | None = None
    max_ejection_percent: int | None = None
    min_health_percent: int = 0
    http_codes: tuple[int, ...] = ()  # what counts as an error in place of the 5xx; sorted


class Warmup(Struct, frozen=True, kw_only=True):
    """A new endpoint gets its full share of the traffic only after `window`."""

    window: int
    minimum_percent: float | None = None
    aggression: float | None = None


class RetryBudget(Struct, frozen=True, kw_only=True):
    """Limits concurrent retries by the requests that are active, in place of a fixed number."""

    percent: float | None = None
    minimum: int | None = None
    interval: int | None = None


class Tunnel(Struct, frozen=True, gc=False):
    """Connections go to `authority` (`host:port`) through a proxy, which is the destination: each asks it by a request
    of HTTP."""

    authority: str
    post: bool = False  # by POST; else by CONNECT


class TrafficPolicy(Struct, frozen=True, kw_only=True):
    load_balancer: LoadBalancer = LoadBalancer.LEAST_REQUEST
    hash: HashPolicy | None = None
    minimum_ring_size: int | None = None
    maglev_table_size: int | None = None
    warmup: Warmup | None = None
    locality: LocalityBalancing | None = None  # None: as the service or the mesh says
    connection_pool: ConnectionPool = ConnectionPool()
    outlier: OutlierDetection | None = None
    tls: ClientTls | None = None  # None: automatic mutual TLS
    proxy_protocol: str = ""  # V1 | V2: said before the first byte of a connection
    retry_budget: RetryBudget | None = None


class Subset(Struct, frozen=True, kw_only=True):
    name: str
    labels: Pairs = ()
    tunnel: Tunnel | None = None


class DestinationPolicy(Struct, frozen=True, kw_only=True):
    """What a DestinationRule says of one host, with all inheritance resolved by `for_port`."""

    host: str
    subsets: tuple[Subset, ...] = ()
    # (subset name or "", service port number or 0 for every other port) -> policy; sorted; the most specific wins:
    # (subset, port) > (subset, 0) > ("", port) > ("", 0)
    policies: tuple[tuple[str, int, TrafficPolicy], ...] = ()
    tunnel: Tunnel | None = None  # of the whole

    def tunnel_of(self, subset: str) -> Tunnel | None:
        """Facts (Istio): a subset has its own, or none; a port has none of its own."""
        if not subset:
            return self.tunnel
        return next((one.tunnel for one in self.subsets if one.name == subset), None)

    def policy(self, subset: str, port: int) -> TrafficPolicy:
        found = {(s, p): policy for s, p, policy in self.policies}
        for key in ((subset, port), (subset, 0), ("", port), ("", 0)):
            if key in found:
                return found[key]
        return TrafficPolicy()
