"""Kinds of `networking.k8s.io`: Ingress, what gateways serve, said in Kubernetes' older way.

# Kubernetes: networking/v1 Ingress
"""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated, Any

from msgspec import Meta, Struct, field

from argosy.resources.kind import AGE, Column, Kind
from argosy.resources.meta import Object

_ATOMIC = Meta(extra_json_schema={"x-kubernetes-list-type": "atomic"})


class PathType(StrEnum):
    EXACT = "Exact"
    PREFIX = "Prefix"
    IMPLEMENTATION_SPECIFIC = "ImplementationSpecific"


class ServiceBackendPort(Struct, frozen=True, kw_only=True, rename="camel", omit_defaults=True):
    """A port of a service, by its name or its number."""

    name: str = ""
    """The name of the port."""
    number: int = 0
    """The number of the port."""


class IngressServiceBackend(Struct, frozen=True, kw_only=True, rename="camel", omit_defaults=True):
    """A service of the Ingress' namespace."""

    name: str
    """The name of the service."""
    port: ServiceBackendPort = ServiceBackendPort()
    """The port of the service."""


class IngressBackend(Struct, frozen=True, kw_only=True, rename="camel", omit_defaults=True):
    """Where requests go."""

    service: IngressServiceBackend | None = None
    """The service that requests go to."""
    resource: dict[str, Any] | None = None
    """Another object; without effect."""


class HTTPIngressPath(Struct, frozen=True, kw_only=True, rename="camel", omit_defaults=True):
    """A path, and where its requests go."""

    path: str = ""
    """The path; for Exact and Prefix it begins with /."""
    path_type: PathType
    """Exact: the path itself; Prefix: it, and what is below it; ImplementationSpecific: as Exact, or with .* or /* at
    its end everything that begins so."""
    backend: IngressBackend
    """Where requests go."""


class HTTPIngressRuleValue(Struct, frozen=True, kw_only=True, rename="camel", omit_defaults=True):
    """The paths of a host."""

    paths: Annotated[tuple[HTTPIngressPath, ...], _ATOMIC]
    """The paths; of those that fit the exact one counts, else the longest."""


class IngressRule(Struct, frozen=True, kw_only=True, rename="camel", omit_defaults=True):
    """A host and its paths."""

    host: str = ""
    """The host, maybe as *.example.com; left out: every host."""
    http: HTTPIngressRuleValue | None = None
    """The paths of the host."""


class IngressTLS(Struct, frozen=True, kw_only=True, rename="camel", omit_defaults=True):
    """Hosts that are served by https."""

    hosts: Annotated[tuple[str, ...], _ATOMIC] = ()
    """The hosts; none: every host."""
    secret_name: str = ""
    """The Secret with certificate and key, in the namespace of the gateway."""


class IngressSpec(Struct, frozen=True, kw_only=True, rename="camel", omit_defaults=True):
    """Which hosts and paths lead to which services."""

    ingress_class_name: str | None = None
    """Who serves it: istio; an annotation kubernetes.io/ingress.class comes before it."""
    default_backend: IngressBackend | None = None
    """Where other requests go; without effect."""
    tls: Annotated[tuple[IngressTLS, ...], _ATOMIC] = ()
    """The hosts that are served by https."""
    rules: Annotated[tuple[IngressRule, ...], _ATOMIC] = ()
    """The hosts and their paths."""


class Ingress(Object, frozen=True, kw_only=True, rename="camel", omit_defaults=True):
    """Hosts and paths that gateways lead to services: a short form of a Gateway with VirtualServices."""

    spec: IngressSpec = IngressSpec()
    """Which hosts and paths lead to which services."""
    status: dict[str, Any] = field(default_factory=dict)
    """As it is written."""


KINDS = (
    Kind(
        group="networking.k8s.io",
        versions=("v1",),
        kind="Ingress",
        plural="ingresses",
        singular="ingress",
        short_names=("ing",),
        columns=(
            Column("Class", ".spec.ingressClassName", description="Who serves it."),
            Column("Hosts", ".spec.rules[*].host", description="The hosts."),
            AGE,
        ),
        builtin=True,
        struct=Ingress,
    ),
)
