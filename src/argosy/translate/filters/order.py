"""The order of HTTP filters, in one list for each place. A filter that is not listed here runs nowhere."""

from __future__ import annotations

from enum import Enum, auto

from envoy.extensions.filters.network.http_connection_manager.v3 import http_connection_manager_pb2

from argosy.model.proxy_settings import ProxySettings
from argosy.translate.filters import (
    authorization,
    cors,
    fault,
    forward_proxy,
    loopback_guard,
    peer_authentication,
    request_authentication,
    router,
)
from argosy.translate.filters.authorization import BEFORE_TOKENS, BEHIND_TOKENS

AS_USUAL = ProxySettings()


class Resolving(Enum):
    """Whether some host of the listener is looked up by the proxy, by its name in the request (DYNAMIC_DNS)."""

    NEVER = auto()
    BY_NAME = auto()


HttpFilters = tuple[http_connection_manager_pb2.HttpFilter, ...]


def inbound(port: int, told_apart: int = 0, proxy: ProxySettings = AS_USUAL) -> HttpFilters:
    """Requests to the application of a workload port. `told_apart`: see `names.authorization`."""
    return (
        peer_authentication.http_filter(port),  # who may not even speak
        *_of_tokens(told_apart),
        *authorization.http_filters(told_apart, BEHIND_TOKENS),
        router.http_filter(proxy),
    )


def _of_tokens(told_apart: int) -> HttpFilters:
    """Whose tokens are taken. Who is asked from outside may bring one, but writes no claims."""
    claims, tokens = request_authentication.http_filters()
    return (claims, *authorization.http_filters(told_apart, BEFORE_TOKENS), tokens)


def outbound(proxy: ProxySettings = AS_USUAL, resolves: Resolving = Resolving.NEVER) -> HttpFilters:
    """Requests of the application to services (redirect), or to one declared upstream (explicit)."""
    return (
        cors.http_filter(),
        fault.http_filter(),
        *(forward_proxy.http_filters() if resolves is Resolving.BY_NAME else ()),  # hosts under a wildcard
        router.http_filter(proxy),
    )


def outbound_proxy(own_addresses: tuple[str, ...], proxy: ProxySettings = AS_USUAL) -> HttpFilters:
    """Requests of the application to any host (explicit)."""
    return (
        cors.http_filter(),
        fault.http_filter(),
        *forward_proxy.http_filters(),  # resolves unknown hosts …
        loopback_guard.http_filter(own_addresses),  # … and this judges what they resolved to
        router.http_filter(proxy),
    )


def gateway(
    told_apart: int = 0, proxy: ProxySettings = AS_USUAL, resolves: Resolving = Resolving.NEVER
) -> HttpFilters:
    """Requests from outside the mesh. `told_apart`: see `names.authorization`."""
    return (
        *_of_tokens(told_apart),  # what follows may go by the claims
        cors.http_filter(),  # answers what a browser asks beforehand, which says nothing of who asks
        *authorization.http_filters(told_apart, BEHIND_TOKENS),
        fault.http_filter(),
        *(forward_proxy.http_filters() if resolves is Resolving.BY_NAME else ()),  # hosts under a wildcard
        router.http_filter(proxy),
    )
