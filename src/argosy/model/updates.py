"""What a registry tells the model: services, endpoints and workloads that changed.

Rule: an update holds whole values, never differences within one value: the endpoints of a hostname are all of them.
Applying the same update twice changes nothing.
"""

from __future__ import annotations

from msgspec import Struct

from argosy.model import ir

Ref = tuple[str, str, str]
"""An object as people name it: (kind, namespace, name)."""


class RegistryUpdate(Struct, frozen=True, kw_only=True):
    services: tuple[ir.Service, ...] = ()
    removed_services: tuple[str, ...] = ()  # hostnames
    endpoints: tuple[tuple[str, tuple[ir.Endpoint, ...]], ...] = ()  # hostname -> all of its endpoints
    workloads: tuple[ir.Workload, ...] = ()
    removed_workloads: tuple[tuple[str, str], ...] = ()  # (namespace, name)
    origins: tuple[tuple[str, tuple[Ref, ...]], ...] = ()  # hostname -> the objects its service was made from

    def __bool__(self) -> bool:
        return bool(
            self.services
            or self.removed_services
            or self.endpoints
            or self.workloads
            or self.removed_workloads
            or self.origins
        )
