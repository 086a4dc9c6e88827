"""Core kinds (`v1`): Namespace, Service, Secret, ConfigMap, ServiceAccount, Endpoints.

Lists have the merge keys that they have in Kubernetes.
# Kubernetes: core/v1
"""

from __future__ import annotations

from typing import Annotated, Any

from msgspec import Meta, Struct, field

from argosy.resources.kind import Kind
from argosy.resources.meta import Condition, Object

_ATOMIC = Meta(extra_json_schema={"x-kubernetes-list-type": "atomic"})
_ATOMIC_MAP = Meta(extra_json_schema={"x-kubernetes-map-type": "atomic"})
_BY_TYPE = Meta(extra_json_schema={"x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["type"]})
_BY_NAME = Meta(extra_json_schema={"x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["name"]})
_BY_PORT = Meta(
    extra_json_schema={"x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["port", "protocol"]}
)
Port = Annotated[int, Meta(ge=1, le=65535)]


class NamespaceSpec(Struct, frozen=True, kw_only=True, rename="camel", omit_defaults=True):
    """What a namespace is to have."""

    finalizers: Annotated[tuple[str, ...], _ATOMIC] = ()
    """Who must have done their part before the namespace goes, beside those of its metadata."""


class NamespaceStatus(Struct, frozen=True, kw_only=True, rename="camel", omit_defaults=True):
    """How a namespace stands. Programs write it; people read it."""

    phase: str = ""
    """Active, or Terminating while what is in it is deleted."""
    conditions: Annotated[tuple[Condition, ...], _BY_TYPE] = ()
    """What holds its deletion up."""


class Namespace(Object, frozen=True, kw_only=True, rename="camel", omit_defaults=True):
    """A space for names. Most objects belong to one; what is in a namespace is deleted with it."""

    spec: NamespaceSpec = NamespaceSpec()
    """What the namespace is to have."""
    status: NamespaceStatus = NamespaceStatus()
    """How it stands. Programs write it; people read it."""


class ServicePort(Struct, frozen=True, kw_only=True, rename="camel", omit_defaults=True):
    """A port of a service, and where its connections go."""

    port: Port
    """The number that clients connect to."""
    name: str = ""
    """The name of the port, which a service of several ports needs; a beginning as in http-web says its protocol."""
    protocol: str = "TCP"
    """TCP, which is the default, UDP or SCTP."""
    app_protocol: str = ""
    """What is spoken on the port, as http, grpc, tls, tcp or kubernetes.io/h2c; goes before the name's beginning."""
    target_port: int | str | None = None
    """The port of the workloads, by number or by the name of a workload port; left out: the number of `port`."""
    node_port: int = 0
    """A port of every host, for the types NodePort and LoadBalancer."""


class ServiceSpec(Struct, frozen=True, kw_only=True, rename="camel", omit_defaults=True):
    """Which workloads a service is made of, and where it is reached."""

    type: str = "ClusterIP"
    """ClusterIP, which is the default, NodePort, LoadBalancer, or ExternalName, which stands for another name."""
    selector: Annotated[dict[str, str], _ATOMIC_MAP] = {}
    """The labels of the workloads that it is made of, ALL of them; none: it has no workloads by itself."""
    ports: Annotated[tuple[ServicePort, ...], _BY_PORT] = ()
    """The ports of the service."""
    cluster_ip: str = field(default="", name="clusterIP")
    """The address of the service within the mesh, as written; None: it has none, clients see its workloads'."""
    cluster_ips: Annotated[tuple[str, ...], _ATOMIC] = field(default=(), name="clusterIPs")
    """The addresses of the service, one for each family; the first is clusterIP."""
    external_ips: Annotated[tuple[str, ...], _ATOMIC] = field(default=(), name="externalIPs")
    """Further addresses at which hosts take connections for it."""
    external_name: str = ""
    """The DNS name that it stands for, where its type is ExternalName."""
    external_traffic_policy: str = ""
    """Where connections from outside may go: Cluster, which is the default, or Local: to the same host alone."""
    internal_traffic_policy: str = ""
    """Where connections from within may go: Cluster, which is the default, or Local: to the same host alone."""
    traffic_distribution: str = ""
    """Which endpoints are preferred, as PreferClose: those that are near."""
    health_check_node_port: int = 0
    """The port of hosts that tells load balancers whether the host has endpoints."""
    ip_families: Annotated[tuple[str, ...], _ATOMIC] = ()
    """The families of its addresses: IPv4, IPv6 or both, the first one first."""
    ip_family_policy: str = ""
    """How many families it has: SingleStack, PreferDualStack or RequireDualStack."""
    load_balancer_ip: str = field(default="", name="loadBalancerIP")
    """The address that a load balancer should give it; deprecated in Kubernetes."""
    load_balancer_class: str = ""
    """Which load balancer is for it."""
    load_balancer_source_ranges: Annotated[tuple[str, ...], _ATOMIC] = ()
    """The blocks of addresses whose clients the load balancer lets in."""
    allocate_load_balancer_node_ports: bool | None = None
    """Whether a LoadBalancer service gets ports of every host, which is the default."""
    publish_not_ready_addresses: bool = False
    """Whether workloads that are not ready are endpoints, too."""
    session_affinity: str = ""
    """ClientIP sends a client always to the same endpoint; None is the default."""
    session_affinity_config: dict[str, Any] | None = None
    """How long a client is remembered."""


class ServiceStatus(Struct, frozen=True, kw_only=True, rename="camel", omit_defaults=True):
    """How a service stands. Programs write it; people read it."""

    load_balancer: dict[str, Any] = {}
    """The addresses that a load balancer has given it."""
    conditions: Annotated[tuple[Condition, ...], _BY_TYPE] = ()
    """What holds of the service."""


class Service(Object, frozen=True, kw_only=True, rename="camel", omit_defaults=True):
    """A name for workloads that do the same, and the ports at which they are reached."""

    spec: ServiceSpec = ServiceSpec()
    """Which workloads the service is made of, and where it is reached."""
    status: ServiceStatus = ServiceStatus()
    """How it stands. Programs write it; people read it."""


class Secret(Object, frozen=True, kw_only=True, rename="camel", omit_defaults=True):
    """Data that only few may see: keys, certificates, passwords. It is encrypted where it is stored."""

    type: str = "Opaque"
    """What it is for, as kubernetes.io/tls, which needs the keys tls.crt and tls.key. It cannot be changed."""
    data: dict[str, str] = field(default_factory=dict)
    """The data, each value in base64."""
    string_data: dict[str, str] = field(default_factory=dict)
    """Data as plain text, for writing alone: it is put into `data`, before what stands there under the same key."""
    immutable: bool | None = None
    """Whether the data can never be changed again; the object can only be deleted."""


class ConfigMap(Object, frozen=True, kw_only=True, rename="camel", omit_defaults=True):
    """Settings as text, by key. The mesh's own are those of `istio` in the namespace istio-system."""

    data: dict[str, str] = field(default_factory=dict)
    """The settings, each value text."""
    binary_data: dict[str, str] = field(default_factory=dict)
    """Settings that are not text, each value in base64; a key stands here or in `data`."""
    immutable: bool | None = None
    """Whether the data can never be changed again; the object can only be deleted."""


class LocalObjectReference(Struct, frozen=True, kw_only=True, rename="camel", omit_defaults=True):
    """An object of the same namespace."""

    name: str = ""
    """The name of the object."""


class ObjectReference(Struct, frozen=True, kw_only=True, rename="camel", omit_defaults=True):
    """Another object, or a part of it."""

    api_version: str = ""
    """The group and version of the object."""
    kind: str = ""
    """The kind of the object."""
    namespace: str = ""
    """The namespace of the object."""
    name: str = ""
    """The name of the object."""
    uid: str = ""
    """The UID of the object, where that very one is meant."""
    resource_version: str = ""
    """The revision of the object that is meant."""
    field_path: str = ""
    """The part of the object that is meant, as spec.http[0]."""


class ServiceAccount(Object, frozen=True, kw_only=True, rename="camel", omit_defaults=True):
    """An identity for workloads: their certificates name it, and Roles and policies are given to it."""

    secrets: Annotated[tuple[ObjectReference, ...], _BY_NAME] = ()
    """Secrets that workloads of this identity may use."""
    image_pull_secrets: Annotated[tuple[LocalObjectReference, ...], _ATOMIC] = ()
    """Secrets with the credentials of image registries."""
    automount_service_account_token: bool | None = None
    """Whether workloads get a token of the identity by default."""


class EndpointAddress(Struct, frozen=True, kw_only=True, rename="camel", omit_defaults=True):
    """The address of one endpoint."""

    ip: str
    """The IP address."""
    hostname: str = ""
    """The name of the endpoint within the service."""
    node_name: str | None = None
    """The host that the endpoint is on."""
    target_ref: ObjectReference | None = None
    """The object that stands behind the endpoint."""


class EndpointPort(Struct, frozen=True, kw_only=True, rename="camel", omit_defaults=True):
    """A port of the endpoints of a subset."""

    port: Port
    """The number of the port."""
    name: str = ""
    """The name of the service's port, which several ports need."""
    protocol: str = "TCP"
    """TCP, which is the default, UDP or SCTP."""
    app_protocol: str | None = None
    """What is spoken on the port, as http, grpc or kubernetes.io/h2c."""


class EndpointSubset(Struct, frozen=True, kw_only=True, rename="camel", omit_defaults=True):
    """Endpoints with the same ports: every address with every port."""

    addresses: Annotated[tuple[EndpointAddress, ...], _ATOMIC] = ()
    """Endpoints that are ready."""
    not_ready_addresses: Annotated[tuple[EndpointAddress, ...], _ATOMIC] = ()
    """Endpoints that are not ready yet, or no more."""
    ports: Annotated[tuple[EndpointPort, ...], _ATOMIC] = ()
    """The ports of these endpoints."""


class Endpoints(Object, frozen=True, kw_only=True, rename="camel", omit_defaults=True):
    """The endpoints of the Service of the same name. EndpointSlice is the newer kind."""

    subsets: Annotated[tuple[EndpointSubset, ...], _ATOMIC] = ()
    """The endpoints, in groups of the same ports; together they are the service's."""


def _kind(
    struct: type[Object],
    plural: str,
    *short_names: str,
    namespaced: bool = True,
    categories: tuple[str, ...] = (),
) -> Kind:
    return Kind(
        group="",
        versions=("v1",),
        kind=struct.__name__,
        plural=plural,
        singular=struct.__name__.lower(),
        short_names=short_names,
        categories=categories,
        namespaced=namespaced,
        builtin=True,
        struct=struct,
    )


KINDS = (
    _kind(Namespace, "namespaces", "ns", namespaced=False),
    _kind(Service, "services", "svc", categories=("all",)),
    _kind(Secret, "secrets"),
    _kind(ConfigMap, "configmaps", "cm"),
    _kind(ServiceAccount, "serviceaccounts", "sa"),
    _kind(Endpoints, "endpoints", "ep"),
)
