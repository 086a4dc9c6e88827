"""PeerAuthentication per request: STRICT lets in only requests of a peer that proved a SPIFFE identity.

The filter chains decide for new connections; this filter, delivered by ECDS, makes a change apply at once to pooled
ones, which a listener update leaves alone for the drain time. There is no default configuration: while it is missing
Envoy answers 500 and lets nothing in.
"""

from __future__ import annotations

from envoy.config.rbac.v3 import rbac_pb2
from envoy.extensions.filters.http.rbac.v3 import rbac_pb2 as filter_pb2
from envoy.extensions.filters.network.http_connection_manager.v3 import http_connection_manager_pb2
from envoy.type.matcher.v3 import string_pb2

from argosy.model.ir import MtlsMode
from argosy.translate import names, wire
from argosy.translate.resource import TYPE


def http_filter(port: int) -> http_connection_manager_pb2.HttpFilter:
    """The place in the chain: what is there comes by ECDS."""
    out = http_connection_manager_pb2.HttpFilter(name=names.peer_authentication(port))
    out.config_discovery.config_source.CopyFrom(wire.ads())
    out.config_discovery.type_urls.append(TYPE + filter_pb2.RBAC.DESCRIPTOR.full_name)
    return out


def config(mode: MtlsMode) -> filter_pb2.RBAC:
    if mode is not MtlsMode.STRICT:
        return filter_pb2.RBAC()  # no rules: everything passes
    proven = rbac_pb2.Principal(
        authenticated=rbac_pb2.Principal.Authenticated(
            principal_name=string_pb2.StringMatcher(prefix="spiffe://")
        )
    )
    policy = rbac_pb2.Policy(permissions=[rbac_pb2.Permission(any=True)], principals=[proven])
    return filter_pb2.RBAC(
        rules=rbac_pb2.RBAC(action=rbac_pb2.RBAC.ALLOW, policies={"peer-authentication": policy}),
        rules_stat_prefix="peer_authentication_",
    )
