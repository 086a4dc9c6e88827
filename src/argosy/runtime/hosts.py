"""What the host of an address says by itself: whether it stays on this machine, whether it is all addresses at once."""

from __future__ import annotations

import ipaddress


def is_loopback(host: str) -> bool:
    found = parsed(host)
    return host == "localhost" or (found is not None and found.is_loopback)


def is_wildcard(host: str) -> bool:
    found = parsed(host)
    return found is not None and found.is_unspecified


def parsed(host: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    """None: it is a name, not an IP address. IPv6 without brackets."""
    try:
        return ipaddress.ip_address(host)
    except ValueError:
        return None
