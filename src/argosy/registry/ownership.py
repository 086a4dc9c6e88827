"""Who owns a hostname that several objects claim, and which ports each gives."""

from __future__ import annotations

from itertools import chain

import msgspec

from argosy.model import ir
from argosy.model.hostnames import resolved_export
from argosy.registry.hosts import Claim


def shared(claims: list[Claim]) -> tuple[tuple[Claim, tuple[ir.ServicePort, ...] | None], ...]:
    """Of the claims to one host, the best first: the ports that each gives; None for a claim in vain."""
    shares: list[tuple[Claim, tuple[ir.ServicePort, ...] | None]] = []
    numbers: set[int] = set()
    names: set[str] = set()
    for claim in claims:
        given: tuple[ir.ServicePort, ...] | None = None
        if claim is claims[0]:
            given = claim.service.ports
        elif _joins(claims[0].service, claim.service):
            given = (
                tuple(p for p in claim.service.ports if p.number not in numbers and p.name not in names)
                or None
            )
        shares.append((claim, given))
        numbers |= {port.number for port in given or ()}
        names |= {port.name for port in given or ()}
    return tuple(shares)


def union(shares: list[tuple[ir.Service, tuple[ir.ServicePort, ...]]]) -> ir.Service:
    first = shares[0][0]
    if len(shares) == 1:
        return first
    addresses = dict.fromkeys(chain.from_iterable(service.addresses for service, _ in shares))
    ports = chain.from_iterable(ports for _, ports in shares)
    return msgspec.structs.replace(first, ports=tuple(ports), addresses=tuple(addresses))


def _joins(first: ir.Service, other: ir.Service) -> bool:
    return (
        not first.kubernetes
        and not other.kubernetes
        and (first.namespace, first.resolution, first.external)
        == (other.namespace, other.resolution, other.external)
        and resolved_export(first.export_to, "") == resolved_export(other.export_to, "")
    )
