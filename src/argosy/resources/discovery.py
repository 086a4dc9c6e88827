"""Kinds of `discovery.k8s.io`: where services are reached.

# Kubernetes: discovery/v1 EndpointSlice
"""

from __future__ import annotations

from typing import Annotated

from msgspec import Meta, Struct

from argosy.resources.core import ObjectReference
from argosy.resources.kind import Kind
from argosy.resources.meta import Object

_ATOMIC = Meta(extra_json_schema={"x-kubernetes-list-type": "atomic"})


class EndpointConditions(Struct, frozen=True, kw_only=True, rename="camel", omit_defaults=True):
    """How an endpoint stands."""

    ready: bool | None = None
    """Whether it takes new connections; left out: yes."""
    serving: bool | None = None
    """Whether it answers, even while it ends; left out: as `ready`."""
    terminating: bool | None = None
    """Whether it is about to end; left out: no."""


class ForZone(Struct, frozen=True, kw_only=True, rename="camel", omit_defaults=True):
    """A zone that should use an endpoint."""

    name: str
    """The name of the zone."""


class ForNode(Struct, frozen=True, kw_only=True, rename="camel", omit_defaults=True):
    """A host that should use an endpoint."""

    name: str
    """The name of the host."""


class EndpointHints(Struct, frozen=True, kw_only=True, rename="camel", omit_defaults=True):
    """Who should use an endpoint."""

    for_zones: Annotated[tuple[ForZone, ...], Meta(max_length=8), _ATOMIC] = ()
    """The zones whose clients should use it."""
    for_nodes: Annotated[tuple[ForNode, ...], Meta(max_length=8), _ATOMIC] = ()
    """The hosts whose clients should use it."""


class Endpoint(Struct, frozen=True, kw_only=True, rename="camel", omit_defaults=True):
    """One endpoint of a service."""

    addresses: Annotated[
        tuple[str, ...],
        Meta(min_length=1, max_length=100, extra_json_schema={"x-kubernetes-list-type": "set"}),
    ]
    """The addresses of the endpoint, in the form of addressType; the first one is used."""
    conditions: EndpointConditions = EndpointConditions()
    """How the endpoint stands."""
    hostname: str | None = None
    """The name of the endpoint within the service."""
    target_ref: ObjectReference | None = None
    """The object that stands behind the endpoint."""
    deprecated_topology: dict[str, str] = {}
    """Topology as in older versions of the kind."""
    node_name: str | None = None
    """The host that the endpoint is on."""
    zone: str | None = None
    """The zone that the endpoint is in."""
    hints: EndpointHints | None = None
    """Who should use the endpoint."""


class EndpointPort(Struct, frozen=True, kw_only=True, rename="camel", omit_defaults=True):
    """A port of all endpoints of a slice."""

    name: str = ""
    """The name of the service's port; once each."""
    protocol: str = "TCP"
    """TCP, which is the default, UDP or SCTP."""
    port: Annotated[int, Meta(ge=1, le=65535)] | None = None
    """The number of the port; left out: every port."""
    app_protocol: str | None = None
    """What is spoken on the port, as http, grpc or kubernetes.io/h2c."""


class EndpointSlice(Object, frozen=True, kw_only=True, rename="camel", omit_defaults=True):
    """A part of the endpoints of a service, which its label kubernetes.io/service-name names."""

    address_type: str
    """The form of the addresses: IPv4, IPv6 or FQDN. It cannot be changed."""
    endpoints: Annotated[tuple[Endpoint, ...], Meta(max_length=1000), _ATOMIC] = ()
    """The endpoints, at most 1,000."""
    ports: Annotated[tuple[EndpointPort, ...], Meta(max_length=20000), _ATOMIC] = ()
    """The ports that every endpoint of the slice has."""


KINDS = (
    Kind(
        group="discovery.k8s.io",
        versions=("v1",),
        kind="EndpointSlice",
        plural="endpointslices",
        singular="endpointslice",
        builtin=True,
        struct=EndpointSlice,
    ),
)
