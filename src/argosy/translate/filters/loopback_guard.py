"""What the forward proxy must not reach: the loopback and the host's own addresses, judged by the *resolved* address.

Without it any client of the proxy could reach what listens on the loopback for others (administration ports, the
applications and inbound listeners of neighbours), past their policies. A virtual host that leads nowhere but to
clusters of the mesh says so (`passes`); there is no address to judge there, and Envoy would warn of that at every
request. What does not say so is judged.
"""

from __future__ import annotations

import ipaddress

from envoy.config.core.v3 import address_pb2
from envoy.config.rbac.v3 import rbac_pb2
from envoy.config.route.v3 import route_components_pb2
from envoy.extensions.filters.http.rbac.v3 import rbac_pb2 as filter_pb2
from envoy.extensions.filters.network.http_connection_manager.v3 import http_connection_manager_pb2
from envoy.extensions.rbac.matchers.upstream_ip_port.v3 import upstream_ip_port_matcher_pb2
from google.protobuf import any_pb2

from argosy.translate import wire
from argosy.translate.filters.forward_proxy import LOOPBACK

NAME = "argosy.loopback_guard"


def http_filter(own_addresses: tuple[str, ...]) -> http_connection_manager_pb2.HttpFilter:
    """Refuses (403) requests whose resolved address is the loopback or one of `own_addresses`."""
    networks = (*LOOPBACK, *(own for own in own_addresses if _is_address(own)))
    rules = rbac_pb2.Permission.Set(rules=[_reaches(network) for network in networks])
    policy = rbac_pb2.Policy(
        permissions=[rbac_pb2.Permission(or_rules=rules)], principals=[rbac_pb2.Principal(any=True)]
    )
    config = filter_pb2.RBAC(
        rules=rbac_pb2.RBAC(action=rbac_pb2.RBAC.DENY, policies={"loopback": policy}),
        rules_stat_prefix="loopback_guard_",
    )
    return http_connection_manager_pb2.HttpFilter(name=NAME, typed_config=wire.pack(config))


def passes() -> any_pb2.Any:
    """Of a virtual host that the forward proxy does not serve."""
    return wire.pack(route_components_pb2.FilterConfig(disabled=True))


def _reaches(network: str) -> rbac_pb2.Permission:
    parsed = ipaddress.ip_network(network)
    range_ = address_pb2.CidrRange(
        address_prefix=str(parsed.network_address), prefix_len=wire.uint32(parsed.prefixlen)
    )
    matcher = upstream_ip_port_matcher_pb2.UpstreamIpPortMatcher(upstream_ip=range_)
    return rbac_pb2.Permission(matcher=wire.extension("envoy.rbac.matchers.upstream_ip_port", matcher))


def _is_address(text: str) -> bool:
    try:
        address = ipaddress.ip_address(text)
    except ValueError:
        return False
    return not address.is_unspecified
