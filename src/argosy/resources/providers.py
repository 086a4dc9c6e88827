"""Extension providers of MeshConfig: who gets log lines and spans, and in which form; who is asked for decisions.

# Istio: mesh/v1alpha1/config.proto, MeshConfig.ExtensionProvider
"""

from __future__ import annotations

from enum import StrEnum
from typing import Any

from msgspec import Struct, field


class LogFormat(Struct, frozen=True, kw_only=True, rename="camel", omit_defaults=True):
    text: str = ""
    labels: dict[str, Any] = {}


class FileAccessLog(Struct, frozen=True, kw_only=True, rename="camel", omit_defaults=True):
    path: str = "/dev/stdout"
    log_format: LogFormat | None = None
    omit_empty_values: bool = False


class GrpcAccessLog(Struct, frozen=True, kw_only=True, rename="camel", omit_defaults=True):
    """envoyHttpAls and envoyTcpAls."""

    service: str = ""
    port: int = 0
    log_name: str = ""
    filter_state_objects_to_log: tuple[str, ...] = ()
    additional_request_headers_to_log: tuple[str, ...] = ()
    additional_response_headers_to_log: tuple[str, ...] = ()
    additional_response_trailers_to_log: tuple[str, ...] = ()


class OpenTelemetryAccessLog(Struct, frozen=True, kw_only=True, rename="camel", omit_defaults=True):
    service: str = ""
    port: int = 0
    log_name: str = ""
    log_format: LogFormat | None = None


class HttpHeader(Struct, frozen=True, kw_only=True, rename="camel", omit_defaults=True):
    name: str = ""
    value: str = ""
    env_name: str = ""  # of a variable of the server's environment, in place of a value


class HttpService(Struct, frozen=True, kw_only=True, rename="camel", omit_defaults=True):
    path: str = ""
    timeout: str | None = None
    headers: tuple[HttpHeader, ...] = ()


class GrpcService(Struct, frozen=True, kw_only=True, rename="camel", omit_defaults=True):
    timeout: str | None = None
    initial_metadata: tuple[HttpHeader, ...] = ()


class TraceContextOption(StrEnum):
    USE_B3 = "USE_B3"
    USE_B3_WITH_W3C_PROPAGATION = "USE_B3_WITH_W3C_PROPAGATION"


class Zipkin(Struct, frozen=True, kw_only=True, rename="camel", omit_defaults=True):
    service: str = ""
    port: int = 0
    max_tag_length: int = 0
    enable_64bit_trace_id: bool = field(default=False, name="enable64bitTraceId")
    path: str = ""
    trace_context_option: TraceContextOption = TraceContextOption.USE_B3
    timeout: str | None = None
    headers: tuple[HttpHeader, ...] = ()


class Datadog(Struct, frozen=True, kw_only=True, rename="camel", omit_defaults=True):
    service: str = ""
    port: int = 0
    max_tag_length: int = 0


class SkyWalking(Struct, frozen=True, kw_only=True, rename="camel", omit_defaults=True):
    service: str = ""
    port: int = 0
    access_token: str = ""


class Nothing(Struct, frozen=True):
    """Being there is all that it says."""


class ResourceDetectors(Struct, frozen=True, kw_only=True, rename="camel", omit_defaults=True):
    environment: Nothing | None = None
    dynatrace: Nothing | None = None


class DynatraceApi(Struct, frozen=True, kw_only=True, rename="camel", omit_defaults=True):
    service: str = ""
    port: int = 0
    http: HttpService | None = None


class DynatraceSampler(Struct, frozen=True, kw_only=True, rename="camel", omit_defaults=True):
    tenant: str = ""
    cluster_id: int = 0
    root_spans_per_minute: int = 0
    http_service: DynatraceApi | None = None


class OpenTelemetry(Struct, frozen=True, kw_only=True, rename="camel", omit_defaults=True):
    service: str = ""
    port: int = 0
    max_tag_length: int = 0
    http: HttpService | None = None
    grpc: GrpcService | None = None
    resource_detectors: ResourceDetectors | None = None
    dynatrace_sampler: DynatraceSampler | None = None


class RequestBody(Struct, frozen=True, kw_only=True, rename="camel", omit_defaults=True):
    max_request_bytes: int = 0
    allow_partial_message: bool = False
    pack_as_bytes: bool = False


class ExtAuthzHttp(Struct, frozen=True, kw_only=True, rename="camel", omit_defaults=True):
    service: str = ""
    port: int = 0
    timeout: str | None = None
    path_prefix: str = ""
    fail_open: bool = False
    clear_route_cache: bool = False
    status_on_error: str | int = ""
    include_headers_in_check: tuple[str, ...] = ()  # older; includeRequestHeadersInCheck goes before it
    include_request_headers_in_check: tuple[str, ...] = ()
    include_additional_headers_in_check: dict[str, str] = {}
    include_request_body_in_check: RequestBody | None = None
    headers_to_upstream_on_allow: tuple[str, ...] = ()
    headers_to_downstream_on_deny: tuple[str, ...] = ()
    headers_to_downstream_on_allow: tuple[str, ...] = ()


class ExtAuthzGrpc(Struct, frozen=True, kw_only=True, rename="camel", omit_defaults=True):
    service: str = ""
    port: int = 0
    timeout: str | None = None
    fail_open: bool = False
    clear_route_cache: bool = False
    status_on_error: str | int = ""
    include_request_body_in_check: RequestBody | None = None


SERVED: dict[str, type[Struct]] = {
    "envoyFileAccessLog": FileAccessLog,
    "envoyHttpAls": GrpcAccessLog,
    "envoyTcpAls": GrpcAccessLog,
    "envoyOtelAls": OpenTelemetryAccessLog,
    "zipkin": Zipkin,
    "datadog": Datadog,
    "skywalking": SkyWalking,
    "opentelemetry": OpenTelemetry,
    "envoyExtAuthzHttp": ExtAuthzHttp,
    "envoyExtAuthzGrpc": ExtAuthzGrpc,
}
"""Kind of provider -> what it says."""
