"""Kinds of `gateway.networking.k8s.io`, the Gateway API: gateways and routes as Kubernetes has them.

Fields, bounds and merge keys are those of version 1.6 with its experimental channel. What its definitions say in CEL
stands in `semantics/gateway_api/`. All versions of a kind have one schema; where v1 is narrower, the rules say so.
"""

from __future__ import annotations

from argosy.resources.gateway_api.gateway import Gateway, GatewayClass, ListenerSet
from argosy.resources.gateway_api.grpc_route import GRPCRoute
from argosy.resources.gateway_api.http_route import HTTPRoute
from argosy.resources.gateway_api.policies import BackendTLSPolicy, ReferenceGrant
from argosy.resources.gateway_api.references import GROUP
from argosy.resources.gateway_api.stream_routes import TCPRoute, TLSRoute, UDPRoute
from argosy.resources.kind import AGE, Column, Kind
from argosy.resources.meta import Object

__all__ = [
    "GROUP",
    "KINDS",
    "BackendTLSPolicy",
    "GRPCRoute",
    "Gateway",
    "GatewayClass",
    "HTTPRoute",
    "ListenerSet",
    "ReferenceGrant",
    "TCPRoute",
    "TLSRoute",
    "UDPRoute",
]


def _kind(
    struct: type[Object],
    plural: str,
    *columns: Column,
    versions: tuple[str, ...],
    short_names: tuple[str, ...] = (),
    namespaced: bool = True,
) -> Kind:
    return Kind(
        group=GROUP,
        versions=versions,
        kind=struct.__name__,
        plural=plural,
        singular=struct.__name__.lower(),
        short_names=short_names,
        categories=("gateway-api",),
        columns=columns,
        namespaced=namespaced,
        struct=struct,
    )


def _condition(name: str, description: str) -> Column:
    return Column(name, f'.status.conditions[?(@.type=="{name}")].status', description=description)


_ACCEPTED = _condition("Accepted", "Whether a controller takes it.")
_PROGRAMMED = _condition("Programmed", "Whether its proxies run it.")
_HOSTNAMES = Column("Hostnames", ".spec.hostnames", description="The hosts that it is for.")

KINDS = (
    _kind(
        GatewayClass,
        "gatewayclasses",
        Column("Controller", ".spec.controllerName", description="The controller that serves its Gateways."),
        _ACCEPTED,
        AGE,
        Column("Description", ".spec.description", priority=1, description="What the class is for."),
        versions=("v1", "v1beta1"),
        short_names=("gc",),
        namespaced=False,
    ),
    _kind(
        Gateway,
        "gateways",
        Column("Class", ".spec.gatewayClassName", description="The GatewayClass."),
        Column("Address", ".status.addresses[*].value", description="The addresses that it has."),
        _PROGRAMMED,
        AGE,
        versions=("v1", "v1beta1"),
        short_names=("gtw",),
    ),
    _kind(ListenerSet, "listenersets", _ACCEPTED, _PROGRAMMED, AGE, versions=("v1",), short_names=("lset",)),
    _kind(HTTPRoute, "httproutes", _HOSTNAMES, AGE, versions=("v1", "v1beta1")),
    _kind(GRPCRoute, "grpcroutes", _HOSTNAMES, AGE, versions=("v1",)),
    _kind(TLSRoute, "tlsroutes", AGE, versions=("v1", "v1alpha3", "v1alpha2")),
    _kind(TCPRoute, "tcproutes", AGE, versions=("v1", "v1alpha2")),
    _kind(UDPRoute, "udproutes", AGE, versions=("v1", "v1alpha2")),
    _kind(ReferenceGrant, "referencegrants", AGE, versions=("v1", "v1beta1"), short_names=("refgrant",)),
    _kind(
        BackendTLSPolicy,
        "backendtlspolicies",
        AGE,
        versions=("v1", "v1alpha3"),
        short_names=("btlspolicy",),
    ),
)
