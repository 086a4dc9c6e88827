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
    name: str
    value: str = ""


class HTTPCookie(Struct, frozen=True, kw_only=True, rename="camel", omit_defaults=True):
    name: str
    path: str = ""
    ttl: str | None = None  # None: the cookie must be there; 0s: a session cookie
    attributes: tuple[CookieAttribute, ...] = ()


class RingHash(Struct, frozen=True, kw_only=True, rename="camel", omit_defaults=True):
    minimum_ring_size: UInt64 = 0


class MagLev(Struct, frozen=True, kw_only=True, rename="camel", omit_defaults=True):
    table_size: UInt64 = 0


class ConsistentHash(Struct, frozen=True, kw_only=True, rename="camel", omit_defaults=True):
    """One of the first four says what is hashed; at most one of `ring_hash`, `maglev` how."""

    http_header_name: str | None = None
    http_cookie: HTTPCookie | None = None
    use_source_ip: bool | None = None
    http_query_parameter_name: str | None = None
    ring_hash: RingHash | None = None
    maglev: MagLev | None = None
    minimum_ring_size: UInt64 = 0  # deprecated


class Distribute(Struct, frozen=True, kw_only=True, rename="camel", omit_defaults=True):
    from_: str = field(default="", name="from")
    to: dict[str, UInt32] = {}


class Failover(Struct, frozen=True, kw_only=True, rename="camel", omit_defaults=True):
    from_: str = field(default="", name="from")
    to: str = ""


class LocalityLoadBalancerSetting(Struct, frozen=True, kw_only=True, rename="camel", omit_defaults=True):
    distribute: tuple[Distribute, ...] = ()
    failover: tuple[Failover, ...] = ()
    failover_priority: tuple[str, ...] = ()
    enabled: bool | None = None


class ZoneAwareLoadBalancerSetting(Struct, frozen=True, kw_only=True, rename="camel", omit_defaults=True):
    enabled: bool | None = None
    failover: tuple[Failover, ...] = ()
    failover_priority: tuple[str, ...] = ()
    min_cluster_size: UInt64 | None = None


class Warmup(Struct, frozen=True, kw_only=True, rename="camel", omit_defaults=True):
    duration: str
    minimum_percent: float | None = None  # None: 10
    aggression: float | None = None  # None: 1


class LoadBalancerSettings(Struct, frozen=True, kw_only=True, rename="camel", omit_defaults=True):
    simple: SimpleLoadBalancer | None = None
    consistent_hash: ConsistentHash | None = None
    locality_lb_setting: LocalityLoadBalancerSetting | None = None
    zone_aware_lb_setting: ZoneAwareLoadBalancerSetting | None = None
    warmup_duration_secs: str | None = None  # deprecated
    warmup: Warmup | None = None


class TcpKeepalive(Struct, frozen=True, kw_only=True, rename="camel", omit_defaults=True):
    probes: UInt32 = 0
    time: str | None = None
    interval: str | None = None


class TCPSettings(Struct, frozen=True, kw_only=True, rename="camel", omit_defaults=True):
    max_connections: Int32 = 0
    connect_timeout: str | None = None
    tcp_keepalive: TcpKeepalive | None = None
    max_connection_duration: str | None = None
    idle_timeout: str | None = None  # 0s: none


class H2UpgradePolicy(StrEnum):
    DEFAULT = "DEFAULT"
    DO_NOT_UPGRADE = "DO_NOT_UPGRADE"
    UPGRADE = "UPGRADE"


class ConnectionKeepalive(Struct, frozen=True, kw_only=True, rename="camel", omit_defaults=True):
    interval: str | None = None
    timeout: str | None = None


class HTTPSettings(Struct, frozen=True, kw_only=True, rename="camel", omit_defaults=True):
    http1_max_pending_requests: Int32 = 0
    http2_max_requests: Int32 = 0
    max_requests_per_connection: Int32 = 0
    max_retries: Int32 = 0
    idle_timeout: str | None = None
    h2_upgrade_policy: H2UpgradePolicy = H2UpgradePolicy.DEFAULT
    use_client_protocol: bool = False
    max_concurrent_streams: Int32 = 0
    http2_keep_alive: ConnectionKeepalive | None = None


class ConnectionPoolSettings(Struct, frozen=True, kw_only=True, rename="camel", omit_defaults=True):
    tcp: TCPSettings | None = None
    http: HTTPSettings | None = None


class OutlierDetection(Struct, frozen=True, kw_only=True, rename="camel", omit_defaults=True):
    consecutive_errors: Int32 = 0  # deprecated
    split_external_local_origin_errors: bool = False
    consecutive_local_origin_failures: UInt32 | None = None
    consecutive_gateway_errors: UInt32 | None = None
    consecutive_5xx_errors: UInt32 | None = field(default=None, name="consecutive5xxErrors")
    interval: str | None = None
    base_ejection_time: str | None = None
    max_ejection_percent: Int32 = 0
    min_health_percent: Int32 = 0
    outlier_detection_http_error_codes: tuple[HttpErrorCode, ...] = ()  # instead of the 5xx


class ClientTLSMode(StrEnum):
    DISABLE = "DISABLE"
    SIMPLE = "SIMPLE"
    MUTUAL = "MUTUAL"
    ISTIO_MUTUAL = "ISTIO_MUTUAL"


class ClientTLSSettings(Struct, frozen=True, kw_only=True, rename="camel", omit_defaults=True):
    mode: ClientTLSMode = ClientTLSMode.DISABLE
    client_certificate: str = ""
    private_key: str = ""
    ca_certificates: str = ""
    credential_name: str = ""
    subject_alt_names: tuple[str, ...] = ()
    sni: str = ""
    insecure_skip_verify: bool | None = None
    ca_crl: str = ""


class PortTrafficPolicy(Struct, frozen=True, kw_only=True, rename="camel", omit_defaults=True):
    """Replaces the whole policy for one port: nothing is inherited."""

    port: PortSelector | None = None
    load_balancer: LoadBalancerSettings | None = None
    connection_pool: ConnectionPoolSettings | None = None
    outlier_detection: OutlierDetection | None = None
    tls: ClientTLSSettings | None = None


class TunnelSettings(Struct, frozen=True, kw_only=True, rename="camel", omit_defaults=True):
    protocol: str = ""  # CONNECT (default) | POST
    target_host: str
    target_port: UInt32


class ProxyProtocolVersion(StrEnum):
    V1 = "V1"
    V2 = "V2"


class ProxyProtocol(Struct, frozen=True, kw_only=True, rename="camel", omit_defaults=True):
    version: ProxyProtocolVersion = ProxyProtocolVersion.V1


class RetryBudget(Struct, frozen=True, kw_only=True, rename="camel", omit_defaults=True):
    percent: float | None = None
    min_retry_concurrency: UInt32 | None = None
    budget_interval: str | None = None


class TrafficPolicy(Struct, frozen=True, kw_only=True, rename="camel", omit_defaults=True):
    load_balancer: LoadBalancerSettings | None = None
    connection_pool: ConnectionPoolSettings | None = None
    outlier_detection: OutlierDetection | None = None
    tls: ClientTLSSettings | None = None
    port_level_settings: tuple[PortTrafficPolicy, ...] = ()
    tunnel: TunnelSettings | None = None
    proxy_protocol: ProxyProtocol | None = None
    retry_budget: RetryBudget | None = None


class Subset(Struct, frozen=True, kw_only=True, rename="camel", omit_defaults=True):
    name: str
    labels: dict[str, str] = {}
    traffic_policy: TrafficPolicy | None = None


class DestinationRuleSpec(Struct, frozen=True, kw_only=True, rename="camel", omit_defaults=True):
    host: str
    traffic_policy: TrafficPolicy | None = None
    subsets: tuple[Subset, ...] = ()
    export_to: tuple[str, ...] = ()
    workload_selector: WorkloadSelector | None = None


class DestinationRule(Object, frozen=True, kw_only=True, rename="camel", omit_defaults=True):
    spec: DestinationRuleSpec
    status: Status = Status()
