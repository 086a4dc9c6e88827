"""A registry, and what it told."""

from __future__ import annotations

from argosy.model import ir
from argosy.model.updates import RegistryUpdate
from argosy.registry.objects import ObjectRegistry
from argosy.resources.meta import Object
from tests.unit.registry.objects import REVIEWS


class Told:
    """A registry and all it told, as the model would hold it."""

    def __init__(self, *objects: Object) -> None:
        self.registry = ObjectRegistry()
        self.services: dict[str, ir.Service] = {}
        self.endpoints: dict[str, tuple[ir.Endpoint, ...]] = {}
        self.workloads: dict[tuple[str, str], ir.Workload] = {}
        for obj in objects:
            self.take(self.registry.upsert(obj))
        assert self.registry.rejected == {}

    def take(self, update: RegistryUpdate) -> None:
        for one in update.services:
            self.services[one.hostname] = one
        for hostname in update.removed_services:
            del self.services[hostname]
            self.endpoints.pop(hostname, None)
        self.endpoints.update(update.endpoints)
        for entry in update.workloads:
            self.workloads[entry.namespace, entry.name] = entry
        for name in update.removed_workloads:
            del self.workloads[name]

    def reached(self, hostname: str = REVIEWS) -> list[str]:
        """`address:port/port name` of the endpoints."""
        return [f"{e.address}:{e.port}/{e.port_name}" for e in self.endpoints.get(hostname, ())]
