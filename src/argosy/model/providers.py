"""Where proxies may send log lines and spans: MeshConfig's extension providers."""

from __future__ import annotations

from enum import StrEnum

from msgspec import Struct


class Collector(Struct, frozen=True):
    """A service of the mesh that takes reports."""

    host: str
    port: int


class FileLog(Struct, frozen=True, kw_only=True):
    path: str
    json: bool = False
    format: str = ""  # operators of Envoy's, in a line or (json) an object; "": Istio's fields
    omit_empty: bool = False  # in place of `-`


class LogService(StrEnum):
    HTTP = "HTTP"  # of requests alone
    TCP = "TCP"  # of connections alone
    OPEN_TELEMETRY = "OPEN_TELEMETRY"


class ServiceLog(Struct, frozen=True, kw_only=True):
    kind: LogService
    to: Collector
    name: str
    filter_state: tuple[str, ...] = ()
    request_headers: tuple[str, ...] = ()
    response_headers: tuple[str, ...] = ()
    response_trailers: tuple[str, ...] = ()
    text: str = ""  # OPEN_TELEMETRY: the body; "": Istio's line
    labels: str = ""  # OPEN_TELEMETRY: attributes, as JSON


class TracerKind(StrEnum):
    ZIPKIN = "ZIPKIN"
    DATADOG = "DATADOG"
    OPEN_TELEMETRY = "OPEN_TELEMETRY"  # by gRPC
    OPEN_TELEMETRY_HTTP = "OPEN_TELEMETRY_HTTP"
    SKYWALKING = "SKYWALKING"


class Detector(StrEnum):
    """Where an OpenTelemetry tracer looks for what it runs in."""

    ENVIRONMENT = "ENVIRONMENT"
    DYNATRACE = "DYNATRACE"


class Sampler(Struct, frozen=True, kw_only=True):
    """Dynatrace's: how many traces there are to be is asked of a service."""

    to: Collector
    path: str
    tenant: str
    cluster_id: int
    root_spans: int = 0  # a minute, until it is known; 0: Envoy's default
    timeout: int | None = None
    headers: tuple[tuple[str, str], ...] = ()


class Tracer(Struct, frozen=True, kw_only=True):
    kind: TracerKind
    to: Collector
    max_tag_length: int | None = None  # of the path
    path: str = ""
    short_ids: bool = False  # of 64 bits
    timeout: int | None = None
    headers: tuple[tuple[str, str], ...] = ()
    w3c: bool = False  # ZIPKIN: traceparent beside b3
    token: str = ""  # SKYWALKING
    detectors: tuple[Detector, ...] = ()
    sampler: Sampler | None = None  # what decides in place of a percentage


class Tag(Struct, frozen=True, kw_only=True):
    """A tag of every span; exactly one of the first four is set."""

    name: str
    literal: str = ""
    environment: str = ""
    header: str = ""
    formatter: str = ""
    default: str = ""


class RequestBody(Struct, frozen=True, kw_only=True):
    """How much of a request's body is shown to who decides."""

    max_bytes: int
    partial: bool = False  # of a longer one its beginning; else it is refused
    as_bytes: bool = False


class ExternalAuthorization(Struct, frozen=True, kw_only=True):
    """Who decides for policies of CUSTOM. Names of headers may begin or end with *."""

    http: bool  # else by gRPC
    to: Collector
    timeout: int
    fail_open: bool = False
    clear_route_cache: bool = False
    status_on_error: int = 0  # 0: 403
    body: RequestBody | None = None
    # Of HTTP:
    path_prefix: str = ""
    request_headers: tuple[str, ...] = ()  # shown beside those that always are
    added_headers: tuple[tuple[str, str], ...] = ()
    upstream_headers: tuple[str, ...] = ()  # of the answer, that a request which is allowed gets
    denied_headers: tuple[str, ...] = ()  # of the answer, that the client gets
    allowed_headers: tuple[str, ...] = ()  # the same, in the response to a request that is allowed


Provider = FileLog | ServiceLog | Tracer
