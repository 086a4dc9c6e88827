"""Where others are told that this server is: its record in the fleet, its agents, kubeconfigs, its certificate.

Rules: `--advertise-address` says it, for all ports. Else it is the address that is listened on; and as nobody can
connect to a wildcard (0.0.0.0, [::]), that stands for the first address of this host that is not its loopback: the one
from which it would send to the network, else the first of its interfaces. Where that may mislead others, it is said.
# Kubernetes: kube-apiserver --advertise-address; apimachinery util/net ChooseHostInterface
"""

from __future__ import annotations

import contextlib
import fcntl
import ipaddress
import socket
import struct
from collections.abc import Callable, Iterable
from pathlib import Path

from argosy.runtime.hosts import is_loopback, is_wildcard, parsed
from argosy.server.settings import Address

LOOPBACK = "127.0.0.1"
_ROUTED = {
    socket.AF_INET: "192.0.2.1",
    socket.AF_INET6: "2001:db8::1",
}  # of documentation: nothing is sent there
_SIOCGIFADDR = 0x8915  # netdevice(7)
_IF_INET6 = Path("/proc/net/if_inet6")

Log = Callable[..., object]


class Advertised:
    """`chosen`: --advertise-address, or ""; `own`: the address of this host for a wildcard, or "" where it has none."""

    def __init__(self, chosen: str = "", own: Callable[[str], str] | None = None) -> None:
        self.chosen = chosen
        self._own = own or own_address
        self._known: dict[str, str] = {}

    def host(self, listens: str) -> str:
        if self.chosen or not is_wildcard(listens):
            return self.chosen or listens
        if listens not in self._known:
            self._known[listens] = self._own(listens)
        return self._known[listens] or LOOPBACK

    def address(self, listens: Address) -> Address:
        return Address(self.host(listens.host), listens.port)

    def hosts(self, listening: Iterable[Address]) -> list[str]:
        """What the certificate must name: where it listens, and what is told."""
        listed = [address.host for address in listening]
        return sorted({*map(self.host, listed), *(host for host in listed if not is_wildcard(host))})

    def warn(self, ports: dict[str, Address], warning: Log) -> None:
        """Where nobody on another host finds what he is told."""
        remedy = "name the address that others reach: --advertise-address HOST"
        for name, listens in ports.items():
            told = self.host(listens.host)
            if is_wildcard(listens.host) and not self.chosen and told == LOOPBACK:
                reason = "this host has no address but its loopback"
            elif self.chosen and is_loopback(listens.host) and not is_loopback(self.chosen):
                reason = (
                    f"it listens on {listens.host} alone: whatever listens on {self.chosen} must lead here"
                )
                remedy = f"or let it listen on all addresses: --{name}-address 0.0.0.0:{listens.port}"
            else:
                continue
            warning("others may not reach this server", port=name, told=told, reason=reason, remedy=remedy)


def own_address(wildcard: str) -> str:
    """The first address of this host of the wildcard's family; for [::] also of the other one. "": there is none."""
    families = [socket.AF_INET6, socket.AF_INET] if ":" in wildcard else [socket.AF_INET]
    for family in families:
        interfaces = _interfaces_6() if family == socket.AF_INET6 else _interfaces_4()
        for address in (_routed(family), *interfaces):
            found = parsed(address)
            if found and not (found.is_loopback or found.is_link_local or found.is_unspecified):
                return address
    return ""


def _routed(family: socket.AddressFamily) -> str:
    """The address from which this host would send to the network."""
    with contextlib.suppress(OSError), socket.socket(family, socket.SOCK_DGRAM) as probe:
        probe.connect((_ROUTED[family], 9))
        return str(probe.getsockname()[0])
    return ""


def _interfaces_4() -> list[str]:
    found = []
    with contextlib.suppress(OSError), socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        for _, name in socket.if_nameindex():
            with contextlib.suppress(OSError):  # one without an address
                asked = struct.pack("256s", name.encode()[:15])
                found.append(socket.inet_ntoa(fcntl.ioctl(probe, _SIOCGIFADDR, asked)[20:24]))
    return found


def _interfaces_6() -> list[str]:
    try:
        lines = _IF_INET6.read_text("ascii").splitlines()
    except OSError:
        return []
    return [str(ipaddress.IPv6Address(bytes.fromhex(line.split()[0]))) for line in lines if line]
