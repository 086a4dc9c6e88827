"""Tracing of a connection manager: which requests, with which tags, and who collects the spans."""

from __future__ import annotations

from envoy.config.core.v3 import base_pb2, grpc_service_pb2, http_service_pb2
from envoy.config.trace.v3 import datadog_pb2, opentelemetry_pb2, skywalking_pb2, zipkin_pb2
from envoy.extensions.filters.network.http_connection_manager.v3 import (
    http_connection_manager_pb2 as manager_pb2,
)
from envoy.extensions.request_id.uuid.v3 import uuid_pb2
from envoy.extensions.tracers.opentelemetry.resource_detectors.v3 import (
    dynatrace_resource_detector_pb2,
    environment_resource_detector_pb2,
)
from envoy.extensions.tracers.opentelemetry.samplers.v3 import dynatrace_sampler_pb2
from envoy.type.tracing.v3 import custom_tag_pb2
from google.protobuf.message import Message
from msgspec import Struct

from argosy.model import telemetry
from argosy.model.providers import Detector, Tag, TracerKind
from argosy.translate import wire

ZIPKIN_TIMEOUT = 5000
OTLP_TIMEOUT = 3000
"""Milliseconds for an export by HTTP, which has to have some (Istio's)."""

CLUSTER = "Kubernetes"
"""Istio's name for the one cluster of a mesh that has one."""

CANONICAL = ("service.istio.io/canonical-name", "app.kubernetes.io/name", "app")
REVISION = ("service.istio.io/canonical-revision", "app.kubernetes.io/version", "version")
"""Labels that say what a workload is, the best first. Istio's injection gives the first of each from the others."""

_LABELS = "xds.node.metadata['LABELS']"
_NAME = "xds.node.metadata['NAME']"

_DETECTORS = {
    Detector.ENVIRONMENT: environment_resource_detector_pb2.EnvironmentResourceDetectorConfig(),
    Detector.DYNATRACE: dynatrace_resource_detector_pb2.DynatraceResourceDetectorConfig(),
}


class Origin(Struct, frozen=True, kw_only=True):
    """Which proxy a span comes from, in Istio's own tags. `service` and `revision` "": the proxies that share the
    listener differ, and each has it in its bootstrap."""

    service: str = ""
    revision: str = ""
    namespace: str
    mesh: str


class Tracing(Struct, frozen=True, kw_only=True):
    said: telemetry.Tracing
    cluster: str  # of the collector
    service: str  # what spans are of
    sampler_cluster: str = ""  # of the service that the sampler asks
    origin: Origin | None = None  # None: spans do not tell


def trace(key: Tracing, out: manager_pb2.HttpConnectionManager) -> None:
    """Istio: what a client asks for is traced, of the rest a part at random."""
    said = key.said
    out.tracing.client_sampling.value = out.tracing.overall_sampling.value = 100
    out.tracing.random_sampling.value = said.sampling
    if said.max_tag_length is not None:
        out.tracing.max_path_tag_length.value = said.max_tag_length
    own = _own_tags(key.origin) if key.origin is not None else ()
    tags = (*own, *said.tags)
    out.tracing.custom_tags.extend(_tag(tag) for tag in sorted(tags, key=lambda tag: tag.name))
    if not said.propagates:
        # Envoy 1.40: Tracing.no_context_propagation = 13, newer than our protobuf classes, which keep unknown fields.
        out.tracing.MergeFromString(bytes((13 << 3, 1)))
    if said.to.kind is TracerKind.SKYWALKING:
        out.tracing.spawn_upstream_span.value = True  # as Istio: its spans come in pairs
    name, config = _provider(key)
    out.tracing.provider.name = f"envoy.tracers.{name}"
    out.tracing.provider.typed_config.CopyFrom(wire.pack(config))
    if not said.by_request_id:
        by = uuid_pb2.UuidRequestIdConfig(use_request_id_for_trace_sampling=wire.false())
        out.request_id_extension.typed_config.CopyFrom(wire.pack(by))


def _own_tags(origin: Origin) -> tuple[Tag, ...]:
    """Istio: names, and what stands for what is not known."""
    revision, service = _told(REVISION, "'latest'"), _told(CANONICAL, _NAME)
    return (
        _own("canonical_revision", origin.revision, revision),
        _own("canonical_service", origin.service, service),
        Tag(name="istio.cluster_id", literal=CLUSTER),
        Tag(name="istio.mesh_id", literal=origin.mesh),
        Tag(name="istio.namespace", literal=origin.namespace),
    )


def _own(name: str, value: str, expression: str) -> Tag:
    if value:
        return Tag(name=f"istio.{name}", literal=value)
    return Tag(name=f"istio.{name}", formatter=f"%CEL({expression})%")


def _told(labels: tuple[str, ...], otherwise: str) -> str:
    """The first of the labels that the proxy says it has, as an expression."""
    for label in reversed(labels):
        otherwise = f"'{label}' in {_LABELS} ? {_LABELS}['{label}'] : {otherwise}"
    return otherwise


def _tag(tag: Tag) -> custom_tag_pb2.CustomTag:
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
            return "zipkin", _zipkin(key)
        case TracerKind.DATADOG:
            return "datadog", datadog_pb2.DatadogConfig(
                collector_cluster=key.cluster, collector_hostname=to.to.host, service_name=key.service
            )
        case TracerKind.SKYWALKING:
            walking = skywalking_pb2.SkyWalkingConfig()
            _grpc(key, walking.grpc_service)
            if to.token:
                walking.client_config.backend_token = to.token
            return "skywalking", walking
        case TracerKind.OPEN_TELEMETRY | TracerKind.OPEN_TELEMETRY_HTTP:
            return "opentelemetry", _open_telemetry(key)


def _zipkin(key: Tracing) -> zipkin_pb2.ZipkinConfig:
    to = key.said.to
    out = zipkin_pb2.ZipkinConfig(
        collector_endpoint_version=zipkin_pb2.ZipkinConfig.HTTP_JSON,
        trace_id_128bit=not to.short_ids,
        shared_span_context=wire.false(),
    )
    if to.w3c:
        out.trace_context_option = zipkin_pb2.ZipkinConfig.USE_B3_WITH_W3C_PROPAGATION
    if to.timeout is None and not to.headers:
        out.collector_cluster, out.collector_endpoint = key.cluster, to.path
        out.collector_hostname = to.to.host
    else:
        uri = f"http://{to.to.host}{to.path}"
        timeout = ZIPKIN_TIMEOUT if to.timeout is None else to.timeout
        _http(out.collector_service, uri, key.cluster, timeout, to.headers)
    return out


def _open_telemetry(key: Tracing) -> opentelemetry_pb2.OpenTelemetryConfig:
    to = key.said.to
    out = opentelemetry_pb2.OpenTelemetryConfig(service_name=key.service)
    timeout = OTLP_TIMEOUT if to.timeout is None else to.timeout
    if to.kind is TracerKind.OPEN_TELEMETRY:
        _grpc(key, out.grpc_service)
    else:
        _http(out.http_service, f"{to.to.host}{to.path}", key.cluster, timeout, to.headers)
    for detector in to.detectors:
        config = _DETECTORS[detector]
        name = f"envoy.tracers.opentelemetry.resource_detectors.{detector.lower()}"
        out.resource_detectors.append(wire.extension(name, config))
    sampler = to.sampler
    if sampler is not None:
        made = dynatrace_sampler_pb2.DynatraceSamplerConfig(
            tenant=sampler.tenant,
            cluster_id=sampler.cluster_id,
            root_spans_per_minute=sampler.root_spans,
        )
        timeout = OTLP_TIMEOUT if sampler.timeout is None else sampler.timeout
        uri = f"{sampler.to.host}{sampler.path}"
        _http(made.http_service, uri, key.sampler_cluster, timeout, sampler.headers)
        out.sampler.CopyFrom(wire.extension("envoy.tracers.opentelemetry.samplers.dynatrace", made))
    return out


def _grpc(key: Tracing, out: grpc_service_pb2.GrpcService) -> None:
    to = key.said.to
    out.envoy_grpc.cluster_name, out.envoy_grpc.authority = key.cluster, to.to.host
    if to.timeout is not None:
        out.timeout.CopyFrom(wire.milliseconds(to.timeout))
    for name, value in to.headers:
        out.initial_metadata.add(key=name, value=value)


def _http(
    out: http_service_pb2.HttpService,
    uri: str,
    cluster: str,
    timeout: int,
    headers: tuple[tuple[str, str], ...],
) -> None:
    out.http_uri.uri, out.http_uri.cluster = uri, cluster
    out.http_uri.timeout.CopyFrom(wire.milliseconds(timeout))
    for name, value in headers:
        option = out.request_headers_to_add.add()
        option.header.key, option.header.value = name, value
        option.append_action = base_pb2.HeaderValueOption.OVERWRITE_IF_EXISTS_OR_ADD
