"""The domains of virtual hosts, and who has them where several claim one.

Facts (Istio): a Kubernetes-style service answers to its full name, `name.ns.svc`, `name.ns`, and within its namespace
to `name`; every host also to its virtual addresses. Envoy refuses a whole RouteConfiguration in which two virtual hosts
name one domain: full names win over short forms, then the older service, then the name.
"""

from __future__ import annotations

from collections.abc import Hashable, Mapping
from typing import Generic, TypeVar

from argosy.model.ir import Service

Rank = tuple[int, str, str]
"""The lowest has the domain: 0 for a full name or 1, creation time, hostname."""


def hosts_of(service: Service, namespace: str, domain_suffix: str) -> tuple[str, ...]:
    """Every name that means `service` to a proxy in `namespace`, the full name first."""
    names = [service.hostname]
    if service.kubernetes and service.hostname.endswith(f".svc.{domain_suffix}"):
        short = f"{service.name}.{service.namespace}"
        names += [f"{short}.svc", short]
        if service.namespace == namespace:
            names.append(service.name)
    names += [f"[{one}]" if ":" in one else one for one in service.addresses if "/" not in one]
    return tuple(dict.fromkeys(names))


def with_port(hosts: tuple[str, ...], port: int) -> tuple[str, ...]:
    return tuple(f"{host}:{port}" for host in hosts)


def ranks(service: Service, domains: tuple[str, ...]) -> dict[str, Rank]:
    full = service.hostname
    return {
        domain: (0 if domain == full or domain.startswith(f"{full}:") else 1, service.created, full)
        for domain in domains
    }


Owner = TypeVar("Owner", bound=Hashable)


class Claims(Generic[Owner]):
    """Who has what where several may want it. What a change costs depends on what the changed owner wants alone."""

    def __init__(self) -> None:
        self.claimants: dict[str, dict[Owner, Rank]] = {}
        self.wants: dict[Owner, Mapping[str, Rank]] = {}

    def update(self, owner: Owner, wanted: Mapping[str, Rank]) -> set[Owner]:
        """Sets what `owner` wants (nothing: it leaves) and returns whose possessions changed, itself among them."""
        old = self.wants.get(owner, {})
        affected: set[Owner] = set()
        for thing in {*old, *wanted}:
            before = self.holder(thing)
            claimants = self.claimants.setdefault(thing, {})
            claimants.pop(owner, None)
            if thing in wanted:
                claimants[owner] = wanted[thing]
            elif not claimants:
                del self.claimants[thing]
            after = self.holder(thing)
            if before != after:
                affected.update(one for one in (before, after) if one is not None)
        if wanted:
            self.wants[owner] = dict(wanted)
        else:
            self.wants.pop(owner, None)
        return affected

    def holder(self, thing: str) -> Owner | None:
        claimants = self.claimants.get(thing)
        if not claimants:
            return None
        if len(claimants) == 1:
            return next(iter(claimants))
        return min(claimants, key=lambda owner: (claimants[owner], str(owner)))

    def held(self, owner: Owner) -> tuple[str, ...]:
        """What `owner` has, in the order it was wanted."""
        return tuple(thing for thing in self.wants.get(owner, ()) if self.holder(thing) == owner)
