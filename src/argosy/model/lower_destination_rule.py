"""DestinationRule to `DestinationRuleRule`: each part as written, nothing inherited yet (see `destinations`).

Facts (Istio): an unspecified load balancer is LEAST_REQUEST, LEAST_CONN is its old name; the deprecated
`consecutiveErrors` counts gateway errors; no `tls` means automatic mutual TLS.
"""

from __future__ import annotations

from argosy.model import ir
from argosy.model.errors import LoweringError
from argosy.model.hostnames import resolved_export
from argosy.model.lower_http import Names, milliseconds, pairs
from argosy.model.rules import BalancerParts, DestinationRuleRule, PolicyParts, SubsetRule
from argosy.model.scope import Selector, SelectorUse
from argosy.resources.networking import (
    ClientTLSSettings,
    ConnectionPoolSettings,
    ConsistentHash,
    DestinationRule,
    LoadBalancerSettings,
    OutlierDetection,
    PortTrafficPolicy,
    TrafficPolicy,
)

SIMPLE = {
    "": ir.LoadBalancer.LEAST_REQUEST,
    "UNSPECIFIED": ir.LoadBalancer.LEAST_REQUEST,
    "LEAST_CONN": ir.LoadBalancer.LEAST_REQUEST,
    "LEAST_REQUEST": ir.LoadBalancer.LEAST_REQUEST,
    "ROUND_ROBIN": ir.LoadBalancer.ROUND_ROBIN,
    "RANDOM": ir.LoadBalancer.RANDOM,
    "PASSTHROUGH": ir.LoadBalancer.PASSTHROUGH,
}


def _consistent_hash(written: ConsistentHash, field: str, warmup: int | None) -> BalancerParts:
    cookie = written.http_cookie
    hash_policy = ir.HashPolicy(
        header=written.http_header_name or None,
        cookie_name=(cookie.name or None) if cookie else None,
        cookie_path=(cookie.path or "") if cookie else "",
        cookie_ttl=milliseconds(cookie.ttl, f"{field}.httpCookie.ttl") if cookie else None,
        source_ip=bool(written.use_source_ip),
        query=written.http_query_parameter_name or None,
    )
    ring = written.ring_hash.minimum_ring_size if written.ring_hash else written.minimum_ring_size
    return BalancerParts(
        kind=ir.LoadBalancer.MAGLEV if written.maglev else ir.LoadBalancer.RING_HASH,
        hash=hash_policy,
        minimum_ring_size=ring or None,
        warmup=warmup,
    )


def _balancer(written: LoadBalancerSettings | None, field: str) -> BalancerParts | None:
    if written is None:
        return None
    if written.warmup is not None:
        warmup = milliseconds(written.warmup.duration, f"{field}.warmup.duration")
    else:
        warmup = milliseconds(written.warmup_duration_secs, f"{field}.warmupDurationSecs")
    if written.consistent_hash is not None:
        return _consistent_hash(written.consistent_hash, f"{field}.consistentHash", warmup)
    simple = str(written.simple or "")
    if simple not in SIMPLE:
        raise LoweringError(
            f"{field}.simple", f"{simple} is not one of {', '.join(sorted(filter(None, SIMPLE)))}"
        )
    return BalancerParts(kind=SIMPLE[simple], warmup=warmup)


def _connection_pool(written: ConnectionPoolSettings | None, field: str) -> ir.ConnectionPool | None:
    if written is None:
        return None
    tcp, http = written.tcp, written.http
    keepalive = tcp.tcp_keepalive if tcp else None
    return ir.ConnectionPool(
        max_connections=(tcp.max_connections or None) if tcp else None,
        connect_timeout=milliseconds(tcp.connect_timeout, f"{field}.tcp.connectTimeout") if tcp else None,
        keepalive=ir.KeepAlive(
            probes=keepalive.probes or None,
            time=milliseconds(keepalive.time, f"{field}.tcp.tcpKeepalive.time"),
            interval=milliseconds(keepalive.interval, f"{field}.tcp.tcpKeepalive.interval"),
        )
        if keepalive
        else None,
        max_connection_duration=milliseconds(
            tcp.max_connection_duration, f"{field}.tcp.maxConnectionDuration"
        )
        if tcp
        else None,
        tcp_idle_timeout=milliseconds(tcp.idle_timeout, f"{field}.tcp.idleTimeout") if tcp else None,
        http1_max_pending_requests=(http.http1_max_pending_requests or None) if http else None,
        http2_max_requests=(http.http2_max_requests or None) if http else None,
        max_requests_per_connection=(http.max_requests_per_connection or None) if http else None,
        max_retries=(http.max_retries or None) if http else None,
        idle_timeout=milliseconds(http.idle_timeout, f"{field}.http.idleTimeout") if http else None,
        h2_upgrade_policy=str(http.h2_upgrade_policy or "DEFAULT") if http else "DEFAULT",
        use_client_protocol=bool(http.use_client_protocol) if http else False,
        max_concurrent_streams=(http.max_concurrent_streams or None) if http else None,
    )


def _outlier(written: OutlierDetection | None, field: str) -> ir.OutlierDetection | None:
    if written is None:
        return None
    gateway = written.consecutive_gateway_errors
    if gateway is None and written.consecutive_errors:
        gateway = written.consecutive_errors
    return ir.OutlierDetection(
        consecutive_5xx=written.consecutive_5xx_errors,
        consecutive_gateway=gateway,
        consecutive_local_origin=written.consecutive_local_origin_failures,
        split_external_local_origin=bool(written.split_external_local_origin_errors),
        interval=milliseconds(written.interval, f"{field}.interval"),
        base_ejection_time=milliseconds(written.base_ejection_time, f"{field}.baseEjectionTime"),
        max_ejection_percent=written.max_ejection_percent or None,
        min_health_percent=written.min_health_percent or 0,
    )


def _tls(written: ClientTLSSettings | None, field: str) -> ir.ClientTls | None:
    if written is None:
        return None
    mode = str(written.mode or "DISABLE")
    if mode not in ir.TlsMode.__members__:
        raise LoweringError(f"{field}.mode", f"{mode} is not one of {', '.join(ir.TlsMode)}")
    return ir.ClientTls(
        mode=ir.TlsMode(mode),
        sni=written.sni,
        subject_alt_names=written.subject_alt_names,
        credential_name=written.credential_name,
        client_certificate=written.client_certificate,
        private_key=written.private_key,
        ca_certificates=written.ca_certificates,
        insecure_skip_verify=bool(written.insecure_skip_verify),
    )


def _parts(written: TrafficPolicy | PortTrafficPolicy, field: str) -> PolicyParts:
    return PolicyParts(
        load_balancer=_balancer(written.load_balancer, f"{field}.loadBalancer"),
        connection_pool=_connection_pool(written.connection_pool, f"{field}.connectionPool"),
        outlier=_outlier(written.outlier_detection, f"{field}.outlierDetection"),
        tls=_tls(written.tls, f"{field}.tls"),
    )


def _policy(written: TrafficPolicy | None, field: str) -> PolicyParts | None:
    if written is None:
        return None
    ports: dict[int, PolicyParts] = {}
    for index, item in enumerate(written.port_level_settings):
        number = item.port.number if item.port else None
        if not number:
            raise LoweringError(f"{field}.portLevelSettings[{index}].port", "needs a port number")
        ports.setdefault(number, _parts(item, f"{field}.portLevelSettings[{index}]"))
    top = _parts(written, field)
    return PolicyParts(
        load_balancer=top.load_balancer,
        connection_pool=top.connection_pool,
        outlier=top.outlier,
        tls=top.tls,
        ports=tuple(sorted(ports.items(), key=lambda item: item[0])),
    )


def lower(obj: DestinationRule, domain_suffix: str) -> DestinationRuleRule:
    """Raises LoweringError with the field."""
    meta, spec = obj.metadata, obj.spec
    if not spec.host:
        raise LoweringError("spec.host", "is empty; name the service it is for")
    selector = None
    if spec.workload_selector is not None:
        labels = pairs(spec.workload_selector.match_labels)
        selector = Selector(SelectorUse.DESTINATION, labels, meta.namespace)
    subsets: dict[str, SubsetRule] = {}
    for index, item in enumerate(spec.subsets):
        policy = _policy(item.traffic_policy, f"spec.subsets[{index}].trafficPolicy")
        subsets.setdefault(item.name, SubsetRule(item.name, pairs(item.labels), policy))
    return DestinationRuleRule(
        namespace=meta.namespace,
        name=meta.name,
        host=Names(meta.namespace, domain_suffix).host(spec.host),
        created=meta.creation_timestamp,
        export_to=resolved_export(spec.export_to, meta.namespace),
        selector=selector,
        policy=_policy(spec.traffic_policy, "spec.trafficPolicy"),
        subsets=tuple(subsets.values()),
    )
