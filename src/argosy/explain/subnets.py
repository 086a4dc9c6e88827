"""Which route takes a connection, by the addresses at its ends.

Facts (Envoy, FilterChainMatch): of the networks that hold the destination the narrowest counts, and nothing of the
others; where a connection comes from is looked at last. An address that is not known is in no network.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Sequence

from argosy.model import ir


def as_address(host: str) -> str:
    """ "" where it is a name."""
    try:
        return str(ipaddress.ip_address(host.strip("[]")))
    except ValueError:
        return ""


def width(networks: Sequence[str], address: str) -> int | None:
    """Of the narrowest of `networks` that holds `address`, in bits; 0 for all addresses where there are none; None
    where it is in none."""
    if not networks:
        return 0
    try:
        parsed = ipaddress.ip_address(address)
    except ValueError:
        return None
    found = [ipaddress.ip_network(one, strict=False) for one in networks]
    return max((1 + one.prefixlen for one in found if parsed in one), default=None)


def position(routes: Sequence[ir.TcpRoute], address: str, source: str) -> int | None:
    """Of the route that takes a connection to `address` from `source`; None where none does."""
    best: tuple[int, int] | None = None
    for at, route in enumerate(routes):
        fits = width(route.subnets, address)
        if fits is None or (route.source and width((route.source,), source) is None):
            continue
        if best is None or fits > best[0]:
            best = (fits, at)
    return best[1] if best is not None else None
