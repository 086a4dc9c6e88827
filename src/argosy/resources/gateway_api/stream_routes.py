"""TLSRoute, TCPRoute, UDPRoute: where connections and datagrams go.

# Gateway API: apis/v1/{tlsroute,tcproute,udproute}_types.go
"""

from __future__ import annotations

from typing import Annotated

from msgspec import Meta, Struct

from argosy.resources.gateway_api.references import (
    ATOMIC,
    BackendRefs,
    Hostname,
    RouteSpec,
    RouteStatus,
    SectionName,
)
from argosy.resources.meta import Object


class TLSRouteRule(Struct, frozen=True, kw_only=True, rename="camel", omit_defaults=True):
    """Where connections go."""

    backend_refs: BackendRefs
    """The backends, each with its share."""
    name: SectionName | None = None
    """The name of the rule, once in each route."""


class TLSRouteSpec(RouteSpec, frozen=True, kw_only=True, rename="camel", omit_defaults=True):
    """For which hosts, and where their connections go."""

    rules: Annotated[tuple[TLSRouteRule, ...], Meta(min_length=1, max_length=16), ATOMIC]
    """Where connections go: one rule; up to 16 in v1alpha2 and v1alpha3."""
    hostnames: Annotated[tuple[Hostname, ...], Meta(max_length=1024), ATOMIC] = ()
    """The hosts that clients ask for (SNI), perhaps with *. before them; at least one, but in v1alpha2."""


class TLSRoute(Object, frozen=True, kw_only=True, rename="camel", omit_defaults=True):
    """Where TLS connections go, by the host that the client asks for."""

    spec: TLSRouteSpec
    """For which hosts, and where their connections go."""
    status: RouteStatus = RouteStatus()
    """How the route stands with its parents. Programs write it; people read it."""


class TCPRouteRule(Struct, frozen=True, kw_only=True, rename="camel", omit_defaults=True):
    """Where connections go."""

    backend_refs: BackendRefs
    """The backends, each with its share."""
    name: SectionName | None = None
    """The name of the rule, once in each route."""


class TCPRouteSpec(RouteSpec, frozen=True, kw_only=True, rename="camel", omit_defaults=True):
    """Where connections of a listener go."""

    rules: Annotated[tuple[TCPRouteRule, ...], Meta(min_length=1, max_length=16), ATOMIC]
    """Where connections go: one rule; up to 16 in v1alpha2."""


class TCPRoute(Object, frozen=True, kw_only=True, rename="camel", omit_defaults=True):
    """Where TCP connections of a listener go."""

    spec: TCPRouteSpec
    """Where connections go."""
    status: RouteStatus = RouteStatus()
    """How the route stands with its parents. Programs write it; people read it."""


class UDPRouteRule(Struct, frozen=True, kw_only=True, rename="camel", omit_defaults=True):
    """Where datagrams go."""

    backend_refs: BackendRefs
    """The backends, each with its share."""
    name: SectionName | None = None
    """The name of the rule, once in each route."""


class UDPRouteSpec(RouteSpec, frozen=True, kw_only=True, rename="camel", omit_defaults=True):
    """Where datagrams of a listener go."""

    rules: Annotated[tuple[UDPRouteRule, ...], Meta(min_length=1, max_length=16), ATOMIC]
    """Where datagrams go: one rule; up to 16 in v1alpha2."""


class UDPRoute(Object, frozen=True, kw_only=True, rename="camel", omit_defaults=True):
    """Where UDP datagrams of a listener go."""

    spec: UDPRouteSpec
    """Where datagrams go."""
    status: RouteStatus = RouteStatus()
    """How the route stands with its parents. Programs write it; people read it."""
