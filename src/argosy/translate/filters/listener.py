"""Listener filters: what is learnt of a connection before a filter chain is chosen."""

from __future__ import annotations

from envoy.config.listener.v3 import listener_components_pb2
from envoy.extensions.filters.listener.http_inspector.v3 import http_inspector_pb2
from envoy.extensions.filters.listener.original_dst.v3 import original_dst_pb2
from envoy.extensions.filters.listener.proxy_protocol.v3 import proxy_protocol_pb2
from envoy.extensions.filters.listener.tls_inspector.v3 import tls_inspector_pb2

from argosy.translate import wire


def tls_inspector() -> listener_components_pb2.ListenerFilter:
    """TLS or not, ALPN, SNI."""
    return listener_components_pb2.ListenerFilter(
        name="envoy.filters.listener.tls_inspector",
        typed_config=wire.pack(tls_inspector_pb2.TlsInspector()),
    )


def http_inspector() -> listener_components_pb2.ListenerFilter:
    """HTTP or not, for ports without a declared protocol."""
    return listener_components_pb2.ListenerFilter(
        name="envoy.filters.listener.http_inspector",
        typed_config=wire.pack(http_inspector_pb2.HttpInspector()),
    )


def proxy_protocol() -> listener_components_pb2.ListenerFilter:
    """Where a connection comes from, as the proxy before says in its first bytes."""
    return listener_components_pb2.ListenerFilter(
        name="envoy.filters.listener.proxy_protocol",
        typed_config=wire.pack(proxy_protocol_pb2.ProxyProtocol()),
    )


def original_destination() -> listener_components_pb2.ListenerFilter:
    """Where a captured connection wanted to go."""
    return listener_components_pb2.ListenerFilter(
        name="envoy.filters.listener.original_dst",
        typed_config=wire.pack(original_dst_pb2.OriginalDst()),
    )
