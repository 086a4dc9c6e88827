"""Parts of MeshConfig's defaultConfig (ProxyConfig) that proxies get while they run.

# Istio: mesh/v1alpha1/proxy.proto
"""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated, Any

from msgspec import Meta, Struct


class ForwardClientCertDetails(StrEnum):
    UNDEFINED = "UNDEFINED"
    SANITIZE = "SANITIZE"
    FORWARD_ONLY = "FORWARD_ONLY"
    APPEND_FORWARD = "APPEND_FORWARD"
    SANITIZE_SET = "SANITIZE_SET"
    ALWAYS_FORWARD_ONLY = "ALWAYS_FORWARD_ONLY"


class GatewayTopology(Struct, frozen=True, kw_only=True, rename="camel"):
    num_trusted_proxies: Annotated[int, Meta(ge=0, le=4294967295)] = 0
    forward_client_cert_details: ForwardClientCertDetails = ForwardClientCertDetails.UNDEFINED
    proxy_protocol: dict[str, Any] | None = None


class Switch(Struct, frozen=True, kw_only=True, rename="camel"):
    disabled: bool = False


class Server(Struct, frozen=True, kw_only=True, rename="camel"):
    disabled: bool = False
    value: str = ""


class Enabled(Struct, frozen=True, kw_only=True, rename="camel"):
    enabled: bool = False


class MaybeEnabled(Struct, frozen=True, kw_only=True, rename="camel"):
    enabled: bool | None = None


class SetCurrentClientCertDetails(Struct, frozen=True, kw_only=True, rename="camel"):
    subject: bool | None = None
    cert: bool | None = None
    chain: bool | None = None
    dns: bool | None = None
    uri: bool | None = None


class ProxyHeaders(Struct, frozen=True, kw_only=True, rename="camel"):
    forwarded_client_cert: ForwardClientCertDetails = ForwardClientCertDetails.UNDEFINED
    set_current_client_cert_details: SetCurrentClientCertDetails | None = None
    request_id: Switch | None = None
    server: Server | None = None
    envoy_debug_headers: Switch | None = None
    x_forwarded_port: Enabled | None = None
    x_forwarded_host: MaybeEnabled | None = None
    attempt_count: Switch | None = None
    preserve_http1_header_case: bool | None = None


class Profile(StrEnum):
    SIDECAR = "SIDECAR"
    EDGE = "EDGE"  # gateways have what Envoy advises for them, where nothing else is written


class HeadersWithUnderscores(StrEnum):
    UNSPECIFIED = "HEADERS_WITH_UNDERSCORES_UNSPECIFIED"
    ALLOW = "HEADERS_WITH_UNDERSCORES_ALLOW"
    REJECT_REQUEST = "HEADERS_WITH_UNDERSCORES_REJECT_REQUEST"
    DROP_HEADER = "HEADERS_WITH_UNDERSCORES_DROP_HEADER"


class PathWithEscapedSlashes(StrEnum):
    UNSPECIFIED = "PATH_WITH_ESCAPED_SLASHES_UNSPECIFIED"
    KEEP_UNCHANGED = "KEEP_UNCHANGED"
    REJECT_REQUEST = "REJECT_REQUEST"
    UNESCAPE_AND_REDIRECT = "UNESCAPE_AND_REDIRECT"
    UNESCAPE_AND_FORWARD = "UNESCAPE_AND_FORWARD"


Int32 = Annotated[int, Meta(ge=0, le=2147483647)]
Window = Annotated[int, Meta(ge=65535, le=2147483647)]
Streams = Annotated[int, Meta(ge=1, le=2147483647)]


class ConnectionSettings(Struct, frozen=True, kw_only=True, rename="camel"):
    """# Istio: ProxyConfig.ConnectionSettings (1.31); limits of HTTP/2 are Envoy's."""

    profile: Profile = Profile.SIDECAR
    listener_per_connection_buffer_limit_bytes: Int32 | None = None
    cluster_per_connection_buffer_limit_bytes: Int32 | None = None
    http_idle_timeout: str | None = None
    http_max_connection_duration: str | None = None
    http_drain_timeout: str | None = None
    http_request_timeout: str | None = None
    http_request_headers_timeout: str | None = None
    http_stream_idle_timeout: str | None = None
    http_max_stream_duration: str | None = None
    http_max_concurrent_streams: Streams | None = None
    http2_initial_stream_window_size: Window | None = None
    http2_initial_connection_window_size: Window | None = None
    http_headers_with_underscores_action: HeadersWithUnderscores = HeadersWithUnderscores.UNSPECIFIED
    http_merge_slashes: bool | None = None
    http_path_with_escaped_slashes_action: PathWithEscapedSlashes = PathWithEscapedSlashes.UNSPECIFIED
    listener_connection_limit: Int32 | None = None
    global_downstream_connection_limit: Int32 | None = None


DURATIONS = (
    "http_idle_timeout",
    "http_max_connection_duration",
    "http_drain_timeout",
    "http_request_timeout",
    "http_request_headers_timeout",
    "http_stream_idle_timeout",
    "http_max_stream_duration",
)
"""Attributes of ConnectionSettings."""


class ProxySettings(Struct, frozen=True, kw_only=True, rename="camel"):
    gateway_topology: GatewayTopology | None = None
    proxy_headers: ProxyHeaders | None = None
    connection_settings: ConnectionSettings | None = None
