"""DestinationRule to `DestinationRuleRule`: each part as written, nothing inherited yet (see `destinations`).

Facts (Istio): an unspecified load balancer is LEAST_REQUEST, LEAST_CONN is its old name; the deprecated
`consecutiveErrors` counts gateway errors; no `tls` means automatic mutual TLS; the Secret of a `credentialName` is for
gateways, and for sidecars that a `workloadSelector` selects.
"""

from __future__ import annotations

import msgspec

from argosy.model import ir
from argosy.model.errors import LoweringError
from argosy.model.hostnames import written_export
from argosy.model.locality import Distribution, LocalityBalancing
from argosy.model.lower_http import Names, milliseconds, pairs
from argosy.model.rules import BalancerParts, DestinationRuleRule, PolicyParts, SubsetRule
from argosy.model.scope import Selector, SelectorUse
from argosy.resources.networking import (
    ClientTLSSettings,
    ConnectionPoolSettings,
    ConsistentHash,
    DestinationRule,
    LoadBalancerSettings,
    LocalityLoadBalancerSetting,
    OutlierDetection,
    PortTrafficPolicy,
    TrafficPolicy,
    ZoneAwareLoadBalancerSetting,
)
from argosy.resources.networking.destination_rule import (
    ConnectionKeepalive,
    TcpKeepalive,
    TunnelSettings,
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


def _consistent_hash(written: ConsistentHash, field: str) -> BalancerParts:
    cookie = written.http_cookie
    hash_policy = ir.HashPolicy(
        header=written.http_header_name or None,
        cookie_name=(cookie.name or None) if cookie else None,
        cookie_path=(cookie.path or "") if cookie else "",
        cookie_ttl=milliseconds(cookie.ttl, f"{field}.httpCookie.ttl") if cookie else None,
        cookie_attributes=tuple((one.name, one.value) for one in cookie.attributes) if cookie else (),
        source_ip=bool(written.use_source_ip),
        query=written.http_query_parameter_name or None,
    )
    ring = written.ring_hash.minimum_ring_size if written.ring_hash else written.minimum_ring_size
    return BalancerParts(
        kind=ir.LoadBalancer.MAGLEV if written.maglev else ir.LoadBalancer.RING_HASH,
        hash=hash_policy,
        minimum_ring_size=ring or None,
        maglev_table_size=(written.maglev.table_size or None) if written.maglev else None,
    )


def _warmup(written: LoadBalancerSettings, field: str) -> ir.Warmup | None:
    """Facts (Istio): `warmupDurationSecs` is the old form of `warmup`."""
    said = written.warmup
    if said is None:
        window = milliseconds(written.warmup_duration_secs, f"{field}.warmupDurationSecs")
        return ir.Warmup(window=window) if window else None
    window = milliseconds(said.duration, f"{field}.warmup.duration")
    if not window:
        return None
    return ir.Warmup(window=window, minimum_percent=said.minimum_percent, aggression=said.aggression)


def _balancer(written: LoadBalancerSettings | None, field: str) -> BalancerParts | None:
    if written is None:
        return None
    simple = str(written.simple or "")
    if written.consistent_hash is not None:
        found = _consistent_hash(written.consistent_hash, f"{field}.consistentHash")
    elif simple in SIMPLE:
        found = BalancerParts(kind=SIMPLE[simple])
    else:
        raise LoweringError(
            f"{field}.simple", f"{simple} is not one of {', '.join(sorted(filter(None, SIMPLE)))}"
        )
    return msgspec.structs.replace(
        found,
        warmup=_warmup(written, field),
        locality=zone_aware(written.zone_aware_lb_setting) or locality(written.locality_lb_setting),
    )


def zone_aware(written: ZoneAwareLoadBalancerSetting | None) -> LocalityBalancing | None:
    if written is None:
        return None
    return LocalityBalancing(
        enabled=written.enabled is not False,
        failover=tuple((one.from_, one.to) for one in written.failover),
        priority=written.failover_priority,
        zone_aware=True,
        minimum=written.min_cluster_size,
    )


def locality(written: LocalityLoadBalancerSetting | None) -> LocalityBalancing | None:
    if written is None:
        return None
    return LocalityBalancing(
        enabled=written.enabled is not False,
        distribute=tuple(
            Distribution(one.from_, tuple(sorted(one.to.items(), key=lambda share: _width(share[0]))))
            for one in written.distribute
        ),
        failover=tuple((one.from_, one.to) for one in written.failover),
        priority=written.failover_priority,
    )


def _width(place: str) -> tuple[int, bool, str]:
    """Sorts the most specific locality first: a wildcard takes what is left."""
    return (-place.count("/"), "*" in place, place)


def connection_pool(written: ConnectionPoolSettings | None, field: str) -> ir.ConnectionPool | None:
    if written is None:
        return None
    tcp, http = written.tcp, written.http
    return ir.ConnectionPool(
        max_connections=(tcp.max_connections or None) if tcp else None,
        connect_timeout=milliseconds(tcp.connect_timeout, f"{field}.tcp.connectTimeout") if tcp else None,
        keepalive=keep_alive(tcp.tcp_keepalive, f"{field}.tcp.tcpKeepalive") if tcp else None,
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
        http2_keepalive=_http2_keepalive(http.http2_keep_alive, f"{field}.http.http2KeepAlive")
        if http
        else None,
    )


def _http2_keepalive(written: ConnectionKeepalive | None, field: str) -> ir.Http2KeepAlive | None:
    if written is None:
        return None
    interval = milliseconds(written.interval, f"{field}.interval")
    if interval is None:
        raise LoweringError(f"{field}.interval", "is missing; give the time between pings")
    return ir.Http2KeepAlive(interval=interval, timeout=milliseconds(written.timeout, f"{field}.timeout"))


def keep_alive(written: TcpKeepalive | None, field: str) -> ir.KeepAlive | None:
    if written is None:
        return None
    return ir.KeepAlive(
        probes=written.probes or None,
        time=milliseconds(written.time, f"{field}.time"),
        interval=milliseconds(written.interval, f"{field}.interval"),
    )


def outlier(written: OutlierDetection | None, field: str) -> ir.OutlierDetection | None:
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
        http_codes=tuple(sorted(set(written.outlier_detection_http_error_codes))),
    )


def client_tls(written: ClientTLSSettings | None, field: str) -> ir.ClientTls | None:
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
        ca_crl=written.ca_crl,
        insecure_skip_verify=bool(written.insecure_skip_verify),
    )


def _parts(written: TrafficPolicy | PortTrafficPolicy, field: str) -> PolicyParts:
    return PolicyParts(
        load_balancer=_balancer(written.load_balancer, f"{field}.loadBalancer"),
        connection_pool=connection_pool(written.connection_pool, f"{field}.connectionPool"),
        outlier=outlier(written.outlier_detection, f"{field}.outlierDetection"),
        tls=client_tls(written.tls, f"{field}.tls"),
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
    budget = written.retry_budget
    return msgspec.structs.replace(
        top,
        proxy_protocol=str(written.proxy_protocol.version) if written.proxy_protocol else "",
        retry_budget=ir.RetryBudget(
            percent=budget.percent,
            minimum=budget.min_retry_concurrency,
            interval=milliseconds(budget.budget_interval, f"{field}.retryBudget.budgetInterval"),
        )
        if budget
        else None,
        tunnel=_tunnel(written.tunnel),
        ports=tuple(sorted(ports.items(), key=lambda item: item[0])),
    )


def _tunnel(written: TunnelSettings | None) -> ir.Tunnel | None:
    if written is None:
        return None
    host = f"[{written.target_host}]" if ":" in written.target_host else written.target_host
    return ir.Tunnel(f"{host}:{written.target_port}", post=written.protocol == "POST")


def _given(policy: PolicyParts | None, to_sidecars: bool) -> PolicyParts | None:
    """With who is given the Secrets that it names."""
    if policy is None or not to_sidecars:
        return policy
    tls = policy.tls
    return msgspec.structs.replace(
        policy,
        tls=msgspec.structs.replace(tls, for_sidecars=True) if tls and tls.credential_name else tls,
        ports=tuple((port, _given(parts, to_sidecars) or parts) for port, parts in policy.ports),
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
        subsets.setdefault(
            item.name, SubsetRule(item.name, pairs(item.labels), _given(policy, selector is not None))
        )
    return DestinationRuleRule(
        namespace=meta.namespace,
        name=meta.name,
        host=Names(meta.namespace, domain_suffix).host(spec.host),
        created=meta.creation_timestamp,
        export_to=written_export(spec.export_to, meta.namespace),
        selector=selector,
        policy=_given(_policy(spec.traffic_policy, "spec.trafficPolicy"), selector is not None),
        subsets=tuple(subsets.values()),
    )
