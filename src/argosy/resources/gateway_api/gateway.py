"""GatewayClass, Gateway, ListenerSet: where traffic enters, and with which certificates.

# Gateway API: apis/v1/{gatewayclass,gateway,listenerset}_types.go
"""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated, Literal

from msgspec import Meta, Struct, field

from argosy.resources.gateway_api.references import (
    ATOMIC,
    BY_NAME,
    GROUP,
    Conditions,
    ControllerName,
    Count,
    Group,
    Hostname,
    KindName,
    Namespace,
    ObjectName,
    ObjectReference,
    Options,
    PortNumber,
    SecretObjectReference,
    SectionName,
)
from argosy.resources.meta import Object
from argosy.resources.selector import LabelSelector

_BY_PORT = Meta(extra_json_schema={"x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["port"]})
_DOMAIN = r"[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*"
Protocol = Annotated[
    str,
    Meta(
        min_length=1,
        max_length=255,
        pattern=rf"^[a-zA-Z0-9]([-a-zA-Z0-9]*[a-zA-Z0-9])?$|^{_DOMAIN}\/[A-Za-z0-9]+$",
    ),
]
AddressType = Annotated[
    str,
    Meta(
        min_length=1,
        max_length=253,
        pattern=rf"^(Hostname|IPAddress|NamedAddress|{_DOMAIN}\/[A-Za-z0-9\/\-._~%!$&'()*+,;=:]+)$",
    ),
]


class ParametersReference(Struct, frozen=True, kw_only=True, rename="camel", omit_defaults=True):
    """An object with further settings."""

    group: Group
    """The API group of the object."""
    kind: KindName
    """The kind of the object."""
    name: ObjectName
    """The name of the object."""
    namespace: Namespace | None = None
    """The namespace of the object; none for one of the cluster."""


class GatewayClassSpec(Struct, frozen=True, kw_only=True, rename="camel", omit_defaults=True):
    """Who serves the Gateways of a class, and how."""

    controller_name: ControllerName
    """The controller that serves them, as example.net/gateway-controller. It cannot be changed."""
    parameters_ref: ParametersReference | None = None
    """An object with further settings of the controller."""
    description: Annotated[str, Meta(max_length=64)] | None = None
    """What the class is for, in a few words."""


class SupportedFeature(Struct, frozen=True, kw_only=True, rename="camel", omit_defaults=True):
    """Something that a controller can do beyond the core of the API."""

    name: str
    """The name of the feature, as HTTPRouteMethodMatching."""


class GatewayClassStatus(Struct, frozen=True, kw_only=True, rename="camel", omit_defaults=True):
    """How a class stands. Programs write it; people read it."""

    conditions: Conditions = ()
    """Accepted: a controller serves the class."""
    supported_features: Annotated[tuple[SupportedFeature, ...], Meta(max_length=64), BY_NAME] = ()
    """What the controller can do beyond the core of the API."""


class GatewayClass(Object, frozen=True, kw_only=True, rename="camel", omit_defaults=True):
    """A class of Gateways that one controller serves in the same way."""

    spec: GatewayClassSpec
    """Who serves the Gateways of the class, and how."""
    status: GatewayClassStatus = GatewayClassStatus()
    """How the class stands. Programs write it; people read it."""


class TLSMode(StrEnum):
    TERMINATE = "Terminate"
    PASSTHROUGH = "Passthrough"


class FromNamespaces(StrEnum):
    ALL = "All"
    SELECTOR = "Selector"
    SAME = "Same"


class ListenersFromNamespaces(StrEnum):
    ALL = "All"
    SELECTOR = "Selector"
    SAME = "Same"
    NONE = "None"


class ListenerTLSConfig(Struct, frozen=True, kw_only=True, rename="camel", omit_defaults=True):
    """TLS of a listener."""

    mode: TLSMode = TLSMode.TERMINATE
    """Terminate, which is the default, ends TLS at the Gateway and needs a certificate; Passthrough does not."""
    certificate_refs: Annotated[tuple[SecretObjectReference, ...], Meta(max_length=64), ATOMIC] = ()
    """Secrets of type kubernetes.io/tls with the certificates and their keys."""
    options: Options = {}
    """Further settings of the controller, by name."""


class RouteNamespaces(Struct, frozen=True, kw_only=True, rename="camel", omit_defaults=True):
    """The namespaces whose routes may be attached."""

    from_: FromNamespaces = field(default=FromNamespaces.SAME, name="from")
    """Same, the Gateway's own, which is the default; All; or those that the Selector selects."""
    selector: LabelSelector | None = None
    """Labels of the namespaces, where `from` is Selector."""


class RouteGroupKind(Struct, frozen=True, kw_only=True, rename="camel", omit_defaults=True):
    """A kind of routes."""

    kind: KindName
    """The kind."""
    group: Group = GROUP
    """The API group of the kind."""


class AllowedRoutes(Struct, frozen=True, kw_only=True, rename="camel", omit_defaults=True):
    """Which routes may be attached to a listener."""

    namespaces: RouteNamespaces = RouteNamespaces()
    """The namespaces whose routes may be attached; the Gateway's own by default."""
    kinds: Annotated[tuple[RouteGroupKind, ...], Meta(max_length=8), ATOMIC] = ()
    """The kinds of routes; none: those that fit the protocol."""


class Listener(Struct, frozen=True, kw_only=True, rename="camel", omit_defaults=True):
    """A port at which connections are taken, for the hosts that it names."""

    name: SectionName
    """The name of the listener, once in each object: routes name it as sectionName."""
    port: PortNumber
    """The port; several listeners may share one."""
    protocol: Protocol
    """HTTP, HTTPS, TLS, TCP or UDP."""
    hostname: Hostname | None = None
    """The host that it is for, perhaps with *. before it; left out: every host. Not for TCP and UDP."""
    tls: ListenerTLSConfig | None = None
    """TLS, for the protocols HTTPS and TLS alone."""
    allowed_routes: AllowedRoutes = AllowedRoutes()
    """Which routes may be attached; those of the same namespace by default."""


class GatewaySpecAddress(Struct, frozen=True, kw_only=True, rename="camel", omit_defaults=True):
    """An address that a Gateway is to have."""

    type: AddressType = "IPAddress"
    """IPAddress, which is the default, Hostname, or a type of the controller's own."""
    value: Annotated[str, Meta(max_length=253)] = ""
    """The address; left out: any of that type."""


class LocalParametersReference(Struct, frozen=True, kw_only=True, rename="camel", omit_defaults=True):
    """An object of the same namespace with further settings."""

    group: Group
    """The API group of the object."""
    kind: KindName
    """The kind of the object."""
    name: ObjectName
    """The name of the object."""


class GatewayInfrastructure(Struct, frozen=True, kw_only=True, rename="camel", omit_defaults=True):
    """What is made for a Gateway."""

    labels: Annotated[dict[str, Annotated[str, Meta(max_length=63)]], Meta(max_length=8)] = {}
    """Labels of what is made for it."""
    annotations: Annotated[dict[str, Annotated[str, Meta(max_length=4096)]], Meta(max_length=16)] = {}
    """Annotations of what is made for it."""
    parameters_ref: LocalParametersReference | None = None
    """An object with further settings of the controller."""


class ListenerNamespaces(Struct, frozen=True, kw_only=True, rename="camel", omit_defaults=True):
    """The namespaces whose ListenerSets may be attached."""

    from_: ListenersFromNamespaces = field(default=ListenersFromNamespaces.NONE, name="from")
    """None, which is the default, Same, All, or those that the Selector selects."""
    selector: LabelSelector | None = None
    """Labels of the namespaces, where `from` is Selector."""


class AllowedListeners(Struct, frozen=True, kw_only=True, rename="camel", omit_defaults=True):
    """Which ListenerSets may be attached to a Gateway."""

    namespaces: ListenerNamespaces = ListenerNamespaces()
    """The namespaces whose ListenerSets may be attached; none by default."""


class FrontendValidationMode(StrEnum):
    ALLOW_VALID_ONLY = "AllowValidOnly"
    ALLOW_INSECURE_FALLBACK = "AllowInsecureFallback"


class FrontendTLSValidation(Struct, frozen=True, kw_only=True, rename="camel", omit_defaults=True):
    """How certificates of clients are verified."""

    ca_certificate_refs: Annotated[tuple[ObjectReference, ...], Meta(min_length=1, max_length=8), ATOMIC]
    """ConfigMaps whose key ca.crt holds the authorities that are trusted."""
    mode: FrontendValidationMode = FrontendValidationMode.ALLOW_VALID_ONLY
    """AllowValidOnly, which is the default, demands a certificate; AllowInsecureFallback takes clients without one."""


class TLSConfig(Struct, frozen=True, kw_only=True, rename="camel", omit_defaults=True):
    """TLS towards clients."""

    validation: FrontendTLSValidation | None = None
    """How certificates of clients are verified; left out: they are not asked for."""


class TLSPortConfig(Struct, frozen=True, kw_only=True, rename="camel", omit_defaults=True):
    """TLS towards clients, of one port."""

    port: PortNumber
    """The port."""
    tls: TLSConfig
    """TLS of its HTTPS listeners, in place of the default."""


class FrontendTLSConfig(Struct, frozen=True, kw_only=True, rename="camel", omit_defaults=True):
    """TLS towards clients."""

    default: TLSConfig
    """TLS of all HTTPS listeners that perPort does not name."""
    per_port: Annotated[tuple[TLSPortConfig, ...], Meta(max_length=64), _BY_PORT] = ()
    """TLS of single ports."""


class GatewayBackendTLS(Struct, frozen=True, kw_only=True, rename="camel", omit_defaults=True):
    """TLS towards backends."""

    client_certificate_ref: SecretObjectReference | None = None
    """The Secret with the certificate by which the Gateway proves itself to backends."""


class GatewayTLSConfig(Struct, frozen=True, kw_only=True, rename="camel", omit_defaults=True):
    """TLS of a whole Gateway."""

    backend: GatewayBackendTLS | None = None
    """TLS towards backends."""
    frontend: FrontendTLSConfig | None = None
    """TLS towards clients."""


Listeners = Annotated[
    tuple[Listener, ...],
    Meta(
        max_length=64,
        extra_json_schema={
            "minItems": 1,  # of what people write alone: what is stored may have none
            "x-kubernetes-list-type": "map",
            "x-kubernetes-list-map-keys": ["name"],
        },
    ),
]


class GatewaySpec(Struct, frozen=True, kw_only=True, rename="camel", omit_defaults=True):
    """Where traffic enters."""

    gateway_class_name: ObjectName
    """The GatewayClass, which says who serves the Gateway."""
    listeners: Listeners
    """The ports and hosts, each with its protocol and TLS."""
    addresses: Annotated[tuple[GatewaySpecAddress, ...], Meta(max_length=16), ATOMIC] = ()
    """The addresses it is to have; none: the controller chooses."""
    infrastructure: GatewayInfrastructure | None = None
    """What is made for it."""
    allowed_listeners: AllowedListeners | None = None
    """Which ListenerSets may be attached; none by default."""
    tls: GatewayTLSConfig | None = None
    """TLS of the whole Gateway: certificates of clients, and its own towards backends."""
    default_scope: Literal["All", "None"] | None = None
    """All makes it a default Gateway, which routes may use without naming it. Experimental."""


class GatewayStatusAddress(Struct, frozen=True, kw_only=True, rename="camel", omit_defaults=True):
    """An address that a Gateway has."""

    value: Annotated[str, Meta(min_length=1, max_length=253)]
    """The address."""
    type: AddressType = "IPAddress"
    """The type of the address."""


class ListenerStatus(Struct, frozen=True, kw_only=True, rename="camel", omit_defaults=True):
    """How a listener stands."""

    name: SectionName
    """The listener."""
    attached_routes: Count = 0
    """How many routes are attached to it."""
    supported_kinds: Annotated[tuple[RouteGroupKind, ...], Meta(max_length=8), ATOMIC] = ()
    """The kinds of routes that it takes."""
    conditions: Conditions = ()
    """Accepted, Programmed, ResolvedRefs, Conflicted."""


class GatewayStatus(Struct, frozen=True, kw_only=True, rename="camel", omit_defaults=True):
    """How a Gateway stands. Programs write it; people read it."""

    addresses: Annotated[tuple[GatewayStatusAddress, ...], Meta(max_length=16), ATOMIC] = ()
    """The addresses that it has."""
    conditions: Conditions = ()
    """Accepted: it is valid and served. Programmed: its proxies run it."""
    listeners: Annotated[tuple[ListenerStatus, ...], Meta(max_length=64), BY_NAME] = ()
    """How each listener stands."""
    attached_listener_sets: Count | None = None
    """How many ListenerSets are attached to it."""


class Gateway(Object, frozen=True, kw_only=True, rename="camel", omit_defaults=True):
    """Where traffic enters: addresses, ports, hosts and certificates. Routes are attached to it."""

    spec: GatewaySpec
    """Where traffic enters."""
    status: GatewayStatus = GatewayStatus()
    """How the Gateway stands. Programs write it; people read it."""


class ParentGatewayReference(Struct, frozen=True, kw_only=True, rename="camel", omit_defaults=True):
    """The Gateway that listeners are added to."""

    name: ObjectName
    """The name of the Gateway."""
    group: Group = GROUP
    """The API group of the Gateway."""
    kind: KindName = "Gateway"
    """The kind: Gateway."""
    namespace: Namespace | None = None
    """The namespace of the Gateway; left out: the same."""


class ListenerSetSpec(Struct, frozen=True, kw_only=True, rename="camel", omit_defaults=True):
    """Which listeners are added to which Gateway."""

    parent_ref: ParentGatewayReference
    """The Gateway, whose allowedListeners must allow it."""
    listeners: Listeners
    """The listeners that are added."""


class ListenerSetStatus(Struct, frozen=True, kw_only=True, rename="camel", omit_defaults=True):
    """How a set of listeners stands. Programs write it; people read it."""

    conditions: Conditions = ()
    """Accepted: the Gateway takes it. Programmed: its proxies run it."""
    listeners: Annotated[tuple[ListenerStatus, ...], Meta(max_length=64), BY_NAME] = ()
    """How each listener stands."""


class ListenerSet(Object, frozen=True, kw_only=True, rename="camel", omit_defaults=True):
    """Listeners that are added to a Gateway of somebody else."""

    spec: ListenerSetSpec
    """Which listeners are added to which Gateway."""
    status: ListenerSetStatus = ListenerSetStatus()
    """How the set stands. Programs write it; people read it."""
