"""What an agent is told that it starts a proxy with: the model's settings as the registration protocol says them.

Pure functions. Istio's names for the service of a proxy: `pkg/bootstrap`, getServiceCluster.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Mapping

from argosy.resources import proxy_start
from argosy.resources.duration import parse_duration
from argosy.resources.networking.workload_group import ReadinessProbe
from argosy.resources.proxy_start import TracingServiceName
from argosy.resources.semantics.names import host_and_port
from argosy.xds.start import (
    GrpcProbe,
    HttpProbe,
    KeepAlive,
    MetricsService,
    Probe,
    ProxyStart,
    Statsd,
    TcpProbe,
)

_NO_NAME = ("", "istio-proxy")  # Istio's default, which means that none is given


def told(
    said: proxy_start.ProxyStart,
    *,
    workload: str,
    namespace: str,
    labels: Mapping[str, str],
    probe: ReadinessProbe | None = None,
) -> ProxyStart:
    """`probe`: of the WorkloadGroup that it joined; it has precedence, and may be a command."""
    stats = said.proxy_stats_matcher or proxy_start.ProxyStatsMatcher()
    own = said.readiness_probe if said.readiness_probe and said.readiness_probe.exec is None else None
    asked = probe or own
    limits = said.connection_settings
    return ProxyStart(
        concurrency=said.concurrency,
        environment=said.proxy_metadata,
        drain_seconds=None if said.drain_duration is None else parse_duration(said.drain_duration) // 1000,
        leave_seconds=_seconds(said.termination_drain_duration),
        service_cluster=_service_cluster(said, workload, namespace, labels),
        mesh_id=said.mesh_id,
        runtime=said.runtime_values,
        stats_prefixes=stats.inclusion_prefixes,
        stats_suffixes=stats.inclusion_suffixes,
        stats_regexes=stats.inclusion_regexps,
        statsd=_statsd(said.statsd_udp_address),
        metrics_service=_metrics(said.envoy_metrics_service),
        log_flush_ms=_milliseconds(said.file_flush_interval),
        log_flush_kb=said.file_flush_min_size_kb,
        max_connections=(limits.global_downstream_connection_limit if limits else None) or None,
        probe=_probe(asked) if asked is not None else None,
    )


def _milliseconds(text: str | None) -> int | None:
    return None if text is None else parse_duration(text)


def _seconds(text: str | None) -> float | None:
    return None if text is None else parse_duration(text) / 1000


def _service_cluster(
    said: proxy_start.ProxyStart, workload: str, namespace: str, labels: Mapping[str, str]
) -> str:
    """ "" where it is the application's name and the namespace."""
    if said.service_cluster is not None:
        return "" if said.service_cluster in _NO_NAME else said.service_cluster
    canonical = (
        labels.get("service.istio.io/canonical-name")
        or labels.get("app.kubernetes.io/name")
        or labels.get("app")
        or workload
    )
    match said.tracing_service_name:
        case TracingServiceName.CANONICAL_NAME_ONLY:
            return canonical
        case TracingServiceName.CANONICAL_NAME_AND_NAMESPACE:
            return f"{canonical}.{namespace}"
    return ""


def _statsd(address: str) -> Statsd | None:
    """Envoy takes an IP address alone (`argosy.model.limits` tells of others)."""
    host, port = host_and_port(address) or ("", "")
    try:
        return Statsd(address=str(ipaddress.ip_address(host)), port=int(port))
    except ValueError:
        return None


def _metrics(service: proxy_start.MetricsService | None) -> MetricsService | None:
    if service is None or not service.address:
        return None
    host, port = host_and_port(service.address) or ("", "0")
    keep = service.tcp_keepalive
    return MetricsService(
        host=host,
        port=int(port),
        keepalive=None
        if keep is None
        else KeepAlive(
            probes=keep.probes,
            time=(_milliseconds(keep.time) or 0) // 1000,
            interval=(_milliseconds(keep.interval) or 0) // 1000,
        ),
    )


def _probe(said: ReadinessProbe) -> Probe:
    """What is 0 is Kubernetes' default."""
    http, tcp, rpc = said.http_get, said.tcp_socket, said.grpc
    return Probe(
        initial_delay=said.initial_delay_seconds,
        timeout=said.timeout_seconds or 1,
        period=said.period_seconds or 10,
        successes=said.success_threshold or 1,
        failures=said.failure_threshold or 3,
        http=HttpProbe(
            port=http.port,
            path=http.path or "/",
            host=http.host,
            tls=http.scheme == "HTTPS",
            headers=tuple((header.name, header.value) for header in http.http_headers),
        )
        if http
        else None,
        tcp=TcpProbe(port=tcp.port, host=tcp.host) if tcp else None,
        command=said.exec.command if said.exec else (),
        grpc=GrpcProbe(port=rpc.port, service=rpc.service) if rpc else None,
    )
