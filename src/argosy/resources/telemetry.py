"""Kinds of `telemetry.istio.io`: what proxies report about traffic.

# Istio: telemetry/v1alpha1/telemetry.proto
"""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated

from msgspec import Meta, Struct

from argosy.resources.kind import Kind
from argosy.resources.meta import Object, Status
from argosy.resources.security import TargetRefs, Text
from argosy.resources.selector import PolicyTargetReference, WorkloadSelector


class WorkloadMode(StrEnum):
    CLIENT_AND_SERVER = "CLIENT_AND_SERVER"
    CLIENT = "CLIENT"
    SERVER = "SERVER"


class ProviderRef(Struct, frozen=True, kw_only=True, rename="camel", omit_defaults=True):
    """Where reports go to."""

    name: Text
    """The name of an extension provider of the mesh's settings."""


class TracingSelector(Struct, frozen=True, kw_only=True, rename="camel", omit_defaults=True):
    """Which side of a request is meant."""

    mode: WorkloadMode = WorkloadMode.CLIENT_AND_SERVER
    """CLIENT is the side that sends a request, SERVER the one that gets it; a gateway is a client."""


class Literal(Struct, frozen=True, kw_only=True, rename="camel", omit_defaults=True):
    """A text that is always the same."""

    value: Text
    """The text."""


class Environment(Struct, frozen=True, kw_only=True, rename="camel", omit_defaults=True):
    """The value of an environment variable of the proxy."""

    name: Text
    """The name of the variable."""
    default_value: str = ""
    """What is reported where the variable is not set; none: the tag is left out."""


class RequestHeader(Struct, frozen=True, kw_only=True, rename="camel", omit_defaults=True):
    """The value of a header of the request."""

    name: Text
    """The name of the header."""
    default_value: str = ""
    """What is reported where the request has no such header; none: the tag is left out."""


class Formatter(Struct, frozen=True, kw_only=True, rename="camel", omit_defaults=True):
    """A text with Envoy's commands in it."""

    value: Text
    """The text, as in %REQ(:METHOD)%."""


class CustomTag(Struct, frozen=True, kw_only=True, rename="camel", omit_defaults=True):
    """Where the value of a tag comes from: exactly one is set."""

    literal: Literal | None = None
    """A text that is always the same."""
    environment: Environment | None = None
    """The value of an environment variable of the proxy."""
    header: RequestHeader | None = None
    """The value of a header of the request."""
    formatter: Formatter | None = None
    """A text with Envoy's commands in it."""


class Tracing(Struct, frozen=True, kw_only=True, rename="camel", omit_defaults=True):
    """Which spans are reported, and where to."""

    match: TracingSelector | None = None
    """Which side of a request it is for; left out: both."""
    providers: tuple[ProviderRef, ...] = ()
    """Where spans go to: one; none: as the mesh's settings say."""
    random_sampling_percentage: Annotated[float, Meta(ge=0, le=100)] | None = None
    """How many of the requests without a decision of their own are traced, in percent."""
    disable_span_reporting: bool | None = None
    """Whether no spans are reported; the context is passed on all the same."""
    custom_tags: dict[str, CustomTag] = {}
    """Tags of every span, by name."""
    use_request_id_for_trace_sampling: bool | None = None
    """Whether the request's id (x-request-id) decides if it is traced, which is the default."""
    enable_istio_tags: bool | None = None
    """Whether spans get Istio's own tags, as istio.canonical_service, which is the default."""
    disable_context_propagation: bool | None = None
    """Whether the headers of tracing are not passed on."""


class IstioMetric(StrEnum):
    ALL_METRICS = "ALL_METRICS"
    REQUEST_COUNT = "REQUEST_COUNT"
    REQUEST_DURATION = "REQUEST_DURATION"
    REQUEST_SIZE = "REQUEST_SIZE"
    RESPONSE_SIZE = "RESPONSE_SIZE"
    TCP_OPENED_CONNECTIONS = "TCP_OPENED_CONNECTIONS"
    TCP_CLOSED_CONNECTIONS = "TCP_CLOSED_CONNECTIONS"
    TCP_SENT_BYTES = "TCP_SENT_BYTES"
    TCP_RECEIVED_BYTES = "TCP_RECEIVED_BYTES"
    GRPC_REQUEST_MESSAGES = "GRPC_REQUEST_MESSAGES"
    GRPC_RESPONSE_MESSAGES = "GRPC_RESPONSE_MESSAGES"


class MetricSelector(Struct, frozen=True, kw_only=True, rename="camel", omit_defaults=True):
    """Which metrics are meant: at most one of `metric` and `customMetric` is set."""

    metric: IstioMetric | None = None
    """One of Istio's metrics, or ALL_METRICS."""
    custom_metric: Text | None = None
    """A metric by its name."""
    mode: WorkloadMode = WorkloadMode.CLIENT_AND_SERVER
    """Which side of a request is meant."""


class TagOperation(StrEnum):
    UPSERT = "UPSERT"
    REMOVE = "REMOVE"


class TagOverride(Struct, frozen=True, kw_only=True, rename="camel", omit_defaults=True):
    """What becomes of one tag of a metric."""

    operation: TagOperation = TagOperation.UPSERT
    """UPSERT adds the tag or gives it another value, REMOVE takes it away."""
    value: str = ""
    """The value of the tag, a CEL expression, as in request.host; for UPSERT alone."""


class MetricsOverrides(Struct, frozen=True, kw_only=True, rename="camel", omit_defaults=True):
    """A change of metrics and of their tags."""

    match: MetricSelector | None = None
    """Which metrics are changed; left out: all, on both sides."""
    disabled: bool | None = None
    """Whether the metrics are not reported."""
    tag_overrides: dict[str, TagOverride] = {}
    """What becomes of single tags, by name."""


class Metrics(Struct, frozen=True, kw_only=True, rename="camel", omit_defaults=True):
    """Which metrics are reported, and where to."""

    providers: tuple[ProviderRef, ...] = ()
    """Where metrics go to, as prometheus; none: as the mesh's settings say."""
    overrides: tuple[MetricsOverrides, ...] = ()
    """Changes of metrics and tags, one after the other."""
    reporting_interval: str | None = None
    """How often TCP connections that are open are reported, as in 5s; the default is 5s."""


class LogSelector(Struct, frozen=True, kw_only=True, rename="camel", omit_defaults=True):
    """Which side of a request is meant."""

    mode: WorkloadMode = WorkloadMode.CLIENT_AND_SERVER
    """CLIENT is the side that sends a request, SERVER the one that gets it; a gateway is a client."""


class LogFilter(Struct, frozen=True, kw_only=True, rename="camel", omit_defaults=True):
    """Which requests are logged."""

    expression: str = ""
    """A CEL expression, as in response.code >= 400; only requests for which it is true are logged."""


class AccessLogging(Struct, frozen=True, kw_only=True, rename="camel", omit_defaults=True):
    """Which requests are logged, and where to."""

    match: LogSelector | None = None
    """Which side of a request it is for; left out: both."""
    providers: tuple[ProviderRef, ...] = ()
    """Where log lines go to; none: as the mesh's settings say."""
    disabled: bool | None = None
    """Whether nothing is logged."""
    filter: LogFilter | None = None
    """Which requests are logged; left out: all."""


class TelemetrySpec(Struct, frozen=True, kw_only=True, rename="camel", omit_defaults=True):
    """Which workloads, and what their proxies report."""

    selector: WorkloadSelector | None = None
    """The workloads of the namespace that it is for; left out: all; in the root namespace: the whole mesh."""
    target_ref: PolicyTargetReference | None = None
    """The object that it is attached to, in place of a selector; targetRefs is the newer form."""
    target_refs: TargetRefs = ()
    """What it is attached to, in place of a selector: Gateways, GatewayClasses, Services, ServiceEntries."""
    tracing: tuple[Tracing, ...] = ()
    """Spans: which, and where to. One entry is used."""
    metrics: tuple[Metrics, ...] = ()
    """Metrics: which, with which tags, and where to."""
    access_logging: tuple[AccessLogging, ...] = ()
    """Log lines: of which requests, and where to."""


class Telemetry(Object, frozen=True, kw_only=True, rename="camel", omit_defaults=True):
    """What proxies report about traffic: spans, metrics, access logs. That of a workload goes before that of its
    namespace, and that before the mesh's."""

    spec: TelemetrySpec = TelemetrySpec()
    """Which workloads, and what their proxies report."""
    status: Status = Status()
    """What the control plane has found about the object; written by it."""


KINDS = (
    Kind(
        group="telemetry.istio.io",
        versions=("v1", "v1alpha1"),
        kind="Telemetry",
        plural="telemetries",
        singular="telemetry",
        short_names=("telemetry",),
        categories=("istio-io", "telemetry-istio-io"),
        struct=Telemetry,
    ),
)
