"""The last HTTP filter: sends the request where its route says."""

from __future__ import annotations

from envoy.extensions.filters.http.router.v3 import router_pb2
from envoy.extensions.filters.network.http_connection_manager.v3 import http_connection_manager_pb2

from argosy.model.proxy_settings import ProxySettings
from argosy.translate import wire

NAME = "envoy.filters.http.router"


def http_filter(proxy: ProxySettings) -> http_connection_manager_pb2.HttpFilter:
    config = router_pb2.Router(suppress_envoy_headers=not proxy.debug_headers)
    return http_connection_manager_pb2.HttpFilter(name=NAME, typed_config=wire.pack(config))
