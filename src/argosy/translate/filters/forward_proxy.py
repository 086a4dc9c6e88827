"""Requests to hosts the mesh does not know (explicit interception, ALLOW_ANY): resolved and forwarded by the sidecar.

The filter acts only where the route's cluster is a dynamic forward proxy; it notes the resolved address for
`loopback_guard`, which stands after it. A name may have several addresses, of which the guard sees the first and a
connection may take any: so addresses of the loopback are taken out of every answer before it is used. (Tried without:
a name with a dead address and 127.0.0.1 led to the loopback past the guard.)

It takes host and port of a request as the client wrote them. The port of a destination is told to it by two filters
that are off but for such routes (`per_route`): one takes the port off the name, one says both (Envoy's well-known
filter state, which its cluster goes by too).

`resolved_address_filter` is newer than our protobuf classes, and a cluster's configuration cannot go as a TypedStruct:
it is added to the bytes under its number. (`xds dump` therefore does not show it.)
"""

from __future__ import annotations

import ipaddress
from collections.abc import Iterator
from enum import Enum, auto

from envoy.config.cluster.v3 import cluster_pb2
from envoy.config.core.v3 import substitution_format_string_pb2
from envoy.config.listener.v3 import listener_components_pb2
from envoy.extensions.clusters.dynamic_forward_proxy.v3 import cluster_pb2 as forward_proxy_pb2
from envoy.extensions.common.dynamic_forward_proxy.v3 import dns_cache_pb2
from envoy.extensions.filters.common.set_filter_state.v3 import value_pb2
from envoy.extensions.filters.http.dynamic_forward_proxy.v3 import dynamic_forward_proxy_pb2
from envoy.extensions.filters.http.header_to_metadata.v3 import header_to_metadata_pb2
from envoy.extensions.filters.http.set_filter_state.v3 import set_filter_state_pb2
from envoy.extensions.filters.network.http_connection_manager.v3 import http_connection_manager_pb2
from envoy.extensions.filters.network.sni_dynamic_forward_proxy.v3 import (
    sni_dynamic_forward_proxy_pb2 as sni_forward_proxy_pb2,
)
from envoy.type.matcher.v3 import address_pb2 as address_matcher_pb2
from google.protobuf import any_pb2
from xds.core.v3 import cidr_pb2

from argosy.translate import wire
from argosy.translate.generator import field

NAME = "envoy.filters.http.dynamic_forward_proxy"
SNI_NAME = "envoy.filters.network.sni_dynamic_forward_proxy"
ASKED_HOST = "argosy.asked_host"
DESTINATION = "argosy.destination"
METADATA, HOST = "argosy.forward_proxy", "host"

# Linux connects 0.0.0.0 and :: to the loopback, and an IPv4-mapped address to its IPv4 one.
LOOPBACK = ("0.0.0.0/8", "127.0.0.0/8", "::/128", "::1/128", "::ffff:0.0.0.0/104", "::ffff:127.0.0.0/104")
RESOLVED_ADDRESS_FILTER = 16  # Envoy 1.40: DnsCacheConfig.resolved_address_filter, an AddressMatcher


def dns_cache() -> dns_cache_pb2.DnsCacheConfig:
    """One cache for the filter and every cluster that uses it: Envoy refuses other settings under the same name."""
    known = dns_cache_pb2.DnsCacheConfig(
        name="forward_proxy", dns_lookup_family=cluster_pb2.Cluster.V4_PREFERRED
    )
    networks = [ipaddress.ip_network(network) for network in LOOPBACK]
    loopback = address_matcher_pb2.AddressMatcher(
        ranges=[
            cidr_pb2.CidrRange(address_prefix=str(one.network_address), prefix_len=wire.uint32(one.prefixlen))
            for one in networks
        ]
    )
    newer = field(RESOLVED_ADDRESS_FILTER, loopback.SerializeToString(deterministic=True))
    return dns_cache_pb2.DnsCacheConfig.FromString(known.SerializeToString(deterministic=True) + newer)


def http_filters() -> tuple[http_connection_manager_pb2.HttpFilter, ...]:
    config = dynamic_forward_proxy_pb2.FilterConfig(
        dns_cache_config=dns_cache(), save_upstream_address=True, allow_dynamic_host_from_filter_state=True
    )
    http_filter = http_connection_manager_pb2.HttpFilter
    off = ((ASKED_HOST, header_to_metadata_pb2.Config()), (DESTINATION, set_filter_state_pb2.Config()))
    return (
        *(http_filter(name=name, typed_config=wire.pack(empty), disabled=True) for name, empty in off),
        http_filter(name=NAME, typed_config=wire.pack(config)),
    )


def per_route(port: int, authority: str = "") -> Iterator[tuple[str, any_pb2.Any]]:
    """Requests of a route go to this port, whatever port their host names. `authority`: of a route that writes
    another host."""
    if not authority:
        named = header_to_metadata_pb2.Config.KeyValuePair(metadata_namespace=METADATA, key=HOST)
        named.regex_value_rewrite.pattern.regex = "^(.*?)(:[0-9]*)?$"
        named.regex_value_rewrite.substitution = r"\1"
        rule = header_to_metadata_pb2.Config.Rule(header=":authority", on_header_present=named)
        yield ASKED_HOST, wire.pack(header_to_metadata_pb2.Config(request_rules=[rule]))
    host = without_port(authority).replace("%", "%%") or f"%DYNAMIC_METADATA({METADATA}:{HOST})%"
    said = (("envoy.upstream.dynamic_host", host), ("envoy.upstream.dynamic_port", str(port)))
    yield (
        DESTINATION,
        wire.pack(set_filter_state_pb2.Config(on_request_headers=[_said(key, text) for key, text in said])),
    )


def without_port(authority: str) -> str:
    name, _, port = authority.rpartition(":")
    return name if name and port.isdigit() else authority


def _said(key: str, text: str) -> value_pb2.FilterStateValue:
    out = value_pb2.FilterStateValue(object_key=key)
    out.format_string.CopyFrom(_text(text))
    return out


def _text(text: str) -> substitution_format_string_pb2.SubstitutionFormatString:
    out = substitution_format_string_pb2.SubstitutionFormatString()
    out.text_format_source.inline_string = text
    return out


def network_filter(port: int) -> listener_components_pb2.Filter:
    """Before a TCP proxy to such a cluster: the name in the TLS hello is looked up."""
    config = sni_forward_proxy_pb2.FilterConfig(dns_cache_config=dns_cache(), port_value=port)
    return listener_components_pb2.Filter(name=SNI_NAME, typed_config=wire.pack(config))


class Verification(Enum):
    """Which names a TLS server has to prove."""

    OF_THE_HOST = auto()  # the one asked for
    AS_WRITTEN = auto()  # what configuration says; Envoy wants to be told that this is meant


def cluster_config(verification: Verification = Verification.OF_THE_HOST) -> any_pb2.Any:
    return wire.pack(
        forward_proxy_pb2.ClusterConfig(
            dns_cache_config=dns_cache(),
            allow_insecure_cluster_options=verification is Verification.AS_WRITTEN,
        )
    )
