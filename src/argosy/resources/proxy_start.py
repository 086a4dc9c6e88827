"""Parts of ProxyConfig (MeshConfig's defaultConfig, the annotation proxy.istio.io/config) that a proxy is started with.

# Istio: mesh/v1alpha1/proxy.proto
"""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated, Any

import msgspec
from msgspec import Meta, Struct

from argosy.resources import loading
from argosy.resources.networking.destination_rule import TcpKeepalive
from argosy.resources.networking.workload_group import ReadinessProbe
from argosy.resources.proxy_settings import ConnectionSettings

ANNOTATION = "proxy.istio.io/config"

Count = Annotated[int, Meta(ge=0, le=4294967295)]


class TracingServiceName(StrEnum):
    """What the proxy's service is called."""

    APP_LABEL_AND_NAMESPACE = "APP_LABEL_AND_NAMESPACE"
    CANONICAL_NAME_ONLY = "CANONICAL_NAME_ONLY"
    CANONICAL_NAME_AND_NAMESPACE = "CANONICAL_NAME_AND_NAMESPACE"


class ProxyStatsMatcher(Struct, frozen=True, kw_only=True, rename="camel"):
    inclusion_prefixes: tuple[str, ...] = ()
    inclusion_suffixes: tuple[str, ...] = ()
    inclusion_regexps: tuple[str, ...] = ()


class MetricsService(Struct, frozen=True, kw_only=True, rename="camel"):
    address: str = ""
    tcp_keepalive: TcpKeepalive | None = None


class ProxyStart(Struct, frozen=True, kw_only=True, rename="camel"):
    """What is not here is no matter of the start, or not in force (`argosy.model.limits`)."""

    concurrency: int | None = None
    drain_duration: str | None = None
    termination_drain_duration: str | None = None
    service_cluster: str | None = None
    tracing_service_name: TracingServiceName = TracingServiceName.APP_LABEL_AND_NAMESPACE
    mesh_id: str = ""
    statsd_udp_address: str = ""
    envoy_metrics_service: MetricsService | None = None
    runtime_values: dict[str, str] = {}
    proxy_stats_matcher: ProxyStatsMatcher | None = None
    proxy_metadata: dict[str, str] = {}
    readiness_probe: ReadinessProbe | None = None
    file_flush_interval: str | None = None
    file_flush_min_size_kb: Count | None = None
    connection_settings: ConnectionSettings | None = None


FIELDS = frozenset(field.encode_name for field in msgspec.structs.fields(ProxyStart))


def typed(value: Any) -> ProxyStart:
    """Raises ValueError, whose message names the field."""
    try:
        return msgspec.convert(value, ProxyStart, str_keys=True)
    except msgspec.ValidationError as error:
        raise ValueError(str(error)) from error


def read(text: str) -> dict[str, Any]:
    """An annotation's YAML. Raises ValueError, whose message says what is wrong."""
    from argosy.resources.semantics import mesh_proxy_config
    from argosy.resources.semantics.findings import Findings

    try:
        documents = loading.load_documents(text, ANNOTATION)
    except loading.LoadError as error:
        raise ValueError(str(error)) from error
    if not documents:
        return {}
    value = documents[0].object
    if len(documents) > 1 or not isinstance(value, dict):
        raise ValueError(f"{ANNOTATION}: is not one ProxyConfig; write fields of MeshConfig's defaultConfig")
    findings = Findings()
    mesh_proxy_config.check(ANNOTATION, value, findings)
    if findings.errors:
        raise ValueError("; ".join(map(str, findings.errors)))
    return value
