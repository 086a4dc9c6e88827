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


class Tracer(Struct, frozen=True, kw_only=True):
    kind: TracerKind
    to: Collector
    max_tag_length: int | None = None  # of the path
    path: str = ""
    short_ids: bool = False  # of 64 bits
    timeout: int | None = None
    headers: tuple[tuple[str, str], ...] = ()


Provider = FileLog | ServiceLog | Tracer
