"""The last HTTP filter: sends the request where its route says."""

from __future__ import annotations

from envoy.extensions.filters.http.router.v3 import router_pb2
from envoy.extensions.filters.network.http_connection_manager.v3 import http_connection_manager_pb2

from argosy.translate import wire

NAME = "envoy.filters.http.router"


def http_filter() -> http_connection_manager_pb2.HttpFilter:
    return http_connection_manager_pb2.HttpFilter(name=NAME, typed_config=wire.pack(router_pb2.Router()))
