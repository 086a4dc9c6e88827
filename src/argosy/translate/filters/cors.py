"""Cross-origin requests: idle in the chain, configured per route."""

from __future__ import annotations

from envoy.extensions.filters.http.cors.v3 import cors_pb2
from envoy.extensions.filters.network.http_connection_manager.v3 import http_connection_manager_pb2
from google.protobuf import any_pb2

from argosy.model.ir import Cors
from argosy.translate import wire
from argosy.translate.match import string_matcher

NAME = "envoy.filters.http.cors"


def http_filter() -> http_connection_manager_pb2.HttpFilter:
    return http_connection_manager_pb2.HttpFilter(name=NAME, typed_config=wire.pack(cors_pb2.Cors()))


def per_route(cors: Cors) -> any_pb2.Any:
    out = cors_pb2.CorsPolicy(
        allow_origin_string_match=[string_matcher(origin) for origin in cors.allow_origins],
        allow_methods=",".join(cors.allow_methods),
        allow_headers=",".join(cors.allow_headers),
        expose_headers=",".join(cors.expose_headers),
    )
    out.filter_enabled.default_value.numerator = 100
    if cors.max_age is not None:
        out.max_age = str(cors.max_age // 1000)
    if cors.allow_credentials is not None:
        out.allow_credentials.value = cors.allow_credentials
    if cors.unmatched_preflights:
        out.forward_not_matching_preflights.value = cors.unmatched_preflights != "IGNORE"
    return wire.pack(out)
