"""GRPCRoute: which gRPC call goes where, and what is done to it on the way.

# Gateway API: apis/v1/grpcroute_types.go
"""

from __future__ import annotations

from typing import Annotated, Literal

from msgspec import Meta, Struct

from argosy.resources.gateway_api.http_route import (
    HeaderValue,
    HTTPHeaderFilter,
    HTTPRequestMirrorFilter,
    MatchType,
    Path,
)
from argosy.resources.gateway_api.references import (
    ATOMIC,
    BY_NAME,
    BackendRef,
    HeaderName,
    Hostnames,
    LocalObjectReference,
    RouteSpec,
    RouteStatus,
    SectionName,
    SessionPersistence,
)
from argosy.resources.meta import Object


class GRPCMethodMatch(Struct, frozen=True, kw_only=True, rename="camel", omit_defaults=True):
    """Which calls are meant: by service, method or both."""

    type: MatchType = MatchType.EXACT
    """Exact, which is the default, or RegularExpression (RE2)."""
    service: Path | None = None
    """The service with its package, as shop.Reviews; left out: every service."""
    method: Path | None = None
    """The method; left out: every method."""


class GRPCHeaderMatch(Struct, frozen=True, kw_only=True, rename="camel", omit_defaults=True):
    """Which value a header (metadata) must have."""

    name: HeaderName
    """The name of the header, in any case."""
    value: HeaderValue
    """The value."""
    type: MatchType = MatchType.EXACT
    """Exact, which is the default, or RegularExpression (RE2, of the whole value)."""


class GRPCRouteMatch(Struct, frozen=True, kw_only=True, rename="camel", omit_defaults=True):
    """Which calls are meant: ALL of what is set must hold."""

    method: GRPCMethodMatch | None = None
    """Service and method; left out: every call."""
    headers: Annotated[tuple[GRPCHeaderMatch, ...], Meta(max_length=16), BY_NAME] = ()
    """Headers, ALL of them."""


class GRPCRouteFilter(Struct, frozen=True, kw_only=True, rename="camel", omit_defaults=True):
    """What is done to calls or answers: the one field that `type` names is set."""

    type: Literal["RequestHeaderModifier", "ResponseHeaderModifier", "RequestMirror", "ExtensionRef"]
    """Which of the fields is set."""
    request_header_modifier: HTTPHeaderFilter | None = None
    """Changes headers of calls."""
    response_header_modifier: HTTPHeaderFilter | None = None
    """Changes headers of answers."""
    request_mirror: HTTPRequestMirrorFilter | None = None
    """Sends copies of calls elsewhere."""
    extension_ref: LocalObjectReference | None = None
    """An object of the controller's own that says what is done."""


GRPCFilters = Annotated[tuple[GRPCRouteFilter, ...], Meta(max_length=16), ATOMIC]


class GRPCBackendRef(BackendRef, frozen=True, kw_only=True, rename="camel", omit_defaults=True):
    """Where a share of the calls goes, and what is done to them."""

    filters: GRPCFilters = ()
    """What is done to the calls of this backend alone."""


class GRPCRouteRule(Struct, frozen=True, kw_only=True, rename="camel", omit_defaults=True):
    """What becomes of calls that match."""

    name: SectionName | None = None
    """The name of the rule, once in each route."""
    matches: Annotated[tuple[GRPCRouteMatch, ...], Meta(max_length=64), ATOMIC] = ()
    """Which calls are meant, ANY of them; none: all. Of all routes the most specific match wins."""
    filters: GRPCFilters = ()
    """What is done to calls and answers."""
    backend_refs: Annotated[tuple[GRPCBackendRef, ...], Meta(max_length=16), ATOMIC] = ()
    """Where calls go, each backend with its share; none: they are answered with UNAVAILABLE."""
    session_persistence: SessionPersistence | None = None
    """Calls of one session go to one endpoint. Experimental."""


class GRPCRouteSpec(RouteSpec, frozen=True, kw_only=True, rename="camel", omit_defaults=True):
    """For which hosts, and what becomes of their calls."""

    hostnames: Hostnames = ()
    """The hosts, perhaps with *. before them; none: those of the listener."""
    rules: Annotated[tuple[GRPCRouteRule, ...], Meta(max_length=16), ATOMIC] = ()
    """What becomes of calls."""


class GRPCRoute(Object, frozen=True, kw_only=True, rename="camel", omit_defaults=True):
    """Which gRPC call goes where, and what is done to it on the way."""

    spec: GRPCRouteSpec = GRPCRouteSpec()
    """For which hosts, and what becomes of their calls."""
    status: RouteStatus = RouteStatus()
    """How the route stands with its parents. Programs write it; people read it."""
