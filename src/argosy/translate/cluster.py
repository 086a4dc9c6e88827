"""Clusters: where connections to a destination go, how they are made, encrypted, limited and balanced.

Defaults are Istio's: connect time-out 10 s, LEAST_REQUEST, every circuit breaker 2^32-1 (Envoy's own default of 3
concurrent retries fails requests under load), panic threshold 0.
"""

from __future__ import annotations

from enum import StrEnum

from envoy.config.cluster.v3 import circuit_breaker_pb2, cluster_pb2, outlier_detection_pb2
from envoy.config.core.v3 import address_pb2, base_pb2, protocol_pb2, proxy_protocol_pb2
from envoy.config.endpoint.v3 import endpoint_components_pb2, endpoint_pb2
from envoy.extensions.clusters.common.dns.v3 import dns_pb2
from envoy.extensions.clusters.dns.v3 import dns_cluster_pb2
from envoy.extensions.transport_sockets.proxy_protocol.v3 import upstream_proxy_protocol_pb2
from envoy.extensions.upstreams.http.v3 import http_protocol_options_pb2
from envoy.type.v3 import percent_pb2
from google.protobuf import any_pb2, struct_pb2
from msgspec import Struct
from msgspec.structs import replace

from argosy.model.ir import (
    ClientTls,
    ConnectionPool,
    LoadBalancer,
    Mesh,
    OutlierDetection,
    RetryBudget,
    TlsParameters,
    TrafficPolicy,
    Warmup,
    WorkloadPort,
)
from argosy.translate import names, tls, wire
from argosy.translate.endpoint import EndpointKey, LocalityKey, locality
from argosy.translate.filters import forward_proxy
from argosy.translate.generator import field, generator


class Discovery(StrEnum):
    """How a cluster finds its endpoints."""

    EDS = "EDS"
    STATIC = "STATIC"
    STRICT_DNS = "STRICT_DNS"
    LOGICAL_DNS = "LOGICAL_DNS"
    ORIGINAL_DST = "ORIGINAL_DST"
    FORWARD_PROXY = "FORWARD_PROXY"  # by the request's authority, resolved by the proxy
    INTERNAL = "INTERNAL"  # an internal listener of the same Envoy


class Application(StrEnum):
    """What is spoken to the endpoints."""

    TCP = "TCP"
    HTTP1 = "HTTP1"
    HTTP2 = "HTTP2"
    DOWNSTREAM = "DOWNSTREAM"  # whatever the client spoke


class Encryption(StrEnum):
    """Who decides whether a connection is encrypted."""

    NEVER = "NEVER"
    ALWAYS = "ALWAYS"
    PER_ENDPOINT = "PER_ENDPOINT"  # automatic mutual TLS: the endpoint's metadata


class Zones(Struct, frozen=True, kw_only=True):
    """Whether requests stay in the client's zone as far as its endpoints suffice."""

    aware: bool = True
    minimum: int | None = None  # endpoints that there must be; None: as Envoy has it, 6


class ClusterKey(Struct, frozen=True, kw_only=True):
    name: str
    discovery: Discovery
    application: Application = Application.TCP
    connect_timeout: int = 10_000
    policy: TrafficPolicy = TrafficPolicy()
    encryption: Encryption = Encryption.NEVER
    tls: tls.MeshTls | ClientTls | None = None
    service: str = ""  # the host that telemetry names
    load: tuple[LocalityKey, ...] = ()  # endpoints, where they are not discovered
    by_locality: bool = False  # whether localities have weights of their own
    zones: Zones | None = None  # where they have none: None says nothing of zones
    listener: str = ""  # INTERNAL: its name
    source_address: str = ""  # what connections bind to
    tls_parameters: TlsParameters = TlsParameters()  # of TLS that a DestinationRule originates
    statistics: str = ""  # what it is counted as; "": by its name
    dns_refresh_rate: int = 60_000  # by DNS: where an answer has no time to live
    buffer: int | None = None  # bytes of one connection; None: as Envoy
    preserve_case: bool = False  # of the names of HTTP/1 headers

    @property
    def follow(self) -> str | None:
        return self.name if self.discovery is Discovery.EDS else None

    @property
    def secrets(self) -> tuple[str, ...]:
        return tls.originated_secrets(self.tls) if isinstance(self.tls, ClientTls) else ()


_BALANCERS = {
    LoadBalancer.LEAST_REQUEST: cluster_pb2.Cluster.LEAST_REQUEST,
    LoadBalancer.ROUND_ROBIN: cluster_pb2.Cluster.ROUND_ROBIN,
    LoadBalancer.RANDOM: cluster_pb2.Cluster.RANDOM,
    LoadBalancer.PASSTHROUGH: cluster_pb2.Cluster.CLUSTER_PROVIDED,
    LoadBalancer.RING_HASH: cluster_pb2.Cluster.RING_HASH,
    LoadBalancer.MAGLEV: cluster_pb2.Cluster.MAGLEV,
}
MINIMUM_RING_SIZE = 1024  # Istio's and Envoy's default
HTTP2_PING_TIMEOUT = 20_000  # Envoy has no default of its own here and wants one; gRPC's


@generator
def cluster(key: ClusterKey) -> cluster_pb2.Cluster:
    out = cluster_pb2.Cluster(
        name=key.name,
        connect_timeout=wire.milliseconds(key.policy.connection_pool.connect_timeout or key.connect_timeout),
        circuit_breakers=circuit_breakers(key.policy),
        alt_stat_name=key.statistics,
    )
    if key.buffer is not None:
        out.per_connection_buffer_limit_bytes.value = key.buffer
    _discover(key, out)
    _balance(key, out)
    _encrypt(key, out)
    _connect(key, out)
    if (outlier := key.policy.outlier) is not None:
        out.outlier_detection.CopyFrom(outlier_detection(outlier))
    if (options := protocol_options(key)) is not None:
        out.typed_extension_protocol_options[
            "envoy.extensions.upstreams.http.v3.HttpProtocolOptions"
        ].CopyFrom(options)
    if key.service:
        out.metadata.CopyFrom(wire.metadata("argosy", {"service": key.service}))
    return out


def circuit_breakers(policy: TrafficPolicy) -> circuit_breaker_pb2.CircuitBreakers:
    def limit(value: int | None) -> int:
        return wire.UNLIMITED if value is None else value

    pool = policy.connection_pool
    out = circuit_breaker_pb2.CircuitBreakers(
        thresholds=[
            circuit_breaker_pb2.CircuitBreakers.Thresholds(
                max_connections=wire.uint32(limit(pool.max_connections)),
                max_pending_requests=wire.uint32(limit(pool.http1_max_pending_requests)),
                max_requests=wire.uint32(limit(pool.http2_max_requests)),
                max_retries=wire.uint32(limit(pool.max_retries)),
                track_remaining=True,
            )
        ]
    )
    if policy.retry_budget is not None:
        out.thresholds[0].retry_budget.CopyFrom(_retry_budget(policy.retry_budget))
    return out


def _retry_budget(budget: RetryBudget) -> circuit_breaker_pb2.CircuitBreakers.Thresholds.RetryBudget:
    out = circuit_breaker_pb2.CircuitBreakers.Thresholds.RetryBudget()
    if budget.percent is not None:
        out.budget_percent.value = budget.percent
    if budget.minimum is not None:
        out.min_retry_concurrency.value = budget.minimum
    if budget.interval is not None:
        # Envoy 1.40: RetryBudget.budget_interval = 3, newer than our protobuf classes, which keep unknown fields.
        interval = wire.milliseconds(budget.interval).SerializeToString(deterministic=True)
        out.MergeFromString(field(3, interval))
    return out


def outlier_detection(outlier: OutlierDetection) -> outlier_detection_pb2.OutlierDetection:
    """Istio enforces exactly what is set: 0 switches a detector off, success rates are never enforced."""
    out = outlier_detection_pb2.OutlierDetection(enforcing_success_rate=wire.uint32(0))
    if (count := outlier.consecutive_5xx) is not None:
        out.consecutive_5xx.value = count
        out.enforcing_consecutive_5xx.value = 100 if count else 0
    if (count := outlier.consecutive_gateway) is not None:
        out.consecutive_gateway_failure.value = count
        out.enforcing_consecutive_gateway_failure.value = 100 if count else 0
    if outlier.interval is not None:
        out.interval.CopyFrom(wire.milliseconds(outlier.interval))
    if outlier.base_ejection_time is not None:
        out.base_ejection_time.CopyFrom(wire.milliseconds(outlier.base_ejection_time))
    if outlier.max_ejection_percent:
        out.max_ejection_percent.value = outlier.max_ejection_percent
    if outlier.split_external_local_origin:
        out.split_external_local_origin_errors = True
        out.enforcing_local_origin_success_rate.value = 0
        if outlier.consecutive_local_origin:
            out.consecutive_local_origin_failure.value = outlier.consecutive_local_origin
            out.enforcing_consecutive_local_origin_failure.value = 100
    return out


def protocol_options(key: ClusterKey) -> any_pb2.Any | None:
    """Envoy: upstreams.http.v3.HttpProtocolOptions. A cluster for TCP has them only where a limit needs them."""
    pool = key.policy.connection_pool
    options = http_protocol_options_pb2.HttpProtocolOptions()
    common = options.common_http_protocol_options
    if pool.idle_timeout is not None:
        common.idle_timeout.CopyFrom(wire.milliseconds(pool.idle_timeout))
    if pool.max_requests_per_connection:
        common.max_requests_per_connection.value = pool.max_requests_per_connection
    if pool.max_connection_duration is not None:
        common.max_connection_duration.CopyFrom(wire.milliseconds(pool.max_connection_duration))
    http2 = protocol_pb2.Http2ProtocolOptions(allow_connect=True)
    if pool.max_concurrent_streams:
        http2.max_concurrent_streams.value = pool.max_concurrent_streams
    if (pings := pool.http2_keepalive) is not None:
        http2.connection_keepalive.interval.CopyFrom(wire.milliseconds(pings.interval))
        timeout = HTTP2_PING_TIMEOUT if pings.timeout is None else pings.timeout
        http2.connection_keepalive.timeout.CopyFrom(wire.milliseconds(timeout))
    http1 = protocol_pb2.Http1ProtocolOptions()
    if key.preserve_case:
        http1.header_key_format.CopyFrom(wire.preserved_case())
    match key.application:
        case Application.HTTP2:
            options.explicit_http_config.http2_protocol_options.CopyFrom(http2)
        case Application.DOWNSTREAM:
            options.use_downstream_protocol_config.http_protocol_options.CopyFrom(http1)
            options.use_downstream_protocol_config.http2_protocol_options.CopyFrom(http2)
        case Application.HTTP1:
            options.explicit_http_config.http_protocol_options.CopyFrom(http1)
        case Application.TCP:
            if not common.ListFields() and key.discovery is not Discovery.FORWARD_PROXY:
                return None
            options.explicit_http_config.http_protocol_options.SetInParent()
    if key.policy.outlier is not None and key.policy.outlier.http_codes:
        # Envoy: what matches counts as an error in place of the 5xx.
        matched = options.outlier_detection.error_matcher.http_response_headers_match.headers.add(
            name=":status"
        )
        matched.string_match.safe_regex.regex = "|".join(map(str, key.policy.outlier.http_codes))
    if key.discovery is Discovery.FORWARD_PROXY:
        # Envoy wants both of every such cluster, with TLS or without, unless it is told what is meant.
        options.upstream_http_protocol_options.auto_sni = not _names_otherwise(key)
        options.upstream_http_protocol_options.auto_san_validation = not _verifies_otherwise(key)
    elif isinstance(key.tls, ClientTls) and not key.tls.sni:
        # Istio: without an SNI the request's authority is the name asked for and verified.
        options.upstream_http_protocol_options.auto_sni = True
        options.upstream_http_protocol_options.auto_san_validation = not _verifies_otherwise(key)
    return wire.pack(options)


def _names_otherwise(key: ClusterKey) -> bool:
    """Whether a server is asked for by a name that is written."""
    return isinstance(key.tls, ClientTls) and bool(key.tls.sni)


def _verifies_otherwise(key: ClusterKey) -> bool:
    """Whether a server proves other names than the one asked for, or none."""
    tls = key.tls
    return isinstance(tls, ClientTls) and bool(tls.subject_alt_names or tls.insecure_skip_verify)


def _discover(key: ClusterKey, out: cluster_pb2.Cluster) -> None:
    match key.discovery:
        case Discovery.EDS:
            out.type = cluster_pb2.Cluster.EDS
            out.eds_cluster_config.eds_config.CopyFrom(wire.ads())
            out.eds_cluster_config.service_name = key.name
        case Discovery.STATIC:
            out.type = cluster_pb2.Cluster.STATIC
        case Discovery.STRICT_DNS | Discovery.LOGICAL_DNS:
            out.cluster_type.name = "envoy.cluster.dns"
            out.cluster_type.typed_config.CopyFrom(wire.pack(_dns(key)))
        case Discovery.ORIGINAL_DST:
            out.type = cluster_pb2.Cluster.ORIGINAL_DST
        case Discovery.FORWARD_PROXY:
            out.cluster_type.name = "envoy.clusters.dynamic_forward_proxy"
            proven = forward_proxy.Verification
            config = forward_proxy.cluster_config(
                proven.AS_WRITTEN if _verifies_otherwise(key) or _names_otherwise(key) else proven.OF_THE_HOST
            )
            out.cluster_type.typed_config.CopyFrom(config)
        case Discovery.INTERNAL:
            out.type = cluster_pb2.Cluster.STATIC
            endpoint = endpoint_components_pb2.Endpoint(address=wire.internal_address(key.listener))
            out.load_assignment.cluster_name = key.name
            out.load_assignment.endpoints.add().lb_endpoints.add(endpoint=endpoint)
    if key.discovery in (Discovery.STATIC, Discovery.STRICT_DNS, Discovery.LOGICAL_DNS):
        out.load_assignment.CopyFrom(
            endpoint_pb2.ClusterLoadAssignment(
                cluster_name=key.name, endpoints=[locality(group) for group in key.load]
            )
        )


def _dns(key: ClusterKey) -> dns_cluster_pb2.DnsCluster:
    """Envoy: what `type: STRICT_DNS` and `LOGICAL_DNS` with their deprecated fields now are."""
    return dns_cluster_pb2.DnsCluster(
        dns_lookup_family=dns_pb2.V4_PREFERRED,
        respect_dns_ttl=True,
        # Envoy refuses this without exactly one endpoint; where there is none there is nothing to resolve.
        all_addresses_in_single_endpoint=key.discovery is Discovery.LOGICAL_DNS and bool(key.load),
        dns_refresh_rate=wire.milliseconds(key.dns_refresh_rate),
    )


def _balance(key: ClusterKey, out: cluster_pb2.Cluster) -> None:
    if key.discovery in (Discovery.ORIGINAL_DST, Discovery.FORWARD_PROXY):
        out.lb_policy = cluster_pb2.Cluster.CLUSTER_PROVIDED
        return
    policy = key.policy
    balancer = policy.load_balancer
    if balancer is LoadBalancer.PASSTHROUGH:
        # Only an ORIGINAL_DST cluster provides its own balancer; endpoints we list are balanced as by default.
        balancer = LoadBalancer.LEAST_REQUEST
    out.lb_policy = _BALANCERS[balancer]
    panic = policy.outlier.min_health_percent if policy.outlier else 0
    out.common_lb_config.healthy_panic_threshold.CopyFrom(percent_pb2.Percent(value=panic))
    if key.by_locality:
        out.common_lb_config.locality_weighted_lb_config.SetInParent()
    elif key.zones is not None:
        zones = out.common_lb_config.zone_aware_lb_config
        zones.SetInParent()
        if not key.zones.aware:
            zones.routing_enabled.value = 0
        if key.zones.minimum is not None:
            zones.min_cluster_size.value = key.zones.minimum
    if balancer is LoadBalancer.RING_HASH:
        size = policy.minimum_ring_size or MINIMUM_RING_SIZE
        out.ring_hash_lb_config.minimum_ring_size.value = size
    if balancer is LoadBalancer.MAGLEV and policy.maglev_table_size:
        out.maglev_lb_config.table_size.value = policy.maglev_table_size
    if policy.warmup:
        if balancer is LoadBalancer.LEAST_REQUEST:
            out.least_request_lb_config.slow_start_config.CopyFrom(_slow_start(policy.warmup))
        elif balancer is LoadBalancer.ROUND_ROBIN:
            out.round_robin_lb_config.slow_start_config.CopyFrom(_slow_start(policy.warmup))


def _slow_start(warmup: Warmup) -> cluster_pb2.Cluster.SlowStartConfig:
    out = cluster_pb2.Cluster.SlowStartConfig(slow_start_window=wire.milliseconds(warmup.window))
    if warmup.minimum_percent is not None:
        out.min_weight_percent.value = warmup.minimum_percent
    if warmup.aggression is not None:
        # Envoy wants the name of a runtime key beside the value; nothing sets it.
        out.aggression.default_value = warmup.aggression
        out.aggression.runtime_key = "argosy.slow_start.aggression"
    return out


def _encrypt(key: ClusterKey, out: cluster_pb2.Cluster) -> None:
    version = key.policy.proxy_protocol
    if key.encryption is Encryption.NEVER or key.tls is None:
        if version:
            out.transport_socket.CopyFrom(_announced(version, tls.plaintext()))
        return
    if isinstance(key.tls, ClientTls):
        alpn = ("h2",) if key.application is Application.HTTP2 else ()
        socket = tls.originate(key.tls, alpn, key.tls_parameters)
    else:
        socket = tls.mesh_client(key.tls)
    if key.encryption is Encryption.ALWAYS:
        out.transport_socket.CopyFrom(_announced(version, socket))
        return
    match = struct_pb2.Struct()
    match.update({"tlsMode": "istio"})
    out.transport_socket_matches.add(
        name="tlsMode-istio", match=match, transport_socket=_announced(version, socket)
    )
    out.transport_socket_matches.add(
        name="tlsMode-disabled",
        match=struct_pb2.Struct(),
        transport_socket=_announced(version, tls.plaintext()),
    )


def _announced(version: str, socket: base_pb2.TransportSocket) -> base_pb2.TransportSocket:
    """`socket`, with a PROXY protocol header before its first byte; "" is none."""
    if not version:
        return socket
    config = upstream_proxy_protocol_pb2.ProxyProtocolUpstreamTransport(
        config=proxy_protocol_pb2.ProxyProtocolConfig(
            version=proxy_protocol_pb2.ProxyProtocolConfig.Version.Value(version)
        ),
        transport_socket=socket,
    )
    return base_pb2.TransportSocket(
        name="envoy.transport_sockets.upstream_proxy_protocol", typed_config=wire.pack(config)
    )


def _connect(key: ClusterKey, out: cluster_pb2.Cluster) -> None:
    if (keepalive := key.policy.connection_pool.keepalive) is not None:
        target = out.upstream_connection_options.tcp_keepalive
        target.SetInParent()
        if keepalive.probes is not None:
            target.keepalive_probes.value = keepalive.probes
        if keepalive.time is not None:
            target.keepalive_time.value = keepalive.time // 1000
        if keepalive.interval is not None:
            target.keepalive_interval.value = keepalive.interval // 1000
    if key.source_address:
        out.upstream_bind_config.source_address.CopyFrom(
            address_pb2.SocketAddress(address=key.source_address, port_value=0)
        )


def passthrough(discovery: Discovery, connect_timeout: int) -> ClusterKey:
    """Where requests to unknown hosts go: to where the client wanted."""
    return ClusterKey(
        name=names.PASSTHROUGH,
        discovery=discovery,
        application=Application.DOWNSTREAM,
        connect_timeout=connect_timeout,
    )


def by_name(mesh: Mesh) -> ClusterKey:
    """Where captured requests to unknown hosts go whose hosts are looked up. Sidecars are given no Secret for it."""
    tls = mesh.outbound_tls
    if tls is not None and tls.credential_name:
        tls = replace(tls, credential_name=names.withheld(tls.credential_name))
    return ClusterKey(
        name=names.BY_NAME,
        discovery=Discovery.FORWARD_PROXY,
        application=Application.DOWNSTREAM,
        connect_timeout=mesh.connect_timeout,
        encryption=Encryption.ALWAYS if tls is not None else Encryption.NEVER,
        tls=tls,
        tls_parameters=mesh.tls_defaults,
    )


def black_hole(connect_timeout: int) -> ClusterKey:
    """A cluster without endpoints."""
    return ClusterKey(name=names.BLACK_HOLE, discovery=Discovery.STATIC, connect_timeout=connect_timeout)


def connect_http(connect_timeout: int) -> ClusterKey:
    return ClusterKey(
        name=names.CONNECT_HTTP,
        discovery=Discovery.INTERNAL,
        listener=names.CONNECT_HTTP,
        connect_timeout=connect_timeout,
    )


def inbound(
    port: WorkloadPort, application: Application, connect_timeout: int, pool: ConnectionPool | None = None
) -> ClusterKey:
    """From a sidecar to its application."""
    endpoint = EndpointKey(address=port.application_address, port=port.application)
    return ClusterKey(
        name=names.inbound(port.workload),
        policy=TrafficPolicy(connection_pool=pool) if pool is not None else TrafficPolicy(),
        discovery=Discovery.STATIC,
        application=application,
        connect_timeout=connect_timeout,
        load=(LocalityKey(endpoints=(endpoint,)),),
    )
