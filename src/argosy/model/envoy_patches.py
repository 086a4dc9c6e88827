"""EnvoyFilter in the intermediate representation: what is changed in a proxy's configuration, and where.

No Envoy type appears here: a patch's value is the JSON text of what was written, its keys sorted, so that equal values
are equal texts. Where a patch came from lies beside it (`PlacedPatch`), never in it: patches are parts of memo keys.
Words of matches are Istio's; a match that is not written (None) holds everywhere.
"""

from __future__ import annotations

from enum import StrEnum

from msgspec import Struct


class Part(StrEnum):
    """What a patch changes: Istio's applyTo."""

    LISTENER = "LISTENER"
    LISTENER_FILTER = "LISTENER_FILTER"
    FILTER_CHAIN = "FILTER_CHAIN"
    NETWORK_FILTER = "NETWORK_FILTER"
    HTTP_FILTER = "HTTP_FILTER"
    ROUTE_CONFIGURATION = "ROUTE_CONFIGURATION"
    VIRTUAL_HOST = "VIRTUAL_HOST"
    HTTP_ROUTE = "HTTP_ROUTE"
    CLUSTER = "CLUSTER"
    EXTENSION_CONFIG = "EXTENSION_CONFIG"
    BOOTSTRAP = "BOOTSTRAP"


class Side(StrEnum):
    """The side of a proxy: Istio's context."""

    ANY = "ANY"
    INBOUND = "SIDECAR_INBOUND"
    OUTBOUND = "SIDECAR_OUTBOUND"
    GATEWAY = "GATEWAY"


class Operation(StrEnum):
    MERGE = "MERGE"
    ADD = "ADD"
    REMOVE = "REMOVE"
    INSERT_BEFORE = "INSERT_BEFORE"
    INSERT_AFTER = "INSERT_AFTER"
    INSERT_FIRST = "INSERT_FIRST"
    REPLACE = "REPLACE"


class FilterClass(StrEnum):
    """Where ADD puts an HTTP filter."""

    UNSPECIFIED = "UNSPECIFIED"
    AUTHN = "AUTHN"  # behind the filters that find out who calls
    AUTHZ = "AUTHZ"  # behind those that decide who may call
    STATS = "STATS"  # before those that count


class ChainMatch(Struct, frozen=True, kw_only=True):
    """A filter chain. ALL of what is set must hold."""

    name: str = ""
    sni: str = ""
    transport_protocol: str = ""
    application_protocols: tuple[str, ...] = ()  # ALL of them
    destination_port: int = 0
    filter: str | None = None  # name of the network filter; None: not written
    sub_filter: str | None = None  # name of the HTTP filter; None: not written


class ListenerMatch(Struct, frozen=True, kw_only=True):
    """A listener. ALL of what is set must hold."""

    name: str = ""
    port: int = 0
    listener_filter: str = ""
    chain: ChainMatch | None = None


class RouteMatch(Struct, frozen=True, kw_only=True):
    name: str = ""
    action: str = "ANY"  # ANY | ROUTE | REDIRECT | DIRECT_RESPONSE


class VirtualHostMatch(Struct, frozen=True, kw_only=True):
    name: str = ""
    domain: str = ""
    route: RouteMatch | None = None


class RoutesMatch(Struct, frozen=True, kw_only=True):
    """A RouteConfiguration. ALL of what is set must hold."""

    name: str = ""
    port: int = 0
    port_name: str = ""
    gateway: str = ""
    virtual_host: VirtualHostMatch | None = None


class ClusterMatch(Struct, frozen=True, kw_only=True):
    """A cluster: by `name` alone, or by ALL of the rest that is set."""

    name: str = ""
    port: int = 0
    service: str = ""
    subset: str = ""


class EnvoyPatch(Struct, frozen=True, kw_only=True):
    part: Part
    operation: Operation
    side: Side = Side.ANY
    value: str = ""  # canonical JSON; "" where there is none
    filter_class: FilterClass = FilterClass.UNSPECIFIED
    listener: ListenerMatch | None = None
    routes: RoutesMatch | None = None
    cluster: ClusterMatch | None = None


class PlacedPatch(Struct, frozen=True):
    """A patch, and where it was written."""

    namespace: str
    name: str
    index: int  # in spec.configPatches
    patch: EnvoyPatch
