"""DestinationRule: what applies to traffic once its destination is chosen.

# Istio: networking/v1alpha3/destination_rule.proto
"""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated

from msgspec import Meta, Struct, field

from argosy.resources.meta import Object, Status
from argosy.resources.networking.virtual_service import Int32, PortSelector, UInt32
from argosy.resources.selector import WorkloadSelector

UInt64 = Annotated[int, Meta(ge=0)]
HttpErrorCode = Annotated[int, Meta(ge=100, le=599)]


class SimpleLoadBalancer(StrEnum):
    UNSPECIFIED = "UNSPECIFIED"
    LEAST_CONN = "LEAST_CONN"  # deprecated name of LEAST_REQUEST
    LEAST_REQUEST = "LEAST_REQUEST"
    RANDOM = "RANDOM"
    PASSTHROUGH = "PASSTHROUGH"
    ROUND_ROBIN = "ROUND_ROBIN"


class CookieAttribute(Struct, frozen=True, kw_only=True, rename="camel", omit_defaults=True):
    """An attribute of a cookie."""

    name: str
    """The name of the attribute."""
    value: str = ""
    """The value of the attribute."""


class HTTPCookie(Struct, frozen=True, kw_only=True, rename="camel", omit_defaults=True):
    """A cookie that tells clients apart."""

    name: str
    """The name of the cookie."""
    path: str = ""
    """The path that it is for."""
    ttl: str | None = None
    """How long it lives, where the proxy sets it; 0s: for the session; left out: it is never set."""
    attributes: tuple[CookieAttribute, ...] = ()
    """Further attributes of the cookie."""


class RingHash(Struct, frozen=True, kw_only=True, rename="camel", omit_defaults=True):
    """A ring on which endpoints and requests have their places."""

    minimum_ring_size: UInt64 = 0
    """How many places the ring has at least; 0 is the default, 1024."""


class MagLev(Struct, frozen=True, kw_only=True, rename="camel", omit_defaults=True):
    """A table in which endpoints have their places."""

    table_size: UInt64 = 0
    """How many places the table has: a prime number below 5000011."""


class ConsistentHash(Struct, frozen=True, kw_only=True, rename="camel", omit_defaults=True):
    """One of the first four says what is hashed; at most one of `ring_hash`, `maglev` how."""

    http_header_name: str | None = None
    """Hashes the value of this header."""
    http_cookie: HTTPCookie | None = None
    """Hashes the value of this cookie."""
    use_source_ip: bool | None = None
    """Hashes the address of the client."""
    http_query_parameter_name: str | None = None
    """Hashes the value of this query parameter."""
    ring_hash: RingHash | None = None
    """Places endpoints on a ring."""
    maglev: MagLev | None = None
    """Places endpoints in a table, as Maglev does."""
    minimum_ring_size: UInt64 = 0
    """Deprecated: use ringHash.minimumRingSize."""


class Distribute(Struct, frozen=True, kw_only=True, rename="camel", omit_defaults=True):
    """How the requests of one locality are shared out."""

    from_: str = field(default="", name="from")
    """Where the client is, as REGION/ZONE/SUBZONE; * at the end stands for any."""
    to: dict[str, UInt32] = {}
    """Where its requests go: localities with their shares in percent, which add up to 100."""


class Failover(Struct, frozen=True, kw_only=True, rename="camel", omit_defaults=True):
    """Which region takes over from which."""

    from_: str = field(default="", name="from")
    """The region whose endpoints have failed."""
    to: str = ""
    """The region that takes over."""


class LocalityLoadBalancerSetting(Struct, frozen=True, kw_only=True, rename="camel", omit_defaults=True):
    """How the localities of client and endpoints count."""

    distribute: tuple[Distribute, ...] = ()
    """How requests are shared out among localities; excludes failover."""
    failover: tuple[Failover, ...] = ()
    """Which region takes over from which."""
    failover_priority: tuple[str, ...] = ()
    """Labels by which endpoints that are like the client come first, as KEY or KEY=VALUE."""
    enabled: bool | None = None
    """Whether localities count; left out: as MeshConfig says."""


class ZoneAwareLoadBalancerSetting(Struct, frozen=True, kw_only=True, rename="camel", omit_defaults=True):
    """How the zones of client and endpoints count."""

    enabled: bool | None = None
    """Whether requests stay in the client's zone as far as its endpoints suffice."""
    failover: tuple[Failover, ...] = ()
    """Which region takes over from which."""
    failover_priority: tuple[str, ...] = ()
    """Labels by which endpoints that are like the client come first."""
    min_cluster_size: UInt64 | None = None
    """How many endpoints there must be for zones to count."""


class Warmup(Struct, frozen=True, kw_only=True, rename="camel", omit_defaults=True):
    """How new endpoints come to their share of the traffic."""

    duration: str
    """How long a new endpoint gets less traffic than the others."""
    minimum_percent: float | None = None
    """With how much of its share it begins; left out: 10."""
    aggression: float | None = None
    """How its share grows: 1 is linear, more is slower at first."""


class LoadBalancerSettings(Struct, frozen=True, kw_only=True, rename="camel", omit_defaults=True):
    """How the endpoint of a request is chosen."""

    simple: SimpleLoadBalancer | None = None
    """LEAST_REQUEST, the default, RANDOM, ROUND_ROBIN, or PASSTHROUGH to the address that was asked for."""
    consistent_hash: ConsistentHash | None = None
    """Requests that are alike in something go to the same endpoint; excludes simple."""
    locality_lb_setting: LocalityLoadBalancerSetting | None = None
    """How localities count."""
    zone_aware_lb_setting: ZoneAwareLoadBalancerSetting | None = None
    """How zones count; excludes localityLbSetting."""
    warmup_duration_secs: str | None = None
    """Deprecated: use warmup."""
    warmup: Warmup | None = None
    """How new endpoints come to their share of the traffic."""


class TcpKeepalive(Struct, frozen=True, kw_only=True, rename="camel", omit_defaults=True):
    """How connections that are idle are probed."""

    probes: UInt32 = 0
    """After how many probes without an answer a connection is dead."""
    time: str | None = None
    """How long a connection is idle before it is probed."""
    interval: str | None = None
    """How long after one probe the next is sent."""


class TCPSettings(Struct, frozen=True, kw_only=True, rename="camel", omit_defaults=True):
    """What holds for all connections to a destination."""

    max_connections: Int32 = 0
    """How many connections there are at most to the whole destination, from each proxy."""
    connect_timeout: str | None = None
    """How long connecting may take; left out: 10s."""
    tcp_keepalive: TcpKeepalive | None = None
    """How connections that are idle are probed."""
    max_connection_duration: str | None = None
    """How long a connection lives at most; left out: without end."""
    idle_timeout: str | None = None
    """How long a connection may be idle; 0s: without end; left out: 1h."""


class H2UpgradePolicy(StrEnum):
    DEFAULT = "DEFAULT"
    DO_NOT_UPGRADE = "DO_NOT_UPGRADE"
    UPGRADE = "UPGRADE"


class ConnectionKeepalive(Struct, frozen=True, kw_only=True, rename="camel", omit_defaults=True):
    """How HTTP/2 connections are probed."""

    interval: str | None = None
    """How long after one ping the next is sent."""
    timeout: str | None = None
    """How long an answer may take before the connection is closed."""


class HTTPSettings(Struct, frozen=True, kw_only=True, rename="camel", omit_defaults=True):
    """What holds for HTTP to a destination."""

    http1_max_pending_requests: Int32 = 0
    """How many requests may wait for a connection."""
    http2_max_requests: Int32 = 0
    """How many requests may be under way at once."""
    max_requests_per_connection: Int32 = 0
    """After how many requests a connection is closed; 1: no keep-alive."""
    max_retries: Int32 = 0
    """How many retries may be under way at once."""
    idle_timeout: str | None = None
    """How long a connection may be without requests; left out: 1h."""
    h2_upgrade_policy: H2UpgradePolicy = H2UpgradePolicy.DEFAULT
    """Whether plain HTTP/1.1 becomes HTTP/2 on its way: DEFAULT is as MeshConfig says."""
    use_client_protocol: bool = False
    """Whether requests go on in the protocol that they came in."""
    max_concurrent_streams: Int32 = 0
    """How many requests one HTTP/2 connection has at once."""
    http2_keep_alive: ConnectionKeepalive | None = None
    """How HTTP/2 connections are probed."""


class ConnectionPoolSettings(Struct, frozen=True, kw_only=True, rename="camel", omit_defaults=True):
    """How much of a destination may be used at once."""

    tcp: TCPSettings | None = None
    """What holds for all connections."""
    http: HTTPSettings | None = None
    """What holds for HTTP."""


class OutlierDetection(Struct, frozen=True, kw_only=True, rename="camel", omit_defaults=True):
    """Which endpoints get no traffic for a while, since they fail."""

    consecutive_errors: Int32 = 0
    """Deprecated: use consecutiveGatewayErrors or consecutive5xxErrors."""
    split_external_local_origin_errors: bool = False
    """Whether failures to connect are counted apart from those that endpoints answer with."""
    consecutive_local_origin_failures: UInt32 | None = None
    """After how many failures to connect in a row an endpoint is ejected; needs
    splitExternalLocalOriginErrors."""
    consecutive_gateway_errors: UInt32 | None = None
    """After how many of 502, 503 and 504 in a row an endpoint is ejected."""
    consecutive_5xx_errors: UInt32 | None = field(default=None, name="consecutive5xxErrors")
    """After how many of 5xx in a row an endpoint is ejected; left out: 5, 0: never."""
    interval: str | None = None
    """How often it is looked whether endpoints are to be ejected; left out: 10s."""
    base_ejection_time: str | None = None
    """How long an endpoint is ejected, times how often it was; left out: 30s."""
    max_ejection_percent: Int32 = 0
    """How much of the endpoints may be ejected at once; left out: 10."""
    min_health_percent: Int32 = 0
    """Below how much of healthy endpoints none is ejected."""
    outlier_detection_http_error_codes: tuple[HttpErrorCode, ...] = ()
    """The statuses that count, in place of 5xx."""


class ClientTLSMode(StrEnum):
    DISABLE = "DISABLE"
    SIMPLE = "SIMPLE"
    MUTUAL = "MUTUAL"
    ISTIO_MUTUAL = "ISTIO_MUTUAL"


class ClientTLSSettings(Struct, frozen=True, kw_only=True, rename="camel", omit_defaults=True):
    """How a client speaks TLS."""

    mode: ClientTLSMode = ClientTLSMode.DISABLE
    """DISABLE sends plain text, SIMPLE speaks TLS, MUTUAL shows a certificate, ISTIO_MUTUAL the mesh's."""
    client_certificate: str = ""
    """The file with the certificate that is shown."""
    private_key: str = ""
    """The file with its private key."""
    ca_certificates: str = ""
    """The file with the authorities that the server's certificate is verified by."""
    credential_name: str = ""
    """The Secret with certificate, key and authorities, in place of files."""
    subject_alt_names: tuple[str, ...] = ()
    """The names that the server's certificate may have; none: any."""
    sni: str = ""
    """The name that the server is asked by; left out: the host."""
    insecure_skip_verify: bool | None = None
    """Whether the server's certificate is taken unverified."""
    ca_crl: str = ""
    """The file with the server certificates that were revoked."""


class PortTrafficPolicy(Struct, frozen=True, kw_only=True, rename="camel", omit_defaults=True):
    """Replaces the whole policy for one port: nothing is inherited."""

    port: PortSelector | None = None
    """The port that it is for."""
    load_balancer: LoadBalancerSettings | None = None
    """How endpoints are chosen."""
    connection_pool: ConnectionPoolSettings | None = None
    """How much of the destination may be used at once."""
    outlier_detection: OutlierDetection | None = None
    """Which endpoints get no traffic for a while."""
    tls: ClientTLSSettings | None = None
    """How TLS is spoken to the destination."""


class TunnelSettings(Struct, frozen=True, kw_only=True, rename="camel", omit_defaults=True):
    """A tunnel through the destination."""

    protocol: str = ""
    """How the tunnel is asked for: CONNECT, the default, or POST."""
    target_host: str
    """The host that the tunnel leads to."""
    target_port: UInt32
    """The port that the tunnel leads to."""


class ProxyProtocolVersion(StrEnum):
    V1 = "V1"
    V2 = "V2"


class ProxyProtocol(Struct, frozen=True, kw_only=True, rename="camel", omit_defaults=True):
    """The header of the PROXY protocol."""

    version: ProxyProtocolVersion = ProxyProtocolVersion.V1
    """V1 or V2."""


class RetryBudget(Struct, frozen=True, kw_only=True, rename="camel", omit_defaults=True):
    """How many retries there may be at once."""

    percent: float | None = None
    """How much of the requests that are under way may be retries; left out: 20."""
    min_retry_concurrency: UInt32 | None = None
    """How many retries may be under way in any case; left out: 3."""
    budget_interval: str | None = None
    """Over how long requests are counted; left out: those that are under way."""


class TrafficPolicy(Struct, frozen=True, kw_only=True, rename="camel", omit_defaults=True):
    """What holds for traffic to a service, once it is chosen."""

    load_balancer: LoadBalancerSettings | None = None
    """How endpoints are chosen."""
    connection_pool: ConnectionPoolSettings | None = None
    """How much of the destination may be used at once."""
    outlier_detection: OutlierDetection | None = None
    """Which endpoints get no traffic for a while."""
    tls: ClientTLSSettings | None = None
    """How TLS is spoken to the destination."""
    port_level_settings: tuple[PortTrafficPolicy, ...] = ()
    """What holds for single ports, in place of all the above."""
    tunnel: TunnelSettings | None = None
    """The tunnel through the destination that connections are sent through."""
    proxy_protocol: ProxyProtocol | None = None
    """The header that tells the destination who connects; excludes tunnel."""
    retry_budget: RetryBudget | None = None
    """How many retries there may be."""


class Subset(Struct, frozen=True, kw_only=True, rename="camel", omit_defaults=True):
    """A part of a service: the endpoints with certain labels."""

    name: str
    """The name of the subset, by which routes name it."""
    labels: dict[str, str] = {}
    """The labels of the endpoints that are in it, ALL of them."""
    traffic_policy: TrafficPolicy | None = None
    """What holds for it beside, or in place of, the rule's own."""


class DestinationRuleSpec(Struct, frozen=True, kw_only=True, rename="camel", omit_defaults=True):
    """Which service, and what holds for traffic to it."""

    host: str
    """The service, as the registry knows it; a short name stands for one in the namespace of the rule."""
    traffic_policy: TrafficPolicy | None = None
    """What holds for all of the service."""
    subsets: tuple[Subset, ...] = ()
    """Parts of the service that have names."""
    export_to: tuple[str, ...] = ()
    """The namespaces whose clients it holds for: * all, . its own, or names; none given: all."""
    workload_selector: WorkloadSelector | None = None
    """The clients of its own namespace that it holds for; left out: all."""


class DestinationRule(Object, frozen=True, kw_only=True, rename="camel", omit_defaults=True):
    """What holds for traffic to a service once it is chosen: balancing, limits, TLS; and the names of its parts."""

    spec: DestinationRuleSpec
    """Which service, and what holds for traffic to it."""
    status: Status = Status()
    """What the control plane has found about the object; written by it."""
