"""Virtual hosts of a sidecar, and the names by which a service is meant."""

from __future__ import annotations

from msgspec import Struct

from argosy.model import ir


class VirtualHost(Struct, frozen=True):
    host: str
    port: int
    alone: bool = False  # no service has the host: only VirtualServices name it

    @property
    def name(self) -> str:
        return f"{self.host}:{self.port}"


def names_of(service: ir.Service, namespace: str, suffix: str) -> tuple[str, ...]:
    """Facts (Istio): `name.ns.svc.DOMAIN`, `name.ns.svc`, `name.ns`, within the namespace `name`; and its addresses."""
    names = [service.hostname]
    if service.kubernetes and service.hostname == f"{service.name}.{service.namespace}.svc.{suffix}":
        names += [f"{service.name}.{service.namespace}.svc", f"{service.name}.{service.namespace}"]
        if service.namespace == namespace:
            names.append(service.name)
    names += [f"[{one}]" if ":" in one else one for one in single(service.addresses)]
    return tuple(dict.fromkeys(names))


def single(addresses: tuple[str, ...]) -> tuple[str, ...]:
    """Without networks: nobody listens for those."""
    return tuple(one for one in addresses if "/" not in one)
