"""Core kinds (`v1`): Namespace, Service, Secret, ConfigMap, as far as a mesh reads them; the rest is kept as written.

# Kubernetes: core/v1
"""

from __future__ import annotations

from typing import Annotated, Any

from msgspec import Meta, Struct, field

from argosy.resources.kind import Kind
from argosy.resources.meta import Condition, Object


class NamespaceSpec(Struct, frozen=True, kw_only=True, rename="camel", omit_defaults=True):
    finalizers: tuple[str, ...] = ()


class NamespaceStatus(Struct, frozen=True, kw_only=True, rename="camel", omit_defaults=True):
    phase: str = ""
    conditions: tuple[Condition, ...] = ()


class Namespace(Object, frozen=True, kw_only=True, rename="camel", omit_defaults=True):
    spec: NamespaceSpec = NamespaceSpec()
    status: NamespaceStatus = NamespaceStatus()


class ServicePort(Struct, frozen=True, kw_only=True, rename="camel", omit_defaults=True):
    port: Annotated[int, Meta(ge=1, le=65535)]
    name: str = ""
    protocol: str = "TCP"
    app_protocol: str = ""
    target_port: int | str | None = None  # a number, or the name of a workload port; None: as `port`
    node_port: int = 0


class ServiceSpec(Struct, frozen=True, kw_only=True, rename="camel", omit_defaults=True):
    type: str = "ClusterIP"
    selector: dict[str, str] = {}
    ports: tuple[ServicePort, ...] = ()
    cluster_ip: str = field(default="", name="clusterIP")
    cluster_ips: tuple[str, ...] = field(default=(), name="clusterIPs")
    external_ips: tuple[str, ...] = field(default=(), name="externalIPs")
    external_name: str = ""
    external_traffic_policy: str = ""
    internal_traffic_policy: str = ""
    traffic_distribution: str = ""
    health_check_node_port: int = 0
    ip_families: tuple[str, ...] = ()
    ip_family_policy: str = ""
    load_balancer_ip: str = field(default="", name="loadBalancerIP")
    load_balancer_class: str = ""
    load_balancer_source_ranges: tuple[str, ...] = ()
    allocate_load_balancer_node_ports: bool | None = None
    publish_not_ready_addresses: bool = False
    session_affinity: str = ""
    session_affinity_config: dict[str, Any] | None = None


class ServiceStatus(Struct, frozen=True, kw_only=True, rename="camel", omit_defaults=True):
    load_balancer: dict[str, Any] = {}
    conditions: tuple[Condition, ...] = ()


class Service(Object, frozen=True, kw_only=True, rename="camel", omit_defaults=True):
    spec: ServiceSpec = ServiceSpec()
    status: ServiceStatus = ServiceStatus()


class Secret(Object, frozen=True, kw_only=True, rename="camel", omit_defaults=True):
    type: str = "Opaque"
    data: dict[str, str] = field(default_factory=dict)  # base64
    string_data: dict[str, str] = field(default_factory=dict)
    immutable: bool | None = None


class ConfigMap(Object, frozen=True, kw_only=True, rename="camel", omit_defaults=True):
    data: dict[str, str] = field(default_factory=dict)
    binary_data: dict[str, str] = field(default_factory=dict)
    immutable: bool | None = None


def _kind(struct: type[Object], plural: str, *short_names: str, namespaced: bool = True) -> Kind:
    return Kind(
        group="",
        versions=("v1",),
        kind=struct.__name__,
        plural=plural,
        singular=struct.__name__.lower(),
        short_names=short_names,
        namespaced=namespaced,
        builtin=True,
        struct=struct,
    )


KINDS = (
    _kind(Namespace, "namespaces", "ns", namespaced=False),
    _kind(Service, "services", "svc"),
    _kind(Secret, "secrets"),
    _kind(ConfigMap, "configmaps", "cm"),
)
