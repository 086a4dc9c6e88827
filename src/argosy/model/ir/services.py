"""Hosts of the mesh, who serves them, and workloads with their ports."""

from __future__ import annotations

from enum import StrEnum

from msgspec import Struct

from argosy.model.locality import TrafficDistribution

Pairs = tuple[tuple[str, str], ...]
"""A string map, sorted by key: hashable and deterministic."""


class Protocol(StrEnum):
    """The protocol of a service port, as Istio names them (port name prefix or appProtocol)."""

    HTTP = "HTTP"
    HTTP2 = "HTTP2"
    GRPC = "GRPC"
    GRPC_WEB = "GRPC-WEB"
    HTTPS = "HTTPS"
    TLS = "TLS"
    TCP = "TCP"
    MONGO = "Mongo"
    REDIS = "Redis"
    MYSQL = "MySQL"
    UDP = "UDP"
    UNSUPPORTED = "UnsupportedProtocol"  # not declared: to be detected

    @property
    def is_http(self) -> bool:
        return self in (Protocol.HTTP, Protocol.HTTP2, Protocol.GRPC, Protocol.GRPC_WEB)

    @property
    def is_http2(self) -> bool:
        return self in (Protocol.HTTP2, Protocol.GRPC, Protocol.GRPC_WEB)

    @property
    def is_tls(self) -> bool:
        return self in (Protocol.HTTPS, Protocol.TLS)


class Resolution(StrEnum):
    """How the endpoints of a service are found (ServiceEntry.resolution; a v1 Service is STATIC)."""

    STATIC = "STATIC"
    DNS = "DNS"
    DNS_ROUND_ROBIN = "DNS_ROUND_ROBIN"
    DYNAMIC_DNS = "DYNAMIC_DNS"  # the name that each request or TLS hello has, of a wildcard
    NONE = "NONE"


class ServicePort(Struct, frozen=True, gc=False, kw_only=True):
    name: str
    number: int
    protocol: Protocol
    target_port: int | None = None  # the workload port; None: the same number


class Service(Struct, frozen=True, kw_only=True):
    """One host of the mesh. `hostname` is the full name (`reviews.default.svc.cluster.local`) or a ServiceEntry's."""

    hostname: str
    name: str
    namespace: str
    ports: tuple[ServicePort, ...]
    resolution: Resolution = Resolution.STATIC
    external: bool = False  # MESH_EXTERNAL: no mutual TLS expected
    addresses: tuple[str, ...] = ()  # virtual addresses (ClusterIP, ServiceEntry.addresses)
    headless: bool = False
    export_to: tuple[str, ...] = ()  # namespaces, "." resolved; "*" all; "~" none; (): as the mesh says
    subject_alt_names: tuple[str, ...] = ()  # identities it may run as, as URIs; () = derive from endpoints
    labels: Pairs = ()
    created: str = ""  # RFC 3339; the older object wins a conflict
    kubernetes: bool = True  # a v1 Service (short names resolve), not a ServiceEntry
    distribution: TrafficDistribution = TrafficDistribution.ANY
    node_local: bool = False  # endpoints on the client's own host alone
    alias_of: str = ""  # another name of that host, and nothing else

    def port(self, number: int) -> ServicePort | None:
        return next((p for p in self.ports if p.number == number), None)


class Endpoint(Struct, frozen=True, gc=False, kw_only=True):
    """One address that serves one port of a service. `port` is where to connect to: the *bind* port of a sidecar."""

    address: str  # IP, or DNS name where the service resolves by DNS, or `unix://path`
    port: int
    port_name: str  # of the service port it serves
    healthy: bool = True
    weight: int = 1
    workload: str = ""  # WorkloadEntry / workload name
    namespace: str = ""
    service_account: str = ""
    app: str = ""
    version: str = ""
    labels: Pairs = ()
    locality: str = ""  # region/zone/subzone
    network: str = ""
    mtls: bool = False  # it has a sidecar that takes mesh mutual TLS


class WorkloadPort(Struct, frozen=True, gc=False, kw_only=True):
    """The four numbers of a workload's port (service numbers may be several) and its protocol."""

    name: str
    workload: int  # what policies and metrics speak of
    bind: int  # what its sidecar listens on
    application: int  # what the application listens on; 0 for a Unix socket
    application_address: str = "127.0.0.1"  # where it does: an IP, or `unix://path`
    protocol: Protocol
    service_hosts: tuple[str, ...] = ()  # hostnames of services that reach this port, sorted
    service_ports: tuple[int, ...] = ()  # their port numbers, in the order of service_hosts


class Workload(Struct, frozen=True, kw_only=True):
    """One instance in the mesh: what a WorkloadEntry says of it."""

    name: str
    namespace: str
    service_account: str = "default"
    address: str = ""
    labels: Pairs = ()
    ports: tuple[WorkloadPort, ...] = ()
    network: str = ""
    locality: str = ""
    # Beside those of `ports`, through which services it is reached: (hostname, service port, workload port). A gateway
    # has no ports of its own: what it listens on, its Gateways say.
    reached: tuple[tuple[str, int, int], ...] = ()
