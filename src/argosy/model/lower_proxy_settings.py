"""MeshConfig's defaultConfig, as far as proxies get it while they run, to `ProxySettings`.

Facts (Istio): a certificate's details that are given are all there are; the server's name is written where it has a
value, and left as it comes where it is disabled.
"""

from __future__ import annotations

from typing import Any

import msgspec

from argosy.model.errors import LoweringError
from argosy.model.lower_http import milliseconds
from argosy.model.proxy_settings import (
    CertificateDetails,
    Connections,
    ForwardedCertificate,
    ProxySettings,
)
from argosy.resources import proxy_settings as written


def lower(config: dict[str, Any], field: str) -> ProxySettings:
    try:
        said = msgspec.convert(config, written.ProxySettings, str_keys=True)
    except msgspec.ValidationError as error:
        raise LoweringError(field, str(error)) from error
    topology = said.gateway_topology or written.GatewayTopology()
    headers = said.proxy_headers or written.ProxyHeaders()
    connections = said.connection_settings or written.ConnectionSettings()
    at_edge = _edge(connections)
    return ProxySettings(
        trusted_proxies=topology.num_trusted_proxies,
        gateway_certificate=_certificate(topology.forward_client_cert_details),
        proxy_protocol=topology.proxy_protocol is not None,
        sidecar_certificate=_certificate(headers.forwarded_client_cert),
        sidecar_details=_details(headers.set_current_client_cert_details),
        request_id=not (headers.request_id and headers.request_id.disabled),
        server=_server(headers.server),
        forwarded_port=bool(headers.x_forwarded_port and headers.x_forwarded_port.enabled),
        debug_headers=not (headers.envoy_debug_headers and headers.envoy_debug_headers.disabled),
        attempt_count=not (headers.attempt_count and headers.attempt_count.disabled),
        forwarded_host=headers.x_forwarded_host.enabled if headers.x_forwarded_host else None,
        preserve_case=bool(headers.preserve_http1_header_case),
        connections=_connections(connections, field),
        gateway_connections=_connections(at_edge, field),
        cluster_buffer=connections.cluster_per_connection_buffer_limit_bytes,
        gateway_cluster_buffer=at_edge.cluster_per_connection_buffer_limit_bytes,
    )


_EDGE: dict[str, Any] = {
    "listener_per_connection_buffer_limit_bytes": 32 << 10,
    "cluster_per_connection_buffer_limit_bytes": 32 << 10,
    "http_idle_timeout": "1h",
    "http_stream_idle_timeout": "5m",
    "http_request_timeout": "5m",
    "http_request_headers_timeout": "60s",
    "http_max_concurrent_streams": 100,
    "http2_initial_stream_window_size": 64 << 10,
    "http2_initial_connection_window_size": 1 << 20,
    "http_headers_with_underscores_action": written.HeadersWithUnderscores.REJECT_REQUEST,
    "http_merge_slashes": True,
    "http_path_with_escaped_slashes_action": written.PathWithEscapedSlashes.UNESCAPE_AND_REDIRECT,
}
"""Facts (Istio): what gateways have by the profile EDGE, where nothing else is written."""


def _edge(said: written.ConnectionSettings) -> written.ConnectionSettings:
    if said.profile is not written.Profile.EDGE:
        return said
    unset = written.ConnectionSettings()
    missing = {name: value for name, value in _EDGE.items() if getattr(said, name) == getattr(unset, name)}
    return msgspec.structs.replace(said, **missing)


def _connections(said: written.ConnectionSettings, field: str) -> Connections:
    def time(attribute: str) -> int | None:
        return milliseconds(getattr(said, attribute), f"{field}.connectionSettings.{attribute}")

    underscores, slashes = (
        said.http_headers_with_underscores_action,
        said.http_path_with_escaped_slashes_action,
    )
    return Connections(
        listener_buffer=said.listener_per_connection_buffer_limit_bytes,
        idle_timeout=time("http_idle_timeout"),
        max_duration=time("http_max_connection_duration"),
        drain_timeout=time("http_drain_timeout"),
        request_timeout=time("http_request_timeout"),
        headers_timeout=time("http_request_headers_timeout"),
        stream_idle_timeout=time("http_stream_idle_timeout"),
        max_stream_duration=time("http_max_stream_duration"),
        max_streams=said.http_max_concurrent_streams,
        stream_window=said.http2_initial_stream_window_size,
        connection_window=said.http2_initial_connection_window_size,
        underscores=""
        if underscores is written.HeadersWithUnderscores.UNSPECIFIED
        else underscores.value.removeprefix("HEADERS_WITH_UNDERSCORES_"),
        merge_slashes=said.http_merge_slashes,
        escaped_slashes="" if slashes is written.PathWithEscapedSlashes.UNSPECIFIED else slashes.value,
    )


def _certificate(said: written.ForwardClientCertDetails) -> ForwardedCertificate:
    if said is written.ForwardClientCertDetails.UNDEFINED:
        return ForwardedCertificate.SANITIZE_SET
    return ForwardedCertificate(said.value)


def _details(said: written.SetCurrentClientCertDetails | None) -> CertificateDetails | None:
    if said is None:
        return None
    return CertificateDetails(
        subject=bool(said.subject),
        cert=bool(said.cert),
        chain=bool(said.chain),
        dns=bool(said.dns),
        uri=bool(said.uri),
    )


def _server(said: written.Server | None) -> str | None:
    if said is None or not (said.disabled or said.value):
        return None
    return "" if said.disabled else said.value
