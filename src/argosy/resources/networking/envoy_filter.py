"""EnvoyFilter: changes to the Envoy configuration that the other kinds have led to.

# Istio: networking/v1alpha3/envoy_filter.proto
"""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated, Any

from msgspec import Meta, Struct

from argosy.resources.meta import Object, Status
from argosy.resources.networking.service_entry import WorkloadSelector
from argosy.resources.networking.virtual_service import Int32, UInt32
from argosy.resources.selector import PolicyTargetReference

PortNumber = Annotated[int, Meta(ge=1, le=65535)]


class ApplyTo(StrEnum):
    INVALID = "INVALID"
    LISTENER = "LISTENER"
    FILTER_CHAIN = "FILTER_CHAIN"
    NETWORK_FILTER = "NETWORK_FILTER"
    HTTP_FILTER = "HTTP_FILTER"
    ROUTE_CONFIGURATION = "ROUTE_CONFIGURATION"
    VIRTUAL_HOST = "VIRTUAL_HOST"
    HTTP_ROUTE = "HTTP_ROUTE"
    CLUSTER = "CLUSTER"
    EXTENSION_CONFIG = "EXTENSION_CONFIG"
    BOOTSTRAP = "BOOTSTRAP"
    LISTENER_FILTER = "LISTENER_FILTER"


class PatchContext(StrEnum):
    ANY = "ANY"
    SIDECAR_INBOUND = "SIDECAR_INBOUND"
    SIDECAR_OUTBOUND = "SIDECAR_OUTBOUND"
    GATEWAY = "GATEWAY"
    WAYPOINT = "WAYPOINT"


class Operation(StrEnum):
    INVALID = "INVALID"
    MERGE = "MERGE"
    ADD = "ADD"
    REMOVE = "REMOVE"
    INSERT_BEFORE = "INSERT_BEFORE"
    INSERT_AFTER = "INSERT_AFTER"
    INSERT_FIRST = "INSERT_FIRST"
    REPLACE = "REPLACE"


class FilterClass(StrEnum):
    UNSPECIFIED = "UNSPECIFIED"
    AUTHN = "AUTHN"
    AUTHZ = "AUTHZ"
    STATS = "STATS"


class RouteActionMatch(StrEnum):
    ANY = "ANY"
    ROUTE = "ROUTE"
    REDIRECT = "REDIRECT"
    DIRECT_RESPONSE = "DIRECT_RESPONSE"


class ProxyMatch(Struct, frozen=True, kw_only=True, rename="camel", omit_defaults=True):
    """Which proxies are meant: all that is set must hold."""

    proxy_version: str = ""
    """A regular expression (RE2) for the version that the proxy says it is."""
    metadata: dict[str, str] = {}
    """What the metadata of the proxy's node must hold."""


class ClusterMatch(Struct, frozen=True, kw_only=True, rename="camel", omit_defaults=True):
    """Which clusters are meant: all that is set must hold."""

    port_number: UInt32 = 0
    """The port of the service that the cluster is for."""
    service: str = ""
    """The host of the service that the cluster is for."""
    subset: str = ""
    """The subset of the service that the cluster is for."""
    name: str = ""
    """The name of the cluster; then nothing else is set."""


class RouteMatch(Struct, frozen=True, kw_only=True, rename="camel", omit_defaults=True):
    """Which routes of a virtual host are meant: all that is set must hold."""

    name: str = ""
    """The name of the route: that of the VirtualService's route, or default."""
    action: RouteActionMatch = RouteActionMatch.ANY
    """What the route does: ROUTE sends on, REDIRECT and DIRECT_RESPONSE answer; ANY is each of them."""


class VirtualHostMatch(Struct, frozen=True, kw_only=True, rename="camel", omit_defaults=True):
    """Which virtual hosts of a route configuration are meant: all that is set must hold."""

    name: str = ""
    """The name of the virtual host, as HOST:PORT."""
    domain_name: str = ""
    """One of the domains of the virtual host."""
    route: RouteMatch | None = None
    """Which of its routes are meant."""


class RouteConfigurationMatch(Struct, frozen=True, kw_only=True, rename="camel", omit_defaults=True):
    """Which route configurations are meant: all that is set must hold."""

    port_number: UInt32 = 0
    """The port of the service, or of the gateway's server."""
    port_name: str = ""
    """The name of the port of the gateway's server."""
    gateway: str = ""
    """The Gateway, as NAMESPACE/NAME."""
    vhost: VirtualHostMatch | None = None
    """Which of its virtual hosts are meant."""
    name: str = ""
    """The name of the route configuration."""


class SubFilterMatch(Struct, frozen=True, kw_only=True, rename="camel", omit_defaults=True):
    """A filter within a filter."""

    name: str = ""
    """The name of the filter, as envoy.filters.http.router."""


class FilterMatch(Struct, frozen=True, kw_only=True, rename="camel", omit_defaults=True):
    """A filter of a filter chain."""

    name: str = ""
    """The name of the filter, as envoy.filters.network.http_connection_manager."""
    sub_filter: SubFilterMatch | None = None
    """A filter within it: an HTTP filter within the connection manager."""


class FilterChainMatch(Struct, frozen=True, kw_only=True, rename="camel", omit_defaults=True):
    """Which filter chains of a listener are meant: all that is set must hold."""

    name: str = ""
    """The name of the filter chain."""
    sni: str = ""
    """A server name (SNI) that the chain is for."""
    transport_protocol: str = ""
    """What the chain is for: raw_buffer or tls. Only inbound at sidecars."""
    application_protocols: str = ""
    """Protocols that the chain is for, with commas between them, as in h2,http/1.1."""
    filter: FilterMatch | None = None
    """Which of its filters is meant."""
    destination_port: UInt32 = 0
    """The port that the chain is for."""


class ListenerMatch(Struct, frozen=True, kw_only=True, rename="camel", omit_defaults=True):
    """Which listeners are meant: all that is set must hold."""

    port_number: UInt32 = 0
    """The port of the service, or of the gateway's server."""
    port_name: str = ""
    """Without effect, as in Istio."""
    filter_chain: FilterChainMatch | None = None
    """Which of its filter chains are meant."""
    listener_filter: str = ""
    """The name of a listener filter."""
    name: str = ""
    """The name of the listener, as in 0.0.0.0_80."""


class WaypointRouteMatch(Struct, frozen=True, kw_only=True, rename="camel", omit_defaults=True):
    """A route of a waypoint."""

    name: str = ""
    """The name of the route."""


class WaypointMatch(Struct, frozen=True, kw_only=True, rename="camel", omit_defaults=True):
    """Which parts of a waypoint are meant: all that is set must hold."""

    port_number: PortNumber | None = None
    """The port of the service behind the waypoint."""
    filter: FilterMatch | None = None
    """Which filter is meant."""
    route: WaypointRouteMatch | None = None
    """Which route is meant."""


class EnvoyConfigObjectMatch(Struct, frozen=True, kw_only=True, rename="camel", omit_defaults=True):
    """Where a patch is applied: at most one of listener, routeConfiguration, cluster and waypoint, fit for applyTo."""

    context: PatchContext = PatchContext.ANY
    """Which side of a proxy is meant: SIDECAR_INBOUND, SIDECAR_OUTBOUND, GATEWAY or WAYPOINT; ANY is each but the
    last."""
    proxy: ProxyMatch | None = None
    """Which proxies are meant."""
    listener: ListenerMatch | None = None
    """Which listeners are meant."""
    route_configuration: RouteConfigurationMatch | None = None
    """Which route configurations are meant."""
    cluster: ClusterMatch | None = None
    """Which clusters are meant."""
    waypoint: WaypointMatch | None = None
    """Which parts of a waypoint are meant; needed with context WAYPOINT, and for it alone."""


class Patch(Struct, frozen=True, kw_only=True, rename="camel", omit_defaults=True):
    """How what is matched is changed."""

    operation: Operation = Operation.INVALID
    """MERGE, ADD, REMOVE, INSERT_BEFORE, INSERT_AFTER, INSERT_FIRST or REPLACE."""
    value: dict[str, Any] | None = None
    """A part of Envoy's configuration, of the type that applyTo says; for every operation but REMOVE."""
    filter_class: FilterClass = FilterClass.UNSPECIFIED
    """Where ADD puts a filter: behind those of AUTHN or AUTHZ, or before those of STATS."""


class EnvoyConfigObjectPatch(Struct, frozen=True, kw_only=True, rename="camel", omit_defaults=True):
    """One change."""

    apply_to: ApplyTo = ApplyTo.INVALID
    """Which part of Envoy's configuration is changed."""
    match: EnvoyConfigObjectMatch | None = None
    """Where the patch is applied; left out: everywhere."""
    patch: Patch | None = None
    """How it is changed."""


class EnvoyFilterSpec(Struct, frozen=True, kw_only=True, rename="camel", omit_defaults=True):
    """Which workloads, and what is changed in the configuration of their proxies."""

    workload_selector: WorkloadSelector | None = None
    """The workloads of the namespace that it is for; left out: all; in the root namespace: the whole mesh."""
    target_refs: Annotated[tuple[PolicyTargetReference, ...], Meta(max_length=16)] = ()
    """What it is attached to, in place of a selector: Gateways, GatewayClasses, Services, ServiceEntries."""
    config_patches: tuple[EnvoyConfigObjectPatch, ...] = ()
    """The changes, in the order in which they are made."""
    priority: Int32 = 0
    """The order among EnvoyFilters, lowest first; those of one priority by their age."""


class EnvoyFilter(Object, frozen=True, kw_only=True, rename="camel", omit_defaults=True):
    """Changes to Envoy's configuration after the other kinds have made it. It depends on how that is made, which may
    change with every version: prefer other kinds."""

    spec: EnvoyFilterSpec = EnvoyFilterSpec()
    """Which workloads, and what is changed in the configuration of their proxies."""
    status: Status = Status()
    """What the control plane has found about the object; written by it."""
