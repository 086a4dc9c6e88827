"""An address of this host that is not the loopback, for what must not be there."""

from __future__ import annotations

import contextlib
import socket


def own_address() -> str | None:
    """None where this host has no other."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe, contextlib.suppress(OSError):
        probe.connect(("192.0.2.1", 9))  # sends nothing
        found = str(probe.getsockname()[0])
        return None if found.startswith("127.") else found
    return None


OWN_ADDRESS = own_address()
