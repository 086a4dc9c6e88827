"""Requests to hosts the mesh does not know (explicit interception, ALLOW_ANY): resolved and forwarded by the sidecar.

The filter acts only where the route's cluster is a dynamic forward proxy; it notes the resolved address for
`loopback_guard`, which stands after it.
"""

from __future__ import annotations

from envoy.config.cluster.v3 import cluster_pb2
from envoy.extensions.common.dynamic_forward_proxy.v3 import dns_cache_pb2
from envoy.extensions.filters.http.dynamic_forward_proxy.v3 import dynamic_forward_proxy_pb2
from envoy.extensions.filters.network.http_connection_manager.v3 import http_connection_manager_pb2

from argosy.translate import wire

NAME = "envoy.filters.http.dynamic_forward_proxy"


def dns_cache() -> dns_cache_pb2.DnsCacheConfig:
    """One cache for the filter and every cluster that uses it: Envoy wants the same settings under the same name."""
    return dns_cache_pb2.DnsCacheConfig(
        name="forward_proxy", dns_lookup_family=cluster_pb2.Cluster.V4_PREFERRED
    )


def http_filter() -> http_connection_manager_pb2.HttpFilter:
    config = dynamic_forward_proxy_pb2.FilterConfig(dns_cache_config=dns_cache(), save_upstream_address=True)
    return http_connection_manager_pb2.HttpFilter(name=NAME, typed_config=wire.pack(config))
