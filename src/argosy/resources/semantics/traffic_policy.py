"""Traffic policies of a DestinationRule: load balancing, connection pools, outlier detection, tunnels.

# Istio: validateTrafficPolicy and what it calls, CRD rules
"""

from __future__ import annotations

from math import isqrt

from argosy.resources.meshconfig import DefaultTrafficPolicy
from argosy.resources.networking.destination_rule import (
    ConnectionPoolSettings,
    ConsistentHash,
    H2UpgradePolicy,
    LoadBalancerSettings,
    OutlierDetection,
    PortTrafficPolicy,
    RetryBudget,
    TrafficPolicy,
    TunnelSettings,
    Warmup,
)
from argosy.resources.semantics import headers, locality, names, tls
from argosy.resources.semantics.findings import Findings

_MAGLEV_END = 5000011  # Envoy: the largest table_size; Istio takes smaller ones alone


def check(path: str, policy: TrafficPolicy | None, findings: Findings) -> None:
    if policy is None:
        return
    if policy == TrafficPolicy():
        findings.error(path, "is empty; give it a setting or remove it")
        return
    if policy.tunnel is not None and policy.proxy_protocol is not None:
        findings.error(f"{path}.proxyProtocol", "excludes tunnel; keep one")
    _settings(path, policy, findings)
    for i, port_policy in enumerate(policy.port_level_settings):
        _port_policy(f"{path}.portLevelSettings[{i}]", port_policy, findings)
    if policy.tunnel is not None:
        _tunnel(f"{path}.tunnel", policy.tunnel, findings)
    if policy.retry_budget is not None:
        _retry_budget(f"{path}.retryBudget", policy.retry_budget, findings)


def check_defaults(path: str, policy: DefaultTrafficPolicy, findings: Findings) -> None:
    """Those of the mesh."""
    if policy.outlier_detection is not None:
        _outlier_detection(f"{path}.outlierDetection", policy.outlier_detection, findings)
    if policy.connection_pool is not None:
        check_connection_pool(f"{path}.connectionPool", policy.connection_pool, findings)


def _port_policy(path: str, policy: PortTrafficPolicy, findings: Findings) -> None:
    if policy.port is None:
        findings.error(f"{path}.port", "is missing; give the port it is for")
    else:
        findings.error(f"{path}.port.number", names.port(policy.port.number))
    if policy == PortTrafficPolicy(port=policy.port):
        findings.error(path, "sets nothing; give it loadBalancer, connectionPool, outlierDetection or tls")
    _settings(path, policy, findings)


def _settings(path: str, policy: TrafficPolicy | PortTrafficPolicy, findings: Findings) -> None:
    if policy.outlier_detection is not None:
        _outlier_detection(f"{path}.outlierDetection", policy.outlier_detection, findings)
    if policy.connection_pool is not None:
        check_connection_pool(f"{path}.connectionPool", policy.connection_pool, findings)
    if policy.load_balancer is not None:
        _load_balancer(f"{path}.loadBalancer", policy.load_balancer, policy.outlier_detection, findings)
    tls.check_client(f"{path}.tls", policy.tls, findings)


def _tunnel(path: str, tunnel: TunnelSettings, findings: Findings) -> None:
    if tunnel.protocol not in ("", "CONNECT", "POST"):
        findings.error(f"{path}.protocol", f"{names.shown(tunnel.protocol)} is not CONNECT or POST")
    if not names.is_ip(tunnel.target_host):
        findings.error(f"{path}.targetHost", names.fqdn(tunnel.target_host))
    findings.error(f"{path}.targetPort", names.port(tunnel.target_port))


def _retry_budget(path: str, budget: RetryBudget, findings: Findings) -> None:
    if budget.percent is not None:
        findings.error(f"{path}.percent", names.percent(budget.percent))
    findings.error(f"{path}.budgetInterval", names.duration(budget.budget_interval))


def _outlier_detection(path: str, outlier: OutlierDetection, findings: Findings) -> None:
    findings.error(f"{path}.interval", names.duration(outlier.interval))
    findings.error(f"{path}.baseEjectionTime", names.duration(outlier.base_ejection_time))
    findings.error(f"{path}.maxEjectionPercent", names.percent(outlier.max_ejection_percent))
    findings.error(f"{path}.minHealthPercent", names.percent(outlier.min_health_percent))
    if outlier.consecutive_errors:
        findings.error(f"{path}.consecutiveErrors", names.non_negative(outlier.consecutive_errors))
        findings.warn(
            f"{path}.consecutiveErrors", "is deprecated; use consecutiveGatewayErrors or consecutive5xxErrors"
        )
    if outlier.consecutive_local_origin_failures and not outlier.split_external_local_origin_errors:
        findings.error(
            f"{path}.consecutiveLocalOriginFailures",
            "has no effect without splitExternalLocalOriginErrors: true; set that or remove it",
        )


def check_connection_pool(path: str, pool: ConnectionPoolSettings, findings: Findings) -> None:
    if pool.http is None and pool.tcp is None:
        findings.error(path, "is empty; give it tcp or http")
    if pool.http is not None:
        http, at = pool.http, f"{path}.http"
        findings.error(f"{at}.http1MaxPendingRequests", names.non_negative(http.http1_max_pending_requests))
        findings.error(f"{at}.http2MaxRequests", names.non_negative(http.http2_max_requests))
        findings.error(f"{at}.maxRequestsPerConnection", names.non_negative(http.max_requests_per_connection))
        findings.error(f"{at}.maxRetries", names.non_negative(http.max_retries))
        findings.error(f"{at}.maxConcurrentStreams", names.non_negative(http.max_concurrent_streams))
        findings.error(f"{at}.idleTimeout", names.duration(http.idle_timeout))
        if http.h2_upgrade_policy == H2UpgradePolicy.UPGRADE and http.use_client_protocol:
            findings.error(f"{at}.useClientProtocol", "contradicts h2UpgradePolicy UPGRADE; keep one")
        if http.http2_keep_alive is not None:
            if http.http2_keep_alive.interval is None:
                findings.error(f"{at}.http2KeepAlive.interval", "is missing; give the time between pings")
            findings.error(f"{at}.http2KeepAlive.interval", names.duration(http.http2_keep_alive.interval))
            findings.error(f"{at}.http2KeepAlive.timeout", names.duration(http.http2_keep_alive.timeout))
    if pool.tcp is not None:
        tcp, at = pool.tcp, f"{path}.tcp"
        findings.error(f"{at}.maxConnections", names.non_negative(tcp.max_connections))
        findings.error(f"{at}.connectTimeout", names.duration(tcp.connect_timeout))
        findings.error(f"{at}.maxConnectionDuration", names.duration(tcp.max_connection_duration))
        findings.error(f"{at}.idleTimeout", names.duration_or_zero(tcp.idle_timeout))
        if tcp.tcp_keepalive is not None:
            findings.error(f"{at}.tcpKeepalive.time", names.duration(tcp.tcp_keepalive.time))
            findings.error(f"{at}.tcpKeepalive.interval", names.duration(tcp.tcp_keepalive.interval))


def _load_balancer(
    path: str, settings: LoadBalancerSettings, outlier: OutlierDetection | None, findings: Findings
) -> None:
    if settings.simple is not None and settings.consistent_hash is not None:
        findings.error(f"{path}.consistentHash", "excludes simple; keep one")
    if settings.consistent_hash is not None:
        _consistent_hash(f"{path}.consistentHash", settings.consistent_hash, findings)
    if settings.locality_lb_setting is not None and settings.zone_aware_lb_setting is not None:
        findings.error(f"{path}.zoneAwareLbSetting", "excludes localityLbSetting; keep one")
    if settings.locality_lb_setting is not None:
        locality.check_setting(f"{path}.localityLbSetting", settings.locality_lb_setting, outlier, findings)
    if settings.zone_aware_lb_setting is not None:
        locality.check_zone_aware(
            f"{path}.zoneAwareLbSetting", settings.zone_aware_lb_setting, outlier, findings
        )
    findings.error(f"{path}.warmupDurationSecs", names.duration(settings.warmup_duration_secs))
    if settings.warmup is not None:
        if settings.warmup_duration_secs is not None:
            findings.error(f"{path}.warmupDurationSecs", "is the old form of warmup; keep warmup")
        _warmup(f"{path}.warmup", settings.warmup, findings)


def _warmup(path: str, warmup: Warmup, findings: Findings) -> None:
    findings.error(f"{path}.duration", names.duration(warmup.duration))
    if warmup.minimum_percent is not None:
        findings.error(f"{path}.minimumPercent", names.percent(warmup.minimum_percent))
    if warmup.aggression is not None and warmup.aggression < 1:
        findings.error(f"{path}.aggression", f"{warmup.aggression:g} is less than 1; use 1 (linear) or more")


def _consistent_hash(path: str, consistent: ConsistentHash, findings: Findings) -> None:
    keys = [
        name
        for name, value in (
            ("httpHeaderName", consistent.http_header_name),
            ("httpCookie", consistent.http_cookie),
            ("useSourceIp", consistent.use_source_ip),
            ("httpQueryParameterName", consistent.http_query_parameter_name),
        )
        if value is not None
    ]
    if len(keys) > 1:
        findings.error(path, f"hashes by {' and '.join(keys)}; keep one")
    algorithms = [
        n for n, v in (("ringHash", consistent.ring_hash), ("maglev", consistent.maglev)) if v is not None
    ]
    if len(algorithms) > 1:
        findings.error(path, "has ringHash and maglev; keep one")
    findings.error(f"{path}.httpHeaderName", headers.sendable(consistent.http_header_name or ""))
    if consistent.http_cookie is not None:
        if not consistent.http_cookie.name:
            findings.error(f"{path}.httpCookie.name", "is empty; name the cookie")
        findings.error(f"{path}.httpCookie.ttl", names.duration_or_zero(consistent.http_cookie.ttl))
        for number, attribute in enumerate(consistent.http_cookie.attributes):
            at = f"{path}.httpCookie.attributes[{number}]"
            if not attribute.name:
                findings.error(f"{at}.name", "is empty; name the attribute")
            for field, text in (("name", attribute.name), ("value", attribute.value)):
                findings.error(f"{at}.{field}", headers.sendable(text))
    if consistent.minimum_ring_size:
        findings.warn(f"{path}.minimumRingSize", "is deprecated; use ringHash.minimumRingSize")
        if algorithms:
            findings.error(f"{path}.minimumRingSize", f"excludes {algorithms[0]}; keep {algorithms[0]}")
    if consistent.maglev is not None:
        size = consistent.maglev.table_size
        if size >= _MAGLEV_END or not _is_prime(size):
            findings.error(
                f"{path}.maglev.tableSize", f"{size} is not a prime number of less than {_MAGLEV_END}"
            )


def _is_prime(number: int) -> bool:
    if number < 4:
        return number in (2, 3)
    return number % 2 != 0 and all(number % factor for factor in range(3, isqrt(number) + 1, 2))
