"""What kinds of the Gateway API have in common: names with their patterns, references, the status of routes.

# Gateway API: apis/v1/shared_types.go, object_reference_types.go, policy_types.go
"""

from __future__ import annotations

from typing import Annotated, Literal

from msgspec import Meta, Struct

from argosy.resources.meta import Condition

GROUP = "gateway.networking.k8s.io"

_LABEL = "[a-z0-9]([-a-z0-9]*[a-z0-9])?"
_DOMAIN = rf"{_LABEL}(\.{_LABEL})*"
ATOMIC = Meta(extra_json_schema={"x-kubernetes-list-type": "atomic"})
SET = Meta(extra_json_schema={"x-kubernetes-list-type": "set"})
BY_NAME = Meta(extra_json_schema={"x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["name"]})
BY_TYPE = Meta(extra_json_schema={"x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["type"]})

Group = Annotated[str, Meta(max_length=253, pattern=rf"^$|^{_DOMAIN}$")]
KindName = Annotated[str, Meta(min_length=1, max_length=63, pattern="^[a-zA-Z]([-a-zA-Z0-9]*[a-zA-Z0-9])?$")]
ObjectName = Annotated[str, Meta(min_length=1, max_length=253)]
Namespace = Annotated[str, Meta(min_length=1, max_length=63, pattern=f"^{_LABEL}$")]
SectionName = Annotated[str, Meta(min_length=1, max_length=253, pattern=f"^{_DOMAIN}$")]
PortNumber = Annotated[int, Meta(ge=1, le=65535)]
Hostname = Annotated[str, Meta(min_length=1, max_length=253, pattern=rf"^(\*\.)?{_DOMAIN}$")]
PreciseHostname = Annotated[str, Meta(min_length=1, max_length=253, pattern=f"^{_DOMAIN}$")]
ControllerName = Annotated[
    str,
    Meta(min_length=1, max_length=253, pattern=rf"^{_DOMAIN}\/[A-Za-z0-9\/\-._~%!$&'()*+,;=:]+$"),
]
HeaderName = Annotated[str, Meta(min_length=1, max_length=256, pattern=r"^[A-Za-z0-9!#$%&'*+\-.^_\x60|~]+$")]
Duration = Annotated[str, Meta(pattern="^([0-9]{1,5}(h|m|s|ms)){1,4}$")]
Int32 = Annotated[int, Meta(ge=-2147483648, le=2147483647)]
Count = Annotated[int, Meta(ge=0, le=2147483647)]
OptionKey = Annotated[
    str,
    Meta(
        min_length=1,
        max_length=253,
        pattern=rf"^({_DOMAIN}/)?([A-Za-z0-9][-A-Za-z0-9_.]{{0,61}})?[A-Za-z0-9]$",
    ),
]
OptionValue = Annotated[str, Meta(max_length=4096)]
Options = Annotated[dict[OptionKey, OptionValue], Meta(max_length=16)]
Conditions = Annotated[tuple[Condition, ...], Meta(max_length=8), BY_TYPE]


class ParentReference(Struct, frozen=True, kw_only=True, rename="camel", omit_defaults=True):
    """What a route is attached to: a Gateway, or a Service, for traffic within the mesh."""

    name: ObjectName
    """The name of the parent."""
    group: Group = GROUP
    """The API group of the parent; "" is the core group, which a Service needs."""
    kind: KindName = "Gateway"
    """The kind of the parent: Gateway, which is the default, ListenerSet or Service."""
    namespace: Namespace | None = None
    """The namespace of the parent; left out: the route's."""
    section_name: SectionName | None = None
    """A part of the parent: a listener of a Gateway, a port of a Service, by name; left out: all of it."""
    port: PortNumber | None = None
    """The listeners of a Gateway with this port, or this port of a Service; left out: every port."""


class LocalObjectReference(Struct, frozen=True, kw_only=True, rename="camel", omit_defaults=True):
    """An object of the same namespace."""

    kind: KindName
    """The kind of the object."""
    name: ObjectName
    """The name of the object."""
    group: Group = ""
    """The API group of the object; "" is the core group."""


class ObjectReference(Struct, frozen=True, kw_only=True, rename="camel", omit_defaults=True):
    """An object, perhaps of another namespace, which a ReferenceGrant there must allow."""

    group: Group
    """The API group of the object; "" is the core group."""
    kind: KindName
    """The kind of the object."""
    name: ObjectName
    """The name of the object."""
    namespace: Namespace | None = None
    """The namespace of the object; left out: the same."""


class SecretObjectReference(Struct, frozen=True, kw_only=True, rename="camel", omit_defaults=True):
    """A Secret, perhaps of another namespace, which a ReferenceGrant there must allow."""

    name: ObjectName
    """The name of the Secret."""
    group: Group = ""
    """The API group; "" is the core group, of Secrets."""
    kind: KindName = "Secret"
    """The kind; Secret is the default."""
    namespace: Namespace | None = None
    """The namespace of the Secret; left out: the same."""


class BackendObjectReference(Struct, frozen=True, kw_only=True, rename="camel", omit_defaults=True):
    """Where requests go: a Service, perhaps of another namespace, which a ReferenceGrant there must allow."""

    name: ObjectName
    """The name of the backend."""
    group: Group = ""
    """The API group; "" is the core group, of Services."""
    kind: KindName = "Service"
    """The kind; Service is the default."""
    namespace: Namespace | None = None
    """The namespace of the backend; left out: the route's."""
    port: PortNumber | None = None
    """The port of the Service, which a Service needs: the service's own, not the workloads'."""


class BackendRef(BackendObjectReference, frozen=True, kw_only=True, rename="camel", omit_defaults=True):
    """Where a share of the requests goes."""

    weight: Annotated[int, Meta(ge=0, le=1000000)] = 1
    """The share, in proportion to the sum of all weights of the rule; 0 gets nothing, 1 is the default."""


class RouteParentStatus(Struct, frozen=True, kw_only=True, rename="camel", omit_defaults=True):
    """How a route stands with one of its parents."""

    parent_ref: ParentReference
    """The parent, as in spec.parentRefs."""
    controller_name: str = ""
    """The controller that says so."""
    conditions: Conditions = ()
    """Accepted: the parent takes the route. ResolvedRefs: what it refers to is there and allowed."""


class RouteStatus(Struct, frozen=True, kw_only=True, rename="camel", omit_defaults=True):
    """How a route stands. Programs write it; people read it."""

    parents: Annotated[tuple[RouteParentStatus, ...], Meta(max_length=32), ATOMIC] = ()
    """How it stands with each of its parents."""


ParentRefs = Annotated[tuple[ParentReference, ...], Meta(max_length=32), ATOMIC]
Hostnames = Annotated[tuple[Hostname, ...], Meta(max_length=16), ATOMIC]
BackendRefs = Annotated[tuple[BackendRef, ...], Meta(min_length=1, max_length=16), ATOMIC]


class RouteSpec(Struct, frozen=True, kw_only=True, rename="camel", omit_defaults=True):
    """What all routes say."""

    parent_refs: ParentRefs = ()
    """What the route is attached to: Gateways, or Services, for traffic within the mesh."""
    use_default_gateways: Literal["All", "None"] | None = None
    """All attaches the route to default Gateways as well; None, which is the default, does not. Experimental."""


class Fraction(Struct, frozen=True, kw_only=True, rename="camel", omit_defaults=True):
    """A share, as numerator / denominator; at most 1."""

    numerator: Count
    """The numerator."""
    denominator: Annotated[int, Meta(ge=1, le=2147483647)] = 100
    """The denominator; 100 is the default."""


class CookieConfig(Struct, frozen=True, kw_only=True, rename="camel", omit_defaults=True):
    """The cookie of a session."""

    lifetime_type: Literal["Session", "Permanent"] = "Session"
    """Session ends with the client's own session, Permanent after absoluteTimeout."""


class SessionPersistence(Struct, frozen=True, kw_only=True, rename="camel", omit_defaults=True):
    """Requests of one session go to one endpoint. Experimental."""

    session_name: Annotated[str, Meta(max_length=128)] | None = None
    """The name of the cookie or header."""
    absolute_timeout: Duration | None = None
    """When a session ends, however busy it is."""
    idle_timeout: Duration | None = None
    """When a session ends that has been idle."""
    type: Literal["Cookie", "Header"] = "Cookie"
    """Cookie, which is the default, or Header."""
    cookie_config: CookieConfig | None = None
    """The cookie, where the type is Cookie."""
