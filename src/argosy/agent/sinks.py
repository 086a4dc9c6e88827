"""Where an Envoy sends its statistics by itself, beside what is scraped: parts of the bootstrap.

Facts: envoy.config.metrics.v3.{StatsdSink,MetricsServiceConfig} of Envoy 1.40; Istio calls the cluster
`envoy_metrics_service`. Only statistics that exist in the proxy (`bootstrap.STATS_PREFIXES`) are sent.
"""

from __future__ import annotations

from typing import Any

from argosy.xds.start import MetricsService, ProxyStart

METRICS_SERVICE = "envoy_metrics_service"
_TYPE = "type.googleapis.com/envoy."


def sinks(start: ProxyStart) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = []
    if start.statsd is not None:
        address: dict[str, Any] = {
            "protocol": "UDP",
            "address": start.statsd.address,
            "port_value": start.statsd.port,
        }
        config: dict[str, Any] = {"address": {"socket_address": address}}
        found.append(_sink("statsd", "StatsdSink", config))
    if start.metrics_service is not None:
        service = {"envoy_grpc": {"cluster_name": METRICS_SERVICE}}
        config = {"grpc_service": service, "transport_api_version": "V3"}
        found.append(_sink("metrics_service", "MetricsServiceConfig", config))
    return found


def _sink(name: str, type_: str, config: dict[str, Any]) -> dict[str, Any]:
    typed = {"@type": f"{_TYPE}config.metrics.v3.{type_}", **config}
    return {"name": f"envoy.stat_sinks.{name}", "typed_config": typed}


def clusters(start: ProxyStart) -> list[dict[str, Any]]:
    return [_cluster(start.metrics_service)] if start.metrics_service is not None else []


def _cluster(service: MetricsService) -> dict[str, Any]:
    address = {"socket_address": {"address": service.host, "port_value": service.port}}
    options = f"{_TYPE}extensions.upstreams.http.v3.HttpProtocolOptions"
    cluster = {
        "name": METRICS_SERVICE,
        "type": "STRICT_DNS",
        "connect_timeout": "5s",
        "load_assignment": {
            "cluster_name": METRICS_SERVICE,
            "endpoints": [{"lb_endpoints": [{"endpoint": {"address": address}}]}],
        },
        "typed_extension_protocol_options": {
            "envoy.extensions.upstreams.http.v3.HttpProtocolOptions": {
                "@type": options,
                "explicit_http_config": {"http2_protocol_options": {}},
            }
        },
    }
    keep = service.keepalive
    if keep is not None:
        said = {
            "keepalive_probes": keep.probes,
            "keepalive_time": keep.time,
            "keepalive_interval": keep.interval,
        }
        cluster["upstream_connection_options"] = {"tcp_keepalive": {k: v for k, v in said.items() if v}}
    return cluster
