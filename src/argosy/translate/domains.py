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
    """Who has what where several may want it. What a change costs depends on what the changed owner wants alone, but
    where the holder of something wanted by many leaves it."""

    def __init__(self) -> None:
        self.claimants: dict[str, dict[Owner, Rank]] = {}
        self.holders: dict[str, Owner] = {}
        self.wants: dict[Owner, tuple[str, ...]] = {}

    def update(self, owner: Owner, wanted: Mapping[str, Rank]) -> dict[str, set[Owner]]:
        """Sets what `owner` wants (nothing: it leaves). Returns what changed hands: each thing with those who lost or
        got it."""
        moved: dict[str, set[Owner]] = {}
        for thing in {*self.wants.get(owner, ()), *wanted}:
            before = self.holders.get(thing)
            after = self._settle(thing, owner, wanted.get(thing))
            if before != after:
                moved[thing] = {one for one in (before, after) if one is not None}
        if wanted:
            self.wants[owner] = tuple(wanted)
        else:
            self.wants.pop(owner, None)
        return moved

    def _settle(self, thing: str, owner: Owner, rank: Rank | None) -> Owner | None:
        """Notes that `owner` wants `thing` with `rank` (None: no more), and returns who has it now."""
        claimants = self.claimants.setdefault(thing, {})
        holder = self.holders.get(thing)
        previous = claimants.pop(owner, None)
        if rank is not None:
            claimants[owner] = rank
            if holder is None or (
                holder != owner and _order(rank, owner) < _order(claimants[holder], holder)
            ):
                holder = owner
        if not claimants:
            del self.claimants[thing]
            self.holders.pop(thing, None)
            return None
        if holder == owner and previous is not None and previous != rank:
            holder = min(claimants, key=lambda one: _order(claimants[one], one))
        assert holder is not None  # noqa: S101  somebody wants it
        self.holders[thing] = holder
        return holder

    def holder(self, thing: str) -> Owner | None:
        return self.holders.get(thing)

    def ordered(self, thing: str) -> tuple[Owner, ...]:
        """All who want it, the holder first."""
        claimants = self.claimants.get(thing, {})
        return tuple(sorted(claimants, key=lambda one: _order(claimants[one], one)))

    def held(self, owner: Owner) -> tuple[str, ...]:
        """What `owner` has, in the order it was wanted."""
        return tuple(thing for thing in self.wants.get(owner, ()) if self.holders.get(thing) == owner)


def _order(rank: Rank, owner: Hashable) -> tuple[Rank, str]:
    return rank, str(owner)
