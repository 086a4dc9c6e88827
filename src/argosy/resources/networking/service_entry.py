"""ServiceEntry and WorkloadEntry: hosts and addresses that no platform registers.

# Istio: networking/v1alpha3/service_entry.proto, workload_entry.proto
"""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated

from msgspec import Meta, Struct

from argosy.resources.meta import Object, Status
from argosy.resources.networking.virtual_service import UInt32


class Location(StrEnum):
    MESH_EXTERNAL = "MESH_EXTERNAL"
    MESH_INTERNAL = "MESH_INTERNAL"


class Resolution(StrEnum):
    NONE = "NONE"
    STATIC = "STATIC"
    DNS = "DNS"
    DNS_ROUND_ROBIN = "DNS_ROUND_ROBIN"
    DYNAMIC_DNS = "DYNAMIC_DNS"


class ServicePort(Struct, frozen=True, kw_only=True, rename="camel", omit_defaults=True):
    """A port of a service."""

    number: UInt32
    """The number of the port, by which it is reached."""
    name: str
    """The name of the port; once each."""
    protocol: str = ""
    """What is spoken: HTTP, HTTP2, GRPC, GRPC-WEB, HTTPS, TLS, TCP, MONGO, REDIS, MYSQL; left out: it is detected."""
    target_port: UInt32 = 0
    """The port of the endpoints; left out: the same number."""


class WorkloadSelector(Struct, frozen=True, kw_only=True, rename="camel", omit_defaults=True):
    """Selects workloads by their labels."""

    labels: dict[str, str] = {}
    """The labels that a workload must have, ALL of them; none: every workload."""


class WorkloadEntrySpec(Struct, frozen=True, kw_only=True, rename="camel", omit_defaults=True):
    """Where a workload is, and what it is."""

    address: Annotated[str, Meta(max_length=256)] = ""
    """Where the workload is: an IP address, a host name (with resolution DNS), or unix:// and a path."""
    ports: Annotated[dict[str, UInt32], Meta(max_length=128)] = {}
    """The numbers of its ports, by the names that the service has for them."""
    labels: Annotated[dict[str, str], Meta(max_length=256)] = {}
    """What selectors and subsets find it by."""
    network: Annotated[str, Meta(max_length=2048)] = ""
    """The network that it is in; the addresses of one network reach each other."""
    locality: Annotated[str, Meta(max_length=2048)] = ""
    """Where it runs, as REGION/ZONE/SUBZONE."""
    weight: UInt32 = 0
    """Its share of the traffic, beside that of the other endpoints; left out: 1."""
    service_account: Annotated[str, Meta(max_length=253)] = ""
    """As whom it runs: the name of the service account, in its namespace."""


class ServiceEntrySpec(Struct, frozen=True, kw_only=True, rename="camel", omit_defaults=True):
    """A service that no platform registers: its hosts, addresses, ports and endpoints."""

    hosts: Annotated[tuple[str, ...], Meta(max_length=256)]
    """The names of the service, which may begin with *. and a domain."""
    addresses: Annotated[tuple[Annotated[str, Meta(max_length=64)], ...], Meta(max_length=256)] = ()
    """The virtual addresses of the service; blocks (CIDR) with resolution NONE and STATIC alone."""
    ports: Annotated[tuple[ServicePort, ...], Meta(max_length=256)] = ()
    """The ports of the service."""
    location: Location = Location.MESH_EXTERNAL
    """Whether its workloads are in the mesh (MESH_INTERNAL) or outside of it (MESH_EXTERNAL)."""
    resolution: Resolution = Resolution.NONE
    """How its addresses are found: NONE takes that of the connection, STATIC those of endpoints, DNS and
    DNS_ROUND_ROBIN look names up, DYNAMIC_DNS the name of each request."""
    endpoints: Annotated[tuple[WorkloadEntrySpec, ...], Meta(max_length=4096)] = ()
    """Where the service is; excludes workloadSelector."""
    workload_selector: WorkloadSelector | None = None
    """The WorkloadEntries and pods of the namespace that are its endpoints; excludes endpoints."""
    export_to: tuple[str, ...] = ()
    """The namespaces that see it: * all, . its own, ~ none, or names; none given: all."""
    subject_alt_names: tuple[str, ...] = ()
    """The names that the certificate of its servers may have, for TLS that proxies originate."""


class ServiceEntryAddress(Struct, frozen=True, kw_only=True, rename="camel", omit_defaults=True):
    """An address that was given to a host of the service."""

    value: str = ""
    """The address."""
    host: str = ""
    """The host that it was given to."""


class ServiceEntryStatus(Status, frozen=True, kw_only=True, rename="camel", omit_defaults=True):
    """What the mesh has found about the service. Programs write it; people read it."""

    addresses: tuple[ServiceEntryAddress, ...] = ()
    """The addresses that were given to its hosts."""


class ServiceEntry(Object, frozen=True, kw_only=True, rename="camel", omit_defaults=True):
    """A service that no platform registers: outside of the mesh, or of workloads that are not in Kubernetes."""

    spec: ServiceEntrySpec
    """Hosts, addresses, ports and endpoints."""
    status: ServiceEntryStatus = ServiceEntryStatus()
    """What the control plane has found about the object; written by it."""


class WorkloadEntry(Object, frozen=True, kw_only=True, rename="camel", omit_defaults=True):
    """One workload that is not in Kubernetes, as a pod is there: an endpoint of the services that select it."""

    spec: WorkloadEntrySpec
    """Where the workload is, and what it is."""
    status: Status = Status()
    """What the control plane has found about the object; written by it."""
