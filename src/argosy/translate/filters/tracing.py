"""Tracing of a connection manager: which requests, with which tags, and who collects the spans."""

from __future__ import annotations

from envoy.config.trace.v3 import datadog_pb2, opentelemetry_pb2, zipkin_pb2
from envoy.extensions.filters.network.http_connection_manager.v3 import (
    http_connection_manager_pb2 as manager_pb2,
)
from envoy.extensions.request_id.uuid.v3 import uuid_pb2
from envoy.type.tracing.v3 import custom_tag_pb2
from google.protobuf.message import Message
from msgspec import Struct

from argosy.model import telemetry
from argosy.model.providers import TracerKind
from argosy.translate import wire

OTLP_TIMEOUT = 3000
"""Milliseconds for an export by HTTP, which has to have some (Istio's)."""


class Tracing(Struct, frozen=True, kw_only=True):
    said: telemetry.Tracing
    cluster: str  # of the collector
    service: str  # what spans are of


def trace(key: Tracing, out: manager_pb2.HttpConnectionManager) -> None:
    """Istio: what a client asks for is traced, of the rest a part at random."""
    said = key.said
    out.tracing.client_sampling.value = out.tracing.overall_sampling.value = 100
    out.tracing.random_sampling.value = said.sampling
    if said.max_tag_length is not None:
        out.tracing.max_path_tag_length.value = said.max_tag_length
    out.tracing.custom_tags.extend(_tag(tag) for tag in said.tags)
    name, config = _provider(key)
    out.tracing.provider.name = f"envoy.tracers.{name}"
    out.tracing.provider.typed_config.CopyFrom(wire.pack(config))
    if not said.by_request_id:
        by = uuid_pb2.UuidRequestIdConfig(use_request_id_for_trace_sampling=wire.false())
        out.request_id_extension.typed_config.CopyFrom(wire.pack(by))


def _tag(tag: telemetry.Tag) -> custom_tag_pb2.CustomTag:
    out = custom_tag_pb2.CustomTag(tag=tag.name)
    if tag.environment:
        out.environment.name, out.environment.default_value = tag.environment, tag.default
    elif tag.header:
        out.request_header.name, out.request_header.default_value = tag.header, tag.default
    elif tag.formatter:
        out.value = tag.formatter
    else:
        out.literal.value = tag.literal
    return out


def _provider(key: Tracing) -> tuple[str, Message]:
    to = key.said.to
    match to.kind:
        case TracerKind.ZIPKIN:
            return "zipkin", zipkin_pb2.ZipkinConfig(
                collector_cluster=key.cluster,
                collector_endpoint=to.path,
                collector_endpoint_version=zipkin_pb2.ZipkinConfig.HTTP_JSON,
                collector_hostname=to.to.host,
                trace_id_128bit=not to.short_ids,
                shared_span_context=wire.false(),
            )
        case TracerKind.DATADOG:
            return "datadog", datadog_pb2.DatadogConfig(
                collector_cluster=key.cluster, collector_hostname=to.to.host, service_name=key.service
            )
        case TracerKind.OPEN_TELEMETRY:
            config = opentelemetry_pb2.OpenTelemetryConfig(service_name=key.service)
            config.grpc_service.envoy_grpc.cluster_name = key.cluster
            config.grpc_service.envoy_grpc.authority = to.to.host
            if to.timeout is not None:
                config.grpc_service.timeout.CopyFrom(wire.milliseconds(to.timeout))
            for name, value in to.headers:
                config.grpc_service.initial_metadata.add(key=name, value=value)
            return "opentelemetry", config
        case TracerKind.OPEN_TELEMETRY_HTTP:
            config = opentelemetry_pb2.OpenTelemetryConfig(service_name=key.service)
            uri = config.http_service.http_uri
            uri.uri = f"{to.to.host}{to.path}"
            uri.cluster = key.cluster
            uri.timeout.CopyFrom(wire.milliseconds(OTLP_TIMEOUT if to.timeout is None else to.timeout))
            for name, value in to.headers:
                option = config.http_service.request_headers_to_add.add()
                option.header.key, option.header.value = name, value
            return "opentelemetry", config
