"""ServiceEntry and WorkloadEntry: hosts and addresses that no platform registers.

# Istio: networking/v1alpha3/service_entry.proto, workload_entry.proto
"""

from __future__ import annotations

from enum import StrEnum

from msgspec import Struct

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
    number: UInt32
    name: str
    protocol: str = ""  # "": to be detected
    target_port: UInt32 = 0  # 0: as `number`


class WorkloadSelector(Struct, frozen=True, kw_only=True, rename="camel", omit_defaults=True):
    labels: dict[str, str] = {}


class WorkloadEntrySpec(Struct, frozen=True, kw_only=True, rename="camel", omit_defaults=True):
    address: str = ""  # IP, host name or `unix://path`
    ports: dict[str, UInt32] = {}  # port name -> workload port
    labels: dict[str, str] = {}
    network: str = ""
    locality: str = ""
    weight: UInt32 = 0
    service_account: str = ""


class ServiceEntrySpec(Struct, frozen=True, kw_only=True, rename="camel", omit_defaults=True):
    hosts: tuple[str, ...]
    addresses: tuple[str, ...] = ()
    ports: tuple[ServicePort, ...] = ()
    location: Location = Location.MESH_EXTERNAL
    resolution: Resolution = Resolution.NONE
    endpoints: tuple[WorkloadEntrySpec, ...] = ()
    workload_selector: WorkloadSelector | None = None
    export_to: tuple[str, ...] = ()
    subject_alt_names: tuple[str, ...] = ()


class ServiceEntryAddress(Struct, frozen=True, kw_only=True, rename="camel", omit_defaults=True):
    value: str = ""
    host: str = ""


class ServiceEntryStatus(Status, frozen=True, kw_only=True, rename="camel", omit_defaults=True):
    addresses: tuple[ServiceEntryAddress, ...] = ()


class ServiceEntry(Object, frozen=True, kw_only=True, rename="camel", omit_defaults=True):
    spec: ServiceEntrySpec
    status: ServiceEntryStatus = ServiceEntryStatus()


class WorkloadEntry(Object, frozen=True, kw_only=True, rename="camel", omit_defaults=True):
    spec: WorkloadEntrySpec
    status: Status = Status()
